#include "sourcing/source_request.h"

#include <array>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/headers.h"
#include "crypto/digest.h"
#include "stream/json_object.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;

constexpr nanoseconds kHeartbeat = 1s;
constexpr nanoseconds kInactiveThreshold = 10s;
constexpr nanoseconds kAckWait = 22h;  // as the reference asks; nothing is acknowledged

Json metadata(const CopyTarget& target) {
  const std::string prefix = target.kind == CopyKind::kMirror ? "_nats.mirror." : "_nats.src.";
  Json out = Json::object();
  out[prefix + "acc"] = target.account;
  if (!target.domain.empty()) out[prefix + "domain"] = target.domain;
  out[prefix + "stream"] = target.stream;
  return out;
}

void put_filters(Json& config, const std::vector<std::string>& filters) {
  if (filters.size() == 1) config["filter_subject"] = filters.front();
  if (filters.size() > 1) config["filter_subjects"] = filters;
}

std::string level_headers(CopyKind kind, std::string_view identity, OriginLevel level) {
  std::string out;
  if (level == OriginLevel::kPlain) return out;
  const bool five = level == OriginLevel::kIdentity && kind == CopyKind::kSource;
  append_header(out, "Nats-Required-Api-Level", five ? "5" : "4");
  if (five) append_header(out, "Nats-Stream-Identity", identity);
  return out;
}

/// Transforms of one source, end to end, as the header shows them.
std::string joined(const StreamSource& source, bool destinations) {
  std::string out;
  for (const SubjectMapping& mapping : source.subject_transforms) {
    const std::string& part = destinations ? mapping.destination : mapping.source;
    if (!out.empty()) out += '\f';
    out += part.empty() ? ">" : part;
  }
  return out.empty() ? ">" : out;
}

std::string filters_word(const StreamSource& source) {
  if (!source.subject_transforms.empty()) return joined(source, false);
  return source.filter_subject.empty() ? ">" : source.filter_subject;
}

struct AnsweredError {
  uint64_t code = 0;
  uint64_t err_code = 0;
  std::string description;
};

/// A deeper value that may not be there.
template <class T>
void read_at(const simdjson::dom::element& root, std::string_view pointer, T& out) {
  simdjson::dom::element found;
  if (root.at_pointer(pointer).get(found) != simdjson::SUCCESS) return;
  (void)read_json(found, out);
}

}  // namespace

OriginRequest create_request(const CopyTarget& target, const StreamSource& source, std::string_view api,
                             std::string_view deliver, const CopyStart& start, std::string_view identity,
                             OriginLevel level) {
  const std::vector<std::string> filters = source.filters();
  Json config;
  config["name"] = target.consumer_name;
  config["deliver_policy"] = start.seq > 0 ? "by_start_sequence" : start.time ? "by_start_time" : "all";
  if (start.seq > 0) config["opt_start_seq"] = start.seq;
  if (start.seq == 0 && start.time) config["opt_start_time"] = format_rfc3339(*start.time);
  config["ack_policy"] = "none";
  config["ack_wait"] = kAckWait.count();
  config["max_deliver"] = 1;
  put_filters(config, filters);
  config["replay_policy"] = "instant";
  config["flow_control"] = true;
  config["deliver_subject"] = deliver;
  config["idle_heartbeat"] = kHeartbeat.count();
  config["inactive_threshold"] = kInactiveThreshold.count();
  config["num_replicas"] = 0;
  config["direct"] = true;
  if (level != OriginLevel::kPlain) config["sourcing"] = true;
  config["metadata"] = metadata(target);
  const Json request{{"stream_name", source.name}, {"config", std::move(config)}, {"action", ""}};
  OriginRequest out;
  out.subject = filters.size() == 1
                    ? fmt::format("{}.CONSUMER.CREATE.{}.{}.{}", api, source.name, target.consumer_name,
                                  filters.front())
                    : fmt::format("{}.CONSUMER.CREATE.{}", api, source.name);
  out.headers = level_headers(target.kind, identity, level);
  out.body = request.dump(-1, ' ', false, Json::error_handler_t::replace);
  return out;
}

OriginRequest reset_request(const StreamSource& source, std::string_view api, uint64_t seq) {
  return {.subject = fmt::format("{}.CONSUMER.RESET.{}.{}", api, source.name, source.consumer->name),
          .headers = {},
          .body = fmt::format(R"({{"seq":{}}})", seq)};
}

std::string delete_subject(const CopyTarget& target, const StreamSource& source, std::string_view api) {
  return fmt::format("{}.CONSUMER.DELETE.{}.{}", api, source.name, target.consumer_name);
}

Result<OriginAnswer> parse_origin_answer(std::string_view headers, std::string_view body) {
  if (header_status(headers).code == 503) return fail(Errc::kNoResponders, "no JetStream answers there");
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(body.data(), body.size()).get(root) != simdjson::SUCCESS || !root.is_object())
    return fail(Errc::kCorrupt, "the origin's answer is not JSON");
  AnsweredError error;
  read_at(root, "/error/code", error.code);
  read_at(root, "/error/err_code", error.err_code);
  read_at(root, "/error/description", error.description);
  if (error.code != 0)
    return fail_api(Errc::kRefused, static_cast<uint16_t>(error.err_code), error.description);
  OriginAnswer out;
  read_at(root, "/name", out.consumer);
  read_at(root, "/config/deliver_subject", out.deliver_subject);
  read_at(root, "/config/ack_policy", out.ack_policy);
  read_at(root, "/num_pending", out.num_pending);
  if (out.consumer.empty()) return fail(Errc::kCorrupt, "the origin's answer names no consumer");
  out.identity = find_header(headers, "Nats-Stream-Identity").value_or("");
  return out;
}

std::string source_label(const StreamSource& source) {
  if (!source.external) return source.name;
  return fmt::format("{}:{}", source.name, short_hash(source.external->api));
}

std::string source_key(const StreamSource& source) {
  return fmt::format("{} {} {}", source_label(source), filters_word(source), joined(source, true));
}

std::string source_header(const StreamSource& source, uint64_t seq, std::string_view subject,
                          std::string_view identity) {
  std::string out = fmt::format("{} {} {} {} {}", source_label(source), seq, filters_word(source),
                                joined(source, true), subject);
  if (!identity.empty()) out += fmt::format(" {}", identity);
  return out;
}

}  // namespace sluice
