// A nats-server's store directory in the simulated world: read, damaged, encrypted, imported.
#include "backup/nats_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "../node/node_world.h"
#include "backup/nats_import.h"
#include "base/base64.h"
#include "crypto/digest.h"
#include "test_paths.h"

namespace sluice::test {
namespace {

class NatsStoreImport : public testing::Test {
 protected:
  void SetUp() override {
    w.start();
    for (const char* stream : {"PLAIN", "PACKED"}) {
      const auto root = std::filesystem::path(SLUICE_FIXTURES) / "archive/store" / stream;
      for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
        if (!entry.is_regular_file()) continue;
        std::ifstream in(entry.path(), std::ios::binary);
        write(path_of(stream) + "/" + entry.path().lexically_relative(root).string(),
              std::string(std::istreambuf_iterator<char>(in), {}));
      }
    }
  }
  static std::string path_of(const std::string& stream) { return "nats/jetstream/$G/streams/" + stream; }
  Disk& disk() { return w.sim.env().disk; }
  void write(const std::string& path, std::string_view bytes) {
    ASSERT_TRUE(disk().make_dirs(path.substr(0, path.rfind('/'))));
    auto file = disk().open(path, OpenMode::kCreate);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->truncate(0));
    ASSERT_TRUE((*file)->write_at(0, std::as_bytes(std::span(bytes))));
  }
  std::string read(const std::string& path) {
    auto file = disk().open(path, OpenMode::kRead);
    if (!file) return {};
    std::string out(*(*file)->size(), '\0');
    EXPECT_EQ((*file)->read_at(0, std::as_writable_bytes(std::span(out))), out.size());
    return out;
  }
  /// Changes one byte.
  void flip(const std::string& path, size_t at) {
    std::string bytes = read(path);
    ASSERT_LT(at, bytes.size());
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    write(path, bytes);
  }
  Result<std::unique_ptr<NatsStreamFiles>> open(const std::string& stream) {
    return NatsStreamFiles::open(disk(), {.account = "$G", .stream = stream, .path = path_of(stream)});
  }
  std::unique_ptr<NatsStreamFiles> surveyed(const std::string& stream) {
    auto files = open(stream);
    EXPECT_TRUE(files) << files.error().detail;
    if (!files) return nullptr;
    for (size_t i = 0; i < (*files)->blocks(); ++i) EXPECT_TRUE((*files)->survey_block(i));
    (*files)->end_survey();
    return *std::move(files);
  }
  Result<Stream*> import(NatsStreamFiles& files) {
    auto begun = NatsImport::begin(w.node->streams(), w.node->consumers(), files);
    if (!begun) return std::unexpected(begun.error());
    for (size_t i = 0; i < files.blocks(); ++i) {
      bool durable = false;
      if (auto taken = (*begun)->take_block(i, [&] { durable = true; }); !taken) return std::unexpected(taken.error());
      EXPECT_TRUE(w.sim.run_until([&] { return durable; }, 10s));
    }
    return (*begun)->finish();
  }
  static Json truth(const std::string& stream) {
    std::ifstream in(std::string(SLUICE_FIXTURES) + "/archive/store/truth.json");
    return Json::parse(in)[stream];
  }
  static std::vector<std::string> damage(const NatsStreamFiles& files) { return files.survey().damage; }

  NodeWorld w;
};

TEST_F(NatsStoreImport, FindsTheStreamsOfAllAccounts) {
  write("nats/jetstream/ACC/streams/OTHER/meta.inf", "{}");
  write("nats/jetstream/$SYS/_js_/x", "");
  for (const char* dir : {"nats", "nats/jetstream"}) {
    const auto found = find_nats_streams(disk(), dir);
    ASSERT_TRUE(found) << found.error().detail;
    std::string names;
    for (const NatsStreamFolder& f : *found) names += f.account + "/" + f.stream + " ";
    EXPECT_EQ(names, "$G/PACKED $G/PLAIN ACC/OTHER ");
  }
  EXPECT_EQ(find_nats_streams(disk(), "data").error().code, Errc::kNotFound);
  EXPECT_EQ(find_nats_streams(disk(), "nowhere").error().code, Errc::kNotFound);
}

