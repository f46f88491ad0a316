#include "replicator/heartbeat.h"

#include <gtest/gtest.h>

#include "base/headers.h"
#include "fake_site.h"
#include "replicator/ksuid.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

struct HeartbeatTest : testing::Test {
  sim::SimEnv sim{1};
  FakeSite site{sim.env()};
  HeartbeatOptions options{
      .target = {}, .tls = {}, .choria = {}, .interval = 2s, .headers = {{"from", "site-a"}, {"color", "blue"}},
      .subjects = {{"hb.one", {}, {}}, {"hb.two", 3s, {{"color", "red"}}}}};
  void run(std::chrono::nanoseconds duration) {
    site.listening = "HB";
    Heartbeat heartbeat(sim.env(), site, options, "host1");
    heartbeat.start();
    sim.advance(duration);
    figures = heartbeat.figures();
  }
  std::vector<Heartbeat::Figures> figures;
};

TEST_F(HeartbeatTest, BeatsWithTheHeadersOfEachSubject) {
  run(30s);
  auto& messages = site.streams["HB"].messages;
  ASSERT_GE(messages.size(), 16u);
  for (auto& [seq, m] : messages) {
    EXPECT_EQ(find_header(m.headers, "Choria-SR-Originator"), "host1");
    EXPECT_EQ(find_header(m.headers, "Choria-SR-Subject"), m.subject);
    EXPECT_EQ(find_header(m.headers, "from"), "site-a");
    EXPECT_EQ(find_header(m.headers, "color"), m.subject == "hb.one" ? "blue" : "red");
    EXPECT_EQ(m.payload.size(), 10u);
    EXPECT_TRUE(find_header(m.headers, kHeartbeatTimeHeader)->starts_with(m.payload));
  }
  EXPECT_GT(figures[0].published, figures[1].published);
  EXPECT_EQ(figures[0].failed, 0u);
}

TEST_F(HeartbeatTest, TheFirstComesAfterASplayAndAnInterval) {
  run(4400ms);
  EXPECT_TRUE(site.streams["HB"].messages.empty());
}

TEST_F(HeartbeatTest, WithoutAnAckItCountsAsFailed) {
  site.silent = true;
  run(30s);
  EXPECT_GT(figures[0].failed, 3u);
  EXPECT_EQ(figures[0].failed, figures[0].published);
  EXPECT_NE(figures[0].last_error, "");
}

TEST(Ksuid, SortsByTimeAndHasTwentySevenCharacters) {
  sim::SimEnv sim(1);
  const std::string early = make_ksuid(1'700'000'000'000'000'000, sim.env().random);
  const std::string late = make_ksuid(1'700'000'001'000'000'000, sim.env().random);
  EXPECT_EQ(early.size(), 27u);
  EXPECT_LT(early, late);
  EXPECT_NE(make_ksuid(1'700'000'000'000'000'000, sim.env().random), early);
  EXPECT_EQ(make_ksuid(1'795'172'936'000'000'000, sim.env().random).substr(0, 4), "3MMu") << "as recorded at that second";
}

}  // namespace
}  // namespace sluice
