// Random histories against a model that keeps everything in plain containers and counts by looking.
#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "consumer_world.h"

namespace sluice::test {
namespace {

constexpr int kHistories = 400;
constexpr int kSteps = 80;

struct Setup {
  std::vector<std::string> filters;
  Retention retention = Retention::kLimits;
  int64_t max_deliver = -1;
  int64_t max_ack_pending = 1000;
  std::chrono::nanoseconds ack_wait{0};
  DeliverPolicy policy = DeliverPolicy::kAll;
};

/// What a pull consumer with explicit acks should be. Knows time only as numbers.
class Model {
 public:
  Model(const Setup& setup, ConsumerWorld& world) : s_(setup), w_(world) {}

  struct Message {
    uint64_t first = 0;  ///< consumer seq
    uint64_t deliveries = 0;
    int64_t due = 0;
    bool queued = false;
  };

  void begin() {
    if (s_.policy == DeliverPolicy::kNew) next_ = w_.stream().store().state().last_seq.value() + 1;
    if (s_.policy == DeliverPolicy::kLastPerSubject) {
      std::map<std::string, uint64_t> last;
      for (const auto& [seq, m] : stored()) {
        if (selects(m.subject)) last[m.subject] = seq;
      }
      for (const auto& [subject, seq] : last) list_.insert(seq);
      next_ = w_.stream().store().state().last_seq.value() + 1;
    }
    const uint64_t start = list_.empty() ? next_ : *list_.begin();
    floor_sseq = delivered_sseq = start - 1;
  }
  uint64_t num_pending() const {
    uint64_t n = 0;
    for (const auto& [seq, m] : stored()) n += selects(m.subject) && ahead(seq);
    return n;
  }
  /// Hands out while anybody wants something. @return what must arrive, as seq and delivery count.
  std::vector<std::pair<uint64_t, uint64_t>> serve() {
    std::vector<std::pair<uint64_t, uint64_t>> out;
    while (wanted > 0) {
      uint64_t seq = pop_ready();
      if (seq == 0) {
        if (static_cast<int64_t>(pending.size()) >= s_.max_ack_pending) break;
        for (const auto& [candidate, m] : stored()) {
          if (ahead(candidate) && selects(m.subject)) {
            seq = candidate;
            break;
          }
        }
        if (seq == 0) break;
        if (!list_.empty() && seq <= *list_.rbegin()) {
          list_.erase(list_.begin(), list_.upper_bound(seq));
        } else {
          list_.clear();
          next_ = seq + 1;
        }
        delivered_sseq = std::max(delivered_sseq, seq);
      }
      --wanted;
      Message& m = pending[seq];
      ++delivered_cseq;
      if (++m.deliveries == 1) m.first = delivered_cseq;
      m.due = now() + s_.ack_wait.count();
      m.queued = false;
      out.emplace_back(seq, m.deliveries);
    }
    return out;
  }
  void ack(uint64_t seq) {
    const bool known = settle(seq) || exhausted.erase(seq) > 0;
    (void)known;
  }
  bool settle(uint64_t seq) {
    const auto at = pending.find(seq);
    if (at == pending.end()) return false;
    const bool first = at == pending.begin();
    pending.erase(at);
    if (first) move_floor();
    return true;
  }
  void removed(uint64_t seq) {
    if (!settle(seq)) exhausted.erase(seq);
  }
  void move_floor() {
    floor_sseq = pending.empty() ? delivered_sseq : pending.begin()->first - 1;
    floor_cseq = pending.empty() ? delivered_cseq : pending.begin()->second.first - 1;
  }
  void nak(uint64_t seq, int64_t delay) {
    const auto at = pending.find(seq);
    if (at == pending.end()) return;
    if (delay > 0) {
      at->second.queued = false;
      at->second.due = now() + delay;
    } else {
      requeue(seq);
    }
  }
  void progress(uint64_t seq) {
    const auto at = pending.find(seq);
    if (at == pending.end()) return;
    at->second.queued = false;
    at->second.due = now() + s_.ack_wait.count();
  }
  void requeue(uint64_t seq) {
    Message& m = pending.at(seq);
    if (m.queued) return;
    if (s_.max_deliver > 0 && static_cast<int64_t>(m.deliveries) >= s_.max_deliver) {
      settle(seq);
      exhausted.insert(seq);
      return;
    }
    m.queued = true;
    ready_.push_back(seq);
  }
  /// The clock stands at a deadline.
  void expire() {
    std::vector<uint64_t> due;
    for (const auto& [seq, m] : pending) {
      if (!m.queued && m.due <= now()) due.push_back(seq);
    }
    for (const uint64_t seq : due) requeue(seq);
  }
  std::optional<int64_t> next_due() const {
    std::optional<int64_t> out;
    for (const auto& [seq, m] : pending) {
      if (!m.queued && (!out || m.due < *out)) out = m.due;
    }
    return out;
  }
  void purged(uint64_t below) {
    while (!pending.empty() && pending.begin()->first < below) pending.erase(pending.begin());
    exhausted.erase(exhausted.begin(), exhausted.lower_bound(below));
    list_.erase(list_.begin(), list_.lower_bound(below));
    if (list_.empty()) next_ = std::max(next_, below);
    delivered_sseq = std::max(delivered_sseq, below - 1);
    if (pending.empty()) {
      move_floor();
    } else {
      floor_sseq = std::max(floor_sseq, std::min(below - 1, pending.begin()->first - 1));
      floor_cseq = std::max(floor_cseq, pending.begin()->second.first - 1);
    }
  }
  void restarted() {
    wanted = 0;
    ready_.clear();
    for (auto& [seq, m] : pending) m.queued = false;
    expire();
  }
  uint64_t redelivered() const {
    return exhausted.size() + static_cast<uint64_t>(std::count_if(pending.begin(), pending.end(),
                                                                  [](const auto& p) { return p.second.deliveries > 1; }));
  }
  int64_t now() const { return w_.sim.clock().wall(); }

