// Orderly stop, a disk that fails, a disk that is full.
#include "node_world.h"

namespace sluice::test {
namespace {

using Lines = std::vector<std::string>;

// -- stop

TEST(NodeStop, WaitingPullIsToldAndEverythingIsOnDisk) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s");
  w.make_consumer(c, "S", "C");
  w.make_consumer(c, "S", "D");
  for (int i = 1; i <= 3; ++i) w.publish(c, "s", fmt::format("{}", i));
  const auto got = w.pull(c, "S", "C", 3);
  ASSERT_EQ(got.size(), 3u);
  for (const Received& m : got) w.ack(c, m);  // not waited for
  w.sim.settle();
  const std::string pull = c.request("$JS.API.CONSUMER.MSG.NEXT.S.C", R"({"batch":5,"expires":60000000000})");
  w.sim.run_until_idle();
  w.sim.disk_workers().set_latency(1ms, 5ms);
  c.publish("s", "4");  // on its way when the stop comes
  std::optional<Status> done;
  w.sim.run_until_idle();
  w.node->stop(100ms, [&](Status status) { done = std::move(status); });
  ASSERT_TRUE(w.sim.run_until([&] { return done.has_value(); }, 10s));
  EXPECT_TRUE(done->has_value()) << done->error().detail;
  const auto told = c.take(pull);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].status(), "409 Server Shutdown");
  EXPECT_TRUE(c.closed());
  w.sim.disk_workers().set_latency(0ns, 0ns);

  w.restart(Crash::kPower);
  auto& again = w.client("c");
  EXPECT_EQ(w.stream_state(again, "S")["messages"], 4);
  const Json info = w.consumer_info(again, "S", "C");
  EXPECT_EQ(info["ack_floor"]["stream_seq"], 3) << info.dump();
  EXPECT_EQ(info["num_pending"], 1) << info.dump();
}

TEST(NodeStop, PublishOnItsWayIsAckedWithinTheGrace) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s");
  w.sim.settle();
  w.sim.disk_workers().set_latency(5ms, 5ms);
  const std::string inbox = c.request("s", "m");
  w.sim.run_until_idle();
  bool done = false;
  w.node->stop(100ms, [&](Status) { done = true; });
  ASSERT_TRUE(w.sim.run_until([&] { return done; }, 10s));
  ASSERT_EQ(c.waiting(inbox), 1u);
  EXPECT_EQ(c.take(inbox)[0].payload, R"({"stream":"S","seq":1})");
}

TEST(NodeStop, WithoutGraceNothingAckedIsLost) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    NodeWorld w(seed);
    w.start();
    auto& c = w.client("c");
    w.make_stream(c, "S", "s");
    w.sim.settle();
    w.sim.disk_workers().set_latency(100us, 3ms);
    Lines inboxes;
    for (int i = 0; i < 30; ++i) {
      inboxes.push_back(c.request("s", "m"));
      w.sim.advance(std::chrono::microseconds(w.sim.random().below(600)));
    }
    std::optional<Status> done;
    w.node->stop(0ns, [&](Status status) { done = std::move(status); });
    ASSERT_TRUE(w.sim.run_until([&] { return done.has_value(); }, 10s));
    EXPECT_TRUE(done->has_value());
    size_t acked = 0;
    for (const auto& inbox : inboxes) acked += c.waiting(inbox);
    w.sim.disk_workers().set_latency(0ns, 0ns);
    w.restart(Crash::kPower);
    EXPECT_GE(w.node->streams().find("S")->store().state().messages, acked);
  }
}

TEST(NodeStop, DestroyedWithoutPowerCutReopensTheSameDirectory) {
  NodeWorld w;
  w.start();
  w.make_stream(w.client("c"), "S", "s");
  bool done = false;
  w.node->stop(0ns, [&](Status) { done = true; });
  ASSERT_TRUE(w.sim.run_until([&] { return done; }, 1s));
  w.node.reset();
  w.sim.run_until_idle();  // nothing left behind may touch it
  w.start();
  EXPECT_NE(w.node->streams().find("S"), nullptr);
}

