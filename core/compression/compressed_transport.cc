#include "compression/compressed_transport.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

constexpr size_t kUnpackChunk_bytes = 32 * 1024;
constexpr size_t kPadding_bytes = 64;  // promised by TransportHandler::on_bytes

}  // namespace

CompressedTransport::CompressedTransport(std::unique_ptr<Transport> under, Executor& executor)
    : under_(std::move(under)), executor_(executor), world_(nullptr), inbound_(Inbound::kClear) {}

CompressedTransport::CompressedTransport(std::unique_ptr<Transport> under, CompressionWorld& world)
    : under_(std::move(under)), executor_(world.executor), world_(&world), inbound_(Inbound::kFirstLine) {}

CompressedTransport::~CompressedTransport() {
  if (world_ != nullptr && writer_ != nullptr) --world_->streams;
}

void CompressedTransport::begin() {
  SLUICE_CHECK(world_ == nullptr && writer_ == nullptr);
  writer_ = std::make_unique<ZstdWriter>();
  inbound_ = Inbound::kLines;
}

void CompressedTransport::start(TransportHandler& handler) {
  handler_ = &handler;
  under_->start(*this);
}

// ---------------------------------------------------------------- out

void CompressedTransport::write(std::string& bytes) {
  flow_.sent += bytes.size();
  if (writer_ == nullptr) {
    flow_.sent_packed += bytes.size();
    return under_->write(bytes);
  }
  if (bytes.empty()) return;
  writer_->write(bytes, packed_);
  flow_.sent_packed += packed_.size();
  if (world_ != nullptr) {
    world_->flow.sent += bytes.size();
    world_->flow.sent_packed += packed_.size();
  }
  bytes.clear();
  under_->write(packed_);
  packed_.clear();
}

void CompressedTransport::close(bool flush) {
  inbound_ = Inbound::kClosed;
  under_->close(flush);
}

// ---------------------------------------------------------------- in

void CompressedTransport::pause_reading() {
  paused_ = true;
  under_->pause_reading();
}

void CompressedTransport::resume_reading() {
  paused_ = false;
  under_->resume_reading();
  if (held_.empty() && !more_inside_) return;
  executor_.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired()) catch_up();
  });
}

void CompressedTransport::on_bytes(std::string_view bytes) {
  if (inbound_ == Inbound::kClear && held_.empty() && !paused_) return hand_up(bytes);
  if (held_.empty() && !paused_) return take(bytes);
  held_.append(bytes);
  if (!paused_) catch_up();
}

/// What was left over goes before the end.
void CompressedTransport::on_closed(const Error& why) {
  const std::weak_ptr<char> alive = alive_;
  if (!paused_) catch_up();
  if (alive.expired() || inbound_ == Inbound::kClosed) return;
  inbound_ = Inbound::kClosed;
  handler_->on_closed(why);
}

void CompressedTransport::catch_up() {
  if (paused_ || inbound_ == Inbound::kClosed || (held_.empty() && !more_inside_)) return;
  std::string bytes = std::exchange(held_, {});
  const size_t size = bytes.size();
  bytes.append(kPadding_bytes, '\0');
  take(std::string_view(bytes).substr(0, size));
}

/// Until all is taken or the session pauses; the rest is held. May destroy this.
void CompressedTransport::take(std::string_view bytes) {
  const std::weak_ptr<char> alive = alive_;
  while (!paused_ && inbound_ != Inbound::kClosed && (!bytes.empty() || more_inside_)) {
    bytes = take_some(bytes);
    if (alive.expired()) return;
  }
  if (inbound_ != Inbound::kClosed && !bytes.empty()) held_.insert(0, bytes);
}

/// @return what is left. May destroy this.
std::string_view CompressedTransport::take_some(std::string_view bytes) {
  switch (inbound_) {
    case Inbound::kClear:
      hand_up(bytes);
      return {};
    case Inbound::kFirstLine:
      return take_line(bytes);
    case Inbound::kDecide:
      inbound_ = Inbound::kClear;
      if (bytes.front() != kZstdFirstByte) return bytes;
      return admit() ? bytes : std::string_view();
    case Inbound::kLines:
      if (!at_line_start_ || bytes.front() != kZstdFirstByte) return take_line(bytes);
      reader_ = std::make_unique<ZstdReader>();
      inbound_ = Inbound::kPacked;
      return bytes;
    case Inbound::kPacked:
      return unpack(bytes);
    case Inbound::kClosed:
      break;
  }
  return {};
}

std::string_view CompressedTransport::take_line(std::string_view bytes) {
  const size_t end = bytes.find('\n');
  at_line_start_ = end != std::string_view::npos;
  const std::string_view line = at_line_start_ ? bytes.substr(0, end + 1) : bytes;
  if (at_line_start_ && inbound_ == Inbound::kFirstLine) inbound_ = Inbound::kDecide;
  hand_up(line);
  return bytes.substr(line.size());
}

/// A client begins; what it said before had its answer in clear.
bool CompressedTransport::admit() {
  if (world_->streams >= world_->max_streams) {
    ++world_->crowded_out;
    std::string refusal = "-ERR 'too many compressed connections'\r\n";
    under_->write(refusal);
    under_->close(true);
    inbound_ = Inbound::kClosed;
    handler_->on_closed({Errc::kFull, 0, "too many compressed connections"});
    return false;
  }
  ++world_->streams;
  ++world_->accepted;
  writer_ = std::make_unique<ZstdWriter>();
  reader_ = std::make_unique<ZstdReader>();
  inbound_ = Inbound::kPacked;
  return true;
}

std::string_view CompressedTransport::unpack(std::string_view bytes) {
  std::array<char, kUnpackChunk_bytes + kPadding_bytes> chunk;
  const size_t before = bytes.size();
  const auto made = reader_->read(bytes, std::span(chunk.data(), kUnpackChunk_bytes));
  if (!made) {
    if (world_ != nullptr) ++world_->broken;
    fail_stream(made.error());
    return {};
  }
  more_inside_ = *made == kUnpackChunk_bytes;
  count_received(*made, before - bytes.size());
  if (*made == 0) return bytes;
  std::memset(chunk.data() + *made, 0, kPadding_bytes);
  handler_->on_bytes({chunk.data(), *made});
  return bytes;
}

void CompressedTransport::hand_up(std::string_view bytes) {
  flow_.received += bytes.size();
  flow_.received_packed += bytes.size();
  handler_->on_bytes(bytes);
}

void CompressedTransport::count_received(size_t bytes, size_t packed) {
  flow_.received += bytes;
  flow_.received_packed += packed;
  if (world_ == nullptr) return;
  world_->flow.received += bytes;
  world_->flow.received_packed += packed;
}

void CompressedTransport::fail_stream(const Error& why) {
  inbound_ = Inbound::kClosed;
  under_->close(false);
  handler_->on_closed(why);
}

}  // namespace sluice
