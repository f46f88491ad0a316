#include "sourcing/sourcing.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "crypto/digest.h"
#include "sourcing/source_link.h"

namespace sluice {
namespace {

/// Links of one stream, in the order of its configuration.
using Links = std::vector<std::unique_ptr<SourceLink>>;

class AccountSourcing final : public Sourcing {
 public:
  AccountSourcing(Env& env, Bus& bus, Streams& streams, const SourcingOptions& options)
      : env_(env), streams_(streams), options_(options), bus_port_(make_bus_port(env, bus)) {}
  ~AccountSourcing() override {
    *alive_ = false;
    streams_.each([](Stream& stream) {
      if (StreamInbox* inbox = stream.inbox()) inbox->set_source_reporter(nullptr);
    });
  }

  void start();
  void collect(MetricSink& sink) const override;

 private:
  struct RemotePort {
    std::string external_api;
    std::unique_ptr<OriginPort> port;
    Ticket state;
  };

  void follow(Stream& stream);
  void refollow(Stream& stream, const StreamConfig& before);
  void leave(Stream& stream);
  void origin_appeared(const std::string& name);
  void add(Stream& stream, CopyKind kind, const StreamSource& source, Links& links);
  void report_for(Stream& stream);
  OriginPort& port_for(const StreamSource& source);
  void connected(OriginPort& port);
  void bury(Links links);

