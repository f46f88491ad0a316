#include "client/api_json.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "client/parse_number.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using simdjson::dom::element;

constexpr uint64_t kStreamNameInUse = 10058;
constexpr uint64_t kConsumerNameInUse = 10148;
constexpr uint64_t kConsumerAlreadyExists = 10105;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::unexpected<Error> not_a_reply(const char* wanted) {
  return fail(Errc::kCorrupt, std::string("the reply is not ") + wanted);
}

uint64_t u64_or_zero(element from, std::string_view key) {
  uint64_t value = 0;
  return from[key].get(value) == simdjson::SUCCESS ? value : 0;
}

std::string_view text_or_empty(element from, std::string_view key) {
  std::string_view value;
  return from[key].get(value) == simdjson::SUCCESS ? value : std::string_view();
}

bool flag(element from, std::string_view key) {
  bool value = false;
  return from[key].get(value) == simdjson::SUCCESS && value;
}

Errc errc_of(uint64_t http_code, uint64_t err_code) {
  if (err_code == kStreamNameInUse || err_code == kConsumerNameInUse ||
      err_code == kConsumerAlreadyExists)
    return Errc::kExists;
  return http_code == 404 ? Errc::kNotFound : Errc::kRefused;
}

/// Parses and takes out the error object. The element lives until the next call.
Result<element> parse_reply(std::string_view json) {
  static thread_local simdjson::dom::parser parser;
  element root;
  if (parser.parse(json.data(), json.size()).get(root) != simdjson::SUCCESS)
    return fail(Errc::kCorrupt, "the reply is not JSON");
  element error;
  if (root["error"].get(error) != simdjson::SUCCESS) return root;
  const uint64_t err_code = u64_or_zero(error, "err_code");
  return fail_api(errc_of(u64_or_zero(error, "code"), err_code), static_cast<uint16_t>(err_code),
                  std::string(text_or_empty(error, "description")));
}

const char* retention_word(StreamRetention retention) {
  switch (retention) {
    case StreamRetention::kLimits:
      return "limits";
    case StreamRetention::kInterest:
      return "interest";
    case StreamRetention::kWorkQueue:
      return "workqueue";
  }
  return "";
}

}  // namespace

std::string encode_stream_config(const StreamSpec& spec) {
  Json json = {{"name", spec.name}};
  if (!spec.description.empty()) json["description"] = spec.description;
  if (!spec.subjects.empty()) json["subjects"] = spec.subjects;
  json["retention"] = retention_word(spec.retention);
  json["max_consumers"] = -1;
  json["max_msgs"] = spec.max_msgs;
  json["max_bytes"] = spec.max_bytes;
  json["max_age"] = spec.max_age.count();
  json["max_msgs_per_subject"] = spec.max_msgs_per_subject;
  json["discard"] = spec.discard_new ? "new" : "old";
  json["storage"] = spec.memory ? "memory" : "file";
  json["num_replicas"] = std::max(spec.replicas, 1);
  if (spec.duplicate_window.count() != 0) json["duplicate_window"] = spec.duplicate_window.count();
  json["allow_direct"] = spec.allow_direct;
  if (spec.allow_atomic) json["allow_atomic"] = true;
  if (spec.allow_rollup_hdrs) json["allow_rollup_hdrs"] = true;
  return dump(json);
}

std::string encode_consumer_request(const ConsumerSpec& spec, const std::string& name) {
  Json config = {{"name", name}};
  if (!spec.durable.empty()) config["durable_name"] = spec.durable;
  config["deliver_policy"] = spec.start_seq.is_zero() ? "all" : "by_start_sequence";
  if (!spec.start_seq.is_zero()) config["opt_start_seq"] = spec.start_seq.value();
  config["ack_policy"] = spec.ack_none ? "none" : spec.ack_all ? "all" : "explicit";
  if (!spec.ack_none) config["ack_wait"] = spec.ack_wait.count();
  config["max_deliver"] = -1;
  if (!spec.filter_subject.empty()) config["filter_subject"] = spec.filter_subject;
  config["replay_policy"] = "instant";
  if (!spec.ack_none) config["max_ack_pending"] = spec.max_ack_pending;
  if (spec.inactive_threshold.count() != 0)
    config["inactive_threshold"] = spec.inactive_threshold.count();
  config["num_replicas"] = 0;
  return dump(Json{{"stream_name", spec.stream}, {"config", std::move(config)}});
}

std::string encode_last_by_subject(std::string_view subject) {
  return dump(Json{{"last_by_subj", subject}});
}

std::string encode_get_seq(StreamSeq seq) { return dump(Json{{"seq", seq.value()}}); }

std::string encode_pull(size_t batch, size_t most_bytes, std::chrono::nanoseconds expires,
                        std::chrono::nanoseconds heartbeat) {
  Json pull{{"expires", expires.count()}, {"batch", batch}, {"idle_heartbeat", heartbeat.count()}};
  if (most_bytes != 0) pull["max_bytes"] = most_bytes;
  return dump(pull);
}

