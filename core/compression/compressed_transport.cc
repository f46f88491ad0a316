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
/// A sender does not know how far the reader has come: so many doublings are what may be on the way.
constexpr size_t kCutsOfSent = 6;
constexpr size_t kCutsOfReceived = 2;

}  // namespace

CompressedTransport::CompressedTransport(std::unique_ptr<Transport> under, Executor& executor)
    : under_(std::move(under)), executor_(executor), world_(nullptr), inbound_(Inbound::kClear) {}

CompressedTransport::CompressedTransport(std::unique_ptr<Transport> under, CompressionWorld& world)
    : under_(std::move(under)), executor_(world.executor), world_(&world), inbound_(Inbound::kFirstLine) {}

CompressedTransport::~CompressedTransport() {
  if (world_ != nullptr && reader_ != nullptr) --world_->streams;
}

void CompressedTransport::begin(Dictionaries* dictionaries) {
  SLUICE_CHECK(world_ == nullptr && writer_ == nullptr);
  if (dictionaries != nullptr) {
    DictionaryOffer offer;
    for (const FlowDirection direction : {FlowDirection::kToServer, FlowDirection::kToClient})
      offer.ids[index_of(direction)] = dictionaries->best(direction, DictionaryOffer::kMaxEach);
    packed_ = encode(offer);
    cut_dictionaries(*dictionaries);
  }
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
  if (std::exchange(frame_follows_, false)) {
    writer_->end_frame(packed_);
    writer_->use(agreed_[index_of(FlowDirection::kToServer)]);
  }
  if (is_worth_compressing(bytes.size()))
    writer_->write(bytes, packed_);
  else
    writer_->store(bytes, packed_);
  if (sent_cuts_) sent_cuts_->cutter.take(bytes);
  flow_.sent_packed += packed_.size();
  if (world_ != nullptr) {
    world_->flow.sent += bytes.size();
    world_->flow.sent_packed += packed_.size();
  }
  bytes.clear();
  under_->write(packed_);
  packed_.clear();
}

/// Before the server has chosen it counts our frames.
bool CompressedTransport::is_worth_compressing(size_t bytes) {
  if (clock_ == nullptr || inbound_ != Inbound::kPacked) return true;
  return worth_.compresses(clock_->now(), bytes, under_->queued_bytes() != 0);
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
      if (bytes.front() != kZstdFirstByte && bytes.front() != kDictionaryWordsFirstByte) return bytes;
      if (!admit()) return {};
      inbound_ = bytes.front() == kDictionaryWordsFirstByte ? Inbound::kWords : Inbound::kPacked;
      if (inbound_ == Inbound::kPacked) writer_ = std::make_unique<ZstdWriter>();  // else behind our own words
      return bytes;
    case Inbound::kLines:
      if (at_line_start_ && dictionaries_ != nullptr && bytes.front() == kDictionaryWordsFirstByte) {
        reader_ = std::make_unique<ZstdReader>();
        inbound_ = Inbound::kWords;
        return bytes;
      }
      if (!at_line_start_ || bytes.front() != kZstdFirstByte) return take_line(bytes);
      reader_ = std::make_unique<ZstdReader>();
      inbound_ = Inbound::kPacked;
      return bytes;
    case Inbound::kWords:
      return take_words(bytes);
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
  reader_ = std::make_unique<ZstdReader>();
  return true;
}

std::string_view CompressedTransport::take_words(std::string_view bytes) {
  if (!words_) words_ = std::make_unique<DictionaryWordsReader>();
  const size_t before = bytes.size();
  const auto whole = words_->feed(bytes);
  count_received(0, before - bytes.size());
  Status taken;
  if (!whole)
    taken = std::unexpected(whole.error());
  else if (*whole)
    taken = world_ != nullptr ? take_offer() : take_choice();
  if (!taken) {
    if (world_ != nullptr) ++world_->broken;
    fail_stream(taken.error());
    return {};
  }
  if (*whole) {
    words_.reset();
    inbound_ = Inbound::kPacked;
  }
  return bytes;
}

/// Server: of what is offered the best that is here too; our answer is the first of what is written next.
Status CompressedTransport::take_offer() {
  const auto offer = parse_dictionary_offer(words_->payload());
  if (!offer) return std::unexpected(offer.error());
  DictionaryChoice choice;
  for (const FlowDirection direction : {FlowDirection::kToServer, FlowDirection::kToClient}) {
    DictionaryPtr& agreed = agreed_[index_of(direction)];
    for (const DictionaryId& id : offer->ids[index_of(direction)]) {
      if (agreed = world_->dictionaries.find(direction, id); agreed) break;
    }
    if (agreed) choice.ids[index_of(direction)] = agreed->id;
  }
  ++world_->offered;
  if (agreed_[0] || agreed_[1]) ++world_->agreed;
  packed_ = encode(choice);
  writer_ = std::make_unique<ZstdWriter>();
  if (const DictionaryPtr& ours = agreed_[index_of(FlowDirection::kToClient)]) writer_->use(ours);
  if (const DictionaryPtr& theirs = agreed_[index_of(FlowDirection::kToServer)]) reader_->expect(theirs, 1);
  cut_dictionaries(world_->dictionaries);
  return {};
}

/// Client: what the server chose is what it was offered.
Status CompressedTransport::take_choice() {
  const auto choice = parse_dictionary_choice(words_->payload());
  if (!choice) return std::unexpected(choice.error());
  for (const FlowDirection direction : {FlowDirection::kToServer, FlowDirection::kToClient}) {
    const DictionaryId& id = choice->ids[index_of(direction)];
    if (is_none(id)) continue;
    agreed_[index_of(direction)] = dictionaries_->find(direction, id);
    if (!agreed_[index_of(direction)]) return fail(Errc::kCorrupt, "zstd: the server chose a dictionary that was not offered");
  }
  if (const DictionaryPtr& theirs = agreed_[index_of(FlowDirection::kToClient)]) reader_->expect(theirs, 0);
  frame_follows_ = agreed_[index_of(FlowDirection::kToServer)] != nullptr;
  return {};
}

void CompressedTransport::cut_dictionaries(Dictionaries& dictionaries) {
  dictionaries_ = &dictionaries;
  const auto cuts = [this](FlowDirection direction, size_t most, std::unique_ptr<Cuts>& slot) {
    slot = std::make_unique<Cuts>(DictionaryCutter([this, direction, most, &slot](std::string content) {
      auto& made = slot->made;
      made.push_back(dictionaries_->add(direction, std::move(content)));
      if (made.size() <= most) return;
      dictionaries_->remove(direction, made.front());
      made.pop_front();
    }));
  };
  const bool at_server = world_ != nullptr;
  cuts(at_server ? FlowDirection::kToClient : FlowDirection::kToServer, kCutsOfSent, sent_cuts_);
  cuts(at_server ? FlowDirection::kToServer : FlowDirection::kToClient, kCutsOfReceived, received_cuts_);
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
  if (received_cuts_) received_cuts_->cutter.take({chunk.data(), *made});
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
