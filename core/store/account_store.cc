#include "store/account_store.h"

#include <utility>

namespace sluice {
namespace {

constexpr char kSeparator = '/';

}  // namespace

/// Forwards, with names translated. What is of the whole directory (commits, failure, space) is the
/// same for all.
class AccountStores::Part final : public Store {
 public:
  Part(AccountStores& owner, std::string_view account)
      : owner_(owner),
        store_(owner.store_),
        prefix_(account.empty() ? std::string() : std::string(account) + kSeparator) {}
  ~Part() override {
    std::erase_if(owner_.owners_, [this](const auto& entry) { return entry.second == this; });
  }

  const RecoveryReport& recovery() const override { return store_.recovery(); }
  std::vector<RecoveredStream> streams() const override {
    std::vector<RecoveredStream> own;
    for (RecoveredStream& found : store_.streams()) {
      const size_t slash = found.name.rfind(kSeparator);
      const size_t prefix_size = slash == std::string::npos ? 0 : slash + 1;
      if (std::string_view(found.name).substr(0, prefix_size) != prefix_) continue;
      found.name.erase(0, prefix_size);
      own.push_back(std::move(found));
    }
    return own;
  }
  std::vector<RecoveredConsumer> consumers(std::string_view stream) const override {
    auto found = store_.consumers(on_disk(stream));
    for (RecoveredConsumer& consumer : found) {
      consumer.stream = stream;
      owner_.owners_.insert_or_assign(consumer.key, const_cast<Part*>(this));
    }
    return found;
  }
  Result<StreamStore*> create_stream(std::string_view name, std::string_view meta,
                                     StreamSeq first_seq) override {
    return store_.create_stream(on_disk(name), meta, first_seq);
  }
  StreamStore* find_stream(std::string_view name) override {
    return store_.find_stream(on_disk(name));
  }
  void update_stream_meta(std::string_view name, std::string_view meta) override {
    store_.update_stream_meta(on_disk(name), meta);
  }
  void delete_stream(std::string_view name) override { store_.delete_stream(on_disk(name)); }
  ConsumerKey put_consumer(std::string_view stream, std::string_view name,
                           std::string_view meta) override {
    const ConsumerKey key = store_.put_consumer(on_disk(stream), name, meta);
    owner_.owners_.insert_or_assign(key, this);
    return key;
  }
  void delete_consumer(ConsumerKey key) override {
    owner_.owners_.erase(key);
    store_.delete_consumer(key);
  }
  void append_consumer_delta(ConsumerKey key, std::string_view delta) override {
    store_.append_consumer_delta(key, delta);
  }
  void set_consumer_snapshot_source(std::function<std::string(ConsumerKey)> source) override {
    snapshot_ = std::move(source);
  }
  CommitNo last_commit() const override { return store_.last_commit(); }
  CommitNo durable() const override { return store_.durable(); }
  void when_durable(CommitNo commit, std::move_only_function<void()> done) override {
    store_.when_durable(commit, std::move(done));
  }
  void when_erased(std::move_only_function<void()> done) override { store_.when_erased(std::move(done)); }
  void on_durable(std::move_only_function<void(CommitNo)> listener) override {
    store_.on_durable(std::move(listener));
  }
  /// Events are the whole directory's: its owner hears them.
  void on_event(std::move_only_function<void(const StoreEvent&)>) override {}
  Status writable() const override { return store_.writable(); }
  bool failed() const override { return store_.failed(); }
  /// The directory is closed by whoever opened it.
  void close(std::move_only_function<void(Status)> done) override { done({}); }
  void collect(MetricSink& /*sink*/) const override {}

  std::string snapshot(ConsumerKey key) const { return snapshot_ ? snapshot_(key) : std::string(); }

 private:
  std::string on_disk(std::string_view stream) const { return prefix_ + std::string(stream); }

  AccountStores& owner_;
  Store& store_;
  const std::string prefix_;
  std::function<std::string(ConsumerKey)> snapshot_;
};

AccountStores::AccountStores(Store& store) : store_(store) {
  store_.set_consumer_snapshot_source([this](ConsumerKey key) {
    const auto found = owners_.find(key);
    return found == owners_.end() ? std::string() : found->second->snapshot(key);
  });
}

AccountStores::~AccountStores() { store_.set_consumer_snapshot_source({}); }

std::unique_ptr<Store> AccountStores::open(std::string_view account) {
  return std::make_unique<Part>(*this, account);
}

}  // namespace sluice
