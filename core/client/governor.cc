#include "client/governor.h"

#include <simdjson.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/headers.h"
#include "base/nuid.h"
#include "client/backoff.h"
#include "client/kv_names.h"

namespace sluice {
namespace {

/// The stream could not take the message: here always "maximum messages exceeded".
constexpr uint16_t kStoreFailed = 10077;
constexpr uint16_t kNoMessageFound = 10037;
constexpr std::chrono::seconds kAttemptTimeout{2};
constexpr std::chrono::seconds kUnansweredGrace{10};
constexpr int kLeaveAttempts = 5;

bool may_pass(const Error& why) {
  return why.code == Errc::kTimeout || why.code == Errc::kClosed || why.code == Errc::kFull;
}

}  // namespace

bool is_governor_name(std::string_view name) { return is_kv_bucket(name); }

std::string encode_governor(const GovernorSpec& spec) {
  const nlohmann::ordered_json config = {
      {"name", governor_stream(spec.name)},
      {"description", "Concurrency Governor " + spec.name},
      {"subjects", {governor_subject(spec.collective, spec.name)}},
      {"retention", "limits"},
      {"max_consumers", -1},
      {"max_msgs", spec.capacity},
      {"max_bytes", -1},
      {"max_age", spec.expiry.count()},
      {"max_msgs_per_subject", -1},
      {"max_msg_size", -1},
      {"discard", "new"},
      {"storage", "file"},
      {"num_replicas", spec.replicas},
  };
  return config.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<GovernorSpec> parse_governor(std::string_view stream_info) {
  simdjson::dom::parser parser;
  simdjson::dom::element root, config;
  if (parser.parse(stream_info.data(), stream_info.size()).get(root) != simdjson::SUCCESS ||
      root["config"].get(config) != simdjson::SUCCESS)
    return fail(Errc::kCorrupt, "the reply is no stream info");
  std::string_view name, subject, discard;
  int64_t capacity = 0, expiry = 0, replicas = 1;
  const bool whole = config["name"].get(name) == simdjson::SUCCESS &&
                     config["discard"].get(discard) == simdjson::SUCCESS &&
                     config["subjects"].at(0).get(subject) == simdjson::SUCCESS &&
                     config["max_msgs"].get(capacity) == simdjson::SUCCESS &&
                     config["max_age"].get(expiry) == simdjson::SUCCESS &&
                     config["num_replicas"].get(replicas) == simdjson::SUCCESS;
  if (!whole || !name.starts_with("GOVERNOR_") || discard != "new" || capacity <= 0)
    return fail(Errc::kCorrupt, "the stream is no governor");
  GovernorSpec spec;
  spec.name = name.substr(std::string_view("GOVERNOR_").size());
  const std::string tail = ".governor." + spec.name;
  if (!subject.ends_with(tail)) return fail(Errc::kCorrupt, "the stream is no governor");
  spec.collective = subject.substr(0, subject.size() - tail.size());
  spec.capacity = static_cast<uint64_t>(capacity);
  spec.expiry = std::chrono::nanoseconds(expiry);
  spec.replicas = static_cast<int>(replicas);
  return spec;
}

GovernorCampaign::GovernorCampaign(Env& env, StreamClient& client, CampaignOptions options)
    : env_(env),
      client_(client),
      options_(std::move(options)),
      subject_(governor_subject(options_.collective, options_.governor)),
      id_(make_nuid(env.random)),
      timer_(env.timers.make([this] { left_ ? give_back() : attempt(); })) {}

GovernorCampaign::~GovernorCampaign() = default;

void GovernorCampaign::enter(std::move_only_function<void(Result<uint64_t>)> done) {
  entered_ = std::move(done);
  deadline_ = env_.clock.now() + options_.max_wait;
  timer_->start(std::chrono::nanoseconds(0));
}

void GovernorCampaign::attempt() {
  std::string headers;
  append_header(headers, "Nats-Msg-Id", id_);
  call_ = client_.publish({subject_, {}, headers, options_.holder}, kAttemptTimeout,
                          [this](Result<PubAck> answer) { on_answer(std::move(answer)); });
}

void GovernorCampaign::on_answer(Result<PubAck> answer) {
  if (answer) {
    if (answer->stream == governor_stream(options_.governor)) {
      slot_ = answer->seq.value();
      finish(slot_);
    } else {
      finish(fail(Errc::kRefused, "the stream '" + answer->stream + "' listens on '" + subject_ +
                                      "', not the governor's"));
    }
    return;
  }
  const Error& why = answer.error();
  full_ = why.api_code == kStoreFailed;
  if (why.code == Errc::kNoResponders) {
    finish(fail(Errc::kNotFound, "there is no governor '" + options_.governor +
                                     "' in the collective '" + options_.collective +
                                     "'; make it with: sluice governor add " + options_.governor + " CAPACITY EXPIRY"));
    return;
  }
  if (!full_ && !may_pass(why)) {
    finish(std::unexpected(why));
    return;
  }
  // An unanswered try may have taken a slot: only a later answer tells, so it gets some time more.
  const auto left =
      deadline_ + (full_ ? std::chrono::seconds(0) : kUnansweredGrace) - env_.clock.now();
  if (left <= std::chrono::nanoseconds(0)) {
    finish(fail(Errc::kTimeout, full_ ? "all slots of '" + options_.governor + "' stayed taken"
                                      : "no answer from the governor: " + why.detail));
    return;
  }
  timer_->start(std::min<std::chrono::nanoseconds>(options_.interval, left));
}

void GovernorCampaign::finish(Result<uint64_t> outcome) {
  if (auto done = std::exchange(entered_, nullptr)) done(std::move(outcome));
}

void GovernorCampaign::leave(std::move_only_function<void(Status)> done) {
  timer_->stop();
  call_.cancel();
  entered_ = nullptr;
  left_ = std::move(done);
  leave_failures_ = 0;
  timer_->start(std::chrono::nanoseconds(0));
}

void GovernorCampaign::give_back() {
  auto told = [this](Status outcome) {
    if (auto done = std::exchange(left_, nullptr)) done(std::move(outcome));
  };
  if (slot_ == 0) {
    told({});
    return;
  }
  call_ = client_.api("STREAM.MSG.DELETE", governor_stream(options_.governor),
                      R"({"seq":)" + std::to_string(slot_) + R"(,"no_erase":true})",
                      [this, told](Result<std::string> answer) {
                        const bool gone = answer || answer.error().api_code == kNoMessageFound ||
                                          answer.error().code == Errc::kNotFound;
                        if (gone) {
                          slot_ = 0;
                          told({});
                        } else if (may_pass(answer.error()) && ++leave_failures_ < kLeaveAttempts) {
                          timer_->start(five_sec_backoff(leave_failures_, env_.random));
                        } else {
                          told(std::unexpected(answer.error()));
                        }
                      });
}

}  // namespace sluice
