// Random histories against a model that keeps everything in plain containers and counts by looking.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <list>
#include <map>
#include <set>

#include "consumer_world.h"

namespace sluice::test {
namespace {

constexpr int kHistories = 2000;  ///< SLUICE_HISTORIES asks for another number
constexpr int kSteps = 60;
constexpr size_t kClients = 3;

struct Setup {
  std::vector<std::string> filters;
  Retention retention = Retention::kLimits;
  int64_t max_deliver = -1;
  int64_t max_ack_pending = 1000;
  std::chrono::nanoseconds ack_wait{0};
  DeliverPolicy policy = DeliverPolicy::kAll;
  PriorityPolicy priority = PriorityPolicy::kNone;
};

/// One waiting pull.
struct Request {
  size_t client = 0;
  uint64_t left = 1;
  bool no_wait = false;
  uint64_t min_pending = 0;
  uint64_t min_ack_pending = 0;
  uint64_t priority = 0;
  uint64_t pin = 0;  ///< which pin it names, by number; 0 = none
};

/// A message as a client got it.
struct Handed {
  size_t client;
  uint64_t seq;
  uint64_t deliveries;
  bool operator==(const Handed&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Handed& h) {
  return out << "client " << h.client << " seq " << h.seq << " deliveries " << h.deliveries;
}

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
  /// A pull comes in. @return false when it is refused at once.
  bool ask(Request request) {
    const bool is_stale = s_.priority == PriorityPolicy::kPinnedClient && pin != 0 && request.pin != 0 && request.pin != pin;
    if (is_stale) return false;
    if (request.no_wait) {
      const uint64_t deliverable = num_pending() + queued();
      uint64_t claimed = 0;
      for (const Request& r : requests) claimed += r.left;
      if (deliverable == 0 || deliverable < claimed) return false;
    }
    auto at = requests.end();
    if (s_.priority == PriorityPolicy::kPrioritized) {
      while (at != requests.begin() && std::prev(at)->priority > request.priority) --at;
    }
    requests.insert(at, request);
    return true;
  }
  /// Hands out while anybody wants something. @return what must arrive.
  std::vector<Handed> serve() {
    std::vector<Handed> out;
    while (!requests.empty()) {
      const bool again = now() >= paused_until && next_ready() != 0;
      const uint64_t seq = now() < paused_until ? 0 : again ? next_ready() : next_unseen();
      const auto at = seq == 0 ? requests.end() : whose_turn(again);
      if (at == requests.end()) {
        std::erase_if(requests, [](const Request& r) { return r.no_wait; });
        break;
      }
      if (again) {
        ready_.pop_front();
      } else {
        pass(seq);
      }
      if (s_.priority == PriorityPolicy::kPinnedClient && pin == 0) pin = ++last_pin;
      Message& m = pending[seq];
      ++delivered_cseq;
      if (++m.deliveries == 1) m.first = delivered_cseq;
      m.due = now() + s_.ack_wait.count();
      m.queued = false;
      out.push_back({at->client, seq, m.deliveries});
      if (--at->left == 0) {
        requests.erase(at);
        continue;
      }
      auto behind = requests.end();
      if (s_.priority == PriorityPolicy::kPrioritized) {
        behind = std::find_if(std::next(at), requests.end(), [&](const Request& r) { return r.priority != at->priority; });
      }
      requests.splice(behind, requests, at);
    }
    return out;
  }
  void reset(uint64_t to) {
    pending.clear();
    exhausted.clear();
    ready_.clear();
    list_.clear();
    next_ = to;
    delivered_cseq = floor_cseq = 0;
    delivered_sseq = floor_sseq = to - 1;
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
    if (paused_until > now() && (!out || paused_until < *out)) out = paused_until;
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
    requests.clear();
    pin = 0;
    ready_.clear();
    for (auto& [seq, m] : pending) m.queued = false;
    expire();
  }
  uint64_t redelivered() const {
    return exhausted.size() + static_cast<uint64_t>(std::count_if(pending.begin(), pending.end(),
                                                                  [](const auto& p) { return p.second.deliveries > 1; }));
  }
  int64_t now() const { return w_.sim.clock().wall(); }

