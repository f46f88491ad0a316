// Settings of the NATS subject adapter. Plain data; config/ fills it.
#pragma once

#include <string>
#include <vector>

#include "client/link_options.h"

namespace sluice {

struct NatsSubjectOptions {
  std::string name = "subjects";
  std::string account;  ///< of the embedded core, whose messages and streams these are; empty = the global one
  LinkOptions network;                  ///< where the messages are published; embedded by default
  std::vector<std::string> ingest_subjects;
  std::string queue_group;              ///< empty = "sluice_<name>"
  std::string stream;                   ///< created when missing
  std::string source = ">";             ///< with `destination`: transform of the subject (ADR-30's functions)
  std::string destination;              ///< empty = "<name>.<subject>", so that a local source is not stored twice
  bool answer = true;                   ///< answer requests with the PubAck
  size_t max_in_flight = 2000;
};

}  // namespace sluice
