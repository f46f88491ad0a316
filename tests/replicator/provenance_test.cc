#include "replicator/provenance.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

const Provenance kMark{"REG", StreamSeq(42), "edge", "REG", 1700000000123};

TEST(Provenance, AddsTheMarkAndTheFenceBehindTheSourcesFields) {
  EXPECT_EQ(copy_headers("", kMark, StreamSeq(7)),
            "NATS/1.0\r\nChoria-SR-Source: REG 42 edge REG 1700000000123\r\nNats-Expected-Last-Sequence: 7\r\n\r\n");
  EXPECT_EQ(copy_headers("NATS/1.0\r\nb: 1\r\nA:x\r\nb: 2\r\n\r\n", kMark, StreamSeq(0)),
            "NATS/1.0\r\nb: 1\r\nA:x\r\nb: 2\r\nChoria-SR-Source: REG 42 edge REG 1700000000123\r\n"
            "Nats-Expected-Last-Sequence: 0\r\n\r\n");
}

TEST(Provenance, LeavesOutWhatSpokeOfTheSourcesSequences) {
  EXPECT_EQ(copy_headers("NATS/1.0\r\nNats-Expected-Last-Sequence: 9\r\nNats-Msg-Id: i\r\n"
                         "Nats-Expected-Stream: S\r\n\r\n",
                         kMark, StreamSeq(1)),
            "NATS/1.0\r\nNats-Msg-Id: i\r\nChoria-SR-Source: REG 42 edge REG 1700000000123\r\n"
            "Nats-Expected-Last-Sequence: 1\r\n\r\n");
}

TEST(Provenance, FindsTheNewestMarkOfThisWorkerAmongOthers) {
  std::string block = copy_headers("", {"REG", StreamSeq(1), "edge", "REG", 1}, StreamSeq(0));
  block = copy_headers(block, {"OTHER", StreamSeq(2), "hub", "REG", 2}, StreamSeq(0));
  block = copy_headers(block, {"REG", StreamSeq(3), "edge", "REG", 3}, StreamSeq(0));
  EXPECT_EQ(find_provenance(block, "REG", "REG")->seq, StreamSeq(3));
  EXPECT_EQ(find_provenance(block, "OTHER", "REG")->seq, StreamSeq(2));
  EXPECT_FALSE(find_provenance(block, "REG", "elsewhere"));
}

TEST(Provenance, RefusesWhatIsNotAMark) {
  for (const char* value : {"", "REG", "REG 1 a b", "REG x a b 1", "REG 1 a b 1 more", "REG 1  b 1", "REG 1 a b x"}) {
    std::string block = std::string("NATS/1.0\r\nChoria-SR-Source: ") + value + "\r\n\r\n";
    EXPECT_FALSE(find_provenance(block, "REG", "b")) << value;
  }
}

}  // namespace
}  // namespace sluice
