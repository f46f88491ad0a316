#include "server/service_latency.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/headers.h"
#include "base/nuid.h"
#include "server/account.h"

namespace sluice {
namespace {

using Fields = std::map<std::string, std::vector<std::string>>;

std::string_view words_for(LatencyFailure how) {
  switch (how) {
    case LatencyFailure::kNoReply:
      return "Bad Request";
    case LatencyFailure::kAskerGone:
      return "Request Timeout";
    case LatencyFailure::kNobodyThere:
      return "Service Unavailable";
    case LatencyFailure::kTooLate:
      break;
  }
  return "Service Timeout";
}

/// "uber-trace-id" → "Uber-Trace-Id": these headers' names are written in any case.
std::string canonical(std::string_view name) {
  std::string out(name);
  bool first = true;
  for (char& c : out) {
    if (first && c >= 'a' && c <= 'z') c = static_cast<char>(c - 0x20);
    if (!first && c >= 'A' && c <= 'Z') c = static_cast<char>(c + 0x20);
    first = c == '-';
  }
  return out;
}

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(by, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

/// One or two hexadecimal digits, the lowest bit is set.
bool has_sampled_bit(std::string_view flags) {
  if (flags.empty() || flags.size() > 2) return false;
  constexpr std::string_view kDigits = "0123456789abcdef";
  int last = 0;
  for (const char c : flags) {
    const size_t value = kDigits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c | 0x20) : c);
    if (value == kDigits.npos) return false;
    last = static_cast<int>(value);
  }
  return (last & 1) != 0;
}

/// The state of a single b3 header: alone, or the third of up to four parts.
bool b3_asks(std::string_view value) {
  const auto parts = split(value, '-');
  if (parts.size() > 2) return parts[2] == "1" || parts[2] == "d";
  return parts.size() == 1 ? value == "1" || value == "d" : true;
}

bool trace_parent_asks(std::string_view value) {
  const auto parts = split(value, '-');
  return parts.size() == 4 && parts[3].size() == 2 && has_sampled_bit(parts[3]);
}

bool uber_asks(std::string_view value) {
  const auto parts = split(value, ':');
  return parts.size() == 4 && has_sampled_bit(parts[3]);
}

/// Those of `all` that go into the metric; empty = nobody asks for one.
Fields asking(const Fields& all) {
  Fields out;
  const auto value = [&](const char* name) {
    const auto found = all.find(name);
    return found == all.end() ? nullptr : &found->second.front();
  };
  const auto keep = [&](const char* name) {
    if (const auto found = all.find(name); found != all.end()) out.insert(*found);
  };
  if (const std::string* uber = value("Uber-Trace-Id"); uber != nullptr && !uber->empty()) {
    if (!uber_asks(*uber)) return out;
    keep("Uber-Trace-Id");
    for (const auto& field : all) {
      if (field.first.starts_with("Uberctx-")) out.insert(field);
    }
    return out;
  }
  const std::string* sampled = value("X-B3-Sampled");
  if (sampled != nullptr && *sampled == "0") return out;
  if ((sampled != nullptr && *sampled == "1") || value("X-B3-Traceid") != nullptr) {
    for (const char* name : {"X-B3-Sampled", "X-B3-Traceid", "X-B3-Parentspanid", "X-B3-Spanid"}) keep(name);
    return out;
  }
  if (const std::string* b3 = value("B3"); b3 != nullptr) {
    if (b3_asks(*b3)) keep("B3");
    return out;
  }
  if (const std::string* parent = value("Traceparent"); parent != nullptr && trace_parent_asks(*parent)) {
    keep("Traceparent");
    keep("Tracestate");
  }
  return out;
}

}  // namespace

bool is_sampled(const LatencyOptions& options, std::string_view headers, Random& random, std::string& asked) {
  if (options.sampling >= 100) return true;
  if (options.sampling > 0 && random.below(100) < static_cast<uint64_t>(options.sampling)) return true;
  if (headers.empty()) return false;
  Fields all;
  each_header(headers, [&](std::string_view name, std::string_view value) {
    all[canonical(name)].emplace_back(value);
  });
  const Fields fields = asking(all);
  if (fields.empty()) return false;
  asked = nlohmann::json(fields).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return true;
}

LatencyMeasure::LatencyMeasure(Env& env, Account& exporter, std::string subject, LatencyClient asker,
                               std::string headers)
    : env_(env),
      exporter_(exporter),
      subject_(std::move(subject)),
      asker_(std::move(asker)),
      headers_(std::move(headers)),
      started_(env.clock.now()),
      started_wall_(env.clock.wall()) {}

LatencyMeasure::~LatencyMeasure() = default;

void LatencyMeasure::watch(Account& importer, std::string_view reply, std::move_only_function<void()> gone) {
  watch_ = importer.router().watch_interest(reply, {}, [gone = std::move(gone)](bool wanted) mutable {
    if (!wanted) gone();
  });
}

void LatencyMeasure::answered(const LatencyClient& responder, MonoTime at, WallNanos arrived) {
  // Told as the asker sees it: the request came half a round trip after it was sent, and the answer needs as long.
  const auto between = at - started_;
  const int64_t system = std::max<int64_t>(env_.clock.wall() - arrived, 0);
  tell(200, {}, responder.json,
       {.service = std::max<int64_t>((between - responder.rtt).count(), 0),
        .system = system,
        .total = (asker_.rtt + between).count() + system});
}

void LatencyMeasure::failed(LatencyFailure how) { tell(static_cast<int>(how), words_for(how), {}, {}); }

void LatencyMeasure::tell(int status, std::string_view why, std::string_view responder, const Times& took) {
  watch_.reset();
  std::string body = fmt::format(R"({{"type":"io.nats.server.metric.v1.service_latency","id":"{}","timestamp":"{}","status":{})",
                                 make_nuid(env_.random), format_rfc3339(env_.clock.wall()), status);
  if (!why.empty()) body += fmt::format(R"(,"description":"{}")", why);
  if (!asker_.json.empty()) body.append(R"(,"requestor":)").append(asker_.json);
  if (!responder.empty()) body.append(R"(,"responder":)").append(responder);
  if (!headers_.empty()) body.append(R"(,"header":)").append(headers_);
  body += fmt::format(R"(,"start":"{}","service":{},"system":{},"total":{}}})",
                      format_rfc3339(started_wall_ - asker_.rtt.count()), took.service, took.system, took.total);
  exporter_.router().publish(Message{.subject = subject_, .reply = {}, .headers = {}, .payload = body}, Origin{});
}

}  // namespace sluice
