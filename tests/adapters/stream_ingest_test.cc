#include "adapters/stream_ingest.h"

#include <gtest/gtest.h>

#include "fake_stream_client.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Mode = FakeStreamClient::Mode;

class StreamIngestTest : public testing::Test {
 protected:
  void prepare() {
    StreamSpec spec;
    spec.name = "S";
    spec.subjects = {"s.>"};
    ingest_.prepare(spec, [this](Status s) { prepared_ = s; });
    sim_.run_until_idle();
  }
  Offer offer(const std::string& payload, const std::string& lane = "") {
    return ingest_.offer({"s.x", "", payload, "id:" + payload, lane},
                         [this, payload](const Result<PubAck>& s) { (s ? stored_ : failed_).push_back(payload); });
  }

  sim::SimEnv sim_{1};
  FakeBus bus_;
  FakeStreamClient client_{sim_.env(), bus_};
  StreamIngest ingest_{sim_.env(), client_, {.adapter = "test", .max_in_flight_count = 10}};
  Status prepared_ = fail(Errc::kIo, "not told");
  std::vector<std::string> stored_, failed_;
};

TEST_F(StreamIngestTest, MakesBothStreams) {
  prepare();
  EXPECT_TRUE(prepared_);
  EXPECT_TRUE(client_.specs.contains("S"));
  const StreamSpec& letters = client_.specs.at("SLUICE_DLQ");
  EXPECT_EQ(letters.max_bytes, int64_t{1} << 30);
  EXPECT_EQ(letters.max_age, 24h * 30);
  EXPECT_FALSE(letters.discard_new);
  EXPECT_TRUE(ingest_.healthy());
}

