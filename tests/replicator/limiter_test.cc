// Sampling against the recording of Choria's Stream Replicator, and what it promises beyond.
#include "replicator/limiter.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "copy_world.h"
#include "test_paths.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

Json recorded(const std::string& name) {
  std::ifstream in(SLUICE_SOURCE "/tests/fixtures/stream-replicator/" + name);
  std::stringstream text;
  text << in.rdbuf();
  return Json::parse(text.str());
}

/// inspect-config.yaml.
StreamCopyOptions recorded_options() {
  StreamCopyOptions o;
  o.name = "I1";
  o.stream = "SOURCE";
  o.inspect = {.field = "sender",
               .force_field = "force_copy",
               .duration = 30s,
               .warn = 12s,
               .size_trigger = 100,
               .advisory = {.subject = "adv.%s.%v", .reliable = true}};
  return o;
}

struct LimiterTest : testing::Test {
  sim::SimEnv sim{1};
  FakeSite site{sim.env()};
  StreamCopyOptions options = recorded_options();
  std::unique_ptr<Limiter> limiter;

  void start() {
    site.listening = "ADV";
    limiter = *Limiter::make(sim.env(), options, "PARITY", "/state", site);
    limiter->start();
  }
  Limiter::Verdict see(const std::string& body, const std::string& subject = "reg.x", const std::string& headers = "") {
    auto verdict = limiter->judge(subject, headers, body);
    if (verdict.copy) limiter->copied(verdict.value);
    sim.advance(1ms);
    return verdict;
  }
  std::vector<Json> advisories() {
    std::vector<Json> out;
    for (auto& [seq, m] : site.streams["ADV"].messages) {
      out.push_back(Json::parse(m.payload));
      EXPECT_EQ(find_header(m.headers, "Nats-Msg-Id"), out.back()["event_id"].get<std::string>());
      EXPECT_EQ(m.subject, "adv." + out.back()["event"].get<std::string>() + "." + out.back()["value"].get<std::string>());
    }
    return out;
  }
  bool run_until_told(size_t count) {
    return sim.run_until([&] { return site.streams["ADV"].messages.size() >= count; }, 200s);
  }
};

TEST_F(LimiterTest, DecidesAsRecorded) {
  start();
  std::vector<std::string> copied, expected;
  for (const Json& m : recorded("inspect-source-messages.json")) {
    const auto body = m["data"].get<std::string>();
    if (see(body, m["subject"]).copy) copied.push_back(body);
  }
  for (const Json& m : recorded("inspect-target-messages.json")) expected.push_back(m["data"]);
  expected.resize(10);
  EXPECT_EQ(copied, expected);
  EXPECT_EQ(limiter->figures().without_value, 3u);
  EXPECT_EQ(limiter->figures().forced, 2u);
}

TEST_F(LimiterTest, GossipsAsRecorded) {
  start();
  for (const Json& m : recorded("inspect-source-messages.json")) see(m["data"], m["subject"]);
  const Json expected = recorded("inspect-gossip.json");
  std::vector<Json> sent;
  for (const auto& m : site.link().sent)
    if (m.subject == "choria.stream-replicator.sync.SOURCE.I1") sent.push_back(Json::parse(m.payload));
  ASSERT_EQ(sent.size(), expected.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    const Json& want = expected[i]["data"];
    EXPECT_EQ(sent[i]["value"], want["value"]) << i;
    EXPECT_EQ(sent[i]["size"], want["size"]) << i;
    const std::string never = "0001-01-01T00:00:00Z";
    EXPECT_EQ(sent[i]["copied"] == never, want["copied"] == never) << i;
    std::vector<std::string> keys, wanted_keys;
    for (const auto& [key, value] : sent[i].items()) keys.push_back(key);
    for (const auto& [key, value] : want.items()) wanted_keys.push_back(key);
    EXPECT_EQ(keys, wanted_keys);
  }
}

