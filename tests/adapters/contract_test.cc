// adapters/contract.md, held against every adapter. A new adapter adds one line to kAdapters and a
// small harness that plays its source.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <sstream>

#include "adapters/choria_registration/adapter.h"
#include "adapters/choria_submission/adapter.h"
#include "adapters/file_drop/adapter.h"
#include "adapters/http_events/adapter.h"
#include "adapters/kafka_source/adapter.h"
#include "adapters/nats_subject/adapter.h"
#include "adapters/stream_ingest.h"
#include "base/base64.h"
#include "base/headers.h"
#include "fake_kafka.h"
#include "fake_stream_client.h"
#include "pipelining_client.h"
#include "sim/sim_env.h"
#include "test_paths.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Mode = FakeStreamClient::Mode;

constexpr size_t kWindow = 8;

/// Plays what an adapter takes from. Everything runs in the simulated world.
class SourceHarness {
 public:
  virtual ~SourceHarness() = default;
  virtual std::unique_ptr<Adapter> make(Env& env, FakeBus& bus, StreamClient& target) = 0;
  /// Sends message `id` of `sender`; a second call sends the same bytes.
  virtual void send_good(FakeBus& bus, const std::string& sender, int id) = 0;
  virtual std::string send_bad(FakeBus& bus) = 0;  ///< @return the bytes sent
  /// What of a stored payload shows sender and id: "sender/id".
  virtual std::string name_of(const std::string& payload) = 0;
};

class ChoriaRegistrationHarness final : public SourceHarness {
 public:
  std::unique_ptr<Adapter> make(Env& env, FakeBus& bus, StreamClient& target) override {
    link_ = make_bus_link(env, bus);
    ChoriaRegistrationOptions options;
    options.max_in_flight = kWindow;
    auto adapter = make_choria_registration(env, *link_, target, options);
    EXPECT_TRUE(adapter);
    return std::move(*adapter);
  }
  void send_good(FakeBus& bus, const std::string& sender, int id) override {
    const std::string request =
        R"({"protocol":"choria:request:1","message":"m)" + std::to_string(id) +
        R"(","envelope":{"requestid":")" + request_id(id) + R"(","senderid":")" + sender +
        R"(","callerid":"choria=x","collective":"c","agent":"registration","ttl":60,"time":1,)"
        R"("filter":{"fact":[],"cf_class":[],"agent":[],"identity":[],"compound":[]}}})";
    std::string quoted;
    for (const char c : request) quoted += c == '"' ? std::string("\\\"") : std::string(1, c);
    const std::string secure = R"({"protocol":"choria:secure:request:1","message":")" + quoted +
                               R"(","signature":"insecure","pubcert":"insecure"})";
    send(bus, R"({"protocol":"choria:transport:1","data":")" + base64_encode(secure) +
                  R"(","headers":{}})");
  }
  std::string send_bad(FakeBus& bus) override {
    send(bus, "hello");
    return "hello";
  }
  std::string name_of(const std::string& payload) override {
    const auto field = [&](const std::string& key) {
      const size_t at = payload.find("\"" + key + "\":\"") + key.size() + 4;
      return payload.substr(at, payload.find('"', at) - at);
    };
    return field("sender") + "/" + std::to_string(std::stoi(field("requestid")));
  }

 private:
  static std::string request_id(int id) {
    std::string text = std::to_string(id);
    return std::string(32 - text.size(), '0') + text;
  }
  static void send(FakeBus& bus, const std::string& payload) {
    bus.publish({"mcollective.broadcast.agent.registration", "", "", payload});
  }
  std::unique_ptr<NatsLink> link_;
};

/// Payloads are "sender/id" themselves.
class PlainPayloads : public SourceHarness {
 public:
  std::string name_of(const std::string& payload) override { return payload; }

 protected:
  static std::string id_header(const std::string& name) {
    return "NATS/1.0\r\nNats-Msg-Id: " + name + "\r\n\r\n";
  }
  std::unique_ptr<NatsLink> link_;
};

class ChoriaSubmissionHarness final : public PlainPayloads {
 public:
  std::unique_ptr<Adapter> make(Env& env, FakeBus& bus, StreamClient& target) override {
    link_ = make_bus_link(env, bus);
    ChoriaSubmissionOptions options;
    options.max_in_flight = kWindow;
    auto adapter = make_choria_submission(env, *link_, target, options);
    EXPECT_TRUE(adapter);
    return std::move(*adapter);
  }
  void send_good(FakeBus& bus, const std::string& sender, int id) override {
    const std::string name = sender + "/" + std::to_string(id);
    std::string headers = id_header(name);
    append_header(headers, "Choria-Identity", sender);
    bus.publish({"mcollective.submission.in.metrics", "", headers, name});
  }
  std::string send_bad(FakeBus& bus) override {
    bus.publish({"mcollective.submission.in.metrics", "", "", "without an id"});
    return "without an id";
  }
};

