#include "adapters/kafka_source/positioned_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "adapters/kafka/record_form.h"
#include "base/check.h"
#include "base/headers.h"
#include "base/log.h"
#include "base/nuid.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kAckTimeout{5};
constexpr std::chrono::milliseconds kFirstBackoff{100};
constexpr std::chrono::milliseconds kLastBackoff{10000};

constexpr uint16_t kNoMessage = 10037;
constexpr uint16_t kNoStream = 10059;
constexpr uint16_t kWrongLastSequence = 10071;
constexpr uint16_t kMessageTooLarge = 10054;
constexpr uint16_t kHeaderTooLarge = 10097;
/// One of the batch was refused as it came, or the server forgot the batch: again and again, it is the former.
constexpr uint16_t kIncompleteBatch = 10176;
constexpr int kPatienceBatch = 2;
constexpr int kPatienceMessage = 5;

/// The fault of a message itself.
bool is_final(const Error& why) {
  return why.code == Errc::kInvalidArgument || why.api_code == kMessageTooLarge || why.api_code == kHeaderTooLarge;
}

}  // namespace

PositionedWriter::PositionedWriter(Env& env, StreamClient& client, IngestPort& letters, std::string adapter, Events events)
    : env_(env),
      client_(client),
      letters_(letters),
      subject_(std::string(kKafkaPositions) + adapter),
      adapter_(std::move(adapter)),
      events_(std::move(events)),
      retry_timer_(env.timers.make([this] {
        resolve();
      })) {}

void PositionedWriter::stop() {
  retry_timer_->stop();
  call_.cancel();
  open_done_ = nullptr;
  forget();
  alive_ = std::make_shared<char>();
}

void PositionedWriter::forget() {
  messages_.clear();
  ahead_.clear();
  ahead_batch_.reset();
  batch_.reset();
  head_ = 0;
  busy_ = false;
}

// ---- opening

void PositionedWriter::open(const StreamSpec& spec, std::vector<std::string> filters, std::move_only_function<void(Status)> done) {
  SLUICE_CHECK(!busy_);
  spec_ = spec;
  spec_.allow_atomic = spec_.allow_rollup_hdrs = true;
  spec_.subjects = filters;
  spec_.subjects.push_back(subject_);
  filters_ = std::move(filters);
  open_done_ = std::move(done);
  call_ = client_.stream_info(spec_.name, [this](Result<StreamFigures> found) {
    call_.release();
    if (found || found.error().code != Errc::kNotFound) return check_stream(found);
    call_ = client_.create_stream(spec_, [this](Result<StreamFigures> made) {
      call_.release();
      if (made) SLUICE_LOG(kLog, kInfo, "stream made name={} adapter={}", spec_.name, adapter_);
      check_stream(made);
    });
  });
}

void PositionedWriter::check_stream(const Result<StreamFigures>& found) {
  if (!found) return opened(std::unexpected(found.error()));
  const auto unfit = [&](const std::string& why) {
    opened(fail(Errc::kInvalidArgument, fmt::format("stream '{}' {}", spec_.name, why)));
  };
  if (!found->allow_atomic) return unfit("must have allow_atomic (atomic batches, ADR-50)");
  if (!found->allow_rollup_hdrs) return unfit("must have allow_rollup_hdrs");
  if (found->retention != StreamRetention::kLimits) return unfit("must have limits retention: the position would go with what is acknowledged");
  std::vector<std::string> wanted = filters_;
  wanted.push_back(subject_);
  for (std::string& one : wanted) {
    std::string sample = one;
    std::ranges::replace(sample, '*', 'x');
    if (std::ranges::none_of(found->subjects, [&](const std::string& filter) { return subject_matches(filter, sample); }))
      return unfit(fmt::format("must take the subject {}", one));
  }
  read_position();
}

void PositionedWriter::read_position() {
  call_ = client_.last_message(spec_.name, subject_, [this](Result<StoredCopy> found) {
    call_.release();
    if (!found && found.error().api_code == kNoMessage) {
      // Never written, or purged: what is known goes on.
      position_seq_ = StreamSeq(0);
      return opened({});
    }
    if (!found) return opened(std::unexpected(found.error()));
    auto positions = parse_positions(found->payload);
    if (!positions)
      return opened(fail(Errc::kCorrupt, fmt::format("message {} of stream '{}' should hold positions and does not", found->seq.value(), spec_.name)));
    positions_ = *std::move(positions);
    position_seq_ = found->seq;
    opened({});
  });
}

void PositionedWriter::opened(Status outcome) {
  trouble_ = outcome ? "" : outcome.error().detail;
  if (auto done = std::exchange(open_done_, nullptr)) done(std::move(outcome));
}

// ---- writing

void PositionedWriter::write(std::vector<PlacedMessage> messages) {
  SLUICE_CHECK(takes() && messages.size() <= max_count());
  if (!busy_) return begin(std::move(messages));
  ahead_ = std::move(messages);
  if (trouble_.empty()) send_ahead();
}

void PositionedWriter::begin(std::vector<PlacedMessage> messages) {
  busy_ = true;
  messages_ = std::move(messages);
  head_ = 0;
  limit_ = messages_.size();
  send_next();
}

void PositionedWriter::send_ahead() {
  ahead_batch_.emplace(env_, client_);
  for (const PlacedMessage& one : ahead_)
    if (one.is_stored && !ahead_batch_->add(one.message)) return ahead_batch_.reset();
}

