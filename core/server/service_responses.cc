#include "server/service_responses.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/nuid.h"
#include "server/account.h"
#include "server/tracer.h"

namespace sluice {
namespace {

constexpr std::string_view kPrefix = "_R_.";
constexpr std::chrono::seconds kSweepEvery{1};

}  // namespace

size_t hand_on(Router& to, std::string_view route_here, std::string_view route_there,
               const Message& message, const Origin& origin) {
  if (message.subject != route_here) return to.deliver(route_there, {}, message);
  Message passed = message;
  passed.subject = route_there;
  return to.publish(passed, origin);
}

class ServiceResponses::Listener final : public Subscription {
 public:
  explicit Listener(ServiceResponses& owner) : Subscription(0, "_R_.*", ""), owner_(owner) {}
  bool take(const Message& message, const Origin& origin) override {
    return owner_.take(message, origin);
  }
  bool congested() const override { return false; }
  bool conditional() const override { return true; }
  bool interested(std::string_view subject) const override { return owner_.interested(subject); }

 private:
  ServiceResponses& owner_;
};

ServiceResponses::ServiceResponses(Env& env, Account& exporter, ClientInfo client_info)
    : env_(env),
      exporter_(exporter),
      client_info_(std::move(client_info)),
      sweep_timer_(env.timers.make([this] { sweep(); })) {}

ServiceResponses::~ServiceResponses() {
  if (listener_ != nullptr) exporter_.router().remove(*listener_);
}

void ServiceResponses::listen() {
  if (listener_ != nullptr) return;
  listener_ = static_cast<Listener*>(exporter_.router().add(std::make_unique<Listener>(*this)));
}

std::string ServiceResponses::open(Account& importer, std::string_view reply, ResponseType type,
                                   std::chrono::nanoseconds threshold,
                                   std::unique_ptr<LatencyMeasure> measure) {
  if (entries_.size() >= kMaxOpen) {
    ++refused_;
    return {};
  }
  listen();
  if (threshold.count() <= 0) threshold = kDefaultThreshold;
  std::string token = make_nuid(env_.random);
  std::string passed = std::string(kPrefix) + token;
  if (measure != nullptr) measure->watch(importer, reply, [this, token] { asker_gone(token); });
  entries_.emplace(std::move(token), Entry{&importer, std::string(reply), type, threshold,
                                           env_.clock.now() + threshold, std::move(measure)});
  if (!sweep_timer_->active()) sweep_timer_->start(kSweepEvery);
  return passed;
}

void ServiceResponses::cancel(std::string_view passed_reply) {
  const auto found = entry(passed_reply);
  if (found == entries_.end()) return;
  const Entry cancelled = std::move(entries_.extract(found).mapped());
  if (cancelled.measure != nullptr) cancelled.measure->failed(LatencyFailure::kNobodyThere);
}

/// From within a round of the watch: what it watches may not go yet.
void ServiceResponses::asker_gone(std::string_view token) {
  const auto found = entries_.find(token);
  if (found == entries_.end()) return;
  found->second.asker_gone = true;
  sweep_timer_->start({});
}

ServiceResponses::Entries::const_iterator ServiceResponses::entry(
    std::string_view passed_reply) const {
  if (!passed_reply.starts_with(kPrefix)) return entries_.end();
  return entries_.find(passed_reply.substr(kPrefix.size()));
}

bool ServiceResponses::take(const Message& message, const Origin& origin) {
  // What a consumer delivers shows the stored message's subject: the route tells the request.
  const auto found = entry(exporter_.router().route());
  if (found == entries_.end()) return false;
  // What the answer brings about may change the entries.
  Account& importer = *found->second.importer;
  const std::string reply = found->second.reply;
  const bool last = found->second.type == ResponseType::kSingleton ||
                    (message.payload.empty() && message.headers.empty());
  std::unique_ptr<LatencyMeasure> measure;
  if (last) {
    measure = std::move(entries_.extract(found).mapped().measure);
  } else {
    entries_.find(found->first)->second.deadline = env_.clock.now() + found->second.threshold;
  }
  if (measure == nullptr) [[likely]]
    return answer(importer, reply, message, origin);
  const WallNanos arrived = env_.clock.wall();
  const LatencyClient responder = client_info_(origin.connection_id, true);
  const bool taken = answer(importer, reply, message, origin);
  measure->answered(responder, env_.clock.now(), arrived);
  return taken;
}

bool ServiceResponses::answer(Account& importer, std::string_view reply, const Message& message,
                              const Origin& origin) {
  const std::string_view route = exporter_.router().route();
  TracedMessage* trace = TracedMessage::of(origin);
  if (trace == nullptr) [[likely]]
    return hand_on(importer.router(), route, reply, message, origin) > 0;
  trace->service_import(importer.name(), route, reply);  // and there its way ends
  if (trace->only()) return true;
  std::string headers(message.headers);
  disable_tracing(headers);
  Message passed = message;
  passed.headers = headers;
  return hand_on(importer.router(), route, reply, passed, Origin{origin.connection_id}) > 0;
}

bool ServiceResponses::interested(std::string_view subject) const {
  const auto found = entry(subject);
  return found != entries_.end() &&
         found->second.importer->router().has_interest(found->second.reply, {});
}

void ServiceResponses::sweep() {
  const MonoTime now = env_.clock.now();
  std::vector<Entry> ended;  // what is told of them may change the entries
  for (auto it = entries_.begin(); it != entries_.end();) {
    const auto here = it++;
    const bool late = here->second.deadline <= now;
    if (!late && !here->second.asker_gone) continue;
    if (late) ++expired_;
    ended.push_back(std::move(entries_.extract(here).mapped()));
  }
  for (const Entry& entry : ended) {
    if (entry.measure == nullptr) continue;
    entry.measure->failed(entry.asker_gone ? LatencyFailure::kAskerGone : LatencyFailure::kTooLate);
  }
  if (!entries_.empty()) sweep_timer_->start(kSweepEvery);
}

}  // namespace sluice
