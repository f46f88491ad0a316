#include "consumer/consumers.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/nuid.h"
#include "consumer/consumer.h"
#include "consumer/offline_interest.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr Logger log_{"consumer"};
constexpr size_t kEphemeralNameLength = 8;

std::unexpected<Error> no(uint16_t code, std::string detail = {}) {
  return fail_api(Errc::kInvalidArgument, code, std::move(detail));
}

/// Version keys of the API and a pause do not make two configurations different.
ConsumerConfig comparable(ConsumerConfig config) {
  config.pause_until.reset();
  config.name_made = false;
  for (const char* key : {"_nats.ver", "_nats.level", "_nats.req.level"}) config.metadata.erase(key);
  return config;
}

/// On a work queue a message belongs to one consumer only.
Status check_work_queue(const ConsumerConfig& config, const std::vector<const ConsumerConfig*>& others) {
  if (config.ack_policy != AckPolicy::kExplicit && config.ack_policy != AckPolicy::kFlowControl) return no(10098);
  if (config.deliver_policy != DeliverPolicy::kAll) return no(10101);
  if (others.empty()) return {};
  const auto filters = config.filters();
  if (filters.empty()) return no(10099);
  for (const ConsumerConfig* other : others) {
    const auto theirs = other->filters();
    if (theirs.empty()) return no(10100);
    for (const std::string& a : filters) {
      for (const std::string& b : theirs) {
        if (subjects_collide(a, b)) return no(10100);
      }
    }
  }
  return {};
}

class LocalConsumers final : public Consumers {
 public:
  LocalConsumers(Env& env, Bus& bus, Streams& streams, Store* store, ConsumersOptions options)
      : env_(env), bus_(bus), streams_(streams), store_(store), options_(std::move(options)),
        anchor_(std::make_shared<LocalConsumers*>(this)) {}

  ~LocalConsumers() override {
    if (store_ != nullptr) store_->set_consumer_snapshot_source({});
    for (const auto& [name, consumers] : offline_)
      if (Stream* stream = streams_.find(name); stream != nullptr)
        for (const auto& [consumer, offline] : consumers) stream->remove_observer(*offline_interest_.at(offline.key));
  }

  void start();

  Result<Consumer*> put(Stream& stream, ConsumerConfig config, ConsumerAction action, bool pedantic) override;
  Result<Consumer*> restore(Stream& stream, const PortableConsumer& saved) override;
  Status remove(std::string_view stream, std::string_view consumer) override;
  void pause(Consumer& consumer, WallNanos until) override;
  Result<StreamSeq> reset(Consumer& consumer, std::optional<StreamSeq> to) override;
  Consumer* find(std::string_view stream, std::string_view consumer) override;
  void each(std::string_view stream, const std::function<void(Consumer&)>& visit) override;
  size_t count(std::string_view stream) const override;
  size_t size() const override { return total_ - direct_; }
  const OfflineConsumers& offline(std::string_view stream) const override;
  void when_durable(Stream& stream, std::move_only_function<void()> done) override;
  void shut_down() override;
  void set_limits(const ConsumersOptions& options) override {
    options_.max_ack_pending_limit = options.max_ack_pending_limit;
    options_.max_consumers_per_stream = options.max_consumers_per_stream;
  }
  void collect(MetricSink& sink) const override;

 private:
  using ByName = std::map<std::string, std::unique_ptr<Consumer>, std::less<>>;

  ConsumerLimitsInForce limits() const { return {options_.max_ack_pending_limit, options_.max_request_batch}; }
  bool is_kept(const Stream& stream, const ConsumerConfig& config) const {
    return store_ != nullptr && stream.config().storage == StorageKind::kFile && !config.mem_storage &&
           !config.direct;
  }
  Consumer::Place place(Stream& stream, bool kept, ConsumerKey key);
  Consumer& adopt(std::unique_ptr<Consumer> consumer);
  void store_meta(const Consumer& consumer, const ConsumerConfig& config);
  Result<Consumer*> create(Stream& stream, const ConsumerConfig& config);
  Consumer* adopt_new(Stream& stream, const ConsumerConfig& config, const ConsumerImage* image = nullptr);
  Result<Consumer*> update(Consumer& existing, ConsumerConfig config);
  Status check_among_others(Stream& stream, const ConsumerConfig& config);
  std::string fresh_name(Stream& stream);
  void recover(Stream& stream);
  void drop_stream(Stream& stream);
  void discard(ByName::iterator at, ByName& of);
  void bury(std::unique_ptr<Consumer> consumer);

