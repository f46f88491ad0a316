#include "monitor_world.h"

#include <array>
#include <map>
#include <set>

namespace sluice::test {
namespace {

using Strings = std::vector<std::string>;

Strings names(const Json& connz) {
  Strings out;
  for (const Json& c : connz["connections"]) out.push_back(c.value("name", "?"));
  return out;
}

// -- /varz

TEST(Varz, HasWhatNatsTopAndTheExportersRead) {
  MonitorWorld w;
  w.sim.advance(3723s);
  w.make_streams();
  const Answer answer = w.get("/varz");
  ASSERT_EQ(answer.status, 200);
  EXPECT_NE(answer.head.find("Content-Type: application/json\r\n"), std::string::npos) << answer.head;
  EXPECT_NE(answer.head.find("Access-Control-Allow-Origin: *\r\n"), std::string::npos) << answer.head;
  const Json v = answer.json();
  for (const char* name : {"server_id", "server_name", "version", "go", "host", "http_host", "http_base_path", "start",
                           "now", "uptime"}) {
    EXPECT_TRUE(v.contains(name) && v[name].is_string()) << name;
  }
  for (const char* name :
       {"proto", "port", "max_connections", "ping_interval", "ping_max", "http_port", "https_port", "auth_timeout",
        "max_control_line", "max_payload", "max_pending", "write_deadline", "mem", "cores", "cpu", "connections",
        "total_connections", "routes", "remotes", "leafnodes", "in_msgs", "out_msgs", "in_bytes", "out_bytes",
        "slow_consumers", "stale_connections", "stalled_clients", "subscriptions"}) {
    EXPECT_TRUE(v.contains(name) && v[name].is_number()) << name;
  }
  for (const char* name : {"cluster", "gateway", "leaf", "mqtt", "websocket", "jetstream"}) {
    EXPECT_TRUE(v.contains(name) && v[name].is_object()) << name;
  }
  EXPECT_EQ(v["server_name"], "N");
  EXPECT_EQ(v["server_id"].get<std::string>().size(), 56u);
  EXPECT_EQ(v["http_port"], 8222);
  EXPECT_EQ(v["port"], 4222);
  EXPECT_EQ(v["mem"], 12'345'678);
  EXPECT_EQ(v["connections"], 1);
  EXPECT_EQ(v["in_msgs"], 7);
  EXPECT_EQ(v["uptime"], "1h2m3s");
  EXPECT_EQ(v["ping_interval"], 120'000'000'000);
  EXPECT_FALSE(v.contains("auth_required"));
  EXPECT_EQ(v["jetstream"]["config"]["store_dir"], "data");
  EXPECT_TRUE(v["jetstream"]["config"]["max_storage"].is_number());
  for (const char* name : {"memory", "storage", "reserved_memory", "reserved_storage", "accounts", "ha_assets"}) {
    EXPECT_TRUE(v["jetstream"]["stats"][name].is_number()) << name;
  }
  EXPECT_GT(v["jetstream"]["stats"]["storage"], v["jetstream"]["stats"]["memory"]);
}

TEST(Varz, CpuIsTheShareSinceTheLastLook) {
  MonitorWorld w;
  w.get("/varz");
  w.process.cpu_seconds += 2.5;
  w.sim.advance(10s);
  EXPECT_DOUBLE_EQ(w.get("/varz").json()["cpu"].get<double>(), 25.0);
  EXPECT_GE(w.get("/varz").json()["cpu"].get<double>(), 0.0);  // no time has passed: still a number
}

TEST(Varz, WithoutJetStreamTheObjectIsEmpty) {
  MonitorWorld w(false);
  EXPECT_EQ(w.get("/varz").json()["jetstream"], Json::object());
  const Json j = w.get("/jsz?consumers=true").json();
  EXPECT_EQ(j["disabled"], true);
  EXPECT_EQ(w.get("/healthz").status, 200);
  EXPECT_EQ(w.get("/metrics").status, 200);
}

// -- /connz

TEST(Connz, ShowsEachConnection) {
  MonitorWorld w;
  w.client("first", "SUB a 1\r\nSUB b 2\r\n");
  w.client("second", MonitorWorld::pub("a", "12345"));
  const Answer answer = w.get("/connz");
  ASSERT_EQ(answer.status, 200);
  const Json z = answer.json();
  EXPECT_EQ(z["num_connections"], 2);
  EXPECT_EQ(z["total"], 2);
  EXPECT_EQ(z["offset"], 0);
  EXPECT_EQ(z["limit"], 1024);
  EXPECT_TRUE(z["server_id"].is_string() && z["now"].is_string());
  ASSERT_EQ(names(z), Strings({"first", "second"}));
  const Json& c = z["connections"][0];
  for (const char* name : {"kind", "type", "ip", "start", "last_activity", "uptime", "idle", "name", "lang", "version"}) {
    EXPECT_TRUE(c.contains(name) && c[name].is_string()) << name;
  }
  for (const char* name :
       {"cid", "port", "pending_bytes", "in_msgs", "out_msgs", "in_bytes", "out_bytes", "subscriptions"}) {
    EXPECT_TRUE(c.contains(name) && c[name].is_number()) << name;
  }
  EXPECT_EQ(c["subscriptions"], 2);
  EXPECT_EQ(c["out_bytes"], 5);
  EXPECT_EQ(c["lang"], "test");
  EXPECT_EQ(z["connections"][1]["in_msgs"], 1);
}

TEST(Connz, SortLimitOffset) {
  MonitorWorld w;
  w.client("one", "SUB x 1\r\n");
  w.client("three", "SUB x 1\r\nSUB y 2\r\nSUB z 3\r\n");
  w.client("two", "SUB x 1\r\nSUB y 2\r\n");
  EXPECT_EQ(names(w.get("/connz?sort=subs").json()), Strings({"three", "two", "one"}));
  EXPECT_EQ(names(w.get("/connz?sort=cid").json()), Strings({"one", "three", "two"}));
  const Json page = w.get("/connz?sort=subs&limit=1&offset=1").json();
  EXPECT_EQ(names(page), Strings({"two"}));
  EXPECT_EQ(page["num_connections"], 1);
  EXPECT_EQ(page["total"], 3);
  EXPECT_EQ(page["limit"], 1);
  EXPECT_EQ(page["offset"], 1);
  EXPECT_EQ(names(w.get("/connz?offset=9223372036854775807&limit=9223372036854775807").json()), Strings());
  for (const char* query : {"limit=0", "limit=", "limit=-1", "offset=-1", "offset="}) {  // as the reference: defaults
    const Json all = w.get(fmt::format("/connz?{}", query)).json();
    EXPECT_EQ(all["num_connections"], 3) << query;
    EXPECT_EQ(all["limit"], 1024) << query;
    EXPECT_EQ(all["offset"], 0) << query;
  }
  for (const char* sort : {"start", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from", "last", "idle",
                           "uptime", "rtt"}) {
    EXPECT_EQ(w.get(fmt::format("/connz?sort={}", sort)).json()["total"], 3) << sort;
  }
}

TEST(Connz, ClosedOnes) {
  MonitorWorld w;
  w.client("stays");
  w.client("goes").close();
  w.sim.run_until_idle();
  EXPECT_EQ(names(w.get("/connz").json()), Strings({"stays"}));
  const Json closed = w.get("/connz?state=closed").json();
  ASSERT_EQ(names(closed), Strings({"goes"}));
  EXPECT_TRUE(closed["connections"][0]["reason"].is_string());
  EXPECT_TRUE(closed["connections"][0]["stop"].is_string());
  EXPECT_EQ(names(w.get("/connz?state=any").json()), Strings({"stays", "goes"}));
  EXPECT_EQ(names(w.get("/connz?state=closed&sort=stop").json()), Strings({"goes"}));
  EXPECT_EQ(names(w.get("/connz?state=closed&sort=reason").json()), Strings({"goes"}));
  const uint64_t cid = closed["connections"][0]["cid"];
  EXPECT_EQ(names(w.get(fmt::format("/connz?state=any&cid={}", cid)).json()), Strings({"goes"}));
  EXPECT_EQ(names(w.get(fmt::format("/connz?cid={}", cid)).json()), Strings());
}

TEST(Connz, BadParametersAre400InPlainText) {
  MonitorWorld w;
  w.client("c");
  const Answer bogus = w.get("/connz?sort=bogus");
  EXPECT_EQ(bogus.status, 400);
  EXPECT_EQ(bogus.body, "invalid sorting option: bogus");
  EXPECT_NE(bogus.head.find("Content-Type: text/plain"), std::string::npos) << bogus.head;
  for (const char* query : {"limit=x", "offset=1x", "offset=99999999999999999999", "cid=one",
                            "state=half", "subs=maybe", "filter_subject=a..b", "mqtt_client=m",
                            "sort=stop", "sort=reason&state=any"}) {
    EXPECT_EQ(w.get(fmt::format("/connz?{}", query)).status, 400) << query;
  }
  EXPECT_EQ(w.get("/connz?subs=0").status, 200);
}

TEST(Connz, SubscriptionsAndFilters) {
  MonitorWorld w;
  w.client("a", "SUB foo.* q 7\r\nUNSUB 7 5\r\nSUB bar 2\r\n");
  w.client("b", MonitorWorld::pub("foo.x", "1"));
  Json list = w.get("/connz?subs=1").json()["connections"][0]["subscriptions_list"];
  EXPECT_EQ(list.size(), 2u);
  EXPECT_FALSE(w.get("/connz?subs=1").json()["connections"][1].contains("subscriptions_list"));
  const Json detail = w.get("/connz?subs=detail&cid=1").json()["connections"][0]["subscriptions_list_detail"];
  ASSERT_EQ(detail.size(), 2u);
  const Json& q = detail[0]["sid"] == "7" ? detail[0] : detail[1];
  EXPECT_EQ(q, Json::parse(R"({"subject":"foo.*","qgroup":"q","sid":"7","msgs":1,"max":5,"cid":1})"));
  EXPECT_EQ(names(w.get("/connz?filter_subject=foo.y").json()), Strings({"a"}));
  EXPECT_EQ(names(w.get("/connz?filter_subject=nobody").json()), Strings());
  EXPECT_EQ(names(w.get("/connz?acc=$G").json()), Strings({"a", "b"}));
  EXPECT_EQ(names(w.get("/connz?acc=other").json()), Strings());
  EXPECT_EQ(names(w.get("/connz?user=nobody").json()), Strings());
  EXPECT_FALSE(w.get("/connz?auth=1").json()["connections"][0].contains("account")) << "of the global one none";
}

// -- /subsz, accounts, links

TEST(Subsz, CountsAndTests) {
  MonitorWorld w(false);
  w.client("a", "SUB foo.* q 7\r\nSUB bar 2\r\nUNSUB 2\r\n");
  const Json z = w.get("/subsz?subs=1").json();
  EXPECT_EQ(z["total"], 1);
  EXPECT_EQ(z["subscriptions_list"][0]["subject"], "foo.*");
  EXPECT_EQ(z["subscriptions_list"][0]["account"], "$G");
  EXPECT_GE(z["num_inserts"], 2);
  EXPECT_EQ(z["num_removes"], 1);
  EXPECT_EQ(w.get("/subsz?subs=1&test=foo.a").json()["total"], 1);
  EXPECT_EQ(w.get("/subsz?subs=1&test=bar").json()["total"], 0);
  EXPECT_FALSE(w.get("/subsz").json().contains("subscriptions_list"));
  EXPECT_EQ(w.get("/subsz?test=foo.*").body, "invalid test subject, must be valid publish subject: foo.*");
  EXPECT_EQ(w.get("/subsz?offset=1&subs=1").json()["total"], 0);
}

TEST(Accounts, NamesDetailAndStatistics) {
  MonitorWorld w;
  w.client("a", MonitorWorld::pub("foo", "123"));
  EXPECT_EQ(w.get("/accountz").json()["accounts"][0], "$G");
  const Json detail = w.get("/accountz?acc=$G").json()["account_detail"];
  EXPECT_EQ(detail["account_name"], "$G");
  EXPECT_EQ(detail["jetstream_enabled"], true);
  EXPECT_EQ(detail["client_connections"], 1);
  EXPECT_EQ(w.get("/accountz?acc=nope").body, "Account nope does not exist");
  const Json one = w.get("/accstatz").json()["account_statz"][0];
  EXPECT_EQ(one["acc"], "$G");
  EXPECT_EQ(one["received"]["bytes"], 3);
}

TEST(Links, ThereAreNone) {
  MonitorWorld w;
  EXPECT_EQ(w.get("/leafz").json()["leafs"], Json::array());
  EXPECT_EQ(w.get("/routez").json()["num_routes"], 0);
  EXPECT_EQ(w.get("/gatewayz").json()["outbound_gateways"], Json::object());
  EXPECT_EQ(w.get("/raftz").status, 404);
  EXPECT_EQ(w.get("/ipqueuesz").status, 200);
}

TEST(PageQuery, OfARequestToSys) {
  auto query = PageQuery::of_json(R"({"subscriptions":true,"offset":2,"state":2,"user":"u","acc":null})");
  ASSERT_TRUE(query);
  EXPECT_TRUE(*query->flag("subs"));
  EXPECT_EQ(*query->integer("offset", 0), 2);
  EXPECT_EQ(query->text("state"), "any");
  EXPECT_EQ(query->text("user"), "u");
  EXPECT_EQ(PageQuery::of_json(R"({"subscriptions":true,"subscriptions_detail":true})")->text("subs"), "detail");
  EXPECT_TRUE(PageQuery::of_json(""));
  EXPECT_FALSE(PageQuery::of_json("[1]"));
  EXPECT_FALSE(PageQuery::of_json("{"));
  EXPECT_FALSE(PageQuery::of_json(R"({"state":7})"));
}

// -- /jsz

TEST(Jsz, Flags) {
  MonitorWorld w;
  w.make_streams();
  Json j = w.get("/jsz").json();
  for (const char* name : {"memory", "storage", "reserved_memory", "reserved_storage", "accounts", "ha_assets",
                           "streams", "consumers", "messages", "bytes"}) {
    EXPECT_TRUE(j.contains(name) && j[name].is_number()) << name;
  }
  EXPECT_EQ(j["streams"], 2);
  EXPECT_EQ(j["consumers"], 1);
  EXPECT_EQ(j["messages"], 4);
  EXPECT_EQ(j["config"]["store_dir"], "data");
  EXPECT_FALSE(j.contains("account_details"));
  EXPECT_FALSE(j.contains("disabled"));

  j = w.get("/jsz?accounts=true").json();
  ASSERT_EQ(j["account_details"].size(), 1u);
  EXPECT_EQ(j["account_details"][0]["name"], "$G");
  EXPECT_EQ(j["account_details"][0]["id"], "$G");
  EXPECT_FALSE(j["account_details"][0].contains("stream_detail"));

  j = w.get("/jsz?streams=1").json();
  const Json& streams = j["account_details"][0]["stream_detail"];
  ASSERT_EQ(streams.size(), 2u);
  const Json& s = streams[0]["name"] == "S" ? streams[0] : streams[1];
  EXPECT_EQ(s["name"], "S");
  EXPECT_TRUE(s["created"].is_string());
  EXPECT_EQ(s["state"]["messages"], 3);
  EXPECT_EQ(s["state"]["last_seq"], 3);
  EXPECT_EQ(s["state"]["consumer_count"], 1);
  EXPECT_FALSE(s.contains("config"));
  EXPECT_FALSE(s.contains("consumer_detail"));

  j = w.get("/jsz?consumers=true&config=true&raft=true").json();
  const Json& all = j["account_details"][0]["stream_detail"];
  const Json& with = all[0]["name"] == "S" ? all[0] : all[1];
  EXPECT_EQ(with["config"]["subjects"], Json::array({"s.>"}));
  ASSERT_EQ(with["consumer_detail"].size(), 1u);
  const Json& c = with["consumer_detail"][0];
  EXPECT_EQ(c["name"], "C");
  EXPECT_EQ(c["stream_name"], "S");
  EXPECT_EQ(c["num_pending"], 3);
  EXPECT_EQ(c["config"]["ack_policy"], "explicit");

  EXPECT_EQ(w.get("/jsz?streams=maybe").status, 400);
}

// -- /healthz

TEST(Healthz, WellUnknownStreamAndShutdown) {
  MonitorWorld w;
  w.make_streams();
  for (const char* path : {"/healthz", "/healthz?js-enabled-only=true", "/healthz?js-server-only=true",
                           "/healthz?account=$G&stream=S", "/healthz?account=$G&stream=S&consumer=C"}) {
    const Answer well = w.get(path);
    EXPECT_EQ(well.status, 200) << path;
    EXPECT_EQ(well.body, R"({"status":"ok"})");
  }
  const Answer unknown = w.get("/healthz?account=$G&stream=nobody");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.json()["status"], "unavailable");
  EXPECT_EQ(unknown.json()["error"], R"(JetStream stream "nobody" not found on account "$G")");
  const Answer consumer = w.get("/healthz?account=$G&stream=S&consumer=x");
  EXPECT_EQ(consumer.status, 404);
  EXPECT_EQ(consumer.json()["error"], R"(JetStream consumer "x" not found for stream "S" on account "$G")");
  EXPECT_EQ(w.get("/healthz?account=other").status, 404);
  EXPECT_EQ(w.get("/healthz?account=$G&stream=%ff%22").status, 404);  // no UTF-8
  EXPECT_EQ(w.get("/healthz?stream=S").body,
            R"({"status":"error","error":"\"account\" must not be empty when checking stream health"})");
  EXPECT_EQ(w.get("/healthz?account=$G&stream=no&details=true").body,
            R"({"status":"unavailable","errors":[{"type":"STREAM","account":"$G","stream":"no",)"
            R"("error":"JetStream stream \"no\" not found on account \"$G\""}]})");
  EXPECT_EQ(w.get("/healthz?consumer=C").status, 400);

  w.node->server().drain(1s, [] {});
  EXPECT_EQ(w.get("/healthz").status, 503);
}

