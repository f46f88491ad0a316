// Reading off the loop: the line itself, and what an adapter promises while messages are at the worker.
#include "adapters/reading_line.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "adapters/choria_submission/adapter.h"
#include "base/headers.h"
#include "fake_stream_client.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Mode = FakeStreamClient::Mode;
using Texts = std::vector<std::string>;

class CountingReader final : public SubjectReader {
 public:
  std::string_view kind() const override { return "counting"; }
  bool is_slow() const override { return true; }
  SubjectReading read(const LinkMessage& message, const ReadAt& at) override {
    ++reads;
    last = at;
    if (message.payload == "bad") return std::unexpected(SubjectRejection{"bad", "as it says"});
    return SubjectRecord{.subject = std::string(message.subject), .headers = "", .payload = std::string(message.payload), .msg_id = "", .lane = ""};
  }
  size_t reads = 0;
  ReadAt last;
};

class ReadingLineTest : public testing::Test {
 protected:
  void add(const std::string& payload) { line_->add({"s.x", "reply", "", payload}); }
  bool take(const LinkMessage& message, const SubjectReading& reading) {
    EXPECT_EQ(message.subject, "s.x");
    EXPECT_EQ(message.reply, "reply");
    EXPECT_EQ(reading ? reading->payload : reading.error().reason, message.payload);
    if (room_ == 0) return false;
    --room_;
    taken_.emplace_back(message.payload);
    return true;
  }
  Texts numbers(int count) {
    Texts out;
    for (int i = 0; i < count; ++i) out.push_back(std::to_string(i));
    return out;
  }

  sim::SimEnv sim_{11};
  CountingReader reader_;
  size_t room_ = SIZE_MAX;
  Texts taken_;
  std::optional<ReadingLine> line_{std::in_place, sim_.env(), reader_, [this](const LinkMessage& m, const SubjectReading& r) { return take(m, r); }};
};

TEST_F(ReadingLineTest, NothingIsReadOnTheLoop) {
  sim_.disk_workers().set_latency(10ms, 10ms);
  sim_.clock().set_wall(42);
  for (const std::string& text : numbers(200)) add(text);
  sim_.advance(1ms);
  EXPECT_EQ(reader_.reads, 0u);
  EXPECT_EQ(line_->count(), 200u);
  EXPECT_GT(line_->bytes(), 200u * 9);
  sim_.advance(10s);
  EXPECT_EQ(reader_.reads, 200u);
  EXPECT_EQ(taken_, numbers(200));
  EXPECT_EQ(line_->count(), 0u);
  EXPECT_EQ(line_->bytes(), 0u);
  EXPECT_EQ(sim_.disk_workers().jobs_run(), 4u) << "batches of 64";
  EXPECT_LT(reader_.last.wall, 42 + WallNanos(1ms / 1ns)) << "the time when the batch was made up";
}

TEST_F(ReadingLineTest, KeepsTheOrderHoweverLongABatchTakes) {
  sim_.disk_workers().set_latency(0ms, 50ms);
  const Texts all = numbers(1000);
  for (const std::string& text : all) {
    add(text);
    if (sim_.random().below(10) == 0) sim_.advance(std::chrono::milliseconds(sim_.random().below(20)));
  }
  sim_.advance(1min);
  EXPECT_EQ(taken_, all);
}

TEST_F(ReadingLineTest, WhatFindsNoRoomComesAgainAndNothingPassesIt) {
  room_ = 3;
  for (const char* text : {"a", "b", "bad", "d", "e"}) add(text);
  sim_.run_until_idle();
  EXPECT_EQ(taken_, (Texts{"a", "b", "bad"}));
  EXPECT_EQ(line_->count(), 2u);
  add("f");
  sim_.run_until_idle();
  EXPECT_EQ(taken_.size(), 3u);
  room_ = 10;
  line_->go_on();
  EXPECT_EQ(taken_, (Texts{"a", "b", "bad", "d", "e", "f"}));
  EXPECT_EQ(reader_.reads, 6u) << "each once";
}

TEST_F(ReadingLineTest, MayGoWhileTheWorkerReads) {
  for (uint64_t passed = 0; passed <= 12; passed += 2) {
    sim_.disk_workers().set_latency(10ms, 10ms);
    for (const std::string& text : numbers(100)) add(text);
    sim_.advance(std::chrono::milliseconds(passed));
    line_.reset();
    const size_t taken = taken_.size();
    sim_.advance(1min);
    EXPECT_EQ(taken_.size(), taken);
    line_.emplace(sim_.env(), reader_, [this](const LinkMessage& m, const SubjectReading& r) { return take(m, r); });
  }
}

TEST_F(ReadingLineTest, MayGoWithinTake) {
  line_.emplace(sim_.env(), reader_, [this](const LinkMessage&, const SubjectReading&) {
    line_.reset();
    return true;
  });
  for (const std::string& text : numbers(3)) add(text);
  sim_.run_until_idle();
  EXPECT_FALSE(line_);
}

/// The submission adapter looks at signatures, so it reads on the worker, each batch a second long.
class SlowAdapterTest : public testing::Test {
 protected:
  void start(size_t max_in_flight = 2000) {
    ChoriaSubmissionOptions options;
    options.check = SubmissionCheck::kMark;
    options.trusted_issuers = {std::string(64, 'a')};
    options.max_in_flight = max_in_flight;
    auto made = make_choria_submission(sim_.env(), *link_, target_, options);
    ASSERT_TRUE(made);
    adapter_ = std::move(*made);
    adapter_->start([](Status s) { EXPECT_TRUE(s); });
    sim_.run_until_idle();
    sim_.disk_workers().set_latency(1s, 1s);
  }
  void submit(const std::string& payload) {
    std::string headers;
    append_header(headers, "Nats-Msg-Id", "id " + payload.substr(0, 20));
    bus_.publish({"mcollective.submission.in.a", "answer", headers, payload});
  }
  Texts submit_numbers(int count) {
    Texts all;
    for (int i = 0; i < count; ++i) submit(all.emplace_back(std::to_string(i)));
    return all;
  }

