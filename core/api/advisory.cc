#include "api/advisory.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/nuid.h"
#include "stream/pub_ack.h"

namespace sluice {
namespace {

const char* verb_of(AssetAction action) {
  switch (action) {
    case AssetAction::kCreate: return "create";
    case AssetAction::kModify: return "modify";
    case AssetAction::kDelete: return "delete";
  }
  return "";
}

const char* event_of(AssetAction action) {
  switch (action) {
    case AssetAction::kCreate: return "CREATED";
    case AssetAction::kModify: return "UPDATED";
    case AssetAction::kDelete: return "DELETED";
  }
  return "";
}

bool wanted(ApiContext& context, std::string_view subject) {
  return context.bus.has_interest(fmt::format("$JS.EVENT.ADVISORY.{}", subject), "");
}

}  // namespace

void publish_advisory(ApiContext& context, std::string_view subject, std::string_view kind,
                      std::string_view members) {
  if (!wanted(context, subject)) return;
  std::string body = fmt::format(
      R"({{"type":"io.nats.jetstream.advisory.v1.{}","id":"{}","timestamp":"{}",{})", kind,
      make_nuid(context.env.random), format_rfc3339(context.env.clock.wall()), members);
  if (!context.options.domain.empty())
    body += fmt::format(R"(,"domain":{})", json_quoted(context.options.domain));
  body += '}';
  auto send = [bus = &context.bus, to = fmt::format("$JS.EVENT.ADVISORY.{}", subject),
               text = std::move(body)] {
    bus->publish({.subject = to, .reply = "", .headers = "", .payload = text});
  };
  if (context.store == nullptr)
    send();
  else
    context.store->when_durable(context.store->last_commit(), std::move(send));
}

void advise_stream(ApiContext& context, std::string_view stream, AssetAction action) {
  publish_advisory(
      context, fmt::format("STREAM.{}.{}", event_of(action), stream), "stream_action",
      fmt::format(R"("stream":{},"action":"{}")", json_quoted(stream), verb_of(action)));
}

void advise_consumer(ApiContext& context, std::string_view stream, std::string_view consumer,
                     AssetAction action) {
  publish_advisory(context, fmt::format("CONSUMER.{}.{}.{}", event_of(action), stream, consumer),
                   "consumer_action",
                   fmt::format(R"("stream":{},"consumer":{},"action":"{}")", json_quoted(stream),
                               json_quoted(consumer), verb_of(action)));
}

}  // namespace sluice
