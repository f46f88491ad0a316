#include "backup/nats_consumer.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <simdjson.h>

#include "archive/nats_block.h"

namespace sluice {
namespace {

ConsumerImage image_of(const NatsConsumerState& state) {
  ConsumerImage out;
  out.delivered = {.consumer = ConsumerSeq(state.delivered_consumer), .stream = StreamSeq(state.delivered_stream)};
  out.floor = {.consumer = ConsumerSeq(state.floor_consumer), .stream = StreamSeq(state.floor_stream)};
  for (const NatsPending& p : state.pending) {
    PendingMessage message;
    message.seq = p.seq;
    message.first_delivery = ConsumerSeq(p.consumer_seq);
    message.time = p.time;
    message.deliveries = 1 + static_cast<uint32_t>(std::min<uint64_t>(p.redeliveries, 1u << 30));
    out.pending.push_back(message);
  }
  return out;
}

}  // namespace

Result<ConsumerConfig> read_nats_consumer_config(std::string_view meta) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  simdjson::dom::object members;
  if (parser.parse(meta.data(), meta.size()).get(root) != simdjson::SUCCESS ||
      root.get_object().get(members) != simdjson::SUCCESS)
    return fail(Errc::kCorrupt, "the configuration of a consumer is not JSON");
  std::string config;
  for (const auto& member : members) {
    if (member.key == "Created" || member.key == "Name") continue;
    config += fmt::format("{}\"{}\":{}", config.empty() ? "" : ",", member.key, simdjson::minify(member.value));
  }
  auto request = parse_consumer_request(fmt::format(R"({{"config":{{{}}}}})", config));
  if (!request) return std::unexpected(request.error());
  return std::move(request->config);
}

Result<ConsumerImage> read_nats_consumer_image(std::string_view state) {
  const auto read = read_nats_consumer_state(state);
  if (!read) return std::unexpected(read.error());
  return image_of(*read);
}

}  // namespace sluice
