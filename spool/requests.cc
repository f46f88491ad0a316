#include "spool/requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "spool/choria_file.h"

namespace sluice {

struct SpoolRequests::Parsed {
  nlohmann::json json;
  /// "" when it is missing or no text.
  std::string text(const char* key) const {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  }
};

namespace {

using Json = nlohmann::ordered_json;
constexpr std::chrono::hours kDefaultTtl{7 * 24};
constexpr uint32_t kDefaultTries = 500;
constexpr size_t kMaxPage = 200;

/// Bytes that are no UTF-8 (a payload never is in here) come as U+FFFD.
std::string to_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string refusal(const Error& why) { return to_line({{"error", {{"code", to_string(why.code)}, {"text", why.detail}}}}); }

void answer_accepted(SpoolRequests::Done& done, const Result<SpoolQueue::Accepted>& answer) {
  if (!answer) return done(refusal(answer.error()));
  done(to_line({{"id", answer->id}, {"duplicate", answer->duplicate}}));
}

double seconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; }

Json describe(SpoolQueue& queue, const QueuedEntry& found) {
  const Submission& s = found.entry.submission;
  Json out{{"id", s.id},
           {"subject", s.subject},
           {"priority", s.priority},
           {"reliable", s.reliable},
           {"bytes", s.payload.size()},
           {"created", format_rfc3339(s.created)},
           {"age_seconds", seconds(queue.now() - found.entry.accepted)},
           {"ttl_left_seconds", seconds(found.entry.expires - queue.now())},
           {"tries", s.tries + queue.tries_of(found.place)},
           {"max_tries", s.max_tries},
           {"sender", s.sender},
           {"identity", s.identity},
           {"sign", s.sign}};
  if (!found.entry.reason.empty()) out["reason"] = found.entry.reason;
  return out;
}

/// Deeper than any request is; the library's writer calls itself for each level.
bool is_too_deep(std::string_view json) {
  constexpr int kMaxDepth = 8;
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (quoted) {
      if (c == '\\') ++i;
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

/// A page's place: "<lane> <sequence>"; lanes in the order of all_spool_lanes().
struct Cursor {
  size_t lane = 0;
  uint64_t seq = 0;
};
Cursor read_cursor(std::string_view text) {
  Cursor cursor;
  const char* end = text.data() + text.size();
  const auto lane = std::from_chars(text.data(), end, cursor.lane);
  if (lane.ec == std::errc{} && lane.ptr != end) std::from_chars(lane.ptr + 1, end, cursor.seq);
  return cursor;
}

}  // namespace

void SpoolRequests::handle(std::string_view request, Done done) {
  if (is_too_deep(request)) return done(refusal({Errc::kInvalidArgument, 0, "a request is not nested so deeply"}));
  const Parsed parsed{nlohmann::json::parse(request, nullptr, false)};
  if (!parsed.json.is_object()) return done(refusal({Errc::kInvalidArgument, 0, "a request is one JSON object a line"}));
  const std::string op = parsed.text("op");
  if (op == "submit") return submit(parsed, std::move(done));
  if (op == "list") return list(parsed, std::move(done));
  if (op == "show") return show(parsed, std::move(done));
  if (op == "replay") return replay(parsed, std::move(done));
  if (op == "drop") return drop(parsed, std::move(done));
  if (op == "repair") return done(to_line({{"moved", queue_.repair()}}));
  if (op == "status") return status(std::move(done));
  done(refusal({Errc::kInvalidArgument, 0, "op must be submit, list, show, replay, drop, repair or status"}));
}

void SpoolRequests::submit(const Parsed& request, Done done) {
  const auto message = request.json.find("message");
  if (message == request.json.end() || !message->is_object())
    return done(refusal({Errc::kInvalidArgument, 0, "'message' must be an object"}));
  auto submission = parse_choria_file(message->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (!submission) return done(refusal(submission.error()));
  if (submission->id.empty()) submission->id = make_uuid(env_.random);
  if (submission->created == 0) submission->created = env_.clock.wall();
  if (submission->ttl.count() == 0 && !message->contains("ttl")) submission->ttl = kDefaultTtl;
  if (!message->contains("max_tries")) submission->max_tries = kDefaultTries;
  if (submission->identity.empty()) submission->identity = identity_;
  if (submission->sign && !can_sign_)
    return done(refusal({Errc::kInvalidArgument, 0, "this node has no seed to sign with (signing.seed)"}));
  queue_.submit(std::move(*submission), false,
                [told = std::move(done)](const Result<SpoolQueue::Accepted>& answer) mutable { answer_accepted(told, answer); });
}

void SpoolRequests::list(const Parsed& request, Done done) {
  const bool quarantine = request.text("box") == "quarantine";
  size_t limit = kMaxPage;
  if (const auto asked = request.json.find("limit"); asked != request.json.end() && asked->is_number_unsigned())
    limit = std::clamp<size_t>(asked->get<size_t>(), 1, kMaxPage);
  Cursor at = read_cursor(request.text("after"));
  const auto lanes = all_spool_lanes();
  Json out{{"entries", Json::array()}};
  while (at.lane < lanes.size()) {
    const auto found = quarantine ? queue_.next_quarantined(StreamSeq(at.seq)) : queue_.next(lanes[at.lane], StreamSeq(at.seq));
    if (!found) {
      if (quarantine) break;
      at = {at.lane + 1, 0};
      continue;
    }
    if (out["entries"].size() == limit) {
      out["after"] = fmt::format("{} {}", at.lane, at.seq);
      break;
    }
    out["entries"].push_back(describe(queue_, *found));
    at.seq = found->place.seq.value() + 1;
  }
  done(to_line(out));
}

void SpoolRequests::show(const Parsed& request, Done done) {
  const auto place = queue_.find(request.text("id"));
  const auto found = place ? queue_.load(*place) : std::nullopt;
  if (!found) return done(refusal({Errc::kNotFound, 0, "no such message"}));
  Submission message = found->entry.submission;
  message.tries += queue_.tries_of(*place);
  // The message is written by hand and goes in whole.
  std::string line = to_line({{"entry", describe(queue_, *found)}});
  line.pop_back();
  done(line + ",\"message\":" + format_choria_file(message) + "}");
}

void SpoolRequests::replay(const Parsed& request, Done done) {
  const auto place = queue_.find(request.text("id"));
  if (!place || !place->quarantined) return done(refusal({Errc::kNotFound, 0, "no such message in the quarantine"}));
  queue_.replay(*place, [told = std::move(done)](const Result<SpoolQueue::Accepted>& answer) mutable { answer_accepted(told, answer); });
}

void SpoolRequests::drop(const Parsed& request, Done done) {
  const std::string id = request.text("id");
  const auto place = queue_.find(id);
  if (!place) return done(refusal({Errc::kNotFound, 0, "no such message"}));
  if (place->quarantined) {
    queue_.discard(*place);
  } else {
    if (const Status s = queue_.writable(); !s) return done(refusal(s.error()));
    queue_.quarantine(*place, kReasonDropped, "by request");
  }
  queue_.when_settled([told = std::move(done), id](const Status& s) mutable {
    told(s ? to_line({{"id", id}}) : refusal(s.error()));
  });
}

void SpoolRequests::status(Done done) {
  Json out{{"lanes", Json::array()}};
  for (const auto& lane : queue_.lanes()) {
    out["lanes"].push_back({{"priority", lane.lane.priority},
                            {"reliable", lane.lane.reliable},
                            {"messages", lane.messages},
                            {"bytes", lane.bytes},
                            {"oldest_seconds", seconds(lane.oldest.count())}});
  }
  const auto& figures = queue_.figures();
  out["submitted"] = figures.submitted;
  out["removed"] = figures.removed;
  out["quarantine"] = {{"messages", figures.quarantine_messages}, {"bytes", figures.quarantine_bytes}, {"forgotten", figures.quarantine_forgotten}};
  out["writable"] = queue_.writable().has_value();
  if (const Status s = queue_.writable(); !s) out["why_not_writable"] = s.error().detail;
  out["troubles"] = Json::array();
  if (sender_ != nullptr) {
    for (const auto& trouble : sender_->troubles())
      out["troubles"].push_back({{"priority", trouble.priority}, {"text", trouble.text}, {"since_seconds", seconds(trouble.since.count())}});
    out["connected"] = sender_->connected();
    out["peer"] = sender_->peer();
  }
  const RecoveryReport& found = queue_.recovery();
  out["recovery"] = {{"cut_bytes", found.cut_bytes}, {"lost_records", found.lost_records}, {"notes", found.notes}};
  done(to_line(out));
}

}  // namespace sluice
