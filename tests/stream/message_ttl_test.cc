// Per-message TTLs: formats, codes, expiry, never, restarts, and that the index holds nothing that
// is gone.
#include "stream/message_ttl.h"

#include <chrono>
#include <map>
#include <random>

#include "stream_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Seqs = std::vector<uint64_t>;
constexpr WallNanos kSecond = 1'000'000'000;

class Figures final : public MetricSink {
 public:
  void counter(std::string_view name, std::string_view, const MetricLabels&, double v) override {
    values[std::string(name)] = v;
  }
  void gauge(std::string_view name, std::string_view, const MetricLabels&, double v) override {
    values[std::string(name)] = v;
  }
  std::map<std::string, double> values;
};

class Ttl : public StreamWorld {
 protected:
  void put(std::string_view subject, const std::string& ttl) {
    publish(subject, "x", {{"Nats-TTL", ttl}});
    settle();
    caught_.clear();
  }
  void put(std::string_view subject) {
    publish(subject);
    settle();
    caught_.clear();
  }
  double figure(const std::string& name) {
    Figures figures;
    streams().collect(figures);
    return figures.values.at(name);
  }
  double indexed() { return figure("sluice_stream_ttl_messages"); }
  uint64_t stored() { return streams().find("S")->store().state().messages; }
};

TEST(ParseMessageTtl, TakesSecondsDurationsAndNever) {
  auto seconds = [](std::string_view text) {
    const auto ttl = parse_message_ttl(text);
    return !ttl ? -2 : ttl->never ? -1 : ttl->life.count();
  };
  EXPECT_EQ(seconds("5"), 5);
  EXPECT_EQ(seconds("+5s"), 5);
  EXPECT_EQ(seconds("90s"), 90);
  EXPECT_EQ(seconds("1m30s"), 90);
  EXPECT_EQ(seconds("1h"), 3600);
  EXPECT_EQ(seconds("1500ms"), 1);
  EXPECT_EQ(seconds("1s"), 1);
  EXPECT_EQ(seconds("never"), -1);
  EXPECT_EQ(seconds("Never"), -1);
  for (std::string_view bad : {"", "0", "0s", "-1", "-5s", "999ms", "abc", "1x", "5 ", "1.5", "+5",
                               "nevers", "-never", "99999999999999999999", "3000000h"})
    EXPECT_EQ(seconds(bad), -2) << bad;
}

TEST(TtlIndex, OrdersByDueTimeAndForgets) {
  TtlIndex index;
  EXPECT_EQ(index.insert(StreamSeq(1), 0, {.life = 9s}), 9 * kSecond);
  index.insert(StreamSeq(2), 0, {.life = 3s});
  EXPECT_FALSE(index.insert(StreamSeq(3), 0, {.never = true}));
  index.insert(StreamSeq(4), 0, {.never = true});
  index.insert(StreamSeq(6), 0, {.life = std::chrono::seconds(INT64_MAX)});
  EXPECT_EQ(index.next_due()->seq, StreamSeq(2));
  EXPECT_EQ(index.first_never(), StreamSeq(3));
  EXPECT_EQ(index.after_never_run(StreamSeq(3)), StreamSeq(5));
  EXPECT_EQ(index.after_never_run(StreamSeq(2)), StreamSeq(2));
  index.forget(StreamSeq(2));
  index.forget(StreamSeq(2));
  EXPECT_EQ(index.next_due()->seq, StreamSeq(1));
  index.forget_below(StreamSeq(4));
  EXPECT_EQ(index.next_due()->at, INT64_MAX);
  EXPECT_EQ(index.first_never(), StreamSeq(4));
  EXPECT_EQ(index.size(), 2U);
  index.forget_below(StreamSeq(100));
  EXPECT_EQ(index.size(), 0U);
  EXPECT_FALSE(index.next_due());
}

