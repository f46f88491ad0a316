#include "gateway/pages.h"

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string adapters_page(const AdapterHost* adapters) {
  Json list = Json::array();
  if (adapters != nullptr) {
    adapters->each([&](const HostedAdapter& hosted) {
      const Adapter& adapter = hosted.adapter();
      const AdapterFigures& figures = adapter.figures();
      std::string error = hosted.failed();
      if (error.empty() && adapter.health() != AdapterHealth::kRunning) error = adapter.trouble();
      list.push_back({{"name", adapter.name()},
                      {"type", adapter.kind()},
                      {"state", to_string(adapter.health())},
                      {"received", figures.received},
                      {"received_bytes", figures.received_bytes},
                      {"accepted", figures.accepted},
                      {"duplicates", figures.duplicates},
                      {"rejected", figures.rejected},
                      {"refused", figures.refused},
                      {"paused", figures.paused},
                      {"in_flight", figures.in_flight},
                      {"restarts", hosted.restarts()},
                      {"running_since", hosted.started_at() == 0 ? Json(nullptr) : Json(format_rfc3339(hosted.started_at()))},
                      {"error", std::move(error)}});
      if (figures.lost_at_source > 0) list.back()["lost_at_source"] = figures.lost_at_source;
      if (figures.lag_total) {
        list.back()["lag"] = *figures.lag_total;
        list.back()["lag_by_part"] = figures.lag;
      }
      if (std::string place = adapter.place(); !place.empty())
        list.back()["place"] = std::move(place);
    });
  }
  return text_of({{"adapters", std::move(list)}});
}

namespace {

Json link_json(const LinkTraffic& traffic) {
  return {{"compressed", traffic.compressed},
          {"sent", traffic.sent},
          {"sent_on_wire", traffic.sent_on_wire},
          {"received", traffic.received},
          {"received_on_wire", traffic.received_on_wire}};
}

Json copy_json(const Replicator::CopyView& view) {
  const CopyFigures& figures = view.figures;
  const Ledger& ledger = figures.position.ledger;
  Json json = {{"id", view.options.id()},
               {"name", view.options.name},
               {"stream", view.options.stream},
               {"target_stream", view.options.target_stream},
               {"state", to_string(figures.state)},
               {"stalled", view.lag.stalled},
               {"lag", view.lag.messages ? Json(*view.lag.messages) : Json(nullptr)},
               {"lag_seconds", view.lag.seconds ? Json(*view.lag.seconds) : Json(nullptr)},
               {"source_seq", figures.position.source_seq.value()},
               {"source_end", view.lag.source_end.value()},
               {"target_seq", figures.position.target_seq.value()},
               {"target_shared", figures.position.shared},
               {"ledger",
                {{"read", ledger.read},
                 {"copied", ledger.copied},
                 {"filtered", ledger.filtered},
                 {"sampled", ledger.sampled},
                 {"expired", ledger.expired},
                 {"dead_lettered", ledger.dead_lettered},
                 {"lost", {{"removed", ledger.removed}, {"purged", ledger.purged}, {"recreated", ledger.recreated}}}}},
               {"read", ledger.read},
               {"copied", figures.copied},
               {"copied_bytes", figures.copied_bytes},
               {"in_flight", figures.in_flight},
               {"waiting", figures.waiting},
               {"window_bytes", figures.window_bytes},
               {"sent_bytes", figures.sent_bytes},
               {"link", {{"source", link_json(figures.source_link)}, {"target", link_json(figures.target_link)}}},
               {"pace", figures.pace_rate == 0 ? Json(nullptr) : Json(figures.pace_rate)},
               {"latency_seconds", figures.last_latency_seconds},
               {"repeated", figures.repeated},
               {"renamed_ids", figures.renamed_ids},
               {"sessions", figures.sessions},
               {"gaps", figures.gaps},
               {"last_gap", figures.last_gap},
               {"last_error", figures.last_error}};
  Json differences = Json::array();
  for (const ConfigDifference& d : figures.config_differences)
    differences.push_back({{"field", d.field}, {"source", d.source}, {"target", d.target}});
  json["target_differs"] = std::move(differences);
  if (view.leadership != nullptr) {
    json["election"] = {{"name", view.leadership->options().name},
                        {"candidate", view.leadership->options().candidate},
                        {"leads", view.leadership->leads()},
                        {"trouble", view.leadership->trouble()}};
  }
  if (view.limiter != nullptr) {
    const LimiterFigures& limits = view.limiter->figures();
    json["sampling"] = {{"tracked", view.limiter->tracker().size()},
                        {"evicted", view.limiter->tracker().evicted()},
                        {"without_value", limits.without_value},
                        {"forced", limits.forced}};
    if (const TrackerBucket* bucket = view.limiter->bucket()) {
      json["sampling"]["bucket"] = {{"ready", bucket->ready()},
                                    {"read", bucket->figures().read},
                                    {"written", bucket->figures().written},
                                    {"waiting", bucket->waiting()}};
    }
  }
  return json;
}

}  // namespace

std::string auto_streams_page(const AutoStreams* streams) {
  Json list = Json::array();
  if (streams != nullptr) {
    for (const AutoStreamView& view : streams->streams())
      list.push_back({{"stream", view.stream}, {"state", to_string(view.state)}, {"detail", view.detail}});
  }
  return text_of({{"streams", std::move(list)}});
}

std::string replicator_page(const Replicator* replicator) {
  Json list = Json::array();
  Json beats = Json::array();
  std::string name;
  if (replicator != nullptr) {
    name = replicator->options().name;
    for (const Replicator::CopyView& view : replicator->copies()) list.push_back(copy_json(view));
    if (replicator->heartbeat() != nullptr) {
      for (const Heartbeat::Figures& beat : replicator->heartbeat()->figures()) {
        beats.push_back({{"subject", beat.subject},
                         {"active", replicator->heartbeat()->active()},
                         {"published", beat.published},
                         {"failed", beat.failed},
                         {"ack_seconds", beat.last_seconds},
                         {"last_error", beat.last_error}});
      }
    }
  }
  return text_of({{"name", std::move(name)}, {"copies", std::move(list)}, {"heartbeats", std::move(beats)}});
}

}  // namespace sluice
