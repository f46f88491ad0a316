#include "server/traced_message.h"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace sluice {
namespace {

std::string quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void append_text(std::string& out, std::string_view key, std::string_view value) {
  if (!value.empty()) fmt::format_to(std::back_inserter(out), R"(,"{}":{})", key, quoted(value));
}

}  // namespace

TracedMessage::TracedMessage(Clock& clock, TraceRequest request, const TracedIngress& ingress,
                             std::string_view system_account)
    : MessageTrace(request.only),
      clock_(clock),
      request_(std::move(request)),
      system_account_(system_account),
      kind_(ingress.kind),
      id_(ingress.id),
      name_(ingress.name),
      account_(ingress.account),
      subject_(ingress.subject),
      size_bytes_(ingress.size_bytes),
      time_(clock.wall()) {}

/// The head of an event. @return false when there are too many.
bool TracedMessage::begin(std::string_view type) {
  if (event_count_ == kMaxEvents) {
    ++omitted_;
    return false;
  }
  ++event_count_;
  fmt::format_to(std::back_inserter(events_), R"(,{{"type":"{}","ts":"{}")", type,
                 format_rfc3339(clock_.wall()));
  return true;
}

void TracedMessage::mapped(std::string_view to) {
  if (!begin("sm")) return;
  append_text(events_, "to", to);
  events_ += '}';
}

void TracedMessage::service_import(std::string_view account, std::string_view from,
                                   std::string_view to) {
  if (!begin("si")) return;
  append_text(events_, "acc", account);
  append_text(events_, "from", from);
  append_text(events_, "to", to);
  events_ += '}';
}

void TracedMessage::served(std::string_view from, std::string_view to) {
  service_import(system_account_, from, to);
}

void TracedMessage::stream_export(const StreamImport& import) {
  if (!begin("se")) return;
  append_text(events_, "acc", import.account_);
  append_text(events_, "to", import.to_);
  events_ += '}';
}

void TracedMessage::egress(const TracedEgress& egress) {
  if (import_ != nullptr) stream_export(*import_);
  if (!begin("eg")) return;
  fmt::format_to(std::back_inserter(events_), R"(,"kind":{},"cid":{})",
                 static_cast<int>(egress.kind), egress.id);
  append_text(events_, "name", egress.name);
  append_text(events_, "hop", egress.hop);
  if (egress.account != account_) append_text(events_, "acc", egress.account);
  if (egress.kind == TracedKind::kClient) {
    append_text(events_, "sub", import_ == nullptr ? egress.subject : import_->subject_);
    append_text(events_, "queue", egress.queue);
  }
  if (egress.error != nullptr) append_text(events_, "error", egress.error);
  events_ += '}';
}

void TracedMessage::stored(const TracedStorage& storage) {
  if (import_ != nullptr) stream_export(*import_);
  if (!begin("js")) return;
  append_text(events_, "stream", storage.stream);
  append_text(events_, "subject", storage.subject);
  if (storage.no_interest) events_ += R"(,"nointerest":true)";
  append_text(events_, "error", storage.error);
  events_ += '}';
}

std::string TracedMessage::next_hop() {
  ++hops_;
  return request_.hop.empty() ? fmt::format("{}", hops_) : fmt::format("{}.{}", request_.hop, hops_);
}

std::string TracedMessage::ingress_json() const {
  std::string out = fmt::format(R"({{"type":"in","ts":"{}","kind":{},"cid":{})", format_rfc3339(time_),
                                static_cast<int>(kind_), id_);
  append_text(out, "name", name_);
  append_text(out, "acc", account_);
  append_text(out, "subj", subject_);
  append_text(out, "error", ingress_error_);
  return out + '}';
}

std::string TracedMessage::json(std::string_view server_json) const {
  std::string out = fmt::format(R"({{"server":{},"request":{{)", server_json);
  if (!request_.header.empty())
    fmt::format_to(std::back_inserter(out), R"("header":{},)", request_.header);
  fmt::format_to(std::back_inserter(out), R"("msgsize":{}}})", size_bytes_);
  if (hops_ != 0) fmt::format_to(std::back_inserter(out), R"(,"hops":{})", hops_);
  if (omitted_ != 0) fmt::format_to(std::back_inserter(out), R"(,"omitted":{})", omitted_);
  return fmt::format(R"({},"events":[{}{}]}})", out, ingress_json(), events_);
}

}  // namespace sluice