TEST(Healthz, FailedSyncIs503) {
  MonitorWorld w;
  w.make_streams();
  w.sim.disk().fail_next(sim::DiskOp::kSync, 1, Errc::kIo);
  w.client("c", MonitorWorld::pub("s.1", "lost"));
  const Answer sick = w.get("/healthz");
  EXPECT_EQ(sick.status, 503);
  EXPECT_EQ(sick.json()["status"], "unavailable");
  EXPECT_FALSE(sick.json()["error"].get<std::string>().empty());
  EXPECT_EQ(w.get("/varz").status, 200);
  EXPECT_EQ(w.get("/jsz?consumers=true&config=true").status, 200);
  EXPECT_NE(w.get("/metrics").body.find("\nsluice_store_writable 0"), std::string::npos);
}

TEST(Healthz, FurtherChecks) {
  MonitorWorld w;
  std::string wrong;
  w.pages->add_health([&] { return wrong; });
  EXPECT_EQ(w.get("/healthz").status, 200);
  wrong = "the \"adapter\" is out";
  const Answer sick = w.get("/healthz");
  EXPECT_EQ(sick.status, 503);
  EXPECT_EQ(sick.json()["error"], wrong);
}

// -- /metrics

/// Checks the text format 0.0.4 and what Prometheus refuses: samples without their family, families or
/// series that come twice. @return series → value.
std::map<std::string, double> parse_metrics(const std::string& text) {
  std::map<std::string, double> series;
  std::set<std::string> families;
  std::string family;
  std::string type;
  EXPECT_TRUE(text.empty() || text.back() == '\n');
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("# HELP ")) {
      family = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(families.insert(family).second) << "family twice: " << family;
      EXPECT_GT(line.size(), 8 + family.size()) << "no help: " << family;
      type.clear();
      continue;
    }
    if (line.starts_with("# TYPE ")) {
      EXPECT_EQ(line.substr(7, line.find(' ', 7) - 7), family);
      type = line.substr(line.rfind(' ') + 1);
      EXPECT_TRUE(type == "counter" || type == "gauge") << line;
      EXPECT_EQ(type == "counter", family.ends_with("_total")) << line;
      continue;
    }
    const size_t value_at = line.rfind(' ');
    EXPECT_NE(value_at, std::string::npos) << line;
    if (value_at == std::string::npos) continue;
    const std::string name = line.substr(0, value_at);
    EXPECT_EQ(name.substr(0, name.find('{')), family) << "sample without its family: " << line;
    EXPECT_FALSE(type.empty()) << line;
    EXPECT_TRUE(name.find('{') == std::string::npos || name.ends_with("}")) << line;
    size_t used = 0;
    const std::string value = line.substr(value_at + 1);
    const double number = std::stod(value, &used);
    EXPECT_EQ(used, value.size()) << line;
    if (type == "counter") {
      EXPECT_GE(number, 0) << line;
    }
    EXPECT_TRUE(series.emplace(name, number).second) << "series twice: " << name;
  }
  return series;
}

