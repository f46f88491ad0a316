#include "replicator/stream_digests.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "client/api_json.h"
#include "client/stream_reader.h"
#include "proof/digest_fold.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr auto kAnswerLimit = 60s;   ///< of one page
constexpr auto kSilence = 60s;       ///< of a stream that is read
constexpr auto kPause = 500ms;       ///< before it is tried again
constexpr int kMaxTries = 120;       ///< in a row without an answer or a message
constexpr uint16_t kTooManyRequests = 10167;
constexpr uint16_t kBadRequest = 10003;

class ServedDigests final : public StreamDigests {
 public:
  ServedDigests(Env& env, NatsLink& link, std::string_view api_prefix, std::string_view stream)
      : link_(link),
        subject_(digest_subject_prefix_beside(api_prefix)),
        again_(env.timers.make([this] { step(); })) {
    if (!subject_.empty()) subject_ += stream;
  }

  void ask(DigestRequest request, bool one_page, Done done) override {
    SLUICE_CHECK(!done_);
    request_ = std::move(request);
    one_page_ = one_page;
    done_ = std::move(done);
    answer_ = {};
    tries_ = 0;
    again_->start({});
  }
  const Traffic& traffic() const override { return traffic_; }
  StreamSeq at() const override { return request_.own.first; }

 private:
  void step() {
    if (subject_.empty()) return end(fail(Errc::kNoResponders, "no digests are served beside this API prefix"));
    const std::string body = encode(request_);
    traffic_.bytes += body.size();
    call_ = link_.request({subject_, {}, {}, body}, kAnswerLimit, [this](Result<LinkMessage> reply) {
      if (!reply) return on_failed(reply.error());
      traffic_.bytes += reply->payload.size();
      auto page = parse_digest_answer(reply->payload);
      page ? on_page(*std::move(page)) : on_failed(page.error());
    });
  }

  void on_failed(const Error& why) {
    const bool passes = why.code == Errc::kTimeout || why.code == Errc::kClosed || why.code == Errc::kFull ||
                        why.api_code == kTooManyRequests || (why.code == Errc::kNoResponders && answered_);
    if (why.api_code == kBadRequest && request_.needs_newer_sluice())
      return end(fail(Errc::kUnsupported, fmt::format("its Sluice is too old for rewritten subjects and chosen marks ({}): "
                                                      "have the stream read instead", why.detail)));
    if (!passes || ++tries_ > kMaxTries) return end(std::unexpected(why));
    again_->start(kPause);
  }

  void on_page(DigestAnswer page) {
    answered_ = true;
    tries_ = 0;
    traffic_.messages += page.read;
    const StreamSeq next = page.next;
    answer_.merge(std::move(page));
    if (next.is_zero() || one_page_) return end(std::move(answer_));
    if (next <= request_.own.first || next > request_.own.last) return end(fail(Errc::kCorrupt, "the answer does not go on"));
    request_.own.first = next;
    request_.seen = answer_.newest;
    again_->start({});
  }

  void end(Result<DigestAnswer> result) {
    auto done = std::exchange(done_, nullptr);
    done(std::move(result));
  }

  NatsLink& link_;
  std::string subject_;
  DigestRequest request_;
  DigestAnswer answer_;
  bool one_page_ = false;
  bool answered_ = false;
  int tries_ = 0;
  Traffic traffic_;
  Done done_;
  Ticket call_;
  std::unique_ptr<Timer> again_;
};

class ReadDigests final : public StreamDigests {
 public:
  ReadDigests(Env& env, StreamClient& client, std::string_view stream)
      : env_(env),
        client_(client),
        stream_(stream),
        next_step_(env.timers.make([this] { take_next_step(); })),
        silence_(env.timers.make([this] { end(fail(Errc::kTimeout, fmt::format("nothing came for {} s", kSilence.count()))); })) {}

  void ask(DigestRequest request, bool one_page, Done done) override {
    SLUICE_CHECK(!done_);
    if (!one_page) request.max_parts = UINT64_MAX;
    done_ = std::move(done);
    at_ = request.own.first;
    last_ = request.own.last;
    fold_ = std::make_unique<DigestFold>(std::move(request));
    tries_ = 0;
    step_ = Step::kFindFirst;
    next_step_->start({});
  }
  const Traffic& traffic() const override { return traffic_; }
  StreamSeq at() const override { return at_; }

