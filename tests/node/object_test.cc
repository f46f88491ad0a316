// Object stores on a whole engine.
#include "client/object.h"

#include "client/object_change.h"
#include "client_world.h"

namespace sluice::test {
namespace {

class ObjectTest : public ClientWorld {
 protected:
  using Lines = std::vector<std::string>;
  void disconnect() override {
    bucket_.reset();
    ClientWorld::disconnect();
  }
  void make(const ObjectBucketSpec& spec) {
    const auto made = wait<ObjectBucketStatus>(
        [&](auto done) { return ObjectBucket::make(w_.sim.env(), *client_, spec, std::move(done)); });
    ASSERT_TRUE(made) << made.error().detail;
    open(spec.bucket);
  }
  void open(const std::string& name) {
    auto opened = wait<std::unique_ptr<ObjectBucket>>(
        [&](auto done) { return ObjectBucket::open(w_.sim.env(), *client_, name, std::move(done)); });
    ASSERT_TRUE(opened) << opened.error().detail;
    bucket_ = *std::move(opened);
  }
  /// In pieces of `piece` bytes, as the writer has room.
  Result<ObjectInfo> put(ObjectMeta meta, std::string_view body, size_t piece = 50'000) {
    std::optional<Result<ObjectInfo>> got;
    bool ready = true;
    auto writer = bucket_->put(std::move(meta), {.on_ready = [&] { ready = true; },
                                                 .on_done = [&](Result<ObjectInfo> r) { got = std::move(r); }});
    while (!body.empty() && !got) {
      if (!ready && !w_.sim.run_until([&] { return ready || got.has_value(); }, 60s)) break;
      ready = writer->write(body.substr(0, piece));
      body.remove_prefix(std::min(piece, body.size()));
    }
    writer->finish();
    EXPECT_TRUE(w_.sim.run_until([&] { return got.has_value(); }, 60s));
    return got ? std::move(*got) : Result<ObjectInfo>(fail(Errc::kTimeout, "no answer"));
  }
  Result<std::string> get(const std::string& name) {
    std::string bytes;
    std::optional<Status> got;
    auto reader = bucket_->get(name, {.on_info = {},
                                      .on_bytes = [&](std::string_view part) { bytes += part; },
                                      .on_done = [&](Status status) { got = std::move(status); }});
    EXPECT_TRUE(w_.sim.run_until([&] { return got.has_value(); }, 120s));
    if (!got) return fail(Errc::kTimeout, "no answer");
    if (!*got) return std::unexpected(got->error());
    return bytes;
  }
  Result<ObjectInfo> info(const std::string& name, bool deleted_too = false) {
    return wait<ObjectInfo>([&](auto done) { return bucket_->info(name, deleted_too, std::move(done)); });
  }
  Result<ObjectInfo> remove(const std::string& name) {
    return wait<ObjectInfo>([&](auto done) { return bucket_->remove(name, std::move(done)); });
  }
  Lines names(bool deleted_too = false) {
    auto got = wait<std::vector<ObjectInfo>>([&](auto done) { return bucket_->list(deleted_too, 100, std::move(done)); });
    EXPECT_TRUE(got) << got.error().detail;
    Lines out;
    if (got)
      for (const ObjectInfo& one : *got) out.push_back(one.meta.name);
    return out;
  }
  uint64_t messages() { return w_.node->streams().find("OBJ_B")->store().state().messages; }
  static std::string noise(size_t bytes) {
    std::string out(bytes, '\0');
    uint32_t state = 7;
    for (char& c : out) c = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
    return out;
  }

