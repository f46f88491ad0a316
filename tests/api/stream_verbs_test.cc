// The stream verbs by request and reply, as they stand on the wire.
#include <gmock/gmock.h>

#include "../stream/stream_world.h"
#include "api/dispatcher.h"
#include "consumer/consumers.h"

namespace sluice {
using namespace std::chrono_literals;
namespace {

/// No consumers, but a count to show.
class CountedConsumers final : public Consumers {
 public:
  Result<Consumer*> put(Stream&, ConsumerConfig, ConsumerAction, bool) override {
    return fail_api(Errc::kUnsupported, 10012, "test");
  }
  Result<Consumer*> restore(Stream&, const PortableConsumer&) override {
    return fail_api(Errc::kUnsupported, 10012, "test");
  }
  Status remove(std::string_view, std::string_view) override { return fail_api(Errc::kNotFound, 10014, ""); }
  void pause(Consumer&, WallNanos) override {}
  Result<StreamSeq> reset(Consumer&, std::optional<StreamSeq>) override { return StreamSeq{1}; }
  Consumer* find(std::string_view, std::string_view) override { return nullptr; }
  void each(std::string_view, const std::function<void(Consumer&)>&) override {}
  size_t count(std::string_view) const override { return 3; }
  size_t size() const override { return 3; }
  const OfflineConsumers& offline(std::string_view) const override { return offline_; }
  void when_durable(Stream&, std::move_only_function<void()> done) override { done(); }
  void shut_down() override {}
  void set_limits(const ConsumersOptions&) override {}
  void collect(MetricSink&) const override {}

 private:
  OfflineConsumers offline_;
};

class Api : public StreamWorld {
 protected:
  void start() {
    options_.domain = api_options_.domain;
    dispatcher_ = ApiDispatcher::make(sim_.env(), bus_, &store_, streams(), consumers_, api_options_);
  }
  ~Api() override { dispatcher_.reset(); }

  /// Sends a request, makes everything durable, returns the one reply.
  std::string call(std::string_view verb, std::string_view body = "", std::string_view headers = "") {
    if (!dispatcher_) start();
    caught_.clear();
    const std::string subject = "$JS.API." + std::string(verb);
    bus_.publish({.subject = subject, .reply = "_INBOX.r", .headers = headers, .payload = body});
    settle();
    if (caught_.empty()) sim_.advance(500ms);  // answers for what is offline are held back
    return caught_.size() == 1 ? caught_[0].payload : "replies: " + std::to_string(caught_.size());
  }
  std::string error(std::string_view verb, std::string_view body = "", std::string_view headers = "") {
    return error_of(call(verb, body, headers));
  }
  void create(const std::string& name, const std::string& more = "") {
    const std::string reply = call("STREAM.CREATE." + name, R"({"name":")" + name + "\"" + more + "}");
    ASSERT_NE(reply.find(R"("did_create":true)"), std::string::npos) << reply;
  }

