#include "client/kv_watch.h"

#include <simdjson.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/headers.h"
#include "base/nuid.h"
#include "client/backoff.h"
#include "client/parse_number.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
constexpr size_t kWindow = 256;
constexpr std::chrono::minutes kInactive{5};

uint64_t pending_of(const std::string& info) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  uint64_t pending = 0;
  if (parser.parse(info).get(root) != simdjson::SUCCESS) return 0;
  return root["num_pending"].get(pending) == simdjson::SUCCESS ? pending : 0;
}

}  // namespace

KvOperation kv_operation_of(std::string_view headers) {
  if (headers.empty()) return KvOperation::kPut;
  const auto operation = find_header(headers, "KV-Operation");
  if (operation == "DEL") return KvOperation::kDelete;
  if (operation == "PURGE") return KvOperation::kPurge;
  const auto reason = find_header(headers, "Nats-Marker-Reason");
  if (reason == "MaxAge" || reason == "Purge") return KvOperation::kPurge;
  if (reason == "Remove") return KvOperation::kDelete;
  return KvOperation::kPut;
}

KvWatch::KvWatch(Env& env, StreamClient& client, std::string stream, std::string prefix,
                 KvWatchOptions options, KvWatchEvents events)
    : env_(env),
      client_(client),
      stream_(std::move(stream)),
      prefix_(std::move(prefix)),
      options_(std::move(options)),
      events_(std::move(events)),
      retry_timer_(env.timers.make([this] { make_consumer(); })) {
  make_consumer();
}

KvWatch::~KvWatch() {
  pull_.reset();
  if (!consumer_.empty()) client_.delete_consumer(stream_, consumer_, [](Status) {}).release();
}

std::string KvWatch::consumer_request() const {
  Json config = {{"name", consumer_}};
  const bool resumed = !told_.is_zero();
  if (resumed || !options_.from.is_zero()) {
    config["deliver_policy"] = "by_start_sequence";
    config["opt_start_seq"] = resumed ? told_.value() + 1 : options_.from.value();
  } else {
    config["deliver_policy"] = options_.updates_only ? "new"
                               : options_.history    ? "all"
                                                     : "last_per_subject";
  }
  config["ack_policy"] = "none";
  config["max_deliver"] = 1;
  config["replay_policy"] = "instant";
  if (options_.filters.size() > 1) {
    Json subjects = Json::array();
    for (const std::string& filter : options_.filters) subjects.push_back(prefix_ + filter);
    config["filter_subjects"] = std::move(subjects);
  } else {
    config["filter_subject"] = prefix_ + (options_.filters.empty() ? ">" : options_.filters[0]);
  }
  if (options_.headers_only) config["headers_only"] = true;
  config["inactive_threshold"] = std::chrono::nanoseconds(kInactive).count();
  config["mem_storage"] = true;
  config["num_replicas"] = 1;
  return Json{{"stream_name", stream_}, {"config", std::move(config)}}.dump();
}

void KvWatch::make_consumer() {
  pull_.reset();
  if (!consumer_.empty()) client_.delete_consumer(stream_, consumer_, [](Status) {}).release();
  stale_ = false;
  consumer_seq_ = 0;
  ++made_;
  consumer_ = make_nuid(env_.random);
  std::string target = stream_ + "." + consumer_;
  // One filter stands in the subject, where permissions can see it.
  if (options_.filters.size() < 2)
    target += "." + prefix_ + (options_.filters.empty() ? ">" : options_.filters[0]);
  call_ = client_.api("CONSUMER.CREATE", target, consumer_request(),
                      [this](Result<std::string> made) { on_made(std::move(made)); });
}

void KvWatch::on_made(Result<std::string> made) {
  call_.release();
  if (!made) {
    // Codes of the API are answers; everything else may pass.
    if (made.error().api_code != 0 && made.error().api_code != 10008) return die(made.error());
    return start_over();
  }
  pull_ = client_.pull(
      stream_, consumer_, kWindow, [this](const ConsumedMessage& message) { on_message(message); },
      [this](const Error&) { start_over(); });
  if (!current_ && (options_.updates_only || pending_of(*made) == 0)) now_current();
}

void KvWatch::on_message(const ConsumedMessage& message) {
  if (stale_) return;
  if (message.consumer_seq.value() != consumer_seq_ + 1) return start_over();
  ++consumer_seq_;
  failures_ = 0;
  told_ = message.stream_seq;
  KvEntry entry;
  entry.key = message.subject.substr(std::min(prefix_.size(), message.subject.size()));
  entry.value = message.payload;
  entry.revision = message.stream_seq;
  entry.time = message.time;
  entry.operation = kv_operation_of(message.headers);
  entry.size = message.payload.size();
  if (const auto size = find_header(message.headers, "Nats-Msg-Size"))
    entry.size = parse_decimal<uint64_t>(*size).value_or(0);
  const bool last_of_beginning = !current_ && message.pending == 0;
  const std::weak_ptr<char> alive = alive_;
  if (events_.on_entry) events_.on_entry(entry);
  if (!alive.expired() && last_of_beginning) now_current();
}

/// Last act: the callback may destroy this.
void KvWatch::now_current() {
  current_ = true;
  if (events_.on_current) events_.on_current();
}

void KvWatch::start_over() {
  stale_ = true;
  retry_timer_->start(failures_ == 0 ? std::chrono::nanoseconds(0)
                                     : five_sec_backoff(failures_, env_.random));
  ++failures_;
}

void KvWatch::die(const Error& why) {
  stale_ = true;
  consumer_.clear();
  const Error told = why;
  if (events_.on_trouble) events_.on_trouble(told);
}

}  // namespace sluice
