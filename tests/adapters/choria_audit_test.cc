// The audit adapter between a log on the real disk and a spool of the test's, in simulated time.
#include "adapters/choria_audit/audit.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/headers.h"
#include "fake_stream_client.h"
#include "sim/sim_env.h"
#include "uv/env.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Json = nlohmann::json;

/// The socket's other end: keeps what is submitted, by id, and answers as `mode` says.
class FakeSpool final : public Network, public TransportHandler {
 public:
  enum class Mode : uint8_t { kTake, kFull, kRefuse, kSilent };
  explicit FakeSpool(sim::SimEnv& sim) : sim_(sim) {}

  Result<std::unique_ptr<Listener>> listen(const std::string&, uint16_t, std::move_only_function<void(std::unique_ptr<Transport>)>) override {
    return fail(Errc::kUnsupported, "no listeners here");
  }
  Ticket connect(const std::string& host, uint16_t, std::move_only_function<void(Result<std::unique_ptr<Transport>>)> done) override {
    EXPECT_EQ(host, "/spool.sock");
    sim_.env().executor.post([this, told = std::move(done)]() mutable {
      if (!there) return told(fail(Errc::kClosed, "connect /spool.sock: nobody listens"));
      auto [near, far] = sim_.net().make_pair();
      buffer_.clear();
      side_ = std::move(far);
      side_->start(*this);
      told(std::move(near));
    });
    return Ticket([] {});
  }
  void on_bytes(std::string_view bytes) override {
    buffer_ += bytes;
    for (size_t end; (end = buffer_.find('\n')) != std::string::npos; buffer_.erase(0, end + 1)) answer(Json::parse(buffer_.substr(0, end)));
  }
  void on_drained() override {}
  void on_closed(const Error&) override {}
  void hang_up() { side_.reset(); }

  Mode mode = Mode::kTake;
  bool there = true;
  std::vector<Json> taken;
  std::map<std::string, int> asked;  ///< how often, by id

 private:
  void answer(const Json& request) {
    EXPECT_EQ(request["op"], "submit");
    const std::string id = request["message"]["id"];
    ++asked[id];
    std::string line;
    switch (mode) {
      case Mode::kTake: {
        const bool known = std::ranges::any_of(taken, [&](const Json& one) { return one["id"] == id; });
        if (!known) taken.push_back(request["message"]);
        line = Json{{"id", id}, {"duplicate", known}}.dump();
        break;
      }
      case Mode::kFull:
        line = R"({"error":{"code":"full","text":"the spool is full"}})";
        break;
      case Mode::kRefuse:
        line = R"({"error":{"code":"invalid argument","text":"the payload is too large"}})";
        break;
      case Mode::kSilent:
        return;
    }
    line += "\n";
    side_->write(line);
  }
  sim::SimEnv& sim_;
  std::string buffer_;
  std::unique_ptr<Transport> side_;
};

class NoWatch final : public FolderWatch {
 public:
  Status start(const std::string&, std::move_only_function<void()>) override { return fail(Errc::kUnsupported, "none"); }
};

std::string record(int number) {
  return R"({"timestamp":"2026-01-07T07:13:30.174912+0000","request_id":"a1de","request_time":1767770009,"caller":"choria=rip.mcollective",)"
         R"("sender":"desk1.example.net","agent":"package","action":"status","data":{"n":)" + std::to_string(number) + "}}";
}

class ChoriaAuditTest : public testing::Test {
 protected:
  ChoriaAuditTest() {
    std::string pattern = fs::temp_directory_path() / "sluice-audit-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    options_.name = "audit";
    options_.file = folder_ / "audit.log";
    options_.position_file = folder_ / "position";
    options_.spool = "/spool.sock";
    options_.host = "n1";
  }
  ~ChoriaAuditTest() override { fs::remove_all(folder_); }

  void open() {
    auto made = make_choria_audit(env_, make_stream_letters(env_, letters_, options_.name), options_, std::make_unique<NoWatch>());
    ASSERT_TRUE(made) << made.error().detail;
    adapter_ = std::move(*made);
    adapter_->start([this](Status s) { started_ = std::move(s); });
    run();
  }
  /// Time for a look, a back-off and the answers.
  void run(std::chrono::nanoseconds time = 10s) { sim_.advance(time); }
  void stop() {
    bool stopped = false;
    adapter_->stop([&] { stopped = true; });
    run();
    EXPECT_TRUE(stopped);
    adapter_.reset();
  }
  void kill() {
    adapter_.reset();
    sim_.drop_tasks();
  }
  /// Of the position file; 0 also when there is none.
  uint64_t kept_offset() const {
    std::ifstream in(options_.position_file);
    return in ? Json::parse(in)["offset"].get<uint64_t>() : 0;
  }
  void log(const std::string& line) { std::ofstream(options_.file, std::ios::app) << line << "\n"; }
  std::vector<int> numbers() const {
    std::vector<int> out;
    for (const Json& one : spool_.taken) out.push_back(Json::parse(*base64_decode(one["payload"].get<std::string>()))["data"]["n"]);
    return out;
  }
  using Numbers = std::vector<int>;

