#include "proof/digest_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/endian.h"
#include "base/parse_number.h"

namespace sluice {
namespace {

using Json = nlohmann::json;

std::unexpected<Error> bad(std::string what) { return fail_api(Errc::kInvalidArgument, 10003, std::move(what)); }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool read_hex(std::string_view hex, std::span<uint8_t> out) {
  if (hex.size() != out.size() * 2) return false;
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = hex_value(hex[2 * i]);
    const int low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return true;
}

/// Members of one object; the first that is not what it should be is remembered.
class Members {
 public:
  explicit Members(const Json& object) : object_(object) {}

  void number(const char* name, uint64_t& out) {
    if (const Json* value = find(name)) value->is_number_unsigned() ? void(out = value->get<uint64_t>()) : wrong(name);
  }
  void sequence(const char* name, StreamSeq& out) {
    uint64_t value = out.value();
    number(name, value);
    out = StreamSeq(value);
  }
  void flag(const char* name, bool& out) {
    if (const Json* value = find(name)) value->is_boolean() ? void(out = value->get<bool>()) : wrong(name);
  }
  void text(const char* name, std::string& out) {
    if (const Json* value = find(name)) value->is_string() ? void(out = value->get<std::string>()) : wrong(name);
  }
  const Json* list(const char* name, size_t max) {
    const Json* value = find(name);
    if (value == nullptr) return nullptr;
    if (value->is_array() && value->size() <= max) return value;
    wrong(name);
    return nullptr;
  }
  void wrong(const char* name) {
    if (wrong_.empty()) wrong_ = name;
  }
  bool is_object(const char* name) const {
    const Json* value = find(name);
    return value != nullptr && value->is_object();
  }
  const Json& object(const char* name) const { return *find(name); }
  void take_wrong(const Members& inside, const char* name) {
    if (!inside.first_wrong().empty()) wrong(name);
  }
  const std::string& first_wrong() const { return wrong_; }

