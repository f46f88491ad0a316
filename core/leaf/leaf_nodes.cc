#include "leaf/leaf_nodes.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/nuid.h"
#include "crypto/nkey.h"
#include "crypto/signature.h"
#include "leaf/leaf_url.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr Logger log_{"leaf"};
/// After a link was cut, its interest is on its way out of the others for so long at most.
constexpr std::chrono::seconds kLoopSettles{2};

}  // namespace

Status check_leaf_options(const LeafOptions& options) {
  for (const LeafRemoteOptions& remote : options.remotes) {
    if (remote.urls.empty()) return fail(Errc::kInvalidArgument, "a leaf remote needs a URL");
    for (const std::string& url : remote.urls) {
      if (auto parsed = parse_leaf_url(url); !parsed) return std::unexpected(parsed.error());
    }
    if (!remote.user_seed.empty() && !decode_user_seed(remote.user_seed))
      return fail(Errc::kInvalidArgument, "the nkey of a leaf remote is no user seed");
    for (const auto* list : {&remote.deny_imports, &remote.deny_exports}) {
      for (const std::string& subject : *list) {
        if (!is_valid_subject(subject))
          return fail(Errc::kInvalidArgument, "subject \"" + subject + "\" is not a valid subject");
      }
    }
  }
  return {};
}

LeafNodes::LeafNodes(Env& env, Server& server, LeafOptions options)
    : env_(env),
      server_(server),
      options_(std::move(options)),
      tls_(env.clock, env.timers, server.handshakes()),
      world_{.env = env_, .server = server, .options = options_, .users = users_, .counters = counters_, .host = *this} {}

LeafNodes::~LeafNodes() {
  *self_ = nullptr;
  stop();
}

Status LeafNodes::start() {
  if (Status fine = check_leaf_options(options_); !fine) return fine;
  auto users = LeafUsers::make(options_, server_.accounts());
  if (!users) return std::unexpected(users.error());
  users_ = std::move(*users);
  if (options_.listen) {
    if (Status begun = start_listener(); !begun) return begun;
  }
  for (const LeafRemoteOptions& remote : options_.remotes) {
    if (Status added = add_remote(remote); !added) return added;
  }
  for (const auto& remote : remotes_) dial(*remote);
  return {};
}

Status LeafNodes::start_listener() {
  if (options_.tls.enabled()) {
    if (Status loaded = tls_.load(options_.tls, false); !loaded) return loaded;
  }
  auto listener = env_.network.listen(
      options_.host, options_.port,
      [this](std::unique_ptr<Transport> transport) { accept(std::move(transport)); });
  if (!listener) return std::unexpected(std::move(listener.error()));
  listener_ = std::move(*listener);
  world_.port = listener_->port();
  world_.tls = tls_.enabled();
  world_.tls_verify = tls_.verifies();
  SLUICE_LOG(log_, kInfo, "listening for leaf nodes host={} port={}", options_.host, port());
  return {};
}

Status LeafNodes::reload_tls(const TlsListenerOptions& tls) {
  return tls_.enabled() ? tls_.load(tls, false) : Status{};
}

Status LeafNodes::add_remote(const LeafRemoteOptions& options) {
  Account* account = options.account.empty() ? &server_.accounts().global()
                                             : server_.accounts().find(options.account);
  if (account == nullptr)
    return fail(Errc::kInvalidArgument,
                "leafnodes: account \"" + options.account + "\" of a remote is not there");
  auto remote = std::make_unique<Remote>();
  remote->options = &options;
  remote->account = account;
  remote->order.resize(options.urls.size());
  std::iota(remote->order.begin(), remote->order.end(), size_t{0});
  if (!options.no_randomize) {
    for (size_t i = remote->order.size(); i > 1; --i)
      std::swap(remote->order[i - 1], remote->order[env_.random.below(i)]);
  }
  remote->retry = env_.timers.make([this, raw = remote.get()] { dial(*raw); });
  remotes_.push_back(std::move(remote));
  return {};
}

void LeafNodes::accept(std::unique_ptr<Transport> transport) {
  if (links_.size() >= options_.max_connections || (tls_.enabled() && !tls_.admit())) return;
  ++counters_.accepted;
  if (tls_.enabled()) transport = tls_.wrap(std::move(transport));
  auto owned = std::make_unique<LeafLink>(world_, std::move(transport));
  LeafLink& link = *owned;
  links_.emplace(link.id(), std::move(owned));
  link.start();
}

void LeafNodes::dial(Remote& remote) {
  if (stopped_) return;
  const std::string& url = remote.options->urls[remote.order[remote.next]];
  remote.next = (remote.next + 1) % remote.order.size();
  const LeafUrl parsed = *parse_leaf_url(url);
  remote.dialling = env_.network.connect(
      parsed.host, parsed.port,
      [this, &remote, url](Result<std::unique_ptr<Transport>> transport) {
        on_dialled(remote, url, std::move(transport));
      });
}

void LeafNodes::on_dialled(Remote& remote, const std::string& url,
                           Result<std::unique_ptr<Transport>> transport) {
  remote.dialling.release();
  const LeafUrl parsed = *parse_leaf_url(url);
  if (!transport) return retry_later(remote, transport.error().detail, options_.reconnect);
  auto owned = std::make_unique<LeafLink>(world_, make_upgradable(std::move(*transport)),
                                          *remote.options, *remote.account, parsed);
  LeafLink& link = *owned;
  remote.link_id = link.id();
  hubs_.insert(link.id());
  links_.emplace(link.id(), std::move(owned));
  link.start();
}