  std::list<Request> requests;
  int64_t paused_until = 0;
  uint64_t pin = 0;  ///< the current one's number; 0 = nobody is pinned
  uint64_t last_pin = 0;
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
  uint64_t queued() const {
    return static_cast<uint64_t>(std::count_if(pending.begin(), pending.end(), [](const auto& p) { return p.second.queued; }));
  }
  /// Front of what waits for redelivery; 0 = none.
  uint64_t next_ready() {
    while (!ready_.empty()) {
      const auto at = pending.find(ready_.front());
      if (at != pending.end() && at->second.queued) return ready_.front();
      ready_.pop_front();
    }
    return 0;
  }
  uint64_t next_unseen() const {
    if (static_cast<int64_t>(pending.size()) >= s_.max_ack_pending) return 0;
    for (const auto& [seq, m] : stored()) {
      if (ahead(seq) && selects(m.subject)) return seq;
    }
    return 0;
  }
  void pass(uint64_t seq) {
    if (!list_.empty() && seq <= *list_.rbegin()) {
      list_.erase(list_.begin(), list_.upper_bound(seq));
    } else {
      list_.clear();
      next_ = seq + 1;
    }
    delivered_sseq = std::max(delivered_sseq, seq);
  }
  std::list<Request>::iterator whose_turn(bool again) {
    const uint64_t on_offer = num_pending() + (again ? 1 : 0);
    for (auto at = requests.begin(); at != requests.end();) {
      switch (s_.priority) {
        case PriorityPolicy::kNone:
        case PriorityPolicy::kPrioritized: return at;
        case PriorityPolicy::kOverflow: {
          const bool always = at->min_pending == 0 && at->min_ack_pending == 0;
          const bool many = at->min_pending > 0 && at->min_pending <= on_offer;
          const bool slow = at->min_ack_pending > 0 && at->min_ack_pending <= pending.size();
          if (always || many || slow) return at;
          ++at;
          break;
        }
        case PriorityPolicy::kPinnedClient:
          if (at->pin == 0 ? pin == 0 : at->pin == pin) return at;
          if (at->pin == 0) {
            ++at;
          } else {
            at = requests.erase(at);  // 423
          }
          break;
      }
    }
    return requests.end();
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
    config.priority_policy = setup_.priority;
    if (setup_.priority != PriorityPolicy::kNone) config.priority_groups = {"g"};
    for (size_t i = 0; i < kClients; ++i) {
      inboxes_.push_back(w_.bus.subscribe("in." + std::to_string(i), {}, [this, i](const Message& m, const Origin&) {
        arrived_.push_back({i, {std::string(m.subject), std::string(m.reply), std::string(m.headers), std::string(m.payload)}});
      }));
    }
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
    if (r.below(2) == 0) s.priority = static_cast<PriorityPolicy>(r.below(4));
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
    switch (draw(14)) {
      case 0:
      case 1:
      case 2:
        for (uint64_t i = draw(4); i > 0; --i) publish();
        break;
      case 3:
      case 4: pull(); break;
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
      case 12: pause_or_unpin(); break;
      case 13: reset(); break;
      default: break;
    }
  }
  void pull() {
    Request r{.client = draw(kClients), .left = 1 + draw(4), .no_wait = draw(4) == 0};
    std::string body = fmt::format(R"({{"batch":{})", r.left);
    if (r.no_wait) body += R"(,"no_wait":true)";
    if (setup_.priority != PriorityPolicy::kNone) body += R"(,"group":"g")";
    if (setup_.priority == PriorityPolicy::kOverflow) {
      if (draw(2) == 0) r.min_pending = draw(5);
      if (draw(3) == 0) r.min_ack_pending = draw(4);
      body += fmt::format(R"(,"min_pending":{},"min_ack_pending":{})", r.min_pending, r.min_ack_pending);
    }
    if (setup_.priority == PriorityPolicy::kPrioritized) {
      r.priority = draw(10);
      body += fmt::format(R"(,"priority":{})", r.priority);
    }
    if (setup_.priority == PriorityPolicy::kPinnedClient && !pin_of_[r.client].empty() && draw(4) != 0) {
      r.pin = pin_numbers_.at(pin_of_[r.client]);
      body += fmt::format(R"(,"id":"{}")", pin_of_[r.client]);
    }
    w_.request("$JS.API.CONSUMER.MSG.NEXT.S.C", body + "}", "in." + std::to_string(r.client));
    (void)model_.ask(r);
  }
  void pause_or_unpin() {
    if (setup_.priority == PriorityPolicy::kPinnedClient && draw(2) == 0) {
      EXPECT_TRUE(w_.consumer().unpin("g"));
      model_.pin = 0;
      return;
    }
    model_.paused_until = draw(2) == 0 ? 0 : model_.now() + static_cast<int64_t>(1 + draw(400)) * 1'000'000;
    w_.consumers->pause(w_.consumer(), model_.paused_until == 0 ? kZeroTime : model_.paused_until);
  }
  void reset() {
    if (draw(3) != 0) return;
    std::optional<StreamSeq> to;
    if (draw(2) == 0) to = StreamSeq(1 + draw(w_.stream().store().state().last_seq.value() + 3));
    const auto start = w_.consumers->reset(w_.consumer(), to);
    EXPECT_EQ(start.has_value(), !to || setup_.policy == DeliverPolicy::kAll);
    if (start) model_.reset(to ? to->value() : model_.floor_sseq + 1);
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
    w_.stream().purge({.filter = {}, .below = StreamSeq(below)}, [](const Result<uint64_t>&) {});
    model_.purged(below);
  }
  void settle() {
    const auto expected = model_.serve();
    w_.run();
    std::vector<Handed> seen;
    for (auto& [client, got] : std::exchange(arrived_, {})) {
      if (got.is_status()) continue;
      seen.push_back({client, got.seq(), got.meta().deliveries});
      learn_pin(client, got);
      received_.push_back(std::move(got));
    }
    EXPECT_EQ(seen, expected);
  }
  void learn_pin(size_t client, const Got& got) {
    const std::string_view id = header_value(got.headers, "Nats-Pin-Id");
    if (id.empty()) return;
    pin_of_[client] = id;
    pin_numbers_.emplace(id, model_.pin);  // a pin lasts longer than a round
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
  std::vector<std::pair<size_t, Got>> arrived_;  ///< by client, since the last look
  std::array<std::string, kClients> pin_of_;
  std::map<std::string, uint64_t, std::less<>> pin_numbers_;
  std::vector<std::unique_ptr<BusSubscription>> inboxes_;
};

TEST(Model, RandomHistories) {
  const char* wanted = std::getenv("SLUICE_SEED");
  const uint64_t first = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 1;
  const char* number = std::getenv("SLUICE_HISTORIES");
  const int count = wanted != nullptr ? 1 : number != nullptr ? std::atoi(number) : kHistories;
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