 private:
  const Json* find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  const Json& object_;
  std::string wrong_;
};

/// The stream's name, or an object that also says which mark counts.
void read_origin(Members& members, DigestRequest& r) {
  if (!members.is_object("origin")) return members.text("origin", r.origin);
  Members origin(members.object("origin"));
  uint64_t hop = 0;
  origin.text("stream", r.origin);
  origin.text("replicator", r.replicator);
  origin.text("worker", r.worker);
  origin.number("hop", hop);
  if (r.origin.empty() || hop > UINT32_MAX) origin.wrong("stream");
  r.hop = static_cast<uint32_t>(std::min<uint64_t>(hop, UINT32_MAX));
  members.take_wrong(origin, "origin");
}

/// Whether they count, or an object that says what the copy makes of them.
void read_subjects(Members& members, DigestRequest& r) {
  if (!members.is_object("subjects")) return members.flag("subjects", r.subjects);
  Members subjects(members.object("subjects"));
  subjects.text("prefix", r.rewrite.prefix);
  subjects.text("remove", r.rewrite.remove);
  if (const Json* transforms = subjects.list("transforms", DigestRequest::kMaxTransforms)) {
    for (const Json& pair : *transforms) {
      if (pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string())
        r.rewrite.transforms.emplace_back(pair[0].get<std::string>(), pair[1].get<std::string>());
      else
        subjects.wrong("transforms");
    }
  }
  members.take_wrong(subjects, "subjects");
}

bool read_part(const Json& row, DigestAnswer& answer) {
  if (!row.is_array() || row.size() != 5 || !row[4].is_string()) return false;
  for (size_t i = 0; i < 4; ++i)
    if (!row[i].is_number_unsigned()) return false;
  RangePart part;
  part.count = row[1].get<uint64_t>();
  part.own = {StreamSeq(row[2].get<uint64_t>()), StreamSeq(row[3].get<uint64_t>())};
  auto digest = RangeDigest::from_hex(row[4].get_ref<const std::string&>());
  if (!digest || part.count == 0) return false;
  part.digest = *digest;
  return answer.parts.emplace(row[0].get<uint64_t>(), part).second;
}

}  // namespace

void RangeDigest::add(const Sha256& digest) {
  for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += load_le<uint64_t>(reinterpret_cast<const char*>(digest.data()) + 8 * i);
}

void RangeDigest::add(const RangeDigest& other) {
  for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += other.sum_[i];
}

RangeDigest RangeDigest::times(uint64_t n) const {
  RangeDigest out = *this;
  for (uint64_t& word : out.sum_) word *= n;
  return out;
}

std::string RangeDigest::hex() const {
  Sha256 bytes{};
  for (size_t i = 0; i < sum_.size(); ++i) store_le(reinterpret_cast<char*>(bytes.data()) + 8 * i, sum_[i]);
  return to_hex(bytes);
}

Result<RangeDigest> RangeDigest::from_hex(std::string_view hex) {
  Sha256 bytes{};
  if (!read_hex(hex, bytes)) return bad("a digest is 64 hexadecimal digits");
  RangeDigest out;
  out.add(bytes);
  return out;
}

void RangePart::merge(const RangePart& other) {
  if (count == 0) own = other.own;
  count += other.count;
  own.first = std::min(own.first, other.own.first);
  own.last = std::max(own.last, other.own.last);
  digest.add(other.digest);
}

void DigestAnswer::merge(DigestAnswer&& page) {
  next = page.next;
  read += page.read;
  others += page.others;
  passed_over += page.passed_over;
  disordered += page.disordered;
  if (!page.oldest.is_zero()) oldest = oldest.is_zero() ? page.oldest : std::min(oldest, page.oldest);
  if (page.newest > newest) {
    newest = page.newest;
    newest_own = page.newest_own;
  }
  for (auto& [index, part] : page.parts) parts[index].merge(part);
}

Status check(const DigestRequest& r) {
  if (r.range.first.is_zero() || r.range.last < r.range.first) return bad("first must be at least 1 and at most last");
  if (r.own.first.is_zero() || r.own.last < r.own.first) return bad("own_first must be at least 1 and at most own_last");
  if (r.span == 0) return bad("span must be at least 1");
  if (r.max_parts == 0) return bad("max_parts must be at least 1");
  if (r.origin.empty() && r.picks_marks()) return bad("replicator, worker and hop pick a mark of an origin's copies");
  if (!r.rewrite.empty()) {
    if (!r.subjects) return bad("subjects are rewritten or left out");
    if (std::max(r.rewrite.prefix.size(), r.rewrite.remove.size()) > DigestRequest::kMaxRewriteText_bytes)
      return bad("prefix and remove have 4,096 bytes at most");
    const auto rewrite = SubjectRewrite::make(r.rewrite);
    if (!rewrite) return bad(rewrite.error().detail);
    if (rewrite->uses_random()) return bad("a transform by chance gives other subjects each time");
  }
  StreamSeq before{};
  for (const SequenceRange& some : r.only) {
    if (some.first <= before || some.last < some.first) return bad("only must be rising ranges");
    before = some.last;
  }
  return {};
}

std::string encode(const DigestRequest& r) {
  Json json = {{"key", to_hex(r.key)}, {"own_first", r.own.first.value()}, {"own_last", r.own.last.value()},
               {"first", r.range.first.value()}, {"last", r.range.last.value()}, {"span", r.span}};
  if (r.picks_marks())
    json["origin"] = {{"stream", r.origin}, {"replicator", r.replicator}, {"worker", r.worker}, {"hop", r.hop}};
  else if (!r.origin.empty())
    json["origin"] = r.origin;
  if (!r.subjects)
    json["subjects"] = false;
  else if (!r.rewrite.empty())
    json["subjects"] = {{"prefix", r.rewrite.prefix}, {"remove", r.rewrite.remove}, {"transforms", r.rewrite.transforms}};
  if (r.max_hops != 0) json["max_hops"] = r.max_hops;
  if (!r.filters.empty()) json["filters"] = r.filters;
  if (!r.seen.is_zero()) json["seen"] = r.seen.value();
  if (r.max_parts != DigestRequest::kMaxParts) json["max_parts"] = r.max_parts;
  for (const SequenceRange& some : r.only) json["only"].push_back({some.first.value(), some.last.value()});
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<DigestRequest> parse_digest_request(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return bad("not a JSON object");
  DigestRequest r;
  Members members(json);
  std::string key;
  uint64_t max_hops = 0;
  members.text("key", key);
  read_origin(members, r);
  read_subjects(members, r);
  members.number("max_hops", max_hops);
  members.sequence("own_first", r.own.first);
  members.sequence("own_last", r.own.last);
  members.sequence("first", r.range.first);
  members.sequence("last", r.range.last);
  members.number("span", r.span);
  members.sequence("seen", r.seen);
  members.number("max_parts", r.max_parts);
  if (!read_hex(key, r.key)) members.wrong("key");
  if (max_hops > UINT32_MAX) members.wrong("max_hops");
  r.max_hops = static_cast<uint32_t>(std::min<uint64_t>(max_hops, UINT32_MAX));
  r.max_parts = std::min(r.max_parts, DigestRequest::kMaxParts);
  if (const Json* filters = members.list("filters", DigestRequest::kMaxFilters)) {
    for (const Json& filter : *filters) filter.is_string() ? r.filters.push_back(filter.get<std::string>()) : members.wrong("filters");
  }
  if (const Json* only = members.list("only", DigestRequest::kMaxOnly)) {
    for (const Json& pair : *only) {
      const bool good = pair.is_array() && pair.size() == 2 && pair[0].is_number_unsigned() && pair[1].is_number_unsigned();
      if (good)
        r.only.push_back({StreamSeq(pair[0].get<uint64_t>()), StreamSeq(pair[1].get<uint64_t>())});
      else
        members.wrong("only");
    }
  }
  if (!members.first_wrong().empty()) return bad(fmt::format("{} is not what it should be", members.first_wrong()));
  if (auto status = check(r); !status) return std::unexpected(status.error());
  return r;
}

std::string encode(const DigestAnswer& a) {
  std::string out = fmt::format(
      R"({{"type":"{}","next":{},"read":{},"oldest":{},"newest":{},"newest_own":{},"others":{},"passed_over":{},"disordered":{},"parts":[)",
      kDigestResponse, a.next.value(), a.read, a.oldest.value(), a.newest.value(), a.newest_own.value(), a.others, a.passed_over,
      a.disordered);
  bool first = true;
  for (const auto& [index, part] : a.parts) {
    fmt::format_to(std::back_inserter(out), R"({}[{},{},{},{},"{}"])", first ? "" : ",", index, part.count,
                   part.own.first.value(), part.own.last.value(), part.digest.hex());
    first = false;
  }
  out += "]}";
  return out;
}

Result<DigestAnswer> parse_digest_answer(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(Errc::kCorrupt, "the answer is not a JSON object");
  if (const auto error = json.find("error"); error != json.end() && error->is_object()) {
    const auto code = error->find("err_code");
    const auto words = error->find("description");
    return fail_api(Errc::kRefused,
                    code != error->end() && code->is_number_unsigned() ? static_cast<uint16_t>(code->get<uint64_t>()) : uint16_t{0},
                    words != error->end() && words->is_string() ? words->get<std::string>() : "refused");
  }
  DigestAnswer a;
  Members members(json);
  std::string type;
  members.text("type", type);
  if (type != kDigestResponse) members.wrong("type");
  members.sequence("next", a.next);
  members.number("read", a.read);
  members.sequence("oldest", a.oldest);
  members.sequence("newest", a.newest);
  members.sequence("newest_own", a.newest_own);
  members.number("others", a.others);
  members.number("passed_over", a.passed_over);
  members.number("disordered", a.disordered);
  if (const Json* parts = members.list("parts", DigestRequest::kMaxParts)) {
    for (const Json& row : *parts)
      if (!read_part(row, a)) members.wrong("parts");
  }
  if (!members.first_wrong().empty())
    return fail(Errc::kCorrupt, fmt::format("the answer's {} is not what it should be", members.first_wrong()));
  return a;
}

std::string digest_subject_prefix(std::string_view domain) {
  return domain.empty() ? "$SLUICE.API.STREAM.DIGEST." : fmt::format("$SLUICE.{}.API.STREAM.DIGEST.", domain);
}

std::string digest_subject_prefix_beside(std::string_view api_prefix) {
  if (api_prefix == "$JS.API") return digest_subject_prefix("");
  constexpr std::string_view kFront = "$JS.";
  constexpr std::string_view kBack = ".API";
  if (!api_prefix.starts_with(kFront) || !api_prefix.ends_with(kBack) || api_prefix.size() <= kFront.size() + kBack.size()) return {};
  return digest_subject_prefix(api_prefix.substr(kFront.size(), api_prefix.size() - kFront.size() - kBack.size()));
}

}  // namespace sluice
