// A NATS client of the simplest kind, on a simulated connection.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sim/sim_env.h"

namespace sluice::simulate {

struct WireMessage {
  std::string subject;
  std::string reply;
  std::string headers;  ///< whole block, or empty
  std::string payload;
};

/// Connects on construction; `connected()` once INFO has come. Destroying it drops the connection.
/// Callbacks may not destroy the client.
class WireClient : public TransportHandler {
 public:
  WireClient(sim::SimEnv& sim, const std::string& name, const std::string& host, uint16_t port);
  WireClient(const WireClient&) = delete;
  WireClient& operator=(const WireClient&) = delete;
  ~WireClient() override = default;

  const std::string& name() const { return name_; }
  bool connected() const { return connected_ && !closed_; }
  bool closed() const { return closed_; }
  const std::string& last_error() const { return last_error_; }  ///< of -ERR, or of the protocol
  void publish(std::string_view subject, std::string_view reply, std::string_view payload,
               std::string_view msg_id = "");
  void subscribe(std::string_view subject, std::function<void(const WireMessage&)> on_message);
  /// Publishes with a reply subject; `on_reply` runs for each message to it (a pull gets many).
  /// @return the reply subject.
  std::string request(std::string_view subject, std::string_view payload,
                      std::function<void(const WireMessage&)> on_reply, std::string_view msg_id = "");

  void on_bytes(std::string_view bytes) override;
  void on_drained() override {}
  void on_closed(const Error& why) override;

 private:
  void send(std::string bytes);
  bool take_one();
  void take_control(std::string_view line);
  void deliver(uint64_t sid, const WireMessage& message);

  std::string name_;
  std::unique_ptr<Transport> transport_;
  Ticket connecting_;
  std::string in_;
  size_t at_ = 0;
  std::string out_;
  bool connected_ = false;
  bool closed_ = false;
  std::string last_error_;
  uint64_t next_sid_ = 2;  // 1 = inbox
  uint64_t next_reply_ = 1;
  std::map<uint64_t, std::function<void(const WireMessage&)>> subscriptions_;
  std::map<std::string, std::function<void(const WireMessage&)>> replies_;
};

}  // namespace sluice::simulate
