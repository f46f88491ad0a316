#include "replicator/replicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/parse_number.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kOrdersInterval{1};

/// Who leads waits until it is known what was copied before.
void sample(StreamCopy& copy, bool leads, uint64_t token) {
  copy.set_ready(false);
  if (!leads) return copy.limiter()->rest();
  copy.limiter()->lead(token, [&copy] { copy.set_ready(true); });
}

}  // namespace

/// Links outlive the clients on them, those outlive the copy.
struct Replicator::Copy {
  std::unique_ptr<NatsLink> source_link;
  std::unique_ptr<NatsLink> target_link;
  std::unique_ptr<NatsLink> control_link;
  std::unique_ptr<StreamClient> source;
  std::unique_ptr<StreamClient> target;
  std::unique_ptr<StreamClient> control;
  std::unique_ptr<StreamCopy> copy;
  std::unique_ptr<Leadership> leadership;

  /// Copy, then tracker, then the leader's key: who takes over finds all of it.
  void stop(std::move_only_function<void()> done) {
    copy->stop([this, finished = std::move(done)]() mutable {
      auto give_key_back = [this, last = std::move(finished)]() mutable {
        if (!leadership) return last();
        leadership->stop(std::move(last));
      };
      if (!copy->limiter()) return give_key_back();
      copy->limiter()->stop(std::move(give_key_back));
    });
  }
};

Replicator::Replicator(Env& env, ReplicatorOptions options, std::string host, LinkFactory make_link)
    : env_(env),
      options_(std::move(options)),
      host_(std::move(host)),
      make_link_(std::move(make_link)),
      orders_timer_(env.timers.make([this] { look_for_orders(); })) {}

Replicator::~Replicator() = default;

Status Replicator::build(const StreamCopyOptions& wanted) {
  auto made = std::make_unique<Copy>();
  StreamCopyOptions options = wanted;
  if (options.name.empty()) options.name = options_.name;
  auto join = [&](LinkOptions where, std::string_view side, std::unique_ptr<NatsLink>& link,
                  std::unique_ptr<StreamClient>& client) -> Status {
    if (where.name.empty()) where.name = fmt::format("Choria Stream Replicator: {}", side);
    auto linked = make_link_(where);
    if (!linked) return fail(linked.error().code, fmt::format("copy of '{}': {}", wanted.stream, linked.error().detail));
    link = *std::move(linked);
    client = StreamClient::make(env_, *link);
    return {};
  };
  // The third link carries little that is worth a dictionary.
  const auto with_dictionaries = [&](LinkOptions where, std::string_view end) {
    if (options_.state_dir.empty()) return where;
    const std::string name = fmt::format("{}_{}", options.id(), end);
    dictionary_folders_.insert(name);
    where.dictionary_folder = fmt::format("{}/{}", dictionary_root(), name);
    return where;
  };
  if (auto joined = join(with_dictionaries(options.source, "source"), options.stream, made->source_link, made->source); !joined) return joined;
  if (auto joined = join(with_dictionaries(options.target, "target"), options.stream, made->target_link, made->target); !joined) return joined;
  if (auto joined = join(options.source, "stream-replicator-advisories", made->control_link, made->control); !joined)
    return joined;
  std::unique_ptr<Limiter> limiter;
  if (options.inspect.enabled() && options.inspect.duration.count() != 0) {
    auto limits = Limiter::make(env_, options, options_.name, options_.state_dir, *made->control);
    if (!limits) return fail(limits.error().code, fmt::format("copy of '{}': {}", wanted.stream, limits.error().detail));
    limiter = *std::move(limits);
  }
  made->copy = std::make_unique<StreamCopy>(env_, options, options_.name, options_.state_dir,
                                            StreamCopy::Sites{*made->source, *made->target, *made->control},
                                            std::move(limiter));
  if (!options.leader_election_name.empty()) {
    StreamCopy* copy = made->copy.get();
    made->leadership = std::make_unique<Leadership>(
        env_, *made->control,
        ElectionOptions{.bucket = options_.election_bucket,
                        .name = worker_consumer_name(options.name) + "_" + options.stream,
                        .candidate = options.leader_election_name},
        [copy](bool leads, uint64_t token) {
          if (!leads) copy->set_leading(false);
          if (copy->limiter()) sample(*copy, leads, token);
          if (leads) copy->set_leading(true, token);
        });
    copy->set_proof([leadership = made->leadership.get()] { return leadership->may_act(); });
  }
  copies_.push_back(std::move(made));
  return {};
}

Status Replicator::build_heartbeat() {
  if (options_.heartbeats.subjects.empty()) return {};
  LinkOptions where = options_.heartbeats.target;
  if (where.name.empty()) where.name = "Choria Stream Replicator: subject-heartbeats";
  auto linked = make_link_(where);
  if (!linked) return fail(linked.error().code, "heartbeats: " + linked.error().detail);
  heartbeat_link_ = *std::move(linked);
  heartbeat_client_ = StreamClient::make(env_, *heartbeat_link_);
  heartbeat_ = std::make_unique<Heartbeat>(env_, *heartbeat_client_, options_.heartbeats, host_);
  if (!options_.heartbeats.leader_election) return {};
  heartbeat_->set_active(false);
  heartbeat_leadership_ = std::make_unique<Leadership>(
      env_, *heartbeat_client_,
      ElectionOptions{.bucket = options_.election_bucket, .name = "SR_" + options_.name + "_HB", .candidate = host_},
      [this](bool leads, uint64_t) { heartbeat_->set_active(leads); });
  return {};
}

