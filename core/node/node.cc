#include "node/node.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "crypto/digest.h"
#include "node/storage_advisory.h"
#include "server/version.h"

namespace sluice {
namespace {

constexpr Logger log_{"node"};

ApiLimits shown(const JetStreamLimits& limits) {
  return {.max_memory = limits.max_memory,
          .max_storage = limits.max_storage,
          .max_streams = limits.max_streams,
          .max_consumers = limits.max_consumers,
          .max_ack_pending = limits.max_ack_pending,
          .memory_max_stream_bytes = limits.memory_max_stream_bytes,
          .storage_max_stream_bytes = limits.storage_max_stream_bytes,
          .max_bytes_required = limits.max_bytes_required};
}

}  // namespace

Node::Node(Env& env, NodeOptions options)
    : env_(env),
      options_(std::move(options)),
      room_(options_.max_file_bytes, options_.max_memory_bytes) {}

Node::~Node() = default;

Result<std::unique_ptr<Node>> Node::make(Env& env, NodeOptions options) {
  std::unique_ptr<Node> node(new Node(env, std::move(options)));
  if (auto opened = node->open(); !opened) return std::unexpected(opened.error());
  return node;
}

Status Node::open() {
  if (options_.server.jetstream) {
    auto store = Store::open(env_, options_.store);
    if (!store) return std::unexpected(store.error());
    store_ = std::move(*store);
    account_stores_ = std::make_unique<AccountStores>(*store_);
  }
  server_ = std::make_unique<Server>(env_, options_.server);
  if (!options_.server.jetstream) return {};
  store_->on_event([this](const StoreEvent& event) {
    if (event.kind != StoreEvent::Kind::kNoSpace) return;
    advise_out_of_storage(env_, server_->accounts().system().router(),
                          {.server_name = server_->name(),
                           .server_id = server_->id(),
                           .domain = options_.server.domain});
  });
  server_->accounts().each([this](Account& account) { serve_jetstream(account); });
  server_->on_account_changed([this](Account& account) { serve_jetstream(account); });
  return {};
}

/// Streams of an account that gets JetStream while running are there at once, new limits hold from then
/// on. Its end waits for a restart.
void Node::serve_jetstream(Account& account) {
  const auto& wanted = account.options().jetstream;
  if (AccountEngine* running = engine(account.name()); running != nullptr) {
    if (wanted) {
      set_limits(account, *running);
    } else {
      SLUICE_LOG(log_, kWarn, "JetStream of an account ends at the next start account={}", account.name());
    }
  } else if (wanted) {
    refusals_.erase(account.name());
    auto made = make_engine(account);
    const auto after = std::ranges::find_if(engines_, [&](const auto& e) { return e->account > made->account; });
    engines_.insert(after, std::move(made));
  } else if (!refusals_.contains(account.name())) {
    refusals_.emplace(account.name(), ApiRefusal::make(account.router(), 10039));
  }
}

/// What the account's options say goes on top of the server's.
Node::EngineOptions Node::engine_options(const Account& account) const {
  EngineOptions out{options_.streams, options_.consumers, {}};
  const JetStreamLimits& limits = *account.options().jetstream;
  out.streams.max_file_bytes = limits.max_storage;
  out.streams.max_memory_bytes = limits.max_memory;
  if (limits.max_streams >= 0) out.streams.max_streams = limits.max_streams;
  out.streams.max_file_stream_bytes = limits.storage_max_stream_bytes;
  out.streams.max_memory_stream_bytes = limits.memory_max_stream_bytes;
  out.streams.max_bytes_required = limits.max_bytes_required;
  const auto& tiers = account.options().jetstream_tiers;
  out.streams.no_tier = !tiers.empty() && tiers.front().first != "R1";
  if (limits.max_ack_pending >= 0) out.consumers.max_ack_pending_limit = limits.max_ack_pending;
  if (limits.max_consumers >= 0) out.consumers.max_consumers_per_stream = limits.max_consumers;
  out.api.limits = shown(limits);
  out.api.limits.max_streams = out.streams.max_streams;
  out.api.limits.max_consumers = out.consumers.max_consumers_per_stream;
  for (const auto& [name, tier] : tiers) out.api.tiers.emplace_back(name, shown(tier));
  return out;
}

void Node::set_limits(const Account& account, AccountEngine& engine) {
  const EngineOptions options = engine_options(account);
  engine.streams->set_limits(options.streams);
  engine.consumers->set_limits(options.consumers);
  engine.api->set_limits(options.api);
}

std::unique_ptr<AccountEngine> Node::make_engine(Account& account) {
  const bool global = account.name() == kGlobalAccount;
  auto engine = std::make_unique<AccountEngine>();
  engine->account = account.name();
  auto [streams, consumers, api] = engine_options(account);
  engine->store = account_stores_->open(global ? std::string_view() : account.name());

  streams.domain = options_.server.domain;
  streams.account = engine->account;
  streams.system_bus = &server_->accounts().system().router();
  streams.api_level = kApiLevel;
  streams.room = &room_;
  engine->streams = Streams::make(env_, account.router(), engine->store.get(), streams);

  consumers.domain = options_.server.domain;
  consumers.api_level = kApiLevel;
  consumers.account = account.name();
  consumers.account_hash = short_hash(account.name());
  engine->consumers = Consumers::make(env_, account.router(), *engine->streams,
                                      engine->store.get(), consumers);

  api.client_info = [this](uint64_t cid) { return server_->client_info(cid, true).json; };
  api.server_name = server_->name();
  api.server_id = server_->id();
  api.domain = options_.server.domain;
  api.unknown_keys = options_.server.lenient_requests ? UnknownKeys::kIgnore : UnknownKeys::kRefuse;
  api.max_duplicate_window = streams.max_duplicate_window;
  api.version = std::string(kCompatVersion);
  api.api_level = kApiLevel;
  engine->api = ApiDispatcher::make(env_, account.router(), engine->store.get(), *engine->streams,
                                    *engine->consumers, api);
  engine->digests = std::make_unique<DigestService>(env_, account.router(), *engine->streams, options_.server.domain);
  engine->sourcing = Sourcing::make(
      env_, account.router(), *engine->streams,
      {.account = engine->account,
       .domain = options_.server.domain,
       .remotes = global ? options_.remotes : std::vector<SourcingRemote>{}});
  return engine;
}

AccountEngine* Node::engine(std::string_view account) {
  const auto found = std::ranges::find(engines_, account,
                                       [](const auto& e) { return std::string_view(e->account); });
  return found == engines_.end() ? nullptr : found->get();
}

AccountEngine& Node::global_engine() {
  AccountEngine* engine = this->engine(kGlobalAccount);
  SLUICE_CHECK(engine != nullptr);
  return *engine;
}

Status Node::start() {
  if (Status begun = server_->start(); !begun || !options_.leaf.enabled()) return begun;
  leaf_ = std::make_unique<LeafNodes>(env_, *server_, options_.leaf);
  return leaf_->start();
}

void Node::stop(DrainPlan plan, std::move_only_function<void(Status)> done) {
  for (const auto& engine : engines_) engine->consumers->shut_down();
  if (leaf_ != nullptr) leaf_->stop();
  server_->drain(plan, [this, done = std::move(done)]() mutable {
    if (!store_) {
      done({});
      return;
    }
    // No request comes any more: what is in the journal's buffer now is the last of it.
    for (const auto& engine : engines_) {
      engine->sourcing.reset();
      engine->digests.reset();
      engine->api.reset();
    }
    store_->close(std::move(done));
  });
}

void Node::collect(MetricSink& sink) const {
  server_->collect(sink);
  if (leaf_ != nullptr) leaf_->collect(sink);
  if (!store_) return;
  store_->collect(sink);
  for (const auto& engine : engines_) {
    engine->streams->collect(sink);
    engine->consumers->collect(sink);
    if (engine->api) engine->api->collect(sink);
    if (engine->digests) engine->digests->collect(sink);
    if (engine->sourcing) engine->sourcing->collect(sink);
  }
}

}  // namespace sluice