TEST_F(Ttl, Codes) {
  make(R"({"name":"S","subjects":["a"],"allow_msg_ttl":true})");
  EXPECT_EQ(error_of(ack("a", "x", {{"Nats-TTL", "0"}})), "10165 invalid per-message TTL");
  EXPECT_EQ(error_of(ack("a", "x", {{"Nats-TTL", "500ms"}})), "10165 invalid per-message TTL");
  EXPECT_EQ(ack("a", "x", {{"Nats-TTL", "1s"}}), R"({"stream":"S","seq":1})");
  EXPECT_EQ(ack("a", "x", {{"Nats-TTL", ""}}), R"({"stream":"S","seq":2})");
  // Where TTLs are off, a malformed one is refused as any other.
  make(R"({"name":"T","subjects":["b"]})");
  EXPECT_EQ(error_of(ack("b", "x", {{"Nats-TTL", "zzz"}})), "10166 per-message TTL is disabled");
  EXPECT_EQ(error_of(ack("b", "x", {{"Nats-TTL", "1s"}, {"Nats-Expected-Stream", "S"}})),
            "10060 expected stream does not match");
}

TEST_F(Ttl, CanBeSwitchedOnButNotOff) {
  make(R"({"name":"S","subjects":["a"]})");
  auto update = [this](std::string_view json) {
    auto stream = streams().update(*parse_stream_config(json));
    settle();
    return stream ? "" : stream.error().detail;
  };
  EXPECT_EQ(update(R"({"name":"S","subjects":["a"],"allow_msg_ttl":true})"), "");
  put("a", "1");
  EXPECT_EQ(update(R"({"name":"S","subjects":["a"]})"), "message TTL status can not be disabled");
  // A sealed stream keeps its limits and loses what is due, as the reference does.
  EXPECT_EQ(update(R"({"name":"S","subjects":["a"],"allow_msg_ttl":true,"sealed":true})"), "");
  sim_.advance(2s);
  EXPECT_EQ(stored(), 0U);
}

TEST_F(Ttl, ExpiresWithinASecondInAnyOrder) {
  Stream& s = make(R"({"name":"S","subjects":["a.*"],"allow_msg_ttl":true})");
  RecordingObserver o;
  s.add_observer(o);
  put("a.1", "30s");
  put("a.2");
  put("a.3", "2");
  put("a.4", "1500ms");
  EXPECT_EQ(indexed(), 3);
  sim_.advance(900ms);
  EXPECT_EQ(seqs(s), Seqs({1, 2, 3, 4}));
  sim_.advance(1s);
  EXPECT_EQ(seqs(s), Seqs({1, 2, 3}));
  sim_.advance(1s);
  EXPECT_EQ(seqs(s), Seqs({1, 2}));
  sim_.advance(27s);
  EXPECT_EQ(seqs(s), Seqs({1, 2}));
  sim_.advance(1s);
  EXPECT_EQ(seqs(s), Seqs({2}));
  ASSERT_EQ(o.removed.size(), 3U);
  EXPECT_EQ(o.removed[0], std::make_pair(uint64_t{4}, std::string("a.4")));
  EXPECT_EQ(indexed(), 0);
  EXPECT_EQ(figure("sluice_stream_expired_total"), 3);
  s.remove_observer(o);
}

TEST_F(Ttl, NewMessagesDoNotDelayOlderOnes) {
  make(R"({"name":"S","subjects":["k","a"],"allow_msg_ttl":true,"max_msgs_per_subject":1,
           "max_age":2000000000,"duplicate_window":1000000000})");
  put("a");
  for (int i = 0; i < 30; ++i) {
    put("k", "1s");
    sim_.advance(100ms);
  }
  EXPECT_EQ(stored(), 1U);
  EXPECT_EQ(indexed(), 1);
}

TEST_F(Ttl, RemovesManyInSlices) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"allow_msg_ttl":true})");
  for (int i = 0; i < 2500; ++i) publish("a", "x", {{"Nats-TTL", "1"}}, "");
  publish("a", "x", {}, "");
  settle();
  sim_.advance(2s);
  EXPECT_EQ(seqs(s), Seqs({2501}));
  EXPECT_EQ(indexed(), 0);
}

TEST_F(Ttl, ShorterOfAgeAndTtlWinsAndNeverStays) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"allow_msg_ttl":true,"max_age":5000000000})");
  put("a", "never");
  put("a", "60s");
  put("a", "never");
  put("a", "2s");
  put("a");
  sim_.advance(3s);
  EXPECT_EQ(seqs(s), Seqs({1, 2, 3, 5}));
  put("a", "never");
  put("a");
  sim_.advance(3s);
  EXPECT_EQ(seqs(s), Seqs({1, 3, 6, 7}));
  sim_.advance(3s);
  EXPECT_EQ(seqs(s), Seqs({1, 3, 6}));
  EXPECT_EQ(indexed(), 3);
  put("a");
  sim_.advance(6s);
  EXPECT_EQ(seqs(s), Seqs({1, 3, 6}));
  restart();
  put("a");
  sim_.advance(6s);
  EXPECT_EQ(seqs(*streams().find("S")), Seqs({1, 3, 6}));
}

