// Stores written by released formats are opened by this one: tests/fixtures/store/vN holds one of each.
//
// To add the files of a new format version: SLUICE_WRITE_GOLDEN=1 test_store --gtest_filter='Golden.*'
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "sim/sealing_keys.h"
#include "store/record_format.h"
#include "store_world.h"
#include "test_paths.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
constexpr int kMessages = 40;
constexpr WallNanos kSecond = 1'000'000'000;

std::shared_ptr<const SealingKeys> golden_keys() { return sim::sealing_keys("of the golden files"); }
fs::path golden_dir() { return fs::path(SLUICE_FIXTURES) / "store"; }
std::string subject(int i) { return "orders." + std::to_string(i % 5); }
std::string headers(int i) { return i % 3 == 0 ? "NATS/1.0\r\nN: " + std::to_string(i) + "\r\n\r\n" : ""; }
std::string payload(int i) { return "order " + std::to_string(i) + std::string(static_cast<size_t>(i * 7 % 90), '-'); }
std::string msg_id(int i) { return i % 4 == 0 ? "id-" + std::to_string(i) : ""; }

/// Both generations: messages that were copied into a segment, and young ones; removals, a skip, a purge,
/// a deleted stream, consumers with a snapshot and deltas.
void write_store(StoreWorld& w) {
  w.options.journal_file_bytes = 16 * kKiB;
  w.open();
  StreamStore& orders = w.make("ORDERS");
  for (int i = 1; i <= kMessages; ++i) {
    orders.append({subject(i), headers(i), payload(i), i * kSecond, msg_id(i)});
  }
  orders.remove(StreamSeq(7), false);
  orders.purge_below(StreamSeq(4));
  orders.skip((kMessages + 1) * kSecond, "skipped");
  w.make("GONE");
  w.store->put_consumer("GONE", "c", "{}");
  const ConsumerKey key = w.store->put_consumer("ORDERS", "worker", "{\"durable\":\"worker\"}");
  w.store->set_consumer_snapshot_source([](ConsumerKey) { return std::string("snapshot"); });
  w.store->append_consumer_delta(key, "before");
  w.run();
  StreamStore& work = w.make("WORK");
  for (int i = 1; i <= 12; ++i) {  // bulky and short-lived: pushes the journal on until ORDERS is retired
    w.put(work, "work", std::string(9000, 'w'), i);
    w.run();
    work.remove(StreamSeq(static_cast<uint64_t>(i)), false);
    w.run();
  }
  w.store->delete_stream("GONE");
  w.store->append_consumer_delta(key, "after");
  orders.append({subject(0), "", "young", 100 * kSecond, "young"});
  bool closed = false;
  w.store->close([&](Status s) { closed = s.has_value(); });
  w.run();
  ASSERT_TRUE(closed);
}

void check_store(StoreWorld& w) {
  w.open();
  if (w.store == nullptr) return;
  EXPECT_EQ(w.store->recovery().lost_records, 0u);
  EXPECT_EQ(w.store->recovery().cut_bytes, 0u);
  EXPECT_TRUE(w.store->recovery().notes.empty());
  ASSERT_EQ(w.store->streams().size(), 2u);
  StreamStore& orders = w.find("ORDERS");
  const StreamState state = orders.state();
  EXPECT_EQ(state.first_seq.value(), 4u);
  EXPECT_EQ(state.last_seq.value(), static_cast<uint64_t>(kMessages) + 2);
  EXPECT_EQ(state.num_deleted, 2u);
  for (int i = 4; i <= kMessages; ++i) {
    const auto found = orders.load(StreamSeq(static_cast<uint64_t>(i)));
    ASSERT_EQ(found.has_value(), i != 7) << i;
    if (!found) continue;
    EXPECT_EQ(found->subject, subject(i));
    EXPECT_EQ(found->headers, headers(i));
    EXPECT_EQ(found->payload, payload(i));
    EXPECT_EQ(found->time, i * kSecond);
  }
  EXPECT_EQ(orders.load_last("orders.0")->payload, "young");
  std::vector<std::string> ids;
  orders.each_msg_id(38 * kSecond, [&](std::string_view id, StreamSeq, WallNanos) { ids.emplace_back(id); });
  EXPECT_NE(std::find(ids.begin(), ids.end(), "id-40"), ids.end());
  EXPECT_NE(std::find(ids.begin(), ids.end(), "young"), ids.end());
  EXPECT_EQ(w.find("WORK").state().messages, 0u);
  EXPECT_EQ(w.find("WORK").state().last_seq.value(), 12u);
  const auto consumers = w.store->consumers("ORDERS");
  ASSERT_EQ(consumers.size(), 1u);
  EXPECT_EQ(consumers[0].name, "worker");
  EXPECT_EQ(consumers[0].meta, "{\"durable\":\"worker\"}");
  EXPECT_EQ(consumers[0].snapshot, "snapshot");
  EXPECT_EQ(consumers[0].deltas, std::vector<std::string>{"after"});
  // And it is written on in the format of today.
  const StreamSeq next = w.put(orders, "orders.1", "new", 200 * kSecond);
  EXPECT_EQ(next.value(), static_cast<uint64_t>(kMessages) + 3);
  w.close_and_open();
  EXPECT_EQ(w.find("ORDERS").load(next)->payload, "new");
  EXPECT_EQ(w.find("ORDERS").load(StreamSeq(5))->payload, payload(5));
}

void export_files(StoreWorld& w, const fs::path& to) {
  for (const std::string& path : w.sim.disk().all_files("/data")) {
    if (path.find("spare") != std::string::npos || path.ends_with("LOCK")) continue;
    const fs::path file = to / path.substr(std::string("/data/").size());
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << *w.sim.disk().contents(path);
  }
}

void import_files(StoreWorld& w, const fs::path& from) {
  Disk& disk = w.sim.disk();
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    if (!entry.is_regular_file()) continue;
    const std::string path = "/data/" + entry.path().lexically_relative(from).string();
    ASSERT_TRUE(disk.make_dirs(path.substr(0, path.rfind('/'))));
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(in), {});
    auto file = disk.open(path, OpenMode::kCreate);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->write_at(0, std::as_bytes(std::span(bytes))));
    ASSERT_TRUE((*file)->sync());
  }
}

TEST(Golden, EveryFormatVersionOpens) {
  for (const uint32_t version : {format::kVersion, format::kSealedVersion}) {
    const fs::path now = golden_dir() / ("v" + std::to_string(version));
    if (std::getenv("SLUICE_WRITE_GOLDEN") != nullptr && !fs::exists(now)) {
      StoreWorld w;
      if (version == format::kSealedVersion) w.options.keys = golden_keys();
      write_store(w);
      export_files(w, now);
    }
    ASSERT_TRUE(fs::exists(now)) << "no golden files of a format that is written today";
  }
  for (const auto& entry : fs::directory_iterator(golden_dir())) {
    SCOPED_TRACE(entry.path().filename());
    StoreWorld w;
    if (format::is_sealed_version(static_cast<uint32_t>(std::stoul(entry.path().filename().string().substr(1))))) w.options.keys = golden_keys();
    import_files(w, entry.path());
    size_t segments = 0;
    for (const std::string& path : w.sim.disk().all_files("/data/segments")) segments += path.ends_with(".seg") ? 1 : 0;
    EXPECT_GE(segments, 1u) << "the old generation is missing";
    check_store(w);
  }
}

TEST(Golden, TodaysWriterAndReaderAgree) {
  StoreWorld w;
  write_store(w);
  w.store.reset();
  check_store(w);
}

}  // namespace
}  // namespace sluice
