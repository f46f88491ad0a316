// What recycled journal files hold of a message: it was copied into a segment, then erased, and nothing of it is left
// in any file of the directory, whatever crash comes in between.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "sim/sealing_keys.h"
#include "store/segment.h"
#include "store_world.h"

namespace sluice {
namespace {

using sim::Crash;

constexpr uint64_t kSecret = 150;

/// Where the bytes of the erased message still stand when the erase begins.
enum class Where { kSpare, kNewestJournal, kOlderJournal };

struct EraseWorld : StoreWorld {
  explicit EraseWorld(uint64_t seed = 1) : StoreWorld(seed) {}

  std::string journal_with_secret() {
    for (const std::string& path : holders()) {
      if (path.find("/journal/") != std::string::npos) return path;
    }
    return {};
  }
  /// Files in which the message stands as it was first written: the same bytes, encrypted or not.
  std::set<std::string> holders() {
    std::set<std::string> found;
    for (const std::string& path : sim.disk().all_files("/data")) {
      const std::string bytes = *sim.disk().contents(path);
      if (bytes.find("TOP-SECRET") != std::string::npos) found.insert(path);
      if (!first_written.empty() && bytes.find(first_written) != std::string::npos) found.insert(path);
    }
    return found;
  }
  static std::string body(uint64_t i) { return "payload-" + std::to_string(i) + std::string(200, '.'); }
  /// The secret stands at the end of the first journal file.
  void write_secret() {
    open();
    StreamStore& s = make("A");
    for (uint64_t i = 1; i <= kSecret + 20; ++i) put(s, "k", i == kSecret ? "TOP-SECRET-BYTES" + std::string(60, '!') : body(i));
    run();
    remember_first_written();
  }
  void remember_first_written() {
    const std::string path = newest_journal();
    const std::string whole = *sim.disk().contents(path);
    const auto header = format::decode_file_header(std::as_bytes(std::span(whole)).first(format::kBlock), format::kJournalMagic);
    ASSERT_TRUE(header);
    auto file = sim.disk().open(path, OpenMode::kRead).value();
    const auto scanned = scan_records(*file, format::kBlock, whole.size(), format::file_seed(header->store_id, header->number),
                                      [&](const format::Record& r, uint64_t offset, std::span<std::byte> bytes) {
      if (r.type == format::RecordType::kMessage && r.seq == kSecret) first_written = whole.substr(offset + 48, bytes.size() - 48);
    });
    ASSERT_TRUE(scanned);
    ASSERT_GT(first_written.size(), 30u);
  }
  void add_ballast() {
    StreamStore& ballast = find("ballast");
    put(ballast, "b", std::string(3000, 'b'));
    run();
    ballast.remove(ballast.state().last_seq, false);
    run();
  }
  /// Until the message stands in a segment, and its first bytes where they are asked for.
  void bring_about(Where where) {
    write_secret();
    make("ballast");
    const auto there = [&] {
      const std::string path = journal_with_secret();
      if (path.empty() || find("A").state().messages == 0 || count_files(".seg") == 0) return false;
      const bool spare = path.find("spare") != std::string::npos;
      return where == Where::kSpare ? spare : !spare && figure("sluice_store_retired_files_total") > 0;
    };
    for (int i = 0; i < 400 && !there(); ++i) add_ballast();
    ASSERT_TRUE(there());
    if (where != Where::kOlderJournal) return;
    const std::string held_by = journal_with_secret();
    ASSERT_EQ(held_by, newest_journal());
    while (newest_journal() == held_by && journal_with_secret() == held_by) {
      put(find("ballast"), "b", std::string(60'000, 'b'));  // does not fit behind what is there: the rest of the file stays as it was
      run();
    }
    ASSERT_EQ(journal_with_secret(), held_by);
  }
  std::string first_written;
};

class EraseInRecycled : public testing::TestWithParam<std::tuple<Where, bool, bool>> {
 protected:
  void prepare(EraseWorld& w) {
    const auto [where, encrypted, restarted] = GetParam();
    if (encrypted) w.options.keys = sim::sealing_keys("erase");
    w.bring_about(where);
    if (HasFatalFailure()) return;
    if (restarted) w.crash(Crash::kKill);
    w.run();
    ASSERT_FALSE(w.holders().empty());
    ASSERT_FALSE(w.journal_with_secret().empty());
  }
};

TEST_P(EraseInRecycled, LeavesNoBytes) {
  EraseWorld w;
  prepare(w);
  ASSERT_FALSE(HasFatalFailure());
  bool done = false;
  ASSERT_TRUE(w.find("A").remove(StreamSeq(kSecret), true));
  w.store->when_erased([&] {
    done = true;
    EXPECT_EQ(w.holders(), std::set<std::string>());
  });
  w.run();
  EXPECT_TRUE(done);
  EXPECT_EQ(w.holders(), std::set<std::string>());
  w.crash(Crash::kPower);
  EXPECT_EQ(w.holders(), std::set<std::string>());
  EXPECT_EQ(w.store->recovery().lost_records, 0u);
  for (uint64_t i = 1; i <= kSecret + 20; ++i) ASSERT_EQ(w.find("A").load(StreamSeq(i)).has_value(), i != kSecret) << i;
}

TEST_P(EraseInRecycled, IsFinishedAfterACrashAtAnyStep) {
  uint64_t cuts = 0;
  for (uint64_t op = 1; op < 60; ++op) {
    SCOPED_TRACE(op);
    EraseWorld w(op);
    prepare(w);
    ASSERT_FALSE(HasFatalFailure());
    bool acked = false;
    bool done = false;
    ASSERT_TRUE(w.find("A").remove(StreamSeq(kSecret), true));
    w.store->when_durable(w.store->last_commit(), [&] { acked = true; });
    w.store->when_erased([&] { done = true; });
    w.sim.disk().crash_after_ops(op, op % 2 == 0 ? Crash::kPower : Crash::kKill);
    w.run();
    const bool struck = !w.sim.disk().powered();
    cuts += struck ? 1 : 0;
    w.sim.disk().power_on();
    w.sim.crash(Crash::kPower);
    if (done) {
      EXPECT_EQ(w.holders(), std::set<std::string>());
    }
    w.crash(Crash::kPower);
    EXPECT_EQ(w.store->recovery().lost_records, 0u);
    w.sim.settle();
    const bool gone = !w.find("A").load(StreamSeq(kSecret)).has_value();
    EXPECT_TRUE(gone || !acked);
    if (gone) {
      EXPECT_EQ(w.holders(), std::set<std::string>());
    }
    for (uint64_t i = 1; i <= kSecret + 20; ++i) {
      if (i == kSecret) continue;
      ASSERT_EQ(w.find("A").load(StreamSeq(i))->payload, EraseWorld::body(i)) << i;
    }
    const uint64_t next = w.put(w.find("A"), "k", "next").value();
    EXPECT_EQ(next, kSecret + 21);
    w.run();
    w.crash(Crash::kPower);
    EXPECT_EQ(w.find("A").state().last_seq.value(), kSecret + 21);
    if (!struck) break;
  }
  EXPECT_GT(cuts, 8u);
}

INSTANTIATE_TEST_SUITE_P(Erase, EraseInRecycled,
                         testing::Combine(testing::Values(Where::kSpare, Where::kNewestJournal, Where::kOlderJournal), testing::Bool(),
                                          testing::Bool()));

// Sequences that only a batch that was cut had given out are not given out again although that batch is wiped.
TEST(EraseInRecycled, ACutBatchIsWipedAndItsSequencesAreNotUsedAgain) {
  uint64_t cut = 0;
  for (uint64_t seed = 1; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    EraseWorld w(seed);
    w.bring_about(Where::kNewestJournal);
    ASSERT_FALSE(HasFatalFailure());
    StreamStore& s = w.find("A");
    for (int i = 0; i < 60; ++i) w.put(s, "k", EraseWorld::body(1));
    w.sim.disk().crash_after_ops(1, Crash::kPower);
    w.run();
    w.sim.disk().power_on();
    w.crash(Crash::kPower);
    const uint64_t last = w.find("A").state().last_seq.value();
    cut += w.store->recovery().cut_bytes != 0 ? 1 : 0;
    ASSERT_TRUE(w.find("A").remove(StreamSeq(kSecret), true));
    w.run();
    EXPECT_EQ(w.holders(), std::set<std::string>());
    EXPECT_GE(w.find("A").state().last_seq.value(), last);
    w.crash(Crash::kPower);
    EXPECT_GE(w.find("A").state().last_seq.value(), last);
    EXPECT_EQ(w.store->recovery().lost_records, 0u);
  }
  EXPECT_GT(cut, 3u);
}

}  // namespace
}  // namespace sluice
