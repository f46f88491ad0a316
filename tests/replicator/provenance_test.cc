#include "replicator/provenance.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

const Provenance kMark{"REG", StreamSeq(42), "edge", "w", 1700000000123};
const CopyPosition kPosition{.origin_created = 5, .source_seq = StreamSeq(42), .ledger = {.read = 2, .copied = 2}};
const std::string kTail = "Choria-SR-Source: REG 42 edge w 1700000000123\r\nSluice-Copy-Position: 5 42 2 0 0 0 0 0 0 0\r\n\r\n";

TEST(Provenance, AddsMarkAndPositionBehindTheSourcesFields) {
  EXPECT_EQ(copy_headers("", kMark, kPosition), "NATS/1.0\r\n" + kTail);
  EXPECT_EQ(copy_headers("NATS/1.0\r\nb: 1\r\nA:x\r\nb: 2\r\n\r\n", kMark, kPosition),
            "NATS/1.0\r\nb: 1\r\nA:x\r\nb: 2\r\n" + kTail);
}

TEST(Provenance, LeavesOutWhatSpokeOfTheSourcesSequencesBatchesAndOfTheHopBefore) {
  EXPECT_EQ(copy_headers("NATS/1.0\r\nNats-Expected-Last-Sequence: 9\r\nNats-Msg-Id: i\r\n"
                         "Nats-Expected-Stream: S\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: 2\r\nNats-Batch-Commit: 1\r\nSluice-Copy-Position: 1 1 1 0 0 0 0 0 0 0\r\n\r\n",
                         kMark, kPosition),
            "NATS/1.0\r\nNats-Msg-Id: i\r\n" + kTail);
}

TEST(Provenance, FindsTheNewestMarkOfThisCopyAmongOthers) {
  std::string block = copy_headers("", {"REG", StreamSeq(1), "edge", "w", 1}, kPosition);
  block = copy_headers(block, {"OTHER", StreamSeq(2), "hub", "w", 2}, kPosition);
  block = copy_headers(block, {"REG", StreamSeq(3), "edge", "w", 3}, kPosition);
  EXPECT_EQ(find_provenance(block, kMark)->seq, StreamSeq(3));
  EXPECT_EQ(find_provenance(block, {"OTHER", {}, "hub", "w", 0})->seq, StreamSeq(2));
  EXPECT_FALSE(find_provenance(block, {"REG", {}, "edge", "elsewhere", 0}));
  EXPECT_FALSE(find_provenance(block, {"REG", {}, "another site", "w", 0}));
}

TEST(Provenance, RefusesWhatIsNotAMark) {
  for (const char* value : {"", "REG", "REG 1 a b", "REG x a b 1", "REG 1 a b 1 more", "REG 1  b 1", "REG 1 a b x",
                            "REG -1 a b -1"}) {
    std::string block = std::string("NATS/1.0\r\nChoria-SR-Source: ") + value + "\r\n\r\n";
    EXPECT_FALSE(find_provenance(block, {"REG", {}, "a", "b", 0})) << value;
  }
}

}  // namespace
}  // namespace sluice
