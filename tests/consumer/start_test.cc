// Start positions, filters, num_pending, and what a restart brings back.
#include "consumer_world.h"

namespace sluice::test {
namespace {

using Seqs = std::vector<uint64_t>;

ConsumerConfig with(DeliverPolicy policy, std::string filter = {}) {
  auto c = ConsumerWorld::pull();
  c.deliver_policy = policy;
  c.filter_subject = std::move(filter);
  return c;
}

struct FiveMessages : ConsumerWorld {
  FiveMessages() {
    for (const char* subject : {"a.x", "a.y", "a.x", "a.y", "a.z"}) {
      stream().publish(subject);
      sim.advance(1s);
    }
  }
  Seqs all() {
    fetch("100");
    return taken_seqs();
  }
};

TEST(Start, Policies) {
  {
    FiveMessages w;
    const Consumer& c = w.make(with(DeliverPolicy::kLast));
    EXPECT_EQ(c.state().delivered().stream.value(), 4u);
    EXPECT_EQ(w.all(), Seqs({5}));
  }
  {
    FiveMessages w;
    w.make(with(DeliverPolicy::kLast, "a.x"));
    EXPECT_EQ(w.all(), Seqs({3}));
  }
  {
    FiveMessages w;
    const Consumer& c = w.make(with(DeliverPolicy::kNew));
    EXPECT_EQ(c.num_pending(), 0u);
    EXPECT_EQ(c.state().delivered().stream.value(), 5u);
    w.stream().publish("a.n");
    EXPECT_EQ(w.all(), Seqs({6}));
  }
  {
    FiveMessages w;
    auto config = with(DeliverPolicy::kByStartSequence);
    config.opt_start_seq = 4;
    EXPECT_EQ(w.make(config).num_pending(), 2u);
    EXPECT_EQ(w.all(), Seqs({4, 5}));
  }
  {
    FiveMessages w;
    auto config = with(DeliverPolicy::kByStartSequence);
    config.opt_start_seq = 7;
    const Consumer& c = w.make(config);
    EXPECT_EQ(c.state().delivered().stream.value(), 6u);
    w.stream().publish("a.x");
    EXPECT_EQ(c.num_pending(), 0u);
    w.stream().publish("a.x");
    EXPECT_EQ(w.all(), Seqs({7}));
  }
  {
    FiveMessages w;
    auto config = with(DeliverPolicy::kByStartTime);
    config.opt_start_time = w.sim.clock().wall() - 2'500'000'000;
    w.make(config);
    EXPECT_EQ(w.all(), Seqs({4, 5}));
  }
}

TEST(Start, LastPerSubjectThenEverythingNew) {
  FiveMessages w;
  const Consumer& c = w.make(with(DeliverPolicy::kLastPerSubject, "a.>"));
  EXPECT_EQ(c.num_pending(), 3u);
  EXPECT_EQ(c.state().delivered().stream.value(), 2u);
  w.stream().publish("a.x");
  EXPECT_EQ(c.num_pending(), 4u);
  w.fetch("1");
  EXPECT_EQ(w.taken_seqs(), Seqs({3}));
  w.stream().remove(StreamSeq(4));
  EXPECT_EQ(c.num_pending(), 2u);
  w.restart();
  EXPECT_EQ(w.consumer().num_pending(), 2u);
  EXPECT_EQ(w.all(), Seqs({5, 6}));
  EXPECT_EQ(w.consumer().num_pending(), 0u);
}

TEST(Start, SeveralFiltersMergeInOrder) {
  FiveMessages w;
  auto config = ConsumerWorld::pull();
  config.filter_subjects = {"a.z", "a.x"};
  const Consumer& c = w.make(config);
  EXPECT_EQ(c.num_pending(), 3u);
  EXPECT_EQ(w.all(), Seqs({1, 3, 5}));
  w.stream().publish("a.y");
  w.stream().publish("a.z");
  EXPECT_EQ(c.num_pending(), 1u);
  w.run();  // the pull was still waiting
  EXPECT_EQ(w.taken_seqs(), Seqs({7}));
  EXPECT_EQ(c.num_pending(), 0u);
}

TEST(Start, NewFiltersAreCountedAnew) {
  FiveMessages w;
  w.make(with(DeliverPolicy::kAll, "a.x"));
  w.fetch("1");
  EXPECT_EQ(w.taken_seqs(), Seqs({1}));
  w.make(with(DeliverPolicy::kAll, "a.*"));
  EXPECT_EQ(w.consumer().num_pending(), 4u);
  EXPECT_EQ(w.all(), Seqs({2, 3, 4, 5}));
}

TEST(Restart, BringsBackPositionPendingAndDeadlines) {
  FiveMessages w;
  auto config = ConsumerWorld::pull();
  config.ack_wait = 10s;
  w.make(config);
  w.fetch("3");
  const auto got = w.taken();
  w.ack(got[0]);
  w.ack(got[2], "-NAK 20s");
  const ConsumerPosition floor = w.consumer().state().ack_floor();
  w.restart();
  EXPECT_EQ(w.consumer().state().ack_floor(), floor);
  EXPECT_EQ(w.consumer().state().delivered().consumer.value(), 3u);
  EXPECT_EQ(w.consumer().num_pending(), 2u);
  EXPECT_EQ(w.consumer().state().pending().size(), 2u);
  w.fetch(R"({"batch":10,"expires":100000000000})");
  EXPECT_EQ(w.taken_seqs(), Seqs({4, 5}));
  w.sim.advance(9s);
  EXPECT_TRUE(w.taken().empty());
  w.sim.advance(1100ms);
  auto again = w.taken();
  ASSERT_GE(again.size(), 1u);
  EXPECT_EQ(again[0].seq(), 2u);
  EXPECT_EQ(again[0].meta().deliveries, 2u);
  w.sim.advance(9s);
  bool third = false;
  for (const Got& g : w.taken()) third = third || g.seq() == 3;
  EXPECT_FALSE(third);
  w.sim.advance(1s);
  for (const Got& g : w.taken()) third = third || g.seq() == 3;
  EXPECT_TRUE(third);
}

TEST(Restart, FromSnapshotAndDeltas) {
  FiveMessages w;
  w.make(ConsumerWorld::pull());
  w.fetch("2");
  w.store.snapshot_all();
  w.fetch("1");
  w.taken();
  w.restart();
  EXPECT_EQ(w.consumer().state().pending().size(), 3u);
  EXPECT_EQ(w.all(), Seqs({4, 5}));
}

TEST(Restart, UnreadableStateStartsAnew) {
  FiveMessages w;
  w.make(ConsumerWorld::pull());
  w.fetch("2");
  for (auto& [key, kept] : w.store.kept()) kept.deltas = {std::string("\1\377\377", 3)};
  w.taken();
  w.restart();
  EXPECT_EQ(w.all(), Seqs({1, 2, 3, 4, 5}));
}

TEST(Restart, PauseAndConfigAreKept) {
  FiveMessages w;
  auto config = ConsumerWorld::pull();
  config.description = "d";
  config.metadata = {{"k", "v"}};
  w.make(config);
  w.consumers->pause(w.consumer(), w.sim.clock().wall() + 1'000'000'000'000);
  const ConsumerConfig before = w.consumer().config();
  w.restart();
  EXPECT_EQ(w.consumer().config(), before);
  EXPECT_TRUE(w.consumer().paused());
}

TEST(Restart, MemoryConsumersAreGone) {
  FiveMessages w;
  auto config = ConsumerWorld::pull();
  config.mem_storage = true;
  w.make(config);
  EXPECT_TRUE(w.store.kept().empty());
  w.restart();
  EXPECT_EQ(w.consumers->size(), 0u);
}

TEST(Inactive, EphemeralGoesUnlessItIsUsed) {
  ConsumerWorld w;
  ConsumerConfig config;
  config.ack_policy = AckPolicy::kExplicit;
  Consumer& c = w.make(config);
  const std::string name = c.name();
  EXPECT_EQ(name.size(), 8u);
  EXPECT_EQ(c.config().inactive_threshold, 5s);
  w.fetch(R"({"batch":1,"expires":20000000000})", "_INBOX.1", name);
  w.sim.advance(19s);
  EXPECT_EQ(w.consumers->size(), 1u);
  w.sim.advance(12s);
  EXPECT_EQ(w.consumers->size(), 0u);
  EXPECT_TRUE(w.store.kept().empty());
}

TEST(Inactive, ShutDownTellsWaitingPulls) {
  ConsumerWorld w;
  w.make(ConsumerWorld::pull());
  w.fetch(R"({"batch":3,"expires":20000000000})");
  w.consumers->shut_down();
  EXPECT_EQ(w.taken_statuses(), std::vector<std::string>({"409 Server Shutdown\r\nNats-Pending-Messages: 3\r\n"
                                                          "Nats-Pending-Bytes: 0\r\n\r\n"}));
}

}  // namespace
}  // namespace sluice::test
