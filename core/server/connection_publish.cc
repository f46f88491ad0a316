// Connection: what a client publishes.
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "server/connection.h"
#include "server/subject_mappings.h"
#include "server/tracer.h"
#include "subject/subject.h"
#include "wire/encoder.h"

namespace sluice {
namespace {

constexpr Logger log_{"server"};

/// Replies through which the JetStream API and service imports would be forged.
bool is_reserved_reply(std::string_view reply) {
  return reply.starts_with("_R_.") || reply.starts_with("_GR_.") || reply.starts_with("$JS.ACK.");
}

bool is_reserved_subject(std::string_view subject) {
  if (subject.front() == '_') return subject.starts_with("_GR_.");
  if (subject.front() == '$') return subject.starts_with("$NRG.");
  return false;
}

}  // namespace

bool Connection::on_pub(const PubOp& op) {
  active_ = true;
  ++in_msgs_;
  in_bytes_ += op.message.size();
  ++account_->counters.in_msgs;
  account_->counters.in_bytes += op.message.size();
  if (pedantic_ && !is_valid_literal(op.subject)) send_error("Invalid Publish Subject");
  const std::string_view headers = op.header();
  if (!headers.empty() && mentions_tracing(headers)) [[unlikely]]
    return publish_traced(op);
  return publish(op, headers, nullptr);
}

bool Connection::publish_traced(const PubOp& op) {
  TraceRequest request;
  switch (world_.tracer.read(op.header(), *account_, true, request)) {
    case Tracer::Wish::kNothing:
      return publish(op, op.header(), nullptr);
    case Tracer::Wish::kDisable: {
      std::string headers(op.header());
      disable_tracing(headers);
      return publish(op, headers, nullptr);
    }
    case Tracer::Wish::kDrop:
      if (verbose_) send(kOkLine);
      return open();
    case Tracer::Wish::kTrace:
      break;
  }
  if (refuse_publish(request.destination, {}, nullptr)) return open();
  Account& account = *account_;
  TracedMessage trace(world_.clock, std::move(request), ingress_of(op, op.message.size()),
                      world_.accounts.system().name());
  const bool goes_on = publish(op, op.header(), &trace);
  world_.tracer.publish(trace, account);
  return goes_on && open();
}

/// Of a message that ends the connection: all that will ever be heard of it.
void Connection::on_oversized(const PubOp& op, size_t size_bytes) {
  TraceRequest request;
  if (!mentions_tracing(op.header()) ||
      world_.tracer.read(op.header(), *account_, true, request) != Tracer::Wish::kTrace ||
      refuse_publish(request.destination, {}, nullptr)) {
    return;
  }
  TracedMessage trace(world_.clock, std::move(request), ingress_of(op, size_bytes),
                      world_.accounts.system().name());
  trace.refused("maximum payload exceeded");
  world_.tracer.publish(trace, *account_);
}

TracedIngress Connection::ingress_of(const PubOp& op, size_t size_bytes) const {
  return {.id = id_,
          .name = name_,
          .account = account_->name(),
          .subject = op.subject,
          .size_bytes = size_bytes};
}

/// @param headers  as they go on
/// @param trace    nullptr = nobody wants to know
bool Connection::publish(const PubOp& op, std::string_view headers, TracedMessage* trace) {
  std::string_view subject = op.subject;
  std::string mapped;
  if (const SubjectMappings* mappings = account_->mappings(); mappings != nullptr) [[unlikely]] {
    switch (mappings->map(subject, world_.random, mapped)) {
      case MappingOutcome::kUnchanged:
        break;
      case MappingOutcome::kMapped:
        subject = mapped;
        break;
      case MappingOutcome::kDropped:
        return open();
    }
    if (trace != nullptr && mappings->covers(op.subject)) trace->mapped(subject);
  }
  if (refuse_publish(subject, op.reply, trace)) return open();
  if (verbose_) send(kOkLine);
  const Message message{
      .subject = subject, .reply = op.reply, .headers = headers, .payload = op.payload()};
  const size_t taken = account_->router().publish(message, Origin{id_, trace});
  if (taken == 0 && no_responders_ && !op.reply.empty()) answer_no_responders(op.reply, subject);
  if (world_.accounts.congestion().consume_take()) pause_reading();
  return open();
}

/// @return true when the client may not do that, and was told.
bool Connection::refuse_publish(std::string_view subject, std::string_view reply,
                                TracedMessage* trace) {
  const auto refuse = [&](const std::string& text) {
    send_error(text);
    if (trace != nullptr) trace->refused(text);
    return true;
  };
  if (is_reserved_subject(subject) && !account_->is_system())
    return refuse(fmt::format("Permissions Violation for Publish to \"{}\"", subject));
  if (!reply.empty() && is_reserved_reply(reply))
    return refuse(fmt::format("Permissions Violation for Publish with Reply of \"{}\"", reply));
  if (permissions_ == nullptr || permissions_->may_publish(subject, world_.clock.now()))
    return false;
  ++world_.counters.permission_violations;
  SLUICE_LOG(log_, kDebug, "publish not permitted cid={} account={} subject={}", id_,
             account_->name(), subject);
  return refuse(fmt::format("Permissions Violation for Publish to \"{}\"", subject));
}

/// Goes straight to the requester: neither its subscription nor the statistics count it.
void Connection::answer_no_responders(std::string_view reply, std::string_view subject) {
  if (!open()) return;
  const Subscription* inbox = account_->router().find_plain(reply, id_);
  if (inbox == nullptr) return;
  append_no_responders(outbox_.bytes(), reply,
                       static_cast<const ClientSubscription*>(inbox)->sid(), subject);
  if (!outbox_.appended()) cut_slow_consumer();
}

}  // namespace sluice
