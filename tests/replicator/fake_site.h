// A JetStream site played in memory: enough for the replicator, with faults drawn from a seed.
#pragma once

#include <algorithm>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/base64.h"
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

/// Subscriptions hear what is published on exactly their subject, in a later callback.
class FakeLink : public NatsLink {
 public:
  explicit FakeLink(Env& env) : env_(env) {}
  struct Sent {
    std::string subject, headers, payload;
  };
  std::vector<Sent> sent;
  LinkState state() const override { return LinkState::kConnected; }
  Ticket on_state(std::move_only_function<void(LinkState)> listener) override {
    auto kept = std::make_shared<std::move_only_function<void(LinkState)>>(std::move(listener));
    listeners_.push_back(kept);
    return Ticket([kept] { *kept = nullptr; });
  }
  /// Its connection goes and comes back.
  void reconnect() {
    for (const auto& listener : std::vector(listeners_)) {
      for (const LinkState state : {LinkState::kReconnecting, LinkState::kConnected})
        if (*listener) (*listener)(state);
    }
  }
  Status publish(const LinkMessage& m) override {
    sent.push_back({std::string(m.subject), std::string(m.headers), std::string(m.payload)});
    for (auto& handler : handlers_) {
      if (handler->subject != m.subject) continue;
      env_.executor.post([handler, copy = sent.back()] {
        if (handler->call) handler->call({copy.subject, {}, copy.headers, copy.payload});
      });
    }
    return {};
  }
  Ticket request(const LinkMessage&, std::chrono::nanoseconds,
                 std::move_only_function<void(Result<LinkMessage>)>) override {
    return {};
  }
  std::unique_ptr<LinkSubscription> subscribe(std::string_view subject, std::string_view,
                                              std::move_only_function<void(const LinkMessage&)> handler) override {
    handlers_.push_back(std::make_shared<Handler>(Handler{std::string(subject), std::move(handler)}));
    return std::make_unique<FakeSubscription>(handlers_.back());
  }
  std::string new_inbox() override { return "_INBOX.fake"; }
  std::string peer() const override { return "fake"; }
  uint64_t dropped() const override { return 0; }

 private:
  struct Handler {
    std::string subject;
    std::move_only_function<void(const LinkMessage&)> call;
  };
  struct FakeSubscription : LinkSubscription {
    explicit FakeSubscription(std::shared_ptr<Handler> h) : handler(std::move(h)) {}
    ~FakeSubscription() override { handler->call = nullptr; }
    void pause() override {}
    void resume() override {}
    void drain() override {}
    std::shared_ptr<Handler> handler;
  };
  Env& env_;
  std::vector<std::shared_ptr<std::move_only_function<void(LinkState)>>> listeners_;
  std::vector<std::shared_ptr<Handler>> handlers_;
};

struct FakeStream {
  WallNanos created = 1;
  uint64_t last_seq = 0;
  std::optional<uint64_t> first_seq{};  ///< beyond the messages, when the front was purged
  bool allow_atomic = false;
  StreamRetention retention = StreamRetention::kLimits;
  std::string config = "{}";            ///< further fields of its configuration
  std::vector<std::string> subjects{"s.>"};
  std::map<uint64_t, StoredCopy> messages;
  std::map<std::string, uint64_t> ids;  ///< dedup, without end
  std::string last_id{};                ///< Nats-Msg-Id of the newest
};

class FakeSite : public StreamClient {
 public:
  explicit FakeSite(Env& env) : env_(env), link_(env) {}

  std::map<std::string, FakeStream> streams;
  FakeFaults faults;
  uint64_t refused_fences = 0;
  size_t largest_batch = 0;
  bool silent = false;                  ///< answers nothing any more, though its connections stand
  std::string listening = "TARGET";     ///< the stream that takes what is published
  std::string refused_subject;          ///< publishes on it are refused for their own fault
  std::vector<std::string> calls;       ///< of api()
  std::function<void()> before_publish; ///< is stored
  bool knows_fences = true;             ///< Nats-Expected-Last-Subject-Sequence-Subject
  bool one_fenced = false;              ///< as a replicated stream: looks at one such message at a time
  bool holds_publishes = false;         ///< what is published is on its way until arrive()
  std::function<void()> before_consumer;  ///< is made