  Env& env_;
  Bus& bus_;
  Streams& streams_;
  Store* store_;
  ConsumersOptions options_;
  std::map<std::string, ByName, std::less<>> streams_by_name_;
  std::map<ConsumerKey, Consumer*> by_key_;
  size_t total_ = 0;
  size_t direct_ = 0;  ///< of these, hidden ones of mirrors and sources
  /// Closed ones; freed from the loop, because the call that closed them may come from within.
  std::vector<std::unique_ptr<Consumer>> closed_;
  bool burying_ = false;
  uint64_t unreadable_ = 0;
  std::map<std::string, OfflineConsumers, std::less<>> offline_;  ///< by stream
  std::map<ConsumerKey, std::unique_ptr<OfflineInterest>> offline_interest_;
  std::shared_ptr<LocalConsumers*> anchor_;
};

void LocalConsumers::start() {
  if (store_ != nullptr) {
    store_->set_consumer_snapshot_source([this](ConsumerKey key) {
      const auto found = by_key_.find(key);
      return found == by_key_.end() ? std::string() : found->second->snapshot();
    });
  }
  streams_.each([this](Stream& stream) { recover(stream); });
  streams_.on_created([this](Stream& stream) {
    if (!streams_by_name_.contains(stream.config().name)) streams_by_name_[stream.config().name];
  });
  streams_.on_deleting([this](Stream& stream) { drop_stream(stream); });
}

Consumer::Place LocalConsumers::place(Stream& stream, bool kept, ConsumerKey key) {
  return Consumer::Place{
      .env = env_,
      .bus = bus_,
      .stream = stream,
      .store = kept ? store_ : nullptr,
      .key = key,
      .options = options_,
      .on_inactive = [this](Consumer& c) { (void)remove(c.stream().config().name, c.name()); }};
}

Consumer& LocalConsumers::adopt(std::unique_ptr<Consumer> consumer) {
  Consumer& it = *consumer;
  if (it.kept()) by_key_[it.key()] = &it;
  auto& slot = streams_by_name_[it.stream().config().name][it.name()];
  SLUICE_CHECK(slot == nullptr);
  slot = std::move(consumer);
  ++total_;
  if (it.config().direct) ++direct_;
  it.stream().add_observer(it);
  return it;
}

void LocalConsumers::recover(Stream& stream) {
  streams_by_name_[stream.config().name];
  if (store_ == nullptr || stream.config().storage != StorageKind::kFile) return;
  std::vector<Consumer*> recovered;
  for (const RecoveredConsumer& found : store_->consumers(stream.config().name)) {
    auto meta = parse_consumer_meta(found.meta);
    if (!meta || meta->config.name != found.name) {
      auto beyond = beyond_api_level(found.meta, options_.api_level);
      std::string why = beyond ? *std::move(beyond) : meta ? "its name differs" : meta.error().detail;
      SLUICE_LOG(log_, kError, "consumer is offline, its state is kept stream={} consumer={} why={}", found.stream,
                 found.name, why);
      offline_[found.stream].emplace(found.name, OfflineConsumer{std::move(why), found.key});
      auto& interest = offline_interest_[found.key] = std::make_unique<OfflineInterest>(filters_of(found.meta));
      stream.add_observer(*interest);
      continue;
    }
    auto consumer = std::make_unique<Consumer>(place(stream, true, found.key), meta->config, meta->created);
    by_key_[found.key] = consumer.get();
    if (!consumer->recover(found)) ++unreadable_;
    recovered.push_back(&adopt(std::move(consumer)));
  }
  for (Consumer* consumer : recovered) consumer->run();
  stream.interest_changed();
}