TEST_F(Ttl, AgeRemovesManyAroundNevers) {
  Stream& s = make(R"({"name":"S","subjects":["a"],"allow_msg_ttl":true,"max_age":5000000000})");
  RecordingObserver o;
  s.add_observer(o);
  for (int i = 1; i <= 4000; ++i) {
    const bool never = i >= 1000 && i % 2 == 0;
    publish("a", "x", {{"Nats-TTL", never ? "never" : ""}}, "");
  }
  settle();
  sim_.advance(6s);
  EXPECT_EQ(s.store().state().messages, 1501U);
  EXPECT_EQ(indexed(), 1501);
  EXPECT_EQ(s.store().state().first_seq.value(), 1000U);
  // What stands below the first of them went at once, the others one by one.
  EXPECT_EQ(o.purged_below, Seqs({1000}));
  EXPECT_EQ(o.removed.size(), 1500U);
  s.remove_observer(o);
}

TEST_F(Ttl, SurvivesARestart) {
  make(R"({"name":"S","subjects":["a"],"allow_msg_ttl":true})");
  put("a", "10s");
  put("a", "3s");
  put("a", "never");
  put("a");
  sim_.advance(1s);
  restart();
  EXPECT_EQ(indexed(), 3);
  EXPECT_EQ(stored(), 4U);
  sim_.advance(3s);
  EXPECT_EQ(seqs(*streams().find("S")), Seqs({1, 3, 4}));
  // Down while it came due.
  streams_.reset();
  sim_.advance(20s);
  store_.forget_listeners();
  streams();
  sim_.advance(1s);
  EXPECT_EQ(seqs(*streams().find("S")), Seqs({3, 4}));
}

TEST_F(Ttl, EveryWayOfRemovalLeavesNoEntry) {
  Stream& s = make(R"({"name":"S","subjects":["a.*"],"allow_msg_ttl":true,"allow_rollup_hdrs":true,
                       "max_msgs_per_subject":3})");
  auto fill = [this] {
    for (int i = 0; i < 12; ++i)
      put("a." + std::to_string(i % 4), i % 3 == 0 ? "never" : "1h");
  };
  fill();
  EXPECT_EQ(indexed(), 12);
  ASSERT_TRUE(purge_now(s, {}));
  EXPECT_EQ(indexed(), 0);
  fill();
  ASSERT_TRUE(purge_now(s, {.filter = "a.1", .below = {}, .keep = 0}));
  EXPECT_EQ(indexed(), 9);
  ASSERT_TRUE(purge_now(s, {.filter = "", .below = {}, .keep = 4}));
  EXPECT_EQ(indexed(), 4);
  const uint64_t last = s.store().state().last_seq.value();
  ASSERT_TRUE(s.delete_message(StreamSeq(last), true));
  EXPECT_EQ(indexed(), 3);
  ASSERT_TRUE(purge_now(s, {.filter = "", .below = StreamSeq(last + 100), .keep = 0}));
  EXPECT_EQ(indexed(), 0);
  for (int i = 0; i < 5; ++i) put("a.1", "1h");
  EXPECT_EQ(indexed(), 3);  // the limit of the subject
  ack("a.1", "x", {{"Nats-Rollup", "sub"}});
  EXPECT_EQ(indexed(), 0);
  fill();
  ack("a.9", "x", {{"Nats-Rollup", "all"}, {"Nats-TTL", "1h"}});
  EXPECT_EQ(indexed(), 1);
}

TEST_F(Ttl, KeyValueBucket) {
  Stream& s = make(
      R"({"name":"KV_b","subjects":["$KV.b.>"],"max_msgs_per_subject":1,"max_msgs":2,"discard":"new",
          "allow_rollup_hdrs":true,"deny_delete":true,"allow_direct":true,"allow_msg_ttl":true})");
  ack("$KV.b.k", "1", {{"Nats-TTL", "2"}});
  ack("$KV.b.l", "1");
  EXPECT_EQ(error_of(ack("$KV.b.m")), "10077 maximum messages exceeded");
  // A later value without a TTL replaces the one that had one.
  ack("$KV.b.k", "2");
  EXPECT_EQ(indexed(), 0);
  sim_.advance(5s);
  EXPECT_EQ(seqs(s), Seqs({2, 3}));
  ack("$KV.b.k", "", {{"KV-Operation", "PURGE"}, {"Nats-Rollup", "sub"}, {"Nats-TTL", "1"}});
  sim_.advance(2s);
  EXPECT_EQ(seqs(s), Seqs({2}));
  EXPECT_EQ(ack("$KV.b.m", "1", {{"Nats-Expected-Last-Subject-Sequence", "0"}}),
            R"({"stream":"KV_b","seq":5})");
}

