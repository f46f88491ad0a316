// The verbs about consumers, held against answers recorded from nats-server 2.15.2.
#include <fstream>
#include <nlohmann/json.hpp>

#include "../consumer/consumer_world.h"
#include "api/consumer_verbs.h"
#include "base/api_error.h"
#include "backup/backups.h"
#include "stream/stream_config.h"
#include "test_paths.h"

namespace sluice::test {
namespace {

using Json = nlohmann::json;

struct ApiWorld : ConsumerWorld {
  ApiWorld()
      : backups(Backups::make(sim.env(), bus, streams, *consumers)),
        context{sim.env(), bus, &store, streams, *consumers, *backups, api_options, stats} {}

  Json call(ApiAnswer (*verb)(ApiContext&, const ApiCall&), std::string_view stream, std::string_view consumer,
            std::string_view filter, std::string_view body) {
    const ApiCall call{.subject = {}, .token = {stream, consumer, filter}, .body = body, .headers = {}};
    const ApiAnswer answer = verb(context, call);
    run();
    Json out = answer.fields.empty() ? Json::object() : Json::parse(answer.fields);
    if (answer.error) {
      const ApiErrorText text = api_error_text(answer.error->api_code, answer.error->detail);
      out["error"] = {{"code", text.http_code}, {"err_code", answer.error->api_code}, {"description", text.description}};
    }
    return out;
  }
  Json create(std::string_view stream, const Json& config, std::string_view action = "", bool pedantic = false) {
    const std::string durable = config.value("durable_name", "");
    std::string name = durable.empty() ? config.value("name", "X") : durable;
    if (!std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c); })) name.clear();
    const Json body = {{"stream_name", stream}, {"config", config}, {"action", action}, {"pedantic", pedantic}};
    return call(verbs::consumer_create, stream, name, "", body.dump());
  }
  int error_of(const Json& answer) { return answer.contains("error") ? answer["error"]["err_code"].get<int>() : 0; }

  ApiOptions api_options;
  ApiStats stats;
  std::unique_ptr<Backups> backups;
  ApiContext context;
};

Json recorded() {
  std::ifstream file(std::string(SLUICE_FIXTURES) + "/consumer/create_cases.json");
  return Json::parse(file);
}

void add_streams(ApiWorld& w, const Json& streams) {
  for (const Json& stream : streams) {
    const auto config = parse_stream_config(stream.dump());
    ASSERT_TRUE(config) << config.error().detail;
    if (w.streams.find(config->name) == nullptr) w.streams.add(w.sim.clock(), *config);
  }
}

/// The part that both servers must agree on; decoder texts are our own.
void expect_same(Json ours, const Json& theirs) {
  if (theirs.contains("error")) {
    ASSERT_TRUE(ours.contains("error")) << ours.dump();
    EXPECT_EQ(ours["error"]["err_code"], theirs["error"]["err_code"]) << ours.dump();
    EXPECT_EQ(ours["error"]["code"], theirs["error"]["code"]);
    const std::string text = theirs["error"]["description"];
    if (text.find("cannot unmarshal") == std::string::npos) {
      EXPECT_EQ(ours["error"]["description"], text);
    }
    return;
  }
  ASSERT_TRUE(ours.contains("config")) << ours.dump();
  ours["config"].erase("metadata");
  EXPECT_EQ(ours["config"], theirs["config"]) << ours["config"].dump() << "\n" << theirs["config"].dump();
}

TEST(ConsumerVerbs, CreateAnswersAsRecorded) {
  const Json all = recorded();
  for (const Json& one : all["cases"]) {
    ApiWorld w;
    add_streams(w, all["streams"]);
    SCOPED_TRACE(one["config"].dump().substr(0, 300));
    expect_same(w.create(one["stream"].get<std::string>(), one["config"], one["action"].get<std::string>(), one["pedantic"].get<bool>()),
                one["answer"]);
  }
}

TEST(ConsumerVerbs, UpdateAnswersAsRecorded) {
  const Json all = recorded();
  for (const Json& one : all["updates"]) {
    ApiWorld w;
    SCOPED_TRACE(one["before"].dump() + " to " + one["after"].dump());
    ASSERT_EQ(w.error_of(w.create("S", one["before"])), 0);
    expect_same(w.create("S", one["after"]), one["answer"]);
  }
}

