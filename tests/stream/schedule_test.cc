// Scheduled messages (ADR-51): patterns, time zones, firing, restarts, ends.
#include "stream/schedule.h"

#include <chrono>

#include "stream_world.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Headers = std::vector<std::pair<std::string, std::string>>;

std::string after(std::string_view expression, const char* from, const char* zone = "UTC") {
  const auto cron = CronExpression::parse(expression);
  if (!cron) return "malformed";
  const auto next = cron->next(*parse_rfc3339(from) / 1'000'000'000, *TimeZone::find(zone));
  return next ? format_rfc3339(*next * 1'000'000'000) : "never";
}

TEST(Cron, FindsTheNextSecond) {
  EXPECT_EQ(after("*/5 * * * * *", "2026-01-01T00:00:03Z"), "2026-01-01T00:00:05Z");
  EXPECT_EQ(after("*/5 * * * * *", "2026-01-01T00:00:05Z"), "2026-01-01T00:00:10Z");
  EXPECT_EQ(after("0 */15 * * * *", "2026-01-01T00:46:00Z"), "2026-01-01T01:00:00Z");
  EXPECT_EQ(after("1/10 * * * * *", "2026-01-01T00:00:00Z"), "2026-01-01T00:00:01Z");
  EXPECT_EQ(after("1/10 * * * * *", "2026-01-01T00:00:52Z"), "2026-01-01T00:01:01Z");
  EXPECT_EQ(after("0 0 12 * * MON-FRI", "2026-01-02T12:00:00Z"), "2026-01-05T12:00:00Z");
  EXPECT_EQ(after("0 0 0 1 jan-mar ?", "2026-03-01T00:00:00Z"), "2027-01-01T00:00:00Z");
  EXPECT_EQ(after("0 0 0 29 2 *", "2026-01-01T00:00:00Z"), "2028-02-29T00:00:00Z");
  EXPECT_EQ(after("0 0 0 31 2 *", "2026-01-01T00:00:00Z"), "never");
  EXPECT_EQ(after("0 0 0 1,15 * *", "2026-01-01T00:00:00Z"), "2026-01-15T00:00:00Z");
  EXPECT_EQ(after("0 0 0 1,,15, * *", "2026-01-01T00:00:00Z"), "2026-01-15T00:00:00Z");
  EXPECT_EQ(after(", * * * * *", "2026-01-01T00:00:00Z"), "never");
  EXPECT_EQ(after("  0  0 0 1 * *", "2026-01-05T00:00:00Z"), "2026-02-01T00:00:00Z");
  EXPECT_EQ(after("59 59 23 31 12 *", "2026-12-31T23:59:58Z"), "2026-12-31T23:59:59Z");
  // Both days restricted: either is enough.
  EXPECT_EQ(after("0 0 0 13 * FRI", "2026-01-01T00:00:00Z"), "2026-01-02T00:00:00Z");
  EXPECT_EQ(after("0 0 0 13 * ?", "2026-01-01T00:00:00Z"), "2026-01-13T00:00:00Z");
  EXPECT_EQ(after("@weekly", "2026-01-01T00:00:00Z"), "2026-01-04T00:00:00Z");
  EXPECT_EQ(after("@yearly", "2026-01-01T00:00:00Z"), "2027-01-01T00:00:00Z");
  EXPECT_EQ(after("@hourly", "2026-01-01T00:00:00Z"), "2026-01-01T01:00:00Z");
}

TEST(Cron, RefusesWhatIsNone) {
  for (const char* bad : {"", "* * * * *", "60 * * * * *", "0 0 0 L * *", "0 0 0 * * 7", "0 0 0 5-1 * *",
                          "0 0 0 1 * * 2030", "*/0 * * * * *", "@reboot", "0 0 0 * * sunday", "never", "0 0 0 0 * *",
                          "1- * * * * *", "-1 * * * * *", "1/ * * * * *", "TZ=UTC 0 0 0 * * *"})
    EXPECT_FALSE(CronExpression::parse(bad)) << bad;
  EXPECT_TRUE(CronExpression::parse("? ? ? ? ? ?"));
}

TEST(Cron, FollowsTheWallClockOfItsZone) {
  const char* berlin = "Europe/Berlin";
  EXPECT_EQ(after("0 0 12 * * *", "2026-01-01T11:00:00Z", berlin), "2026-01-02T11:00:00Z");
  EXPECT_EQ(after("0 0 12 * * *", "2026-07-01T00:00:00Z", berlin), "2026-07-01T10:00:00Z");
  // 02:30 does not exist on 2026-03-29 and comes twice on 2026-10-25.
  EXPECT_EQ(after("0 30 2 * * *", "2026-03-28T12:00:00Z", berlin), "2026-03-30T00:30:00Z");
  EXPECT_EQ(after("0 30 2 * * *", "2026-10-24T12:00:00Z", berlin), "2026-10-25T00:30:00Z");
  EXPECT_EQ(after("0 30 2 * * *", "2026-10-25T00:30:00Z", berlin), "2026-10-25T01:30:00Z");
  EXPECT_EQ(after("0 30 2 * * *", "2026-10-25T01:30:00Z", berlin), "2026-10-26T01:30:00Z");
  EXPECT_EQ(after("@hourly", "2026-03-29T00:30:00Z", berlin), "2026-03-29T01:00:00Z");
  // Midnight is skipped in this zone on 2026-04-24.
  EXPECT_EQ(after("@daily", "2026-04-23T12:00:00Z", "Africa/Cairo"), "2026-04-24T21:00:00Z");
  EXPECT_EQ(after("0 0 0 1 * *", "2026-01-15T00:00:00Z", "Asia/Kolkata"), "2026-01-31T18:30:00Z");
}

TEST(TimeZone, KnowsRealOnesOnly) {
  for (const char* zone : {"UTC", "Local", "Europe/Berlin", "EST"}) EXPECT_TRUE(TimeZone::find(zone)) << zone;
  for (const char* zone : {"", "Nowhere/X", "../etc/passwd", "+02:00", "Europe"})
    EXPECT_FALSE(TimeZone::find(zone)) << zone;
}

TEST(SchedulePattern, EveryKeepsItsPhase) {
  const auto every = SchedulePattern::parse("@every 10s", "");
  constexpr WallNanos kSec = 1'000'000'000;
  EXPECT_EQ(every->first(100 * kSec + 400'000'000), 110 * kSec);
  EXPECT_EQ(every->next(110 * kSec, 110 * kSec), 120 * kSec);
  EXPECT_EQ(every->next(110 * kSec, 145 * kSec), 150 * kSec);
  EXPECT_EQ(every->next(110 * kSec, 150 * kSec), 160 * kSec);
}

class Schedule : public StreamWorld {
 protected:
  std::string offer(const Headers& headers, std::string_view subject = "s.own") {
    const std::string answer = ack(subject, "body", headers);
    return answer.find("error") == std::string::npos ? "stored" : error_of(answer);
  }
  std::string offer(const std::string& schedule, Headers more = {{"Nats-Schedule-Target", "t.x"}}) {
    more.insert(more.begin(), {"Nats-Schedule", schedule});
    return offer(more);
  }
  Stream& plain() { return make(R"({"name":"S","subjects":["s.>","t.>"],"allow_msg_schedules":true})"); }
  std::string in(std::chrono::seconds time) { return format_rfc3339(sim_.env().clock.wall() + std::chrono::nanoseconds(time).count()); }
  void wait(std::chrono::nanoseconds time) {
    sim_.advance(time);
    settle();
  }
  static std::string last(Stream& stream, const char* subject) {
    const auto stored = stream.store().load_last(subject);
    return stored ? std::string(stored->headers) : "none";
  }
  static uint64_t count(Stream& stream, const char* subject) {
    return stream.store().count_matching(StreamSeq(1), subject);
  }
};

TEST_F(Schedule, Codes) {
  plain();
  const std::string pattern = "10189 message schedules pattern is invalid";
  for (const char* bad : {"@at zzz", "@at 2020", "@at  2030-01-01T00:00:00Z", "@every 999ms", "@every -1s", "@every zz",
                          "@reboot", "* * * * *", "0 0 0 31 2 *", "never"})
    EXPECT_EQ(offer(bad), pattern) << bad;
  for (const char* good : {"0\t0 0 1 1 *", "1,,2 0 0 1 1 *", "+1 0 0 1 1 *", "0 0 0 *-1 1 *", "@at 9999-12-31T23:59:59Z"})
    EXPECT_EQ(offer(good), "stored") << good;
  EXPECT_EQ(offer(", 0 0 1 1 *"), pattern);
  const std::string zone = "Nats-Schedule-Time-Zone", target = "Nats-Schedule-Target", source = "Nats-Schedule-Source";
  EXPECT_EQ(offer("@daily", {{target, "t.x"}, {zone, "Nowhere/X"}}), "10223 message schedules time zone is invalid");
  EXPECT_EQ(offer("@every 1h", {{target, "t.x"}, {zone, "UTC"}}), pattern);
  EXPECT_EQ(offer("@daily", {{target, "t.x"}, {zone, "Europe/Berlin"}}), "stored");
  for (const char* bad : {"", "t.*", "zz", "s.own", "t..x", "s.>", "t.x y"})
    EXPECT_EQ(offer("@every 1h", {{target, bad}}), "10190 message schedules target is invalid") << bad;
  for (const char* bad : {"t.*", "zz", "s.own", "t.x"})
    EXPECT_EQ(offer("@every 1h", {{target, "t.x"}, {source, bad}}), "10203 message schedules source is invalid") << bad;
  EXPECT_EQ(offer("@every 1h", {{target, "t.x"}, {"Nats-Schedule-TTL", "zz"}}),
            "10191 message schedules invalid per-message TTL");
  EXPECT_EQ(offer("@every 1h", {{target, "t.x"}, {"Nats-Schedule-TTL", "5"}}), "10166 per-message TTL is disabled");
  const std::string rollup = "10192 message schedules invalid rollup";
  EXPECT_EQ(offer("@every 1h", {{target, "t.x"}, {"Nats-Schedule-Rollup", "all"}}), rollup);
  EXPECT_EQ(offer("@every 1h", {{target, "t.x"}, {"Nats-Rollup", "all"}}), rollup);
  EXPECT_EQ(offer("@every 1h", {{target, "t.x"}, {"Nats-Rollup", "sub"}}), "stored");
  EXPECT_EQ(offer("@every 1h", {{target, "t.x"}, {"Nats-Scheduler", "s.x"}}), "10212 message schedules invalid scheduler");
  make(R"({"name":"D","subjects":["d.>"]})");
  EXPECT_EQ(offer({{"Nats-Schedule", "@every 1h"}, {target, "d.t"}}, "d.s"), "10188 message schedules is disabled");
  EXPECT_EQ(offer({{"Nats-Scheduler", "d.x"}, {"Nats-Schedule-Next", "purge"}}, "d.s"),
            "10188 message schedules is disabled");
}

TEST_F(Schedule, AtFiresOnceAndGoes) {
  Stream& stream = make(
      R"({"name":"S","subjects":["s.>","t.>"],"allow_msg_schedules":true,"allow_msg_ttl":true})");
  EXPECT_EQ(offer("@at " + in(5s), {{"Nats-Schedule-Target", "t.x"}, {"Nats-Schedule-TTL", "100"}, {"X", "y"},
                                    {"Nats-Msg-Id", "abc"}, {"Nats-TTL", "500"}, {"Nats-Expected-Stream", "S"}}),
            "stored");
  EXPECT_NE(last(stream, "s.own").find("Nats-Rollup: sub"), std::string::npos);
  wait(4s);
  EXPECT_EQ(last(stream, "t.x"), "none");
  wait(1500ms);
  EXPECT_EQ(last(stream, "t.x"),
            "NATS/1.0\r\nX: y\r\nNats-Scheduler: s.own\r\nNats-Schedule-Next: purge\r\nNats-TTL: 100\r\n\r\n");
  EXPECT_EQ(stream.store().load_last("t.x")->payload, "body");
  EXPECT_EQ(last(stream, "s.own"), "none");
  EXPECT_EQ(offer("@at " + in(-100s)), "stored");
  wait(300ms);
  EXPECT_EQ(count(stream, "t.x"), 2U);
}

TEST_F(Schedule, EveryAndCronGoOn) {
  Stream& stream = plain();
  EXPECT_EQ(offer({{"Nats-Schedule", "@every 2s"}, {"Nats-Schedule-Target", "t.e"}, {"Nats-Schedule-Rollup", "sub"}},
                  "s.e"), "stored");
  EXPECT_EQ(offer({{"Nats-Schedule", "*/3 * * * * *"}, {"Nats-Schedule-Target", "t.c"}, {"Nats-Schedule-Source", "t.src"}},
                  "s.c"), "stored");
  wait(7s);
  EXPECT_EQ(count(stream, "t.e"), 1U);  // rolled up
  EXPECT_EQ(count(stream, "t.c"), 0U);  // no source yet
  ack("t.src", "SRC", {{"H", "1"}, {"Nats-Msg-Id", "z"}});
  wait(6s);
  EXPECT_EQ(count(stream, "t.c"), 2U);
  EXPECT_EQ(stream.store().load_last("t.c")->payload, "SRC");
  EXPECT_TRUE(last(stream, "t.c").starts_with("NATS/1.0\r\nH: 1\r\nNats-Scheduler: s.c\r\nNats-Schedule-Next: "));
  EXPECT_EQ(count(stream, "s.>"), 2U);
}

TEST_F(Schedule, ANewerOneReplacesIt) {
  Stream& stream = plain();
  offer("@every 1s", {{"Nats-Schedule-Target", "t.a"}});
  offer("@every 1s", {{"Nats-Schedule-Target", "t.b"}});
  wait(2500ms);
  EXPECT_EQ(count(stream, "t.a"), 0U);
  EXPECT_GE(count(stream, "t.b"), 2U);
  EXPECT_EQ(count(stream, "s.own"), 1U);
}

TEST_F(Schedule, SurvivesARestartAndCollapsesWhatWasMissed) {
  Stream& before = plain();
  offer({{"Nats-Schedule", "@every 10s"}, {"Nats-Schedule-Target", "t.e"}}, "s.e");
  offer({{"Nats-Schedule", "@at " + in(15s)}, {"Nats-Schedule-Target", "t.a"}}, "s.a");
  wait(12s);
  EXPECT_EQ(count(before, "t.e"), 1U);
  streams_.reset();
  sim_.advance(60s);
  store_.forget_listeners();
  streams();
  wait(500ms);
  Stream& stream = *streams().find("S");
  EXPECT_EQ(count(stream, "t.e"), 2U);
  EXPECT_EQ(count(stream, "t.a"), 1U);
  EXPECT_EQ(last(stream, "s.a"), "none");
  restart();
  wait(500ms);
  EXPECT_EQ(count(*streams().find("S"), "t.a"), 1U);
}

TEST_F(Schedule, EndsByPurgeDeleteOrWord) {
  Stream& stream = plain();
  for (const char* subject : {"s.1", "s.2", "s.3"})
    offer({{"Nats-Schedule", "@every 1s"}, {"Nats-Schedule-Target", "t.x"}}, subject);
  const std::string scheduler = "Nats-Scheduler", next = "Nats-Schedule-Next";
  const std::string invalid = "10212 message schedules invalid scheduler";
  ack("t.plain");
  EXPECT_EQ(offer({{scheduler, "s.1"}}, "t.y"), invalid);
  EXPECT_EQ(offer({{next, "purge"}}, "t.y"), invalid);
  EXPECT_EQ(offer({{scheduler, "s.1"}, {next, in(5s)}}, "t.y"), invalid);
  EXPECT_EQ(offer({{scheduler, "s.*"}, {next, "purge"}}, "t.y"), invalid);
  EXPECT_EQ(offer({{scheduler, "t.y"}, {next, "purge"}}, "t.y"), invalid);
  EXPECT_EQ(offer({{scheduler, "t.plain"}, {next, "purge"}}, "t.y"), invalid);
  EXPECT_EQ(offer({{scheduler, "s.1"}, {next, "purge"}}, "t.y"), "stored");
  EXPECT_EQ(last(stream, "s.1"), "none");
  ASSERT_TRUE(stream.delete_message(StreamSeq(2), false));
  ASSERT_TRUE(purge_now(stream, {.filter = "s.3", .below = {}}));
  const uint64_t before = count(stream, "t.x");
  wait(5s);
  EXPECT_EQ(count(stream, "t.x"), before);
}

}  // namespace
}  // namespace sluice
