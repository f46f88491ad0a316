// An HTTP client of a test: sends requests one behind the other on one connection, and again, in order,
// what was not answered when the connection ends or it is told to come later.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "io/env.h"
#include "sim/sim_peer.h"

namespace sluice {

class PipeliningClient : public TransportHandler {
 public:
  PipeliningClient(Env& env, std::string host, uint16_t port)
      : env_(env),
        host_(std::move(host)),
        port_(port),
        retry_(env.timers.make([this] { connect(); })) {
    connect();
  }

  void post(const std::string& fields, const std::string& body) {
    requests_.push_back("POST /in HTTP/1.1\r\nHost: h\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
                        "\r\n\r\n" + body);
    if (transport_) say(requests_.back());
  }
  size_t unanswered() const { return requests_.size(); }
  const std::vector<int>& statuses() const { return statuses_; }

  void on_bytes(std::string_view bytes) override {
    received_.append(bytes);
    for (;;) {
      const size_t end = received_.find("\r\n\r\n");
      if (end == std::string::npos) return;
      const size_t length = received_.find("Content-Length: ");
      const size_t whole = end + 4 + (length < end ? std::stoul(received_.substr(length + 16)) : 0);
      if (received_.size() < whole) return;
      const int status = std::stoi(received_.substr(9, 3));
      received_.erase(0, whole);
      statuses_.push_back(status);
      if (status == 503) return come_later();
      requests_.pop_front();
    }
  }
  void on_drained() override {}
  void on_closed(const Error&) override { come_later(); }

 private:
  void connect() {
    connecting_ = env_.network.connect(host_, port_, [this](Result<std::unique_ptr<Transport>> made) {
      if (!made) return come_later();
      transport_ = *std::move(made);
      transport_->start(*this);
      for (const std::string& request : requests_) say(request);
    });
  }
  void say(std::string bytes) { transport_->write(bytes); }
  void come_later() {
    transport_.reset();
    received_.clear();
    retry_->start(std::chrono::seconds(1));
  }

  Env& env_;
  const std::string host_;
  const uint16_t port_;
  std::deque<std::string> requests_;
  std::vector<int> statuses_;
  std::string received_;
  std::unique_ptr<Transport> transport_;
  Ticket connecting_;
  std::unique_ptr<Timer> retry_;
};

}  // namespace sluice
