// Random histories of one stream against a simple model: limits, per-subject limits, discard new, purge,
// delete, TTL, age, rollup, dedup, expectations, atomic batches, updates of limits, restarts.
// SLUICE_STREAM_HISTORIES=n runs n of them, SLUICE_STREAM_SEED=s begins at that seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "../client/fake_bus.h"
#include "held_store.h"
#include "purge_now.h"
#include "sim/sim_env.h"
#include "stream/streams.h"
#include "subject/subject.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
constexpr WallNanos kNever = INT64_MAX;
/// How late something may go by time.
constexpr std::chrono::nanoseconds kLate = 1s;

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// What a stream of limits retention should hold, said as plainly as possible.
class Model {
 public:
  struct Held {
    uint64_t seq;
    std::string subject;
    WallNanos stored;
    WallNanos due;  ///< by its TTL
    bool never;     ///< TTL "never": not even by age
  };
  struct Limits {
    size_t max_msgs = 0;  ///< 0 = none
    size_t per_subject = 0;
    bool discard_new = false;
    bool new_per_subject = false;
    std::chrono::nanoseconds max_age{0};
  };
  struct Put {
    std::string subject;
    std::string msg_id;
    std::optional<int> ttl;  ///< seconds; 0 = never
    char rollup = ' ';       ///< s, a
    std::optional<uint64_t> expected_last;
    std::optional<uint64_t> expected_on_subject;
  };

  Limits limits;
  uint64_t last = 0;
  std::vector<Held> held;
  std::map<std::string, std::pair<uint64_t, WallNanos>> ids;

  /// @return the sequence, or the error code negated; sets `duplicate`.
  int64_t put(const Put& p, WallNanos now, bool& duplicate) {
    duplicate = false;
    if (!p.msg_id.empty()) {
      const auto known = ids.find(p.msg_id);
      if (known != ids.end() && now - known->second.second < kWindow.count()) {
        duplicate = true;
        return static_cast<int64_t>(known->second.first);
      }
    }
    if (p.expected_last && *p.expected_last != last) return -10071;
    if (p.expected_on_subject && *p.expected_on_subject != last_on(p.subject)) return -10071;
    if (!room_for(p, held)) return -10077;
    append(p, now);
    enforce();
    return static_cast<int64_t>(last);
  }

  /// All or none. @return the last sequence, or the error code negated.
  int64_t put_all(const std::vector<Put>& batch, WallNanos now) {
    Model trial = *this;
    for (size_t i = 0; i < batch.size(); ++i) {
      const Put& p = batch[i];
      const bool written = std::any_of(batch.begin(), batch.begin() + static_cast<long>(i),
                                       [&](const Put& q) { return q.subject == p.subject; });
      const auto known = ids.find(p.msg_id);
      const bool in_batch = std::any_of(batch.begin(), batch.begin() + static_cast<long>(i), [&](const Put& q) {
        return !p.msg_id.empty() && q.msg_id == p.msg_id;
      });
      if (in_batch || (!p.msg_id.empty() && known != ids.end() && now - known->second.second < kWindow.count()))
        return -10201;
      if (p.expected_last && i > 0) return -10164;
      if (p.expected_last && *p.expected_last != last) return -10071;
      if (p.expected_on_subject && written) return -10164;
      if (p.expected_on_subject && *p.expected_on_subject != last_on(p.subject)) return -10071;
      if (p.rollup == 's' && written) return -10111;
      if (p.rollup == 'a' && i > 0) return -10111;
      if (!trial.room_for(p, trial.held)) return -10077;
      trial.append(p, now);
      if (trial.limits.discard_new) trial.enforce();
    }
    for (const Put& p : batch) append(p, now, false);
    for (size_t i = 0; i < batch.size(); ++i)
      roll_up(batch[i], last - batch.size() + 1 + i);
    enforce();
    return static_cast<int64_t>(last);
  }