  void store(const std::string& stream, std::string subject, std::string headers, std::string payload,
             WallNanos time = 5'000'000) {
    FakeStream& s = streams[stream];
    uint64_t seq = ++s.last_seq;
    s.messages[seq] = {StreamSeq(seq), std::move(subject), std::move(headers), std::move(payload), time};
    s.last_id.clear();
  }
  /// Its power goes: what it took last and had not acknowledged is lost, the sequences are used up.
  void lose_newest(const std::string& stream, uint64_t count) {
    FakeStream& s = streams[stream];
    for (const auto lost = s.last_seq + 1 - count; !s.messages.empty() && s.messages.rbegin()->first >= lost;)
      s.messages.erase(std::prev(s.messages.end()));
    std::erase_if(s.ids, [&](const auto& id) { return id.second + count > s.last_seq; });
  }
  /// Its front goes: what is below `first` was purged or aged out.
  void purge_below(const std::string& stream, uint64_t first) {
    FakeStream& s = streams[stream];
    s.messages.erase(s.messages.begin(), s.messages.lower_bound(first));
    s.first_seq = first;
    s.last_seq = std::max(s.last_seq, first - 1);
  }

  FakeLink& link() override { return link_; }

  Ticket publish(const LinkMessage& m, std::chrono::nanoseconds timeout,
                 std::move_only_function<void(Result<PubAck>)> done) override {
    auto op = op_of(std::move(done));
    if (chance(faults.lose_publish)) {
      answer(op, fail(Errc::kTimeout, "no answer"), timeout);
      return cancel(op);
    }
    auto copy = std::make_shared<StoredCopy>(StoredCopy{{}, std::string(m.subject), std::string(m.headers),
                                                        std::string(m.payload), 0});
    if (holds_publishes) {
      on_their_way_.push_back(copy);
      return cancel(op);
    }
    const bool fenced = one_fenced && find_header(m.headers, "Nats-Expected-Last-Subject-Sequence-Subject");
    if (fenced && fenced_open_++ != 0) {
      --fenced_open_;
      answer(op, fail_api(Errc::kRefused, 10164, "last sequence by subject mismatch"), {});
      return cancel(op);
    }
    bool lose = chance(faults.lose_ack);
    // What is sent stays in order until it is stored, as on one connection; late ones come as from another.
    auto delay = chance(faults.late_publish) ? std::chrono::milliseconds(700) : std::chrono::milliseconds(1);
    at(delay, [this, copy, op, lose, timeout, fenced] {
      if (fenced) --fenced_open_;
      auto ack = accept_batch(*copy);
      lose ? answer(op, fail(Errc::kTimeout, "no answer"), timeout) : answer(op, std::move(ack), {});
    });
    return cancel(op);
  }

