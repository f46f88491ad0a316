// The trail of one message that its publisher wants to follow (ADR-41), as those see it who take
// messages from the bus. The server keeps it (server/traced_message.h).
#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// What a stream made of a message. Views for the call only.
struct TracedStorage {
  std::string_view stream;
  std::string_view subject = {};  ///< that it is stored under; empty = refused before that counts
  bool no_interest = false;       ///< nobody would read it, so it is not kept
  std::string_view error = {};    ///< why it was refused
};

/// For the delivery under way only: a handler must not keep it.
class MessageTrace {
 public:
  /// Nobody gets the message: who takes it tells what would happen, and does nothing.
  bool only() const { return only_; }
  virtual void stored(const TracedStorage& storage) = 0;
  /// It goes on under another subject.
  virtual void mapped(std::string_view to) = 0;
  /// A service of the server itself answers; `to` is how the system account knows it.
  virtual void served(std::string_view from, std::string_view to) = 0;

 protected:
  explicit MessageTrace(bool only) : only_(only) {}
  ~MessageTrace() = default;

 private:
  const bool only_;
};

}  // namespace sluice
