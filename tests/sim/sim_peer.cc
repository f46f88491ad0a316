#include "sim/sim_peer.h"

#include <utility>

namespace sluice::sim {

SimPeer::SimPeer(Network& network, const std::string& host, uint16_t port) {
  connecting_ = network.connect(host, port, [this](Result<std::unique_ptr<Transport>> result) {
    connecting_.release();
    if (!result) {
      closed_ = result.error();
      return;
    }
    transport_ = *std::move(result);
    transport_->start(*this);
    if (!to_send_.empty()) transport_->write(to_send_);
  });
}

SimPeer::SimPeer(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {
  transport_->start(*this);
}

void SimPeer::send(std::string_view bytes) {
  to_send_.append(bytes);
  if (transport_) transport_->write(to_send_);
}

std::string SimPeer::take_received() { return std::exchange(received_, {}); }

std::optional<std::string> SimPeer::take_line() {
  const size_t end = received_.find("\r\n");
  if (end == std::string::npos) return std::nullopt;
  std::string line = received_.substr(0, end);
  received_.erase(0, end + 2);
  return line;
}

std::optional<std::string> SimPeer::take_bytes(size_t count) {
  if (received_.size() < count) return std::nullopt;
  std::string bytes = received_.substr(0, count);
  received_.erase(0, count);
  return bytes;
}

void SimPeer::close(bool flush) {
  if (transport_) transport_->close(flush);
}

}  // namespace sluice::sim