  fs::path folder_;
  sim::SimEnv sim_{11};
  UvEnv real_;  // for its disk
  FakeSpool spool_{sim_};
  Env env_{sim_.env().clock, sim_.env().timers,       sim_.env().executor, sim_.env().random, real_.env().disk,
           sim_.disk_workers(), spool_, sim_.env().mailboxes, sim_.env().poller};
  FakeBus bus_;
  FakeStreamClient letters_{env_, bus_};
  ChoriaAuditOptions options_;
  Status started_;
  std::unique_ptr<Adapter> adapter_;
};

TEST_F(ChoriaAuditTest, RecordsGoToTheSpoolInOrder) {
  for (int i = 0; i < 200; ++i) log(record(i));
  open();
  ASSERT_TRUE(started_);
  Numbers all;
  for (int i = 0; i < 200; ++i) all.push_back(i);
  EXPECT_EQ(numbers(), all);
  const Json& first = spool_.taken[0];
  EXPECT_EQ(base64_decode(first["payload"].get<std::string>()), record(0));
  EXPECT_EQ(first["subject"], "audit.rpc");
  EXPECT_EQ(first["reliable"], true);
  EXPECT_EQ(first["max_tries"], 0);
  EXPECT_EQ(first["identity"], "");  // the spool puts its own
  EXPECT_EQ(adapter_->figures().accepted, 200U);
  EXPECT_EQ(adapter_->health(), AdapterHealth::kRunning);
  stop();
}

TEST_F(ChoriaAuditTest, ARestartGoesOnWhereItWas) {
  log(record(1));
  open();
  stop();
  log(record(2));
  open();
  EXPECT_EQ(numbers(), (Numbers{1, 2}));
  for (const auto& [id, times] : spool_.asked) EXPECT_EQ(times, 1) << id;
  stop();
}

TEST_F(ChoriaAuditTest, WhatIsSentAgainAfterACrashHasItsOldId) {
  log(record(1));
  log(record(1));  // the same bytes twice are two records
  open();
  kill();
  fs::remove(options_.position_file);  // as if the crash had come before it was written
  open();
  EXPECT_EQ(spool_.taken.size(), 2U);
  ASSERT_EQ(spool_.asked.size(), 2U);
  for (const auto& [id, times] : spool_.asked) EXPECT_EQ(times, 2) << id;
  EXPECT_EQ(adapter_->figures().duplicates, 2U);
  stop();
}

TEST_F(ChoriaAuditTest, TwoNodesNeverShareAnId) {
  log(record(1));
  open();
  stop();
  fs::remove(options_.position_file);
  options_.host = "n2";
  open();
  EXPECT_EQ(spool_.taken.size(), 2U);
  stop();
}

TEST_F(ChoriaAuditTest, ASpoolThatIsAwayOrFullHoldsTheLog) {
  spool_.there = false;
  for (int i = 0; i < 3; ++i) log(record(i));
  open();
  EXPECT_EQ(adapter_->health(), AdapterHealth::kDegraded);
  spool_.there = true;
  spool_.mode = FakeSpool::Mode::kFull;
  run(60s);
  EXPECT_EQ(adapter_->health(), AdapterHealth::kDegraded);
  EXPECT_TRUE(spool_.taken.empty());
  EXPECT_EQ(kept_offset(), 0U);
  spool_.mode = FakeSpool::Mode::kTake;
  run(60s);
  EXPECT_EQ(numbers(), (Numbers{0, 1, 2}));
  EXPECT_EQ(adapter_->health(), AdapterHealth::kRunning);
  EXPECT_TRUE(letters_.dead.empty());
  stop();
}

TEST_F(ChoriaAuditTest, ALogRotatedBeforeItsFirstRecordIsSettledIsFoundAgain) {
  for (const bool by_copy : {false, true}) {
    SCOPED_TRACE(by_copy ? "by copy" : "by rename");
    spool_.there = false;
    for (int i = 0; i < 3; ++i) log(record(i));
    open();
    EXPECT_TRUE(fs::exists(options_.position_file));
    kill();
    if (by_copy) {
      fs::copy_file(options_.file, options_.file + ".1");
      fs::last_write_time(options_.file + ".1", fs::file_time_type::clock::now() + 1s);
      fs::resize_file(options_.file, 0);
    } else {
      fs::rename(options_.file, options_.file + ".1");
    }
    for (int i = 3; i < 5; ++i) log(record(i));
    fs::last_write_time(options_.file, fs::file_time_type::clock::now() + 2s);
    spool_.there = true;
    open();
    run(60s);
    EXPECT_EQ(numbers(), (Numbers{0, 1, 2, 3, 4}));
    stop();
    spool_.taken.clear();
    for (const std::string& path : {options_.file, options_.file + ".1", options_.position_file}) fs::remove(path);
  }
}