Result<Consumer*> LocalConsumers::put(Stream& stream, ConsumerConfig config, ConsumerAction action, bool pedantic) {
  const ConsumerLimitsInForce limit = limits();
  if (config.is_durable() && config.name.empty()) config.name = config.durable_name;
  const bool says_threshold = config.inactive_threshold.count() != 0;
  if (Status s = normalise_consumer_config(config, stream.config(), limit, pedantic); !s) return std::unexpected(s.error());
  if (Status s = check_consumer_config(config, stream.config(), limit); !s) return std::unexpected(s.error());
  if (config.num_replicas > 1) return no(10074);
  // Each copier gets one of its own; the name it asked for is only the front of it.
  if (config.direct) config.name += (config.name.empty() ? "" : "-") + random_base62(kEphemeralNameLength, env_.random);
  if (Consumer* existing = config.name.empty() ? nullptr : find(stream.config().name, config.name)) {
    // One that stays when idle is given no end by default: a durable one may be updated by its name alone.
    if (!says_threshold && existing->config().inactive_threshold.count() == 0)
      config.inactive_threshold = stream.config().consumer_limits.inactive_threshold;
    if (action != ConsumerAction::kCreate) return update(*existing, std::move(config));
    if (comparable(existing->config()) == comparable(config)) return existing;
    return no(10148);
  }
  if (action == ConsumerAction::kUpdate) return no(10149);
  config.name_made = config.name.empty();
  if (config.name_made) config.name = fresh_name(stream);
  return create(stream, config);
}

Status LocalConsumers::check_among_others(Stream& stream, const ConsumerConfig& config) {
  // A mirror or source elsewhere reads a work queue as it likes: servers before 2.15 ask with ack none.
  if (stream.config().retention != Retention::kWorkQueue || config.direct) return {};
  std::vector<const ConsumerConfig*> others;
  each(stream.config().name, [&](Consumer& other) {
    if (other.name() != config.name) others.push_back(&other.config());
  });
  return check_work_queue(config, others);
}

Result<Consumer*> LocalConsumers::create(Stream& stream, const ConsumerConfig& config) {
  if (!config.direct) {  // those of mirrors and sources do not count
    const int64_t bound = stream.config().max_consumers;
    if (bound > 0 && count(stream.config().name) >= static_cast<size_t>(bound)) return no(10026);
    const int64_t most = options_.max_consumers_per_stream;
    if (most > 0 && count(stream.config().name) >= static_cast<size_t>(most))
      return no(10026);
  }
  if (Status s = check_among_others(stream, config); !s) return std::unexpected(s.error());
  return adopt_new(stream, config);
}

Consumer* LocalConsumers::adopt_new(Stream& stream, const ConsumerConfig& config, const ConsumerImage* image) {
  const WallNanos created = env_.clock.wall();
  const bool kept = is_kept(stream, config);
  ConsumerKey key;
  if (kept) {
    const std::string meta = consumer_meta_json({created, config});
    key = store_->put_consumer(stream.config().name, config.name, meta);
  }
  Consumer& it = adopt(std::make_unique<Consumer>(place(stream, kept, key), config, created));
  if (image != nullptr)
    it.begin_from(*image);
  else
    it.begin();
  it.run();
  if (!config.direct) it.advisories().created();
  stream.interest_changed();
  return &it;
}

void LocalConsumers::store_meta(const Consumer& consumer, const ConsumerConfig& config) {
  if (!consumer.kept()) return;
  store_->put_consumer(consumer.stream().config().name, consumer.name(),
                       consumer_meta_json({consumer.created(), config}));
}

