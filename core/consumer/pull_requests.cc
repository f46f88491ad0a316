#include "consumer/pull_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "stream/json_object.h"

namespace sluice {
namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

/// A deadline far enough not to overflow the clock.
constexpr nanoseconds kLongest = 24h * 365 * 100;

struct PullBody {
  int64_t batch = 1;
  nanoseconds expires{0};
  int64_t max_bytes = 0;
  bool no_wait = false;
  nanoseconds idle_heartbeat{0};
  GroupClaim claim;
};

std::unexpected<Error> bad_request(std::string text) { return fail(Errc::kInvalidArgument, std::move(text)); }

Result<PullBody> read_body(std::string_view body) {
  PullBody pull;
  if (body.empty()) return pull;
  if (body.front() != '{') {
    int64_t batch = 0;
    const auto [end, failed] = std::from_chars(body.data(), body.data() + body.size(), batch);
    if (failed == std::errc{} && end == body.data() + body.size()) pull.batch = batch;
    return pull;
  }
  pull.batch = 0;
  const std::array fields = {
      JsonField::into("batch", pull.batch),
      JsonField::into("expires", pull.expires),
      JsonField::into("max_bytes", pull.max_bytes),
      JsonField::into("no_wait", pull.no_wait),
      JsonField::into("idle_heartbeat", pull.idle_heartbeat),
      JsonField::into("group", pull.claim.group),
      JsonField::into("min_pending", pull.claim.min_pending),
      JsonField::into("min_ack_pending", pull.claim.min_ack_pending),
      JsonField::into("id", pull.claim.id),
      JsonField::into("priority", pull.claim.priority),
  };
  if (Status read = parse_json_object(body, fields, UnknownKeys::kIgnore); !read)
    return bad_request(read.error().detail);
  if (pull.idle_heartbeat > 0ns && pull.idle_heartbeat > pull.expires / 2)
    return bad_request("heartbeat value too large");
  return pull;
}

/// The bytes a bad value may bring into a status line must not end it.
std::string one_line(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n'; }, ' ');
  return text;
}

}  // namespace

std::string_view header_value(std::string_view headers, std::string_view name) {
  size_t at = headers.find("\r\n");
  while (at != std::string_view::npos) {
    at += 2;
    const size_t end = headers.find("\r\n", at);
    if (end == std::string_view::npos) return {};
    const std::string_view line = headers.substr(at, end - at);
    if (line.size() > name.size() && line[name.size()] == ':' && line.starts_with(name)) {
      std::string_view value = line.substr(name.size() + 1);
      value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
      return value;
    }
    at = end;
  }
  return {};
}

PullRequests::PullRequests(Env& env, Bus& bus, const ConsumerConfig& config, int api_level, PriorityGroup& group,
                           PullHost host)
    : env_(env), bus_(bus), config_(config), api_level_(api_level), group_(group), host_(std::move(host)),
      timer_(env.timers.make([this] { on_timer(); })) {}

void PullRequests::send(std::string_view inbox, std::string_view status) {
  queue(inbox, fmt::format("NATS/1.0 {}\r\n\r\n", status));
}

void PullRequests::send_rest(const PullRequest& request, std::string_view status) {
  queue(request.inbox, fmt::format("NATS/1.0 {}\r\nNats-Pending-Messages: {}\r\nNats-Pending-Bytes: {}\r\n\r\n",
                                   status, request.left, request.bytes_left));
}

void PullRequests::queue(std::string_view inbox, std::string headers) {
  statuses_.push_back({std::string(inbox), std::move(headers)});
  host_.statuses_wait();
}

void PullRequests::flush_statuses() {
  while (!statuses_.empty()) {
    std::vector<QueuedStatus> leaving;
    leaving.swap(statuses_);
    for (const QueuedStatus& s : leaving) bus_.publish(Message{s.inbox, {}, s.headers, {}});
  }
}

bool PullRequests::level_refused(std::string_view headers, std::string_view inbox) {
  const std::string_view level = header_value(headers, "Nats-Required-Api-Level");
  if (level.data() == nullptr) return false;
  int wanted = 0;
  const auto [end, failed] = std::from_chars(level.data(), level.data() + level.size(), wanted);
  if (failed == std::errc{} && end == level.data() + level.size() && wanted <= api_level_) return false;
  send(inbox, "412 Required Api Level");
  return true;
}