TEST_F(ChoriaAuditTest, AConnectionThatEndsLosesNothing) {
  open();
  spool_.mode = FakeSpool::Mode::kSilent;
  for (int i = 0; i < 3; ++i) log(record(i));
  run();
  EXPECT_EQ(adapter_->figures().in_flight, 3U);
  spool_.mode = FakeSpool::Mode::kTake;
  spool_.hang_up();
  run(60s);
  EXPECT_EQ(numbers(), (Numbers{0, 1, 2}));
  stop();
}

TEST_F(ChoriaAuditTest, WhatIsNoRecordBecomesADeadLetter) {
  log("hello");
  log(record(1));
  log(R"({"timestamp":"t","caller":"c","action":"a"})");
  log(std::string(options_.max_line_bytes + 1, 'x'));
  log(record(2));
  open();
  EXPECT_EQ(numbers(), (Numbers{1, 2}));
  ASSERT_EQ(letters_.dead.size(), 3U);
  EXPECT_EQ(letters_.dead[0].payload, "hello");
  const auto& rejected = adapter_->figures().rejected;
  EXPECT_EQ(rejected.at("bad_json"), 1U);
  EXPECT_EQ(rejected.at("bad_record"), 1U);
  EXPECT_EQ(rejected.at("too_long"), 1U);
  stop();
  open();
  EXPECT_EQ(letters_.dead.size(), 3U);
  stop();
}

TEST_F(ChoriaAuditTest, ThePositionWaitsForDeadLetters) {
  letters_.mode = FakeStreamClient::Mode::kHold;
  log("hello");
  log(record(1));
  open();
  EXPECT_EQ(numbers(), (Numbers{1}));
  EXPECT_EQ(kept_offset(), 0U);
  letters_.mode = FakeStreamClient::Mode::kAck;
  letters_.answer_later();
  run();
  EXPECT_GT(kept_offset(), 0U);
  stop();
}

TEST_F(ChoriaAuditTest, ARecordTheSpoolWillNeverTakeIsKept) {
  spool_.mode = FakeSpool::Mode::kRefuse;
  log(record(1));
  open();
  ASSERT_EQ(letters_.dead.size(), 1U);
  EXPECT_EQ(letters_.dead[0].payload, record(1));
  EXPECT_EQ(adapter_->figures().rejected.at("refused"), 1U);
  stop();
}

TEST_F(ChoriaAuditTest, WithoutAKeyToSignWithTheLogWaits) {
  options_.sign = true;
  spool_.mode = FakeSpool::Mode::kRefuse;
  log(record(1));
  open();
  run(60s);
  EXPECT_TRUE(letters_.dead.empty());
  EXPECT_EQ(adapter_->health(), AdapterHealth::kDegraded);
  spool_.mode = FakeSpool::Mode::kTake;
  run(60s);
  EXPECT_EQ(numbers(), (Numbers{1}));
  stop();
}

TEST_F(ChoriaAuditTest, APositionThatCannotBeReadStopsIt) {
  std::ofstream(options_.position_file) << "nonsense";
  open();
  ASSERT_FALSE(started_);
  EXPECT_NE(started_.error().detail.find("remove it"), std::string::npos);
  EXPECT_EQ(adapter_->health(), AdapterHealth::kStopped);
}

TEST_F(ChoriaAuditTest, AGapIsTold) {
  log(record(1));
  open();
  fs::resize_file(options_.file, 0);
  log(record(2));
  run();
  EXPECT_EQ(numbers(), (Numbers{1, 2}));
  EXPECT_EQ(adapter_->figures().rejected.at("gap"), 1U);
  EXPECT_EQ(letters_.dead.size(), 1U);
  stop();
}

TEST_F(ChoriaAuditTest, StopAnswersWithinItsDeadline) {
  spool_.mode = FakeSpool::Mode::kSilent;
  log(record(1));
  open();
  bool stopped = false;
  adapter_->stop([&] { stopped = true; });
  run(4s);
  EXPECT_FALSE(stopped);
  run(2s);
  EXPECT_TRUE(stopped);
  adapter_.reset();
  spool_.mode = FakeSpool::Mode::kTake;
  open();
  EXPECT_EQ(numbers(), (Numbers{1}));
  stop();
}

}  // namespace
}  // namespace sluice