TEST(NodeStop, DestroyedInTheMiddleOfWork) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    NodeWorld w(seed);
    w.start();
    auto& c = w.client("c");
    w.make_stream(c, "S", "s", R"(,"retention":"workqueue","max_age":5000000000,"duplicate_window":1000000000)");
    w.make_consumer(c, "S", "C");
    w.sim.settle();
    w.sim.disk_workers().set_latency(1ms, 10ms);
    c.request("$JS.API.CONSUMER.MSG.NEXT.S.C", R"({"batch":5,"expires":60000000000})");
    for (int i = 0; i < 20; ++i) c.request("s", "m");
    c.request("$JS.API.STREAM.CREATE.T", R"({"name":"T","subjects":["t"]})");
    for (uint64_t rounds = w.sim.random().below(20); rounds > 0; --rounds) w.sim.run_round();
    if (seed % 2 == 0) w.node->stop(5ms, [](Status) {});
    w.sim.advance(std::chrono::microseconds(w.sim.random().below(15'000)));
    w.node.reset();
    w.sim.run_until_idle();
    w.sim.advance(10s);
  }
}

/// Timers of streams and consumers run out while the store closes, and after it has closed.
TEST(NodeStop, TimersAfterTheStopDoNoHarm) {
  for (auto latency : {0ms, 700ms}) {
    SCOPED_TRACE(latency.count());
    NodeWorld w;
    w.start();
    auto& c = w.client("c");
    w.make_stream(c, "S", "s", R"(,"max_age":2000000000,"duplicate_window":1000000000)");
    w.make_stream(c, "I", "i", R"(,"retention":"interest")");
    w.make_consumer(c, "S", "C", R"(,"ack_wait":1000000000)");
    w.make_consumer(c, "I", "A", R"(,"ack_wait":1000000000)");
    w.make_consumer(c, "I", "P", R"(,"deliver_subject":"out","ack_wait":1000000000)");
    w.api(c, "CONSUMER.CREATE.S",
          R"({"stream_name":"S","config":{"ack_policy":"explicit","inactive_threshold":1500000000}})");
    c.subscribe("out");
    for (int i = 0; i < 5; ++i) {
      w.publish(c, "s", "m");
      w.publish(c, "i", "m");
    }
    EXPECT_EQ(w.pull(c, "S", "C", 5).size(), 5u);
    EXPECT_EQ(w.pull(c, "I", "A", 5).size(), 5u);
    w.sim.disk_workers().set_latency(latency, latency);
    c.publish("s", "last");
    w.sim.run_until_idle();
    std::optional<Status> done;
    w.node->stop(10ms, [&](Status status) { done = std::move(status); });
    w.sim.advance(60s);
    ASSERT_TRUE(done.has_value());
    EXPECT_TRUE(done->has_value()) << done->error().detail;
    w.sim.disk_workers().set_latency(0ns, 0ns);
    w.crash(Crash::kPower);
    w.start();
    EXPECT_EQ(w.node->streams().find("I")->store().state().messages, 5u);
  }
}

TEST(NodeStop, SecondNodeOnTheSameDirectoryIsRefused) {
  NodeWorld w;
  w.start();
  auto second = Node::make(w.sim.env(), w.options);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Errc::kExists);
}

// -- failed fsync

