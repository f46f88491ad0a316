// The JSON of the JetStream API as a client writes and reads it (nats-server API, ADR-1 for acks).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "client/stream_client.h"

namespace sluice {

std::string encode_stream_config(const StreamSpec& spec);
/// `name` is the consumer's name: the durable's, or one of our own for an ephemeral.
std::string encode_consumer_request(const ConsumerSpec& spec, const std::string& name);
std::string encode_last_by_subject(std::string_view subject);
std::string encode_get_seq(StreamSeq seq);
/// `most_bytes` 0 = however many.
std::string encode_pull(size_t batch, size_t most_bytes, std::chrono::nanoseconds expires,
                        std::chrono::nanoseconds heartbeat);

/// Each parse_* gives the reply's own error as Error{code, err_code, description}: kNotFound for a
/// stream, consumer or message that is not there, kExists for a name in use with another
/// configuration, else kRefused. kCorrupt for what is not a reply of that kind.
Result<PubAck> parse_pub_ack(std::string_view json);
Result<StreamFigures> parse_stream_info(std::string_view json);
Result<std::string> parse_consumer_name(std::string_view json);
Result<StoredCopy> parse_stored_message(std::string_view json);
Status parse_success(std::string_view json);
/// Only the error is taken out.
Status parse_any_reply(std::string_view json);

/// Fills sequence numbers, counts and time from an ack subject: nine tokens ($JS.ACK.…), or eleven
/// and more with domain and account hash (ADR-15). nullopt when it is not one; views of subject,
/// headers and payload stay empty.
std::optional<ConsumedMessage> parse_delivery_subject(std::string_view subject);

}  // namespace sluice
