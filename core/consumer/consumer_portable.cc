#include "consumer/consumer_portable.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>

#include <fmt/format.h>

#include "base/parse_number.h"
#include "consumer/consumer.h"
#include "stream/json_object.h"

namespace sluice {
namespace {

/// Of a consumer in a backup; a million need some 40 MB while they are read.
constexpr size_t kMaxPending = 4'000'000;

std::string position_json(const ConsumerPosition& p) {
  return fmt::format(R"({{"consumer_seq":{},"stream_seq":{}}})", p.consumer.value(), p.stream.value());
}

Status read_position(const JsonElement& from, ConsumerPosition& out) {
  uint64_t consumer = 0;
  uint64_t stream = 0;
  const std::array fields{JsonField::into("consumer_seq", consumer), JsonField::into("stream_seq", stream)};
  if (auto status = read_json_object(from, fields, UnknownKeys::kIgnore); !status) return status;
  out.consumer = ConsumerSeq(consumer);
  out.stream = StreamSeq(stream);
  return {};
}

using PendingMap = std::map<uint64_t, PendingMessage>;

/// An object whose keys are stream sequences.
template <class Read>
Status read_by_seq(const JsonElement& from, Read&& read) {
  if (from.is_null()) return {};
  simdjson::dom::object members;
  if (from.get_object().get(members) != simdjson::SUCCESS) return bad_json("consumer state");
  size_t count = 0;
  for (const auto& member : members) {
    const auto seq = parse_decimal<uint64_t>(member.key);
    if (!seq || *seq == 0 || ++count > kMaxPending) return bad_json("consumer state");
    if (auto status = read(*seq, member.value); !status) return status;
  }
  return {};
}

Status read_pending(const JsonElement& from, PendingMap& out) {
  return read_by_seq(from, [&out](uint64_t seq, const JsonElement& value) -> Status {
    uint64_t first = 0;
    int64_t time = 0;
    const std::array fields{JsonField::into("Sequence", first), JsonField::into("Timestamp", time)};
    if (auto status = read_json_object(value, fields, UnknownKeys::kIgnore); !status) return status;
    PendingMessage& message = out[seq];
    message.seq = StreamSeq(seq);
    message.first_delivery = ConsumerSeq(first);
    message.time = time;
    return {};
  });
}

Status read_state(const JsonElement& from, ConsumerImage& image) {
  PendingMap pending;
  std::map<uint64_t, uint64_t> redelivered;
  const std::array fields{
      JsonField{"delivered", [&](const JsonElement& e) { return read_position(e, image.delivered); }},
      JsonField{"ack_floor", [&](const JsonElement& e) { return read_position(e, image.floor); }},
      JsonField{"pending", [&](const JsonElement& e) { return read_pending(e, pending); }},
      JsonField{"redelivered",
                [&](const JsonElement& e) {
                  return read_by_seq(e, [&](uint64_t seq, const JsonElement& value) {
                    return read_json(value, redelivered[seq]);
                  });
                }},
  };
  if (auto status = read_json_object(from, fields, UnknownKeys::kIgnore); !status) return status;
  for (auto& [seq, message] : pending) {
    if (const auto again = redelivered.find(seq); again != redelivered.end())
      message.deliveries = 1 + static_cast<uint32_t>(std::min<uint64_t>(again->second, UINT32_MAX - 1));
    image.pending.push_back(message);
  }
  return {};
}

bool contradicts_itself(const ConsumerImage& image) {
  return image.floor.consumer > image.delivered.consumer || image.floor.stream > image.delivered.stream ||
         std::any_of(image.pending.begin(), image.pending.end(), [&image](const PendingMessage& m) {
           return m.seq > image.delivered.stream || m.seq <= image.floor.stream ||
                  m.first_delivery > image.delivered.consumer || m.first_delivery.is_zero();
         });
}

}  // namespace

std::string portable_consumer_json(const Consumer& consumer) {
  const ConsumerState& state = consumer.state();
  std::string out = fmt::format(R"({{"config":{},"state":{{"delivered":{},"ack_floor":{})",
                                consumer_config_json(consumer.config()), position_json(state.delivered()),
                                position_json(state.ack_floor()));
  std::string redelivered;
  bool first = true;
  state.pending().each([&](const PendingMessage& m) {
    fmt::format_to(std::back_inserter(out), R"({}"{}":{{"Sequence":{},"Timestamp":{}}})",
                   first ? R"(,"pending":{)" : ",", m.seq.value(), m.first_delivery.value(), m.time);
    first = false;
    if (m.deliveries > 1)
      fmt::format_to(std::back_inserter(redelivered), R"({}"{}":{})", redelivered.empty() ? "" : ",",
                     m.seq.value(), m.deliveries - 1);
  });
  if (!first) out += '}';
  if (!redelivered.empty()) out += fmt::format(R"(,"redelivered":{{{}}})", redelivered);
  return out + "}}";
}

Result<PortableConsumer> parse_portable_consumer(std::string_view json) {
  PortableConsumer out;
  std::string config;
  const std::array fields{
      JsonField{"config",
                [&config](const JsonElement& e) -> Status {
                  config = simdjson::minify(e);
                  return {};
                }},
      JsonField{"state", [&out](const JsonElement& e) { return read_state(e, out.image); }},
  };
  if (auto status = parse_json_object(json, fields, UnknownKeys::kIgnore); !status)
    return std::unexpected(status.error());
  auto request = parse_consumer_request(fmt::format(R"({{"config":{}}})", config.empty() ? "{}" : config));
  if (!request) return std::unexpected(request.error());
  out.config = std::move(request->config);
  if (contradicts_itself(out.image)) return fail(Errc::kCorrupt, "the state of a consumer contradicts itself");
  return out;
}

}  // namespace sluice