  void enforce() {
    if (limits.per_subject > 0) {
      std::map<std::string, size_t> count;
      for (auto at = held.rbegin(); at != held.rend(); ++at)
        if (++count[at->subject] > limits.per_subject) at->seq = 0;
      std::erase_if(held, [](const Held& h) { return h.seq == 0; });
    }
    if (!limits.discard_new && limits.max_msgs > 0 && held.size() > limits.max_msgs)
      held.erase(held.begin(), held.end() - static_cast<long>(limits.max_msgs));
  }
  bool remove(uint64_t seq) {
    return std::erase_if(held, [seq](const Held& h) { return h.seq == seq; }) > 0;
  }
  uint64_t purge(const std::string& filter, uint64_t below, uint64_t keep) {
    auto matches = [&](const Held& h) { return filter.empty() || subject_matches(filter, h.subject); };
    size_t left = static_cast<size_t>(std::count_if(held.begin(), held.end(), matches));
    return std::erase_if(held, [&](const Held& h) {
      if (!matches(h)) return false;
      const bool goes = below > 0 ? h.seq < below : left > keep;
      --left;
      return goes;
    });
  }
  uint64_t last_on(const std::string& subject) const {
    uint64_t seq = 0;
    for (const Held& h : held)
      if (h.subject == subject) seq = h.seq;
    return seq;
  }
  WallNanos due_of(const Held& h) const {
    if (h.never) return kNever;
    return limits.max_age.count() > 0 ? std::min(h.due, h.stored + limits.max_age.count()) : h.due;
  }
  static constexpr std::chrono::nanoseconds kWindow = 30s;

 private:
  bool room_for(const Put& p, const std::vector<Held>& now_held) const {
    if (!limits.discard_new || p.rollup == 'a') return true;
    size_t on_subject = 0;
    for (const Held& h : now_held) on_subject += h.subject == p.subject ? 1 : 0;
    size_t freed = 0;
    if (p.rollup == 's')
      freed = on_subject;
    else if (limits.per_subject > 0 && on_subject >= limits.per_subject) {
      if (limits.new_per_subject) return false;
      freed = on_subject + 1 - limits.per_subject;
    }
    return limits.max_msgs == 0 || now_held.size() - freed + 1 <= limits.max_msgs;
  }
  void append(const Put& p, WallNanos now, bool rolls = true) {
    ++last;
    const bool never = p.ttl == 0;
    held.push_back({last, p.subject, now, p.ttl && !never ? now + *p.ttl * 1'000'000'000LL : kNever, never});
    if (!p.msg_id.empty()) ids[p.msg_id] = {last, now};
    if (rolls) roll_up(p, last);
  }
  void roll_up(const Put& p, uint64_t seq) {
    if (p.rollup == 'a') std::erase_if(held, [&](const Held& h) { return h.seq < seq; });
    if (p.rollup == 's')
      std::erase_if(held, [&](const Held& h) { return h.seq < seq && h.subject == p.subject; });
  }
};

class History {
 public:
  explicit History(uint64_t seed) : random_(seed), sim_(seed) {
    options_.api_level = 5;
    inbox_ = bus_.subscribe("_INBOX.>", "", [this](const Message& m, const Origin&) { answer_ = m.payload; });
    model_.limits = any_limits();
    start();
    EXPECT_TRUE(streams_->create(*parse_stream_config(config())));
    settle();
  }
  ~History() {
    streams_.reset();
    sim_.run_until_idle();
  }

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) step();
  }