 private:
  enum class Step : uint8_t { kFindFirst, kRead, kEnd };

  void take_next_step() {
    reader_.reset();
    switch (step_) {
      case Step::kFindFirst: return find_first();
      case Step::kRead: return read();
      case Step::kEnd: return end(std::move(fold_->answer()));
    }
  }

  /// Whether there is anything to read: of a consumer that has nothing, nothing is heard.
  void find_first() {
    const auto& filters = fold_->request().filters;
    const std::string filter = filters.size() == 1 ? filters.front() : ">";
    call_ = client_.api("STREAM.MSG.GET", stream_, nlohmann::json{{"seq", at_.value()}, {"next_by_subj", filter}}.dump(),
                        [this](Result<std::string> reply) {
                          auto first = reply ? parse_stored_message(*reply) : std::unexpected(reply.error());
                          const bool none = !first && first.error().code == Errc::kNotFound && first.error().api_code != 10059;
                          if (!first && !none) return on_trouble(Step::kFindFirst, first.error());
                          go_to(none || first->seq > last_ ? Step::kEnd : Step::kRead);
                        });
  }

  void read() {
    const auto& filters = fold_->request().filters;
    ReadPlan plan{.stream = stream_, .first = at_, .consumer_prefix = "verify", .description = "sluice verify"};
    if (filters.size() == 1) plan.filters = filters;
    plan.window_messages = std::min<uint64_t>(1000, std::max<uint64_t>(last_.value() - at_.value(), 1));
    reader_ = std::make_unique<StreamReader>(
        env_, client_, plan,
        StreamReader::Events{[this](const ConsumedMessage& message) { take(message); },
                             [this](const std::string& why) { on_trouble(Step::kRead, {Errc::kIo, 0, why}); }});
    silence_->start(kSilence);
    reader_->start();
  }

  void take(const ConsumedMessage& message) {
    if (next_step_->active()) return;  // it has ended
    tries_ = 0;
    silence_->start(kSilence);
    if (message.stream_seq > last_) return go_to(Step::kEnd);
    traffic_.bytes += message.subject.size() + message.headers.size() + message.payload.size();
    ++traffic_.messages;
    at_ = message.stream_seq.next();
    const bool taken = fold_->add({message.stream_seq, message.subject, message.headers, message.payload});
    if (!taken || message.stream_seq >= last_ || message.pending == 0) go_to(Step::kEnd);
  }

  /// The reader and the client are on the stack.
  void go_to(Step step) {
    silence_->stop();
    if (reader_) reader_->pause();
    step_ = step;
    next_step_->start({});
  }

  void on_trouble(Step again, const Error& why) {
    if (!done_) return;
    const bool hopeless = why.api_code == 10059 || why.code == Errc::kDenied;
    if (hopeless || ++tries_ > kMaxTries) return end(std::unexpected(why));
    silence_->stop();
    step_ = again;
    next_step_->start(kPause);
  }

  void end(Result<DigestAnswer> result) {
    silence_->stop();
    auto done = std::exchange(done_, nullptr);
    if (done) done(std::move(result));
  }

  Env& env_;
  StreamClient& client_;
  const std::string stream_;
  std::unique_ptr<DigestFold> fold_;
  std::unique_ptr<StreamReader> reader_;
  StreamSeq at_;
  StreamSeq last_;
  Step step_ = Step::kFindFirst;
  int tries_ = 0;
  Traffic traffic_;
  Done done_;
  Ticket call_;
  std::unique_ptr<Timer> next_step_;
  std::unique_ptr<Timer> silence_;
};

}  // namespace

std::unique_ptr<StreamDigests> StreamDigests::served(Env& env, NatsLink& link, std::string_view api_prefix,
                                                     std::string_view stream) {
  return std::make_unique<ServedDigests>(env, link, api_prefix, stream);
}

std::unique_ptr<StreamDigests> StreamDigests::read(Env& env, StreamClient& client, std::string_view stream) {
  return std::make_unique<ReadDigests>(env, client, stream);
}

}  // namespace sluice