TEST(ConsumerVerbs, SubjectForms) {
  ApiWorld w;
  const auto body = [](std::string_view config, std::string_view stream = "S") {
    return R"({"stream_name":")" + std::string(stream) + R"(","config":)" + std::string(config) + "}";
  };
  using namespace verbs;
  const auto code = [&](auto verb, std::string_view name, std::string_view filter, const std::string& text) {
    return w.error_of(w.call(verb, "S", name, filter, text));
  };
  EXPECT_EQ(code(consumer_create, "C", "", ""), 10056);
  EXPECT_EQ(code(consumer_create, "C", "", body("{}", "T")), 10056);
  EXPECT_EQ(code(consumer_create, "", "", body(R"({"durable_name":"D"})")), 10020);
  EXPECT_EQ(code(consumer_create, "C", "", body(R"({"durable_name":"D"})")), 10017);
  EXPECT_EQ(code(consumer_create, "C", "a.*", body(R"({"filter_subject":"a.x"})")), 10131);
  EXPECT_EQ(code(consumer_create, "C", "a.*", body(R"({"filter_subjects":["a.*"]})")), 10137);
  EXPECT_EQ(code(consumer_create, "C", "a.*", body(R"({"filter_subject":"a.*"})")), 0);
  EXPECT_EQ(code(consumer_durable_create, "D", "", body("{}")), 10018);
  EXPECT_EQ(code(consumer_durable_create, "D", "", body(R"({"durable_name":"E"})")), 10017);
  EXPECT_EQ(code(consumer_durable_create, "D", "", body(R"({"durable_name":"D"})")), 0);
  EXPECT_EQ(code(consumer_create, "a\\b", "", body("{}")), 10127);
  EXPECT_EQ(code(consumer_create, "C", "", "{\"stream_name\":"), 10025);
  EXPECT_EQ(code(consumer_create, "P", "", body(R"({"priority_groups":["g"],"priority_policy":"overflow"})")), 0);
  EXPECT_EQ(code(consumer_create, "P", "", body(R"({"priority_groups":null,"priority_policy":"none","num_replicas":0})")), 0);
  EXPECT_EQ(w.error_of(w.call(consumer_create, "T", "C", "", body("{}", "T"))), 10059);
}

TEST(ConsumerVerbs, InfoNamesListDelete) {
  ApiWorld w;
  using namespace verbs;
  w.stream().publish("a.b");
  (void)w.create("S", {{"durable_name", "B"}, {"ack_policy", "explicit"}, {"metadata", {{"k", "v"}, {"_nats.ver", "9"}}}});
  (void)w.create("S", {{"durable_name", "A"}});
  EXPECT_EQ(w.call(consumer_names, "S", "", "", "").dump(), R"({"consumers":["A","B"],"limit":1024,"offset":0,"total":2})");
  EXPECT_EQ(w.call(consumer_names, "S", "", "", R"({"offset":1})")["consumers"], Json({"B"}));
  const Json unknown = w.call(consumer_names, "T", "", "", "");
  EXPECT_EQ(w.error_of(unknown), 10059);
  EXPECT_EQ(w.error_of(w.call(consumer_names, "S", "", "", R"({"limit":1})")), 10025);
  const Json info = w.call(consumer_info, "S", "B", "", "");
  EXPECT_EQ(info["num_pending"], 1);
  EXPECT_EQ(info["stream_name"], "S");
  EXPECT_EQ(info["delivered"].dump(), R"({"consumer_seq":0,"stream_seq":0})");
  EXPECT_EQ(info["config"]["metadata"].dump(),
            R"({"_nats.level":"0","_nats.req.level":"0","_nats.ver":"0.0.0","k":"v"})");
  EXPECT_EQ(w.call(consumer_list, "S", "", "", "{}")["consumers"][1]["config"]["metadata"].dump(),
            R"({"_nats.req.level":"0","k":"v"})");
  EXPECT_EQ(w.error_of(w.call(consumer_info, "S", "B", "", "x")), 10038);
  EXPECT_EQ(w.error_of(w.call(consumer_info, "S", "Z", "", "")), 10014);
  EXPECT_EQ(w.error_of(w.call(consumer_info, "T", "Z", "", "")), 10059);
  EXPECT_EQ(w.call(consumer_delete, "S", "B", "", "").dump(), R"({"success":true})");
  EXPECT_EQ(w.error_of(w.call(consumer_delete, "S", "B", "", "")), 10014);
}

