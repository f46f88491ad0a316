// A stream, its store and a store of consumer records, all in maps: slow and plainly right.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/store.h"
#include "stream/streams.h"
#include "subject/subject.h"

namespace sluice::test {

class MapStore final : public StreamStore {
 public:
  StreamSeq append(const AppendRequest& r) override {
    messages_[++last_] = {std::string(r.subject), std::string(r.headers), std::string(r.payload), r.time};
    return StreamSeq(last_);
  }
  StreamSeq append_all(std::span<const AppendRequest> requests) override {
    const StreamSeq first(last_ + 1);
    for (const AppendRequest& r : requests) append(r);
    return first;
  }
  StreamSeq skip(WallNanos, std::string_view) override { return StreamSeq(++last_); }
  bool remove(StreamSeq seq, bool) override {
    const bool there = messages_.erase(seq.value()) > 0;
    if (there) count_gaps();
    return there;
  }
  uint64_t purge_below(StreamSeq first_kept) override {
    const size_t before = messages_.size();
    messages_.erase(messages_.begin(), messages_.lower_bound(first_kept.value()));
    if (first_kept.value() > last_ + 1) last_ = first_kept.value() - 1;
    count_gaps();
    return before - messages_.size();
  }
  CommitNo last_commit() const override { return CommitNo{}; }
  StreamState state() const override {
    StreamState s;
    s.messages = messages_.size();
    s.last_seq = StreamSeq(last_);
    s.first_seq = messages_.empty() ? StreamSeq(last_ == 0 ? 0 : last_ + 1) : StreamSeq(messages_.begin()->first);
    return s;
  }
  uint64_t refused_reads() const override { return refused_; }
  /// From now on the disk refuses every read, or none.
  void refuse(bool all) { refusing_ = all; }
  std::optional<StoredMessage> load(StreamSeq seq) override {
    if (refuses()) return std::nullopt;
    const auto at = messages_.find(seq.value());
    return at == messages_.end() ? std::nullopt : std::optional(view(*at));
  }
  std::optional<StoredMessage> load_next(StreamSeq from, std::string_view filter) override {
    if (refuses()) return std::nullopt;
    for (auto at = messages_.lower_bound(from.value()); at != messages_.end(); ++at) {
      if (matches(filter, at->second.subject)) return view(*at);
    }
    return std::nullopt;
  }
  std::optional<StoredMessage> load_last(std::string_view filter) override {
    for (auto at = messages_.rbegin(); at != messages_.rend(); ++at) {
      if (matches(filter, at->second.subject)) return view(*at);
    }
    return std::nullopt;
  }
  StreamSeq seq_at_time(WallNanos time) override {
    for (const auto& m : messages_) {
      if (m.second.time >= time) return StreamSeq(m.first);
    }
    return StreamSeq(last_ + 1);
  }
  std::optional<SubjectState> subject_state(std::string_view) override { return std::nullopt; }
  void each_subject(std::string_view filter,
                    const std::function<bool(std::string_view, const SubjectState&)>& visit) override {
    std::map<std::string, SubjectState> subjects;
    for (const auto& [seq, m] : messages_) {
      if (!matches(filter, m.subject)) continue;
      SubjectState& s = subjects[m.subject];
      if (s.count++ == 0) s.first = StreamSeq(seq);
      s.last = StreamSeq(seq);
    }
    for (const auto& [subject, s] : subjects) {
      if (!visit(subject, s)) return;
    }
  }
  uint64_t count_matching(StreamSeq from, std::string_view filter) override {
    if (refuses()) return 0;
    uint64_t n = 0;
    for (auto at = messages_.lower_bound(from.value()); at != messages_.end(); ++at) n += matches(filter, at->second.subject);
    return n;
  }
  const SeqSet& deleted() const override { return gaps_; }
  const SeqSet& lost() const override { return lost_; }
  void each_msg_id(WallNanos, const std::function<void(std::string_view, StreamSeq, WallNanos)>&) override {}

  struct Kept {
    std::string subject, headers, payload;
    WallNanos time = 0;
  };
  const std::map<uint64_t, Kept>& messages() const { return messages_; }