TEST_F(NatsStoreImport, EverythingIsAsTheServerTold) {
  for (const std::string stream : {"PLAIN", "PACKED"}) {
    const Json told = truth(stream);
    auto files = surveyed(stream);
    ASSERT_TRUE(files);
    EXPECT_EQ(damage(*files), std::vector<std::string>{});
    EXPECT_EQ(files->survey().messages, told["messages"].size());
    const auto made = import(*files);
    ASSERT_TRUE(made) << made.error().detail;
    StreamStore& store = (*made)->store();
    StreamSeq from(1);
    for (const Json& m : told["messages"]) {
      const auto got = store.load_next(from, ">");
      ASSERT_TRUE(got);
      EXPECT_EQ(got->seq.value(), m["seq"]);
      EXPECT_EQ(got->subject, m["subject"]);
      EXPECT_EQ(format_rfc3339(got->time), m["time"]);
      EXPECT_EQ(got->payload.size(), m["size"]);
      EXPECT_EQ(base64_encode(got->headers), m["hdrs"]);
      from = got->seq.next();
    }
    EXPECT_FALSE(store.load_next(from, ">"));
    NodeClient& c = w.client(stream);
    const Json state = w.api(c, "STREAM.INFO." + stream)["state"];
    for (const char* key : {"messages", "bytes", "first_seq", "last_seq", "num_deleted", "first_ts", "last_ts", "num_subjects",
                            "consumer_count"})
      EXPECT_EQ(state[key], told["state"][key]) << stream << " " << key;
    const Json consumer = w.consumer_info(c, stream, "D");
    for (const char* key : {"num_pending", "num_ack_pending", "num_redelivered"}) EXPECT_EQ(consumer[key], told["D"][key]);
    EXPECT_EQ(consumer["delivered"]["consumer_seq"], told["D"]["delivered"]["consumer_seq"]);
    EXPECT_EQ(consumer["ack_floor"]["stream_seq"], told["D"]["ack_floor"]["stream_seq"]);
  }
  // It is there after a power cut as well.
  w.restart(Crash::kPower);
  EXPECT_EQ(w.node->streams().find("PLAIN")->store().state().messages, truth("PLAIN")["messages"].size());
}

/// An interior removal by a limit stands in index.db alone.
TEST_F(NatsStoreImport, TheIndexTellsWhatIsGone) {
  const auto index = read_nats_index(read(path_of("PLAIN") + "/msgs/index.db"), sha256("PLAIN"));
  ASSERT_TRUE(index) << index.error().detail;
  ASSERT_EQ(index->blocks.size(), 1u);
  std::vector<uint64_t> deleted;
  for (const auto& [first, last] : index->deleted.ranges())
    for (uint64_t seq = first; seq <= last; ++seq) deleted.push_back(seq);
  EXPECT_EQ(Json(deleted), truth("PLAIN")["state"]["deleted"]);
  const std::string block = read(path_of("PLAIN") + "/msgs/1.blk");
  EXPECT_EQ(index->last_checksum, block.substr(block.size() - 8));
}

/// A bucket's index: subjects with one message, removals by limits alone.
TEST_F(NatsStoreImport, TheIndexOfABucket) {
  std::ifstream in(std::string(SLUICE_FIXTURES) + "/archive/store-index/kv.db", std::ios::binary);
  const std::string file(std::istreambuf_iterator<char>(in), {});
  const auto index = read_nats_index(file, sha256("KV_BOX"));
  ASSERT_TRUE(index) << index.error().detail;
  EXPECT_EQ(index->head.messages, 16u);
  ASSERT_EQ(index->blocks.size(), 1u);
  EXPECT_EQ(index->blocks[0].first_seq, 13u);
  EXPECT_EQ(index->deleted.size(), 4u);
  EXPECT_FALSE(read_nats_index(file, sha256("KV_BOY")));
  for (size_t size = 0; size < file.size(); ++size) EXPECT_FALSE(read_nats_index(file.substr(0, size), sha256("KV_BOX")));
}

TEST_F(NatsStoreImport, ADamagedIndexIsDoneWithout) {
  flip(path_of("PLAIN") + "/msgs/index.db", 100);
  auto files = surveyed("PLAIN");
  EXPECT_EQ(files->survey().messages, truth("PLAIN")["messages"].size());
  ASSERT_EQ(files->survey().notes.size(), 1u);
  EXPECT_NE(files->survey().notes[0].find("index.db does not match its checksum"), std::string::npos);
}

TEST_F(NatsStoreImport, DamageIsNamedAndTheRestIsTaken) {
  flip(path_of("PLAIN") + "/msgs/1.blk", 60);  // the payload of the first
  auto plain = surveyed("PLAIN");
  EXPECT_EQ(damage(*plain), std::vector<std::string>{"msgs/1.blk: message 1 does not match its checksum"});
  const auto made = import(*plain);
  ASSERT_TRUE(made) << made.error().detail;
  EXPECT_EQ((*made)->store().state().messages, truth("PLAIN")["messages"].size() - 1);
  EXPECT_EQ((*made)->store().state().last_seq.value(), truth("PLAIN")["state"]["last_seq"]);

  // A packed block is whole or not at all.
  flip(path_of("PACKED") + "/msgs/1.blk", 5000);
  auto packed = surveyed("PACKED");
  ASSERT_EQ(damage(*packed).size(), 1u);
  EXPECT_TRUE(damage(*packed)[0].starts_with("msgs/1.blk: none of its ")) << damage(*packed)[0];
  EXPECT_GT(packed->survey().messages, 0u);
  EXPECT_TRUE(import(*packed));
}

