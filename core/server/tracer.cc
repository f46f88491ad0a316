#include "server/tracer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/headers.h"
#include "server/account.h"
#include "server/trace_encoding.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr std::string_view kDestination = "Nats-Trace-Dest";
constexpr std::string_view kOnly = "Nats-Trace-Only";
constexpr std::string_view kHop = "Nats-Trace-Hop";
constexpr std::string_view kOriginAccount = "Nats-Trace-Origin-Account";
constexpr std::string_view kTraceParent = "traceparent";
constexpr std::string_view kDisabled = "trace disabled";  // no subject
constexpr std::string_view kPlainFirstLine = "NATS/1.0\r\n";

std::string lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return out;
}

bool is_trace_parent(std::string_view name) {
  return name.size() == kTraceParent.size() &&
         std::ranges::equal(name, kTraceParent, [](char a, char b) { return (a | 0x20) == b; });
}

std::string_view trimmed(std::string_view value) {
  const size_t first = value.find_first_not_of(" \t");
  return first == value.npos ? std::string_view()
                             : value.substr(first, value.find_last_not_of(" \t") - first + 1);
}

/// `00-<trace>-<span>-<flags>`: two hexadecimal digits up to 7f, the lowest bit is set.
bool is_sampled(std::string_view parent) {
  if (std::ranges::count(parent, '-') != 3) return false;
  const std::string_view flags = parent.substr(parent.rfind('-') + 1);
  if (flags.size() != 2 || flags[0] < '0' || flags[0] > '7') return false;
  const std::string low = lowered(flags.substr(1));
  const bool digit = low[0] >= '0' && low[0] <= '9';
  return (digit || (low[0] >= 'a' && low[0] <= 'f')) && ((digit ? low[0] - '0' : low[0] - 'a' + 10) & 1);
}

TraceEncoding encoding_of(std::string_view accepted) {
  if (accepted.empty()) return TraceEncoding::kNone;
  const std::string low = lowered(accepted);
  if (low.find("snappy") != low.npos || low.find("s2") != low.npos) return TraceEncoding::kSnappy;
  return low.find("gzip") != low.npos ? TraceEncoding::kGzip : TraceEncoding::kUnknown;
}

/// What of a block is about tracing; the first of a name that has a value.
struct TraceHeaders {
  std::string destination;
  std::string only;
  std::string hop;
  std::string encoding;
  bool other_account = false;
  bool sampled = false;
  std::map<std::string, std::vector<std::string>> all;
};

TraceHeaders read_headers(std::string_view block) {
  TraceHeaders out;
  const auto first = [](std::string& to, std::string_view value) {
    if (to.empty()) to = value;
  };
  each_header(block, [&](std::string_view name, std::string_view raw) {
    const std::string_view value = trimmed(raw);
    if (value.empty()) return;  // as if it were not there
    if (name == kDestination) first(out.destination, value);
    if (name == kOnly) first(out.only, value);
    if (name == kHop) first(out.hop, value);
    if (name == "Accept-Encoding") first(out.encoding, value);
    if (name == kOriginAccount) out.other_account = true;
    if (is_trace_parent(name) && is_sampled(value)) out.sampled = true;
    out.all[std::string(name)].emplace_back(value);
  });
  return out;
}

/// "1", "1.2"…: it goes into headers again.
bool is_hop(std::string_view value) {
  constexpr size_t kMaxHop_bytes = 256;
  return value.size() <= kMaxHop_bytes && value.find_first_not_of("0123456789.") == value.npos;
}

bool is_on(std::string_view value) {
  const std::string low = lowered(value);
  return low == "1" || low == "true" || low == "on";
}

}  // namespace

bool mentions_tracing(std::string_view headers) {
  for (size_t end = headers.find('\n'); end != headers.npos; end = headers.find('\n', end + 1)) {
    const std::string_view line = headers.substr(end + 1);
    if (line.size() <= kTraceParent.size()) continue;
    if (line[0] == 'N') {
      if (line.starts_with(kDestination)) return true;
    } else if ((line[0] | 0x20) == 't' && line[kTraceParent.size()] == ':' &&
               is_trace_parent(line.substr(0, kTraceParent.size()))) {
      return true;
    }
  }
  return false;
}

void disable_tracing(std::string& headers) { set_header(headers, kDestination, kDisabled); }

void redirect_trace(std::string& headers, std::string_view destination) {
  set_header(headers, kDestination, destination);
}

void set_trace_hop(std::string& headers, std::string_view hop) { set_header(headers, kHop, hop); }

Tracer::Tracer(Clock& clock, Random& random, std::function<std::string()> server_json)
    : clock_(clock), random_(random), server_json_(std::move(server_json)) {}

Tracer::Wish Tracer::read(std::string_view headers, const Account& account, bool first_server,
                          TraceRequest& request) {
  if (!headers.starts_with(kPlainFirstLine)) return Wish::kNothing;
  TraceHeaders said = read_headers(headers);
  if (said.destination == kDisabled) return Wish::kNothing;
  const bool by_account = said.destination.empty();
  if (by_account && (!said.sampled || account.options().trace_destination.empty()))
    return Wish::kNothing;
  request.only = !by_account && is_on(said.only);
  // Which account hears of it is for the servers to know; here none is linked by several accounts.
  if (said.other_account) {
    ++unusable_;
    return request.only ? Wish::kDrop : Wish::kDisable;
  }
  request.destination =
      by_account ? account.options().trace_destination : std::move(said.destination);
  if (!is_valid_literal(request.destination)) {
    ++unusable_;
    return request.only ? Wish::kDrop : Wish::kNothing;
  }
  const auto sampling = static_cast<uint64_t>(account.options().trace_sampling);
  if (by_account && first_server && sampling < 100 && random_.below(100) >= sampling)
    return Wish::kDisable;
  if (!first_server && is_hop(said.hop)) request.hop = std::move(said.hop);
  request.encoding = encoding_of(said.encoding);
  request.header = nlohmann::json(said.all).dump(-1, ' ', false,
                                                 nlohmann::json::error_handler_t::replace);
  return Wish::kTrace;
}

void Tracer::publish(const TracedMessage& trace, Account& account) {
  ++traced_;
  const std::string text = trace.json(server_json_());
  std::string headers;
  const std::string body = encode_trace(text, trace.request().encoding, headers);
  account.router().publish({.subject = trace.request().destination,
                            .reply = {},
                            .headers = headers,
                            .payload = body});
}

void Tracer::collect(MetricSink& sink) const {
  sink.counter("sluice_traced_messages_total", "Messages whose way was told (ADR-41).", {},
               static_cast<double>(traced_));
  sink.counter("sluice_traces_refused_total",
               "Messages that asked for a trace which can't be told: no subject, or of another account.",
               {}, static_cast<double>(unusable_));
}

}  // namespace sluice
