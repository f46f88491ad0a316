#include "store/leftovers.h"

#include <algorithm>

#include "store/store_file.h"

namespace sluice {

namespace {
constexpr size_t kMostLayers = 8;
constexpr size_t kMostSpans = 4096;  ///< beyond: anything
}  // namespace

Leftovers Leftovers::unknown() {
  Leftovers all;
  all.layers_.push_back({UINT64_MAX, true, {}});
  return all;
}

bool Leftovers::may_hold(uint32_t stream, uint64_t seq, uint64_t from) const {
  return std::any_of(layers_.begin(), layers_.end(), [&](const Layer& layer) {
    if (layer.end <= from) return false;
    if (layer.anything) return true;
    const auto span = std::lower_bound(layer.spans.begin(), layer.spans.end(), stream,
                                       [](const Span& s, uint32_t id) { return s.stream < id; });
    return span != layer.spans.end() && span->stream == stream && span->first <= seq && seq <= span->last;
  });
}

void Leftovers::used(uint64_t end, const std::unordered_map<uint32_t, StreamSpan>& streams) {
  while (!layers_.empty() && layers_.back().end <= end) layers_.pop_back();
  if (layers_.size() == kMostLayers) {  // the two oldest become one
    layers_.erase(layers_.begin() + 1);
    layers_.front().anything = true;
    layers_.front().spans.clear();
  }
  Layer layer{end, streams.size() > kMostSpans, {}};
  for (const auto& [stream, span] : streams) {
    if (!layer.anything && span.first <= span.last) layer.spans.push_back({stream, span.first, span.last});
  }
  std::sort(layer.spans.begin(), layer.spans.end(), [](const Span& a, const Span& b) { return a.stream < b.stream; });
  layers_.push_back(std::move(layer));
}

}  // namespace sluice