bool PullRequests::receive(std::string_view body, std::string_view inbox, std::string_view headers) {
  if (inbox.empty()) return false;
  host_.activity();
  if (level_refused(headers, inbox)) return false;
  if (config_.is_push()) {
    send(inbox, "409 Consumer is push based");
    return false;
  }
  PullRequest request;
  request.inbox = inbox;
  if (Status parsed = parse(body, request); !parsed) {
    send(inbox, "400 Bad Request - " + one_line(parsed.error().detail));
    return false;
  }
  if (!check_limits(request, inbox) || !check_group(request, inbox)) return false;
  const auto room = static_cast<size_t>(std::max<int64_t>(config_.max_waiting, 1));
  if (requests_.size() >= room) sweep();
  if (request.no_wait && !admit_no_wait(request, inbox)) return false;
  if (requests_.size() >= room) {
    // A client that gets heartbeats learns it from their absence.
    if (request.heartbeat == 0ns) send(inbox, "409 Exceeded MaxWaiting");
    return false;
  }
  request.id = ++last_id_;
  arm(request);
  enqueue(std::move(request));
  return true;
}

bool PullRequests::check_group(const PullRequest& request, std::string_view inbox) {
  if (Status fine = group_.check(request.claim); !fine) {
    send(inbox, "400 Bad Request - " + fine.error().detail);
    return false;
  }
  if (config_.priority_policy != PriorityPolicy::kPinnedClient) return true;
  if (group_.is_stale(request.claim)) {
    send(inbox, "423 Nats-Pin-Id mismatch");
    return false;
  }
  group_.heard(request.claim);
  return true;
}

/// Behind its equals.
void PullRequests::enqueue(PullRequest request) {
  Iterator at = requests_.end();
  if (config_.priority_policy == PriorityPolicy::kPrioritized) {
    while (at != requests_.begin() && std::prev(at)->claim.priority > request.claim.priority) --at;
  }
  requests_.insert(at, std::move(request));
}

Status PullRequests::parse(std::string_view body, PullRequest& out) const {
  const Result<PullBody> pull = read_body(body);
  if (!pull) return std::unexpected(pull.error());
  const MonoTime now = env_.clock.now();
  out.left = std::max(pull->batch, INT64_MIN + 1);  // what is served is taken off
  out.max_bytes = out.bytes_left = pull->max_bytes;
  out.no_wait = pull->no_wait;
  out.claim = pull->claim;
  // What expired before it came, or within the round that it came in, is told so at once.
  if (pull->expires != 0ns) out.expires = std::max<MonoTime>(pull->expires < 1us ? now : now + std::min(pull->expires, kLongest), 1ns);
  if (pull->idle_heartbeat > 0ns) {
    out.heartbeat = pull->idle_heartbeat;
    out.next_heartbeat = now + std::min(pull->idle_heartbeat, kLongest);
  }
  return {};
}

bool PullRequests::check_limits(const PullRequest& request, std::string_view inbox) {
  const MonoTime now = env_.clock.now();
  if (config_.max_batch > 0 && request.left > config_.max_batch) {
    send(inbox, fmt::format("409 Exceeded MaxRequestBatch of {}", config_.max_batch));
    return false;
  }
  if (config_.max_expires > 0ns && request.expires != 0ns && request.expires > now + config_.max_expires) {
    send(inbox, "409 Exceeded MaxRequestExpires of " + format_go_duration(config_.max_expires));
    return false;
  }
  if (config_.max_bytes > 0 && request.max_bytes > config_.max_bytes) {
    send(inbox, fmt::format("409 Exceeded MaxRequestMaxBytes of {}", config_.max_bytes));
    return false;
  }
  return true;
}

bool PullRequests::admit_no_wait(const PullRequest& request, std::string_view inbox) {
  const uint64_t deliverable = host_.deliverable();
  if (deliverable == 0) {
    if (request.expires != 0ns) return true;
    send(inbox, "404 No Messages");
    return false;
  }
  uint64_t claimed = 0;
  for (const PullRequest& r : requests_) claimed += static_cast<uint64_t>(std::clamp<int64_t>(r.left, 0, UINT32_MAX));
  if (deliverable >= claimed) return true;
  send(inbox, "408 Requests Pending");
  return false;
}

PullRequests::Iterator PullRequests::expire(Iterator at) {
  send_rest(*at, "408 Request Timeout");
  return requests_.erase(at);
}

PullRequest* PullRequests::head() {
  const MonoTime now = env_.clock.now();
  while (!requests_.empty()) {
    const Iterator at = requests_.begin();
    if (at->expires == 0ns || at->expires > now) {
      chosen_ = at;
      return &*at;
    }
    expire(at);
  }
  return nullptr;
}