TEST(NodeFailedSync, NothingIsAcknowledgedAfterwards) {
  NodeWorld w;
  w.start();
  auto* c = &w.client("c");
  w.make_stream(*c, "S", "s", R"(,"allow_direct":true)");
  w.make_consumer(*c, "S", "C");
  EXPECT_EQ(w.publish(*c, "s", "good")["seq"], 1);
  w.sim.settle();

  w.sim.disk().fail_next(DiskOp::kSync, 1, Errc::kIo);
  const std::string lost = c->request("s", "lost");
  const std::string create = c->request("$JS.API.STREAM.CREATE.T", R"({"name":"T","subjects":["t"]})");
  w.sim.settle();
  EXPECT_TRUE(w.node->store().failed());
  for (const Received& got : c->take(lost)) EXPECT_NE(got.payload.find("\"error\""), std::string::npos) << got.payload;
  for (const Received& got : c->take(create)) EXPECT_NE(got.payload.find("\"error\""), std::string::npos) << got.payload;

  const Json refused = w.publish(*c, "s", "more");
  EXPECT_EQ(refused["error"]["err_code"], 10077) << refused.dump();
  EXPECT_EQ(refused["error"]["code"], 503);
  EXPECT_EQ(refused["stream"], "S");
  for (const char* verb : {"INFO", "STREAM.INFO.S", "STREAM.NAMES", "CONSUMER.INFO.S.C", "STREAM.PURGE.S",
                           "STREAM.DELETE.S", "CONSUMER.DELETE.S.C"}) {
    const Json answer = w.api(*c, verb);
    EXPECT_TRUE(answer.contains("error")) << verb << answer.dump();
  }
  // Nobody is shown the message that may not be there tomorrow.
  const std::string direct = c->request("$JS.API.DIRECT.GET.S", R"({"last_by_subj":"s"})");
  const std::string pull = c->request("$JS.API.CONSUMER.MSG.NEXT.S.C", R"({"batch":5,"expires":1000000000})");
  w.sim.advance(1s);
  for (const Received& got : c->take(direct)) EXPECT_NE(got.payload, "lost");
  for (const Received& got : c->take(pull)) EXPECT_NE(got.payload, "lost");
  // Plain messages go on.
  c->subscribe("plain");
  c->publish("plain", "x");
  w.sim.advance(5s);
  EXPECT_EQ(payloads(c->take("plain")), Lines({"x"}));

  std::optional<Status> done;
  w.node->stop(1ms, [&](Status status) { done = std::move(status); });
  ASSERT_TRUE(w.sim.run_until([&] { return done.has_value(); }, 10s));
  EXPECT_FALSE(done->has_value());
  w.restart(Crash::kPower);
  c = &w.client("c");
  EXPECT_EQ(w.node->streams().find("S")->store().load(StreamSeq(1))->payload, "good");
  EXPECT_FALSE(w.publish(*c, "s", "well again").contains("error"));
}

TEST(NodeFailedSync, FailedWriteIsTheSame) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s");
  w.sim.settle();
  w.sim.disk().fail_next(DiskOp::kWrite, 1, Errc::kIo);
  const std::string lost = c.request("s", "lost");
  w.sim.settle();
  EXPECT_TRUE(w.node->store().failed());
  for (const Received& got : c.take(lost)) EXPECT_NE(got.payload.find("\"error\""), std::string::npos) << got.payload;
  EXPECT_EQ(w.publish(c, "s", "more")["error"]["err_code"], 10077);
}

TEST(NodeFailedSync, DeliveredMessagesMayStillBeAckedWithoutHarm) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "Q", "q", R"(,"retention":"workqueue")");
  w.make_consumer(c, "Q", "W", R"(,"ack_wait":1000000000)");
  for (int i = 0; i < 5; ++i) w.publish(c, "q", "m");
  const auto work = w.pull(c, "Q", "W", 5);
  ASSERT_EQ(work.size(), 5u);
  w.sim.settle();
  w.sim.disk().fail_next(DiskOp::kSync, 1, Errc::kIo);
  const std::string confirmed = c.request(work[0].reply, "+ACK");
  w.sim.settle();
  w.sim.advance(5s);
  EXPECT_EQ(c.waiting(confirmed), 0u);  // an ack that is not on disk is not confirmed
  for (const Received& m : work) c.publish(m.reply, "-NAK");
  w.sim.advance(5s);
  EXPECT_TRUE(w.node->store().failed());
}