TEST(ConsumerVerbs, ActionsAndWorkQueues) {
  ApiWorld w;
  w.streams.add(w.sim.clock(), ConsumerWorld::named("W", Retention::kWorkQueue));
  const Json config = {{"durable_name", "A"}, {"ack_policy", "explicit"}};
  EXPECT_EQ(w.error_of(w.create("S", config, "create")), 0);
  EXPECT_EQ(w.error_of(w.create("S", config, "create")), 0);
  EXPECT_EQ(w.error_of(w.create("S", {{"durable_name", "A"}, {"ack_policy", "all"}}, "create")), 10148);
  EXPECT_EQ(w.error_of(w.create("W", {{"durable_name", "A"}, {"ack_policy", "explicit"}, {"filter_subject", "w.a"}})), 0);
  EXPECT_EQ(w.error_of(w.create("W", {{"durable_name", "B"}, {"ack_policy", "explicit"}})), 10099);
  EXPECT_EQ(w.error_of(w.create("W", {{"durable_name", "B"}, {"ack_policy", "explicit"}, {"filter_subject", "w.*"}})), 10100);
  EXPECT_EQ(w.error_of(w.create("W", {{"durable_name", "B"}, {"ack_policy", "explicit"}, {"filter_subject", "w.b"}})), 0);
  w.stream().edit_config().max_consumers = 1;
  EXPECT_EQ(w.error_of(w.create("S", {{"durable_name", "Z"}})), 10026);
}

/// Found with a real sink behind a leaf link: after a kill of the origin it asks for its own position in the work queue.
TEST(ConsumerVerbs, ASinkComesBackToAWorkQueueWithAStartOfItsOwn) {
  ApiWorld w;
  const auto config = parse_stream_config(R"({"name":"Q","subjects":["q"],"retention":"workqueue"})");
  ASSERT_TRUE(config);
  w.streams.add(w.sim.clock(), *config);
  Json sink = {{"name", "SRC"}, {"deliver_policy", "all"}, {"ack_policy", "none"}, {"deliver_subject", "$JS.S.a"},
               {"flow_control", true}, {"idle_heartbeat", 1'000'000'000}, {"max_deliver", 1}, {"direct", true}, {"sourcing", true}};
  const Json first = w.create("Q", sink);
  ASSERT_EQ(w.error_of(first), 0) << first.dump();
  EXPECT_EQ(first["config"]["ack_policy"], "flow_control");
  sink["deliver_policy"] = "by_start_sequence";
  sink["opt_start_seq"] = 7;
  sink["deliver_subject"] = "$JS.S.b";
  const Json again = w.create("Q", sink);
  ASSERT_EQ(w.error_of(again), 0) << again.dump();
  EXPECT_EQ(again["config"]["deliver_policy"], "all");
  EXPECT_EQ(again["config"]["deliver_subject"], "$JS.S.b");
}

TEST(ConsumerVerbs, PauseAndUnpin) {
  ApiWorld w;
  using namespace verbs;
  (void)w.create("S", {{"durable_name", "A"}});
  const WallNanos until = w.sim.clock().wall() + 1'000'000'000;
  Json answer = w.call(consumer_pause, "S", "A", "", R"({"pause_until":")" + format_rfc3339(until) + "\"}");
  EXPECT_EQ(answer["paused"], true);
  EXPECT_EQ(answer["pause_remaining"], 1'000'000'000);
  EXPECT_EQ(w.call(consumer_info, "S", "A", "", "")["paused"], true);
  answer = w.call(consumer_pause, "S", "A", "", "");
  EXPECT_EQ(answer.dump(), R"({"pause_until":"0001-01-01T00:00:00Z","paused":false})");
  EXPECT_FALSE(w.call(consumer_info, "S", "A", "", "")["config"].contains("pause_until"));
  EXPECT_EQ(w.error_of(w.call(consumer_unpin, "S", "A", "", "")), 10025);
  EXPECT_EQ(w.error_of(w.call(consumer_unpin, "S", "A", "", R"({"group":"g"})")), 10160);
}

}  // namespace
}  // namespace sluice::test