  /// All that was held comes now; nobody hears the answers.
  void arrive() {
    for (const auto& copy : std::exchange(on_their_way_, {})) (void)accept_batch(*copy);
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
      f.allow_atomic = it->second.allow_atomic;
      f.retention = it->second.retention;
      f.messages = it->second.messages.size();
      f.first_seq = StreamSeq(first_of(it->second));
      f.last_seq = StreamSeq(it->second.last_seq);
      result = f;
    }
    if (chance(faults.fail_call)) result = fail(Errc::kTimeout, "no answer");
    answer(op, std::move(result), {});
    return cancel(op);
  }

  Ticket last_message(std::string_view name, std::string_view filter,
                      std::move_only_function<void(Result<StoredCopy>)> done) override {
    auto op = op_of(std::move(done));
    Result<StoredCopy> result = fail_api(Errc::kNotFound, 10037, "no message found");
    auto& s = streams[std::string(name)];
    for (auto it = s.messages.rbegin(); it != s.messages.rend() && !result; ++it) {
      if (matches(std::string(filter), it->second.subject)) result = it->second;
    }
    if (chance(faults.fail_call)) result = fail(Errc::kTimeout, "no answer");
    answer(op, std::move(result), {});
    return cancel(op);
  }

  Ticket get_message(std::string_view name, StreamSeq seq,
                     std::move_only_function<void(Result<StoredCopy>)> done) override {
    auto op = op_of(std::move(done));
    auto& messages = streams[std::string(name)].messages;
    const auto found = messages.find(seq.value());
    Result<StoredCopy> result = fail_api(Errc::kNotFound, 10037, "no message found");
    if (found != messages.end()) result = found->second;
    answer(op, std::move(result), {});
    return cancel(op);
  }

  Ticket api(std::string_view verb, std::string_view target, std::string_view body,
             std::move_only_function<void(Result<std::string>)> done) override {
    auto op = op_of(std::move(done));
    calls.push_back(std::string(verb) + " " + std::string(target) + " " + std::string(body));
    Result<std::string> result = fail_api(Errc::kNotFound, 10059, "stream not found");
    const std::string name(target.substr(0, target.find('.')));
    const auto request = nlohmann::json::parse(body, nullptr, false);
    if (verb == "STREAM.CREATE") {
      streams[name].subjects = request["subjects"].get<std::vector<std::string>>();
      result = "{}";
    } else if (verb == "CONSUMER.CREATE") {
      if (before_consumer) before_consumer();
      result = make_consumer(request["config"]);
    } else if (auto it = streams.find(name); it != streams.end()) {
      if (verb == "STREAM.INFO") {
        auto config = nlohmann::json::parse(it->second.config);
        config["name"] = name;
        config["subjects"] = it->second.subjects;
        result = nlohmann::json{{"config", config}}.dump();
      } else if (verb == "STREAM.MSG.GET") {
        result = next_message(it->second, request["seq"].get<uint64_t>(), request["next_by_subj"].get<std::string>());
      } else if (verb == "CONSUMER.INFO") {
        result = nlohmann::json{{"delivered", {{"consumer_seq", delivered_[std::string(target.substr(name.size() + 1))]}}}}.dump();
      }
    }
    if (chance(faults.fail_call)) result = fail(Errc::kTimeout, "no answer");
    answer(op, std::move(result), {});
    return cancel(op);
  }
  Ticket create_consumer(const ConsumerSpec&, std::move_only_function<void(Result<std::string>)>) override {
    return {};
  }
  Ticket delete_consumer(std::string_view, std::string_view name,
                         std::move_only_function<void(Status)>) override {
    consumers_.erase(std::string(name));
    return {};
  }

  std::unique_ptr<PullSubscription> pull(std::string_view stream, std::string_view consumer, PullWindow,
                                         std::move_only_function<void(const ConsumedMessage&)> handler,
                                         std::move_only_function<void(const Error&)>) override {
    auto sub = std::make_unique<FakePull>();
    sub->state->handler = std::move(handler);
    sub->state->consumer = consumers_[std::string(consumer)];
    sub->state->name = consumer;
    feed(sub->state, std::string(stream));
    return sub;
  }
  void ack(std::string_view) override {}
  Ticket ack_sync(std::string_view, std::move_only_function<void(Status)>) override { return {}; }

 private:
  struct Consumer {
    uint64_t next = 1;
    WallNanos from_time = 0;
    std::vector<std::string> filters;
  };
  struct PullState {
    std::move_only_function<void(const ConsumedMessage&)> handler;
    Consumer consumer;
    std::string name;
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
    auto deliver = [op, box] {
      if (auto done = std::exchange(op->done, nullptr)) done(std::move(*box));
    };
    at(after, [this, box, deliver] {
      if (!silent) return deliver();
      *box = fail(Errc::kTimeout, "no answer");  // as the client has it
      at(std::chrono::seconds(5), deliver);
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

  static uint64_t first_of(const FakeStream& s) {
    if (!s.messages.empty()) return s.messages.begin()->first;
    return s.first_seq ? *s.first_seq : s.last_seq == 0 ? 0 : s.last_seq + 1;
  }
  /// "a.>", "a.*.b" or a literal.
  static bool matches(const std::string& filter, const std::string& subject) {
    size_t f = 0, t = 0;
    while (f < filter.size()) {
      if (filter[f] == '>') return t < subject.size();
      const size_t fe = std::min(filter.find('.', f), filter.size()), te = std::min(subject.find('.', t), subject.size());
      if (t >= subject.size() || (filter.substr(f, fe - f) != "*" && filter.substr(f, fe - f) != subject.substr(t, te - t)))
        return false;
      f = fe + 1;
      t = te + 1;
    }
    return t > subject.size();
  }
  Result<std::string> make_consumer(const nlohmann::json& config) {
    const std::string name = config["name"];
    Consumer made;
    if (config.contains("opt_start_seq")) made.next = config["opt_start_seq"];
    if (config.contains("opt_start_time")) made.from_time = *parse_rfc3339(config["opt_start_time"].get<std::string>());
    if (config.contains("filter_subject")) made.filters = {config["filter_subject"].get<std::string>()};
    if (config.contains("filter_subjects")) made.filters = config["filter_subjects"].get<std::vector<std::string>>();
    consumers_[name] = made;
    return "{}";
  }
  static Result<std::string> next_message(const FakeStream& s, uint64_t seq, const std::string& filter) {
    for (auto it = s.messages.lower_bound(seq); it != s.messages.end(); ++it) {
      if (!matches(filter, it->second.subject)) continue;
      return nlohmann::json{{"message", {{"seq", it->first}, {"subject", it->second.subject}, {"time", format_rfc3339(it->second.time)}}}}.dump();
    }
    return fail_api(Errc::kNotFound, 10037, "no message found");
  }

  /// All of the batch that `last` ends, or itself.
  Result<PubAck> accept_batch(StoredCopy& last) {
    const auto id = find_header(last.headers, "Nats-Batch-Id");
    if (!id) return accept(last);
    if (!streams[listening].allow_atomic) return fail_api(Errc::kRefused, 10174, "atomic publish is disabled");
    std::vector<StoredCopy> batch;
    for (const FakeLink::Sent& sent : link_.sent) {
      if (find_header(sent.headers, "Nats-Batch-Id") == id) batch.push_back({{}, sent.subject, sent.headers, sent.payload, 0});
    }
    batch.push_back(last);
    for (const StoredCopy& m : batch) {
      if (!refused_subject.empty() && m.subject == refused_subject) return fail_api(Errc::kRefused, 10054, "message size exceeds maximum allowed");
      const auto msg_id = find_header(m.headers, "Nats-Msg-Id");
      if (msg_id && streams[listening].ids.contains(std::string(*msg_id)))
        return fail_api(Errc::kRefused, 10201, "atomic publish batch contains duplicate message id");
    }
    largest_batch = std::max(largest_batch, batch.size());
    Result<PubAck> ack = PubAck{};
    for (StoredCopy& m : batch) {
      ack = accept(m);
      if (!ack) return ack;  // what is refused in one of ours is refused at its first message
    }
    return ack;
  }

  Result<PubAck> accept(StoredCopy& m) {
    if (before_publish) before_publish();
    if (!refused_subject.empty() && m.subject == refused_subject)
      return fail_api(Errc::kRefused, 10054, "message size exceeds maximum allowed");
    if (m.subject == "dead.letters") {
      FakeStream& dead = streams["DEAD"];
      m.seq = StreamSeq(++dead.last_seq);
      dead.messages[dead.last_seq] = m;
      return PubAck{"DEAD", m.seq, false};
    }
    FakeStream& s = streams[listening];
    if (auto expected = find_header(m.headers, "Nats-Expected-Last-Sequence")) {
      if (*expected != std::to_string(s.last_seq)) {
        ++refused_fences;
        return fail_api(Errc::kRefused, 10071, "wrong last sequence: " + std::to_string(s.last_seq));
      }
    }
    if (auto expected = find_header(m.headers, "Nats-Expected-Last-Subject-Sequence")) {
      const auto elsewhere = find_header(m.headers, "Nats-Expected-Last-Subject-Sequence-Subject");
      const std::string_view subject = elsewhere && knows_fences ? *elsewhere : m.subject;
      uint64_t stands = 0;
      for (const auto& [seq, message] : s.messages) stands = message.subject == subject ? seq : stands;
      if (*expected != std::to_string(stands)) {
        ++refused_fences;
        return fail_api(Errc::kRefused, 10071, "wrong last sequence: " + std::to_string(stands));
      }
    }
    const auto id = find_header(m.headers, "Nats-Msg-Id");
    if (const auto known = s.ids.find(std::string(id.value_or(""))); id && known != s.ids.end()) return PubAck{listening, StreamSeq(known->second), true};
    const auto last = find_header(m.headers, "Nats-Expected-Last-Msg-Id");
    if (last && *last != s.last_id) return fail_api(Errc::kRefused, 10070, "wrong last msg ID: " + s.last_id);
    if (id) s.ids.emplace(*id, s.last_seq + 1);
    m.seq = StreamSeq(++s.last_seq);
    s.messages[s.last_seq] = m;
    s.last_id = find_header(m.headers, "Nats-Msg-Id").value_or("");
    return PubAck{listening, m.seq, false};
  }

  void feed(std::shared_ptr<PullState> state, std::string stream) {
    at(std::chrono::milliseconds(1), [this, state, stream] {
      if (state->gone) return;
      auto& messages = streams[stream].messages;
      for (int i = 0; i < 20 && !state->paused && !state->gone && !silent; ++i) {
        auto it = messages.lower_bound(state->consumer.next);
        if (it == messages.end()) break;
        state->consumer.next = it->first + 1;
        const auto& filters = state->consumer.filters;
        if (it->second.time < state->consumer.from_time) continue;
        if (!filters.empty() && std::none_of(filters.begin(), filters.end(), [&](const std::string& f) {
              return matches(f, it->second.subject);
            }))
          continue;
        delivered_[state->name] = ++state->deliveries;
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
  std::map<std::string, Consumer> consumers_;
  std::map<std::string, uint64_t> delivered_;  ///< by consumer
  std::vector<std::shared_ptr<StoredCopy>> on_their_way_;
  int fenced_open_ = 0;
  std::list<std::unique_ptr<Timer>> timers_;
  std::vector<std::unique_ptr<Timer>> spent_;
};

}  // namespace sluice