  sim::SimEnv sim_{12};
  FakeBus bus_;
  FakeStreamClient target_{sim_.env(), bus_};
  std::unique_ptr<NatsLink> link_ = make_bus_link(sim_.env(), bus_);
  size_t answers_ = 0;
  std::unique_ptr<LinkSubscription> listener_ = link_->subscribe("answer", "", [this](const LinkMessage&) { ++answers_; });
  std::unique_ptr<Adapter> adapter_;
};

TEST_F(SlowAdapterTest, AnswersOnlyWhatIsStored) {
  start();
  submit_numbers(3);
  sim_.advance(500ms);
  EXPECT_EQ(adapter_->figures().in_flight, 3u);
  EXPECT_EQ(answers_, 0u);
  target_.mode = Mode::kHold;
  sim_.advance(5s);
  EXPECT_EQ(target_.held(), 1u) << "read; of one node and priority one after the other";
  EXPECT_EQ(answers_, 0u);
  target_.mode = Mode::kAck;
  target_.answer_later();
  sim_.advance(1s);
  EXPECT_EQ(answers_, 3u);
  EXPECT_EQ(target_.payloads(), (Texts{"0", "1", "2"}));
  EXPECT_EQ(adapter_->figures().in_flight, 0u);
}

TEST_F(SlowAdapterTest, AFullLinePausesTheSourceAndNothingIsLost) {
  start(8);
  const Texts all = submit_numbers(50);
  sim_.advance(100ms);
  EXPECT_EQ(adapter_->figures().received, 8u);
  EXPECT_EQ(adapter_->figures().in_flight, 8u);
  EXPECT_EQ(adapter_->figures().paused, 1u);
  uint64_t most = 0;
  ASSERT_TRUE(sim_.run_until(
      [&] {
        most = std::max(most, adapter_->figures().in_flight);
        return adapter_->figures().accepted == 50;
      },
      5min));
  EXPECT_LE(most, 8u);
  EXPECT_GT(adapter_->figures().paused, 1u);
  EXPECT_EQ(target_.payloads(), all);
}

TEST_F(SlowAdapterTest, WhatWaitsToBeReadIsBoundedInBytesToo) {
  start();
  for (int i = 0; i < 40; ++i) submit(std::to_string(i) + std::string(1 << 20, ' '));
  sim_.advance(100ms);
  EXPECT_EQ(adapter_->figures().received, 16u);
  EXPECT_EQ(adapter_->figures().paused, 1u);
  ASSERT_TRUE(sim_.run_until([&] { return adapter_->figures().accepted == 40; }, 5min));
}

TEST_F(SlowAdapterTest, AWindowOfOneIsEnough) {
  start(1);
  const Texts all = submit_numbers(5);
  ASSERT_TRUE(sim_.run_until([&] { return adapter_->figures().accepted == 5; }, 5min));
  EXPECT_EQ(target_.payloads(), all);
}

TEST_F(SlowAdapterTest, AStopWaitsForWhatIsAtTheWorker) {
  start();
  const Texts all = submit_numbers(100);
  sim_.advance(100ms);
  bool stopped = false;
  adapter_->stop([&] { stopped = true; });
  sim_.advance(100ms);
  EXPECT_FALSE(stopped);
  ASSERT_TRUE(sim_.run_until([&] { return stopped; }, 5s));
  EXPECT_EQ(target_.payloads(), all);
  EXPECT_EQ(answers_, 100u);
}

TEST_F(SlowAdapterTest, AStopDoesNotWaitForAWorkerThatStands) {
  start();
  sim_.disk_workers().set_latency(1h, 1h);
  submit_numbers(100);
  sim_.advance(100ms);
  int stopped = 0;
  adapter_->stop([&] {
    ++stopped;
    adapter_.reset();
  });
  sim_.advance(6s);
  EXPECT_EQ(stopped, 1);
  EXPECT_EQ(adapter_, nullptr);
  sim_.advance(3h);
  EXPECT_EQ(answers_, 0u);
}

TEST_F(SlowAdapterTest, AKillWhileABatchIsAtTheWorkerLosesNothingThatWasAnswered) {
  start();
  for (uint64_t round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    const int first = static_cast<int>(round) * 100;
    const auto send = [&] {
      for (int i = first; i < first + 100; ++i) submit(std::to_string(i));
    };
    send();
    sim_.advance(std::chrono::milliseconds(150 * round));
    const size_t answered = answers_;
    EXPECT_LE(answered, target_.stored.size());
    adapter_.reset();
    sim_.run_until_idle();
    EXPECT_EQ(answers_, answered);
    start();
    send();  // a node sends again what it has no answer to
    ASSERT_TRUE(sim_.run_until([&] { return target_.stored.size() == static_cast<size_t>(first) + 100; }, 1min));
    ASSERT_TRUE(sim_.run_until([&] { return adapter_->figures().in_flight == 0; }, 1min));
    answers_ = 0;
  }
  Texts sorted = target_.payloads();
  for (size_t i = 0; i < sorted.size(); ++i) EXPECT_EQ(sorted[i], std::to_string(i));
}

}  // namespace
}  // namespace sluice
