// The other end in the tests of the spool: a NatsLink whose server, stream and network are played here.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/headers.h"
#include "client/nats_link.h"
#include "sim/sim_env.h"

namespace sluice::test {

/// What becomes of a publish with a reply subject.
enum class Answer {
  kAck,        ///< stored, acknowledged
  kLostAck,    ///< stored, the ack never comes
  kLost,       ///< neither stored nor answered
  kRefused,    ///< an error of the stream that is for good
  kBusy,       ///< an error of the stream that says "not now"
  kNobody,     ///< 503
};

class FakeGateway final : public NatsLink {
 public:
  struct Stored {
    std::string subject, headers, payload, id;
  };

  explicit FakeGateway(Env& env) : env_(env), timer_(env.timers.make([this] { arrive(); })) {}

  /// Chooses the answer to each request; kAck by default.
  std::function<Answer(const LinkMessage&)> decide = [](const LinkMessage&) { return Answer::kAck; };
  std::chrono::nanoseconds round_trip{0};  ///< constant while something is under way
  bool answers_probes = true;
  size_t max_payload = 1024 * 1024;

  std::vector<Stored> stored;     ///< each id once, in order of arrival
  std::vector<Stored> published;  ///< all that came, with repetitions
  size_t requests = 0;

  void set_state(LinkState state) {
    state_ = state;
    if (state != LinkState::kConnected) ++connection_;
    for (const auto& listener : std::vector(listeners_)) {
      if (*listener) (*listener)(state);
    }
  }

  // -- NatsLink
  LinkState state() const override { return state_; }
  Ticket on_state(std::move_only_function<void(LinkState)> listener) override {
    auto held = std::make_shared<std::move_only_function<void(LinkState)>>(std::move(listener));
    listeners_.push_back(held);
    return Ticket([held] { *held = nullptr; });
  }
  Status publish(const LinkMessage& message) override {
    if (state_ != LinkState::kConnected) return fail(Errc::kClosed, "not connected");
    if (message.payload.size() > max_payload) return fail(Errc::kInvalidArgument, "larger than the server takes");
    if (inboxes_.contains(std::string(message.subject))) {
      if (answers_probes) deliver(std::string(message.subject), "", "");
      return {};
    }
    take(message);
    return {};
  }
  Ticket request(const LinkMessage&, std::chrono::nanoseconds, std::move_only_function<void(Result<LinkMessage>)>) override {
    return {};
  }
  std::unique_ptr<LinkSubscription> subscribe(std::string_view subject, std::string_view,
                                              std::move_only_function<void(const LinkMessage&)> handler) override {
    struct Gone final : LinkSubscription {
      std::function<void()> end;
      ~Gone() override { end(); }
      void pause() override {}
      void resume() override {}
      void drain() override {}
    };
    std::string prefix(subject);
    if (prefix.ends_with("*")) prefix.pop_back();
    handlers_[prefix] = std::make_shared<std::move_only_function<void(const LinkMessage&)>>(std::move(handler));
    auto gone = std::make_unique<Gone>();
    gone->end = [this, prefix] { handlers_.erase(prefix); };
    return gone;
  }
  std::string new_inbox() override {
    const std::string inbox = "_INBOX." + std::to_string(++last_inbox_);
    inboxes_.insert(inbox);
    return inbox;
  }
  std::string peer() const override { return "fake"; }
  uint64_t dropped() const override { return 0; }

 private:
  void take(const LinkMessage& message) {
    Stored copy{std::string(message.subject), std::string(message.headers), std::string(message.payload),
                std::string(find_header(message.headers, "Nats-Msg-Id").value_or(""))};
    published.push_back(copy);
    if (message.reply.empty()) return store(std::move(copy)), void();
    ++requests;
    const std::string reply(message.reply);
    switch (decide(message)) {
      case Answer::kAck: {
        const auto [seq, duplicate] = store(std::move(copy));
        return deliver(reply, "", "{\"stream\":\"S\",\"seq\":" + std::to_string(seq) + (duplicate ? ",\"duplicate\":true}" : "}"));
      }
      case Answer::kLostAck:
        store(std::move(copy));
        return;
      case Answer::kLost:
        return;
      case Answer::kRefused:
        return deliver(reply, "", R"({"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"},"stream":"S","seq":0})");
      case Answer::kBusy:
        return deliver(reply, "", R"({"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0})");
      case Answer::kNobody:
        return deliver(reply, make_status_block(503, ""), "");
    }
  }

  std::pair<size_t, bool> store(Stored message) {
    const auto [at, fresh] = seqs_.try_emplace(message.id, stored.size() + 1);
    if (fresh) stored.push_back(std::move(message));
    return {at->second, !fresh};
  }

  /// Later, in order, and only while the same connection stands.
  void deliver(std::string subject, std::string headers, std::string payload) {
    under_way_.push_back({env_.clock.now() + round_trip, connection_, std::move(subject), std::move(headers), std::move(payload)});
    if (!timer_->active()) timer_->start(round_trip);
  }

  void arrive() {
    while (!under_way_.empty() && under_way_.front().due <= env_.clock.now()) {
      const UnderWay next = std::move(under_way_.front());
      under_way_.pop_front();
      const auto found = handlers_.upper_bound(next.subject);
      if (next.connection != connection_ || found == handlers_.begin() || !next.subject.starts_with(std::prev(found)->first)) continue;
      const auto handler = std::prev(found)->second;
      (*handler)({next.subject, {}, next.headers, next.payload});
    }
    if (!under_way_.empty()) timer_->start(under_way_.front().due - env_.clock.now());
  }

  struct UnderWay {
    MonoTime due;
    uint64_t connection;
    std::string subject, headers, payload;
  };

  Env& env_;
  LinkState state_ = LinkState::kConnected;
  uint64_t connection_ = 0;
  uint64_t last_inbox_ = 0;
  std::set<std::string> inboxes_;
  std::vector<std::shared_ptr<std::move_only_function<void(LinkState)>>> listeners_;
  std::map<std::string, std::shared_ptr<std::move_only_function<void(const LinkMessage&)>>> handlers_;
  std::map<std::string, size_t> seqs_;
  std::deque<UnderWay> under_way_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace sluice::test
