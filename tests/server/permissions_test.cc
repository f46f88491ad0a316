// Permissions: the rules by themselves, then as clients meet them.
#include "server/permissions.h"

#include "session.h"

namespace sluice {
namespace {

using test::ServerTest;

std::shared_ptr<const Permissions> rules(const PermissionOptions& options) {
  auto made = Permissions::make(options);
  EXPECT_TRUE(made.has_value());
  return *made;
}

TEST(Permissions, DenyWinsAndNoAllowListAllowsAll) {
  const auto p = rules({.publish = {.deny = {"secret.>"}}});
  EXPECT_TRUE(p->may_publish("a"));
  EXPECT_FALSE(p->may_publish("secret.x"));
  const auto q = rules({.publish = {.allow = {"a.*", "secret.>"}, .deny = {"secret.x"}}});
  EXPECT_TRUE(q->may_publish("a.b"));
  EXPECT_FALSE(q->may_publish("a.b.c"));
  EXPECT_TRUE(q->may_publish("secret.y"));
  EXPECT_FALSE(q->may_publish("secret.x"));
  EXPECT_TRUE(q->may_subscribe("anything.>", ""));
}

TEST(Permissions, ASubscriptionMustFitWhollyIntoAnAllowedSubject) {
  const auto p = rules({.subscribe = {.allow = {"foo.*", "bar.>"}, .deny = {"bar.x"}}});
  EXPECT_TRUE(p->may_subscribe("foo.*", ""));
  EXPECT_FALSE(p->may_subscribe("foo.>", ""));
  EXPECT_TRUE(p->may_subscribe("bar.*", ""));
  EXPECT_TRUE(p->needs_filter("bar.*"));
  EXPECT_FALSE(p->needs_filter("bar.*.c"));
  EXPECT_FALSE(p->may_receive("bar.x"));
  EXPECT_FALSE(p->may_subscribe("bar.x", ""));
  EXPECT_FALSE(p->may_subscribe("bar.x", "q"));
}

TEST(Permissions, EntriesWithAQueueDecideForQueues) {
  const auto p = rules({.subscribe = {.allow = {"foo v1", "foo v2.>", "bar"}, .deny = {"bar prod.*"}}});
  EXPECT_FALSE(p->may_subscribe("foo", ""));
  EXPECT_TRUE(p->may_subscribe("foo", "v1"));
  EXPECT_TRUE(p->may_subscribe("foo", "v2.x.y"));
  EXPECT_FALSE(p->may_subscribe("foo", "v3"));
  EXPECT_TRUE(p->may_subscribe("bar", ""));
  EXPECT_TRUE(p->may_subscribe("bar", "dev"));
  EXPECT_FALSE(p->may_subscribe("bar", "prod.a"));
}

TEST(Permissions, LeaveToAnswerReplacesTheBlanketLeaveToPublish) {
  PermissionState state(rules({.responses = ResponsePermission{.max = 2, .expires = std::chrono::seconds(1)}}));
  const MonoTime t0{0};
  EXPECT_FALSE(state.may_publish("r", t0));
  state.grant_reply("r", t0);
  EXPECT_TRUE(state.may_publish("r", t0));
  EXPECT_TRUE(state.may_publish("r", t0));
  EXPECT_FALSE(state.may_publish("r", t0));
  state.grant_reply("r", t0);
  EXPECT_FALSE(state.may_publish("r", t0 + std::chrono::seconds(1)));
}

TEST(Permissions, RepliesAreBounded) {
  PermissionState state(rules({.responses = ResponsePermission{.expires = std::chrono::hours(1)}}));
  for (size_t i = 0; i <= PermissionState::kMaxReplies; ++i)
    state.grant_reply(std::to_string(i), MonoTime(static_cast<int64_t>(i)));
  const MonoTime now(static_cast<int64_t>(PermissionState::kMaxReplies));
  EXPECT_FALSE(state.may_publish("0", now));
  EXPECT_TRUE(state.may_publish("1", now));
}

TEST(Permissions, InvalidSubjects) {
  for (const char* bad : {"", "a..b", ">.a", "a b c"}) {
    EXPECT_FALSE(Permissions::make({.publish = {.allow = {bad}}}).has_value()) << bad;
  }
  EXPECT_FALSE(Permissions::make({.publish = {.allow = {"a q"}}}).has_value());
  EXPECT_TRUE(Permissions::make({.subscribe = {.allow = {"a q"}}}).has_value());
}

class PermissionTest : public ServerTest {
 protected:
  void start_with(PermissionOptions permissions) {
    start({.users = {{.user = "u", .password = "p", .permissions = std::move(permissions)},
                     {.user = "all", .password = "p"}}});
  }
  std::unique_ptr<sim::SimPeer> as(std::string_view user) {
    return client(fmt::format(R"(,"user":"{}","pass":"p")", user));
  }
};

TEST_F(PermissionTest, ViolationsAreToldAndCloseNothing) {
  start_with({.publish = {.allow = {"a"}}, .subscribe = {.allow = {"b"}}});
  auto u = as("u");
  EXPECT_EQ(ask(*u, "PUB x 1\r\n1\r\n"), "-ERR 'Permissions Violation for Publish to \"x\"'\r\n");
  EXPECT_EQ(ask(*u, "SUB x 1\r\n"), "-ERR 'Permissions Violation for Subscription to \"x\"'\r\n");
  EXPECT_EQ(ask(*u, "SUB x q 1\r\n"),
            "-ERR 'Permissions Violation for Subscription to \"x\" using queue \"q\"'\r\n");
  EXPECT_EQ(ask(*u, "SUB b 1\r\nPUB a 0\r\n\r\nPING\r\n"), "PONG\r\n");
  EXPECT_EQ(server->counters().permission_violations, 3U);
}

TEST_F(PermissionTest, DeniedMessagesOfAWildcardAreLeftOutAndGoToAnotherMember) {
  start_with({.subscribe = {.deny = {"a.secret"}}});
  auto u = as("u");
  auto all = as("all");
  ask(*u, "SUB a.* 1\r\nSUB a.> q 2\r\n");
  ask(*all, "SUB a.> q 1\r\n");
  for (int i = 0; i < 20; ++i) ask(*all, "PUB a.secret 0\r\n\r\n");
  EXPECT_EQ(take(*u), "");
  EXPECT_EQ(server->connections().at(1).out_msgs, 20U);
  ask(*all, "PUB a.open 0\r\n\r\n");
  EXPECT_NE(take(*u).find("MSG a.open 1 0\r\n"), std::string::npos);
}

TEST_F(PermissionTest, AnswersAreAllowed) {
  start_with({.subscribe = {.allow = {"svc"}}, .responses = ResponsePermission{}});
  auto u = as("u");
  auto all = as("all");
  ask(*u, "SUB svc 1\r\n");
  ask(*all, "SUB inbox 1\r\nPUB svc inbox 0\r\n\r\n");
  EXPECT_EQ(take(*u), "MSG svc 1 inbox 0\r\n\r\n");
  EXPECT_EQ(ask(*u, "PUB inbox 2\r\nok\r\nPUB inbox 2\r\nok\r\n"),
            "-ERR 'Permissions Violation for Publish to \"inbox\"'\r\n");
  EXPECT_EQ(take(*all), "MSG inbox 1 2\r\nok\r\n");
}

TEST_F(PermissionTest, DefaultPermissionsAreForUsersWithoutTheirOwn) {
  start({.users = {{.user = "u", .password = "p"},
                   {.user = "own", .password = "p", .permissions = PermissionOptions{}}},
         .default_permissions = PermissionOptions{.publish = {.deny = {">"}}}});
  EXPECT_EQ(ask(*as("u"), "PUB x 0\r\n\r\n"), "-ERR 'Permissions Violation for Publish to \"x\"'\r\n");
  EXPECT_EQ(ask(*as("own"), "PUB x 0\r\n\r\nPING\r\n"), "PONG\r\n");
}

TEST_F(PermissionTest, TheMappedSubjectIsWhatCounts) {
  start({.users = {{.user = "u", .password = "p", .permissions = PermissionOptions{.publish = {.allow = {"in"}}}}},
         .mappings = {{.source = "in", .destinations = {{.subject = "out"}}}}});
  EXPECT_EQ(ask(*as("u"), "PUB in 0\r\n\r\n"), "-ERR 'Permissions Violation for Publish to \"out\"'\r\n");
}

}  // namespace
}  // namespace sluice
