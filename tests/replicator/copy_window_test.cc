#include "replicator/copy_window.h"

#include <gtest/gtest.h>

#include <deque>

namespace sluice {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

/// A link of fixed rate and round trip, always fed: what is sent waits its turn, then half a trip there and back.
struct Link {
  double bytes_a_second;
  nanoseconds trip;
  size_t message_bytes = 300;

  CopyWindow window{100'000, 32 * 1024 * 1024, trip};
  nanoseconds now{0};
  nanoseconds free_at{0};
  struct Sent {
    nanoseconds sent, acked;
  };
  std::deque<Sent> on_the_way{};
  size_t acked_bytes = 0;
  nanoseconds longest_wait{0};

  void send() {
    const auto took = nanoseconds(static_cast<int64_t>(static_cast<double>(message_bytes) / bytes_a_second * 1e9));
    free_at = std::max(free_at, now) + took;
    on_the_way.push_back({now, free_at + trip});
  }
  void run(nanoseconds duration) {
    const auto end = now + duration;
    longest_wait = {};
    while (now < end) {
      while (window.has_room(on_the_way.size(), on_the_way.size() * message_bytes)) send();
      now = on_the_way.front().acked;
      const auto waited = now - on_the_way.front().sent;
      longest_wait = std::max(longest_wait, waited);
      on_the_way.pop_front();
      acked_bytes += message_bytes;
      window.on_ack(now, waited, message_bytes);
    }
  }
};

TEST(CopyWindow, FillsAFastLinkWhollyWhateverItsLength) {
  Link link{.bytes_a_second = 12.5e6, .trip = 100ms};
  link.run(5s);
  link.acked_bytes = 0;
  link.run(10s);
  EXPECT_GT(static_cast<double>(link.acked_bytes), 0.9 * 12.5e6 * 10);
}

TEST(CopyWindow, OnASlowLinkNothingWaitsSoLongThatItsAckSeemsLost) {
  Link link{.bytes_a_second = 50'000.0 / 8, .trip = 3s};
  link.run(300s);
  link.acked_bytes = 0;
  link.run(300s);
  EXPECT_LT(link.longest_wait, link.window.timeout());
  EXPECT_GT(static_cast<double>(link.acked_bytes), 0.6 * 6250 * 300);
}

TEST(CopyWindow, RecoversWhenTheRouteHasBecomeLonger) {
  Link link{.bytes_a_second = 1e6, .trip = 10ms};
  link.run(20s);
  link.trip = 3s;
  link.run(200s);
  link.acked_bytes = 0;
  link.run(60s);
  EXPECT_GT(static_cast<double>(link.acked_bytes), 0.5 * 1e6 * 60);
}

TEST(CopyWindow, ALongWayOfAFastLinkIsFilledBeyondTheUsualWindow) {
  Link link{.bytes_a_second = 150e6, .trip = 100ms};
  link.run(5s);
  link.acked_bytes = 0;
  link.run(5s);
  EXPECT_GT(static_cast<double>(link.acked_bytes), 0.9 * 150e6 * 5);
  EXPECT_LT(link.window.bytes(), 25u * 1024 * 1024) << "more only waits";
}

TEST(CopyWindow, AShortWayGetsNoMoreHoweverLongTheTargetTakes) {
  Link link{.bytes_a_second = 50e6, .trip = 100us};
  link.run(60s);
  EXPECT_LE(link.window.bytes(), 8u * 1024 * 1024);
}

TEST(CopyWindow, OneMessageIsAlwaysAllowed) {
  CopyWindow window(1, 64 * 1024, 0ns);
  EXPECT_TRUE(window.has_room(0, 0));
  EXPECT_FALSE(window.has_room(1, 10));
}

}  // namespace
}  // namespace sluice
