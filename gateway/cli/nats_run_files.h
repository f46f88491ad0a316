// The two files by which a harness finds a nats-server: its process id and its ports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace sluice {

struct FacePorts {
  std::string client_host;
  uint16_t client_port = 0;
  std::string monitor_host;
  uint16_t monitor_port = 0;  ///< 0 = none
  std::string websocket_host{};
  uint16_t websocket_port = 0;  ///< 0 = none
  std::string websocket_scheme = "ws";
};

/// The number alone, no newline, mode 0600; stays behind, as the reference leaves it.
Status write_pid_file(const std::string& path);

/// `{"nats":["nats://H:P"],"monitoring":["http://H:P"]}`. Of 0.0.0.0 and :: every address of this
/// machine.
std::string ports_json(const FacePorts& ports);

/// `DIR/nats-server_PID.ports`, removed with the object.
class PortsFile {
 public:
  PortsFile() = default;
  ~PortsFile();
  PortsFile(const PortsFile&) = delete;
  PortsFile& operator=(const PortsFile&) = delete;

  /// Appears whole or not at all.
  Status write(const std::string& dir, const FacePorts& ports);

 private:
  std::string path_;
};

}  // namespace sluice
