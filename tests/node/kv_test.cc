// Key-value buckets on a whole engine.
#include "client/kv.h"

#include "client_world.h"

namespace sluice::test {
namespace {

class KvTest : public ClientWorld {
 protected:
  using Lines = std::vector<std::string>;
  void disconnect() override {
    bucket_.reset();
    ClientWorld::disconnect();
  }
  KvBucket& make(const KvBucketSpec& spec) {
    const auto made = wait<KvStatus>([&](auto done) { return KvBucket::make(w_.sim.env(), *client_, spec, std::move(done)); });
    EXPECT_TRUE(made) << made.error().detail;
    return open(spec.bucket);
  }
  KvBucket& open(const std::string& name) {
    auto opened = wait<std::unique_ptr<KvBucket>>(
        [&](auto done) { return KvBucket::open(w_.sim.env(), *client_, name, "$JS.API", std::move(done)); });
    EXPECT_TRUE(opened) << opened.error().detail;
    bucket_ = *std::move(opened);
    return *bucket_;
  }
  Result<StreamSeq> put(const std::string& key, const std::string& value) {
    return wait<StreamSeq>([&](auto done) { return bucket_->put(key, value, std::move(done)); });
  }
  Result<StreamSeq> create(const std::string& key, const std::string& value, std::chrono::nanoseconds ttl = 0ns) {
    return wait<StreamSeq>([&](auto done) { return bucket_->create(key, value, ttl, std::move(done)); });
  }
  Result<StreamSeq> remove(const std::string& key) {
    return wait<StreamSeq>([&](auto done) { return bucket_->remove(key, std::nullopt, std::move(done)); });
  }
  Result<KvEntry> get(const std::string& key) {
    return wait<KvEntry>([&](auto done) { return bucket_->get(key, std::move(done)); });
  }
  std::vector<std::string> keys(const std::string& filter = "") {
    auto got = wait<std::vector<std::string>>([&](auto done) { return bucket_->keys(filter, 100, std::move(done)); });
    EXPECT_TRUE(got) << got.error().detail;
    return got ? *got : std::vector<std::string>();
  }
  /// "PUT key=value" of each revision kept.
  std::vector<std::string> history(const std::string& key) {
    auto got = wait<std::vector<KvEntry>>([&](auto done) { return bucket_->history(key, std::move(done)); });
    EXPECT_TRUE(got);
    std::vector<std::string> out;
    if (got)
      for (const KvEntry& entry : *got) out.push_back(text(entry));
    return out;
  }
  Lines consumers(const std::string& stream) {
    auto page = wait<std::string>([&](auto done) { return client_->api("CONSUMER.NAMES", stream, "", std::move(done)); });
    EXPECT_TRUE(page);
    return page ? Json::parse(*page).value("consumers", Lines()) : Lines();
  }
  void delete_consumers(const std::string& stream) {
    const Lines there = consumers(stream);
    EXPECT_FALSE(there.empty());
    for (const std::string& name : there)
      EXPECT_TRUE(wait<std::string>([&](auto done) { return client_->api("CONSUMER.DELETE", stream + "." + name, "", std::move(done)); }));
  }
  static std::string text(const KvEntry& entry) {
    return fmt::format("{} {}={}", to_string(entry.operation), entry.key, entry.value);
  }
  KvWatchEvents into(std::vector<std::string>& log) {
    return {.on_entry = [&log](const KvEntry& entry) { log.push_back(text(entry)); },
            .on_current = [&log] { log.emplace_back("--"); },
            .on_trouble = [&log](const Error& why) { log.push_back("trouble " + std::to_string(why.api_code)); }};
  }