TEST_F(StreamIngestTest, StoresInOrderAndReportsEach) {
  prepare();
  for (const char* p : {"a", "b", "c"}) EXPECT_EQ(offer(p, "lane"), Offer::kAccepted);
  EXPECT_TRUE(stored_.empty());
  sim_.run_until_idle();
  EXPECT_EQ(stored_, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(client_.payloads(), stored_);
  EXPECT_EQ(find_header(client_.stored[0].headers, "Nats-Msg-Id"), "id:a");
}

TEST_F(StreamIngestTest, PipelinesLanesButKeepsTheOrderTaken) {
  prepare();
  client_.mode = Mode::kHold;
  for (const char* p : {"a1", "b1", "n1", "n2", "a2", "c1"})
    offer(p, p[0] == 'n' ? "" : std::string(1, p[0]));
  sim_.run_until_idle();
  EXPECT_EQ(client_.held(), 4U);  // a2 waits for a1, and c1 behind it
  client_.mode = Mode::kAck;
  client_.answer_later();
  sim_.run_until_idle();
  EXPECT_EQ(client_.payloads(), (std::vector<std::string>{"a1", "b1", "n1", "n2", "a2", "c1"}));
}

TEST_F(StreamIngestTest, RetriesForEverInOrderAndStoresOnce) {
  prepare();
  client_.mode = Mode::kTimeOut;
  offer("a", "x");
  offer("b", "x");
  offer("c", "y");
  sim_.advance(120s);
  EXPECT_TRUE(stored_.empty());
  EXPECT_FALSE(ingest_.healthy());
  EXPECT_LT(client_.publishes, 60U);      // backed off
  client_.mode = Mode::kStoreButTimeOut;  // stored, but the ack is lost
  sim_.advance(15s);
  client_.mode = Mode::kAck;
  sim_.advance(15s);
  EXPECT_EQ(client_.payloads(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(stored_.size(), 3U);
  EXPECT_GE(ingest_.figures().duplicates, 1U);
  EXPECT_EQ(ingest_.in_flight(), 0U);
}

TEST_F(StreamIngestTest, BoundedAndTellsOfRoom) {
  prepare();
  client_.mode = Mode::kHold;
  int room = 0;
  ingest_.on_room([&] { ++room; });
  for (int i = 0; i < 10; ++i) EXPECT_EQ(offer(std::to_string(i)), Offer::kAccepted);
  EXPECT_EQ(offer("over"), Offer::kFull);
  EXPECT_EQ(ingest_.figures().full, 1U);
  client_.mode = Mode::kAck;
  client_.answer_later();
  sim_.run_until_idle();
  EXPECT_EQ(room, 1);
  EXPECT_EQ(offer("now"), Offer::kAccepted);
}

TEST_F(StreamIngestTest, WhatIsRefusedForGoodBecomesADeadLetter) {
  prepare();
  client_.mode = Mode::kTooLarge;
  offer("big", "a");
  sim_.run_until_idle();
  EXPECT_EQ(failed_, (std::vector<std::string>{"big"}));
  ASSERT_EQ(client_.dead.size(), 1U);
  EXPECT_EQ(client_.dead[0].subject, "SLUICE.DLQ.test");
  EXPECT_EQ(client_.dead[0].payload, "big");
  EXPECT_EQ(find_header(client_.dead[0].headers, "Sluice-Reason"), "refused");
  client_.mode = Mode::kAck;
  offer("small", "a");
  sim_.run_until_idle();
  EXPECT_EQ(stored_, (std::vector<std::string>{"small"}));
}

TEST_F(StreamIngestTest, DeadLettersKeepReasonOriginAndBytes) {
  prepare();
  Status told = fail(Errc::kIo, "");
  const std::string bytes("\0\r\n\xff", 4);
  EXPECT_EQ(ingest_.dead_letter({"bad_json", "line 1\r\nEvil: header", "a.b", bytes},
                                [&](const Result<PubAck>& s) {
                                  told = s ? Status() : std::unexpected(s.error());
                                }),
            Offer::kAccepted);
  EXPECT_EQ(ingest_.dead_letter({"big", "", "a.b", std::string(2 << 20, 'x')}, [](const Result<PubAck>&) {}),
            Offer::kAccepted);
  sim_.run_until_idle();
  EXPECT_TRUE(told);
  ASSERT_EQ(client_.dead.size(), 2U);
  EXPECT_TRUE(client_.dead[0].headers.starts_with("NATS/1.0\r\nSluice-Reason: bad_json\r\nSluice-Detail: line 1  Evil: header\r\n"
                                                  "Sluice-Origin: a.b\r\nNats-Msg-Id: letter-"))
      << client_.dead[0].headers;
  EXPECT_EQ(client_.dead[0].payload, bytes);
  EXPECT_LT(client_.dead[1].payload.size(), size_t{1} << 20);
  EXPECT_EQ(find_header(client_.dead[1].headers, "Sluice-Truncated-From"), "2097152");
  EXPECT_EQ(ingest_.figures().dead_letters, 2U);
}

TEST_F(StreamIngestTest, ALetterWhoseAckIsLostStandsOnce) {
  prepare();
  EXPECT_EQ(client_.specs.at("SLUICE_DLQ").duplicate_window, 10min);
  client_.mode = Mode::kStoreButTimeOut;
  int told = 0;
  const auto count = [&](const Result<PubAck>& kept) { told += kept ? 1 : 0; };
  for (int i = 0; i < 2; ++i) ingest_.dead_letter({"bad_json", "", "a.b", "same bytes"}, count);
  ingest_.dead_letter({"bad_json", "", "a.b", "of a place", "FILE/7"}, count);
  sim_.advance(3s);
  client_.mode = Mode::kAck;
  sim_.advance(30s);
  EXPECT_EQ(told, 3);
  EXPECT_GE(ingest_.figures().retries, 1U);
  EXPECT_EQ(client_.dead.size(), 3U);  // a subject may bring the same bytes twice: two letters
}

TEST_F(StreamIngestTest, ALetterOfOnePlaceIsTheSameAfterARestart) {
  const auto write = [&](std::string_view reason, std::string_view place, std::string_view bytes) {
    StreamIngest again{sim_.env(), client_, {.adapter = "test"}};
    again.prepare_dead_letters([](const Status&) {});
    again.dead_letter({reason, "detail", "a.b", bytes, place}, [](const Result<PubAck>&) {});
    sim_.run_until_idle();
    again.stop();
    sim_.run_until_idle();
    return client_.dead.size();
  };
  EXPECT_EQ(write("bad_json", "S/7", "x"), 1U);
  EXPECT_EQ(write("bad_json", "S/7", "x"), 1U);
  EXPECT_EQ(write("bad_json", "S/8", "x"), 2U);
  EXPECT_EQ(write("too_large", "S/7", "x"), 3U);
  EXPECT_EQ(write("bad_json", "S/7", "y"), 4U);  // a stream made anew counts from the beginning
  EXPECT_EQ(write("bad_json", "", "x"), 5U);
  EXPECT_EQ(write("bad_json", "", "x"), 6U);
}

TEST_F(StreamIngestTest, AMessageRefusedAgainAfterARestartIsOneLetter) {
  client_.mode = Mode::kTooLarge;
  for (int i = 0; i < 2; ++i) {
    StreamIngest again{sim_.env(), client_, {.adapter = "test"}};
    again.prepare({.name = "S", .subjects = {"s.>"}}, [](const Status&) {});
    again.offer({"s.x", "", "big", "id", "", "IN/3"}, [](const Result<PubAck>&) {});
    sim_.run_until_idle();
    again.stop();
    sim_.run_until_idle();
  }
  ASSERT_EQ(client_.dead.size(), 1U);
  EXPECT_EQ(find_header(client_.dead[0].headers, "Sluice-Msg-Id"), "id");
}

TEST_F(StreamIngestTest, ATargetThatIsAwayAtStartIsWaitedFor) {
  client_.api_error = Error{Errc::kClosed, 0, "away"};
  prepare();
  EXPECT_EQ(prepared_.error().code, Errc::kClosed);
  offer("a");
  sim_.advance(60s);
  EXPECT_EQ(client_.publishes, 0U);
  client_.api_error.reset();
  sim_.advance(15s);
  EXPECT_EQ(stored_, (std::vector<std::string>{"a"}));
}

TEST_F(StreamIngestTest, AVanishedStreamIsMadeAgain) {
  prepare();
  client_.specs.clear();
  client_.mode = Mode::kNoResponders;
  offer("a");
  sim_.run_until_idle();
  EXPECT_FALSE(ingest_.healthy());
  EXPECT_TRUE(ingest_.trouble().starts_with("no stream takes the subject '")) << ingest_.trouble();
  client_.mode = Mode::kAck;
  sim_.advance(1s);
  EXPECT_TRUE(client_.specs.contains("S"));
  EXPECT_EQ(ingest_.trouble(), "");
  EXPECT_EQ(stored_, (std::vector<std::string>{"a"}));
}

TEST_F(StreamIngestTest, MessageIdsCannotBreakTheHeaders) {
  prepare();
  ingest_.offer({"s.x", "NATS/1.0\r\nA: b\r\n\r\n", "p", "a\r\nEvil: x", ""}, [](const Result<PubAck>&) {});
  sim_.run_until_idle();
  ASSERT_EQ(client_.stored.size(), 1U);
  EXPECT_FALSE(find_header(client_.stored[0].headers, "Evil"));
  EXPECT_EQ(find_header(client_.stored[0].headers, "A"), "b");
}

TEST_F(StreamIngestTest, StopTellsWhoWaits) {
  prepare();
  client_.mode = Mode::kTimeOut;
  offer("a", "x");
  offer("b", "x");
  sim_.advance(1s);
  ingest_.stop();
  EXPECT_EQ(offer("c"), Offer::kFull);
  sim_.advance(60s);
  EXPECT_EQ(failed_, (std::vector<std::string>{"a", "b"}));
}

}  // namespace
}  // namespace sluice