Status Replicator::start() {
  for (const StreamCopyOptions& wanted : options_.streams) {
    if (auto built = build(wanted); !built) return built;
  }
  if (auto built = build_heartbeat(); !built) return built;
  remove_old_dictionaries();
  look_for_orders();
  for (auto& copy : copies_) {
    if (Limiter* limiter = copy->copy->limiter()) {
      limiter->start();
      sample(*copy->copy, !copy->leadership, 0);
    }
    if (auto started = copy->copy->start(!copy->leadership); !started) return started;
    if (copy->leadership) copy->leadership->start();
  }
  if (heartbeat_) heartbeat_->start();
  if (heartbeat_leadership_) heartbeat_leadership_->start();
  return {};
}

/// Of copies that are configured no more. Whoever shares the state folder loses what can be learnt again.
void Replicator::remove_old_dictionaries() {
  if (options_.state_dir.empty() || !env_.disk.exists(dictionary_root())) return;
  Status removed;
  const auto keep_error = [&](const Status& done) {
    if (!done && removed) removed = done;
  };
  const auto folders = env_.disk.list(dictionary_root());
  if (!folders) removed = std::unexpected(folders.error());
  for (const std::string& name : folders.value_or(std::vector<std::string>{})) {
    if (dictionary_folders_.contains(name)) continue;
    const std::string folder = dictionary_root() + "/" + name;
    const auto files = env_.disk.list(folder);
    const auto is_ours = [](const std::string& file) { return file.ends_with(".dict"); };
    if (!files || !std::ranges::all_of(*files, is_ours)) continue;
    for (const std::string& file : *files) keep_error(env_.disk.remove(folder + "/" + file));
    keep_error(env_.disk.remove_dir(folder));
  }
  if (!removed) SLUICE_LOG(log_, kWarn, "dictionaries of copies that are no more can't be removed folder={} error=\"{}\"", dictionary_root(), removed.error().detail);
}

void Replicator::look_for_orders() {
  orders_timer_->start(kOrdersInterval);
  if (options_.state_dir.empty()) return;
  for (auto& copy : copies_) {
    const std::string stem = options_.state_dir + "/" + copy->copy->options().id();
    copy->copy->set_paused(env_.disk.exists(stem + ".paused"));
    if (env_.disk.exists(stem + ".reset")) obey_reset(*copy, stem + ".reset");
  }
}

void Replicator::obey_reset(Copy& copy, const std::string& path) {
  std::string text(64, '\0');
  if (auto file = env_.disk.open(path, OpenMode::kRead)) {
    const auto size = (*file)->read_at(0, std::as_writable_bytes(std::span(text.data(), text.size())));
    text.resize(size.value_or(0));
  }
  if (auto removed = env_.disk.remove(path); !removed) {
    SLUICE_LOG(log_, kError, "order to begin anew can't be removed and is not obeyed file={} error=\"{}\"", path,
               removed.error().detail);
    return;
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  const auto seq = parse_decimal<uint64_t>(text);
  if (!seq && text != "start") {
    SLUICE_LOG(log_, kError, "order to begin anew is not understood file={}", path);
    return;
  }
  copy.copy->reset(seq ? std::optional(StreamSeq(*seq)) : std::nullopt);
}

void Replicator::stop(std::move_only_function<void()> done) {
  stopped_ = std::move(done);
  orders_timer_->stop();
  stopping_ = copies_.size() + 1 + (heartbeat_leadership_ ? 1 : 0);
  auto one_less = [this] {
    if (--stopping_ == 0) {
      auto finished = std::exchange(stopped_, nullptr);
      finished();
    }
  };
  for (auto& copy : copies_) copy->stop(one_less);
  if (heartbeat_) heartbeat_->set_active(false);
  if (heartbeat_leadership_) heartbeat_leadership_->stop(one_less);
  one_less();
}

std::vector<Replicator::CopyView> Replicator::copies() const {
  std::vector<CopyView> views;
  for (const auto& entry : copies_) {
    StreamCopy& copy = *entry->copy;
    views.push_back({copy.options(), copy.figures(), copy.lag(), copy.limiter(), entry->leadership.get()});
  }
  return views;
}

std::string Replicator::trouble() const {
  for (const auto& entry : copies_) {
    const CopyFigures& figures = entry->copy->figures();
    if (figures.state == CopyState::kBlocked)
      return fmt::format("copy {} is blocked: {}", entry->copy->options().id(), figures.last_error);
    if (entry->copy->lag().stalled) return fmt::format("copy {} has stalled: {}", entry->copy->options().id(), figures.last_error);
  }
  return "";
}

}  // namespace sluice