TEST_F(LimiterTest, TellsOfSilenceAsRecorded) {
  start();
  for (const Json& m : recorded("inspect-source-messages.json")) see(m["data"], m["subject"]);
  ASSERT_TRUE(run_until_told(8));  // new ×4, then timeouts of all four
  see(R"({"sender": "h1", "pad": ""})");
  see(R"({"sender": "h2", "pad": ""})");
  ASSERT_TRUE(run_until_told(12));
  std::map<std::string, std::vector<std::string>> told;
  for (const Json& a : advisories()) told[a["value"]].push_back(a["event"]);
  using Events = std::vector<std::string>;
  EXPECT_EQ(told["h1"], (Events{"new", "timeout", "recover"}));
  EXPECT_EQ(told["42"], (Events{"new", "timeout", "expire"}));
  EXPECT_EQ(told["h3"], (Events{"new", "timeout", "expire"}));
  const Json like = recorded("inspect-advisories.json")[4]["data"];
  for (const Json& a : advisories()) {
    std::vector<std::string> keys, wanted;
    for (const auto& [key, value] : a.items()) keys.push_back(key);
    for (const auto& [key, value] : like.items()) wanted.push_back(key);
    EXPECT_EQ(keys, wanted);
    EXPECT_EQ(a["protocol"], like["protocol"]);
    EXPECT_EQ(a["inspect_field"], "sender");
    EXPECT_EQ(a["event_id"].get<std::string>().size(), 27u);
    const auto age = a["age"].get<int64_t>();
    const std::map<std::string, std::pair<int64_t, int64_t>> ages = {
        {"new", {0, 0}}, {"timeout", {12, 22}}, {"recover", {12, 30}}, {"expire", {30, 40}}};
    EXPECT_GE(age, ages.at(a["event"]).first) << a.dump();
    EXPECT_LE(age, ages.at(a["event"]).second) << a.dump();
    const int64_t rounded = a["timestamp"].get<int64_t>() - a["seen"].get<int64_t>() - age;
    EXPECT_TRUE(rounded == 0 || rounded == 1) << a.dump();
  }
}

TEST_F(LimiterTest, CopiesAgainAfterNineTenthsOfThePeriodAtTheEarliest) {
  start();
  EXPECT_TRUE(see(R"({"sender":"a"})").copy);
  sim.advance(25s);
  EXPECT_FALSE(see(R"({"sender":"a"})").copy);
  sim.advance(5s);
  EXPECT_TRUE(see(R"({"sender":"a"})").copy);
}

TEST_F(LimiterTest, ByHeaderAndByTokenOfTheSubject) {
  options.inspect = {.header = "Sender", .duration = 1h};
  start();
  const auto with = [](const std::string& sender) { return "NATS/1.0\r\nSender: " + sender + "\r\n\r\n"; };
  EXPECT_TRUE(see("", "s", with("n1")).copy);
  EXPECT_FALSE(see("", "s", with("n1")).copy);
  EXPECT_TRUE(see("", "s", with("n2")).copy);
  EXPECT_TRUE(see("", "s").copy) << "no value: always";
  EXPECT_TRUE(see("", "s").copy);

  options.inspect = {.subject_token = 2, .duration = 1h};
  start();
  EXPECT_TRUE(see("", "a.n1.x").copy);
  EXPECT_FALSE(see("", "a.n1.y").copy);
  EXPECT_TRUE(see("", "a.n2").copy);
  EXPECT_TRUE(see("", "a").copy);

  options.inspect = {.subject_token = -1, .duration = 1h};
  start();
  EXPECT_TRUE(see("", "a.n1").copy);
  EXPECT_TRUE(see("", "a.n2").copy);
  EXPECT_FALSE(see("", "a.n1").copy);
}

TEST_F(LimiterTest, ReadsPathsIntoTheBodyAndRefusesWhatItDoesNotKnow) {
  options.inspect = {.field = "meta.list.1.id\\.x", .duration = 1h};
  start();
  EXPECT_EQ(see(R"({"meta":{"list":[0,{"id.x":"v"}]}})").value, "v");
  EXPECT_EQ(see(R"({"meta":{"list":[0,{"id.x":12345678901}]}})").value, "12345678901");
  EXPECT_EQ(see(R"({"meta":{"list":[0]}})").value, "");
  for (const char* path : {"a.#", "a|b", "@this", "a.*", "a..b"}) {
    options.inspect.field = path;
    EXPECT_FALSE(Limiter::make(sim.env(), options, "P", "/state", site)) << path;
  }
}

