// A store in memory whose durability the test lets rise by hand: nothing is "on disk" before release().
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/store.h"

namespace sluice {

class HeldStore final : public Store {
 public:
  // -- for the test
  /// Everything changed so far becomes durable.
  void release() { release_to(CommitNo(last_)); }
  void release_to(CommitNo commit) {
    durable_ = commit.value();
    for (auto& listener : listeners_) listener(commit);
    while (!waiters_.empty() && waiters_.begin()->first <= durable_) {
      auto done = std::move(waiters_.begin()->second);
      waiters_.erase(waiters_.begin());
      done();
    }
  }
  void refuse_writes(Errc code) { refused_ = Error{code, 0, "test"}; }
  void accept_writes() { refused_.reset(); }
  /// The process ends: whoever listened is gone.
  void forget_listeners() {
    listeners_.clear();
    waiters_.clear();
  }
  StreamTraits traits_of(const std::string& name) { return streams_.at(name).store->traits; }
  void plant(const std::string& name, const std::string& meta) {
    streams_[name] = {meta, std::make_unique<HeldStream>(*this, StreamSeq())};
  }

  // -- Store
  const RecoveryReport& recovery() const override { return report_; }
  std::vector<RecoveredStream> streams() const override {
    std::vector<RecoveredStream> out;
    for (const auto& [name, kept] : streams_) out.push_back({name, kept.meta});
    return out;
  }
  std::vector<RecoveredConsumer> consumers(std::string_view) const override { return {}; }
  Result<StreamStore*> create_stream(std::string_view name, std::string_view meta,
                                     StreamSeq first_seq) override {
    if (streams_.contains(std::string(name))) return fail(Errc::kExists, "exists");
    ++last_;
    auto& kept = streams_[std::string(name)];
    kept = {std::string(meta), std::make_unique<HeldStream>(*this, first_seq)};
    return kept.store.get();
  }
  StreamStore* find_stream(std::string_view name) override {
    auto found = streams_.find(std::string(name));
    return found == streams_.end() ? nullptr : found->second.store.get();
  }
  void update_stream_meta(std::string_view name, std::string_view meta) override {
    ++last_;
    streams_.at(std::string(name)).meta = meta;
  }
  void delete_stream(std::string_view name) override {
    ++last_;
    streams_.erase(std::string(name));
  }
  ConsumerKey put_consumer(std::string_view, std::string_view, std::string_view) override {
    return ConsumerKey(++last_);
  }
  void delete_consumer(ConsumerKey) override { ++last_; }
  void append_consumer_delta(ConsumerKey, std::string_view) override { ++last_; }
  void set_consumer_snapshot_source(std::function<std::string(ConsumerKey)>) override {}
  CommitNo last_commit() const override { return CommitNo(last_); }
  CommitNo durable() const override { return CommitNo(durable_); }
  void when_erased(std::move_only_function<void()> done) override { done(); }
  void when_durable(CommitNo commit, std::move_only_function<void()> done) override {
    if (commit.value() <= durable_)
      done();
    else
      waiters_.emplace(commit.value(), std::move(done));
  }
  void on_durable(std::move_only_function<void(CommitNo)> listener) override {
    listeners_.push_back(std::move(listener));
  }
  void on_event(std::move_only_function<void(const StoreEvent&)>) override {}
  Status writable() const override {
    if (refused_) return std::unexpected(*refused_);
    return {};
  }
  bool failed() const override { return refused_ && refused_->code == Errc::kIo; }
  void close(std::move_only_function<void(Status)> done) override { done({}); }
  void collect(MetricSink&) const override {}

 private:
  class HeldStream final : public StreamStore {
   public:
    HeldStream(HeldStore& owner, StreamSeq first) : owner_(owner), under_(make_memory_store(first)) {
      changed();
    }
    StreamSeq append(const AppendRequest& r) override { return changed(), under_->append(r); }
    StreamSeq append_all(std::span<const AppendRequest> r) override {
      return changed(), under_->append_all(r);
    }
    StreamSeq skip(WallNanos t, std::string_view id) override { return changed(), under_->skip(t, id); }
    bool remove(StreamSeq s, bool erase) override { return changed(), under_->remove(s, erase); }
    uint64_t purge_below(StreamSeq s) override { return changed(), under_->purge_below(s); }
    void set_traits(const StreamTraits& t) override { traits = t; }
    CommitNo last_commit() const override { return commit_; }
    StreamTraits traits;
    StreamState state() const override { return under_->state(); }
    std::optional<StoredMessage> load(StreamSeq s) override { return under_->load(s); }
    std::optional<StoredMessage> load_next(StreamSeq s, std::string_view f) override {
      return under_->load_next(s, f);
    }
    std::optional<StoredMessage> load_last(std::string_view f) override { return under_->load_last(f); }
    StreamSeq seq_at_time(WallNanos t) override { return under_->seq_at_time(t); }
    std::optional<SubjectState> subject_state(std::string_view s) override {
      return under_->subject_state(s);
    }
    void each_subject(std::string_view f,
                      const std::function<bool(std::string_view, const SubjectState&)>& v) override {
      under_->each_subject(f, v);
    }
    uint64_t count_matching(StreamSeq s, std::string_view f) override {
      return under_->count_matching(s, f);
    }
    const SeqSet& deleted() const override { return under_->deleted(); }
    const SeqSet& lost() const override { return under_->lost(); }
    void each_msg_id(WallNanos since, const std::function<void(std::string_view, StreamSeq, WallNanos)>&
                                          visit) override {
      under_->each_msg_id(since, visit);
    }

   private:
    void changed() { commit_ = CommitNo(++owner_.last_); }
    HeldStore& owner_;
    std::unique_ptr<StreamStore> under_;
    CommitNo commit_;
  };
  struct Kept {
    std::string meta;
    std::unique_ptr<HeldStream> store;
  };

  uint64_t last_ = 0;
  uint64_t durable_ = 0;
  RecoveryReport report_;
  std::optional<Error> refused_;
  std::map<std::string, Kept> streams_;
  std::vector<std::move_only_function<void(CommitNo)>> listeners_;
  std::multimap<uint64_t, std::move_only_function<void()>> waiters_;
};

}  // namespace sluice
