// A NATS client of a test: says what it is told, keeps what comes.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/sim_env.h"
#include "wire/client_parser.h"

namespace sluice::test {

struct Received {
  std::string subject;
  std::string reply;
  std::string headers;
  std::string payload;

  /// Of an inline status ("NATS/1.0 409 Server Shutdown"); empty when there is none.
  std::string status() const {
    const std::string line = headers.substr(0, headers.find("\r\n"));
    return line.size() > 9 ? line.substr(9) : "";
  }
};

/// Lives on a host of its own. Everything it says leaves at once; answers come as the world runs.
class NodeClient : public TransportHandler {
 public:
  NodeClient(sim::SimEnv& sim, std::string name, uint16_t port, std::string user = {},
             std::string password = {})
      : name_(std::move(name)), user_(std::move(user)), password_(std::move(password)) {
    connecting_ = sim.net().host(name_).connect("local", port, [this](Result<std::unique_ptr<Transport>> made) {
      if (!made) {
        closed_ = true;
        return;
      }
      transport_ = *std::move(made);
      transport_->start(*this);
      say(fmt::format("CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,"
                      "\"name\":\"{}\",\"lang\":\"test\",\"version\":\"1.2\",\"user\":\"{}\",\"pass\":\"{}\",\"protocol\":1}}\r\n",
                      name_, user_, password_));
    });
  }
  NodeClient(const NodeClient&) = delete;
  NodeClient& operator=(const NodeClient&) = delete;
  ~NodeClient() override = default;

  bool closed() const { return closed_; }
  const std::string& name() const { return name_; }
  const std::vector<std::string>& errors() const { return errors_; }
  const std::vector<std::string>& infos() const { return infos_; }
  size_t pongs() const { return pongs_; }

  void say(std::string bytes) {
    if (transport_ != nullptr && !closed_) transport_->write(bytes);
  }
  void publish(std::string_view subject, std::string_view payload, std::string_view reply = "",
               std::string_view headers = "") {
    const std::string_view gap = reply.empty() ? "" : " ";
    if (headers.empty()) {
      say(fmt::format("PUB {} {}{}{}\r\n{}\r\n", subject, reply, gap, payload.size(), payload));
    } else {
      say(fmt::format("HPUB {} {}{}{} {}\r\n{}{}\r\n", subject, reply, gap, headers.size(),
                      headers.size() + payload.size(), headers, payload));
    }
  }
  /// @return the reply subject; its messages are had by take().
  std::string request(std::string_view subject, std::string_view body, std::string_view headers = "") {
    const std::string inbox = fmt::format("_INBOX.{}.{}", name_, ++last_request_);
    // A subscription each: pulled messages come with their own subject, only the sid tells whose they are.
    subscribe(inbox);
    publish(subject, body, inbox, headers);
    return inbox;
  }
  /// Messages are had by take(subject).
  void subscribe(std::string_view subject) {
    const std::string sid = fmt::format("{}", ++last_sid_);
    subscriptions_[sid] = subject;
    say(fmt::format("SUB {} {}\r\n", subject, sid));
  }
  /// What has come on a reply subject or a subscription, and was not yet taken.
  std::vector<Received> take(const std::string& key) {
    auto found = inbox_.extract(key);
    return found.empty() ? std::vector<Received>{} : std::move(found.mapped());
  }
  size_t waiting(const std::string& key) const {
    const auto found = inbox_.find(key);
    return found == inbox_.end() ? 0 : found->second.size();
  }
  void pause_reading() { transport_->pause_reading(); }
  void resume_reading() { transport_->resume_reading(); }
  void hang_up() {
    closed_ = true;
    transport_.reset();
  }

  void on_bytes(std::string_view bytes) override {
    parser_.feed(bytes);
    ServerEvent event;
    for (;;) {
      auto got = parser_.next(event);
      ASSERT_TRUE(got.has_value()) << got.error().detail;
      if (!*got) return;
      on_event(event);
    }
  }
  void on_drained() override {}
  void on_closed(const Error&) override { closed_ = true; }

 private:
  void on_event(const ServerEvent& event) {
    switch (event.kind) {
      case ServerEventKind::kInfo: infos_.emplace_back(event.text); return;
      case ServerEventKind::kPing: say("PONG\r\n"); return;
      case ServerEventKind::kPong: ++pongs_; return;
      case ServerEventKind::kOk: return;
      case ServerEventKind::kErr: errors_.emplace_back(event.text); return;
      case ServerEventKind::kMsg: break;
    }
    const auto subscription = subscriptions_.find(std::string(event.sid));
    ASSERT_TRUE(subscription != subscriptions_.end()) << event.sid;
    inbox_[subscription->second].push_back({std::string(event.subject), std::string(event.reply), std::string(event.header),
                           std::string(event.payload)});
  }

  std::string name_;
  std::string user_;
  std::string password_;
  Ticket connecting_;
  ClientParser parser_;
  std::map<std::string, std::string> subscriptions_;  // sid → subject
  std::map<std::string, std::vector<Received>> inbox_;
  std::vector<std::string> errors_;
  std::vector<std::string> infos_;
  uint64_t last_request_ = 0;
  uint64_t last_sid_ = 0;
  size_t pongs_ = 0;
  bool closed_ = false;
  std::unique_ptr<Transport> transport_;  // first to go: it calls the rest
};

}  // namespace sluice::test