  Env& env_;
  Streams& streams_;
  const SourcingOptions options_;
  std::unique_ptr<OriginPort> bus_port_;
  std::vector<RemotePort> remotes_;
  SourcingCounters counters_;
  std::map<std::string, Links, std::less<>> links_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

void AccountSourcing::start() {
  for (const SourcingRemote& remote : options_.remotes) {
    RemotePort& made = remotes_.emplace_back();
    made.external_api = fmt::format("$JS.{}.API", remote.name);
    made.port = make_link_port(*remote.link, remote.domain);
    made.state = remote.link->on_state([this, alive = alive_, port = made.port.get()](LinkState state) {
      if (*alive && state == LinkState::kConnected) connected(*port);
    });
  }
  streams_.each([this](Stream& stream) { follow(stream); });
  streams_.on_created([this, alive = alive_](Stream& stream) {
    if (!*alive) return;
    follow(stream);
    origin_appeared(stream.config().name);
  });
  streams_.on_updated([this, alive = alive_](Stream& stream, const StreamConfig& before) {
    if (*alive) refollow(stream, before);
  });
  streams_.on_deleting([this, alive = alive_](Stream& stream) {
    if (*alive) leave(stream);
  });
}

OriginPort& AccountSourcing::port_for(const StreamSource& source) {
  if (source.external)
    for (const RemotePort& remote : remotes_)
      if (remote.external_api == source.external->api) return *remote.port;
  return *bus_port_;
}

void AccountSourcing::add(Stream& stream, CopyKind kind, const StreamSource& source, Links& links) {
  const bool mirror = kind == CopyKind::kMirror;
  const std::string& name = stream.config().name;
  CopyTarget target{.kind = kind,
                    .stream = name,
                    .account = options_.account,
                    .domain = options_.domain,
                    .consumer_name = fmt::format("{}{}", mirror ? "JS_MIRROR_" : "JS_SRC_",
                                                 short_hash(options_.account + " " + name))};
  links.push_back(std::make_unique<SourceLink>(env_, stream, port_for(source), std::move(target), source,
                                               counters_));
}

void AccountSourcing::follow(Stream& stream) {
  const StreamConfig& config = stream.config();
  StreamInbox* inbox = stream.inbox();
  if (inbox == nullptr || (!config.mirror && config.sources.empty())) return;
  Links& links = links_[config.name];
  if (config.mirror) add(stream, CopyKind::kMirror, *config.mirror, links);
  for (const StreamSource& source : config.sources) add(stream, CopyKind::kSource, source, links);
  report_for(stream);
  for (const auto& link : links) link->start();
}

void AccountSourcing::report_for(Stream& stream) {
  stream.inbox()->set_source_reporter([this, name = stream.config().name] {
    std::vector<SourceStatus> out;
    const auto found = links_.find(name);
    if (found == links_.end()) return out;
    for (const auto& link : found->second) out.push_back(link->status());
    return out;
  });
}

/// Sources that stay as they were go on undisturbed.
void AccountSourcing::refollow(Stream& stream, const StreamConfig& before) {
  const StreamConfig& now = stream.config();
  if (now.mirror == before.mirror && now.sources == before.sources) return;
  Links old;
  if (auto found = links_.extract(now.name)) old = std::move(found.mapped());
  if (now.mirror || now.sources.empty()) {
    if (StreamInbox* inbox = stream.inbox()) {
      inbox->set_source_reporter(nullptr);
      inbox->keep_sources({});
    }
    bury(std::move(old));
    return follow(stream);
  }
  Links& links = links_[now.name];
  std::vector<std::string> keys;
  for (const StreamSource& source : now.sources) {
    keys.push_back(source_key(source));
    const auto same = std::find_if(old.begin(), old.end(), [&](const auto& link) {
      return link != nullptr && link->source() == source;
    });
    if (same == old.end()) {
      add(stream, CopyKind::kSource, source, links);
      links.back()->start();
    } else {
      links.push_back(std::move(*same));
    }
  }
  std::erase(old, nullptr);
  bury(std::move(old));
  stream.inbox()->keep_sources(keys);
  report_for(stream);
}

void AccountSourcing::leave(Stream& stream) {
  if (auto found = links_.extract(stream.config().name)) bury(std::move(found.mapped()));
}

/// One of their own handlers may be on the stack.
void AccountSourcing::bury(Links links) {
  for (const auto& link : links) link->stop();
  env_.executor.post([gone = std::make_shared<Links>(std::move(links))] {});
}

void AccountSourcing::origin_appeared(const std::string& name) {
  for (const auto& [stream, links] : links_)
    for (const auto& link : links)
      if (!link->source().external && link->source().name == name) link->nudge();
}

void AccountSourcing::connected(OriginPort& port) {
  for (const auto& [stream, links] : links_)
    for (const auto& link : links)
      if (&port_for(link->source()) == &port) link->nudge();
}

void AccountSourcing::collect(MetricSink& sink) const {
  size_t links = 0;
  size_t failing = 0;
  uint64_t lag = 0;
  for (const auto& [stream, of] : links_) {
    for (const auto& link : of) {
      const SourceStatus status = link->status();
      ++links;
      failing += status.error ? 1 : 0;
      lag += status.lag;
    }
  }
  const auto number = [](auto value) { return static_cast<double>(value); };
  sink.gauge("sluice_sources", "Mirrors and sources of all streams.", {}, number(links));
  sink.gauge("sluice_sources_failing", "Of these, with an error now.", {}, number(failing));
  sink.gauge("sluice_sources_lag_messages", "Messages that origins have and their copies do not yet.", {},
             number(lag));
  sink.counter("sluice_sources_copied_total", "Messages copied.", {}, number(counters_.copied));
  sink.counter("sluice_sources_requests_total", "Consumers asked of origins.", {}, number(counters_.requests));
  sink.counter("sluice_sources_restarts_total", "Copies that began again after an error.", {},
               number(counters_.restarts));
  sink.counter("sluice_sources_refused_total", "Copied messages refused by the own stream.", {},
               number(counters_.refused));
  sink.counter("sluice_sources_overflowed_total", "Copies that began again because the disk fell behind.", {},
               number(counters_.overflowed));
}

}  // namespace

std::unique_ptr<Sourcing> Sourcing::make(Env& env, Bus& bus, Streams& streams, const SourcingOptions& options) {
  auto made = std::make_unique<AccountSourcing>(env, bus, streams, options);
  made->start();
  return made;
}

}  // namespace sluice