  ApiOptions api_options_;
  CountedConsumers consumers_;
  std::unique_ptr<ApiDispatcher> dispatcher_;
};

using testing::HasSubstr;

TEST_F(Api, WhatThisVersionCannotServeIsOfflineAndKept) {
  create("S", R"(,"subjects":["s"])");
  create("T", R"(,"subjects":["t"])");
  for (const RecoveredStream& stream : store_.streams()) {
    if (stream.name != "S") continue;
    std::string meta = stream.meta;
    const std::string level = R"("_nats.req.level":"0")";
    ASSERT_NE(meta.find(level), std::string::npos) << meta;
    meta.replace(meta.find(level), level.size(), R"("_nats.req.level":"99")");
    store_.update_stream_meta("S", meta);
  }
  dispatcher_.reset();
  restart();
  for (const char* verb : {"STREAM.INFO.S", "STREAM.PURGE.S", "STREAM.UPDATE.S", "CONSUMER.NAMES.S", "CONSUMER.CREATE.S"}) {
    EXPECT_THAT(error(verb), HasSubstr("10194")) << verb;
  }
  caught_.clear();
  bus_.publish({.subject = "$JS.API.STREAM.INFO.S", .reply = "_INBOX.r", .headers = "", .payload = ""});
  sim_.advance(499ms);
  EXPECT_TRUE(caught_.empty());
  sim_.advance(1ms);
  EXPECT_EQ(caught_.size(), 1U);
  EXPECT_THAT(call("STREAM.INFO.S"),
              HasSubstr("stream is offline: unsupported - required API level: 99, current API level: 5"));
  EXPECT_THAT(call("STREAM.LIST"),
              HasSubstr(R"("missing":["S"],"offline":{"S":"unsupported - required API level: 99, current API level: 5"})"));
  EXPECT_THAT(error("STREAM.CREATE.U", R"({"name":"U","subjects":["s"]})"), HasSubstr("10065"));
  EXPECT_THAT(error("STREAM.CREATE.S", R"({"name":"S","subjects":["x"]})"), HasSubstr("10058"));
  EXPECT_THAT(call("STREAM.DELETE.S"), HasSubstr(R"("success":true)"));
  EXPECT_THAT(error("STREAM.INFO.S"), HasSubstr("10059"));
}

TEST_F(Api, CreateShowsTheStream) {
  const std::string reply = call("STREAM.CREATE.S", R"({"name":"S","subjects":["a"]})");
  EXPECT_THAT(reply, testing::StartsWith(
                         R"({"type":"io.nats.jetstream.api.v1.stream_create_response",)"
                         R"("config":{"name":"S","subjects":["a"],)"));
  EXPECT_THAT(reply, HasSubstr(R"("_nats.ver":"0.0.0")"));
  EXPECT_THAT(
      reply,
      testing::EndsWith(
          R"("created":"2026-01-01T00:00:00Z","state":{"messages":0,"bytes":0,"first_seq":0,)"
          R"("first_ts":"0001-01-01T00:00:00Z","last_seq":0,"last_ts":"0001-01-01T00:00:00Z",)"
          R"("consumer_count":3},"ts":"2026-01-01T00:00:00Z","did_create":true})"));
  EXPECT_EQ(ack("a"), R"({"stream":"S","seq":1})");
}

TEST_F(Api, RepliesWaitForTheDisk) {
  start();
  bus_.publish({.subject = "$JS.API.STREAM.CREATE.S",
                .reply = "_INBOX.r",
                .headers = "",
                .payload = R"({"name":"S"})"});
  EXPECT_TRUE(caught_.empty());
  store_.release();
  EXPECT_EQ(caught_.size(), 1U);
}

TEST_F(Api, CreateChecks) {
  EXPECT_EQ(error("STREAM.CREATE.S", R"({"name":"T"})"),
            "10056 stream name in subject does not match request");
  EXPECT_EQ(error("STREAM.CREATE.S", R"({"name":"S","x":1})"),
            R"(10025 invalid JSON: json: unknown field \"x\")");
  EXPECT_EQ(error("STREAM.CREATE.a/b", R"({"name":"a/b"})"),
            "10128 Stream name can not contain path separators");
  EXPECT_EQ(error("STREAM.CREATE.S", R"({"name":"S","sealed":true})"),
            "10052 stream configuration for create can not be sealed");
  EXPECT_EQ(error("STREAM.CREATE.S", R"({"name":"S","num_replicas":3})"),
            "10074 replicas > 1 not supported in non-clustered mode");
  create("S");
  create("S");  // the same again
  EXPECT_EQ(error("STREAM.CREATE.S", R"({"name":"S","max_msgs":1})"),
            "10058 stream name already in use with a different configuration");
  EXPECT_EQ(error("STREAM.CREATE.T", R"({"name":"T","subjects":["S"]})"),
            "10065 subjects overlap with an existing stream");
  EXPECT_EQ(call("STREAM.CREATE.T", R"({"name":"T","subjects":["S"]})"),
            R"({"type":"io.nats.jetstream.api.v1.stream_create_response","error":{"code":400,)"
            R"("err_code":10065,"description":"subjects overlap with an existing stream"}})");
}

TEST_F(Api, RequiredLevel) {
  EXPECT_EQ(error("INFO", "", "NATS/1.0\r\nNats-Required-Api-Level: 1\r\n\r\n"),
            "10185 JetStream minimum api level required");
  EXPECT_EQ(error("INFO", "", "NATS/1.0\r\nNats-Required-Api-Level: x\r\n\r\n"),
            "10185 JetStream minimum api level required");
  EXPECT_THAT(call("INFO", "", "NATS/1.0\r\nNats-Required-Api-Level: 0\r\n\r\n"),
              HasSubstr(R"("memory":)"));
}

TEST_F(Api, AccountInfo) {
  create("S", R"(,"max_bytes":1000)");
  ack("S", "12345");
  error("STREAM.INFO.nope");
  EXPECT_EQ(call("INFO"),
            R"({"type":"io.nats.jetstream.api.v1.account_info_response","memory":0,"storage":22,)"
            R"("reserved_memory":0,"reserved_storage":1000,"streams":1,"consumers":3,)"
            R"("limits":{"max_memory":-1,"max_storage":-1,"max_streams":-1,"max_consumers":-1,)"
            R"("max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1,)"
            R"("max_bytes_required":false},"api":{"level":0,"total":3,"errors":1}})");
}

