#include "spool/choria_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace sluice {
namespace {

using Json = nlohmann::json;

Error bad(std::string_view what) { return Error{Errc::kInvalidArgument, 0, std::string(what)}; }

/// Reads the keys of one object; the first of the wrong type is told.
class Reader {
 public:
  explicit Reader(const Json& object) : object_(object) {}

  std::string text(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) return {};
    if (!value->is_string()) return wrong(key), std::string();
    return value->get<std::string>();
  }
  bool flag(const char* key) {
    const Json* value = find(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return wrong(key), false;
    return value->get<bool>();
  }
  /// Whole numbers of 0…max; fractions are cut, as Choria compares whole seconds.
  uint64_t number(const char* key, uint64_t max) {
    const Json* value = find(key);
    if (value == nullptr) return 0;
    if (!value->is_number()) return wrong(key), 0;
    const double number = value->get<double>();
    if (!(number >= 0 && number <= static_cast<double>(max))) return wrong(key), 0;
    return value->is_number_unsigned() ? value->get<uint64_t>() : static_cast<uint64_t>(number);
  }
  const Json* find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  void wrong(const char* key) {
    if (!error_) error_ = bad(fmt::format("'{}' is of a wrong type or out of range", key));
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  const Json& object_;
  std::optional<Error> error_;
};

void read_headers(Reader& reader, Submission& into) {
  const Json* headers = reader.find("headers");
  if (headers == nullptr) return;
  if (!headers->is_object()) return reader.wrong("headers");
  for (const auto& [name, value] : headers->items()) {
    if (!value.is_string()) return reader.wrong("headers");
    std::string text = value.get<std::string>();
    // As Go's client writes header values: line ends become blanks, blanks around go.
    std::ranges::replace_if(text, [](char c) { return c == '\r' || c == '\n'; }, ' ');
    const size_t first = text.find_first_not_of(" \t");
    const size_t last = text.find_last_not_of(" \t");
    into.headers.emplace_back(name, first == std::string::npos ? "" : text.substr(first, last - first + 1));
  }
}

/// Go's encoding/json: what a browser might run is escaped too; broken UTF-8 becomes U+FFFD.
std::string go_string(std::string_view text) {
  const std::string plain = Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string out;
  out.reserve(plain.size());
  for (size_t i = 0; i < plain.size(); ++i) {
    const char c = plain[i];
    if (c == '<' || c == '>' || c == '&') {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else if (plain.compare(i, 3, "\u2028") == 0 || plain.compare(i, 3, "\u2029") == 0) {
      out += plain.compare(i, 3, "\u2028") == 0 ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

Result<Submission> parse_choria_file(std::string_view text) {
  const Json object = Json::parse(text, nullptr, false);
  if (!object.is_object()) return std::unexpected(bad("not a JSON object"));
  Reader reader(object);
  Submission out;
  out.id = reader.text("id");
  out.subject = reader.text("subject");
  const auto payload = base64_decode(reader.text("payload"));
  out.reliable = reader.flag("reliable");
  const uint64_t priority = reader.number("priority", UINT32_MAX);
  const std::string created = reader.text("created");
  out.ttl = std::chrono::seconds(reader.number("ttl", INT32_MAX));
  out.max_tries = static_cast<uint32_t>(reader.number("max_tries", UINT32_MAX));
  out.tries = static_cast<uint32_t>(reader.number("tries", UINT32_MAX));
  out.sender = reader.text("sender");
  out.identity = reader.text("identity");
  out.sign = reader.flag("sign");
  read_headers(reader, out);
  if (reader.error()) return std::unexpected(*reader.error());
  if (!payload) return std::unexpected(bad("'payload' is not base64"));
  if (priority >= kSpoolPriorities) return std::unexpected(bad("priority must be between 0 and 4"));
  out.payload = std::move(*payload);
  out.priority = static_cast<uint8_t>(priority);
  if (!created.empty()) {
    const auto time = parse_rfc3339(created);
    if (!time) return std::unexpected(bad("'created' is not a time"));
    out.created = *time;
  }
  return out;
}

std::string format_choria_file(const Submission& s) {
  std::string headers = "null";
  if (!s.headers.empty()) {
    auto sorted = s.headers;
    std::ranges::sort(sorted);
    headers = "{";
    for (const auto& [name, value] : sorted) headers += fmt::format("{}{}:{}", headers.size() > 1 ? "," : "", go_string(name), go_string(value));
    headers += "}";
  }
  return fmt::format(
      R"({{"id":{},"subject":{},"payload":"{}","reliable":{},"priority":{},"created":"{}","ttl":{},"max_tries":{},"tries":{},)"
      R"("next_try":"0001-01-01T00:00:00Z","sender":{},"identity":{},"sign":{},"headers":{}}})",
      go_string(s.id), go_string(s.subject), base64_encode(s.payload), s.reliable, s.priority, format_rfc3339(s.created), s.ttl.count(),
      s.max_tries, s.tries, go_string(s.sender), go_string(s.identity), s.sign, headers);
}

}  // namespace sluice