Result<PubAck> parse_pub_ack(std::string_view json) {
  const auto root = parse_reply(json);
  if (!root) return std::unexpected(root.error());
  PubAck ack{std::string(text_or_empty(*root, "stream")), StreamSeq(u64_or_zero(*root, "seq")),
             false};
  if (ack.stream.empty() || ack.seq.is_zero()) return not_a_reply("a publish ack");
  bool duplicate = false;
  if ((*root)["duplicate"].get(duplicate) == simdjson::SUCCESS) ack.duplicate = duplicate;
  return ack;
}

Result<StreamFigures> parse_stream_info(std::string_view json) {
  const auto root = parse_reply(json);
  if (!root) return std::unexpected(root.error());
  element config, state;
  if ((*root)["config"].get(config) != simdjson::SUCCESS ||
      (*root)["state"].get(state) != simdjson::SUCCESS)
    return not_a_reply("stream info");
  StreamFigures figures;
  figures.name = text_or_empty(config, "name");
  figures.created = parse_rfc3339(text_or_empty(*root, "created")).value_or(0);
  figures.allow_atomic = flag(config, "allow_atomic");
  figures.allow_rollup_hdrs = flag(config, "allow_rollup_hdrs");
  for (const StreamRetention retention : {StreamRetention::kInterest, StreamRetention::kWorkQueue})
    if (text_or_empty(config, "retention") == retention_word(retention)) figures.retention = retention;
  figures.messages = u64_or_zero(state, "messages");
  figures.bytes = u64_or_zero(state, "bytes");
  figures.first_seq = StreamSeq(u64_or_zero(state, "first_seq"));
  figures.last_seq = StreamSeq(u64_or_zero(state, "last_seq"));
  simdjson::dom::array subjects;
  if (config["subjects"].get(subjects) == simdjson::SUCCESS) {
    for (element subject : subjects) {
      std::string_view text;
      if (subject.get(text) == simdjson::SUCCESS) figures.subjects.emplace_back(text);
    }
  }
  return figures;
}

Result<std::string> parse_consumer_name(std::string_view json) {
  const auto root = parse_reply(json);
  if (!root) return std::unexpected(root.error());
  const std::string_view name = text_or_empty(*root, "name");
  if (name.empty()) return not_a_reply("consumer info");
  return std::string(name);
}

Result<StoredCopy> parse_stored_message(std::string_view json) {
  const auto root = parse_reply(json);
  if (!root) return std::unexpected(root.error());
  element message;
  if ((*root)["message"].get(message) != simdjson::SUCCESS) return not_a_reply("a stored message");
  auto headers = base64_decode(text_or_empty(message, "hdrs"));
  auto payload = base64_decode(text_or_empty(message, "data"));
  const auto time = parse_rfc3339(text_or_empty(message, "time"));
  if (!headers || !payload || !time) return not_a_reply("a stored message");
  return StoredCopy{StreamSeq(u64_or_zero(message, "seq")),
                    std::string(text_or_empty(message, "subject")), std::move(*headers),
                    std::move(*payload), *time};
}

Status parse_success(std::string_view json) {
  const auto root = parse_reply(json);
  if (!root) return std::unexpected(root.error());
  bool success = false;
  if ((*root)["success"].get(success) != simdjson::SUCCESS || !success)
    return not_a_reply("a success");
  return {};
}

Status parse_any_reply(std::string_view json) {
  const auto root = parse_reply(json);
  if (!root) return std::unexpected(root.error());
  return {};
}

std::optional<ConsumedMessage> parse_delivery_subject(std::string_view subject) {
  if (!subject.starts_with("$JS.ACK.")) return std::nullopt;
  std::array<std::string_view, 12> tokens;
  size_t count = 0;
  for (std::string_view rest = subject; count < tokens.size();) {
    const size_t dot = rest.find('.');
    tokens[count++] = rest.substr(0, dot);
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  if (count != 9 && count < 11) return std::nullopt;
  const size_t at = count == 9 ? 4 : 6;  // $JS ACK [domain account] stream consumer …
  const auto deliveries = parse_decimal<uint64_t>(tokens[at]);
  const auto stream_seq = parse_decimal<uint64_t>(tokens[at + 1]);
  const auto consumer_seq = parse_decimal<uint64_t>(tokens[at + 2]);
  const auto time = parse_decimal<uint64_t>(tokens[at + 3]);
  const auto pending = parse_decimal<uint64_t>(tokens[at + 4]);
  if (!deliveries || !stream_seq || !consumer_seq || !time || !pending) return std::nullopt;
  ConsumedMessage message;
  message.ack_subject = subject;
  message.deliveries = *deliveries;
  message.stream_seq = StreamSeq(*stream_seq);
  message.consumer_seq = ConsumerSeq(*consumer_seq);
  message.time = static_cast<WallNanos>(*time);
  message.pending = *pending;
  return message;
}

}  // namespace sluice