TEST_F(Api, NamesAndList) {
  const std::string type = R"({"type":"io.nats.jetstream.api.v1.stream_names_response",)";
  EXPECT_EQ(call("STREAM.NAMES"), type + R"("total":0,"offset":0,"limit":1024,"streams":null})");
  create("B", R"(,"subjects":["b.>"])");
  create("A", R"(,"subjects":["a.*"])");
  EXPECT_EQ(call("STREAM.NAMES"), type + R"("total":2,"offset":0,"limit":1024,"streams":["A","B"]})");
  EXPECT_EQ(call("STREAM.NAMES", R"({"subject":"b.c.d"})"),
            type + R"("total":1,"offset":0,"limit":1024,"streams":["B"]})");
  EXPECT_EQ(call("STREAM.NAMES", R"({"offset":1})"),
            type + R"("total":2,"offset":1,"limit":1024,"streams":["B"]})");
  EXPECT_EQ(call("STREAM.NAMES", R"({"offset":9})"),
            type + R"("total":2,"offset":2,"limit":1024,"streams":null})");
  EXPECT_EQ(error("STREAM.NAMES", R"({"limit":9})"),
            R"(10025 invalid JSON: json: unknown field \"limit\")");
  const std::string list = call("STREAM.LIST", "ignored");
  EXPECT_THAT(list, testing::StartsWith(R"({"type":"io.nats.jetstream.api.v1.stream_list_response",)"
                                        R"("total":2,"offset":0,"limit":256,"streams":[{"config":{"name":"A")"));
  EXPECT_THAT(list, testing::Not(HasSubstr("_nats.ver")));
}

TEST_F(Api, Info) {
  EXPECT_EQ(call("STREAM.INFO.S"),
            R"({"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":404,)"
            R"("err_code":10059,"description":"stream not found"},"total":0,"offset":0,"limit":0})");
  create("S", R"(,"subjects":["a.*"])");
  for (const char* s : {"a.1", "a.2", "a.1", "a.3"}) ack(s);
  call("STREAM.MSG.DELETE.S", R"({"seq":2})");
  const std::string plain = call("STREAM.INFO.S");
  EXPECT_THAT(plain, HasSubstr(R"("last_seq":4,"last_ts":"2026-01-01T00:00:00Z","num_subjects":2,)"
                               R"("num_deleted":1,"consumer_count":3},"cluster":{"leader":"sluice"},"ts")"));
  EXPECT_THAT(call("STREAM.INFO.S", R"({"deleted_details":true})"), HasSubstr(R"("deleted":[2],)"));
  const std::string filtered = call("STREAM.INFO.S", R"({"subjects_filter":"a.*","offset":1})");
  EXPECT_THAT(filtered, HasSubstr(R"("total":2,"offset":1,"limit":100000,)"));
  EXPECT_THAT(filtered, HasSubstr(R"("subjects":{"a.3":1})"));
}

TEST_F(Api, Update) {
  EXPECT_EQ(error("STREAM.UPDATE.S", R"({"name":"S"})"), "10059 stream not found");
  create("S");
  EXPECT_THAT(call("STREAM.UPDATE.S", R"({"name":"S","max_msgs":5})"), HasSubstr(R"("max_msgs":5)"));
  EXPECT_EQ(error("STREAM.UPDATE.S", R"({"name":"S","storage":"memory"})"),
            "10052 stream configuration update can not change storage type");
}

