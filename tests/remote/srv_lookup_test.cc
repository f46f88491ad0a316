// Servers named by DNS: answers as bytes, the order they are tried in, and a link that follows it.
#include "remote/srv_lookup.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>

#include "base/log.h"
#include "remote/remote_link.h"
#include "sim/sim_env.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

std::string u16(unsigned value) { return {static_cast<char>(value >> 8), static_cast<char>(value & 255)}; }

std::string name(std::string_view dotted) {
  std::string out;
  while (!dotted.empty()) {
    const size_t end = std::min(dotted.find('.'), dotted.size());
    out += static_cast<char>(end);
    out += dotted.substr(0, end);
    dotted.remove_prefix(std::min(end + 1, dotted.size()));
  }
  return out + '\0';
}

std::string record(unsigned type, const std::string& data) {
  return u16(0xC00C) + u16(type) + u16(1) + u16(0) + u16(60) + u16(static_cast<unsigned>(data.size())) + data;
}
std::string srv(unsigned priority, unsigned weight, unsigned port, const std::string& host) {
  return record(33, u16(priority) + u16(weight) + u16(port) + name(host));
}
std::string answer(const std::vector<std::string>& records) {
  std::string out = u16(7) + u16(0x8180) + u16(1) + u16(static_cast<unsigned>(records.size())) + u16(0) + u16(0) + name("_a._tcp.x") + u16(33) + u16(1);
  for (const std::string& one : records) out += one;
  return out;
}
/// Exactly as long as it is, so that a byte read beyond shows.
Result<std::vector<SrvTarget>> parse(const std::string& text) {
  const std::vector<unsigned char> bytes(text.begin(), text.end());
  return parse_srv_answer(bytes);
}

TEST(SrvAnswer, TargetsOfARealAnswer) {
  const auto found = parse(answer({record(5, name("alias.x")), srv(10, 5, 4222, "b1.example.net"), srv(20, 0, 4223, "b2.example.net"), srv(0, 0, 1, ".")}));
  ASSERT_TRUE(found) << found.error().detail;
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ(found->at(0).host, "b1.example.net");
  EXPECT_EQ(found->at(0).priority, 10);
  EXPECT_EQ(found->at(0).weight, 5);
  EXPECT_EQ(found->at(1).host, "b2.example.net");
  EXPECT_EQ(found->at(1).port, 4223);
}

TEST(SrvAnswer, DamageIsAnErrorWhereverItIs) {
  const std::string good = answer({srv(10, 5, 4222, "b1.example.net")});
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(parse(good.substr(0, size))) << size;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = '\xff';
    (void)parse(bad);  // any outcome, no crash
  }
  EXPECT_FALSE(parse(answer({record(33, u16(1) + u16(1) + u16(1))})));
  EXPECT_FALSE(parse(answer({record(33, u16(1) + u16(1) + u16(1) + "\xc0\xff")})));
}

TEST(SrvOrder, ByPriorityThenAtRandomByWeight) {
  sim::SimEnv sim(3);
  std::map<std::string, int> first;
  for (int i = 0; i < 1000; ++i) {
    const auto order = in_srv_order({{"late", 1, 20, 100}, {"often", 1, 10, 79}, {"seldom", 1, 10, 18}, {"hardly", 1, 10, 0}}, sim.env().random);
    ASSERT_EQ(order.size(), 4U);
    EXPECT_EQ(order.back().host, "late");
    ++first[order.front().host];
  }
  EXPECT_GT(first["often"], 700);
  EXPECT_GT(first["seldom"], 120);
  EXPECT_GT(first["hardly"], 0);
  EXPECT_TRUE(in_srv_order({}, sim.env().random).empty());
}

TEST(SrvNames, OfADomainAndAsTheyAre) {
  EXPECT_EQ(srv_names("example.net"),
            (std::vector<std::string>{"_mcollective-server._tcp.example.net", "_x-puppet-mcollective._tcp.example.net"}));
  EXPECT_EQ(srv_names("_nats._tcp.example.net"), std::vector<std::string>{"_nats._tcp.example.net"});
}

TEST(SrvLookup, RefusesANameServerThatIsNone) {
  for (const char* bad : {"localhost:53", "127.0.0.1:x", "127.0.0.1:0", "::1"})
    EXPECT_EQ(look_up_srv("_a._tcp.x", bad).error().code, Errc::kInvalidArgument) << bad;
}

