// What all adapters share that take messages from subjects of a NATS network into a stream: the flow.
// What a message means is the reader's business.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapters/adapter.h"
#include "adapters/adapter_subject.h"
#include "adapters/subject_reader.h"
#include "client/stream_client.h"
#include "io/env.h"

namespace sluice {

struct SubjectAdapterOptions {
  std::string name;
  std::vector<std::string> ingest_subjects;  ///< wildcards allowed
  std::string queue_group;                   ///< empty = "sluice_<name>"
  StreamSpec stream;
  size_t max_in_flight = 2000;  ///< taken and not yet durable; with a slow reader those that wait to be read count too
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