TEST(NodeFailedSync, StartUpOnADiskThatFailsIsAnErrorAndLosesNothing) {
  int refused = 0;
  for (DiskOp op : {DiskOp::kOpen, DiskOp::kRead, DiskOp::kWrite, DiskOp::kSync, DiskOp::kList, DiskOp::kSyncDir,
                    DiskOp::kMakeDirs, DiskOp::kRename}) {
    for (uint64_t nth = 1; nth <= 6; ++nth) {
      SCOPED_TRACE(fmt::format("op {} nth {}", static_cast<int>(op), nth));
      NodeWorld w;
      w.start();
      auto& c = w.client("c");
      w.make_stream(c, "S", "s");
      w.make_consumer(c, "S", "C");
      for (int i = 1; i <= 5; ++i) w.publish(c, "s", fmt::format("{}", i));
      w.ack_sync(c, w.pull(c, "S", "C", 1).at(0));
      w.crash(Crash::kPower);
      w.sim.disk().fail_next(op, nth, Errc::kIo);
      auto made = Node::make(w.sim.env(), w.options);
      if (made) {
        w.node = *std::move(made);
        w.sim.settle();
        EXPECT_EQ(w.node->streams().find("S")->store().state().messages, 5u);
        EXPECT_EQ(w.node->consumers().count("S"), 1u);
      } else {
        ++refused;
        EXPECT_FALSE(made.error().detail.empty());
      }
      w.restart(Crash::kPower);
      auto& again = w.client("c");
      EXPECT_EQ(w.stream_state(again, "S")["messages"], 5);
      EXPECT_EQ(w.consumer_info(again, "S", "C")["ack_floor"]["stream_seq"], 1);
    }
  }
  EXPECT_GT(refused, 5);
}

// -- disk full

TEST(NodeDiskFull, PublishesAreRefusedAndLaterAccepted) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s");
  w.make_consumer(c, "S", "C");
  w.sim.settle();
  w.sim.disk().set_capacity(w.sim.disk().used_bytes() + 1536 * kKiB);
  const std::string body(32 * kKiB, 'b');
  uint64_t stored = 0;
  Json last;
  for (int i = 0; i < 200; ++i) {
    last = w.publish(c, "s", body);
    w.sim.settle();
    if (last.contains("error")) break;
    EXPECT_EQ(last["seq"], ++stored);
  }
  ASSERT_TRUE(last.contains("error")) << "never full, stored " << stored;
  EXPECT_EQ(last["error"]["err_code"], 10023) << last.dump();
  EXPECT_FALSE(w.node->store().failed());
  // Reads, deliveries and acks go on; deletes too.
  const auto got = w.pull(c, "S", "C", 1);
  ASSERT_EQ(got.size(), 1u);
  w.ack_sync(c, got[0]);
  EXPECT_EQ(w.consumer_info(c, "S", "C")["ack_floor"]["stream_seq"], 1);
  EXPECT_EQ(w.publish(c, "s", body)["error"]["err_code"], 10023);
  const Json refused = w.api(c, "STREAM.CREATE.T", R"({"name":"T","subjects":["t"]})");
  EXPECT_EQ(refused["error"]["err_code"], 10049) << refused.dump();
  EXPECT_EQ(w.api(c, "STREAM.MSG.DELETE.S", R"({"seq":2})")["success"], true);
  w.make_consumer(c, "S", "D");
  EXPECT_EQ(w.api(c, "CONSUMER.DELETE.S.D")["success"], true);

  w.sim.disk().set_capacity(1ULL << 40);
  w.sim.advance(30s);
  const Json accepted = w.publish(c, "s", "again");
  EXPECT_EQ(accepted["seq"], stored + 1) << accepted.dump();
  EXPECT_EQ(w.stream_state(c, "S")["messages"], stored);  // one was deleted
}