/// Answers CONNECT as a server does, and may die.
class Peer final : public TransportHandler {
 public:
  Peer(sim::SimEnv& sim, uint16_t port) : sim_(sim) {
    listener_ = std::move(*sim.env().network.listen("local", port, [this](std::unique_ptr<Transport> t) {
      ++connections;
      transport_ = std::move(t);
      transport_->start(*this);
      say("INFO {}\r\n");
    }));
  }
  void on_bytes(std::string_view bytes) override {
    if (bytes.find("PING\r\n") != std::string_view::npos) say("PONG\r\n");
  }
  void on_drained() override {}
  void on_closed(const Error&) override {
    sim_.env().executor.post([old = std::move(transport_)] {});
  }
  void die() {
    listener_.reset();
    if (transport_) say("RUBBISH\r\n");
  }
  int connections = 0;

 private:
  void say(std::string text) { transport_->write(text); }

  sim::SimEnv& sim_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Transport> transport_;
};

TEST(SrvLink, FollowsWhatDnsTells) {
  sim::SimEnv sim(1);
  Peer one(sim, 4222), two(sim, 4223);
  std::vector<std::string> asked;
  std::vector<SrvTarget> told = {{"gone", 4222, 1, 0}, {"local", 4222, 2, 0}};
  LinkOptions options;
  options.urls = {"srv://example.net"};
  options.dns_server = "127.0.0.1:8600";
  const auto lookup = [&](const std::string& name, const std::string& dns) -> Result<std::vector<SrvTarget>> {
    EXPECT_EQ(dns, "127.0.0.1:8600");
    asked.push_back(name);
    if (name.starts_with("_mcollective")) return fail(Errc::kNotFound, "no such name");
    return told;
  };
  const auto link = std::move(*make_remote_link(sim.env(), options, lookup));
  sim.advance(10ms);
  EXPECT_EQ(link->state(), LinkState::kConnecting);
  sim.advance(5s);
  EXPECT_EQ(link->state(), LinkState::kConnected);
  EXPECT_EQ(link->peer(), "nats://local:4222");
  EXPECT_EQ(asked, (std::vector<std::string>{"_mcollective-server._tcp.example.net", "_x-puppet-mcollective._tcp.example.net"}));
  // Gone: DNS is asked again, and what it tells by then counts.
  told = {{"local", 4223, 1, 0}};
  one.die();
  sim.advance(20s);
  EXPECT_EQ(link->state(), LinkState::kConnected);
  EXPECT_EQ(link->peer(), "nats://local:4223");
  EXPECT_EQ(asked.size(), 4U);
}

TEST(SrvLink, DnsThatFailsIsAskedAgainAndTheNextUrlIsTried) {
  sim::SimEnv sim(1);
  Peer spare(sim, 4222);
  int asked = 0;
  LinkOptions options;
  options.urls = {"srv://example.net", "nats://local"};
  const auto lookup = [&](const std::string&, const std::string&) -> Result<std::vector<SrvTarget>> {
    ++asked;
    return fail(Errc::kTimeout, "DNS does not answer");
  };
  const auto link = std::move(*make_remote_link(sim.env(), options, lookup));
  sim.advance(5s);
  EXPECT_EQ(link->state(), LinkState::kConnected);
  EXPECT_EQ(link->peer(), "nats://local:4222");
  spare.die();
  sim.advance(60s);
  EXPECT_GT(asked, 2);
}

/// A node may be cut off for weeks: its log must not be filled by that.
TEST(RemoteLinkLog, ALinkThatIsDownForADayTellsWhyOnceAndThenHourly) {
  const std::string path = testing::TempDir() + "sluice_remote_link.log";
  std::remove(path.c_str());
  configure_logging({.file = path});
  sim::SimEnv sim(1);
  LinkOptions options;
  options.urls = {"nats://local:4222", "nats://local:4223"};
  const auto link = std::move(*make_remote_link(sim.env(), options));
  sim.advance(24h);
  {
    Peer back(sim, 4222);
    sim.advance(10s);
    EXPECT_EQ(link->state(), LinkState::kConnected);
    back.die();
    sim.advance(1s);
  }
  configure_logging({});
  std::ifstream file(path);
  size_t lines = 0, still = 0, connected = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    still += line.contains("still not connected") ? 1 : 0;
    connected += line.contains(": connected") ? 1 : 0;
  }
  EXPECT_EQ(connected, 1U);
  EXPECT_GE(still, 20U);
  EXPECT_LE(lines, still + 8);
}

}  // namespace
}  // namespace sluice
