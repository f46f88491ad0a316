// A purge as a plain call, for streams so small that one turn of the loop is enough.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "stream/stream.h"

namespace sluice {

inline Result<uint64_t> purge_now(Stream& stream, const PurgeRequest& request) {
  std::optional<Result<uint64_t>> out;
  stream.purge(request, [&out](Result<uint64_t> purged) { out = std::move(purged); });
  EXPECT_TRUE(out.has_value()) << "the purge goes on in later turns";
  return out.value_or(Result<uint64_t>(0));
}

}  // namespace sluice