  uint64_t wanted = 0;
  uint64_t delivered_cseq = 0, delivered_sseq = 0, floor_cseq = 0, floor_sseq = 0;
  std::map<uint64_t, Message> pending;
  std::set<uint64_t> exhausted;

 private:
  const std::map<uint64_t, MapStore::Kept>& stored() const { return w_.stream().store().messages(); }
  bool selects(const std::string& subject) const {
    return s_.filters.empty() ||
           std::any_of(s_.filters.begin(), s_.filters.end(), [&](const auto& f) { return subject_matches(f, subject); });
  }
  bool ahead(uint64_t seq) const { return list_.contains(seq) || seq >= next_; }
  uint64_t pop_ready() {
    while (!ready_.empty()) {
      const uint64_t seq = ready_.front();
      ready_.pop_front();
      const auto at = pending.find(seq);
      if (at != pending.end() && at->second.queued) return seq;
    }
    return 0;
  }

  Setup s_;
  ConsumerWorld& w_;
  uint64_t next_ = 1;
  std::set<uint64_t> list_;
  std::deque<uint64_t> ready_;
};

class History {
 public:
  explicit History(uint64_t seed) : setup_(draw_setup(seed)), w_(stream_config(setup_), seed), model_(setup_, w_) {
    for (uint64_t i = w_.sim.random().below(5); i > 0; --i) publish();
    ConsumerConfig config = ConsumerWorld::pull();
    config.filter_subjects = setup_.filters;
    config.max_deliver = setup_.max_deliver;
    config.max_ack_pending = setup_.max_ack_pending;
    config.ack_wait = setup_.ack_wait;
    config.deliver_policy = setup_.policy;
    model_.begin();
    w_.make(config);
  }

  void run() {
    for (int i = 0; i < kSteps && !testing::Test::HasFailure(); ++i) {
      step();
      settle();
      compare(i);
    }
  }

 private:
  static Setup draw_setup(uint64_t seed) {
    sim::SimEnv dice(seed * 7919 + 1);
    auto& r = dice.random();
    Setup s;
    const uint64_t kind = r.below(4);
    if (kind == 1) s.filters = {"a.x"};
    if (kind == 2) s.filters = {"a.*"};
    if (kind == 3) s.filters = {"a.x", "a.z"};
    s.max_deliver = r.below(2) == 0 ? -1 : static_cast<int64_t>(1 + r.below(3));
    s.max_ack_pending = r.below(2) == 0 ? 1000 : static_cast<int64_t>(1 + r.below(5));
    s.ack_wait = std::chrono::milliseconds(100 + r.below(400));
    if (r.below(4) == 0) s.retention = Retention::kWorkQueue;
    if (s.retention == Retention::kLimits && r.below(3) == 0)
      s.policy = s.filters.empty() || r.below(2) == 0 ? DeliverPolicy::kNew : DeliverPolicy::kLastPerSubject;
    return s;
  }
  static StreamConfig stream_config(const Setup& s) { return ConsumerWorld::named("S", s.retention); }

  uint64_t draw(uint64_t bound) { return w_.sim.random().below(bound); }
  void publish() {
    static constexpr const char* kSubjects[] = {"a.x", "a.y", "a.z", "a.x.y"};
    w_.stream().publish(kSubjects[draw(4)]);
  }
  std::optional<Got> some_delivery() {
    if (received_.empty()) return std::nullopt;
    const size_t recent = std::min<size_t>(received_.size(), 8);
    return received_[received_.size() - 1 - draw(recent)];
  }

