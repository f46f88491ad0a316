#include "http/connection.h"

#include <utility>

namespace sluice {
namespace {

constexpr size_t kMaxLingered_bytes = 8 * kMiB;
constexpr std::chrono::seconds kLingerTime{2};

}  // namespace

HttpConnection::HttpConnection(HttpServer& server, uint64_t id, std::unique_ptr<Transport> transport)
    : server_(server),
      id_(id),
      transport_(std::move(transport)),
      parser_(server.options_.limits),
      request_timer_(server.timers_.make([this] { on_request_timeout(); })),
      timer_(server.timers_.make([this] { on_timeout(); })),
      self_(std::make_shared<HttpConnection*>(this)) {}

HttpConnection::~HttpConnection() {
  *self_ = nullptr;
  if (not_taken_) std::erase(server_.waiting_, id_);
  release_memory();
}

void HttpConnection::start() {
  request_timer_->start(server_.options_.request_timeout);
  transport_->start(*this);
}

// ---- reading

void HttpConnection::on_bytes(std::string_view bytes) {
  switch (phase_) {
    case Phase::kReading:
      return consume(bytes);
    case Phase::kHeldBack:
      held_.append(bytes);  // what was under way when reading was paused
      return;
    case Phase::kEnding:
      return;
    case Phase::kLingering:
      lingered_bytes_ += bytes.size();
      if (lingered_bytes_ > kMaxLingered_bytes) return finish();
      return;
  }
}

void HttpConnection::consume(std::string_view bytes) {
  while (!bytes.empty()) {
    const bool fresh = !parser_.in_request();
    const auto outcome = parser_.parse(bytes);
    // The clock of a request runs from its first byte, whatever comes after.
    if (fresh && parser_.in_request()) request_timer_->start(server_.options_.request_timeout);
    switch (outcome) {
      case HttpRequestParser::Outcome::kMore:
        return arm_timer();
      case HttpRequestParser::Outcome::kBad:
        ++server_.counters_.bad_requests;
        return refuse(plain_response(parser_.error_status()), parser_.error_status() == 413);
      case HttpRequestParser::Outcome::kHead:
        if (!read_head()) return;
        continue;
      case HttpRequestParser::Outcome::kRequest:
        break;
    }
    read_request();
    if (!flush()) return;
    if (phase_ == Phase::kEnding) return end(false);
    if (not_taken_ || !has_room()) return hold_back(bytes);
  }
  arm_timer();
}

/// @return false when the body is not wanted: the connection ends, or is gone.
bool HttpConnection::read_head() {
  const HttpRequest& request = parser_.request();
  if (auto refusal = server_.service_.refuse_body(request)) {
    refuse(std::move(*refusal), true);
    return false;
  }
  const size_t wanted = parser_.body_bytes_max();
  if (server_.options_.limits.keep_body) {
    if (server_.body_memory_bytes_ + wanted > server_.options_.max_body_memory_bytes) {
      ++server_.counters_.busy;
      refuse(server_.service_.busy(), true);
      return false;
    }
    reserved_bytes_ = wanted;
    server_.body_memory_bytes_ += wanted;
  }
  const auto expect = request.header("expect");
  if (!expect) return true;
  std::string word(*expect);
  for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (word != "100-continue") {
    refuse(plain_response(417), true);
    return false;
  }
  // An answer that is still outstanding comes first: then the peer sends its body unasked, as RFC 9110 has it.
  if (slots_.empty()) {
    out_.append("HTTP/1.1 100 Continue\r\n\r\n");
    transport_->write(out_);
  }
  return true;
}

void HttpConnection::read_request() {
  ++server_.counters_.requests;
  request_timer_->stop();
  HttpRequest request = parser_.take_request();
  request.connection = id_;
  slots_.push_back({.head = request.method == HttpMethod::kHead, .keep_alive = request.keep_alive});
  if (!request.keep_alive) phase_ = Phase::kEnding;
  not_taken_ = std::move(request);
  // Nobody passes by those who wait.
  if (server_.waiting_.empty() && offer()) return;
  phase_ = Phase::kHeldBack;
  server_.waiting_.push_back(id_);
}

bool HttpConnection::offer() {
  HttpAnswer done = [self = self_, slot = first_slot_ + slots_.size() - 1](HttpResponse response) {
    if (*self != nullptr) (*self)->answer(slot, std::move(response));
  };
  offering_ = true;
  const bool taken = server_.service_.take(*not_taken_, done);
  offering_ = false;
  if (!taken) return false;
  not_taken_.reset();
  release_memory();
  return true;
}

bool HttpConnection::offer_again() {
  if (!not_taken_) return true;
  const bool last = !slots_.back().keep_alive;
  if (!offer()) return false;
  if (last) phase_ = Phase::kEnding;
  if (!flush()) return true;
  if (last)
    end(false);
  else
    go_on();
  return true;
}

void HttpConnection::release_memory() {
  server_.body_memory_bytes_ -= std::exchange(reserved_bytes_, 0);
}

// ---- holding back

bool HttpConnection::has_room() const {
  const HttpServerOptions& options = server_.options_;
  return !not_taken_ && slots_.size() < options.max_pipelined_count &&
         transport_->queued_bytes() <= options.max_queued_bytes;
}

void HttpConnection::hold_back(std::string_view rest) {
  phase_ = Phase::kHeldBack;
  held_.assign(rest);
  transport_->pause_reading();
  arm_timer();
}

void HttpConnection::go_on() {
  if (phase_ != Phase::kHeldBack || !has_room()) return arm_timer();
  phase_ = Phase::kReading;
  const std::string held = std::exchange(held_, {});
  transport_->resume_reading();
  consume(held);
}

// ---- answering

void HttpConnection::answer(uint64_t slot, HttpResponse response) {
  if (slot < first_slot_) return;  // the peer was told to come later
  const uint64_t at = slot - first_slot_;
  if (at >= slots_.size() || slots_[at].response) return;  // so was everything behind it
  slots_[at].response = std::move(response);
  if (offering_) return;
  if (!flush()) return;
  if (phase_ == Phase::kEnding) return end(lingers_);
  go_on();
}

bool HttpConnection::flush() {
  while (!slots_.empty() && slots_.front().response) {
    const Slot& slot = slots_.front();
    append_http_response(out_, *slot.response, slot.head, slot.keep_alive);
    slots_.pop_front();
    ++first_slot_;
  }
  const auto self = self_;
  if (!out_.empty()) transport_->write(out_);
  return *self != nullptr;
}

void HttpConnection::add_answer(HttpResponse response) {
  slots_.push_back({.head = false, .keep_alive = false, .response = std::move(response)});
}

void HttpConnection::refuse(HttpResponse response, bool linger) {
  add_answer(std::move(response));
  phase_ = Phase::kEnding;
  request_timer_->stop();
  if (!flush()) return;
  end(linger);
}

/// Closes once everything outstanding has gone out. A peer that still sends is listened to for a
/// while (`linger`): closing with its bytes unread would reset the connection and take our answer with it.
void HttpConnection::end(bool linger) {
  phase_ = Phase::kEnding;
  lingers_ = linger;
  if (!linger) transport_->pause_reading();
  if (!slots_.empty() || transport_->queued_bytes() > 0) return arm_timer();
  if (!linger) return finish();
  phase_ = Phase::kLingering;
  release_memory();
  arm_timer();
}

void HttpConnection::finish() {
  transport_->close(true);
  server_.drop(id_);
}

void HttpConnection::on_drained() {
  if (phase_ == Phase::kEnding) return end(lingers_);
  if (phase_ == Phase::kHeldBack) return go_on();
  arm_timer();
}

// ---- time

void HttpConnection::arm_timer() {
  const HttpServerOptions& options = server_.options_;
  if (phase_ == Phase::kLingering) return timer_->start(kLingerTime);
  if (transport_->queued_bytes() > 0) return timer_->start(options.write_timeout);
  if (not_taken_) return timer_->start(options.busy_timeout);
  if (!slots_.empty()) return timer_->start(options.answer_timeout);
  if (parser_.in_request() || request_timer_->active()) return timer_->stop();
  timer_->start(options.idle_timeout);
}

void HttpConnection::on_request_timeout() {
  if (!parser_.in_request() || transport_->queued_bytes() > 0) return server_.drop(id_);
  ++server_.counters_.bad_requests;
  refuse(plain_response(408), false);
}

void HttpConnection::on_timeout() {
  // Idle, or the peer does not take its answer.
  if (phase_ == Phase::kLingering || slots_.empty() || transport_->queued_bytes() > 0)
    return server_.drop(id_);
  // What is behind the unanswered one was not answered either: the peer sends it all again.
  ++server_.counters_.busy;
  if (not_taken_) std::erase(server_.waiting_, id_);
  not_taken_.reset();
  while (slots_.size() > 1) slots_.pop_back();
  slots_.front().keep_alive = false;
  slots_.front().response = server_.service_.busy();
  request_timer_->stop();
  phase_ = Phase::kEnding;
  if (!flush()) return;
  end(true);
}

}  // namespace sluice
