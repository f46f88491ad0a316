#include "spool/entrance.h"

#include <deque>
#include <optional>
#include <string>
#include <utility>

namespace sluice {

class SpoolEntrance::Connection final : public TransportHandler {
 public:
  Connection(SpoolEntrance& owner, uint64_t id, std::unique_ptr<Transport> transport)
      : owner_(owner), id_(id), transport_(std::move(transport)) {}
  void start() { transport_->start(*this); }

  void on_bytes(std::string_view bytes) override {
    buffer_ += bytes;
    serve();
  }
  void on_drained() override { serve(); }
  void on_closed(const Error&) override { end(); }

 private:
  /// Takes whole lines as long as answers may be owed.
  void serve() {
    size_t from = 0;
    while (!ending_) {
      const bool busy = owed_.size() >= kMaxUnderWay || transport_->queued_bytes() > owner_.max_line_bytes_;
      if (busy != paused_) {
        paused_ = busy;
        busy ? transport_->pause_reading() : transport_->resume_reading();
      }
      if (busy) break;
      const size_t line_end = buffer_.find('\n', from);
      if (line_end == std::string::npos) break;
      const std::string_view line = std::string_view(buffer_).substr(from, line_end - from);
      from = line_end + 1;
      if (line.size() > owner_.max_line_bytes_) {
        too_long();
      } else {
        request(line);
      }
    }
    buffer_.erase(0, from);
    if (!ending_ && buffer_.size() > owner_.max_line_bytes_ && buffer_.find('\n') == std::string::npos) too_long();
  }

  void request(std::string_view line) {
    ++owner_.requests_count_;
    const uint64_t number = first_owed_ + owed_.size();
    owed_.emplace_back();
    owner_.requests_.handle(line, [this, number, alive = std::weak_ptr<char>(alive_)](std::string answer) {
      if (!alive.expired()) answered(number, std::move(answer));
    });
  }

  /// Answers go out in the order of the requests.
  void answered(uint64_t number, std::string answer) {
    owed_[number - first_owed_] = std::move(answer);
    std::string out;
    for (; !owed_.empty() && owed_.front(); owed_.pop_front(), ++first_owed_) out += *owed_.front() + "\n";
    if (out.empty()) return;
    transport_->write(out);
    if (ending_ && owed_.empty()) return end();
    if (paused_) serve_later();
  }

  /// Not from inside serve(), whose buffer is being walked.
  void serve_later() {
    owner_.executor_.post([this, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired()) serve();
    });
  }

  void too_long() {
    ++owner_.too_long_;
    ending_ = true;
    transport_->pause_reading();
    const uint64_t number = first_owed_ + owed_.size();
    owed_.emplace_back();
    answered(number, R"({"error":{"code":"invalid argument","text":"the line is too long"}})");
  }

  /// The connection goes, in a later callback: callers up the stack still look at it.
  void end() {
    ending_ = true;
    transport_->close(true);
    owner_.executor_.post([&owner = owner_, id = id_, alive = std::weak_ptr<char>(owner_.alive_)] {
      if (!alive.expired()) owner.drop(id);
    });
  }

  SpoolEntrance& owner_;
  const uint64_t id_;
  std::unique_ptr<Transport> transport_;
  std::string buffer_;
  std::deque<std::optional<std::string>> owed_;
  uint64_t first_owed_ = 0;  ///< number of owed_'s front
  bool paused_ = false;
  bool ending_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

SpoolEntrance::SpoolEntrance(Executor& executor, SpoolRequests& requests, size_t max_line_bytes)
    : executor_(executor), requests_(requests), max_line_bytes_(max_line_bytes) {}

SpoolEntrance::~SpoolEntrance() = default;

void SpoolEntrance::accept(std::unique_ptr<Transport> transport) {
  if (connections_.size() >= kMaxConnections) {
    ++turned_away_;
    return transport->close(false);
  }
  const uint64_t id = ++last_id_;
  auto [at, fresh] = connections_.emplace(id, std::make_unique<Connection>(*this, id, std::move(transport)));
  at->second->start();
}

void SpoolEntrance::drop(uint64_t id) { connections_.erase(id); }

void SpoolEntrance::collect(MetricSink& sink) const {
  sink.gauge("sluice_spool_connections", "Programs connected to the socket.", {}, static_cast<double>(connections_.size()));
  sink.counter("sluice_spool_requests_total", "Requests over the socket.", {}, static_cast<double>(requests_count_));
  sink.counter("sluice_spool_turned_away_total", "Connections closed because there were too many.", {}, static_cast<double>(turned_away_));
  sink.counter("sluice_spool_long_lines_total", "Connections ended for a line that was too long.", {}, static_cast<double>(too_long_));
}

}  // namespace sluice