class NatsSubjectHarness final : public PlainPayloads {
 public:
  std::unique_ptr<Adapter> make(Env& env, FakeBus& bus, StreamClient& target) override {
    link_ = make_bus_link(env, bus);
    NatsSubjectOptions options;
    options.ingest_subjects = {"in.>"};
    options.stream = "S";
    options.source = "in.good.*";
    options.destination = "s.{{wildcard(1)}}";
    options.max_in_flight = kWindow;
    auto adapter = make_nats_subject(env, *link_, target, options);
    EXPECT_TRUE(adapter);
    return std::move(*adapter);
  }
  void send_good(FakeBus& bus, const std::string& sender, int id) override {
    const std::string name = sender + "/" + std::to_string(id);
    bus.publish({"in.good." + sender, "", id_header(name), name});
  }
  std::string send_bad(FakeBus& bus) override {
    bus.publish({"in.bad", "", "", "fits no transform"});
    return "fits no transform";
  }
};

class HttpEventsHarness final : public PlainPayloads {
 public:
  std::unique_ptr<Adapter> make(Env& env, FakeBus&, StreamClient& target) override {
    HttpEventsOptions options;
    options.host = "local";
    options.path = "/in";
    options.port = 8080;
    options.max_in_flight = kWindow;
    auto adapter = make_http_events(env, target, options);
    EXPECT_TRUE(adapter);
    env_ = &env;
    return std::move(*adapter);
  }
  void send_good(FakeBus&, const std::string& sender, int id) override {
    client().post("ce-specversion: 1.0\r\nce-type: t\r\nce-source: /" + sender + "\r\nce-id: " +
                      std::to_string(id) + "\r\n",
                  sender + "/" + std::to_string(id));
  }
  std::string send_bad(FakeBus&) override {
    client().post("Content-Type: application/cloudevents+json\r\n", "{]");
    return "{]";
  }

 private:
  PipeliningClient& client() {
    if (!client_) client_ = std::make_unique<PipeliningClient>(*env_, "local", 8080);
    return *client_;
  }
  Env* env_ = nullptr;
  std::unique_ptr<PipeliningClient> client_;
};

/// The simulated disk has no links.
class AnyFiles final : public PlainFiles {
 public:
  explicit AnyFiles(Disk& disk) : disk_(disk) {}
  Result<std::unique_ptr<File>> open(const std::string& path) override { return disk_.open(path, OpenMode::kRead); }
  bool is_folder(const std::string& path) override { return disk_.list(path).has_value(); }
  Status check_private(const std::string&) override { return {}; }

 private:
  Disk& disk_;
};

/// Files are written under another name and renamed; the kernel's word of it is ours to give.
class FileDropHarness final : public PlainPayloads {
 public:
  std::unique_ptr<Adapter> make(Env& env, FakeBus&, StreamClient& target) override {
    EXPECT_TRUE(env.disk.make_dirs("in"));
    FileDropOptions options;
    options.folder = "in";
    options.stream = "S";
    options.max_file_bytes = 20;
    options.max_in_flight = kWindow;
    auto watch = std::make_unique<Watch>(*this);
    auto adapter = make_file_drop(env, target, options, std::move(watch), std::make_unique<AnyFiles>(env.disk));
    EXPECT_TRUE(adapter);
    env_ = &env;
    return std::move(*adapter);
  }
  void send_good(FakeBus&, const std::string& sender, int id) override {
    char name[40];
    std::snprintf(name, sizeof name, "%05d-%s.txt", id, sender.c_str());
    drop(name, sender + "/" + std::to_string(id));
  }
  std::string send_bad(FakeBus&) override {
    const std::string bytes = "this file is too large";
    drop("zz-bad" + std::to_string(++bad_), bytes);
    return bytes;
  }

 private:
  class Watch final : public FolderWatch {
   public:
    explicit Watch(FileDropHarness& harness) : harness_(harness) {}
    ~Watch() override { harness_.changed_ = nullptr; }
    Status start(const std::string&, std::move_only_function<void()> changed) override {
      harness_.changed_ = std::move(changed);
      return {};
    }

