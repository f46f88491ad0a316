// The trail of one message through this server (ADR-41): how it came in, what happened to its
// subject, which accounts it crossed, who took it, and who did not and why.
//
// Lives on the stack of whoever publishes; when the delivery has ended Tracer::publish() tells it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/time_format.h"
#include "bus/bus.h"
#include "bus/message_trace.h"
#include "io/clock.h"

namespace sluice {

/// nats-server's numbers for the two ends of a connection.
enum class TracedKind : uint8_t { kClient = 0, kLeaf = 4 };

enum class TraceEncoding : uint8_t { kNone, kGzip, kSnappy, kUnknown };

/// What a message's headers ask for.
struct TraceRequest {
  std::string destination = {};
  std::string hop = {};     ///< Nats-Trace-Hop, of what other servers sent
  std::string header = {};  ///< all of them, as a JSON object
  TraceEncoding encoding = TraceEncoding::kNone;
  bool only = false;
};

/// How it came in.
struct TracedIngress {
  TracedKind kind = TracedKind::kClient;
  uint64_t id = 0;  ///< of the connection
  std::string_view name = {};
  std::string_view account = {};
  std::string_view subject = {};
  size_t size_bytes = 0;  ///< headers and payload
};

/// Who gets it, or does not.
struct TracedEgress {
  TracedKind kind = TracedKind::kClient;
  uint64_t id = 0;
  std::string_view name = {};
  std::string_view account = {};
  std::string_view hop = {};      ///< of links
  std::string_view subject = {};  ///< of the subscription; links tell none
  std::string_view queue = {};
  const char* error = nullptr;  ///< why it does not get it
};

/// Loop thread only.
class TracedMessage final : public MessageTrace {
 public:
  /// A message that goes to more is traced to so many; the rest is counted in `omitted`.
  static constexpr size_t kMaxEvents = 10'000;

  TracedMessage(Clock& clock, TraceRequest request, const TracedIngress& ingress,
                std::string_view system_account);
  TracedMessage(const TracedMessage&) = delete;
  TracedMessage& operator=(const TracedMessage&) = delete;

  /// The one that comes with a message; nullptr = it is not traced.
  static TracedMessage* of(const Origin& origin) {
    return static_cast<TracedMessage*>(origin.trace);  // the server makes no others
  }

  const TraceRequest& request() const { return request_; }
  /// It was let in no further.
  void refused(std::string_view error) { ingress_error_ = error; }
  void service_import(std::string_view account, std::string_view from, std::string_view to);
  void egress(const TracedEgress& egress);
  /// Of a link that it goes over next: "1", "2"…, behind the hop that it came with.
  std::string next_hop();

  // -- MessageTrace
  void mapped(std::string_view to) override;
  void stored(const TracedStorage& storage) override;
  void served(std::string_view from, std::string_view to) override;

  /// While one exists the message is in the account that imports it as a stream.
  class StreamImport {
   public:
    /// @param subject  of the import, as the exporter knows it
    /// @param to       the message's, as the importer knows it
    StreamImport(TracedMessage& trace, std::string_view account, std::string_view subject,
                 std::string_view to)
        : trace_(trace), outer_(trace.import_), account_(account), subject_(subject), to_(to) {
      trace_.import_ = this;
    }
    ~StreamImport() { trace_.import_ = outer_; }
    StreamImport(const StreamImport&) = delete;
    StreamImport& operator=(const StreamImport&) = delete;

   private:
    friend class TracedMessage;
    TracedMessage& trace_;
    StreamImport* const outer_;
    const std::string_view account_;
    const std::string_view subject_;
    const std::string_view to_;
  };
  /// Each who gets it by that import is told of behind such an event.
  void stream_export(const StreamImport& import);

  /// `{"server":…,"request":…,"hops":…,"events":[…]}`
  std::string json(std::string_view server_json) const;

 private:
  bool begin(std::string_view type);
  std::string ingress_json() const;

  Clock& clock_;
  const TraceRequest request_;
  const std::string system_account_;
  const TracedKind kind_;
  const uint64_t id_;
  const std::string name_;
  const std::string account_;
  const std::string subject_;
  const size_t size_bytes_;
  const WallNanos time_;
  std::string ingress_error_;
  std::string events_;  ///< JSON objects, each behind a comma
  size_t event_count_ = 0;
  size_t omitted_ = 0;
  uint32_t hops_ = 0;
  StreamImport* import_ = nullptr;
};

}  // namespace sluice