void LeafNodes::retry_later(Remote& remote, const std::string& why, std::chrono::nanoseconds wait) {
  if (stopped_) return;
  if (why != remote.last_error) {  // once for each reason, not for each try
    SLUICE_LOG(log_, kWarn, "hub not linked account={} why=\"{}\"", remote.account->name(), why);
    remote.last_error = why;
  }
  wait = std::max(wait, options_.reconnect);
  // Not all at the same time: two links that close a loop would cut each other for ever.
  const auto spread = static_cast<uint64_t>(wait.count() / 4);
  remote.retry->start(wait + std::chrono::nanoseconds(env_.random.below(spread + 1)));
}

void LeafNodes::on_link_open(LeafLink& link) {
  for (const auto& remote : remotes_) {
    if (remote->link_id == link.id()) remote->last_error.clear();
  }
  // The same server again, for the same account: its earlier session is dead, however it looks.
  std::vector<LeafLink*> stale;
  for (const auto& [id, other] : links_) {
    const bool same = id != link.id() && other->open() && !other->is_spoke() && !link.is_spoke() &&
                      other->account() == link.account() && !link.remote_id().empty() &&
                      other->remote_id() == link.remote_id() &&
                      other->remote_account() == link.remote_account();
    if (same) stale.push_back(other.get());
  }
  for (LeafLink* other : stale)
    other->close({Errc::kRefused, 0, "Duplicate Remote LeafNode Connection"});
}

void LeafNodes::on_link_closed(LeafLink& link, const Error& why, std::chrono::nanoseconds wait) {
  const uint64_t id = link.id();
  hubs_.erase(id);
  auto found = links_.extract(id);
  SLUICE_CHECK(!found.empty());
  dead_.push_back(std::move(found.mapped()));
  if (dead_.size() == 1) {
    env_.executor.post([self = self_] {
      if (*self != nullptr) (*self)->dead_.clear();
    });
  }
  for (const auto& remote : remotes_) {
    if (remote->link_id != id) continue;
    remote->link_id = 0;
    retry_later(*remote, why.detail, wait);
  }
}

const std::string& LeafNodes::loop_subject(Account& account) {
  LoopMark& mark = loops_[&account];
  if (mark.subscription == nullptr) {
    mark.subject = "$LDS." + make_nuid(env_.random);
    mark.subscription =
        account.router().subscribe(mark.subject, {}, [](const Message&, const Origin&) {});
  }
  return mark.subject;
}

LeafLink* LeafNodes::link_to_cut(LeafLink& looped) {
  LoopMark& mark = loops_[looped.account()];
  const MonoTime now = env_.clock.now();
  if (mark.last_cut != MonoTime::zero() && now - mark.last_cut < kLoopSettles) return nullptr;
  mark.last_cut = now;
  LeafLink* last = &looped;
  for (const auto& [id, link] : links_) {
    if (link->open() && link->account() == looped.account() && id > last->id()) last = link.get();
  }
  return last;
}

void LeafNodes::stop() {
  stopped_ = true;
  listener_.reset();
  for (const auto& remote : remotes_) {
    remote->retry->stop();
    remote->dialling = Ticket();
  }
  std::vector<LeafLink*> open;
  for (const auto& [id, link] : links_) open.push_back(link.get());
  for (LeafLink* link : open) link->close({Errc::kClosed, 0, "Server Shutdown"});
  dead_.clear();
  loops_.clear();
}

size_t LeafNodes::open_count() const {
  return static_cast<size_t>(
      std::ranges::count_if(links_, [](const auto& entry) { return entry.second->open(); }));
}

std::vector<LeafFigures> LeafNodes::figures() const {
  std::vector<LeafFigures> all;
  for (const auto& [id, link] : links_) {
    if (link->open()) all.push_back(link->figures());
  }
  std::ranges::sort(all, {}, &LeafFigures::id);
  return all;
}

void LeafNodes::collect(MetricSink& sink) const {
  const auto counter = [&sink](std::string_view name, std::string_view help, uint64_t value) {
    sink.counter(name, help, {}, static_cast<double>(value));
  };
  sink.gauge("sluice_leaf_links", "Open links to other servers.", {},
             static_cast<double>(open_count()));
  counter("sluice_leaf_links_opened_total", "Links opened, either role.", counters_.connected);
  counter("sluice_leaf_links_lost_total", "Open links that ended.", counters_.lost);
  counter("sluice_leaf_authentication_failures_total", "Leaf nodes refused for their credentials.",
          counters_.auth_failures);
  counter("sluice_leaf_protocol_errors_total", "Links cut for bytes that are not the protocol.",
          counters_.protocol_errors);
  counter("sluice_leaf_loops_total", "Links cut because they closed a loop.", counters_.loops);
  counter("sluice_leaf_denied_messages_total",
          "Messages and interest dropped by deny lists, permissions or size.",
          counters_.denied_messages);
  counter("sluice_leaf_slow_links_total", "Links cut because the other side did not read.",
          counters_.slow);
  counter("sluice_leaf_received_messages_total", "Messages received over links.", counters_.in_msgs);
  counter("sluice_leaf_received_bytes_total", "Headers and payload of them.", counters_.in_bytes);
  counter("sluice_leaf_sent_messages_total", "Messages sent over links.", counters_.out_msgs);
  counter("sluice_leaf_sent_bytes_total", "Headers and payload of them.", counters_.out_bytes);
}

}  // namespace sluice