   private:
    FileDropHarness& harness_;
  };
  void drop(const std::string& name, const std::string& bytes) {
    {
      auto file = env_->disk.open("in/.new", OpenMode::kCreate);
      EXPECT_TRUE(file && (*file)->truncate(0) && (*file)->write_at(0, std::as_bytes(std::span(bytes))));
    }
    EXPECT_TRUE(env_->disk.rename("in/.new", "in/" + name));
    if (changed_) changed_();
  }

  Env* env_ = nullptr;
  int bad_ = 0;
  std::move_only_function<void()> changed_;
};

/// One partition; a record that is sent again is one the brokers hand out again.
class KafkaSourceHarness final : public PlainPayloads {
 public:
  std::unique_ptr<Adapter> make(Env& env, FakeBus&, StreamClient& target) override {
    KafkaSourceOptions options;
    options.brokers = {"b:9092"};
    options.topics = {"t"};
    options.stream = "S";
    options.max_message_bytes = 400;
    options.max_in_flight = kWindow;
    kafka_.make_topic("t");
    auto adapter = make_kafka_source(env, target, options, [&env, this] {
      return Result<std::unique_ptr<KafkaReader>>(std::make_unique<FakeKafkaReader>(env, kafka_));
    });
    EXPECT_TRUE(adapter);
    return std::move(*adapter);
  }
  void send_good(FakeBus&, const std::string& sender, int id) override {
    const std::string name = sender + "/" + std::to_string(id);
    const auto [at, fresh] = offsets_.emplace(name, kafka_.logs[{"t", 0}].end);
    if (fresh)
      kafka_.produce("t", sender, name);
    else
      kafka_.repeat("t", at->second);
  }
  std::string send_bad(FakeBus&) override {
    const std::string bytes(300, 'x');
    kafka_.produce("t", std::nullopt, bytes);
    return bytes;
  }

 private:
  FakeKafka kafka_;
  std::map<std::string, int64_t> offsets_;
};

struct AdapterCase {
  std::string kind;
  std::function<std::unique_ptr<SourceHarness>()> harness;
};
const std::vector<AdapterCase> kAdapters = {
    {"choria_registration", [] { return std::make_unique<ChoriaRegistrationHarness>(); }},
    {"choria_submission", [] { return std::make_unique<ChoriaSubmissionHarness>(); }},
    {"nats_subject", [] { return std::make_unique<NatsSubjectHarness>(); }},
    {"file_drop", [] { return std::make_unique<FileDropHarness>(); }},
    {"kafka_source", [] { return std::make_unique<KafkaSourceHarness>(); }},
    {"http_events", [] { return std::make_unique<HttpEventsHarness>(); }},
};

class AdapterContract : public testing::TestWithParam<AdapterCase> {
 protected:
  void start() {
    adapter_ = harness_->make(sim_.env(), bus_, target_);
    adapter_->start([this](Status s) {
      ++start_told_;
      started_ = s;
    });
    sim_.run_until_idle();
  }
  void send(const std::string& sender, int id) { harness_->send_good(bus_, sender, id); }
  std::vector<std::string> stored() {
    std::vector<std::string> names;
    for (const auto& payload : target_.payloads()) names.push_back(harness_->name_of(payload));
    return names;
  }
  sim::SimEnv sim_{7};
  FakeBus bus_;
  FakeStreamClient target_{sim_.env(), bus_};
  std::unique_ptr<SourceHarness> harness_ = GetParam().harness();
  std::unique_ptr<Adapter> adapter_;
  int start_told_ = 0;
  Status started_ = fail(Errc::kIo, "not told");
};

TEST_P(AdapterContract, StartReportsOnceAndRuns) {
  start();
  EXPECT_EQ(start_told_, 1);
  EXPECT_TRUE(started_);
  EXPECT_EQ(adapter_->health(), AdapterHealth::kRunning);
  EXPECT_EQ(adapter_->kind(), GetParam().kind);
  sim_.advance(60s);
  EXPECT_EQ(start_told_, 1);
}

TEST_P(AdapterContract, StartReportsATargetThatRefuses) {
  target_.api_error = Error{Errc::kRefused, 10065, "subjects overlap with an existing stream"};
  start();
  EXPECT_EQ(start_told_, 1);
  EXPECT_FALSE(started_);
  EXPECT_EQ(adapter_->health(), AdapterHealth::kStopped);
}

