// What a consumer that can't be served still stands for: messages on its subjects wait for it.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stream/observer.h"
#include "subject/subject.h"

namespace sluice {

/// What it has acknowledged can't be known, so a stream of interest retention keeps all that it selects. Owned by
/// Consumers, which tells the stream of its end.
class OfflineInterest final : public StreamObserver {
 public:
  /// Empty = every subject.
  explicit OfflineInterest(std::vector<std::string> filters) : filters_(std::move(filters)) {}

  void on_visible(StreamSeq) override {}
  void on_removed(StreamSeq, std::string_view) override {}
  void on_purged_below(StreamSeq) override {}
  bool needs(StreamSeq, std::string_view subject) const override { return selects(subject); }
  bool selects(std::string_view subject) const override {
    return filters_.empty() ||
           std::ranges::any_of(filters_, [&](const std::string& f) { return subject_matches(f, subject); });
  }
  void on_stream_deleted() override {}

 private:
  std::vector<std::string> filters_;
};

}  // namespace sluice