TEST_F(NatsStoreImport, ABlockThatEndsEarly) {
  std::string block = read(path_of("PLAIN") + "/msgs/1.blk");
  write(path_of("PLAIN") + "/msgs/1.blk", block.substr(0, block.size() / 2));
  auto files = surveyed("PLAIN");
  ASSERT_EQ(damage(*files).size(), 1u);
  EXPECT_NE(damage(*files)[0].find("msgs/1.blk: its last "), std::string::npos);
  EXPECT_GT(files->survey().messages, 10u);
  EXPECT_EQ(files->survey().last.value(), truth("PLAIN")["state"]["last_seq"]);  // by the index
}

TEST_F(NatsStoreImport, ConsumersThatCanNotBeRead) {
  write(path_of("PLAIN") + "/obs/D/o.dat", "\x16\x02");
  write(path_of("PLAIN") + "/obs/A/meta.inf", "{}}");
  auto files = surveyed("PLAIN");
  ASSERT_EQ(damage(*files).size(), 2u);
  EXPECT_TRUE(damage(*files)[0].starts_with("obs/A/meta.inf: the consumer is left out")) << damage(*files)[0];
  EXPECT_TRUE(damage(*files)[1].starts_with("obs/D/o.dat: the consumer begins anew")) << damage(*files)[1];
  ASSERT_TRUE(import(*files));
  NodeClient& c = w.client("c");
  EXPECT_EQ(w.consumer_info(c, "PLAIN", "D")["delivered"]["consumer_seq"], 0);
}

TEST_F(NatsStoreImport, AnotherStreamsConfigurationIsNoted) {
  flip(path_of("PLAIN") + "/meta.sum", 3);
  EXPECT_EQ(damage(*surveyed("PLAIN")), std::vector<std::string>{"meta.inf: it does not match meta.sum"});
}

TEST_F(NatsStoreImport, WhatIsRefused) {
  write(path_of("PLAIN") + "/meta.key", "k");
  auto encrypted = open("PLAIN");
  ASSERT_FALSE(encrypted);
  EXPECT_EQ(encrypted.error().code, Errc::kUnsupported);
  EXPECT_NE(encrypted.error().detail.find("encrypted"), std::string::npos);
  write(path_of("PACKED") + "/meta.inf", R"({"name":"PACKED","subjects":["c.>"],"num_replicas":1,"brand_new":true})");
  auto unknown = open("PACKED");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().detail.find("configuration can't be had here"), std::string::npos) << unknown.error().detail;
  write(path_of("PACKED") + "/meta.inf", "no json");
  EXPECT_EQ(open("PACKED").error().code, Errc::kCorrupt);
}

TEST_F(NatsStoreImport, ReplicasBecomeOne) {
  std::string meta = read(path_of("PLAIN") + "/meta.inf");
  const size_t at = meta.find(R"("num_replicas":1)");
  ASSERT_NE(at, std::string::npos);
  meta[at + 15] = '3';
  write(path_of("PLAIN") + "/meta.inf", meta);
  auto files = surveyed("PLAIN");
  EXPECT_EQ(files->config().num_replicas, 1);
  EXPECT_EQ(files->survey().notes, std::vector<std::string>{"3 replicas were configured, here it has one"});
}

TEST_F(NatsStoreImport, AnExistingStreamStays) {
  NodeClient& c = w.client("c");
  w.make_stream(c, "PLAIN", "other");
  auto files = surveyed("PLAIN");
  const auto made = import(*files);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Errc::kExists);
  EXPECT_EQ(w.node->streams().find("PLAIN")->config().subjects, std::vector<std::string>{"other"});
}

TEST_F(NatsStoreImport, AServerThatRunsIsNoticed) {
  auto files = surveyed("PLAIN");
  write(path_of("PLAIN") + "/msgs/1.blk", read(path_of("PLAIN") + "/msgs/1.blk") + "more");
  const auto made = import(*files);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().detail.find("stop its nats-server first"), std::string::npos);
  EXPECT_EQ(w.node->streams().find("PLAIN"), nullptr);
}

/// No byte of the files makes it crash, and none of a block is lost in silence.
TEST_F(NatsStoreImport, AnyByteMayBeWrong) {
  const std::string block = read(path_of("PLAIN") + "/msgs/1.blk");
  const uint64_t all = truth("PLAIN")["messages"].size();
  for (size_t at = 0; at < block.size(); at += 97) {
    std::string bad = block;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    write(path_of("PLAIN") + "/msgs/1.blk", bad);
    auto files = surveyed("PLAIN");
    EXPECT_TRUE(files->survey().damages > 0 || files->survey().messages == all) << at;
  }
  write(path_of("PLAIN") + "/msgs/1.blk", block);
  for (const char* name : {"/msgs/index.db", "/obs/D/o.dat", "/obs/D/meta.inf", "/meta.inf"}) {
    const std::string good = read(path_of("PLAIN") + name);
    for (size_t at = 0; at < good.size(); at += 7) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 0x10);
      write(path_of("PLAIN") + name, bad);
      (void)open("PLAIN");
    }
    write(path_of("PLAIN") + name, good);
  }
}

}  // namespace
}  // namespace sluice::test