Result<Consumer*> LocalConsumers::restore(Stream& stream, const PortableConsumer& saved) {
  ConsumerConfig config = saved.config;
  if (config.name.empty()) config.name = config.durable_name;
  if (config.name.empty()) return no(10052, "invalid consumer name");
  const ConsumerLimitsInForce limit = limits();
  if (Status s = normalise_consumer_config(config, stream.config(), limit, false); !s) return std::unexpected(s.error());
  if (Status s = check_consumer_config(config, stream.config(), limit); !s) return std::unexpected(s.error());
  if (find(stream.config().name, config.name) != nullptr) return no(10148);
  return adopt_new(stream, config, &saved.image);
}

Result<Consumer*> LocalConsumers::update(Consumer& existing, ConsumerConfig config) {
  const ConsumerConfig& before = existing.config();
  config.pause_until = before.pause_until;  // only PAUSE changes it
  config.name_made = before.name_made;
  if (comparable(before) == comparable(config)) return &existing;
  const bool moves = before.is_push() && config.is_push() && before.deliver_subject != config.deliver_subject;
  if (moves && bus_.has_interest(before.deliver_subject, before.deliver_group)) return no(10013);
  if (Status s = check_consumer_update(before, config); !s) return std::unexpected(s.error());
  if (Status s = check_among_others(existing.stream(), config); !s) return std::unexpected(s.error());
  const bool new_filters = before.filters() != config.filters();
  store_meta(existing, config);
  existing.update(config);
  if (new_filters) existing.stream().interest_changed();
  return &existing;
}

void LocalConsumers::pause(Consumer& consumer, WallNanos until) {
  consumer.pause(until);
  store_meta(consumer, consumer.config());
}

Result<StreamSeq> LocalConsumers::reset(Consumer& consumer, std::optional<StreamSeq> to) {
  const auto start = consumer.reset(to);
  if (start) consumer.stream().interest_changed();
  return start;
}

std::string LocalConsumers::fresh_name(Stream& stream) {
  while (true) {
    std::string name = random_base62(kEphemeralNameLength, env_.random);
    if (find(stream.config().name, name) == nullptr) return name;
  }
}

const OfflineConsumers& LocalConsumers::offline(std::string_view stream) const {
  static const OfflineConsumers none;
  const auto found = offline_.find(stream);
  return found == offline_.end() ? none : found->second;
}

Status LocalConsumers::remove(std::string_view stream, std::string_view consumer) {
  if (const auto at_stream = offline_.find(stream); at_stream != offline_.end()) {
    if (const auto found = at_stream->second.find(consumer); found != at_stream->second.end()) {
      store_->delete_consumer(found->second.key);
      const auto interest = offline_interest_.extract(found->second.key);
      at_stream->second.erase(found);
      if (Stream* its_stream = streams_.find(stream); its_stream != nullptr && !interest.empty()) {
        its_stream->remove_observer(*interest.mapped());
        its_stream->interest_changed();
      }
      return {};
    }
  }
  const auto of = streams_by_name_.find(stream);
  if (of == streams_by_name_.end()) return no(10014);
  const auto at = of->second.find(consumer);
  if (at == of->second.end()) return no(10014);
  Stream& its_stream = at->second->stream();
  discard(at, of->second);
  its_stream.interest_changed();
  return {};
}

void LocalConsumers::discard(ByName::iterator at, ByName& of) {
  std::unique_ptr<Consumer> consumer = std::move(at->second);
  of.erase(at);
  --total_;
  if (consumer->config().direct) --direct_;
  if (!consumer->config().direct) consumer->advisories().deleted();
  consumer->close("409 Consumer Deleted", false);
  if (consumer->kept()) {
    by_key_.erase(consumer->key());
    store_->delete_consumer(consumer->key());
  }
  bury(std::move(consumer));
}

void LocalConsumers::bury(std::unique_ptr<Consumer> consumer) {
  closed_.push_back(std::move(consumer));
  if (burying_) return;
  burying_ = true;
  env_.executor.post([weak = std::weak_ptr<LocalConsumers*>(anchor_)] {
    const auto self = weak.lock();
    if (!self) return;
    (*self)->burying_ = false;
    std::vector<std::unique_ptr<Consumer>> gone;
    gone.swap((*self)->closed_);
  });
}

