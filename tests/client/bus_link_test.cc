#include <gtest/gtest.h>

#include "client/stream_client.h"
#include "fake_bus.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

class BusLinkTest : public testing::Test {
 protected:
  sim::SimEnv sim_{1};
  FakeBus bus_;
  std::unique_ptr<NatsLink> link_ = make_bus_link(sim_.env(), bus_);
};

TEST_F(BusLinkTest, DeliversLaterAndInOrder) {
  std::vector<std::string> got;
  auto sub = link_->subscribe("a.*", "", [&](const LinkMessage& m) {
    got.push_back(std::string(m.subject) + "|" + std::string(m.reply) + "|" +
                  std::string(m.headers) + "|" + std::string(m.payload));
  });
  ASSERT_TRUE(link_->publish({"a.1", "r", "NATS/1.0\r\nA: b\r\n\r\n", "one"}));
  ASSERT_TRUE(link_->publish({"a.2", "", "", "two"}));
  EXPECT_TRUE(got.empty());
  sim_.run_until_idle();
  EXPECT_EQ(got, (std::vector<std::string>{"a.1|r|NATS/1.0\r\nA: b\r\n\r\n|one", "a.2|||two"}));
}

TEST_F(BusLinkTest, PauseHoldsAndCountsWhatDoesNotFit) {
  size_t got = 0;
  auto sub = link_->subscribe("a", "", [&](const LinkMessage&) { ++got; });
  sub->pause();
  for (int i = 0; i < 65536 + 10; ++i) ASSERT_TRUE(link_->publish({"a", "", "", "x"}));
  sim_.run_until_idle();
  EXPECT_EQ(got, 0U);
  EXPECT_EQ(link_->dropped(), 10U);
  sub->resume();
  sim_.run_until_idle();
  EXPECT_EQ(got, 65536U);
}

TEST_F(BusLinkTest, PauseInsideTheHandlerHoldsTheNext) {
  int got = 0;
  std::unique_ptr<LinkSubscription> sub;
  sub = link_->subscribe("a", "", [&](const LinkMessage&) {
    ++got;
    sub->pause();
  });
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(link_->publish({"a", "", "", "x"}));
  sim_.run_until_idle();
  EXPECT_EQ(got, 1);
  sub->resume();
  sim_.run_until_idle();
  EXPECT_EQ(got, 2);
}

TEST_F(BusLinkTest, OrderHoldsAcrossSubscriptionsEvenAfterAPause) {
  std::string got;
  const auto append = [&](const LinkMessage& m) { got += m.payload; };
  auto a = link_->subscribe("a", "", append), b = link_->subscribe("b", "", append),
       c = link_->subscribe("c", "", append);
  for (const char* m : {"a1", "b2", "a3", "b4"}) ASSERT_TRUE(link_->publish({{m, 1}, "", "", m}));
  sim_.run_until_idle();
  EXPECT_EQ(got, "a1b2a3b4");
  got.clear();
  a->pause();
  b->pause();
  for (const char* m : {"a1", "b2", "c3", "a4", "b5"})
    ASSERT_TRUE(link_->publish({{m, 1}, "", "", m}));
  sim_.run_until_idle();
  EXPECT_EQ(got, "c3");
  b->resume();
  a->resume();
  sim_.run_until_idle();
  EXPECT_EQ(got, "c3a1b2a4b5");
}

TEST_F(BusLinkTest, LinkMayGoInsideAHandler) {
  int got = 0;
  auto sub = link_->subscribe("a", "", [&](const LinkMessage&) {
    ++got;
    link_.reset();
  });
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(link_->publish({"a", "", "", "x"}));
  sim_.run_until_idle();
  EXPECT_EQ(got, 1);
  bus_.publish({"a", "", "", "x"});
  sub->resume();
  sim_.run_until_idle();
  EXPECT_EQ(got, 1);
}

TEST_F(BusLinkTest, SubscriptionMayGoInsideItsHandler) {
  int got = 0;
  std::unique_ptr<LinkSubscription> sub;
  sub = link_->subscribe("a", "", [&](const LinkMessage&) {
    ++got;
    sub.reset();
  });
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(link_->publish({"a", "", "", "x"}));
  sim_.run_until_idle();
  EXPECT_EQ(got, 1);
}

TEST_F(BusLinkTest, RequestGetsItsReplyNoRespondersOrTimeout) {
  auto echo = bus_.subscribe("echo", "", [&](const Message& m, const Origin&) {
    bus_.publish({m.reply, "", "", m.payload});
  });
  auto mute = bus_.subscribe("mute", "", [](const Message&, const Origin&) {});
  std::string answer;
  Errc nobody{}, late{};
  auto a = link_->request({"echo", "", "", "hi"}, 1s,
                          [&](Result<LinkMessage> r) { answer = std::string(r->payload); });
  auto b = link_->request({"none", "", "", ""}, 1s,
                          [&](Result<LinkMessage> r) { nobody = r.error().code; });
  auto c = link_->request({"mute", "", "", ""}, 1s,
                          [&](Result<LinkMessage> r) { late = r.error().code; });
  bool cancelled_ran = false;
  auto d =
      link_->request({"echo", "", "", ""}, 1s, [&](Result<LinkMessage>) { cancelled_ran = true; });
  d.cancel();
  EXPECT_TRUE(answer.empty());
  sim_.run_until_idle();
  EXPECT_EQ(answer, "hi");
  EXPECT_EQ(nobody, Errc::kNoResponders);
  sim_.advance(1100ms);
  EXPECT_EQ(late, Errc::kTimeout);
  EXPECT_FALSE(cancelled_ran);
}

}  // namespace
}  // namespace sluice
