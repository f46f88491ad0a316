// A JetStream site played in memory: enough for the replicator, with faults drawn from a seed.
#pragma once

#include <charconv>
#include <list>
#include <map>
#include <memory>
#include <type_traits>
#include <string>
#include <vector>

#include "base/headers.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// Chances in percent that something goes wrong at a step.
struct FakeFaults {
  uint64_t lose_ack = 0;        ///< stored, but the answer never comes (the client's timeout does)
  uint64_t lose_publish = 0;    ///< not stored, no answer
  uint64_t late_publish = 0;    ///< stored only after a while, when its session may be over
  uint64_t lose_delivery = 0;   ///< a delivered message vanishes
  uint64_t fail_call = 0;       ///< an API call answers with a timeout
};

class FakeLink : public NatsLink {
 public:
  LinkState state() const override { return LinkState::kConnected; }
  Ticket on_state(std::move_only_function<void(LinkState)>) override { return Ticket([] {}); }
  Status publish(const LinkMessage&) override { return {}; }
  Ticket request(const LinkMessage&, std::chrono::nanoseconds,
                 std::move_only_function<void(Result<LinkMessage>)>) override {
    return {};
  }
  std::unique_ptr<LinkSubscription> subscribe(std::string_view, std::string_view,
                                              std::move_only_function<void(const LinkMessage&)>) override {
    return nullptr;
  }
  std::string new_inbox() override { return "_INBOX.fake"; }
  std::string peer() const override { return "fake"; }
  uint64_t dropped() const override { return 0; }
};

struct FakeStream {
  WallNanos created = 1;
  uint64_t last_seq = 0;
  std::vector<std::string> subjects{"s.>"};
  std::map<uint64_t, StoredCopy> messages;
  std::map<std::string, uint64_t> ids;  ///< dedup, without end
};

class FakeSite : public StreamClient {
 public:
  explicit FakeSite(Env& env) : env_(env) {}

  std::map<std::string, FakeStream> streams;
  FakeFaults faults;
  uint64_t refused_fences = 0;

  void store(const std::string& stream, std::string subject, std::string headers, std::string payload) {
    FakeStream& s = streams[stream];
    uint64_t seq = ++s.last_seq;
    s.messages[seq] = {StreamSeq(seq), std::move(subject), std::move(headers), std::move(payload), 5'000'000};
  }

  NatsLink& link() override { return link_; }

  Ticket publish(const LinkMessage& m, std::chrono::nanoseconds timeout,
                 std::move_only_function<void(Result<PubAck>)> done) override {
    auto op = op_of(std::move(done));
    if (chance(faults.lose_publish)) {
      answer(op, fail(Errc::kTimeout, "no answer"), timeout);
      return cancel(op);
    }
    auto copy = std::make_shared<StoredCopy>(StoredCopy{{}, std::string(m.subject), std::string(m.headers),
                                                        std::string(m.payload), 0});
    bool lose = chance(faults.lose_ack);
    // What is sent stays in order until it is stored, as on one connection; late ones come as from another.
    auto delay = chance(faults.late_publish) ? std::chrono::milliseconds(700) : std::chrono::milliseconds(1);
    at(delay, [this, copy, op, lose, timeout] {
      auto ack = accept(*copy);
      lose ? answer(op, fail(Errc::kTimeout, "no answer"), timeout) : answer(op, std::move(ack), {});
    });
    return cancel(op);
  }

  Ticket create_stream(const StreamSpec& spec, std::move_only_function<void(Result<StreamFigures>)> done) override {
    streams[spec.name].subjects = spec.subjects;
    return stream_info(spec.name, std::move(done));
  }

  Ticket stream_info(std::string_view name, std::move_only_function<void(Result<StreamFigures>)> done) override {
    auto op = op_of(std::move(done));
    Result<StreamFigures> result = fail_api(Errc::kNotFound, 10059, "stream not found");
    if (auto it = streams.find(std::string(name)); it != streams.end()) {
      StreamFigures f;
      f.name = it->first;
      f.subjects = it->second.subjects;
      f.created = it->second.created;
      f.messages = it->second.messages.size();
      f.last_seq = StreamSeq(it->second.last_seq);
      result = f;
    }
    if (chance(faults.fail_call)) result = fail(Errc::kTimeout, "no answer");
    answer(op, std::move(result), {});
    return cancel(op);
  }

  Ticket last_message(std::string_view name, std::string_view,
                      std::move_only_function<void(Result<StoredCopy>)> done) override {
    auto op = op_of(std::move(done));
    Result<StoredCopy> result = fail_api(Errc::kNotFound, 10037, "no message found");
    auto& s = streams[std::string(name)];
    if (!s.messages.empty()) result = s.messages.rbegin()->second;
    if (chance(faults.fail_call)) result = fail(Errc::kTimeout, "no answer");
    answer(op, std::move(result), {});
    return cancel(op);
  }

  Ticket get_message(std::string_view, StreamSeq, std::move_only_function<void(Result<StoredCopy>)>) override {
    return {};
  }

