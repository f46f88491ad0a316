// Message ids of removed messages: remembered for the duplicate window, over retirements and restarts, and no longer.
#include "store/kept_ids.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "sim/sealing_keys.h"
#include "store_world.h"

namespace sluice {
namespace {

using sim::Crash;

struct IdWorld : StoreWorld {
  explicit IdWorld(bool encrypted = false, uint64_t seed = 1) : StoreWorld(seed) {
    if (encrypted) options.keys = sim::sealing_keys("of ids");
    open();
    make("Q");
    make("ballast");
  }
  WallNanos now() { return sim.env().clock.wall(); }
  void publish(int first, int last) {
    for (int i = first; i <= last; ++i) {
      const std::string id = "id-" + std::to_string(i);
      find("Q").append({.subject = "q", .headers = {}, .payload = "work", .time = now(), .msg_id = id});
    }
    run();
  }
  void remove(int first, int last) {
    for (int i = first; i <= last; ++i) ASSERT_TRUE(find("Q").remove(StreamSeq(static_cast<uint64_t>(i)), false));
    run();
  }
  /// Pushes the journal on until its files of now are retired. Kept: whether the ballast stays.
  void retire(bool keep = false) {
    StreamStore& s = find("ballast");
    for (uint64_t i = 0; i < 6 * options.journal_file_bytes / 8000; ++i) {
      s.append({.subject = "b", .headers = {}, .payload = std::string(8000, 'b'), .time = now(), .msg_id = {}});
      run();
      if (!keep) s.remove(s.state().last_seq, false);
      run();
    }
  }
  std::set<std::string> ids() {
    std::set<std::string> found;
    find("Q").each_msg_id(now() - StreamTraits().id_window.count(), [&](std::string_view id, StreamSeq seq, WallNanos) {
      EXPECT_EQ(id, "id-" + std::to_string(seq.value()));
      EXPECT_TRUE(found.emplace(id).second) << id << " twice";
    });
    return found;
  }
};

TEST(KeptIds, OutliveTheirMessageAndItsJournalFile) {
  for (const bool encrypted : {false, true}) {
    SCOPED_TRACE(encrypted);
    IdWorld w(encrypted);
    w.publish(1, 50);
    w.remove(1, 50);
    w.retire();
    EXPECT_GE(w.count_files(".ids"), 1u) << "the journal file has not gone";
    w.crash(Crash::kPower);
    EXPECT_EQ(w.find("Q").state().messages, 0u);
    EXPECT_EQ(w.ids().size(), 50u);
    w.retire();  // and over one more generation of files, and restart
    w.close_and_open();
    EXPECT_EQ(w.ids().size(), 50u);
  }
}

TEST(KeptIds, OfMessagesThatWereCopiedAndThenRemoved) {
  IdWorld w;
  w.publish(1, 50);
  w.retire();
  ASSERT_GE(w.count_files(".seg"), 1u);
  w.remove(3, 10);
  w.crash(Crash::kPower);
  EXPECT_EQ(w.ids().size(), 50u) << "the segment stands, some of its messages are removed";
  w.remove(11, 45);
  w.remove(1, 2);
  w.retire();  // the segment is thin, and written anew
  w.crash(Crash::kPower);
  EXPECT_EQ(w.find("Q").state().messages, 5u);
  EXPECT_EQ(w.ids().size(), 50u);
  w.find("Q").purge_below(StreamSeq(60));
  w.retire();
  w.crash(Crash::kPower);
  EXPECT_EQ(w.find("Q").state().messages, 0u);
  EXPECT_EQ(w.ids().size(), 50u);
}

// A client that publishes such a message again would be told that it is there.
TEST(KeptIds, OfABatchThatWasCutAreNotBelieved) {
  int cut = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    IdWorld w(false, seed);
    w.publish(1, 10);
    w.sim.disk().crash_after_ops(1 + seed % 2, Crash::kPower);
    w.publish(11, 200);
    w.sim.disk().power_on();
    w.crash(Crash::kPower);
    const size_t there = w.find("Q").state().messages;
    if (w.find("Q").state().last_seq > StreamSeq(there)) ++cut;
    EXPECT_EQ(w.ids().size(), there);
    w.retire();  // what was cut goes with its file, once all is copied
    w.crash(Crash::kPower);
    EXPECT_EQ(w.find("Q").state().messages, there);
    EXPECT_EQ(w.ids().size(), there);
  }
  EXPECT_GT(cut, 0);
}

TEST(KeptIds, GoWithTheWindowAndWithTheStream) {
  IdWorld w;
  w.publish(1, 50);
  w.remove(1, 50);
  w.retire();
  ASSERT_GE(w.count_files(".ids"), 1u);
  w.sim.advance(StreamTraits().id_window + std::chrono::seconds(1));
  w.crash(Crash::kPower);
  EXPECT_TRUE(w.ids().empty());
  w.retire();
  EXPECT_EQ(w.count_files(".ids"), 0u);
  w.publish(51, 60);
  w.remove(51, 60);
  w.retire();
  ASSERT_GE(w.count_files(".ids"), 1u);
  w.store->delete_stream("Q");
  w.retire();
  EXPECT_EQ(w.count_files(".ids"), 0u);
}

TEST(KeptIds, NoneWithoutAWindow) {
  IdWorld w;
  w.find("Q").set_traits({.id_window = std::chrono::nanoseconds(0)});
  w.publish(1, 50);
  w.remove(1, 50);
  w.retire();
  EXPECT_EQ(w.count_files(".ids"), 0u);
}

TEST(KeptIds, ADamagedFileCostsItsOwnIdsOnly) {
  IdWorld w;
  w.publish(1, 50);
  w.remove(1, 50);
  w.retire();
  std::string path;
  for (const std::string& name : w.sim.disk().all_files("/data")) {
    if (name.ends_with(".ids")) path = name;
  }
  ASSERT_FALSE(path.empty());
  ASSERT_TRUE(w.sim.disk().flip_bit(path, 10, 1));
  ASSERT_TRUE(w.sim.disk().flip_bit(path, 4096 + 60, 1));
  w.crash(Crash::kPower);
  EXPECT_EQ(w.ids().size(), 49u);
}

}  // namespace
}  // namespace sluice