void PositionedWriter::place(std::map<KafkaPartition, PartitionPosition> positions) {
  SLUICE_CHECK(!busy_);
  busy_ = true;
  messages_.clear();
  head_ = limit_ = 0;
  positions_.partitions = std::move(positions);
  send_next();
}

void PositionedWriter::send_next() {
  count_ = std::min(limit_, messages_.size() - head_);
  next_.batch = make_nuid(env_.random);
  send();
}

void PositionedWriter::send() {
  next_.partitions = positions_.partitions;
  for (size_t i = head_; i < head_ + count_; ++i) next_.partitions[messages_[i].partition] = messages_[i].position;
  position_message_.subject = subject_;
  position_message_.headers.clear();
  append_header(position_message_.headers, "Nats-Rollup", "sub");
  append_header(position_message_.headers, "Nats-Expected-Last-Subject-Sequence", std::to_string(position_seq_.value()));
  position_message_.payload = write_positions(next_);
  std::optional<AtomicBatch> batch = std::exchange(batch_, std::nullopt);
  Status sent;
  if (!batch) {
    batch.emplace(env_, client_);
    for (size_t i = head_; sent && i < head_ + count_; ++i)
      if (messages_[i].is_stored) sent = batch->add(messages_[i].message);
  }
  if (!sent) return back_off(sent.error().detail);
  call_ = batch->commit(position_message_, kAckTimeout, [this](Result<PubAck> answer) { on_answer(std::move(answer)); });
}

void PositionedWriter::on_answer(Result<PubAck> answer) {
  call_.release();
  if (answer) return committed(answer->seq);
  ahead_batch_.reset();
  const Error& why = answer.error();
  if (why.api_code == kWrongLastSequence) return resolve();
  incomplete_ = why.api_code == kIncompleteBatch ? incomplete_ + 1 : 0;
  const bool refused = is_final(why) || incomplete_ >= (count_ == 1 ? kPatienceMessage : kPatienceBatch);
  if (!refused || count_ == 0) return back_off(why.detail);
  incomplete_ = failures_ = 0;
  if (count_ == 1) return bury(why);
  limit_ = count_ / 2;
  send_next();
}

/// Whether the batch took place is told by the position that is there.
void PositionedWriter::resolve() {
  call_ = client_.last_message(spec_.name, subject_, [this](Result<StoredCopy> found) {
    call_.release();
    on_position(std::move(found));
  });
}

void PositionedWriter::on_position(Result<StoredCopy> found) {
  if (!found && found.error().api_code == kNoStream) return lose("the stream is gone");
  if (!found && found.error().api_code != kNoMessage) return back_off(found.error().detail);
  const StreamSeq seq = found ? found->seq : StreamSeq(0);
  if (seq == position_seq_) return send();  // under the same name: the first may still arrive
  if (!found) {
    SLUICE_LOG(kLog, kWarn, "the position was purged, written again adapter={} stream={}", adapter_, spec_.name);
    position_seq_ = seq;
    return send();
  }
  const auto positions = parse_positions(found->payload);
  if (positions && positions->batch == next_.batch) return committed(seq);
  lose("somebody else writes this adapter's position");
}

void PositionedWriter::committed(StreamSeq seq) {
  failures_ = incomplete_ = 0;
  trouble_.clear();
  position_seq_ = seq;
  positions_ = next_;
  const size_t end = head_ + count_;
  for (; head_ < end; ++head_) {
    PlacedMessage& one = messages_[head_];
    (one.is_stored ? events_.on_stored : events_.on_buried)(one);
  }
  limit_ = std::max<size_t>(2 * count_, 1);
  if (head_ < messages_.size()) return send_next();
  if (!ahead_.empty()) {
    batch_ = std::exchange(ahead_batch_, std::nullopt);
    begin(std::exchange(ahead_, {}));
    return events_.on_room();
  }
  messages_.clear();
  head_ = 0;
  busy_ = false;
  events_.on_settled();
}

void PositionedWriter::bury(const Error& why) {
  PlacedMessage& one = messages_[head_];
  const std::string origin = fmt::format("kafka:{}/{}/{}", one.partition.topic, one.partition.number, one.position.next - 1);
  const Offer offer = letters_.dead_letter({"refused", why.detail, origin, one.message.payload, origin},
                                           [this, alive = std::weak_ptr<char>(alive_)](const Result<PubAck>& kept) {
                                             if (alive.expired() || (!kept && kept.error().code == Errc::kClosed)) return;
                                             messages_[head_].is_stored = false;
                                             send_next();
                                           });
  if (offer == Offer::kFull) back_off("the dead letters take no more for now");
}

void PositionedWriter::back_off(const std::string& why) {
  ahead_batch_.reset();
  if (trouble_ != why) SLUICE_LOG(kLog, kWarn, "batch not stored, tried again adapter={} why=\"{}\"", adapter_, why);
  trouble_ = why;
  const auto full = std::min(kFirstBackoff * (1 << std::min(failures_, 7)), kLastBackoff);
  ++failures_;
  retry_timer_->start(std::chrono::nanoseconds(full) / 2 +
                      std::chrono::nanoseconds(env_.random.below(static_cast<uint64_t>(std::chrono::nanoseconds(full).count() / 2))));
}

void PositionedWriter::lose(const std::string& why) {
  trouble_ = why;
  forget();
  events_.on_lost(why);
}

}  // namespace sluice
