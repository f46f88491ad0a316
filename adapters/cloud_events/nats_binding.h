// CloudEvents in NATS messages. Source: CloudEvents NATS protocol binding 1.0.3, binary content mode:
// every attribute is a header `ce-<name>`, values encoded as in HTTP, the data is the payload.
#pragma once

#include <string>
#include <string_view>

#include "adapters/cloud_events/event.h"

namespace sluice {

/// The header block of the event.
std::string write_nats_headers(const CloudEvent& event);

/// Whether the block has the four required attributes.
bool is_nats_event(std::string_view headers);
/// Faults as read_binary_event(). Names of headers count whatever their case; `Content-Type` stands for
/// `ce-datacontenttype` where that is missing, as some senders write it.
EventResult<CloudEvent> read_nats_event(std::string_view headers, std::string_view payload);

}  // namespace sluice
