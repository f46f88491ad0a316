// Where lines of an audit log go that are no records.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapters/ingest_port.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// Loop thread only.
class AuditLetters {
 public:
  virtual ~AuditLetters() = default;
  /// `done` runs once: letters can be kept, or why not (may_pass() of stream_ingest.h: they wait meanwhile).
  virtual void prepare(std::move_only_function<void(Status)> done) = 0;
  virtual bool healthy() const = 0;
  /// As IngestPort::dead_letter().
  virtual Offer dead_letter(const DeadLetter& letter, Stored stored) = 0;
  /// As IngestPort::on_room(). Once, before anything is offered.
  virtual void on_room(std::move_only_function<void()> room) = 0;
  virtual size_t in_flight() const = 0;
  /// Takes nothing more; whoever waits for `stored` gets kClosed, or hears nothing.
  virtual void stop() = 0;
};

/// The dead-letter stream. `client` outlives it.
std::unique_ptr<AuditLetters> make_stream_letters(Env& env, StreamClient& client, const std::string& adapter);

}  // namespace sluice
