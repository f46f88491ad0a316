// Priority groups: what the model's histories don't reach, times and advisories.
#include "consumer_world.h"

namespace sluice::test {
namespace {

using Lines = std::vector<std::string>;

ConsumerConfig grouped(PriorityPolicy policy) {
  ConsumerConfig c = ConsumerWorld::pull();
  c.priority_policy = policy;
  c.priority_groups = {"g"};
  return c;
}

std::string pin_in(const Got& got) { return std::string(header_value(got.headers, "Nats-Pin-Id")); }

TEST(Priority, APinIsTakenByTheFirstServedAndEndsWithoutPulls) {
  ConsumerWorld w;
  Lines events;
  const auto listener = w.bus.subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.S.C", {}, [&](const Message& m, const Origin&) {
    events.emplace_back(m.subject);
    if (m.payload.find("\"reason\":\"timeout\"") != std::string_view::npos) events.emplace_back("timeout");
  });
  ConsumerConfig config = grouped(PriorityPolicy::kPinnedClient);
  config.priority_timeout = 2s;
  w.make(config);
  events.clear();
  for (int i = 0; i < 5; ++i) w.stream().publish("a.b");
  w.fetch(R"({"batch":1,"group":"g"})");
  const auto first = w.taken();
  ASSERT_EQ(first.size(), 1u);
  const std::string pin = pin_in(first[0]);
  EXPECT_EQ(pin.size(), 22u);
  EXPECT_TRUE(first[0].headers.starts_with("NATS/1.0\r\nNats-Pin-Id: "));
  w.fetch(R"({"batch":1,"group":"g"})", "_INBOX.2");
  EXPECT_TRUE(w.taken().empty());  // stands by
  w.sim.advance(1900ms);
  w.fetch(R"({"batch":1,"group":"g","id":")" + pin + "\"}");
  EXPECT_EQ(w.taken().size(), 1u);
  w.sim.advance(1900ms);
  EXPECT_TRUE(w.taken().empty());  // that pull had set the time back
  w.sim.advance(200ms);
  const auto second = w.taken();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_NE(pin_in(second[0]), pin);
  EXPECT_EQ(events, Lines({"$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.C", "$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.C", "timeout",
                           "$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.C"}));
  w.fetch(R"({"batch":1,"group":"g","id":")" + pin + "\"}");
  EXPECT_EQ(w.taken_statuses(), Lines({"423 Nats-Pin-Id mismatch\r\n\r\n"}));
}

TEST(Priority, NobodyIsPinnedWhoDoesNotListen) {
  ConsumerWorld w;
  w.make(grouped(PriorityPolicy::kPinnedClient));
  w.fetch(R"({"batch":1,"group":"g"})", "nobody.here");
  w.fetch(R"({"batch":1,"group":"g"})");
  w.stream().publish("a.b");
  w.run();
  const auto got = w.taken();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(w.consumer().group().id(), pin_in(got[0]));
}

TEST(Priority, ARequestWithoutAGroupIsRefusedInEveryForm) {
  ConsumerWorld w;
  w.make(grouped(PriorityPolicy::kOverflow));
  w.stream().publish("a.b");
  for (const char* body : {"", "1", "{}", R"({"batch":1})"}) {
    w.fetch(body);
    EXPECT_EQ(w.taken_statuses(), Lines({"400 Bad Request - Priority Group missing\r\n\r\n"})) << body;
  }
}

TEST(Priority, ThePinGoesWhenThePolicyChanges) {
  ConsumerWorld w;
  w.make(grouped(PriorityPolicy::kPinnedClient));
  w.stream().publish("a.b");
  w.fetch(R"({"batch":1,"group":"g"})");
  EXPECT_TRUE(w.consumer().group().is_pinned());
  w.make(grouped(PriorityPolicy::kPrioritized));
  EXPECT_FALSE(w.consumer().group().is_pinned());
  EXPECT_EQ(w.consumer().unpin("x").error().api_code, 10160);
}

TEST(Priority, Configurations) {
  ConsumerWorld w;
  ConsumerConfig c = grouped(PriorityPolicy::kNone);
  EXPECT_EQ(w.code_of(c), 10196);
  c = grouped(PriorityPolicy::kOverflow);
  c.priority_groups.clear();
  EXPECT_EQ(w.code_of(c), 10159);
  c.priority_groups = {"ok", ""};
  EXPECT_EQ(w.code_of(c), 10161);
  c.priority_groups = {"seventeen-letters"};
  EXPECT_EQ(w.code_of(c), 10162);
  c = grouped(PriorityPolicy::kOverflow);
  c.deliver_subject = "out";
  EXPECT_EQ(w.code_of(c), 10178);
  c = ConsumerWorld::pull();
  c.priority_timeout = 1s;
  EXPECT_EQ(w.code_of(c), 10197);
}

}  // namespace
}  // namespace sluice::test