TEST(Metrics, ParsesAsPrometheusText) {
  MonitorWorld w;
  w.make_streams();
  w.monitor->add_metrics([&](MetricSink& sink) { w.node->api().collect(sink); });
  w.monitor->add_metrics([](MetricSink& sink) {
    sink.counter("other_total", "Of another room.", {{"adapter", "a\"b"}}, 1);
  });
  const Answer answer = w.get("/metrics");
  ASSERT_EQ(answer.status, 200);
  EXPECT_NE(answer.head.find("Content-Type: text/plain; version=0.0.4"), std::string::npos) << answer.head;
  const auto series = parse_metrics(answer.body);
  EXPECT_GT(series.size(), 30u);
  EXPECT_EQ(series.at("process_cpu_seconds_total"), 1.5);
  EXPECT_EQ(series.at("process_resident_memory_bytes"), 12'345'678);
  EXPECT_EQ(series.at("sluice_streams"), 2);
  EXPECT_EQ(series.at("sluice_account_streams{account=\"$G\"}"), 2);
  EXPECT_TRUE(series.contains("sluice_account_connections{account=\"$G\"}"));
  EXPECT_TRUE(series.contains("sluice_account_connections{account=\"$SYS\"}"));
  EXPECT_EQ(series.at("sluice_store_writable"), 1);
  EXPECT_TRUE(series.contains("other_total{adapter=\"a\\\"b\"}"));
}

