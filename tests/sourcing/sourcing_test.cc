// Mirrors and sources of a whole engine in the simulated world.
#include <gtest/gtest.h>

#include "../node/node_world.h"

namespace sluice::test {
namespace {

class SourcingTest : public testing::Test {
 protected:
  void SetUp() override {
    w.start();
    c = &w.client("c");
  }
  Json create(std::string_view name, std::string_view rest, std::string_view verb = "CREATE") {
    return w.api(*c, fmt::format("STREAM.{}.{}", verb, name), fmt::format(R"({{"name":"{}",{}}})", name, rest));
  }
  void made(std::string_view name, std::string_view rest) {
    const Json answer = create(name, rest);
    ASSERT_FALSE(answer.contains("error")) << answer.dump();
  }
  void put(std::string_view subject, std::string_view payload, std::string_view headers = "") {
    const Json ack = w.publish(*c, subject, payload, headers);
    ASSERT_FALSE(ack.contains("error")) << ack.dump();
  }
  Json info(std::string_view name) { return w.api(*c, fmt::format("STREAM.INFO.{}", name)); }
  uint64_t count(std::string_view name) { return w.node->streams().find(name)->store().state().messages; }
  uint64_t last(std::string_view name) { return w.node->streams().find(name)->store().state().last_seq.value(); }
  bool until(std::string_view name, uint64_t messages, std::chrono::nanoseconds within = 60s) {
    return w.sim.run_until([&] { return count(name) >= messages; }, within);
  }
  struct Stored {
    uint64_t seq;
    std::string subject, headers, payload;
    WallNanos time;
  };
  std::vector<Stored> all(std::string_view name) {
    std::vector<Stored> out;
    StreamStore& store = w.node->streams().find(name)->store();
    for (StreamSeq from(1);;) {
      const auto m = store.load_next(from, ">");
      if (!m) return out;
      out.push_back({m->seq.value(), std::string(m->subject), std::string(m->headers), std::string(m->payload), m->time});
      from = m->seq.next();
    }
  }
  void restart(Crash kind) {
    w.restart(kind);
    c = &w.client("c");
  }