  void step() {
    switch (draw(12)) {
      case 0:
      case 1:
      case 2:
        for (uint64_t i = draw(4); i > 0; --i) publish();
        break;
      case 3:
      case 4: {
        const uint64_t batch = 1 + draw(4);
        w_.request("$JS.API.CONSUMER.MSG.NEXT.S.C", std::to_string(batch), "_INBOX.1");
        model_.wanted += batch;
        break;
      }
      case 5:
      case 6: answer("+ACK"); break;
      case 7: {
        static constexpr const char* kBodies[] = {"-NAK", "-NAK 150ms", "+WPI", "+TERM no", "-NAK {\"delay\":70000000}"};
        answer(kBodies[draw(5)]);
        break;
      }
      case 8: advance(std::chrono::milliseconds(1 + draw(300))); break;
      case 9: remove_one(); break;
      case 10:
        if (draw(3) == 0) purge();
        break;
      case 11:
        if (draw(2) == 0) w_.store.snapshot_all();
        if (draw(2) == 0) {
          w_.restart();
          model_.restarted();
        }
        break;
      default: break;
    }
  }
  void answer(std::string_view body) {
    const auto got = some_delivery();
    if (!got) return;
    const uint64_t seq = got->seq();
    w_.request(got->reply, body);
    if (body == "+ACK" || body.starts_with("+TERM")) model_.ack(seq);
    if (body == "-NAK") model_.nak(seq, 0);
    if (body == "-NAK 150ms") model_.nak(seq, 150'000'000);
    if (body.starts_with("-NAK {")) model_.nak(seq, 70'000'000);
    if (body == "+WPI") model_.progress(seq);
  }
  /// From deadline to deadline, so that both sides see each at its moment.
  void advance(std::chrono::nanoseconds by) {
    const int64_t end = model_.now() + by.count();
    while (const auto due = model_.next_due()) {
      if (*due > end) break;
      w_.sim.advance(std::chrono::nanoseconds(std::max<int64_t>(0, *due - model_.now())));
      model_.expire();
      settle();
    }
    w_.sim.advance(std::chrono::nanoseconds(end - model_.now()));
  }
  void remove_one() {
    const auto& all = w_.stream().store().messages();
    if (all.empty()) return;
    auto at = all.begin();
    std::advance(at, static_cast<ptrdiff_t>(draw(std::min<uint64_t>(all.size(), 10))));
    const uint64_t seq = at->first;
    w_.stream().remove(StreamSeq(seq));
    model_.removed(seq);
  }
  void purge() {
    const uint64_t first = w_.stream().store().state().first_seq.value();
    const uint64_t below = first + draw(8) + 1;
    (void)w_.stream().purge({.filter = {}, .below = StreamSeq(below)});
    model_.purged(below);
  }
  void settle() {
    const auto expected = model_.serve();
    w_.run();
    std::vector<std::pair<uint64_t, uint64_t>> seen;
    for (Got& g : w_.taken()) {
      if (g.is_status()) continue;
      seen.emplace_back(g.seq(), g.meta().deliveries);
      received_.push_back(std::move(g));
    }
    EXPECT_EQ(seen, expected);
  }
  void compare(int step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const ConsumerState& state = w_.consumer().state();
    EXPECT_EQ(state.delivered().consumer.value(), model_.delivered_cseq);
    EXPECT_EQ(state.delivered().stream.value(), model_.delivered_sseq);
    EXPECT_EQ(state.ack_floor().consumer.value(), model_.floor_cseq);
    EXPECT_EQ(state.ack_floor().stream.value(), model_.floor_sseq);
    EXPECT_EQ(state.pending().size(), model_.pending.size());
    EXPECT_EQ(state.num_redelivered(), model_.redelivered());
    EXPECT_EQ(w_.consumer().num_pending(), model_.num_pending());
  }

  Setup setup_;
  ConsumerWorld w_;
  Model model_;
  std::vector<Got> received_;
};

TEST(Model, RandomHistories) {
  const char* wanted = std::getenv("SLUICE_SEED");
  const uint64_t first = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 1;
  const int count = wanted != nullptr ? 1 : kHistories;
  for (int i = 0; i < count; ++i) {
    const uint64_t seed = first + static_cast<uint64_t>(i);
    SCOPED_TRACE("SLUICE_SEED=" + std::to_string(seed));
    History history(seed);
    history.run();
    ASSERT_FALSE(testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace sluice::test
