// LeafLink: messages over an open link, either way.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "leaf/leaf_link.h"
#include "server/subject_mappings.h"
#include "server/tracer.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr std::string_view kAckPrefix = "$JS.ACK.";

bool matches_any(const std::vector<std::string>& filters, std::string_view subject) {
  return std::ranges::any_of(
      filters, [subject](const std::string& one) { return subject_matches(one, subject); });
}

}  // namespace

// ---------------------------------------------------------------- in

bool LeafLink::permits_in(std::string_view subject) {
  const bool permitted = permissions_ == nullptr || is_spoke() ||
                         permissions_->may_publish(subject, world_.env.clock.now());
  if (permitted && !matches_any(deny_in_, subject)) return true;
  ++world_.counters.denied_messages;
  return false;
}

void LeafLink::on_message(const LeafOp& op) {
  const size_t size = op.header.size() + op.payload.size();
  ++in_msgs_;
  in_bytes_ += size;
  ++world_.counters.in_msgs;
  world_.counters.in_bytes += size;
  ++account_->counters.in_msgs;
  account_->counters.in_bytes += size;
  if (!op.header.empty() && mentions_tracing(op.header)) [[unlikely]] {
    deliver_traced(op);
  } else {
    deliver(op, op.header, nullptr);
  }
  if (!closed() && world_.server.accounts().congestion().consume_take()) pause_reading();
}

void LeafLink::deliver_traced(const LeafOp& op) {
  Tracer& tracer = world_.server.tracer();
  Account& account = *account_;
  TraceRequest request;
  switch (tracer.read(op.header, account, false, request)) {
    case Tracer::Wish::kNothing:
      return deliver(op, op.header, nullptr);
    case Tracer::Wish::kDisable: {
      std::string headers(op.header);
      disable_tracing(headers);
      return deliver(op, headers, nullptr);
    }
    case Tracer::Wish::kDrop:
      return;
    case Tracer::Wish::kTrace:
      break;
  }
  if (!permits_in(request.destination)) return;
  TracedMessage trace(world_.env.clock, std::move(request),
                      {.kind = TracedKind::kLeaf,
                       .id = id_,
                       .name = remote_name_,
                       .account = account.name(),
                       .subject = op.subject,
                       .size_bytes = op.header.size() + op.payload.size()},
                      world_.server.accounts().system().name());
  deliver(op, op.header, &trace);
  tracer.publish(trace, account);
}

void LeafLink::deliver(const LeafOp& op, std::string_view headers, TracedMessage* trace) {
  if (!permits_in(op.subject)) {
    if (trace != nullptr)
      trace->refused(fmt::format("Permissions Violation for Publish to \"{}\"", op.subject));
    return;
  }
  std::string_view route = op.subject;
  std::string mapped;
  if (const SubjectMappings* mappings = account_->mappings(); mappings != nullptr) {
    const MappingOutcome outcome = mappings->map(route, world_.env.random, mapped);
    if (outcome == MappingOutcome::kDropped) return;
    if (outcome == MappingOutcome::kMapped) route = mapped;
    if (trace != nullptr && mappings->covers(op.subject)) trace->mapped(route);
  }
  Message message{.subject = route, .reply = op.reply, .headers = headers, .payload = op.payload};
  // A consumer's message: behind its ack subject stands the subject that it was stored under.
  const size_t at = op.reply.starts_with(kAckPrefix) ? op.reply.rfind('@') : op.reply.npos;
  if (at != op.reply.npos && at + 1 < op.reply.size()) {
    message.subject = op.reply.substr(at + 1);
    message.reply = op.reply.substr(0, at);
  }
  account_->router().publish_from_link(route, op.queues, message, Origin{id_, trace});
}

// ---------------------------------------------------------------- out

/// @return why the other side does not get it; nullptr = it does
const char* LeafLink::withholds(std::string_view route, const Message& message) {
  const bool permitted =
      permissions_ == nullptr ||
      (is_spoke() ? permissions_->may_publish(route, world_.env.clock.now())
                  : permissions_->may_receive(route));
  if (!permitted || matches_any(deny_out_, route))
    return "Not delivered because publish denied for this subject";
  if (remote_max_payload_ != 0 &&
      message.headers.size() + message.payload.size() > remote_max_payload_) {
    ++world_.counters.denied_messages;
    return "Not delivered because larger than the remote's maximum payload";
  }
  return nullptr;
}

bool LeafLink::take(const LeafSubscription& subscription, const Message& message,
                    const Origin& origin) {
  if (!open() || origin.connection_id == id_) return false;
  if (is_spoke() && origin.connection_id != 0 && world_.host.is_hub(origin.connection_id))
    return false;
  Router& router = account_->router();
  const bool same = !pending_.empty() && pending_.back().depth == router.depth();
  if (!same) {
    const std::string_view route = router.route();
    const char* withheld = withholds(route, message);
    std::string hop;
    if (TracedMessage* trace = TracedMessage::of(origin); trace != nullptr) [[unlikely]] {
      hop = trace->next_hop();
      if (!tell_trace(*trace, hop, withheld)) return false;
    }
    if (withheld != nullptr) return false;
    pending_.push_back({router.depth(), route, &message, {}, std::move(hop)});
    router.finish_later(*this);
  }
  if (!subscription.queue().empty()) pending_.back().queues.push_back(subscription.queue());
  if (outbox_.congested() && !outbox_.stuck() && origin.connection_id != 0)
    world_.server.accounts().congestion().note_take();
  return true;
}

/// @return false when it must not go over: it is only traced, and the other side knows nothing of that
bool LeafLink::tell_trace(TracedMessage& trace, std::string_view hop, const char* withheld) {
  const bool lost = trace.only() && !remote_traces_;
  if (withheld == nullptr && lost) {
    withheld = "Not delivered because remote does not support message tracing";
  } else if (withheld == nullptr && !remote_traces_) {
    withheld =
        "Message delivered but remote does not support message tracing so no trace event generated "
        "from there";
  }
  trace.egress({.kind = TracedKind::kLeaf,
                .id = id_,
                .name = remote_name_,
                .account = account_->name(),
                .hop = hop,
                .error = withheld});
  return !lost;
}

void LeafLink::on_delivered() {
  SLUICE_CHECK(!pending_.empty());
  const Pending pending = std::move(pending_.back());
  pending_.pop_back();
  const Message& message = *pending.message;
  std::string_view headers = message.headers;
  std::string with_hop;
  if (!pending.hop.empty()) [[unlikely]] {
    with_hop = message.headers;
    set_trace_hop(with_hop, pending.hop);
    headers = with_hop;
  }
  const size_t size = headers.size() + message.payload.size();
  ++out_msgs_;
  out_bytes_ += size;
  ++world_.counters.out_msgs;
  world_.counters.out_bytes += size;
  ++account_->counters.out_msgs;
  account_->counters.out_bytes += size;
  if (message.subject == pending.route || message.reply.empty()) {
    append_leaf_message(outbox_.bytes(), pending.route, message.reply, pending.queues, headers,
                        message.payload);
  } else {
    append_leaf_message(outbox_.bytes(), pending.route,
                        fmt::format("{}@{}", message.reply, message.subject), pending.queues,
                        headers, message.payload);
  }
  if (!outbox_.appended()) cut_slow();
}

}  // namespace sluice
