// What every StreamStore promises, on file and in memory.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/sim_env.h"
#include "store/store.h"

namespace sluice {
namespace {

struct OnFile {
  sim::SimEnv sim{7};
  std::unique_ptr<Store> store;
  StreamStore& open(StreamSeq first = StreamSeq(0)) {
    StoreOptions options;
    options.dir = "/data";
    options.journal_file_bytes = 256 * kKiB;
    options.cache_bytes = kMiB;
    store = std::move(Store::open(sim.env(), options).value());
    return *store->create_stream("S", "{}", first).value();
  }
  static uint64_t size(uint64_t subject, uint64_t headers, uint64_t payload) {
    return 22 + subject + (headers == 0 ? 0 : 4 + headers) + payload + 8;
  }
};
struct InMemory {
  std::unique_ptr<StreamStore> store;
  StreamStore& open(StreamSeq first = StreamSeq(0)) {
    store = make_memory_store(first);
    return *store;
  }
  static uint64_t size(uint64_t subject, uint64_t headers, uint64_t payload) { return subject + headers + payload + 16; }
};

template <class World>
class StreamContract : public testing::Test {
 protected:
  World world;
};
using Worlds = testing::Types<OnFile, InMemory>;
TYPED_TEST_SUITE(StreamContract, Worlds);

StreamSeq put(StreamStore& s, std::string_view subject, std::string_view payload, WallNanos time = 1) {
  return s.append({.subject = subject, .headers = {}, .payload = payload, .time = time, .msg_id = {}});
}
std::string payload(const std::optional<StoredMessage>& m) { return m ? std::string(m->payload) : "none"; }
uint64_t seq(const std::optional<StoredMessage>& m) { return m ? m->seq.value() : 0; }

TYPED_TEST(StreamContract, EmptyStates) {
  const StreamState fresh = this->world.open().state();
  EXPECT_EQ(fresh.first_seq.value(), 0u);
  EXPECT_EQ(fresh.last_seq.value(), 0u);
  EXPECT_EQ(fresh.first_time, kZeroTime);
  TypeParam other;
  StreamStore& later = other.open(StreamSeq(100));
  EXPECT_EQ(later.state().first_seq.value(), 100u);
  EXPECT_EQ(later.state().last_seq.value(), 99u);
  EXPECT_EQ(put(later, "a", "x").value(), 100u);
}

TYPED_TEST(StreamContract, AppendLoadAndCount) {
  StreamStore& s = this->world.open();
  EXPECT_EQ(put(s, "a.b", "one", 10).value(), 1u);
  s.append({.subject = "a.c", .headers = "NATS/1.0\r\nX: y\r\n\r\n", .payload = "two", .time = 20, .msg_id = "id-2"});
  const StreamState st = s.state();
  EXPECT_EQ(st.messages, 2u);
  EXPECT_EQ(st.bytes, TypeParam::size(3, 0, 3) + TypeParam::size(3, 18, 3));
  EXPECT_EQ(st.first_time, 10);
  EXPECT_EQ(st.last_time, 20);
  EXPECT_EQ(st.num_subjects, 2u);
  const auto m = s.load(StreamSeq(2));
  ASSERT_TRUE(m);
  EXPECT_EQ(m->subject, "a.c");
  EXPECT_EQ(m->headers, "NATS/1.0\r\nX: y\r\n\r\n");
  EXPECT_EQ(m->time, 20);
  EXPECT_FALSE(s.load(StreamSeq(3)));
  std::vector<std::string> ids;
  s.each_msg_id(0, [&](std::string_view id, StreamSeq at, WallNanos) { ids.push_back(std::string(id) + "@" + std::to_string(at.value())); });
  EXPECT_EQ(ids, std::vector<std::string>{"id-2@2"});
}

TYPED_TEST(StreamContract, RemoveMakesGapsAndMovesFirst) {
  StreamStore& s = this->world.open();
  for (int i = 1; i <= 6; ++i) put(s, "s", std::to_string(i), i);
  EXPECT_TRUE(s.remove(StreamSeq(3), false));
  EXPECT_FALSE(s.remove(StreamSeq(3), false));
  EXPECT_TRUE(s.remove(StreamSeq(4), true));
  EXPECT_EQ(s.state().num_deleted, 2u);
  EXPECT_EQ(s.deleted().size(), 2u);
  EXPECT_TRUE(s.remove(StreamSeq(1), false));
  EXPECT_TRUE(s.remove(StreamSeq(2), false));
  EXPECT_EQ(s.state().first_seq.value(), 5u);
  EXPECT_EQ(s.state().first_time, 5);
  EXPECT_EQ(s.state().num_deleted, 0u);
  EXPECT_TRUE(s.remove(StreamSeq(6), false));
  EXPECT_TRUE(s.remove(StreamSeq(5), false));
  const StreamState st = s.state();
  EXPECT_EQ(st.first_seq.value(), 7u);
  EXPECT_EQ(st.last_seq.value(), 6u);
  EXPECT_EQ(st.bytes, 0u);
  EXPECT_EQ(st.last_time, 6);
  EXPECT_EQ(st.num_subjects, 0u);
}

TYPED_TEST(StreamContract, PurgeBelow) {
  StreamStore& s = this->world.open();
  for (int i = 1; i <= 10; ++i) put(s, i % 2 == 0 ? "even" : "odd", "p");
  EXPECT_EQ(s.purge_below(StreamSeq(1)), 0u);
  EXPECT_EQ(s.purge_below(StreamSeq(4)), 3u);
  EXPECT_EQ(s.state().first_seq.value(), 4u);
  EXPECT_EQ(s.subject_state("odd")->count, 3u);
  EXPECT_EQ(s.subject_state("odd")->first.value(), 5u);
  EXPECT_EQ(s.purge_below(StreamSeq(11)), 7u);
  EXPECT_EQ(s.state().first_seq.value(), 11u);
  EXPECT_EQ(s.state().last_seq.value(), 10u);
  EXPECT_EQ(s.purge_below(StreamSeq(50)), 0u);
  EXPECT_EQ(s.state().last_seq.value(), 49u);
  EXPECT_EQ(put(s, "x", "y").value(), 50u);
}

TYPED_TEST(StreamContract, SkipUsesUpSequences) {
  StreamStore& s = this->world.open();
  EXPECT_EQ(s.skip(5, "id").value(), 1u);
  EXPECT_EQ(s.state().first_seq.value(), 2u);
  EXPECT_EQ(s.state().last_seq.value(), 1u);
  put(s, "a", "b");
  s.skip(6, "");
  put(s, "a", "c");
  EXPECT_EQ(s.state().num_deleted, 1u);
  EXPECT_EQ(s.state().last_seq.value(), 4u);
}

TYPED_TEST(StreamContract, SkipsManyAtOnce) {
  StreamStore& s = this->world.open();
  s.skip_to(StreamSeq(4), 5);
  EXPECT_EQ(s.state().first_seq.value(), 5u);
  EXPECT_EQ(s.state().last_seq.value(), 4u);
  EXPECT_EQ(s.state().num_deleted, 0u);
  EXPECT_EQ(s.append({.subject = "a", .headers = "", .payload = "1", .time = 6, .msg_id = ""}).value(), 5u);
  s.skip_to(StreamSeq(2'000'000), 7);
  EXPECT_EQ(s.state().num_deleted, 2'000'000u - 5);
  EXPECT_EQ(s.append({.subject = "a", .headers = "", .payload = "2", .time = 8, .msg_id = ""}).value(),
            2'000'001u);
  EXPECT_EQ(s.state().messages, 2u);
  EXPECT_EQ(s.load_next(StreamSeq(6), ">")->payload, "2");
}

TYPED_TEST(StreamContract, NextLastAndFilters) {
  StreamStore& s = this->world.open();
  const char* subjects[] = {"a.1", "b.1", "a.2", "b.2", "a.1", "c"};
  for (int i = 0; i < 6; ++i) put(s, subjects[i], std::to_string(i + 1));
  EXPECT_EQ(seq(s.load_next(StreamSeq(0), "")), 1u);
  EXPECT_EQ(seq(s.load_next(StreamSeq(2), "a.1")), 5u);
  EXPECT_EQ(seq(s.load_next(StreamSeq(6), "a.1")), 0u);
  EXPECT_EQ(seq(s.load_next(StreamSeq(2), "a.*")), 3u);
  EXPECT_EQ(seq(s.load_next(StreamSeq(2), "*")), 6u);
  EXPECT_EQ(seq(s.load_next(StreamSeq(1), "z.>")), 0u);
  EXPECT_EQ(payload(s.load_last("b.*")), "4");
  EXPECT_EQ(payload(s.load_last("a.1")), "5");
  EXPECT_EQ(payload(s.load_last(">")), "6");
  EXPECT_EQ(s.count_matching(StreamSeq(0), "a.*"), 3u);
  EXPECT_EQ(s.count_matching(StreamSeq(2), "a.*"), 2u);
  EXPECT_EQ(s.count_matching(StreamSeq(4), ">"), 3u);
  EXPECT_EQ(s.count_matching(StreamSeq(9), ">"), 0u);
  s.remove(StreamSeq(5), false);
  EXPECT_EQ(payload(s.load_last("a.1")), "1");
  std::vector<std::string> seen;
  s.each_subject("*.*", [&](std::string_view subject, const SubjectState&) {
    seen.emplace_back(subject);
    return true;
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"a.1", "a.2", "b.1", "b.2"}));
}

TYPED_TEST(StreamContract, SubjectBoundsAfterRemovals) {
  StreamStore& s = this->world.open();
  for (int i = 0; i < 12; ++i) put(s, i % 3 == 0 ? "k" : "other", "v");  // k: 1 4 7 10
  s.remove(StreamSeq(1), false);
  EXPECT_EQ(s.subject_state("k")->first.value(), 4u);
  s.remove(StreamSeq(10), false);
  EXPECT_EQ(s.subject_state("k")->last.value(), 7u);
  s.remove(StreamSeq(4), false);
  EXPECT_EQ(s.subject_state("k")->first.value(), 7u);
  EXPECT_EQ(s.subject_state("k")->count, 1u);
  s.remove(StreamSeq(7), false);
  EXPECT_FALSE(s.subject_state("k"));
}

/// A mirror keeps its origin's sequences, however far apart these are.
TYPED_TEST(StreamContract, AGapMayBeAsLargeAsTheNumbersAllow) {
  StreamStore& s = this->world.open();
  const uint64_t far = uint64_t{1} << 40;
  const uint64_t farther = uint64_t{1} << 62;
  put(s, "k.1", "near", 10);
  s.skip_to(StreamSeq(far), 20);
  EXPECT_EQ(put(s, "k.2", "far", 30).value(), far + 1);
  s.skip_to(StreamSeq(farther), 40);
  EXPECT_EQ(put(s, "k.1", "farther", 50).value(), farther + 1);
  EXPECT_EQ(s.state().messages, 3u);
  EXPECT_EQ(s.state().num_deleted, farther + 1 - 3);
  EXPECT_EQ(seq(s.load_next(StreamSeq(2), "")), far + 1);
  EXPECT_EQ(seq(s.load_next(StreamSeq(2), "k.1")), farther + 1);
  EXPECT_EQ(payload(s.load_last("k.2")), "far");
  EXPECT_EQ(s.seq_at_time(31).value(), farther + 1);
  EXPECT_EQ(s.count_matching(StreamSeq(2), ">"), 2u);
  EXPECT_TRUE(s.remove(StreamSeq(1), false));
  EXPECT_EQ(s.state().first_seq.value(), far + 1);
  EXPECT_EQ(s.subject_state("k.1")->first.value(), farther + 1);
  EXPECT_TRUE(s.remove(StreamSeq(farther + 1), false));
  EXPECT_EQ(payload(s.load_last(">")), "far");
  EXPECT_EQ(s.purge_below(StreamSeq(farther)), 1u);
  EXPECT_EQ(put(s, "k.3", "after").value(), farther + 2);
}

TYPED_TEST(StreamContract, SeqAtTime) {
  StreamStore& s = this->world.open();
  EXPECT_EQ(s.seq_at_time(5).value(), 1u);
  for (int i = 1; i <= 9; ++i) put(s, "t", "x", i * 10);
  s.remove(StreamSeq(4), false);
  EXPECT_EQ(s.seq_at_time(0).value(), 1u);
  EXPECT_EQ(s.seq_at_time(30).value(), 3u);
  EXPECT_EQ(s.seq_at_time(31).value(), 5u);
  EXPECT_EQ(s.seq_at_time(90).value(), 9u);
  EXPECT_EQ(s.seq_at_time(91).value(), 10u);
}

TYPED_TEST(StreamContract, LongHistoryAgainstAModel) {
  StreamStore& s = this->world.open();
  std::map<uint64_t, std::pair<std::string, std::string>> model;
  uint64_t state = 12345;
  const auto draw = [&](uint64_t bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % bound;
  };
  for (int step = 0; step < 4000; ++step) {
    const uint64_t what = draw(10);
    if (what < 7 || model.empty()) {
      const std::string subject = "k." + std::to_string(draw(9));
      const std::string body(draw(300), static_cast<char>('a' + draw(26)));
      model[put(s, subject, body, step).value()] = {subject, body};
    } else {
      auto it = model.lower_bound(draw(s.state().last_seq.value() + 1));
      if (it == model.end()) continue;
      ASSERT_TRUE(s.remove(StreamSeq(it->first), false));
      model.erase(it);
    }
  }
  ASSERT_EQ(s.state().messages, model.size());
  uint64_t at = 0;
  for (const auto& [number, message] : model) {
    const auto found = s.load_next(StreamSeq(at), "");
    ASSERT_EQ(seq(found), number);
    ASSERT_EQ(found->payload, message.second);
    at = number + 1;
  }
  for (int k = 0; k < 9; ++k) {
    const std::string subject = "k." + std::to_string(k);
    uint64_t first = 0, last = 0, count = 0;
    for (const auto& [number, message] : model) {
      if (message.first != subject) continue;
      if (first == 0) first = number;
      last = number;
      ++count;
    }
    const auto found = s.subject_state(subject);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->count, count);
    EXPECT_EQ(found->first.value(), first);
    EXPECT_EQ(found->last.value(), last);
  }
}

}  // namespace
}  // namespace sluice