 private:
  static bool matches(std::string_view filter, std::string_view subject) {
    return filter.empty() || subject_matches(filter, subject);
  }
  static StoredMessage view(const std::pair<const uint64_t, Kept>& m) {
    return {StreamSeq(m.first), m.second.time, m.second.subject, m.second.headers, m.second.payload};
  }
  void count_gaps() {
    gaps_.clear();
    uint64_t before = 0;
    for (const auto& [seq, m] : messages_) {
      if (before != 0 && seq > before + 1) gaps_.insert_range(before + 1, seq - 1);
      before = seq;
    }
    if (before != 0 && before < last_) gaps_.insert_range(before + 1, last_);
  }
  bool refuses() {
    refused_ += refusing_ ? 1 : 0;
    return refusing_;
  }
  bool refusing_ = false;
  uint64_t refused_ = 0;
  std::map<uint64_t, Kept> messages_;
  uint64_t last_ = 0;
  SeqSet gaps_;
  SeqSet lost_;
};

class FakeStream final : public Stream {
 public:
  FakeStream(Clock& clock, StreamConfig config) : clock_(clock), config_(std::move(config)) {}

  const StreamConfig& config() const override { return config_; }
  WallNanos created() const override { return 0; }
  MapStore& store() override { return store_; }
  StreamSeq visible_last() const override { return visible_; }
  CommitNo last_commit() const override { return CommitNo{}; }
  void when_durable(std::move_only_function<void()> done) override { done(); }
  void add_observer(StreamObserver& o) override { observers_.push_back(&o); }
  void remove_observer(StreamObserver& o) override { std::erase(observers_, &o); }
  void offer(const Message&, std::move_only_function<void(std::string_view)>) override {}
  Status delete_message(StreamSeq seq, bool) override {
    remove(seq);
    return {};
  }
  void purge(const PurgeRequest& r, PurgeDone done) override {
    const uint64_t n = store_.purge_below(r.below);
    visible_ = std::max(visible_, store_.state().last_seq);
    tell([&](StreamObserver& o) { o.on_purged_below(r.below); });
    done(n);
  }
  void consumer_done(StreamSeq seq) override {
    const auto m = store_.load(seq);
    if (!m || config_.retention == Retention::kLimits) return;
    const std::string subject(m->subject);
    const bool needed = std::any_of(observers_.begin(), observers_.end(),
                                    [&](StreamObserver* o) { return o->needs(seq, subject); });
    if (config_.retention == Retention::kWorkQueue || !needed) remove(seq);
  }
  void interest_changed() override { ++interest_changes; }

  /// Appends; visible at once unless `hold`.
  StreamSeq publish(std::string_view subject, std::string_view payload = "x", std::string_view headers = {}) {
    const StreamSeq seq =
        store_.append({.subject = subject, .headers = headers, .payload = payload, .time = clock_.wall(), .msg_id = {}});
    if (!hold) show();
    return seq;
  }
  void show() {
    visible_ = store_.state().last_seq;
    tell([&](StreamObserver& o) { o.on_visible(visible_); });
  }
  void remove(StreamSeq seq) {
    const auto m = store_.load(seq);
    if (!m) return;
    const std::string subject(m->subject);
    store_.remove(seq, false);
    tell([&](StreamObserver& o) { o.on_removed(seq, subject); });
  }
  StreamConfig& edit_config() { return config_; }

  bool hold = false;
  int interest_changes = 0;

 private:
  template <class F>
  void tell(F&& f) {
    const auto all = observers_;
    for (StreamObserver* o : all) {
      if (std::find(observers_.begin(), observers_.end(), o) != observers_.end()) f(*o);
    }
  }
  Clock& clock_;
  StreamConfig config_;
  MapStore store_;
  StreamSeq visible_;
  std::vector<StreamObserver*> observers_;
};

class FakeStreams final : public Streams {
 public:
  Result<Stream*> create(const StreamConfig&) override { return fail(Errc::kUnsupported, ""); }
  Result<Stream*> update(const StreamConfig&) override { return fail(Errc::kUnsupported, ""); }
  Status check_restore(const StreamConfig&) override { return fail(Errc::kUnsupported, ""); }
  Result<std::unique_ptr<StreamRestore>> restore(const StreamConfig&, StreamSeq) override {
    return fail(Errc::kUnsupported, "");
  }
  Status remove(std::string_view name) override {
    for (auto& l : deleting_) l(*streams_.at(std::string(name)));
    streams_.erase(std::string(name));
    return {};
  }
  Stream* find(std::string_view name) override {
    const auto at = streams_.find(std::string(name));
    return at == streams_.end() ? nullptr : at->second.get();
  }
  void each(const std::function<void(Stream&)>& visit) override {
    for (auto& [name, s] : streams_) visit(*s);
  }
  size_t size() const override { return streams_.size(); }
  const OfflineStreams& offline() const override { return offline_; }
  void on_created(std::move_only_function<void(Stream&)> l) override { created_.push_back(std::move(l)); }
  void on_deleting(std::move_only_function<void(Stream&)> l) override { deleting_.push_back(std::move(l)); }
  void set_limits(const StreamsOptions&) override {}
  void collect(MetricSink&) const override {}

