// Recorded registrations through a real nats-server into its JetStream and back out.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "../remote/real_server.h"
#include "adapters/choria_registration/adapter.h"
#include "adapters/stream_ingest.h"
#include "base/headers.h"
#include "remote/remote_link.h"
#include "uv/env.h"
#include "test_paths.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class RealNetworkTest : public testing::Test {
 protected:
  std::unique_ptr<NatsLink> connect(const RealServer& server) {
    LinkOptions options;
    options.urls = {server.url()};
    auto link = make_remote_link(uv_.env(), options);
    EXPECT_TRUE(link);
    wait([&] { return (*link)->state() == LinkState::kConnected; });
    return std::move(*link);
  }
  void wait(const std::function<bool()>& done) {
    ASSERT_TRUE(uv_.loop().run_until(done, 20s)) << "waited too long";
  }
  StoredCopy get(StreamClient& client, std::string_view stream, uint64_t seq) {
    std::optional<Result<StoredCopy>> got;
    client.get_message(stream, StreamSeq(seq), [&](Result<StoredCopy> r) { got = std::move(r); })
        .release();
    wait([&] { return got.has_value(); });
    EXPECT_TRUE(*got) << seq;
    return *got ? **got : StoredCopy{};
  }

  UvEnv uv_;
};

TEST_F(RealNetworkTest, RecordingsArriveAsRecordedAndBadOnesAsDeadLetters) {
  SLUICE_NEEDS_NATS_SERVER();
  RealServer server;
  auto network = connect(server), target_link = connect(server), nodes = connect(server);
  auto target = StreamClient::make(uv_.env(), *target_link);
  ChoriaRegistrationOptions options;
  options.max_in_flight = 5;
  auto adapter = make_choria_registration(uv_.env(), *network, *target, options);
  ASSERT_TRUE(adapter);
  Status started = fail(Errc::kIo, "");
  (*adapter)->start([&](Status s) { started = s; });
  wait([&] { return started.has_value(); });
  bool ready = false;  // the subscription has reached the server
  auto flushed = network->request({"none", "", "", ""}, 5s, [&](auto) { ready = true; });
  wait([&] { return ready; });

  const std::filesystem::path folder = std::string(SLUICE_FIXTURES) + "/choria";
  const std::string subject = options.ingest_subjects[0];
  std::vector<std::string> expected, bad;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("registration-v")) continue;
    const std::string tail = name.substr(std::string("registration-").size());
    ASSERT_TRUE(nodes->publish({subject, "", "", read_file(entry.path())}));
    expected.push_back(read_file(
        folder / ("adapter-output-" + std::string(tail[1] == '1' ? "file-" : "choria-") + tail)));
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder / "adapter-bad-input")) {
    bad.push_back(read_file(entry.path()));
    ASSERT_TRUE(nodes->publish({subject, "", "", bad.back()}));
  }
  wait([&] {
    return (*adapter)->figures().received == expected.size() + bad.size() &&
           (*adapter)->figures().in_flight == 0;
  });
  EXPECT_EQ((*adapter)->figures().accepted, expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const StoredCopy copy = get(*target, "REGISTRATION", i + 1);
    EXPECT_EQ(copy.payload, expected[i]);
    EXPECT_TRUE(copy.subject.starts_with("choria.registration.node"));
    EXPECT_TRUE(find_header(copy.headers, "Nats-Msg-Id"));
  }
  for (size_t i = 0; i < bad.size(); ++i) {
    const StoredCopy copy = get(*target, kDeadLetterStream, i + 1);
    EXPECT_EQ(copy.payload, bad[i]);
    EXPECT_EQ(find_header(copy.headers, "Sluice-Origin"), subject);
    EXPECT_TRUE(find_header(copy.headers, "Sluice-Reason"));
  }
  bool stopped = false;
  (*adapter)->stop([&] { stopped = true; });
  wait([&] { return stopped; });
}

TEST_F(RealNetworkTest, NothingIsLostWhileTheTargetDiesAndComesBack) {
  SLUICE_NEEDS_NATS_SERVER();
  RealServer network_server, target_server;
  auto network = connect(network_server), nodes = connect(network_server);
  auto target_link = connect(target_server);
  auto target = StreamClient::make(uv_.env(), *target_link);
  StreamIngest ingest(uv_.env(), *target, {.adapter = "test", .max_in_flight_count = 200});
  StreamSpec spec;
  spec.name = "S";
  spec.subjects = {"s.>"};
  bool prepared = false;
  ingest.prepare(spec, [&](Status s) { prepared = s.has_value(); });
  wait([&] { return prepared; });
  uint64_t stored = 0, offered = 0;
  constexpr uint64_t kCount = 3000;
  const auto fill = [&] {
    while (offered < kCount) {
      const std::string id = std::to_string(offered);
      if (ingest.offer({"s.x", "", id, id, "lane" + std::to_string(offered % 50)}, [&](const Result<PubAck>& s) {
            EXPECT_TRUE(s);
            ++stored;
          }) == Offer::kFull)
        return;
      ++offered;
    }
  };
  ingest.on_room(fill);
  fill();
  wait([&] { return stored > kCount / 3; });
  // A polite stop: nats-server does not sync what it acks, so kill -9 of it may lose its own acks.
  target_server.stop();
  wait([&] { return target_link->state() != LinkState::kConnected; });
  target_server.start();
  wait([&] { return stored == kCount; });
  std::optional<StreamFigures> figures;
  target->stream_info("S", [&](Result<StreamFigures> r) { figures = *r; }).release();
  wait([&] { return figures.has_value(); });
  EXPECT_EQ(figures->messages, kCount);
  std::map<std::string, int> last_of_lane;
  for (uint64_t seq = 1; seq <= kCount; seq += 37) {
    const int id = std::stoi(get(*target, "S", seq).payload);
    int& last = last_of_lane[std::to_string(id % 50)];
    EXPECT_GE(id, last);
    last = id;
  }
}

}  // namespace
}  // namespace sluice