PullRequest* PullRequests::choose(uint64_t pending, uint64_t ack_pending) {
  const MonoTime now = env_.clock.now();
  for (Iterator at = requests_.begin(); at != requests_.end();) {
    if (at->expires != 0ns && at->expires <= now) {
      at = expire(at);
      continue;
    }
    switch (group_.turn(at->claim, pending, ack_pending)) {
      case PriorityGroup::Turn::kServe: chosen_ = at; return &*at;
      case PriorityGroup::Turn::kStandBy: ++at; break;
      case PriorityGroup::Turn::kWrongPin:
        send_rest(*at, "423 Nats-Wrong-Pin-Id");
        at = requests_.erase(at);
        break;
    }
  }
  return nullptr;
}

bool PullRequests::fits(uint64_t size) {
  const PullRequest& request = *chosen_;
  if (request.max_bytes <= 0 || size <= static_cast<uint64_t>(request.bytes_left)) return true;
  send_rest(request, "409 Message Size Exceeds MaxBytes");
  requests_.erase(chosen_);
  return false;
}

PullRequests::Iterator PullRequests::find(uint64_t id) {
  return std::find_if(requests_.begin(), requests_.end(), [id](const PullRequest& r) { return r.id == id; });
}

void PullRequests::served(uint64_t id, uint64_t size) {
  const Iterator at = find(id);  // normally the first
  if (at == requests_.end()) return;  // ended while its message was on the way
  PullRequest& request = *at;
  ++request.delivered;
  --request.left;
  if (request.heartbeat > 0ns) request.next_heartbeat = env_.clock.now() + request.heartbeat;
  if (request.max_bytes > 0) {
    request.bytes_left -= static_cast<int64_t>(std::min(size, static_cast<uint64_t>(request.bytes_left)));
    if (request.bytes_left == 0) request.left = 0;
  }
  if (request.left <= 0) {
    if (request.max_bytes > 0) send_rest(request, "409 Batch Completed");
    requests_.erase(at);
    return;
  }
  if (requests_.size() == 1) return;
  Iterator behind = requests_.end();
  if (config_.priority_policy == PriorityPolicy::kPrioritized) {
    for (behind = std::next(at); behind != requests_.end() && behind->claim.priority == request.claim.priority;)
      ++behind;
  }
  requests_.splice(behind, requests_, at);
}

void PullRequests::rotate() {
  if (requests_.size() > 1) requests_.splice(requests_.end(), requests_, requests_.begin());
}

void PullRequests::drop(uint64_t id) {
  if (const Iterator at = find(id); at != requests_.end()) requests_.erase(at);
}

void PullRequests::drained(bool full) {
  for (Iterator at = requests_.begin(); at != requests_.end();) {
    if (at->no_wait && (at->expires == 0ns || (at->delivered > 0 && !full))) {
      send(at->inbox, "404 No Messages");
      at = requests_.erase(at);
    } else {
      ++at;
    }
  }
}

void PullRequests::end_all(std::string_view status, bool with_rest) {
  std::list<PullRequest> ended;
  ended.swap(requests_);
  timer_->stop();
  armed_for_ = MonoTime::max();
  for (const PullRequest& request : ended) {
    if (with_rest) {
      send_rest(request, status);
    } else {
      send(request.inbox, status);
    }
  }
  flush_statuses();
}

size_t PullRequests::sweep() {
  const MonoTime now = env_.clock.now();
  for (Iterator at = requests_.begin(); at != requests_.end();) {
    if (!bus_.has_interest(at->inbox, {})) {
      at = requests_.erase(at);
    } else if (at->expires != 0ns && at->expires <= now) {
      at = expire(at);
    } else {
      ++at;
    }
  }
  return requests_.size();
}

void PullRequests::arm(const PullRequest& request) {
  MonoTime at = MonoTime::max();
  if (request.expires != 0ns) at = request.expires;
  if (request.heartbeat > 0ns) at = std::min(at, request.next_heartbeat);
  if (at >= armed_for_) return;
  armed_for_ = at;
  timer_->start(at - env_.clock.now());
}

void PullRequests::on_timer() {
  const MonoTime now = env_.clock.now();
  armed_for_ = MonoTime::max();
  for (Iterator at = requests_.begin(); at != requests_.end();) {
    if (at->expires != 0ns && at->expires <= now) {
      at = expire(at);
      host_.activity();
      continue;
    }
    if (at->heartbeat > 0ns && at->next_heartbeat <= now) {
      if (!bus_.has_interest(at->inbox, {})) {
        at = requests_.erase(at);
        continue;
      }
      queue(at->inbox, host_.heartbeat_headers());
      at->next_heartbeat = now + at->heartbeat;
    }
    ++at;
  }
  for (const PullRequest& request : requests_) arm(request);
}

}  // namespace sluice