void LocalConsumers::drop_stream(Stream& stream) {
  if (const auto offline = offline_.find(stream.config().name); offline != offline_.end()) {
    for (const auto& [name, consumer] : offline->second)
      if (const auto interest = offline_interest_.extract(consumer.key); !interest.empty())
        stream.remove_observer(*interest.mapped());
    offline_.erase(offline);
  }
  const auto of = streams_by_name_.find(stream.config().name);
  if (of == streams_by_name_.end()) return;
  while (!of->second.empty()) discard(of->second.begin(), of->second);
  streams_by_name_.erase(stream.config().name);
}

Consumer* LocalConsumers::find(std::string_view stream, std::string_view consumer) {
  const auto of = streams_by_name_.find(stream);
  if (of == streams_by_name_.end()) return nullptr;
  const auto at = of->second.find(consumer);
  return at == of->second.end() || at->second->config().direct ? nullptr : at->second.get();
}

void LocalConsumers::each(std::string_view stream, const std::function<void(Consumer&)>& visit) {
  const auto of = streams_by_name_.find(stream);
  if (of == streams_by_name_.end()) return;
  for (const auto& [name, consumer] : of->second)
    if (!consumer->config().direct) visit(*consumer);
}

size_t LocalConsumers::count(std::string_view stream) const {
  const auto of = streams_by_name_.find(stream);
  if (of == streams_by_name_.end()) return 0;
  return static_cast<size_t>(std::count_if(of->second.begin(), of->second.end(), [](const auto& entry) {
    return !entry.second->config().direct;
  }));
}

void LocalConsumers::when_durable(Stream& stream, std::move_only_function<void()> done) {
  if (store_ == nullptr || stream.config().storage != StorageKind::kFile) return stream.when_durable(std::move(done));
  store_->when_durable(store_->last_commit(), std::move(done));
}

void LocalConsumers::shut_down() {
  for (auto& [stream, consumers] : streams_by_name_) {
    for (auto& [name, consumer] : consumers) consumer->close("409 Server Shutdown", true);
  }
}

void LocalConsumers::collect(MetricSink& sink) const {
  ConsumerCounters sum;
  size_t pending = 0;
  for (const auto& [stream, consumers] : streams_by_name_) {
    for (const auto& [name, consumer] : consumers) {
      const ConsumerCounters& c = consumer->counters();
      sum.delivered += c.delivered;
      sum.redelivered += c.redelivered;
      sum.acked += c.acked;
      sum.exhausted += c.exhausted;
      pending += consumer->state().pending().size();
    }
  }
  const auto number = [](auto value) { return static_cast<double>(value); };
  sink.gauge("sluice_consumers", "Consumers of all streams.", {}, number(total_));
  sink.gauge("sluice_consumer_ack_pending_messages", "Delivered and not yet acknowledged.", {}, number(pending));
  sink.counter("sluice_consumer_delivered_total", "Messages handed out.", {}, number(sum.delivered));
  sink.counter("sluice_consumer_redelivered_total", "Of these, not for the first time.", {}, number(sum.redelivered));
  sink.counter("sluice_consumer_acked_total", "Messages acknowledged or terminated.", {}, number(sum.acked));
  sink.counter("sluice_consumer_exhausted_total", "Given up after max_deliver.", {}, number(sum.exhausted));
  sink.counter("sluice_consumer_unreadable_total", "Records found unreadable at start.", {}, number(unreadable_));
  size_t offline = 0;
  for (const auto& [stream, consumers] : offline_) offline += consumers.size();
  sink.gauge("sluice_consumers_offline", "Consumers on disk that this version can't serve.", {}, number(offline));
}

}  // namespace

std::unique_ptr<Consumers> Consumers::make(Env& env, Bus& bus, Streams& streams, Store* store,
                                           const ConsumersOptions& options) {
  auto consumers = std::make_unique<LocalConsumers>(env, bus, streams, store, options);
  consumers->start();
  return consumers;
}

}  // namespace sluice
