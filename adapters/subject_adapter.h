// What all adapters share that take messages from subjects of a NATS network into a stream: the flow.
// What a message means is the reader's business.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/adapter.h"
#include "adapters/adapter_subject.h"
#include "adapters/ingest_port.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

/// A message as it goes into the stream.
struct SubjectRecord {
  std::string subject;
  std::string headers;
  std::string payload;
  std::string msg_id;  ///< deterministic; empty = none can be given
  std::string lane;    ///< whose order is kept through failures
};

/// `reason` is a stable word, for counters and dead letters.
struct SubjectRejection {
  std::string_view reason;
  std::string detail;
};

class SubjectReader {
 public:
  virtual ~SubjectReader() = default;
  virtual std::string_view kind() const = 0;
  virtual std::expected<SubjectRecord, SubjectRejection> read(const LinkMessage& message) = 0;
};

struct SubjectAdapterOptions {
  std::string name;
  std::vector<std::string> ingest_subjects;  ///< wildcards allowed
  std::string queue_group;                   ///< empty = "sluice_<name>"
  StreamSpec stream;
  size_t max_in_flight = 2000;
  bool answer = false;  ///< a message with a reply subject is answered, when durable, with its PubAck
};

/// `network` is where the messages are, `target` where the stream is; both outlive the adapter, and
/// they must not share a remote link (pausing the source would hold up the target's acks).
/// @return kInvalidArgument when a subject or name in the options can't be used.
Result<std::unique_ptr<Adapter>> make_subject_adapter(Env& env, NatsLink& network,
                                                      StreamClient& target,
                                                      SubjectAdapterOptions options,
                                                      std::unique_ptr<SubjectReader> reader);

}  // namespace sluice