  NodeWorld w;
  NodeClient* c = nullptr;
};

TEST_F(SourcingTest, MirrorIsTheSameToTheByte) {
  made("O", R"("subjects":["o.>"])");
  for (int i = 0; i < 20; ++i) put(fmt::format("o.{}", i % 3), fmt::format("p{}", i), "NATS/1.0\r\nK: v\r\n\r\n");
  w.api(*c, "STREAM.MSG.DELETE.O", R"({"seq":1})");
  w.api(*c, "STREAM.MSG.DELETE.O", R"({"seq":7})");
  made("M", R"("mirror":{"name":"O"})");
  ASSERT_TRUE(until("M", 18));
  const auto from = all("O");
  const auto to = all("M");
  ASSERT_EQ(from.size(), to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    EXPECT_EQ(from[i].seq, to[i].seq);
    EXPECT_EQ(from[i].subject, to[i].subject);
    EXPECT_EQ(from[i].headers, to[i].headers);
    EXPECT_EQ(from[i].payload, to[i].payload);
    EXPECT_EQ(from[i].time, to[i].time);
  }
  EXPECT_EQ(info("M")["state"]["num_deleted"], 1);
  put("o.live", "now");
  ASSERT_TRUE(until("M", 19));
  w.sim.advance(1500ms);
  const Json mirror = info("M")["mirror"];
  EXPECT_EQ(mirror["lag"], 0);
  EXPECT_LT(mirror["active"].get<int64_t>(), 2'000'000'000);
  EXPECT_GE(mirror["active"].get<int64_t>(), 0);
  EXPECT_FALSE(mirror.contains("error")) << mirror.dump();
  // The consumers of mirrors are nobody's business.
  EXPECT_EQ(info("O")["state"]["consumer_count"], 0);
  EXPECT_EQ(w.api(*c, "CONSUMER.NAMES.O")["total"], 0);
}

TEST_F(SourcingTest, MirrorTakesNoPublishes) {
  made("O", R"("subjects":["o.>"])");
  made("M", R"("mirror":{"name":"O"})");
  EXPECT_EQ(w.ask(*c, "M", "x").status(), "503");
  EXPECT_EQ(create("M", R"("mirror":{"name":"O"},"subjects":["x"])", "UPDATE")["error"]["err_code"], 10034);
}

TEST_F(SourcingTest, MirrorBecomesAStreamOfItsOwn) {
  made("O", R"("subjects":["o.>"])");
  for (int i = 0; i < 5; ++i) put("o.a", "x");
  made("M", R"("mirror":{"name":"O"})");
  ASSERT_TRUE(until("M", 5));
  const Json promoted = create("M", R"("subjects":["m"])", "UPDATE");
  ASSERT_FALSE(promoted.contains("error")) << promoted.dump();
  EXPECT_FALSE(promoted.contains("mirror"));
  EXPECT_EQ(w.publish(*c, "m", "own")["seq"], 6);
  put("o.a", "later");
  w.sim.advance(20s);
  EXPECT_EQ(count("M"), 6u);
  EXPECT_EQ(create("M", R"("mirror":{"name":"O"})", "UPDATE")["error"]["err_code"], 10055);
}

TEST_F(SourcingTest, MirrorFiltersTransformsAndStartsWhereTold) {
  made("O", R"("subjects":["o.>"])");
  for (int i = 1; i <= 9; ++i) put(fmt::format("o.{}", i % 3), fmt::format("{}", i));
  made("F", R"("mirror":{"name":"O","filter_subject":"o.1"})");
  made("T", R"("mirror":{"name":"O","subject_transforms":[{"src":"o.1","dest":"one"},{"src":"o.2","dest":""}]})");
  made("S", R"("mirror":{"name":"O","opt_start_seq":7})");
  ASSERT_TRUE(until("F", 3) && until("T", 6) && until("S", 3));
  EXPECT_EQ(all("F")[2].seq, 7u);
  EXPECT_EQ(all("T")[0].subject, "one");
  EXPECT_EQ(all("T")[1].subject, "o.2");
  EXPECT_EQ(info("S")["state"]["first_seq"], 7);
}

TEST_F(SourcingTest, ASumOfCountersSurvivesPowerCuts) {
  made("A", R"("subjects":["a.>"],"allow_msg_counter":true)");
  made("B", R"("subjects":["b.>"],"allow_msg_counter":true)");
  made("SUM", R"("subjects":["sum.>"],"allow_msg_counter":true,"max_msgs_per_subject":2,"sources":[)"
              R"({"name":"A","subject_transforms":[{"src":"a.>","dest":"sum.>"}]},)"
              R"({"name":"B","subject_transforms":[{"src":"b.>","dest":"sum.>"}]}])");
  made("TOP", R"("allow_msg_counter":true,"sources":[{"name":"SUM"}])");
  const auto add = [&](std::string_view subject, int by) {
    put(subject, "", fmt::format("NATS/1.0\r\nNats-Incr: {}\r\n\r\n", by));
  };
  const auto sum = [&](std::string_view stream) {
    const auto newest = w.node->streams().find(stream)->store().load_last("sum.x");
    return newest ? std::string(newest->payload) : std::string();
  };
  int total = 0;
  for (int round = 0; round < 4; ++round) {
    for (int i = 1; i <= 20; ++i) {
      add(i % 2 == 0 ? "a.x" : "b.x", i * (i % 3 == 0 ? -1 : 1));
      total += i * (i % 3 == 0 ? -1 : 1);
    }
    add("sum.x", 1000);
    total += 1000;
    if (round % 2 == 0) restart(Crash::kPower);
    const std::string wanted = fmt::format(R"({{"val":"{}"}})", total);
    EXPECT_TRUE(w.sim.run_until([&] { return sum("SUM") == wanted && sum("TOP") == wanted; }, 60s))
        << "seed " << w.sim.seed() << ": " << sum("SUM") << " " << sum("TOP") << " instead of " << wanted;
  }
}

TEST_F(SourcingTest, ACounterTakesCopiesOfCountersOnly) {
  made("N", R"("subjects":["n.>"])");
  put("n.x", R"({"val":"5"})");
  made("SUM", R"("subjects":["sum.>"],"allow_msg_counter":true,"sources":[{"name":"N"}])");
  ASSERT_TRUE(w.sim.run_until([&] { return info("SUM")["sources"][0].contains("error"); }, 60s));
  EXPECT_EQ(info("SUM")["sources"][0]["error"]["err_code"], 10169);
  EXPECT_EQ(count("SUM"), 0u);
}

TEST_F(SourcingTest, SourcesGetNewSequencesAndTheHeader) {
  made("A", R"("subjects":["a.>"])");
  made("B", R"("subjects":["b.>"])");
  put("a.1", "x", "NATS/1.0\r\nNats-Msg-Id: i\r\nNats-Expected-Stream: A\r\n\r\n");
  put("b.1", "y");
  made("S", R"("subjects":["s"],"sources":[{"name":"A"},{"name":"B","subject_transforms":[{"src":"b.*","dest":"t.$1"}]}])");
  ASSERT_TRUE(until("S", 2));
  for (const auto& m : all("S")) {
    if (m.payload == "x") {
      EXPECT_TRUE(m.headers.starts_with("NATS/1.0\r\nNats-Msg-Id: i\r\nNats-Stream-Source: A 1 > > a.1 ")) << m.headers;
    } else {
      EXPECT_EQ(m.subject, "t.1");
      EXPECT_TRUE(m.headers.starts_with("NATS/1.0\r\nNats-Stream-Source: B 1 b.* t.$1 b.1 ")) << m.headers;
    }
  }
  EXPECT_EQ(w.publish(*c, "s", "own")["seq"], 3);
  EXPECT_EQ(info("S")["sources"][0]["seq"], 1);
}

TEST_F(SourcingTest, TheSameOriginTwiceByDifferentFilters) {
  made("O", R"("subjects":["o.>"])");
  for (int i = 0; i < 10; ++i) put(i % 2 == 0 ? "o.even" : "o.odd", fmt::format("{}", i));
  made("S", R"("sources":[{"name":"O","filter_subject":"o.even"},{"name":"O","filter_subject":"o.odd","opt_start_seq":5}])");
  ASSERT_TRUE(until("S", 8));
  w.sim.advance(3s);
  EXPECT_EQ(count("S"), 8u);
  restart(Crash::kKill);
  put("o.even", "n");
  ASSERT_TRUE(until("S", 9));
  w.sim.advance(15s);
  EXPECT_EQ(count("S"), 9u);
}

TEST_F(SourcingTest, AnOriginThatComesLaterIsTakenAtOnce) {
  made("M", R"("mirror":{"name":"O"})");
  w.sim.advance(2s);
  const Json waiting = info("M")["mirror"];
  EXPECT_EQ(waiting["error"]["err_code"], 10059) << waiting.dump();
  EXPECT_EQ(waiting["active"], -1);
  made("O", R"("subjects":["o.>"])");
  put("o.a", "x");
  ASSERT_TRUE(until("M", 1, 2s));
  EXPECT_FALSE(info("M")["mirror"].contains("error"));
}

TEST_F(SourcingTest, ADeletedOriginIsTold) {
  made("O", R"("subjects":["o.>"])");
  put("o.a", "x");
  made("M", R"("mirror":{"name":"O"})");
  ASSERT_TRUE(until("M", 1));
  w.api(*c, "STREAM.DELETE.O");
  w.sim.advance(13s);
  const Json mirror = info("M")["mirror"];
  ASSERT_TRUE(mirror.contains("error")) << mirror.dump();
  EXPECT_GT(mirror["active"].get<int64_t>(), 10'000'000'000);
  EXPECT_EQ(count("M"), 1u);
}

TEST_F(SourcingTest, ASourceStartsFromScratchOnARemadeOrigin) {
  made("O", R"("subjects":["o.>"])");
  for (int i = 0; i < 5; ++i) put("o.a", "old");
  made("S", R"("sources":[{"name":"O"}])");
  ASSERT_TRUE(until("S", 5));
  w.api(*c, "STREAM.DELETE.O");
  w.sim.advance(1ms);  // a stream's identity is its time of creation
  made("O", R"("subjects":["o.>"])");
  put("o.a", "new");
  ASSERT_TRUE(until("S", 6)) << info("S").dump();
  EXPECT_EQ(all("S").back().payload, "new");
  restart(Crash::kKill);
  put("o.a", "newer");
  ASSERT_TRUE(until("S", 7));
  w.sim.advance(15s);
  EXPECT_EQ(count("S"), 7u);
}

TEST_F(SourcingTest, AMirrorSaysThatItsOriginWasRemade) {
  made("O", R"("subjects":["o.>"])");
  for (int i = 0; i < 3; ++i) put("o.a", "old");
  made("M", R"("mirror":{"name":"O"})");
  ASSERT_TRUE(until("M", 3));
  w.api(*c, "STREAM.DELETE.O");
  w.sim.advance(1ms);  // a stream's identity is its time of creation
  made("O", R"("subjects":["o.>"])");
  for (int i = 0; i < 4; ++i) put("o.a", "new");
  w.sim.advance(20s);
  const Json mirror = info("M")["mirror"];
  ASSERT_TRUE(mirror.contains("error")) << mirror.dump();
  EXPECT_NE(mirror["error"]["description"].get<std::string>().find("made anew"), std::string::npos);
  EXPECT_EQ(all("M").back().seq, 4u);
}

TEST_F(SourcingTest, OriginsLoseTheirMessagesMirrorsDoNot) {
  made("O", R"("subjects":["o.>"])");
  for (int i = 0; i < 5; ++i) put("o.a", "x");
  made("M", R"("mirror":{"name":"O"})");
  ASSERT_TRUE(until("M", 5));
  w.api(*c, "STREAM.PURGE.O");
  put("o.a", "after");
  ASSERT_TRUE(until("M", 6));
  EXPECT_EQ(last("M"), 6u);
}

TEST_F(SourcingTest, ARefusalStallsTheSourceUntilThereIsRoom) {
  made("O", R"("subjects":["o.>"])");
  for (int i = 0; i < 4; ++i) put("o.a", fmt::format("{}", i));
  made("S", R"("subjects":["s"],"max_msgs":2,"discard":"new","sources":[{"name":"O"}])");
  ASSERT_TRUE(until("S", 2));
  w.sim.advance(3s);
  EXPECT_EQ(info("S")["sources"][0]["error"]["err_code"], 10077);
  w.api(*c, "STREAM.PURGE.S");
  ASSERT_TRUE(w.sim.run_until([&] { return last("S") == 4; }, 60s));
  EXPECT_EQ(all("S")[0].payload, "2");
  EXPECT_EQ(all("S")[1].payload, "3");
}

TEST_F(SourcingTest, DuplicatesByIdArePassedOver) {
  made("A", R"("subjects":["a"])");
  made("B", R"("subjects":["b"])");
  const std::string id = "NATS/1.0\r\nNats-Msg-Id: same\r\n\r\n";
  put("a", "1", id);
  put("b", "2", id);
  put("b", "3");
  made("S", R"("sources":[{"name":"A"},{"name":"B"}],"duplicate_window":120000000000)");
  ASSERT_TRUE(until("S", 2));
  w.sim.advance(15s);
  EXPECT_EQ(count("S"), 2u);
}

TEST_F(SourcingTest, SourcesCanBeAddedAndTakenAway) {
  made("A", R"("subjects":["a"])");
  made("B", R"("subjects":["b"])");
  put("a", "1");
  put("b", "1");
  made("S", R"("sources":[{"name":"A"}])");
  ASSERT_TRUE(until("S", 1));
  ASSERT_FALSE(create("S", R"("sources":[{"name":"A"},{"name":"B"}])", "UPDATE").contains("error"));
  ASSERT_TRUE(until("S", 2));
  w.sim.advance(3s);
  EXPECT_EQ(count("S"), 2u);  // A went on, it did not begin again
  ASSERT_FALSE(create("S", R"("sources":[{"name":"B"}])", "UPDATE").contains("error"));
  put("a", "2");
  put("b", "2");
  ASSERT_TRUE(until("S", 3));
  w.sim.advance(3s);
  EXPECT_EQ(count("S"), 3u);
  EXPECT_EQ(info("S")["sources"].size(), 1u);
}

TEST_F(SourcingTest, CatchesUpWithMoreThanOneWindow) {
  made("O", R"("subjects":["o"],"storage":"memory")");
  const std::string payload(60'000, 'x');
  for (int i = 0; i < 150; ++i) put("o", payload);
  made("M", R"("mirror":{"name":"O"})");
  ASSERT_TRUE(until("M", 150));
  EXPECT_EQ(last("M"), 150u);
}

TEST_F(SourcingTest, MirrorsOfBucketsMapTheirKeys) {
  made("KV_a", R"("subjects":["$KV.a.>"],"max_msgs_per_subject":1,"discard":"new","allow_rollup_hdrs":true)");
  put("$KV.a.k", "v1");
  put("$KV.a.k", "v2");
  made("KV_b", R"("sources":[{"name":"KV_a","subject_transforms":[{"src":"$KV.a.>","dest":"$KV.b.>"}]}],)"
               R"("max_msgs_per_subject":1,"discard":"new","allow_rollup_hdrs":true,"subjects":["$KV.b.>"])");
  ASSERT_TRUE(w.sim.run_until([&] { return count("KV_b") == 1; }, 10s));
  EXPECT_EQ(all("KV_b")[0].subject, "$KV.b.k");
  EXPECT_EQ(all("KV_b")[0].payload, "v2");
  put("$KV.a.k", "", "NATS/1.0\r\nKV-Operation: PURGE\r\nNats-Rollup: sub\r\n\r\n");
  ASSERT_TRUE(w.sim.run_until([&] { return all("KV_b")[0].payload.empty(); }, 10s));
  EXPECT_EQ(count("KV_b"), 1u);
}

TEST_F(SourcingTest, MirrorsAnswerDirectGetsForTheirOrigin) {
  made("O", R"("subjects":["o.>"],"allow_direct":true)");
  put("o.a", "x");
  made("M", R"("mirror":{"name":"O"})");
  EXPECT_TRUE(info("M")["config"]["mirror_direct"].get<bool>());
  ASSERT_TRUE(until("M", 1));
  for (int i = 0; i < 20; ++i) {
    const std::string inbox = c->request("$JS.API.DIRECT.GET.O.o.a", "");
    w.sim.advance(100ms);
    const auto got = c->take(inbox);  // one answer, whoever gives it
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].payload, "x");
  }
  w.api(*c, "STREAM.DELETE.O");
  w.sim.advance(1s);
  EXPECT_EQ(w.ask(*c, "$JS.API.DIRECT.GET.O.o.a").payload, "x");
}

// -- crashes: nothing twice, nothing missing

class SourcingCrash : public testing::TestWithParam<uint64_t> {};

TEST_P(SourcingCrash, NothingTwiceNothingMissing) {
  SCOPED_TRACE(fmt::format("seed {}", GetParam()));
  NodeWorld w(GetParam());
  w.start();
  NodeClient* c = &w.client("c");
  const auto must = [&](std::string_view verb, std::string_view body) {
    const Json answer = w.api(*c, verb, body);
    ASSERT_FALSE(answer.contains("error")) << answer.dump();
  };
  must("STREAM.CREATE.O", R"({"name":"O","subjects":["o.>"]})");
  must("STREAM.CREATE.M", R"({"name":"M","mirror":{"name":"O"}})");
  must("STREAM.CREATE.S", R"({"name":"S","sources":[{"name":"O"}]})");
  must("STREAM.CREATE.P", R"({"name":"P","sources":[{"name":"O"}],"max_msgs":3})");
  uint64_t acked = 0;
  Random& random = w.sim.env().random;
  for (int round = 0; round < 6; ++round) {
    for (uint64_t i = 0, n = random.below(30); i < n; ++i) {
      const std::string inbox = c->request(fmt::format("o.{}", i % 4), fmt::format("{}", ++acked));
      if (random.below(4) == 0) w.sim.advance(std::chrono::milliseconds(random.below(30)));
      ASSERT_TRUE(w.sim.run_until([&] { return c->waiting(inbox) > 0; }, 10s));
    }
    if (random.below(3) == 0) must("STREAM.PURGE.S", "");
    w.sim.advance(std::chrono::milliseconds(random.below(2500)));
    w.restart(random.below(2) == 0 ? Crash::kKill : Crash::kPower);
    c = &w.client("c");
  }
  const auto store = [&](std::string_view name) -> StreamStore& { return w.node->streams().find(name)->store(); };
  ASSERT_TRUE(w.sim.run_until([&] { return store("M").state().last_seq.value() == acked; }, 60s));
  EXPECT_EQ(store("M").state().messages, acked);
  ASSERT_TRUE(w.sim.run_until([&] { return store("S").state().last_seq.value() >= acked; }, 60s));
  ASSERT_TRUE(w.sim.run_until([&] { return store("P").state().last_seq.value() >= acked; }, 60s));
  w.sim.advance(15s);
  // One own sequence for each of the origin's, whatever was purged or pushed out meanwhile.
  EXPECT_EQ(store("S").state().last_seq.value(), acked);
  EXPECT_EQ(store("P").state().last_seq.value(), acked);
  for (const std::string_view name : {"S", "P"}) {
    uint64_t before = 0;
    for (StreamSeq from(1);;) {
      const auto m = store(name).load_next(from, ">");
      if (!m) break;
      const uint64_t value = std::stoull(std::string(m->payload));
      EXPECT_GT(value, before);
      before = value;
      from = m->seq.next();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SourcingCrash, testing::Range<uint64_t>(1, 13));

}  // namespace
}  // namespace sluice::test