  Ticket api(std::string_view, std::string_view, std::string_view,
             std::move_only_function<void(Result<std::string>)>) override {
    return {};
  }
  Ticket create_consumer(const ConsumerSpec& spec,
                         std::move_only_function<void(Result<std::string>)> done) override {
    auto op = op_of(std::move(done));
    std::string name = "c" + std::to_string(++consumers_);
    starts_[name] = spec.start_seq.is_zero() ? 1 : spec.start_seq.value();
    answer(op, Result<std::string>(name), {});
    return cancel(op);
  }
  Ticket delete_consumer(std::string_view, std::string_view name,
                         std::move_only_function<void(Status)>) override {
    starts_.erase(std::string(name));
    return {};
  }

  std::unique_ptr<PullSubscription> pull(std::string_view stream, std::string_view consumer, size_t,
                                         std::move_only_function<void(const ConsumedMessage&)> handler,
                                         std::move_only_function<void(const Error&)>) override {
    auto sub = std::make_unique<FakePull>();
    sub->state->handler = std::move(handler);
    sub->state->next = starts_[std::string(consumer)];
    feed(sub->state, std::string(stream));
    return sub;
  }
  void ack(std::string_view) override {}
  Ticket ack_sync(std::string_view, std::move_only_function<void(Status)>) override { return {}; }

 private:
  struct PullState {
    std::move_only_function<void(const ConsumedMessage&)> handler;
    uint64_t next = 1;
    uint64_t deliveries = 0;
    bool paused = false;
    bool gone = false;
  };
  struct FakePull : PullSubscription {
    std::shared_ptr<PullState> state = std::make_shared<PullState>();
    ~FakePull() override { state->gone = true; }
    void pause() override { state->paused = true; }
    void resume() override { state->paused = false; }
  };
  template <class T>
  struct Op {
    std::move_only_function<void(Result<T>)> done;
  };

  template <class T>
  std::shared_ptr<Op<T>> op_of(std::move_only_function<void(Result<T>)> done) {
    return std::make_shared<Op<T>>(Op<T>{std::move(done)});
  }
  template <class T>
  Ticket cancel(const std::shared_ptr<Op<T>>& op) {
    return Ticket([op] { op->done = nullptr; });
  }
  template <class T>
  void answer(std::shared_ptr<Op<T>> op, std::type_identity_t<Result<T>> result, std::chrono::nanoseconds after) {
    auto box = std::make_shared<Result<T>>(std::move(result));
    at(after, [op, box] {
      if (auto done = std::exchange(op->done, nullptr)) done(std::move(*box));
    });
  }
  bool chance(uint64_t percent) { return percent != 0 && env_.random.below(100) < percent; }

  void at(std::chrono::nanoseconds delay, std::move_only_function<void()> task) {
    auto it = timers_.emplace(timers_.end());
    *it = env_.timers.make([this, it, run = std::move(task)]() mutable {
      auto todo = std::move(run);
      spent_.push_back(std::move(*it));
      timers_.erase(it);
      todo();
      spent_.clear();
    });
    (*it)->start(delay);
  }

  Result<PubAck> accept(StoredCopy& m) {
    FakeStream& s = streams["TARGET"];
    if (auto expected = find_header(m.headers, "Nats-Expected-Last-Sequence")) {
      if (*expected != std::to_string(s.last_seq)) {
        ++refused_fences;
        return fail_api(Errc::kRefused, 10071, "wrong last sequence: " + std::to_string(s.last_seq));
      }
    }
    if (auto id = find_header(m.headers, "Nats-Msg-Id")) {
      auto [it, fresh] = s.ids.emplace(*id, s.last_seq + 1);
      if (!fresh) return PubAck{"TARGET", StreamSeq(it->second), true};
    }
    m.seq = StreamSeq(++s.last_seq);
    s.messages[s.last_seq] = m;
    return PubAck{"TARGET", m.seq, false};
  }

  void feed(std::shared_ptr<PullState> state, std::string stream) {
    at(std::chrono::milliseconds(1), [this, state, stream] {
      if (state->gone) return;
      auto& messages = streams[stream].messages;
      for (int i = 0; i < 20 && !state->paused && !state->gone; ++i) {
        auto it = messages.lower_bound(state->next);
        if (it == messages.end()) break;
        state->next = it->first + 1;
        ++state->deliveries;
        if (chance(faults.lose_delivery)) continue;
        const StoredCopy& m = it->second;
        ConsumedMessage out{m.subject, m.headers, m.payload, "", m.seq, ConsumerSeq(state->deliveries), 1, 0, m.time};
        state->handler(out);
      }
      if (!state->gone) feed(state, stream);
    });
  }

  Env& env_;
  FakeLink link_;
  uint64_t consumers_ = 0;
  std::map<std::string, uint64_t> starts_;
  std::list<std::unique_ptr<Timer>> timers_;
  std::vector<std::unique_ptr<Timer>> spent_;
};

}  // namespace sluice