TEST_F(Api, Delete) {
  create("S");
  EXPECT_EQ(error("STREAM.DELETE.S", R"({"x":1})"), "10038 expected an empty request payload");
  EXPECT_EQ(call("STREAM.DELETE.S", "{ }"),
            R"({"type":"io.nats.jetstream.api.v1.stream_delete_response","success":true})");
  EXPECT_EQ(error("STREAM.DELETE.S"), "10059 stream not found");
}

TEST_F(Api, Purge) {
  create("S", R"(,"subjects":["a.*"])");
  for (const char* s : {"a.1", "a.2", "a.1"}) ack(s);
  EXPECT_EQ(error("STREAM.PURGE.S", R"({"seq":1,"keep":1})"), "10003 bad request");
  EXPECT_EQ(call("STREAM.PURGE.S", R"({"filter":"a.1"})"),
            R"({"type":"io.nats.jetstream.api.v1.stream_purge_response","success":true,"purged":2})");
  EXPECT_THAT(call("STREAM.PURGE.S"), HasSubstr(R"("purged":1)"));
  EXPECT_EQ(error("STREAM.PURGE.T"), "10059 stream not found");
  // Neither an object nor an array: no request, all goes.
  for (const char* text : {"all", "null", "5"}) {
    ack("a.1");
    EXPECT_THAT(call("STREAM.PURGE.S", text), HasSubstr(R"("purged":1)")) << text;
  }
  EXPECT_THAT(error("STREAM.PURGE.S", "{"), testing::StartsWith("10025"));
}

TEST_F(Api, MessageGet) {
  create("S", R"(,"subjects":["a.*"])");
  ack("a.1", "hello", {{"X", "y"}});
  ack("a.2", "");
  EXPECT_EQ(call("STREAM.MSG.GET.S", R"({"seq":1})"),
            R"({"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{)"
            R"("subject":"a.1","seq":1,"hdrs":"TkFUUy8xLjANClg6IHkNCg0K","data":"aGVsbG8=",)"
            R"("time":"2026-01-01T00:00:00Z"}})");
  EXPECT_THAT(call("STREAM.MSG.GET.S", R"({"last_by_subj":"a.2"})"),
              HasSubstr(R"("message":{"subject":"a.2","seq":2,"time")"));
  EXPECT_THAT(call("STREAM.MSG.GET.S", R"({"next_by_subj":"a.2","seq":1})"), HasSubstr(R"("seq":2)"));
  EXPECT_EQ(error("STREAM.MSG.GET.S", R"({"seq":9})"), "10037 no message found");
  EXPECT_THAT(call("STREAM.MSG.GET.S", R"({"seq":2,"multi_last":["a.1"],"up_to_seq":1})"), HasSubstr(R"("seq":2)"));
  EXPECT_THAT(call("STREAM.MSG.GET.S", R"({"Seq":9,"SEQ":2})"), HasSubstr(R"("seq":2)"));  // as Go reads it
  for (const char* bad : {"", R"({"seq":0})", R"({"seq":1,"batch":2})", R"({"multi_last":["a"]})",
                          R"({"seq":1,"last_by_subj":"a"})"})
    EXPECT_EQ(error("STREAM.MSG.GET.S", bad), "10003 bad request") << bad;
  EXPECT_EQ(error("STREAM.MSG.GET.T", R"({"seq":1})"), "10059 stream not found");
}

TEST_F(Api, MessageDelete) {
  create("S");
  ack("S");
  EXPECT_EQ(error("STREAM.MSG.DELETE.S"), "10003 bad request");
  EXPECT_EQ(error("STREAM.MSG.DELETE.S", R"({"seq":0})"), "10057 no message found");
  EXPECT_EQ(error("STREAM.MSG.DELETE.S", R"({"seq":5})"), "10057 stream store EOF");
  EXPECT_EQ(call("STREAM.MSG.DELETE.S", R"({"seq":1,"no_erase":true})"),
            R"({"type":"io.nats.jetstream.api.v1.stream_msg_delete_response","success":true})");
  ack("S");
  ack("S");
  call("STREAM.MSG.DELETE.S", R"({"seq":3})");
  EXPECT_EQ(error("STREAM.MSG.DELETE.S", R"({"seq":3})"), "10043 sequence 3 not found");
}

