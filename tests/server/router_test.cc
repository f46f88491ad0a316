// The bus by itself: queue groups, changes while a message is on its way, interest.
#include "server/router.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/sim_env.h"

namespace sluice {
namespace {

class RouterTest : public ::testing::Test {
 protected:
  std::unique_ptr<BusSubscription> count(std::string_view subject, std::string_view queue,
                                         int& calls) {
    return router.subscribe(subject, queue, [&calls](const Message&, const Origin&) { ++calls; });
  }
  size_t publish(std::string_view subject) {
    return router.publish(Message{.subject = subject, .reply = {}, .headers = {}, .payload = "x"});
  }

  sim::SimEnv sim{7};
  Congestion congestion{sim.env().executor};
  Router router{sim.env().executor, sim.env().random, congestion};
};

TEST_F(RouterTest, OneMemberOfEachGroupOverAllMatchingSubjects) {
  int plain = 0, a = 0, b = 0, other = 0;
  const auto s1 = count("foo.*", "", plain);
  const auto s2 = count("foo.*", "q", a);
  const auto s3 = count("foo.bar", "q", b);
  const auto s4 = count("foo.bar", "r", other);
  for (int i = 0; i < 400; ++i) EXPECT_EQ(publish("foo.bar"), 3U);
  EXPECT_EQ(plain, 400);
  EXPECT_EQ(other, 400);
  EXPECT_EQ(a + b, 400);
  EXPECT_GT(a, 120);  // random, not one of them alone
  EXPECT_GT(b, 120);
}

TEST_F(RouterTest, DeliverGoesByRouteAndShowsTheSubject) {
  std::string seen;
  int group = 0;
  const auto s1 = router.subscribe("inbox", "", [&](const Message& m, const Origin& origin) {
    seen = m.subject;
    EXPECT_EQ(origin.connection_id, 0U);
  });
  const auto s2 = count("inbox", "q", group);
  const Message message{.subject = "orders.1", .reply = {}, .headers = {}, .payload = {}};
  EXPECT_EQ(router.deliver("inbox", "q", message), 1U);
  EXPECT_EQ(seen, "");
  EXPECT_EQ(group, 1);
  EXPECT_EQ(router.deliver("inbox", "", message), 2U);
  EXPECT_EQ(seen, "orders.1");
  EXPECT_EQ(router.deliver("inbox", "none", message), 0U);
}

TEST_F(RouterTest, HandlersMayUnsubscribeThemselvesAndOthers) {
  std::vector<std::unique_ptr<BusSubscription>> all(3);
  int calls = 0;
  for (auto& each : all) {
    each = router.subscribe("a", "", [&all, &calls](const Message&, const Origin&) {
      ++calls;
      for (auto& gone : all) gone.reset();
    });
  }
  EXPECT_EQ(publish("a"), 1U);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(publish("a"), 0U);
  EXPECT_EQ(router.subscription_count(), 0U);
}

TEST_F(RouterTest, SubscribingWhileMatchingDoesNotDisturbTheRound) {
  std::vector<std::unique_ptr<BusSubscription>> added;
  int calls = 0;
  const auto first = router.subscribe("a", "", [&](const Message&, const Origin&) {
    if (added.size() < 100) added.push_back(count("a", "", calls));
    // The same subject again, one level down: its list is computed anew while this one is walked.
    if (added.size() == 1) publish("a");
  });
  const auto second = count("a", "", calls);
  EXPECT_EQ(publish("a"), 2U);
  EXPECT_EQ(calls, 3);  // `second` twice, the first added one once
}

TEST_F(RouterTest, NestedPublishingHasABottom) {
  size_t depth = 0;
  const auto loop = router.subscribe("a", "", [&](const Message&, const Origin&) {
    ++depth;
    publish("a");
  });
  publish("a");
  EXPECT_EQ(depth, Router::kMaxDepth);
}

TEST_F(RouterTest, AHandlerMayOwnASubscription) {
  int inner = 0;
  auto owned = std::make_shared<std::unique_ptr<BusSubscription>>(count("b", "", inner));
  auto outer = router.subscribe("a", "", [owned](const Message&, const Origin&) {});
  owned.reset();
  EXPECT_EQ(publish("b"), 1U);
  outer.reset();
  EXPECT_EQ(publish("b"), 0U);
}

TEST_F(RouterTest, InterestIsToldWhenItFlipsAndCoalesced) {
  std::vector<bool> told;
  auto watch = router.watch_interest("a.b", "", [&](bool now) { told.push_back(now); });
  int calls = 0;
  auto s1 = count("a.*", "", calls);
  EXPECT_TRUE(router.has_interest("a.b", ""));
  sim.run_until_idle();
  EXPECT_EQ(told, std::vector<bool>({true}));
  auto s2 = count("a.b", "", calls);
  s1.reset();
  sim.run_until_idle();
  EXPECT_EQ(told.size(), 1U);
  s2.reset();
  s2 = count("a.b", "q", calls);
  sim.run_until_idle();
  EXPECT_EQ(told.size(), 1U);  // went and came within the round
  s2.reset();
  sim.run_until_idle();
  EXPECT_EQ(told, std::vector<bool>({true, false}));
  watch.reset();
  s2 = count("a.b", "", calls);
  sim.run_until_idle();
  EXPECT_EQ(told.size(), 2U);
}

TEST_F(RouterTest, InterestOfAGroup) {
  std::optional<bool> told;
  const auto watch = router.watch_interest("a", "q", [&](bool now) { told = now; });
  int calls = 0;
  const auto plain = count("a", "", calls);
  sim.run_until_idle();
  EXPECT_FALSE(told.has_value());
  EXPECT_FALSE(router.has_interest("a", "q"));
  const auto member = count(">", "q", calls);
  sim.run_until_idle();
  EXPECT_EQ(told, true);
}

TEST_F(RouterTest, ReliefIsPostedOnceAndCanBeCancelled) {
  int relieved = 0;
  congestion.began();
  Ticket kept = router.call_when_relieved([&] { ++relieved; });
  Ticket dropped = router.call_when_relieved([&] { relieved += 100; });
  dropped.cancel();
  sim.run_until_idle();
  EXPECT_EQ(relieved, 0);
  congestion.ended();
  EXPECT_EQ(relieved, 0);
  sim.run_until_idle();
  EXPECT_EQ(relieved, 1);
  // Asked too late: told anyway.
  Ticket late = router.call_when_relieved([&] { ++relieved; });
  sim.run_until_idle();
  EXPECT_EQ(relieved, 2);
  EXPECT_EQ(congestion.count(), 0U);
}

/// The router against the plain rules, with subscriptions coming and going.
TEST_F(RouterTest, AgreesWithANaiveModel) {
  SCOPED_TRACE(sim.seed());
  const std::vector<std::string> filters = {"a", "a.b", "a.*",   "a.>",  "*.b",
                                            ">", "*",   "c.d.e", "c.*.e"};
  const std::vector<std::string> subjects = {"a",     "a.b",   "b.b", "c.d.e",
                                             "c.x.e", "a.b.c", "z",   "a..b"};
  struct Live {
    std::string filter;
    int calls = 0;
    std::unique_ptr<BusSubscription> handle;
  };
  std::vector<std::unique_ptr<Live>> live;
  for (int step = 0; step < 3000; ++step) {
    const uint64_t dice = sim.random().below(10);
    if (dice < 3 && live.size() < 50) {
      auto fresh = std::make_unique<Live>();
      fresh->filter = filters[sim.random().below(filters.size())];
      fresh->handle = count(fresh->filter, "", fresh->calls);
      live.push_back(std::move(fresh));
    } else if (dice < 5 && !live.empty()) {
      live.erase(live.begin() + static_cast<long>(sim.random().below(live.size())));
    } else {
      const std::string& subject = subjects[sim.random().below(subjects.size())];
      size_t want = 0;
      for (auto& each : live) {
        each->calls = 0;
        if (subject_matches(each->filter, subject)) ++want;
      }
      ASSERT_EQ(publish(subject), want) << subject;
      for (auto& each : live)
        ASSERT_EQ(each->calls, subject_matches(each->filter, subject) ? 1 : 0);
    }
  }
}

}  // namespace
}  // namespace sluice