TEST_P(AdapterContract, CountsAsAcceptedOnlyWhatIsDurable) {
  start();
  target_.mode = Mode::kHold;
  send("n1", 1);
  sim_.run_until_idle();
  EXPECT_EQ(adapter_->figures().received, 1U);
  EXPECT_EQ(adapter_->figures().accepted, 0U);
  EXPECT_EQ(adapter_->figures().in_flight, 1U);
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.run_until_idle();
  EXPECT_EQ(adapter_->figures().accepted, 1U);
  EXPECT_EQ(adapter_->figures().in_flight, 0U);
  EXPECT_GT(adapter_->figures().received_bytes, 0U);
}

TEST_P(AdapterContract, StoresInTheOrderReceived) {
  start();
  std::vector<std::string> sent;
  for (int id = 1; id <= 3 * int{kWindow}; ++id) {
    const std::string sender = "n" + std::to_string(id % 4);
    sent.push_back(sender + "/" + std::to_string(id));
    send(sender, id);
  }
  sim_.advance(1s);
  EXPECT_EQ(stored(), sent);
}

TEST_P(AdapterContract, ARedeliveryIsStoredOnce) {
  start();
  for (int i = 0; i < 3; ++i) {
    send("n1", 1);
    sim_.run_until_idle();
  }
  EXPECT_EQ(stored(), (std::vector<std::string>{"n1/1"}));
  EXPECT_EQ(adapter_->figures().duplicates, 2U);
}

TEST_P(AdapterContract, ALostAckIsNoSecondCopy) {
  start();
  target_.mode = Mode::kStoreButTimeOut;
  send("n1", 1);
  sim_.run_until_idle();
  target_.mode = Mode::kAck;
  sim_.advance(30s);
  EXPECT_EQ(stored(), (std::vector<std::string>{"n1/1"}));
  EXPECT_EQ(adapter_->figures().accepted, 1U);
}

TEST_P(AdapterContract, OrderOfASenderSurvivesFailures) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    sim::SimEnv sim(seed);
    FakeBus bus;
    FakeStreamClient target(sim.env(), bus);
    auto harness = GetParam().harness();
    auto adapter = harness->make(sim.env(), bus, target);
    adapter->start([](Status) {});
    sim.run_until_idle();
    constexpr int kPerSender = 30;
    for (int id = 1; id <= kPerSender; ++id) {
      constexpr Mode kModes[] = {Mode::kAck, Mode::kAck, Mode::kTimeOut, Mode::kStoreButTimeOut,
                                 Mode::kNoResponders};
      target.mode = kModes[sim.random().below(5)];
      for (const char* sender : {"n1", "n2", "n3"}) harness->send_good(bus, sender, id);
      sim.advance(std::chrono::milliseconds(sim.random().below(2000)));
    }
    target.mode = Mode::kAck;
    sim.advance(60s);
    std::map<std::string, std::vector<int>> by_sender;
    for (const auto& payload : target.payloads()) {
      const std::string name = harness->name_of(payload);
      by_sender[name.substr(0, 2)].push_back(std::stoi(name.substr(3)));
    }
    for (const char* sender : {"n1", "n2", "n3"}) {
      EXPECT_TRUE(std::is_sorted(by_sender[sender].begin(), by_sender[sender].end()));
      EXPECT_EQ(by_sender[sender].size(), size_t{kPerSender});
    }
  }
}

TEST_P(AdapterContract, AFullTargetPausesTheSourceAndNothingIsLost) {
  start();
  target_.mode = Mode::kHold;
  constexpr int kCount = 5 * kWindow;
  for (int id = 1; id <= kCount; ++id) send("n" + std::to_string(id % 7), id);
  sim_.run_until_idle();
  EXPECT_EQ(adapter_->figures().paused, 1U);
  EXPECT_LE(adapter_->figures().in_flight, kWindow + 1);
  EXPECT_LE(adapter_->figures().received, kWindow + 1);
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.advance(10s);
  EXPECT_EQ(target_.stored.size(), size_t{kCount});
  EXPECT_EQ(adapter_->figures().accepted, uint64_t{kCount});
}