  std::unique_ptr<ObjectBucket> bucket_;
};

TEST_F(ObjectTest, KeepsBytesAndWhatWasSaidOfThem) {
  make({.bucket = "B", .description = "d"});
  const std::string body = noise(3 * 131072 + 5);
  const auto made = put({.name = "a b/ü", .description = "x", .headers = {{"H", {"1", "2"}}}, .metadata = {{"k", "v"}}}, body);
  ASSERT_TRUE(made) << made.error().detail;
  EXPECT_EQ(made->size, body.size());
  EXPECT_EQ(made->chunks, 4u);
  const auto told = info("a b/ü");
  ASSERT_TRUE(told);
  EXPECT_EQ(told->meta.description, "x");
  EXPECT_EQ(told->meta.headers.at("H"), (Lines{"1", "2"}));
  EXPECT_EQ(told->meta.metadata.at("k"), "v");
  EXPECT_EQ(told->digest, made->digest);
  EXPECT_EQ(get("a b/ü"), body);
  EXPECT_EQ(get("none").error().code, Errc::kNotFound);
  ASSERT_TRUE(put({.name = "empty"}, ""));
  EXPECT_EQ(get("empty"), "");
  EXPECT_EQ(names(), (Lines{"a b/ü", "empty"}));
  EXPECT_EQ(put({.name = ""}, "x").error().code, Errc::kInvalidArgument);
}

TEST_F(ObjectTest, WhatIsReplacedOrDeletedTakesNoRoom) {
  make({.bucket = "B"});
  ASSERT_TRUE(put({.name = "a"}, noise(10 * 131072)));
  EXPECT_EQ(messages(), 11u);
  ASSERT_TRUE(put({.name = "a", .chunk_bytes = 10}, "now it is small"));
  EXPECT_EQ(messages(), 3u);
  EXPECT_EQ(get("a"), "now it is small");
  ASSERT_TRUE(remove("a"));
  EXPECT_EQ(messages(), 1u);
  EXPECT_EQ(info("a").error().code, Errc::kNotFound);
  EXPECT_TRUE(info("a", true)->deleted);
  EXPECT_EQ(get("a").error().code, Errc::kNotFound);
  EXPECT_EQ(remove("a").error().code, Errc::kNotFound);
  EXPECT_EQ(names(), Lines{});
  EXPECT_EQ(names(true), Lines{"a"});
}

TEST_F(ObjectTest, AWriterThatGivesUpLeavesNothing) {
  make({.bucket = "B"});
  auto writer = bucket_->put({.name = "a"}, {});
  writer->write(noise(300'000));
  w_.sim.advance(1s);
  EXPECT_EQ(messages(), 2u);
  writer.reset();
  w_.sim.advance(1s);
  EXPECT_EQ(messages(), 0u);
}

TEST_F(ObjectTest, AFullBucketRefusesAndKeepsWhatStoodThere) {
  make({.bucket = "B", .max_bytes = 400'000});
  ASSERT_TRUE(put({.name = "a"}, "old"));
  const auto refused = put({.name = "a"}, noise(1'000'000));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().api_code, 10077);
  w_.sim.advance(1s);
  EXPECT_EQ(get("a"), "old");
  EXPECT_EQ(messages(), 2u) << "the chunks that were taken are freed";
}

TEST_F(ObjectTest, DamageIsNoticed) {
  make({.bucket = "B"});
  ASSERT_TRUE(put({.name = "a", .chunk_bytes = 1000}, noise(5000)));
  auto described = info("a");
  ASSERT_TRUE(described);
  // Chunks of the right size with other bytes in one of them.
  const std::string chunk = object_chunk_subject("B", "other");
  for (int i = 0; i < 5; ++i) {
    std::string part = noise(5000).substr(static_cast<size_t>(i) * 1000, 1000);
    if (i == 3) part[17] ^= 1;
    ASSERT_TRUE(wait<PubAck>([&](auto done) { return client_->publish({chunk, {}, {}, part}, 5s, std::move(done)); }));
  }
  described->nuid = "other";
  ASSERT_TRUE(wait<ObjectInfo>([&](auto done) {
    return change_object(*client_, "B", "a", [&](const auto&) -> Result<ObjectInfo> { return *described; }, std::move(done));
  }));
  EXPECT_EQ(get("a").error().code, Errc::kCorrupt);
  EXPECT_NE(get("a").error().detail.find("digest"), std::string::npos);
  ASSERT_TRUE(wait<std::string>([&](auto done) {
    return client_->api("STREAM.PURGE", "OBJ_B", R"({"filter":"$O.B.C.other","keep":4})", std::move(done));
  }));
  EXPECT_NE(get("a").error().detail.find("1 of 5 chunks are gone"), std::string::npos) << get("a").error().detail;
}

TEST_F(ObjectTest, LinksLeadToObjectsAndBuckets) {
  make({.bucket = "OTHER"});
  ASSERT_TRUE(put({.name = "far"}, "far away"));
  const auto far = info("far");
  make({.bucket = "B"});
  ASSERT_TRUE(put({.name = "a"}, "near"));
  const auto link = [&](const std::string& name, const ObjectInfo& to) {
    return wait<ObjectInfo>([&](auto done) { return bucket_->link(name, to, std::move(done)); });
  };
  ASSERT_TRUE(link("l", *info("a")));
  ASSERT_TRUE(link("m", *far));
  EXPECT_EQ(get("l"), "near");
  EXPECT_EQ(get("m"), "far away");
  EXPECT_EQ(link("n", *info("l")).error().code, Errc::kInvalidArgument) << "no link to a link";
  EXPECT_EQ(link("a", *far).error().code, Errc::kExists);
  ASSERT_TRUE(link("l", *far)) << "a link may be turned";
  EXPECT_EQ(get("l"), "far away");
  ASSERT_TRUE(wait<ObjectInfo>([&](auto done) { return bucket_->link_bucket("b", "OTHER", std::move(done)); }));
  EXPECT_EQ(get("b").error().code, Errc::kRefused);
  // A ring, as no writer of ours makes it.
  for (const auto& [from, to] : {std::pair("x", "y"), std::pair("y", "x")}) {
    ObjectInfo ring = *info("l");
    ring.meta.name = from;
    ring.link = ObjectLink{"B", to};
    ASSERT_TRUE(wait<ObjectInfo>([&](auto done) {
      return change_object(*client_, "B", from, [&](const auto&) -> Result<ObjectInfo> { return ring; }, std::move(done));
    }));
  }
  EXPECT_EQ(get("x").error().code, Errc::kRefused);
}

TEST_F(ObjectTest, MetaAndNamesChangeBytesStay) {
  make({.bucket = "B"});
  ASSERT_TRUE(put({.name = "a"}, "bytes"));
  ASSERT_TRUE(put({.name = "taken"}, "others"));
  const auto update = [&](const std::string& name, ObjectMeta meta) {
    return wait<ObjectInfo>([&](auto done) { return bucket_->update_meta(name, std::move(meta), std::move(done)); });
  };
  ASSERT_TRUE(update("a", {.name = "a", .description = "new"}));
  EXPECT_EQ(info("a")->meta.description, "new");
  ASSERT_TRUE(update("a", {.name = "b"}));
  EXPECT_EQ(get("b"), "bytes");
  EXPECT_EQ(info("a", true).error().code, Errc::kNotFound);
  EXPECT_EQ(update("b", {.name = "taken"}).error().code, Errc::kExists);
  EXPECT_EQ(update("none", {.name = "x"}).error().code, Errc::kNotFound);
  EXPECT_EQ(get("taken"), "others");
}

TEST_F(ObjectTest, SealedIsForEver) {
  make({.bucket = "B"});
  ASSERT_TRUE(put({.name = "a"}, "bytes"));
  const auto sealed = wait<ObjectBucketStatus>([&](auto done) { return bucket_->seal(std::move(done)); });
  ASSERT_TRUE(sealed) << sealed.error().detail;
  EXPECT_TRUE(sealed->sealed);
  EXPECT_EQ(put({.name = "b"}, "x").error().api_code, 10109);
  EXPECT_FALSE(remove("a"));
  EXPECT_EQ(get("a"), "bytes");
}

TEST_F(ObjectTest, WatchTellsWhatIsThereAndWhatComes) {
  make({.bucket = "B"});
  ASSERT_TRUE(put({.name = "a"}, "1"));
  Lines log;
  auto watch = bucket_->watch(false, {.on_object = [&](const ObjectInfo& one) { log.push_back((one.deleted ? "-" : "+") + one.meta.name); },
                                      .on_current = [&] { log.emplace_back("--"); },
                                      .on_trouble = [&](const Error&) { log.emplace_back("trouble"); }});
  ASSERT_TRUE(w_.sim.run_until([&] { return log.size() == 2; }, 60s));
  ASSERT_TRUE(put({.name = "b"}, "2"));
  ASSERT_TRUE(remove("a"));
  ASSERT_TRUE(w_.sim.run_until([&] { return log.size() == 4; }, 60s));
  EXPECT_EQ(log, (Lines{"+a", "--", "+b", "-a"}));
}

TEST_F(ObjectTest, TwoWritersOfOneNameLeaveOneObjectWhole) {
  make({.bucket = "B"});
  int done = 0;
  std::vector<std::unique_ptr<ObjectWriter>> writers;
  for (char c : {'x', 'y', 'z'}) {
    writers.push_back(bucket_->put({.name = "a"}, {.on_ready = {}, .on_done = [&](Result<ObjectInfo> r) {
                                                      EXPECT_TRUE(r) << r.error().detail;
                                                      ++done;
                                                    }}));
    writers.back()->write(std::string(300'000, c));
  }
  for (auto& writer : writers) writer->finish();
  ASSERT_TRUE(w_.sim.run_until([&] { return done == 3; }, 60s));
  const auto body = get("a");
  ASSERT_TRUE(body);
  EXPECT_EQ(*body, std::string(300'000, body->front()));
  EXPECT_EQ(messages(), 4u) << "three chunks and one description: the losers' chunks are freed";
}

}  // namespace
}  // namespace sluice::test
