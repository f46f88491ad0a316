// A JetStream of one page: keeps what is published by stream, knows message ids, fails on demand.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "../client/fake_bus.h"
#include "base/headers.h"
#include "client/stream_client.h"

namespace sluice {

struct FakeStored {
  std::string subject, headers, payload;
};

class FakeStreamClient final : public StreamClient {
 public:
  /// How publishes are answered.
  enum class Mode : uint8_t { kAck, kHold, kStoreButTimeOut, kTimeOut, kNoResponders, kTooLarge };

  FakeStreamClient(Env& env, Bus& bus) : env_(env), link_(make_bus_link(env, bus)) {
    // The messages of an atomic batch but its last come without asking for an answer.
    batch_tap_ = bus.subscribe(">", "", [this](const Message& m, const Origin&) {
      if (find_header(m.headers, "Nats-Batch-Id")) batch_.push_back({std::string(m.subject), std::string(m.headers), std::string(m.payload)});
    });
  }
  NatsLink& link() override { return *link_; }

  Ticket publish(const LinkMessage& message, std::chrono::nanoseconds,
                 std::move_only_function<void(Result<PubAck>)> done) override {
    ++publishes;
    held_.push_back(
        {{std::string(message.subject), std::string(message.headers), std::string(message.payload)},
         std::exchange(batch_, {}),
         std::move(done)});
    if (mode != Mode::kHold) answer_later();
    return {};
  }
  /// Answers what is held in the mode set meanwhile.
  void answer_later() {
    env_.executor.post([this] { answer_all(); });
  }

  Ticket create_stream(const StreamSpec& spec,
                       std::move_only_function<void(Result<StreamFigures>)> done) override {
    return reply(std::move(done), [this, spec]() -> Result<StreamFigures> {
      if (api_error) return std::unexpected(*api_error);
      specs.emplace(spec.name, spec);
      return figures(spec.name);
    });
  }
  Ticket stream_info(std::string_view stream,
                     std::move_only_function<void(Result<StreamFigures>)> done) override {
    return reply(std::move(done), [this, name = std::string(stream)]() -> Result<StreamFigures> {
      if (api_error) return std::unexpected(*api_error);
      if (!specs.contains(name)) return fail_api(Errc::kNotFound, 10059, "stream not found");
      return figures(name);
    });
  }
  /// Of positions only.
  Ticket last_message(std::string_view, std::string_view filter,
                      std::move_only_function<void(Result<StoredCopy>)> done) override {
    return reply(std::move(done), [this, subject = std::string(filter)]() -> Result<StoredCopy> {
      const auto found = positions.find(subject);
      if (found == positions.end()) return fail_api(Errc::kNotFound, 10037, "no message found");
      return found->second;
    });
  }
  Ticket get_message(std::string_view, StreamSeq,
                     std::move_only_function<void(Result<StoredCopy>)>) override {
    return {};
  }
  Ticket api(std::string_view, std::string_view, std::string_view,
             std::move_only_function<void(Result<std::string>)>) override {
    return {};
  }
  Ticket create_consumer(const ConsumerSpec&,
                         std::move_only_function<void(Result<std::string>)>) override {
    return {};
  }
  Ticket delete_consumer(std::string_view, std::string_view,
                         std::move_only_function<void(Status)>) override {
    return {};
  }
  std::unique_ptr<PullSubscription> pull(std::string_view, std::string_view, PullWindow,
                                         std::move_only_function<void(const ConsumedMessage&)>,
                                         std::move_only_function<void(const Error&)>) override {
    return nullptr;
  }
  void ack(std::string_view) override {}
  Ticket ack_sync(std::string_view, std::move_only_function<void(Status)>) override { return {}; }

  size_t held() const { return held_.size(); }
  /// Payloads stored outside the dead letters, in order.
  std::vector<std::string> payloads() const {
    std::vector<std::string> all;
    for (const auto& one : stored) all.push_back(one.payload);
    return all;
  }

  Mode mode = Mode::kAck;
  std::optional<Error> api_error;
  std::map<std::string, StreamSpec> specs;
  std::vector<FakeStored> stored, dead;
  std::map<std::string, StoredCopy> positions;  ///< messages with a rollup, by subject: in no list
  size_t publishes = 0;

 private:
  struct Held {
    FakeStored message;
    std::vector<FakeStored> before;  ///< in its batch
    std::move_only_function<void(Result<PubAck>)> done;
  };

  StreamFigures figures(const std::string& name) {
    StreamFigures figures;
    figures.name = name;
    figures.subjects = specs[name].subjects;
    figures.allow_atomic = specs[name].allow_atomic;
    figures.allow_rollup_hdrs = specs[name].allow_rollup_hdrs;
    return figures;
  }

  template <class Done, class Make>
  Ticket reply(Done done, Make make) {
    env_.executor.post([told = std::move(done), make]() mutable { told(make()); });
    return {};
  }

  void answer_all() {
    for (size_t left = held_.size(); left > 0 && mode != Mode::kHold && !held_.empty(); --left) {
      Held held = std::move(held_.front());
      held_.pop_front();
      held.done(answer(held));
    }
  }

  Result<PubAck> answer(const Held& held) {
    const FakeStored& message = held.message;
    const bool letter = message.subject.starts_with("SLUICE.DLQ.");
    switch (mode) {
      case Mode::kTimeOut:
        return fail(Errc::kTimeout, "no ack");
      case Mode::kNoResponders:
        return fail(Errc::kNoResponders, "nobody");
      case Mode::kTooLarge:
        if (!letter) return fail_api(Errc::kRefused, 10054, "message size exceeds maximum allowed");
        break;
      case Mode::kAck:
      case Mode::kHold:
      case Mode::kStoreButTimeOut:
        break;
    }
    if (find_header(message.headers, "Nats-Rollup")) {
      const StoredCopy& last = positions[message.subject];
      if (find_header(message.headers, "Nats-Expected-Last-Subject-Sequence") != std::to_string(last.seq.value()))
        return fail_api(Errc::kRefused, 10071, "wrong last sequence");
      stored.insert(stored.end(), held.before.begin(), held.before.end());
      seq_ += held.before.size() + 1;
      positions[message.subject] = {StreamSeq(seq_), message.subject, message.headers, message.payload, 0};
      if (mode == Mode::kStoreButTimeOut) return fail(Errc::kTimeout, "no ack");
      return PubAck{"S", StreamSeq(seq_), false};
    }
    const auto id = find_header(message.headers, "Nats-Msg-Id");
    const bool duplicate = id && !ids_.insert(std::string(*id)).second;
    if (!duplicate) (letter ? dead : stored).push_back(message);
    if (mode == Mode::kStoreButTimeOut) return fail(Errc::kTimeout, "no ack");
    return PubAck{"S", StreamSeq(++seq_), duplicate};
  }

  Env& env_;
  std::unique_ptr<NatsLink> link_;
  std::unique_ptr<BusSubscription> batch_tap_;
  std::vector<FakeStored> batch_;
  std::deque<Held> held_;
  std::set<std::string> ids_;
  uint64_t seq_ = 0;
};

}  // namespace sluice