TEST_P(AdapterContract, ATargetThatDoesNotTakeIsToldInWords) {
  start();
  EXPECT_EQ(adapter_->trouble(), "");
  target_.mode = Mode::kNoResponders;
  send("n1", 1);
  ASSERT_TRUE(sim_.run_until([&] { return adapter_->health() == AdapterHealth::kDegraded; }, 30s));
  EXPECT_NE(adapter_->trouble(), "");
  target_.mode = Mode::kAck;
  ASSERT_TRUE(sim_.run_until([&] { return adapter_->figures().accepted == 1; }, 60s));
  EXPECT_EQ(adapter_->trouble(), "");
  EXPECT_EQ(adapter_->health(), AdapterHealth::kRunning);
}

TEST_P(AdapterContract, BadInputGoesToTheDeadLettersAndDisturbsNothing) {
  start();
  send("n1", 1);
  const std::string bytes = harness_->send_bad(bus_);
  send("n1", 2);
  sim_.run_until_idle();
  EXPECT_EQ(stored(), (std::vector<std::string>{"n1/1", "n1/2"}));
  ASSERT_EQ(target_.dead.size(), 1U);
  EXPECT_EQ(target_.dead[0].payload, bytes);
  EXPECT_EQ(target_.dead[0].subject, "SLUICE.DLQ." + std::string(adapter_->name()));
  const auto reason = find_header(target_.dead[0].headers, "Sluice-Reason");
  ASSERT_TRUE(reason);
  EXPECT_TRUE(find_header(target_.dead[0].headers, "Sluice-Origin"));
  EXPECT_EQ(adapter_->figures().rejected.at(std::string(*reason)), 1U);
  EXPECT_TRUE(target_.specs.contains("SLUICE_DLQ"));
}

TEST_P(AdapterContract, BadInputBehindAFullWindowIsKeptToo) {
  start();
  target_.mode = Mode::kHold;
  for (int i = 0; i < 20; ++i) harness_->send_bad(bus_);
  sim_.run_until_idle();
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.advance(5s);
  EXPECT_EQ(target_.dead.size(), 20U);
}

TEST_P(AdapterContract, StopWaitsForWhatIsInFlight) {
  start();
  target_.mode = Mode::kHold;
  send("n1", 1);
  sim_.run_until_idle();
  int stopped = 0;
  adapter_->stop([&] { ++stopped; });
  sim_.advance(1s);
  EXPECT_EQ(stopped, 0);
  send("n1", 2);  // too late
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.run_until_idle();
  EXPECT_EQ(stopped, 1);
  EXPECT_EQ(stored(), (std::vector<std::string>{"n1/1"}));
  EXPECT_EQ(adapter_->health(), AdapterHealth::kStopped);
}

TEST_P(AdapterContract, StopAnswersWithinItsDeadlineWhateverTheTargetDoes) {
  start();
  target_.mode = Mode::kTimeOut;
  for (int id = 1; id <= 20; ++id) send("n1", id);
  sim_.advance(1s);
  int stopped = 0;
  adapter_->stop([&] { ++stopped; });
  sim_.advance(6s);
  EXPECT_EQ(stopped, 1);
  sim_.advance(60s);
  EXPECT_EQ(stopped, 1);
}

TEST_P(AdapterContract, MayGoAsSoonAsItHasStopped) {
  start();
  target_.mode = Mode::kHold;
  for (int id = 1; id <= 3; ++id) send("n" + std::to_string(id), id);
  sim_.run_until_idle();
  adapter_->stop([&] { adapter_.reset(); });
  sim_.advance(10s);
  EXPECT_EQ(adapter_, nullptr);
  target_.mode = Mode::kAck;
}

TEST_P(AdapterContract, StopBeforeAnythingCame) {
  start();
  int stopped = 0;
  adapter_->stop([&] { ++stopped; });
  EXPECT_EQ(stopped, 0);
  sim_.run_until_idle();
  EXPECT_EQ(stopped, 1);
}

INSTANTIATE_TEST_SUITE_P(Every, AdapterContract, testing::ValuesIn(kAdapters),
                         [](const auto& param) { return param.param.kind; });

// Every folder that holds an adapter is in the list above.
TEST(AdapterRegistry, KnowsEveryAdapterFolder) {
  for (const auto& entry : std::filesystem::directory_iterator(SLUICE_SOURCE "/adapters")) {
    if (!std::filesystem::exists(entry.path() / "adapter.h")) continue;  // what adapters share
    const std::string kind = entry.path().filename();
    EXPECT_TRUE(std::any_of(kAdapters.begin(), kAdapters.end(),
                            [&](const AdapterCase& known) { return known.kind == kind; }))
        << kind << " has no case in tests/adapters/contract_test.cc";
  }
}

}  // namespace
}  // namespace sluice