TEST_F(LimiterTest, TheStateFileOutlivesTheProcess) {
  start();
  for (const Json& m : recorded("inspect-source-messages.json")) see(m["data"], m["subject"]);
  bool stopped = false;
  limiter->stop([&] { stopped = true; });
  ASSERT_TRUE(sim.run_until([&] { return stopped; }, 5s));
  auto file = sim.disk().open("/state/SOURCE_I1.json", OpenMode::kRead);
  ASSERT_TRUE(file);
  std::string text(4096, '\0');
  text.resize(*(*file)->read_at(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
  const Json state = Json::parse(text), want = recorded("inspect-state-file.json");
  ASSERT_EQ(state["Items"].size(), want["Items"].size());
  for (const auto& [value, item] : want["Items"].items()) EXPECT_EQ(state["Items"][value]["size"], item["size"]) << value;
  start();
  EXPECT_FALSE(see(R"({"sender": "h2", "pad": ""})").copy) << "known from the file";
}

TEST_F(LimiterTest, ReadsAStateFileAsRecorded) {
  Tracker tracker(100);
  ASSERT_TRUE(decode_tracker(recorded("inspect-state-file.json").dump(), tracker));
  EXPECT_EQ(tracker.size(), 4u);
  EXPECT_EQ(encode_tracker(tracker), recorded("inspect-state-file.json").dump());
  for (const char* bad : {"", "{}", "[]", R"({"Items":{"a":{}}})", R"({"Items":{"a":{"seen":"x"}}})"})
    EXPECT_FALSE(decode_tracker(bad, tracker)) << bad;
}

TEST_F(LimiterTest, HearsFromOthersAndIsNotConfusedByItsOwnVoice) {
  start();
  TrackedItem theirs{.seen = sim.clock().wall(), .copied = sim.clock().wall(), .size = 14};
  (void)site.link().publish({"choria.stream-replicator.sync.SOURCE.I1", {}, {}, encode_gossip("far", theirs)});
  sim.run_until_idle();
  EXPECT_FALSE(see(R"({"sender":"far"})").copy) << "copied by the other one";
  EXPECT_TRUE(see(R"({"sender":"own"})").copy);
  EXPECT_FALSE(see(R"({"sender":"own"})").copy) << "its echo said that it was never copied";
  (void)site.link().publish({"choria.stream-replicator.sync.SOURCE.I1", {}, {}, "no json"});
  sim.run_until_idle();
  EXPECT_EQ(limiter->figures().gossip_bad, 1u);
}

TEST_F(LimiterTest, TheTrackerIsBounded) {
  options.inspect = {.field = "sender", .duration = 1h, .max_tracked = 100};
  start();
  for (int i = 0; i < 250; ++i) see(R"({"sender":)" + std::to_string(i) + "}");
  EXPECT_EQ(limiter->tracker().size(), 100u);
  EXPECT_EQ(limiter->tracker().evicted(), 150u);
  EXPECT_FALSE(see(R"({"sender":249})").copy);
  EXPECT_TRUE(see(R"({"sender":1})").copy) << "forgotten";
}

TEST_F(LimiterTest, AdvisoriesAreTriedTenTimesThenGivenUpAndTheQueueIsBounded) {
  start();
  site.silent = true;
  for (int i = 0; i < 1200; ++i) limiter->judge("s", "", R"({"sender":)" + std::to_string(i) + "}");
  EXPECT_EQ(limiter->advisor()->dropped(), 200u);
  ASSERT_TRUE(sim.run_until([&] { return limiter->advisor()->failed() == 1; }, 200s));
  const uint64_t before = limiter->advisor()->dropped();
  limiter->rest();
  EXPECT_GE(limiter->advisor()->dropped(), before + 999);
}

/// Copied of CopyWorld::fill(count) with one message of each subject in an hour, and after an empty body.
uint64_t chosen_of(size_t count) {
  CopyWorld w(1);
  w.options.inspect = {.subject_token = 2, .duration = 1h};
  w.fill(count);
  w.start();
  EXPECT_TRUE(w.run_until_passed());
  return w.ledger().copied;
}

TEST(Sampling, ALostSessionNeitherLosesNorRepeatsAChoice) {
  const uint64_t chosen = chosen_of(300);
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    CopyWorld w(seed);
    w.options.inspect = {.subject_token = 2, .duration = 1h};
    w.source.faults = {.lose_delivery = 2, .fail_call = 5};
    w.target.faults = {.lose_ack = 2, .lose_publish = 2, .late_publish = 1, .fail_call = 5};
    w.fill(300);
    w.start();
    ASSERT_TRUE(w.run_until_passed()) << w.copy->figures().last_error;
    EXPECT_EQ(w.target.streams["TARGET"].messages.size(), chosen);
    EXPECT_EQ(w.ledger(), (Ledger{.read = 300, .copied = chosen, .sampled = 300 - chosen}));
  }
}

TEST(Sampling, AKillDoesNotCopyAgainWhatTheTrackerKnows) {
  CopyWorld w(3);
  w.options.inspect = {.subject_token = 2, .duration = 1h};
  w.fill(100);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  w.sim.advance(15s);  // the tracker's file is written
  w.kill();
  w.fill(50);
  w.start();
  ASSERT_TRUE(w.run_until_passed());
  const uint64_t chosen = chosen_of(150);
  EXPECT_EQ(w.target.streams["TARGET"].messages.size(), chosen);
  EXPECT_EQ(w.ledger(), (Ledger{.read = 150, .copied = chosen, .sampled = 150 - chosen}));
}

/// Source messages that were copied, by their sequences.
std::vector<uint64_t> copied_of(CopyWorld& w) {
  std::vector<uint64_t> out;
  for (auto& [seq, message] : w.target.streams["TARGET"].messages)
    out.push_back(find_provenance(message.headers, kCopyMark)->seq.value());
  return out;
}

TEST(Sampling, WhatTakesThePlaceOfAChoiceThatWentIsNotKeptBackByALaterOne) {
  CopyWorld w(1);
  w.options.inspect = {.subject_token = 2, .duration = 1h};
  for (const char* body : {"", "", "", "not empty any more"}) w.source.store("SOURCE", "s.a", "", body, w.sim.clock().wall());
  w.target.faults.lose_publish = 100;
  w.start();
  ASSERT_TRUE(w.sim.run_until([&] { return w.copy->figures().failures == 1; }, 60s));
  w.source.streams["SOURCE"].messages.erase(1);  // chosen, as is 4
  w.target.faults.lose_publish = 0;
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(copied_of(w), (std::vector<uint64_t>{2, 4}));
  EXPECT_EQ(w.ledger(), (Ledger{.read = 4, .copied = 2, .sampled = 1, .purged = 1}));
}

TEST(Sampling, AChoiceThatIsLeftOutForAnotherReasonGivesItsPlaceAway) {
  CopyWorld w(1);
  w.options.inspect = {.subject_token = 2, .duration = 1h};
  w.options.max_age = 4s;
  w.source.store("SOURCE", "s.a", "", "old", w.sim.clock().wall() - 2'000'000'000);
  w.source.store("SOURCE", "s.a", "", "younger", w.sim.clock().wall() + 60'000'000'000);
  w.target.faults.lose_publish = 100;
  w.start();
  ASSERT_TRUE(w.sim.run_until([&] { return w.copy->figures().failures == 1; }, 60s));
  w.target.faults.lose_publish = 0;
  ASSERT_TRUE(w.run_until_passed());
  EXPECT_EQ(copied_of(w), (std::vector<uint64_t>{2})) << "the value's only message";
  EXPECT_EQ(w.ledger(), (Ledger{.read = 2, .copied = 1, .expired = 1}));

  CopyWorld refused(2);
  refused.options.inspect = {.subject_token = 3, .duration = 1h};
  refused.options.dead_letter_subject = "dead.letters";
  refused.target.refused_subject = "s.bad.a";
  refused.source.store("SOURCE", "s.bad.a", "", "refused");
  refused.source.store("SOURCE", "s.good.a", "", "fits");
  refused.start();
  ASSERT_TRUE(refused.run_until_passed());
  EXPECT_EQ(copied_of(refused), (std::vector<uint64_t>{2}));
  EXPECT_EQ(refused.ledger(), (Ledger{.read = 2, .copied = 1, .dead_lettered = 1}));
}

}  // namespace
}  // namespace sluice