/// $JS.EVENT.ADVISORY.SERVER.OUT_OF_STORAGE, in the system account, once for each time that the disk gets full.
TEST(NodeDiskFull, IsToldToTheSystemAccountOnceAnEpisode) {
  NodeWorld w;
  w.options.server.accounts = {{.name = "A", .users = {{"a", "p"}}, .jetstream = JetStreamLimits{}},
                               {.name = "SYS", .users = {{"s", "p"}}}};
  w.options.server.system_account = "SYS";
  w.options.server.domain = "d";
  w.start();
  auto& a = w.client("a", "a", "p");
  auto& system = w.client("s", "s", "p");
  const std::string subject = "$JS.EVENT.ADVISORY.SERVER.OUT_OF_STORAGE";
  a.subscribe(subject);
  system.subscribe(subject);
  w.make_stream(a, "S", "s");
  for (size_t episode = 1; episode <= 2; ++episode) {
    w.sim.settle();
    w.sim.disk().set_capacity(w.sim.disk().used_bytes() + kMiB);
    const std::string body(32 * kKiB, 'b');
    for (int i = 0; i < 200; ++i) {
      if (w.publish(a, "s", body).contains("error")) break;
    }
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(w.publish(a, "s", body).contains("error"));
    w.sim.advance(5s);
    const auto told = system.take(subject);
    ASSERT_EQ(told.size(), 1u) << "episode " << episode;
    const Json advisory = Json::parse(told[0].payload);
    EXPECT_EQ(advisory["type"], "io.nats.jetstream.advisory.v1.server_out_of_space");
    EXPECT_EQ(advisory["id"].get<std::string>().size(), 22u);
    EXPECT_TRUE(advisory["timestamp"].get<std::string>().ends_with("Z"));
    EXPECT_EQ(advisory["server"], "N");
    EXPECT_EQ(advisory["server_id"], w.node->server().id());
    EXPECT_EQ(advisory["cluster"], "");
    EXPECT_EQ(advisory["domain"], "d");
    EXPECT_EQ(advisory.size(), 7u) << advisory.dump();
    EXPECT_EQ(a.waiting(subject), 0u);
    w.sim.disk().set_capacity(1ULL << 40);
    w.sim.advance(30s);
    EXPECT_FALSE(w.publish(a, "s", "x").contains("error"));
    EXPECT_EQ(system.waiting(subject), 0u);
  }
}

TEST(NodeDiskFull, StartsOnAFullDiskAndGoesOnWhenThereIsRoom) {
  for (Crash kind : {Crash::kPower, Crash::kKill}) {
    NodeWorld w;
    w.start();
    auto* c = &w.client("c");
    w.make_stream(*c, "S", "s", R"(,"allow_direct":true)");
    w.make_consumer(*c, "S", "C");
    for (int i = 1; i <= 3; ++i) w.publish(*c, "s", fmt::format("{}", i));
    w.sim.settle();
    w.sim.disk().set_capacity(w.sim.disk().used_bytes());
    Lines stored = {"1", "2", "3"};
    int refused = 0;
    for (int life = 0; life < 3; ++life) {
      w.restart(kind);
      ASSERT_NE(w.node, nullptr);
      c = &w.client("c");
      w.sim.advance(5s);
      EXPECT_FALSE(w.node->store().failed());
      // A journal file that was made in advance may still take some.
      const Json answer = w.publish(*c, "s", "x");
      if (answer.contains("error")) {
        ++refused;
        EXPECT_EQ(answer["error"]["err_code"], 10023) << answer.dump();
      } else {
        stored.push_back("x");
      }
      EXPECT_EQ(w.ask(*c, "$JS.API.DIRECT.GET.S", R"({"seq":2})").payload, "2");
    }
    EXPECT_GT(refused, 0);
    w.sim.disk().set_capacity(1ULL << 40);
    w.sim.advance(30s);
    stored.push_back("last");
    EXPECT_EQ(w.publish(*c, "s", "last")["seq"], stored.size());
    const auto got = w.pull(*c, "S", "C", 9);
    EXPECT_EQ(payloads(got), stored);
    for (const Received& m : got) w.ack_sync(*c, m);
    w.restart(kind);
    c = &w.client("c");
    EXPECT_EQ(w.stream_state(*c, "S")["messages"], stored.size());
    EXPECT_EQ(w.consumer_info(*c, "S", "C")["ack_floor"]["stream_seq"], stored.size());
  }
}