TEST(Metrics, CountersDoNotFall) {
  MonitorWorld w;
  w.make_streams();
  const auto before = parse_metrics(w.get("/metrics").body);
  w.client("more", MonitorWorld::pub("s.1", "x") + MonitorWorld::pub("$JS.API.STREAM.PURGE.S", ""));
  const auto after = parse_metrics(w.get("/metrics").body);
  bool rose = false;
  for (const auto& [name, value] : before) {
    if (name.substr(0, name.find('{')).ends_with("_total")) {
      ASSERT_TRUE(after.contains(name)) << name;
      EXPECT_GE(after.at(name), value) << name;
      rose = rose || after.at(name) > value;
    }
  }
  EXPECT_TRUE(rose);
}

// -- pages

TEST(Pages, IndexAndAddedPages) {
  MonitorWorld w;
  w.monitor->add_page("/adapters", [] { return std::string(R"({"adapters":[]})"); });
  const Answer index = w.get("/");
  EXPECT_EQ(index.status, 200);
  EXPECT_NE(index.head.find("Content-Type: text/html"), std::string::npos);
  for (const char* path : {"/varz", "/connz", "/jsz", "/healthz", "/metrics", "/adapters"}) {
    EXPECT_NE(index.body.find(path), std::string::npos) << path;
  }
  EXPECT_EQ(w.get("/adapters").json()["adapters"], Json::array());
  EXPECT_EQ(w.get("/nope").status, 404);
}

}  // namespace
}  // namespace sluice::test
