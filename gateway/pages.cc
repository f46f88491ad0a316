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
                      {"error", hosted.failed()}});
      if (std::string place = adapter.place(); !place.empty())
        list.back()["place"] = std::move(place);
    });
  }
  return text_of({{"adapters", std::move(list)}});
}

std::string replicator_page(const Replicator* replicator) {
  Json list = Json::array();
  if (replicator != nullptr) {
    for (const Replicator::CopyView& view : replicator->copies()) {
      const CopyFigures& figures = view.figures;
      list.push_back({{"name", view.options.name},
                      {"stream", view.options.stream},
                      {"target_stream", view.options.target_stream},
                      {"state", to_string(figures.state)},
                      {"source_seq", figures.source_seq.value()},
                      {"target_seq", figures.target_seq.value()},
                      {"lag", figures.lag ? Json(*figures.lag) : Json(nullptr)},
                      {"read", figures.read},
                      {"copied", figures.copied},
                      {"copied_bytes", figures.copied_bytes},
                      {"repeated", figures.repeated},
                      {"renamed_ids", figures.renamed_ids},
                      {"sessions", figures.sessions},
                      {"last_error", figures.last_error}});
    }
  }
  return text_of({{"copies", std::move(list)}});
}

}  // namespace sluice