  FakeStream& add(Clock& clock, StreamConfig config) {
    auto& slot = streams_[config.name];
    slot = std::make_unique<FakeStream>(clock, std::move(config));
    for (auto& l : created_) l(*slot);
    return *slot;
  }
  void forget_listeners() {
    created_.clear();
    deleting_.clear();
  }

 private:
  std::map<std::string, std::unique_ptr<FakeStream>> streams_;
  OfflineStreams offline_;
  std::vector<std::move_only_function<void(Stream&)>> created_, deleting_;
};

/// Consumer records only; durable when the test says so (or at once).
class FakeStore final : public Store {
 public:
  const RecoveryReport& recovery() const override { return report_; }
  std::vector<RecoveredStream> streams() const override { return {}; }
  std::vector<RecoveredConsumer> consumers(std::string_view stream) const override {
    std::vector<RecoveredConsumer> out;
    for (const auto& [key, c] : kept_) {
      if (c.stream == stream) out.push_back(c);
    }
    return out;
  }
  Result<StreamStore*> create_stream(std::string_view, std::string_view, StreamSeq) override { return fail(Errc::kIo, ""); }
  StreamStore* find_stream(std::string_view) override { return nullptr; }
  void update_stream_meta(std::string_view, std::string_view) override {}
  void delete_stream(std::string_view) override {}
  ConsumerKey put_consumer(std::string_view stream, std::string_view name, std::string_view meta) override {
    ++commit_;
    for (auto& [key, c] : kept_) {
      if (c.stream == stream && c.name == name) {
        c.meta = meta;
        return key;
      }
    }
    const ConsumerKey key(++last_key_);
    kept_[key] = RecoveredConsumer{key, std::string(stream), std::string(name), std::string(meta), {}, {}};
    return key;
  }
  void delete_consumer(ConsumerKey key) override {
    ++commit_;
    kept_.erase(key);
  }
  void append_consumer_delta(ConsumerKey key, std::string_view delta) override {
    ++commit_;
    kept_.at(key).deltas.emplace_back(delta);
  }
  void set_consumer_snapshot_source(std::function<std::string(ConsumerKey)> source) override { source_ = std::move(source); }
  CommitNo last_commit() const override { return CommitNo(commit_); }
  CommitNo durable() const override { return CommitNo(hold ? durable_ : commit_); }
  void when_durable(CommitNo commit, std::move_only_function<void()> done) override {
    if (commit <= durable()) return done();
    waiting_.emplace_back(commit.value(), std::move(done));
  }
  void when_erased(std::move_only_function<void()> done) override { done(); }
  void on_durable(std::move_only_function<void(CommitNo)>) override {}
  Status writable() const override { return {}; }
  void on_event(std::move_only_function<void(const StoreEvent&)>) override {}
  bool failed() const override { return false; }
  void close(std::move_only_function<void(Status)> done) override { done({}); }
  void collect(MetricSink&) const override {}

  void release() {
    durable_ = commit_;
    auto all = std::move(waiting_);
    waiting_.clear();
    for (auto& [commit, done] : all) done();
  }
  void snapshot_all() {
    for (auto& [key, c] : kept_) {
      c.snapshot = source_(key);
      c.deltas.clear();
    }
  }
  std::map<ConsumerKey, RecoveredConsumer>& kept() { return kept_; }
  bool hold = false;

 private:
  RecoveryReport report_;
  std::map<ConsumerKey, RecoveredConsumer> kept_;
  std::function<std::string(ConsumerKey)> source_;
  std::vector<std::pair<uint64_t, std::move_only_function<void()>>> waiting_;
  uint64_t commit_ = 0, durable_ = 0, last_key_ = 0;
};

}  // namespace sluice::test