 private:
  uint64_t below(uint64_t n) { return random_() % n; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  std::string any_subject() { return fmt::format("s.{}", below(4)); }
  WallNanos now() { return sim_.env().clock.wall(); }
  Stream& stream() { return *streams_->find("S"); }

  Model::Limits any_limits() {
    Model::Limits l;
    if (one_in(2)) l.max_msgs = 3 + below(12);
    if (one_in(2)) l.per_subject = 1 + below(4);
    l.discard_new = one_in(2);
    l.new_per_subject = l.discard_new && l.per_subject > 0 && one_in(2);
    if (one_in(3)) l.max_age = std::chrono::seconds(35 + below(60));
    return l;
  }
  std::string config() {
    const Model::Limits& l = model_.limits;
    std::string out = fmt::format(
        R"({{"name":"S","subjects":["s.*"],"allow_msg_ttl":true,"allow_rollup_hdrs":true,"allow_atomic":true,)"
        R"("duplicate_window":{},"discard":"{}","max_age":{})",
        Model::kWindow.count(), l.discard_new ? "new" : "old", l.max_age.count());
    if (l.max_msgs > 0) out += fmt::format(R"(,"max_msgs":{})", l.max_msgs);
    if (l.per_subject > 0) out += fmt::format(R"(,"max_msgs_per_subject":{})", l.per_subject);
    if (l.new_per_subject) out += R"(,"discard_new_per_subject":true)";
    return out + "}";
  }
  void start() { streams_ = Streams::make(sim_.env(), bus_, &store_, options_); }
  void settle() {
    store_.release();
    sim_.run_until_idle();
    store_.release();
  }

  Model::Put any_put() {
    Model::Put p{.subject = any_subject(), .msg_id = {}, .ttl = {}, .expected_last = {}, .expected_on_subject = {}};
    if (one_in(4)) p.msg_id = fmt::format("id{}", below(12));
    if (one_in(4)) p.ttl = static_cast<int>(below(20));
    if (one_in(10)) p.rollup = one_in(4) ? 'a' : 's';
    if (one_in(10)) p.expected_last = one_in(3) ? below(30) : model_.last;
    if (one_in(6)) p.expected_on_subject = one_in(3) ? below(30) : model_.last_on(p.subject);
    return p;
  }
  static std::string headers_of(const Model::Put& p, const std::string& more = {}) {
    std::string out = "NATS/1.0\r\n" + more;
    if (!p.msg_id.empty()) out += "Nats-Msg-Id: " + p.msg_id + "\r\n";
    if (p.ttl) out += "Nats-TTL: " + (*p.ttl == 0 ? "never" : std::to_string(*p.ttl)) + "\r\n";
    if (p.rollup != ' ') out += p.rollup == 'a' ? "Nats-Rollup: all\r\n" : "Nats-Rollup: sub\r\n";
    if (p.expected_last) out += fmt::format("Nats-Expected-Last-Sequence: {}\r\n", *p.expected_last);
    if (p.expected_on_subject)
      out += fmt::format("Nats-Expected-Last-Subject-Sequence: {}\r\n", *p.expected_on_subject);
    return out + "\r\n";
  }
  std::string ask(const Model::Put& p, const std::string& headers) {
    answer_ = "none";
    bus_.publish({.subject = p.subject, .reply = "_INBOX.a", .headers = headers, .payload = "x"});
    settle();
    return answer_;
  }

  void step() {
    switch (below(20)) {
      default: return publish_one();
      case 0: return publish_batch();
      case 1: return publish_batch();
      case 2: return remove_one();
      case 3: return purge();
      case 4: return pass_time();
      case 5: return pass_time();
      case 6: return one_in(3) ? update() : restart();
    }
  }
  void publish_one() {
    const Model::Put p = any_put();
    const std::string headers = headers_of(p);
    bool duplicate = false;
    const int64_t expected = model_.put(p, now(), duplicate);
    compare(ask(p, headers), expected, duplicate ? R"(,"duplicate": true})" : "}", "publish " + p.subject + " " + headers);
  }
  void publish_batch() {
    std::vector<Model::Put> batch(1 + below(5));
    for (Model::Put& p : batch) p = any_put();
    std::string answer;
    for (size_t i = 0; i < batch.size(); ++i) {
      const std::string more = fmt::format("Nats-Batch-Id: b\r\nNats-Batch-Sequence: {}\r\n{}", i + 1,
                                           i + 1 == batch.size() ? "Nats-Batch-Commit: 1\r\n" : "");
      answer = ask(batch[i], headers_of(batch[i], more));
    }
    compare(answer, model_.put_all(batch, now()), fmt::format(R"(,"batch":"b","count":{}}})", batch.size()), "batch");
  }
  void remove_one() {
    const uint64_t seq = 1 + below(model_.last + 2);
    const bool removed = stream().delete_message(StreamSeq(seq), one_in(2)).has_value();
    settle();
    EXPECT_EQ(removed, model_.remove(seq)) << "delete " << seq;
    compare_state("delete");
  }
  void purge() {
    const std::string filter = one_in(3) ? "" : one_in(2) ? any_subject() : "s.*";
    const uint64_t seq = one_in(2) ? 1 + below(model_.last + 1) : 0;
    const uint64_t keep = seq == 0 && one_in(2) ? below(4) : 0;
    const auto purged = purge_now(stream(), {.filter = filter, .below = StreamSeq(seq), .keep = keep});
    settle();
    ASSERT_TRUE(purged);
    EXPECT_EQ(*purged, model_.purge(filter, seq, keep)) << "purge " << filter << " below " << seq << " keep " << keep;
    compare_state("purge");
  }
  void pass_time() {
    sim_.advance(std::chrono::milliseconds(below(one_in(4) ? 60'000 : 8'000)));
    settle();
    drop_expired();
    compare_state("time");
  }
  /// What is due may go a little late: then the model follows the stream.
  void drop_expired() {
    std::erase_if(model_.held, [this](const Model::Held& h) {
      const WallNanos due = model_.due_of(h);
      if (due > now()) return false;
      return due <= now() - kLate.count() || !stream().store().load(StreamSeq(h.seq));
    });
  }
  void update() {
    model_.limits = any_limits();
    EXPECT_TRUE(streams_->update(*parse_stream_config(config())));
    model_.enforce();
    sim_.advance(2s);
    settle();
    drop_expired();
    compare_state("update");
  }
  void restart() {
    settle();
    streams_.reset();
    sim_.run_until_idle();
    store_.forget_listeners();
    start();
    // Ids of messages that are gone may be forgotten by this store.
    std::erase_if(model_.ids, [this](const auto& id) { return !stream().store().load(StreamSeq(id.second.first)); });
    settle();
    compare_state("restart");
  }

  void compare(const std::string& answer, int64_t expected, const std::string& end, const std::string& what) {
    if (expected > 0)
      EXPECT_EQ(answer, fmt::format(R"({{"stream":"S","seq":{}{})", expected, end)) << what;
    else
      EXPECT_NE(answer.find(fmt::format("\"err_code\":{}", -expected)), std::string::npos) << what << "\n" << answer;
    compare_state(what);
  }
  void compare_state(const std::string& what) {
    drop_expired();
    std::vector<std::string> is, should;
    for (StreamSeq from(1);;) {
      const auto m = stream().store().load_next(from, ">");
      if (!m) break;
      is.push_back(fmt::format("{} {}", m->seq.value(), m->subject));
      from = m->seq.next();
    }
    for (const Model::Held& h : model_.held) should.push_back(fmt::format("{} {}", h.seq, h.subject));
    ASSERT_EQ(is, should) << "after " << what << "\n" << config();
    ASSERT_EQ(stream().store().state().last_seq.value(), model_.last) << "after " << what;
    ASSERT_EQ(stream().visible_last().value(), model_.last) << "after " << what;
  }

  std::mt19937_64 random_;
  sim::SimEnv sim_;
  FakeBus bus_;
  HeldStore store_;
  StreamsOptions options_;
  std::unique_ptr<BusSubscription> inbox_;
  std::string answer_;
  std::unique_ptr<Streams> streams_;
  Model model_;
};

TEST(StreamModel, RandomHistories) {
  const uint64_t histories = number_from("SLUICE_STREAM_HISTORIES", 2000);
  const uint64_t first = number_from("SLUICE_STREAM_SEED", std::random_device{}());
  for (uint64_t seed = first; seed < first + histories; ++seed) {
    SCOPED_TRACE(testing::Message() << "SLUICE_STREAM_SEED=" << seed);
    History(seed).run(30);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace sluice