TEST_F(Api, WhatThisServerDoesNotDo) {
  create("S");
  EXPECT_EQ(error("STREAM.LEADER.STEPDOWN.S"), "10010 JetStream clustering support required");
  EXPECT_EQ(error("STREAM.PEER.REMOVE.X", R"({"peer":"n"})"),
            "10010 JetStream clustering support required");
  EXPECT_EQ(call("STREAM.TEMPLATE.NAMES"), "replies: 0");
  EXPECT_EQ(call("STREAM.CREATE.A.B", "{}"), "replies: 0");
}

TEST_F(Api, BadBackupRequestsAreRefused) {
  create("S");
  EXPECT_EQ(error("STREAM.SNAPSHOT.S"), "10003 bad request");
  EXPECT_EQ(error("STREAM.SNAPSHOT.S", "{}"), "10003 bad request");
  EXPECT_EQ(error("STREAM.SNAPSHOT.S", R"({"deliver_subject":""})"), "10015 deliver subject not valid");
  EXPECT_EQ(error("STREAM.SNAPSHOT.S", R"({"deliver_subject":"a.*"})"), "10015 deliver subject not valid");
  EXPECT_EQ(error("STREAM.SNAPSHOT.X", R"({"deliver_subject":"a"})"), "10059 stream not found");
  EXPECT_EQ(error("STREAM.RESTORE.S"), "10003 bad request");
  EXPECT_EQ(error("STREAM.RESTORE.X", R"({"config":{"name":"S"},"state":{}})"),
            "10056 stream name in subject does not match request");
  EXPECT_EQ(error("STREAM.RESTORE.S", R"({"config":{"name":"S"}})"),
            "10130 stream name already in use, cannot restore");
  EXPECT_NE(call("STREAM.RESTORE.S", R"({"config":{"name":"S"}})").find(R"("deliver_subject":"")"),
            std::string::npos);
}

TEST_F(Api, DomainPrefixIsAnAlias) {
  api_options_.domain = "hub";
  start();
  auto on_domain = [this](std::string_view subject, std::string_view body) {
    caught_.clear();
    bus_.publish({.subject = subject, .reply = "_INBOX.r", .headers = "", .payload = body});
    settle();
    return caught_.size() == 1 ? caught_[0].payload : "";
  };
  EXPECT_THAT(on_domain("$JS.hub.API.STREAM.CREATE.S", R"({"name":"S","subjects":["$KV.b.>"],"allow_direct":true})"),
              testing::Not(HasSubstr(R"("domain")")));
  EXPECT_THAT(on_domain("$JS.hub.API.STREAM.INFO.S", ""), HasSubstr(R"("domain":"hub")"));
  EXPECT_THAT(on_domain("$JS.hub.API.INFO", ""), HasSubstr(R"("domain":"hub","api")"));
  EXPECT_EQ(on_domain("$JS.hub.API.$KV.b.k", "v"), R"({"stream":"S","domain":"hub","seq":1})");
  EXPECT_EQ(on_domain("$JS.hub.API.DIRECT.GET.S.$KV.b.k", ""), "v");
}

TEST_F(Api, AdvisesWhoListens) {
  start();
  std::vector<std::pair<std::string, std::string>> heard;
  auto listener = bus_.subscribe("$JS.EVENT.ADVISORY.>", "", [&](const Message& m, const Origin&) {
    heard.emplace_back(m.subject, m.payload);
  });
  create("S");
  ASSERT_EQ(heard.size(), 2U);
  EXPECT_EQ(heard[0].first, "$JS.EVENT.ADVISORY.STREAM.CREATED.S");
  EXPECT_THAT(heard[0].second,
              testing::StartsWith(R"({"type":"io.nats.jetstream.advisory.v1.stream_action","id":")"));
  EXPECT_THAT(heard[0].second, testing::EndsWith(
                                   R"("timestamp":"2026-01-01T00:00:00Z","stream":"S","action":"create"})"));
  EXPECT_EQ(heard[1].first, "$JS.EVENT.ADVISORY.API");
  EXPECT_THAT(heard[1].second, HasSubstr(R"("request":"{\"name\":\"S\"}","response":"{\"type\")"));
  call("STREAM.DELETE.S");
  EXPECT_EQ(heard[2].first, "$JS.EVENT.ADVISORY.STREAM.DELETED.S");
}

}  // namespace
}  // namespace sluice
