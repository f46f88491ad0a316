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
  int64_t batch = 0;
  nanoseconds expires{0};
  int64_t max_bytes = 0;
  bool no_wait = false;
  nanoseconds idle_heartbeat{0};
  std::string group;
  int64_t min_pending = 0;
  int64_t min_ack_pending = 0;
  std::string id;
  int64_t priority = 0;
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
  const std::array fields = {
      JsonField::into("batch", pull.batch),
      JsonField::into("expires", pull.expires),
      JsonField::into("max_bytes", pull.max_bytes),
      JsonField::into("no_wait", pull.no_wait),
      JsonField::into("idle_heartbeat", pull.idle_heartbeat),
      JsonField::into("group", pull.group),
      JsonField::into("min_pending", pull.min_pending),
      JsonField::into("min_ack_pending", pull.min_ack_pending),
      JsonField::into("id", pull.id),
      JsonField::into("priority", pull.priority),
  };
  if (Status read = parse_json_object(body, fields, UnknownKeys::kIgnore); !read)
    return bad_request(read.error().detail);
  if (pull.idle_heartbeat > 0ns && pull.idle_heartbeat > pull.expires / 2)
    return bad_request("heartbeat value too large");
  if (pull.min_pending != 0 || pull.min_ack_pending != 0) return bad_request("Not a Overflow Priority consumer");
  if (!pull.id.empty()) return bad_request("Not a Pinned Client Priority consumer");
  if (pull.priority < 0 || pull.priority > 9) return bad_request("Priority must be between 0 and 9");
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

PullRequests::PullRequests(Env& env, Bus& bus, const ConsumerConfig& config, int api_level, PullHost host)
    : env_(env), bus_(bus), config_(config), api_level_(api_level), host_(std::move(host)),
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

bool PullRequests::receive(std::string_view body, std::string_view inbox, std::string_view headers) {
  if (inbox.empty()) return false;
  host_.activity();
  const std::string_view level = header_value(headers, "Nats-Required-Api-Level");
  if (level.data() != nullptr) {
    int wanted = 0;
    const auto [end, failed] = std::from_chars(level.data(), level.data() + level.size(), wanted);
    if (failed != std::errc{} || end != level.data() + level.size() || wanted > api_level_) {
      send(inbox, "412 Required Api Level");
      return false;
    }
  }
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
  if (!check_limits(request, inbox)) return false;
  const auto room = static_cast<size_t>(std::max<int64_t>(config_.max_waiting, 1));
  if (requests_.size() >= room) sweep();
  if (request.no_wait && !admit_no_wait(request, inbox)) return false;
  if (requests_.size() >= room) {
    // A client that gets heartbeats learns it from their absence.
    if (request.heartbeat == 0ns) send(inbox, "409 Exceeded MaxWaiting");
    return false;
  }
  request.id = ++last_id_;
  requests_.push_back(std::move(request));
  arm(requests_.back());
  return true;
}

Status PullRequests::parse(std::string_view body, PullRequest& out) const {
  const Result<PullBody> pull = read_body(body);
  if (!pull) return std::unexpected(pull.error());
  const MonoTime now = env_.clock.now();
  out.left = static_cast<uint64_t>(std::max<int64_t>(pull->batch, 1));
  out.max_bytes = out.bytes_left = static_cast<uint64_t>(std::max<int64_t>(pull->max_bytes, 0));
  out.no_wait = pull->no_wait;
  if (pull->expires > 0ns) out.expires = now + std::min(pull->expires, kLongest);
  if (pull->idle_heartbeat > 0ns) {
    out.heartbeat = pull->idle_heartbeat;
    out.next_heartbeat = now + std::min(pull->idle_heartbeat, kLongest);
  }
  return {};
}

bool PullRequests::check_limits(const PullRequest& request, std::string_view inbox) {
  const MonoTime now = env_.clock.now();
  if (config_.max_batch > 0 && request.left > static_cast<uint64_t>(config_.max_batch)) {
    send(inbox, fmt::format("409 Exceeded MaxRequestBatch of {}", config_.max_batch));
    return false;
  }
  if (config_.max_expires > 0ns && request.expires != 0ns && request.expires > now + config_.max_expires) {
    send(inbox, "409 Exceeded MaxRequestExpires of " + format_go_duration(config_.max_expires));
    return false;
  }
  if (config_.max_bytes > 0 && request.max_bytes > static_cast<uint64_t>(config_.max_bytes)) {
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
  for (const PullRequest& r : requests_) claimed = claimed > UINT64_MAX - r.left ? UINT64_MAX : claimed + r.left;
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
    if (at->expires == 0ns || at->expires > now) return &*at;
    expire(at);
  }
  return nullptr;
}

bool PullRequests::fits(uint64_t size) {
  const PullRequest& request = requests_.front();
  if (request.max_bytes == 0 || size <= request.bytes_left) return true;
  send_rest(request, "409 Message Size Exceeds MaxBytes");
  requests_.pop_front();
  return false;
}

void PullRequests::served(uint64_t id, uint64_t size) {
  if (requests_.empty() || requests_.front().id != id) return;  // ended while its message was on the way
  PullRequest& request = requests_.front();
  ++request.delivered;
  --request.left;
  if (request.heartbeat > 0ns) request.next_heartbeat = env_.clock.now() + request.heartbeat;
  if (request.max_bytes > 0) {
    request.bytes_left -= std::min(size, request.bytes_left);
    if (request.bytes_left == 0) request.left = 0;
  }
  if (request.left > 0) return rotate();
  if (request.max_bytes > 0) send_rest(request, "409 Batch Completed");
  requests_.pop_front();
}

void PullRequests::rotate() {
  if (requests_.size() > 1) requests_.splice(requests_.end(), requests_, requests_.begin());
}

void PullRequests::drop_head(uint64_t id) {
  if (!requests_.empty() && requests_.front().id == id) requests_.pop_front();
}

void PullRequests::drained() {
  for (Iterator at = requests_.begin(); at != requests_.end();) {
    if (at->no_wait && (at->delivered > 0 || at->expires == 0ns)) {
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
