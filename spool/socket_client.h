// The other end of the spool's UNIX socket (spool/entrance.h), for programs with a loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ticket.h"
#include "io/env.h"

namespace sluice {

/// Happy path: connects, writes a line for each request, hands out the answers in the order of the requests.
/// Failures: a connection that ends gives kClosed to whoever waits, and is made again with back-off (0.25 to
/// 7.5 s), for ever; nothing is asked twice by itself.
/// Loop thread only; no callback runs inside ask().
class SpoolSocketClient {
 public:
  using Answered = std::move_only_function<void(Result<std::string>)>;

  /// `changed` runs whenever connected() has changed.
  SpoolSocketClient(Env& env, std::string path, std::move_only_function<void()> changed);
  ~SpoolSocketClient();
  SpoolSocketClient(const SpoolSocketClient&) = delete;
  SpoolSocketClient& operator=(const SpoolSocketClient&) = delete;

  void start() { dial(); }
  bool connected() const { return transport_ != nullptr; }
  /// Why it is not connected.
  const std::string& trouble() const { return trouble_; }
  /// `request` without line end. kClosed at once (in a later callback) while not connected.
  void ask(std::string_view request, Answered answered);
  size_t waiting() const { return waiting_.size(); }

 private:
  class Ear;
  void dial();
  void on_dialled(Result<std::unique_ptr<Transport>> dialled);
  void on_bytes(std::string_view bytes);
  void on_closed(const Error& why);

  Env& env_;
  const std::string path_;
  std::move_only_function<void()> changed_;
  std::string trouble_ = "not connected yet";
  int failures_ = 0;
  std::string buffer_;
  std::deque<Answered> waiting_;
  std::unique_ptr<Ear> ear_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Timer> retry_timer_;
  Ticket dialling_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