/// Against a model: after any mix of publishes, deletes, purges, time and restarts, exactly the
/// messages that are stored and have a TTL are indexed, and none that is a second overdue is stored.
TEST_F(Ttl, AgreesWithAModel) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  make(R"({"name":"S","subjects":["a.*"],"allow_msg_ttl":true,"max_age":20000000000,"max_msgs":40,
           "max_msgs_per_subject":12,"duplicate_window":1000000000})");
  constexpr WallNanos kNever = INT64_MAX;
  std::map<uint64_t, WallNanos> due;  // of every message ever stored
  std::map<uint64_t, bool> has_ttl;
  for (int step = 0; step < 400; ++step) {
    Stream& s = *streams().find("S");
    const std::string subject = "a." + std::to_string(random() % 5);
    const uint64_t last = s.store().state().last_seq.value();
    switch (random() % 12) {
      case 0: sim_.advance(std::chrono::milliseconds(random() % 3000)); break;
      case 1: static_cast<void>(s.delete_message(StreamSeq(1 + random() % (last + 1)), false)); break;
      case 2: ASSERT_TRUE(purge_now(s, {.filter = subject, .below = {}, .keep = random() % 4})); break;
      case 3: ASSERT_TRUE(purge_now(s, {.filter = "", .below = {}, .keep = 5 + random() % 30})); break;
      case 4: if (random() % 4 == 0) restart(); break;
      default: {
        const uint64_t life = random() % 30;
        const std::string ttl = life == 0 ? "never" : life < 20 ? std::to_string(life) : "";
        put(subject, ttl);
        const WallNanos now = sim_.env().clock.wall();
        const auto shorter = static_cast<WallNanos>(ttl.empty() ? 20 : life);
        due[last + 1] = life == 0 ? kNever : now + shorter * kSecond;
        has_ttl[last + 1] = !ttl.empty();
      }
    }
    Stream& now_s = *streams().find("S");
    double expected = 0;
    for (uint64_t seq : seqs(now_s)) {
      expected += has_ttl.at(seq) ? 1 : 0;
      if (due.at(seq) != kNever) {
        ASSERT_GT(due.at(seq) + kSecond, sim_.env().clock.wall()) << "seq " << seq << " step " << step;
      }
    }
    ASSERT_EQ(indexed(), expected) << "step " << step;
  }
}

TEST_F(Ttl, AccountLimitFollowsEveryChange) {
  options_.max_memory_bytes = 100;
  make(R"({"name":"M","subjects":["m"],"storage":"memory","allow_msg_ttl":true})");
  make(R"({"name":"N","subjects":["n"],"storage":"memory"})");
  make(R"({"name":"F","subjects":["f"]})");
  const std::string full = "10002 resource limits exceeded for account";
  ack("f", std::string(500, 'x'));
  ack("m", std::string(40, 'x'));  // 57
  ack("n", std::string(20, 'x'));  // 37
  EXPECT_EQ(error_of(ack("n")), full);
  ASSERT_TRUE(streams().find("M")->delete_message(StreamSeq(1), false));
  EXPECT_EQ(ack("n"), R"({"stream":"N","seq":2})");
  EXPECT_EQ(ack("n", std::string(20, 'x')), R"({"stream":"N","seq":3})");
  EXPECT_EQ(error_of(ack("m")), full);
  ASSERT_TRUE(purge_now(*streams().find("N"), {.filter = "", .below = {}, .keep = 1}));
  EXPECT_EQ(ack("m", std::string(40, 'x')), R"({"stream":"M","seq":2})");
  EXPECT_EQ(error_of(ack("m")), full);
  ASSERT_TRUE(streams().remove("N"));
  EXPECT_EQ(ack("m"), R"({"stream":"M","seq":3})");
}

}  // namespace
}  // namespace sluice
