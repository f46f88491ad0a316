#include "consumer/advisories.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/nuid.h"

namespace sluice {
namespace {

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

ConsumerAdvisories::ConsumerAdvisories(Env& env, Bus& bus, std::string_view stream, std::string_view consumer,
                                       std::string_view domain, std::string_view account)
    : env_(env), bus_(bus), stream_(stream), consumer_(consumer), stream_json_(json_text(stream)),
      consumer_json_(json_text(consumer)), domain_json_(domain.empty() ? std::string() : ",\"domain\":" + json_text(domain)), account_json_(json_text(account)) {}

bool ConsumerAdvisories::wanted(std::string_view kind) {
  subject_ = fmt::format("$JS.EVENT.{}.{}.{}", kind, stream_, consumer_);
  return bus_.has_interest(subject_, {});
}

std::string ConsumerAdvisories::head(std::string_view type) {
  return fmt::format(R"({{"type":"io.nats.jetstream.{}","id":"{}","timestamp":"{}","stream":{},"consumer":{})", type,
                     make_nuid(env_.random), format_rfc3339(env_.clock.wall()), stream_json_, consumer_json_);
}

void ConsumerAdvisories::put(std::string body) {
  if (waiting_.size() >= kMaxWaiting) {
    ++dropped_;
    return;
  }
  waiting_.push_back({subject_, std::move(body) + domain_json_ + "}"});
}

void ConsumerAdvisories::flush() {
  std::vector<Waiting> leaving;
  leaving.swap(waiting_);
  for (const Waiting& w : leaving) bus_.publish(Message{w.subject, {}, {}, w.body});
}

void ConsumerAdvisories::created() {
  if (wanted("ADVISORY.CONSUMER.CREATED")) put(head("advisory.v1.consumer_action") + R"(,"action":"create")");
}

void ConsumerAdvisories::deleted() {
  if (wanted("ADVISORY.CONSUMER.DELETED")) put(head("advisory.v1.consumer_action") + R"(,"action":"delete")");
}

void ConsumerAdvisories::max_deliveries(StreamSeq seq, uint64_t deliveries) {
  if (!wanted("ADVISORY.CONSUMER.MAX_DELIVERIES")) return;
  put(head("advisory.v1.max_deliver") + fmt::format(R"(,"stream_seq":{},"deliveries":{})", seq.value(), deliveries));
}

void ConsumerAdvisories::about(std::string_view kind, std::string_view type, const AdvisedDelivery& d,
                               std::string_view reason) {
  if (!wanted(kind)) return;
  std::string body = head(type) + fmt::format(R"(,"consumer_seq":{},"stream_seq":{},"deliveries":{})",
                                              d.consumer_seq.value(), d.stream_seq.value(), d.deliveries);
  if (!reason.empty()) body += ",\"reason\":" + json_text(reason);
  put(std::move(body));
}

void ConsumerAdvisories::naked(const AdvisedDelivery& delivery) {
  about("ADVISORY.CONSUMER.MSG_NAKED", "advisory.v1.nak", delivery, {});
}

void ConsumerAdvisories::terminated(const AdvisedDelivery& delivery, std::string_view reason) {
  about("ADVISORY.CONSUMER.MSG_TERMINATED", "advisory.v1.terminated", delivery, reason);
}

void ConsumerAdvisories::paused(bool is_paused, WallNanos until) {
  if (!wanted("ADVISORY.CONSUMER.PAUSE")) return;
  put(head("advisory.v1.consumer_pause") +
      fmt::format(R"(,"paused":{},"pause_until":"{}")", is_paused, format_rfc3339(until)));
}

void ConsumerAdvisories::pinned(std::string_view group, std::string_view id) {
  if (!wanted("ADVISORY.CONSUMER.PINNED")) return;
  put(head("advisory.v1.consumer_group_pinned") +
      fmt::format(R"(,"account":{},"group":{},"pinned_id":"{}")", account_json_, json_text(group), id));
}

void ConsumerAdvisories::unpinned(std::string_view group, std::string_view reason) {
  if (!wanted("ADVISORY.CONSUMER.UNPINNED")) return;
  put(head("advisory.v1.consumer_group_unpinned") +
      fmt::format(R"(,"account":{},"group":{},"reason":"{}")", account_json_, json_text(group), reason));
}

void ConsumerAdvisories::ack_metric(const AdvisedDelivery& d, std::chrono::nanoseconds ack_time) {
  if (!wanted("METRIC.CONSUMER.ACK")) return;
  put(head("metric.v1.consumer_ack") +
      fmt::format(R"(,"consumer_seq":{},"stream_seq":{},"ack_time":{},"deliveries":{})", d.consumer_seq.value(),
                  d.stream_seq.value(), ack_time.count(), d.deliveries));
}

}  // namespace sluice