  std::unique_ptr<KvBucket> bucket_;
};

TEST_F(KvTest, KeepsValuesAndTheirHistory) {
  make({.bucket = "B", .description = "d", .history = 3});
  EXPECT_EQ(bucket_->status().spec.history, 3);
  EXPECT_EQ(get("a").error().code, Errc::kNotFound);
  EXPECT_EQ(put("a", "1")->value(), 1u);
  put("a", "2");
  put("b.c", "x");
  put("a", "3");
  put("a", "4");
  const auto held = get("a");
  ASSERT_TRUE(held);
  EXPECT_EQ(held->value, "4");
  EXPECT_EQ(held->revision.value(), 5u);
  EXPECT_EQ(history("a"), (Lines{"PUT a=2", "PUT a=3", "PUT a=4"}));
  EXPECT_EQ(keys(), (Lines{"a", "b.c"}));
  EXPECT_EQ(keys("b.*"), (Lines{"b.c"}));
  auto old = wait<KvEntry>([&](auto done) { return bucket_->get_revision("a", StreamSeq(4), std::move(done)); });
  ASSERT_TRUE(old);
  EXPECT_EQ(old->value, "3");
  auto other = wait<KvEntry>([&](auto done) { return bucket_->get_revision("a", StreamSeq(3), std::move(done)); });
  EXPECT_EQ(other.error().code, Errc::kNotFound) << "revision 3 is another key's";
}

TEST_F(KvTest, CreateAndUpdateCompareAndSet) {
  make({.bucket = "B"});
  ASSERT_TRUE(create("a", "1"));
  EXPECT_EQ(create("a", "2").error().code, Errc::kExists);
  const auto update = [&](const std::string& value, uint64_t revision) {
    return wait<StreamSeq>([&](auto done) { return bucket_->update("a", value, StreamSeq(revision), std::move(done)); });
  };
  EXPECT_EQ(update("2", 7).error().api_code, 10071);
  EXPECT_EQ(update("2", 1)->value(), 2u);
  ASSERT_TRUE(remove("a"));
  EXPECT_EQ(get("a").error().code, Errc::kNotFound);
  EXPECT_TRUE(keys().empty());
  ASSERT_TRUE(create("a", "again")) << "over a marker";
  EXPECT_EQ(get("a")->value, "again");
  auto wrong = wait<StreamSeq>([&](auto done) { return bucket_->remove("a", StreamSeq(1), std::move(done)); });
  EXPECT_EQ(wrong.error().api_code, 10071);
  EXPECT_EQ(get("a")->value, "again");
}

TEST_F(KvTest, PurgeDropsTheHistoryAndLeavesAMarker) {
  make({.bucket = "B", .history = 5});
  for (const char* value : {"1", "2", "3"}) put("a", value);
  put("b", "stays");
  ASSERT_TRUE(wait<StreamSeq>([&](auto done) { return bucket_->purge("a", std::nullopt, 0ns, std::move(done)); }));
  EXPECT_EQ(history("a"), (Lines{"PURGE a="}));
  EXPECT_EQ(keys(), (Lines{"b"}));
}

TEST_F(KvTest, WatchTellsWhatStandsThenWhatChanges) {
  make({.bucket = "B", .history = 5});
  put("a", "1");
  put("a", "2");
  put("b", "1");
  Lines latest, everything, fresh, only_b;
  auto watches = std::vector<std::unique_ptr<KvWatch>>();
  watches.push_back(bucket_->watch({}, into(latest)));
  watches.push_back(bucket_->watch({.history = true}, into(everything)));
  watches.push_back(bucket_->watch({.updates_only = true}, into(fresh)));
  watches.push_back(bucket_->watch({.filters = {"b", "c.*"}}, into(only_b)));
  w_.sim.advance(1s);
  EXPECT_EQ(latest, (Lines{"PUT a=2", "PUT b=1", "--"}));
  EXPECT_EQ(everything, (Lines{"PUT a=1", "PUT a=2", "PUT b=1", "--"}));
  EXPECT_EQ(fresh, (Lines{"--"}));
  remove("a");
  put("c.d", "new");
  w_.sim.advance(1s);
  EXPECT_EQ(latest, (Lines{"PUT a=2", "PUT b=1", "--", "DEL a=", "PUT c.d=new"}));
  EXPECT_EQ(fresh, (Lines{"--", "DEL a=", "PUT c.d=new"}));
  EXPECT_EQ(only_b, (Lines{"PUT b=1", "--", "PUT c.d=new"}));
  EXPECT_EQ(consumers("KV_B").size(), 4u);
  watches.clear();
  w_.sim.advance(1s);
  EXPECT_EQ(consumers("KV_B").size(), 0u) << "a watch takes its consumer away";
}

TEST_F(KvTest, WatchGoesOnWithoutAGapWhenItsConsumerIsTakenAway) {
  make({.bucket = "B", .history = 5});
  put("a", "1");
  Lines log;
  auto watch = bucket_->watch({}, into(log));
  w_.sim.advance(1s);
  for (int round = 0; round < 3; ++round) {
    delete_consumers("KV_B");
    put("a", fmt::format("r{}", round));
    w_.sim.advance(30s);
  }
  EXPECT_EQ(log, (Lines{"PUT a=1", "--", "PUT a=r0", "PUT a=r1", "PUT a=r2"}));
  ASSERT_TRUE(wait<std::string>([&](auto done) { return client_->api("STREAM.DELETE", "KV_B", "", std::move(done)); }));
  w_.sim.advance(60s);
  EXPECT_EQ(log.back(), "trouble 10059");
}

TEST_F(KvTest, KeysEndByTheirTtlAndLeaveAMarker) {
  make({.bucket = "B", .marker_ttl = 10s});
  EXPECT_TRUE(bucket_->allows_key_ttl());
  ASSERT_TRUE(create("short", "x", 2s));
  ASSERT_TRUE(create("long", "x"));
  Lines log;
  auto watch = bucket_->watch({}, into(log));
  w_.sim.advance(1s);
  EXPECT_EQ(keys(), (Lines{"long", "short"}));
  w_.sim.advance(3s);
  EXPECT_EQ(keys(), (Lines{"long"}));
  EXPECT_EQ(log, (Lines{"PUT short=x", "PUT long=x", "--", "PURGE short="}));
  ASSERT_TRUE(create("short", "y", 2s)) << "over the server's marker";
  make({.bucket = "PLAIN"});
  const auto refused = create("a", "x", 2s);
  EXPECT_EQ(refused.error().code, Errc::kInvalidArgument);
}

TEST_F(KvTest, AMirrorIsReadHereAndWrittenAtItsOrigin) {
  make({.bucket = "ORIGIN"});
  put("a", "1");
  make({.bucket = "COPY", .mirror = "ORIGIN"});
  w_.sim.advance(5s);
  EXPECT_EQ(get("a")->value, "1");
  ASSERT_TRUE(put("b", "2"));
  w_.sim.advance(5s);
  EXPECT_EQ(keys(), (Lines{"a", "b"}));
  EXPECT_EQ(bucket_->status().spec.mirror, "ORIGIN");
  open("ORIGIN");
  EXPECT_EQ(keys(), (Lines{"a", "b"}));
  make({.bucket = "SUM", .sources = {"ORIGIN"}});
  w_.sim.advance(5s);
  EXPECT_EQ(keys(), (Lines{"a", "b"})) << "under this bucket's own subjects";
  ASSERT_TRUE(put("own", "3"));
  EXPECT_EQ(keys(), (Lines{"a", "b", "own"}));
}

TEST_F(KvTest, RefusesWhatIsNoBucketAndNoKey) {
  for (const std::string& name : Lines{"", "a.b", "a b", "ü"}) {
    const auto made =
        wait<KvStatus>([&](auto done) { return KvBucket::make(w_.sim.env(), *client_, {.bucket = name}, std::move(done)); });
    EXPECT_EQ(made.error().code, Errc::kInvalidArgument) << name;
  }
  make({.bucket = "B", .max_value_bytes = 16});
  for (const std::string& key : Lines{"", ".a", "a.", "a..b", "a b", "a*", ">"}) {
    EXPECT_EQ(put(key, "x").error().code, Errc::kInvalidArgument) << key;
    EXPECT_EQ(get(key).error().code, Errc::kInvalidArgument) << key;
  }
  EXPECT_EQ(put("a", std::string(100, 'x')).error().api_code, 10054) << "max_value_bytes is applied";
  const auto missing = wait<std::unique_ptr<KvBucket>>(
      [&](auto done) { return KvBucket::open(w_.sim.env(), *client_, "NOPE", "$JS.API", std::move(done)); });
  EXPECT_EQ(missing.error().api_code, 10059);
  const auto changed =
      wait<KvStatus>([&](auto done) { return KvBucket::make(w_.sim.env(), *client_, {.bucket = "B", .history = 9}, std::move(done)); });
  EXPECT_EQ(changed.error().code, Errc::kExists);
  const auto many = wait<std::vector<std::string>>([&](auto done) {
    for (const char* key : {"a", "b", "c"}) put(key, "1");
    return bucket_->keys("", 2, std::move(done));
  });
  EXPECT_EQ(many.error().code, Errc::kFull);
}

TEST_F(KvTest, OptionsComeBackAsTheyWereGiven) {
  KvBucketSpec spec{.bucket = "ALL",
                    .description = "all of it",
                    .history = 64,
                    .ttl = 90s,
                    .max_value_bytes = 1000,
                    .max_bytes = 100'000,
                    .memory = true,
                    .compress = true,
                    .marker_ttl = 5s,
                    .republish = KvRepublish{"", "copies.>", true},
                    .metadata = {{"owner", "ops"}}};
  make(spec);
  const KvBucketSpec& got = bucket_->status().spec;
  EXPECT_EQ(got.description, spec.description);
  EXPECT_EQ(got.history, 64);
  EXPECT_EQ(got.ttl, spec.ttl);
  EXPECT_EQ(got.max_value_bytes, 1000);
  EXPECT_EQ(got.max_bytes, 100'000);
  EXPECT_TRUE(got.memory);
  EXPECT_TRUE(got.compress);
  EXPECT_EQ(got.marker_ttl, spec.marker_ttl);
  ASSERT_TRUE(got.republish);
  EXPECT_EQ(got.republish->destination, "copies.>");
  EXPECT_TRUE(got.republish->headers_only);
  EXPECT_EQ(got.metadata, spec.metadata);
  const auto again = encode_kv_bucket(got);
  ASSERT_TRUE(again);
  EXPECT_EQ(Json::parse(*again)["duplicate_window"], 90'000'000'000);
  for (const KvBucketSpec& wrong :
       {KvBucketSpec{.bucket = "B", .history = 0}, KvBucketSpec{.bucket = "B", .history = 65},
        KvBucketSpec{.bucket = "B", .replicas = 6}, KvBucketSpec{.bucket = "B", .marker_ttl = 1ms},
        KvBucketSpec{.bucket = "B", .mirror = "A", .sources = {"C"}}, KvBucketSpec{.bucket = "B", .mirror = "no good"}})
    EXPECT_FALSE(encode_kv_bucket(wrong));
  EXPECT_EQ(Json::parse(*encode_kv_bucket({.bucket = "B", .mirror = "hub/A"}))["mirror"]["external"]["api"], "$JS.hub.API");
}

}  // namespace
}  // namespace sluice::test