/// The disk fills while messages are on their way: each is acked and there, or refused; none hangs.
TEST(NodeDiskFull, BurstIntoAFullDisk) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    NodeWorld w(seed);
    w.start();
    auto* c = &w.client("c");
    w.make_stream(*c, "S", "s");
    w.sim.settle();
    w.sim.disk().set_capacity(w.sim.disk().used_bytes() + w.sim.random().between(0, 1200) * kKiB);
    w.sim.disk_workers().set_latency(100us, 2ms);
    Lines inboxes;
    const std::string body(16 * kKiB, 'b');
    for (int i = 0; i < 150; ++i) {
      inboxes.push_back(c->request("s", body));
      if (i % 5 == 0) w.sim.advance(std::chrono::microseconds(w.sim.random().below(2000)));
    }
    w.sim.advance(5s);
    w.sim.disk().set_capacity(1ULL << 40);
    w.sim.advance(30s);
    std::vector<uint64_t> acked;
    size_t refused = 0;
    for (const auto& inbox : inboxes) {
      const auto got = c->take(inbox);
      ASSERT_EQ(got.size(), 1u);
      const Json ack = Json::parse(got[0].payload);
      if (ack.contains("error")) {
        ++refused;
        EXPECT_EQ(ack["error"]["err_code"], 10023) << ack.dump();
      } else {
        acked.push_back(ack["seq"]);
      }
    }
    EXPECT_GT(refused, 0u);
    EXPECT_FALSE(w.node->store().failed());
    w.sim.disk_workers().set_latency(0ns, 0ns);
    w.restart(Crash::kPower);
    auto& store = w.node->streams().find("S")->store();
    EXPECT_EQ(store.state().messages, acked.size());
    for (uint64_t seq : acked) EXPECT_TRUE(store.load(StreamSeq(seq)).has_value()) << seq;
    c = &w.client("c");
    EXPECT_FALSE(w.publish(*c, "s", "after").contains("error"));
  }
}

TEST(NodeDiskFull, PurgeMakesRoom) {
  NodeWorld w;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s");
  w.sim.settle();
  w.sim.disk().set_capacity(w.sim.disk().used_bytes() + 3 * kMiB);
  const std::string body(32 * kKiB, 'b');
  Json last;
  for (int i = 0; i < 400 && !last.contains("error"); ++i) {
    last = w.publish(c, "s", body);
    w.sim.settle();
  }
  ASSERT_EQ(last["error"]["err_code"], 10023) << last.dump();
  EXPECT_FALSE(w.api(c, "STREAM.PURGE.S").contains("error"));
  w.sim.advance(60s);
  const Json accepted = w.publish(c, "s", "again");
  EXPECT_FALSE(accepted.contains("error")) << accepted.dump();
}

TEST(NodeDiskFull, ServerLimitRefusesWith10023) {
  NodeWorld w;
  w.options.max_file_bytes = 64 * kKiB;
  w.start();
  auto& c = w.client("c");
  w.make_stream(c, "S", "s");
  const std::string body(20 * kKiB, 'b');
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(w.publish(c, "s", body).contains("error"));
  const Json refused = w.publish(c, "s", body);
  EXPECT_EQ(refused["error"]["err_code"], 10023) << refused.dump();
  EXPECT_EQ(w.api(c, "STREAM.PURGE.S")["purged"], 3);
  EXPECT_FALSE(w.publish(c, "s", body).contains("error"));
}

}  // namespace
}  // namespace sluice::test
