// A store that is encrypted: nothing of it can be read on the disk, forged, or read with another key.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/endian.h"
#include "sim/sealing_keys.h"
#include "store/record_format.h"
#include "store/segment.h"
#include "store_world.h"

namespace sluice {
namespace {

constexpr int kMessages = 300;

struct SealedWorld : StoreWorld {
  explicit SealedWorld(std::string_view secret = "the first secret") { options.keys = sim::sealing_keys(secret); }

  /// Fails to open, with this code.
  Error refused() {
    store.reset();
    auto opened = Store::open(sim.env(), options);
    EXPECT_FALSE(opened);
    return opened ? Error{} : opened.error();
  }
  /// Paths of files in which `text` can be read.
  std::vector<std::string> readable_in(std::string_view text) {
    std::vector<std::string> found;
    for (const std::string& path : sim.disk().all_files("/data")) {
      if (sim.disk().contents(path)->find(text) != std::string::npos) found.push_back(path);
    }
    return found;
  }
  /// Messages, a packed stream, a consumer; some retired into segments, some young.
  void fill() {
    StreamStore& orders = make("ORDERS");
    ASSERT_TRUE(store->create_stream("PACKED", R"({"n":"PACKED"})", StreamSeq(0)));
    find("PACKED").set_traits({.compress = true});
    consumer = store->put_consumer("ORDERS", "worker", "consumer-meta");
    const std::string filler(900, 'f');
    for (int i = 1; i <= kMessages; ++i) {
      orders.append({.subject = "orders.subject." + std::to_string(i % 40), .headers = "NATS/1.0\r\nSecret-Header: h\r\n\r\n",
                     .payload = "payload-" + std::to_string(i) + filler, .time = i, .msg_id = "message-id-" + std::to_string(i)});
      put(find("PACKED"), "packed.subject", "packed-payload-" + std::to_string(i) + filler, i);
      store->append_consumer_delta(consumer, "consumer-delta-" + std::to_string(i));
      run();
    }
    store->set_consumer_snapshot_source([](ConsumerKey) { return std::string("consumer-snapshot"); });
    for (int i = 0; i < 40; ++i) {
      put(find("PACKED"), "packed.subject", std::string(10'000, 'g'), 1000 + i);
      run();
    }
  }
  void expect_all() {
    for (int i = 1; i <= kMessages; ++i) {
      const auto message = find("ORDERS").load(StreamSeq(static_cast<uint64_t>(i)));
      ASSERT_TRUE(message) << i;
      EXPECT_EQ(message->subject, "orders.subject." + std::to_string(i % 40));
      EXPECT_EQ(message->headers, "NATS/1.0\r\nSecret-Header: h\r\n\r\n");
      EXPECT_TRUE(message->payload.starts_with("payload-" + std::to_string(i) + "f"));
      const auto packed = find("PACKED").load(StreamSeq(static_cast<uint64_t>(i)));
      ASSERT_TRUE(packed) << i;
      EXPECT_TRUE(packed->payload.starts_with("packed-payload-" + std::to_string(i) + "f"));
    }
    EXPECT_EQ(find("ORDERS").count_matching(StreamSeq(1), "orders.subject.7"), 8u);
    EXPECT_EQ(find("ORDERS").load_last("orders.subject.7")->seq.value(), 287u);
  }
  ConsumerKey consumer{0};
};

constexpr std::string_view kSecrets[] = {"orders.subject", "packed.subject", "payload-", "Secret-Header",  "message-id",
                                         "ORDERS",         "PACKED",         "consumer-meta", "consumer-delta",
                                         "consumer-snapshot", "worker", "gggg"};

TEST(SealedStore, NothingCanBeReadOnTheDisk) {
  SealedWorld w;
  w.open();
  w.fill();
  ASSERT_GE(w.count_files(".seg"), 1u);
  w.expect_all();
  for (const std::string_view secret : kSecrets) EXPECT_TRUE(w.readable_in(secret).empty()) << secret << " in " << w.readable_in(secret)[0];
  w.close_and_open();
  w.expect_all();
  w.crash(sim::Crash::kPower);
  w.expect_all();
  const auto consumers = w.store->consumers("ORDERS");
  ASSERT_EQ(consumers.size(), 1u);
  EXPECT_EQ(consumers[0].meta, "consumer-meta");
  for (const std::string_view secret : kSecrets) EXPECT_TRUE(w.readable_in(secret).empty()) << secret;
}

TEST(SealedStore, ThePlainOneShowsThemAll) {  // or the search above is blind
  SealedWorld w;
  w.options.keys = nullptr;
  w.open();
  w.fill();
  for (const std::string_view secret : kSecrets) {
    if (secret == "gggg" || secret == "consumer-delta") continue;  // compressed; retired
    EXPECT_FALSE(w.readable_in(secret).empty()) << secret;
  }
}

TEST(SealedStore, AnotherKeyIsRefusedAndChangesNothing) {
  SealedWorld w;
  w.open();
  w.fill();
  w.close_and_open();
  w.store.reset();
  const auto files = w.sim.disk().all_files("/data");
  w.options.keys = sim::sealing_keys("a wrong secret");
  Error why = w.refused();
  EXPECT_EQ(why.code, Errc::kDenied);
  EXPECT_NE(why.detail.find("given is"), std::string::npos) << why.detail;
  w.options.keys = sim::sealing_keys("a wrong secret", "another wrong one");
  EXPECT_EQ(w.refused().code, Errc::kDenied);
  w.options.keys = nullptr;
  why = w.refused();
  EXPECT_EQ(why.code, Errc::kDenied);
  EXPECT_NE(why.detail.find("no key is given"), std::string::npos) << why.detail;
  EXPECT_EQ(w.sim.disk().all_files("/data"), files);
  w.options.keys = sim::sealing_keys("the first secret");
  w.open();
  w.expect_all();
}

TEST(SealedStore, RotatesItsKey) {
  SealedWorld w;
  w.open();
  w.fill();
  w.close_and_open();
  w.options.keys = sim::sealing_keys("the second secret", "the first secret", SealCipher::kChaCha20Poly1305);
  w.close_and_open();
  w.expect_all();
  const StreamSeq fresh = w.put(w.find("ORDERS"), "orders.subject.0", "under the second key");
  w.run();
  w.close_and_open();
  w.expect_all();
  EXPECT_EQ(w.find("ORDERS").load(fresh)->payload, "under the second key");
  w.options.keys = sim::sealing_keys("the second secret");
  EXPECT_EQ(w.refused().code, Errc::kDenied) << "files under the first key are left";
}

TEST(SealedStore, TakesOverAPlainStore) {
  SealedWorld w;
  const auto keys = w.options.keys;
  w.options.keys = nullptr;
  w.open();
  w.fill();
  w.close_and_open();
  w.options.keys = keys;
  w.close_and_open();
  w.expect_all();
  w.put(w.find("ORDERS"), "late.subject", "late-payload");
  w.run();
  EXPECT_TRUE(w.readable_in("late").empty());
  w.close_and_open();
  w.expect_all();
  EXPECT_EQ(w.find("ORDERS").load_last("late.subject")->payload, "late-payload");
}

TEST(SealedStore, ErasesInJournalSegmentAndRun) {
  SealedWorld w;
  w.open();
  w.fill();
  const auto erase = [&](const char* stream, uint64_t seq) {
    EXPECT_TRUE(w.find(stream).remove(StreamSeq(seq), true));
    w.run();
  };
  erase("ORDERS", 3);  // in a segment
  erase("PACKED", 5);  // in a run of one
  const StreamSeq young = w.put(w.find("ORDERS"), "orders.subject.0", "young");
  w.run();
  erase("ORDERS", young.value());
  EXPECT_EQ(w.figure("sluice_store_erasures_total"), 3);
  w.crash(sim::Crash::kPower);
  EXPECT_FALSE(w.find("ORDERS").load(StreamSeq(3)));
  EXPECT_FALSE(w.find("PACKED").load(StreamSeq(5)));
  EXPECT_FALSE(w.find("ORDERS").load(young));
  for (uint64_t seq : {2U, 4U}) EXPECT_TRUE(w.find("ORDERS").load(StreamSeq(seq))) << seq;
  for (uint64_t seq : {4U, 6U}) EXPECT_TRUE(w.find("PACKED").load(StreamSeq(seq))) << seq;
  EXPECT_EQ(w.store->recovery().lost_records, 0u);
}

/// Every seal in the journal files and segments: where, and its nonce.
std::vector<std::string> nonces(StoreWorld& w) {
  std::vector<std::string> found;
  for (const std::string& path : w.sim.disk().all_files("/data")) {
    const bool segment = path.ends_with(".seg");
    if (!segment && (!path.ends_with(".jnl") || path.find("spare") != std::string::npos)) continue;
    const std::string bytes = *w.sim.disk().contents(path);
    const auto head = format::decode_file_header(std::as_bytes(std::span(bytes)), segment ? format::kSegmentMagic : format::kJournalMagic);
    if (!head) continue;
    auto file = w.sim.disk().open(path, OpenMode::kRead);
    uint64_t end = bytes.size();
    if (segment) end = format::kBlock + read_trailer(**file, end, head->number, head->store_id)->record_bytes;  // parity may be a copy
    EXPECT_TRUE(scan_records(**file, format::kBlock, end, format::file_seed(head->store_id, head->number),
                             [&](const format::Record& r, uint64_t, std::span<std::byte> record) {
                               if (!r.sealed) return;
                               const size_t body = r.subject.size() + r.headers.size() + r.payload.size() + r.msg_id.size();
                               const auto* seal = record.data() + format::header_size(r) + body;
                               found.emplace_back(reinterpret_cast<const char*>(seal) + 4, 12);
                             }));
  }
  return found;
}

TEST(SealedStore, NoNonceComesTwiceThroughCrashes) {
  SealedWorld w;
  w.open();
  w.make("S");
  std::set<std::string> all;
  size_t seen = 0;
  for (int life = 0; life < 6; ++life) {
    for (int i = 0; i < 10; ++i) {
      w.put(w.find("S"), "s", "unacknowledged " + std::to_string(i));
      if (i % 3 == 0) w.run();
    }
    const auto now = nonces(w);
    ASSERT_FALSE(now.empty());
    EXPECT_EQ(std::set<std::string>(now.begin(), now.end()).size(), now.size()) << "twice on one disk";
    w.crash(sim::Crash::kPower);
    seen += now.size();
    all.insert(now.begin(), now.end());
  }
  EXPECT_GT(seen, 60u);
  EXPECT_GE(all.size(), 40u);
}

TEST(SealedStore, ManyMessagesInOnePieceHaveRoomForTheirSeals) {
  SealedWorld w;
  w.open();
  const std::vector<AppendRequest> many(1000, {.subject = "s", .headers = {}, .payload = "small", .time = 1, .msg_id = {}});
  EXPECT_EQ(w.make("S").append_all(many).value(), 1u);
  w.run();
  w.crash(sim::Crash::kPower);
  EXPECT_EQ(w.find("S").state().messages, 1000u);
}

/// Somebody who knows the format, but no key, changes a record and its checksums.
TEST(SealedStore, AForgedRecordIsNotBelieved) {
  SealedWorld w;
  w.open();
  w.fill();
  w.close_and_open();
  std::string segment;
  for (const std::string& path : w.sim.disk().all_files("/data")) {
    if (segment.empty() && path.ends_with(".seg")) segment = path;
  }
  std::string bytes = *w.sim.disk().contents(segment);
  const auto head = *format::decode_file_header(std::as_bytes(std::span(bytes)), format::kSegmentMagic);
  const uint64_t seed = format::file_seed(head.store_id, head.number);
  std::byte* first = reinterpret_cast<std::byte*>(bytes.data()) + format::kBlock;
  const size_t size = format::peek_record_size({first, bytes.size() - format::kBlock});
  ASSERT_NE(size, 0u);
  const uint64_t seq = load_le64(first + 16);
  first[format::kRecordHeader] ^= std::byte{1};
  store_le64(first, format::checksum(first + 8, size - 8, seed));
  auto file = w.sim.disk().open(segment, OpenMode::kReadWrite);
  ASSERT_TRUE((*file)->write_at(format::kBlock, {first, size}));
  ASSERT_TRUE((*file)->sync());
  w.options.cache_bytes = 256 * kKiB;
  w.crash(sim::Crash::kPower);
  const auto message = w.find("ORDERS").load(StreamSeq(seq));
  EXPECT_FALSE(message) << message->payload.substr(0, 20);
  EXPECT_TRUE(w.find("ORDERS").load(StreamSeq(seq + 1)));
}

}  // namespace
}  // namespace sluice
