#include "spool/socket_client.h"

#include <utility>

#include "base/limits.h"
#include "client/backoff.h"

namespace sluice {
namespace {

/// An answer to a submission is short; more than this without a line end is no spool.
constexpr size_t kMaxAnswer_bytes = 1 * kMiB;

}  // namespace

class SpoolSocketClient::Ear final : public TransportHandler {
 public:
  explicit Ear(SpoolSocketClient& owner) : owner_(owner) {}
  void on_bytes(std::string_view bytes) override { owner_.on_bytes(bytes); }
  void on_drained() override {}
  void on_closed(const Error& why) override { owner_.on_closed(why); }

 private:
  SpoolSocketClient& owner_;
};

SpoolSocketClient::SpoolSocketClient(Env& env, std::string path, std::move_only_function<void()> changed)
    : env_(env),
      path_(std::move(path)),
      changed_(std::move(changed)),
      ear_(std::make_unique<Ear>(*this)),
      retry_timer_(env.timers.make([this] { dial(); })) {}

SpoolSocketClient::~SpoolSocketClient() = default;

void SpoolSocketClient::dial() {
  dialling_ = env_.network.connect(path_, 0, [this](Result<std::unique_ptr<Transport>> dialled) {
    dialling_.release();
    on_dialled(std::move(dialled));
  });
}

void SpoolSocketClient::on_dialled(Result<std::unique_ptr<Transport>> dialled) {
  if (!dialled) {
    trouble_ = dialled.error().detail;
    return retry_timer_->start(five_sec_backoff(++failures_, env_.random));
  }
  trouble_.clear();
  buffer_.clear();
  transport_ = *std::move(dialled);
  transport_->start(*ear_);
  changed_();
}

void SpoolSocketClient::ask(std::string_view request, Answered answered) {
  if (!transport_) {
    env_.executor.post([told = std::move(answered), alive = std::weak_ptr<char>(alive_)]() mutable {
      if (!alive.expired()) told(fail(Errc::kClosed, "the spool is not connected"));
    });
    return;
  }
  waiting_.push_back(std::move(answered));
  std::string line(request);
  line += '\n';
  transport_->write(line);
}

void SpoolSocketClient::on_bytes(std::string_view bytes) {
  buffer_ += bytes;
  const std::weak_ptr<char> alive = alive_;
  size_t from = 0;
  for (size_t end; (end = buffer_.find('\n', from)) != std::string::npos;) {
    std::string line = buffer_.substr(from, end - from);
    from = end + 1;
    if (waiting_.empty()) break;  // nobody asked: told below
    failures_ = 0;
    Answered answered = std::move(waiting_.front());
    waiting_.pop_front();
    answered(std::move(line));
    if (alive.expired() || !transport_) return;
  }
  buffer_.erase(0, from);
  if (buffer_.size() <= kMaxAnswer_bytes && (buffer_.empty() || !waiting_.empty())) return;
  // Not from inside the transport's own call.
  env_.executor.post([this, alive] {
    if (!alive.expired() && transport_) on_closed({Errc::kCorrupt, 0, path_ + ": what answers is no spool"});
  });
}

void SpoolSocketClient::on_closed(const Error& why) {
  trouble_ = why.detail.empty() ? path_ + ": the spool closed the connection" : why.detail;
  // Handed to the executor: it is the transport that calls.
  env_.executor.post([gone = std::move(transport_)]() mutable { gone.reset(); });
  transport_ = nullptr;
  retry_timer_->start(five_sec_backoff(++failures_, env_.random));
  std::deque<Answered> told = std::exchange(waiting_, {});
  const std::weak_ptr<char> alive = alive_;
  for (Answered& one : told) {
    one(fail(Errc::kClosed, trouble_));
    if (alive.expired()) return;
  }
  changed_();
}

}  // namespace sluice
