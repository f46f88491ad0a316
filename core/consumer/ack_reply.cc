#include "consumer/ack_reply.h"

#include <array>
#include <charconv>

#include "stream/json_object.h"
#include "subject/subject.h"

namespace sluice {
namespace {

/// Five numbers and the dots between them.
constexpr size_t kMetaRoom = 5 * kMostDigits + 4;

template <class T>
bool read_number(std::string_view text, T& out) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failed == std::errc{} && end == text.data() + text.size() && !text.empty();
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::optional<std::chrono::nanoseconds> parse_delay(std::string_view text) {
  text = trim(text);
  if (text.empty()) return std::nullopt;
  if (text.front() != '{') return parse_go_duration(text);
  std::chrono::nanoseconds delay{0};
  const std::array fields = {JsonField::into("delay", delay)};
  if (!parse_json_object(text, fields, UnknownKeys::kIgnore)) return std::nullopt;
  return delay;
}

}  // namespace

AckSubject::AckSubject(std::string_view stream, std::string_view consumer) {
  buffer_.append("$JS.ACK.").append(stream).append(".").append(consumer).append(".");
  prefix_ = buffer_.size();
  buffer_.resize(prefix_ + kMetaRoom);
}

std::string_view AckSubject::format(const DeliveryMeta& meta) {
  char* at = buffer_.data() + prefix_;
  at = deliveries_.put(at, meta.deliveries);
  *at++ = '.';
  at = stream_seq_.put(at, meta.stream_seq.value());
  *at++ = '.';
  at = consumer_seq_.put(at, meta.consumer_seq.value());
  *at++ = '.';
  at = put_time(at, meta.time);
  *at++ = '.';
  at = num_pending_.put(at, meta.num_pending);
  return {buffer_.data(), at};
}

/// Neighbours were mostly stored in one second: its digits are spelled once.
char* AckSubject::put_time(char* at, WallNanos time) {
  constexpr WallNanos kSecond = 1'000'000'000;
  if (time < kSecond) return std::to_chars(at, at + kMostDigits, time).ptr;
  at = second_.put(at, static_cast<uint64_t>(time / kSecond));
  const auto rest = static_cast<uint32_t>(time % kSecond);
  *at = static_cast<char>('0' + rest / 100'000'000);
  put_eight_digits(at + 1, rest % 100'000'000);
  return at + 9;
}

std::optional<DeliveryMeta> AckSubject::parse(std::string_view subject) const {
  if (!subject.starts_with(prefix())) return parse_ack_subject(subject);
  DigitReader in(subject.data() + prefix_, subject.data() + subject.size());
  DeliveryMeta meta;
  uint64_t stream_seq = 0;
  uint64_t consumer_seq = 0;
  uint64_t time = 0;
  const bool plain = in.number(meta.deliveries) && in.dot() && in.number(stream_seq) && in.dot() &&
                     in.number(consumer_seq) && in.dot() && in.number(time) && in.dot() &&
                     in.number(meta.num_pending) && in.at_end();
  if (!plain || time > INT64_MAX) return parse_ack_subject(subject);
  meta.stream_seq = StreamSeq(stream_seq);
  meta.consumer_seq = ConsumerSeq(consumer_seq);
  meta.time = static_cast<WallNanos>(time);
  return meta;
}

std::optional<DeliveryMeta> parse_ack_subject(std::string_view subject) {
  std::array<std::string_view, 12> tokens;
  size_t count = 0;
  SubjectTokens walk(subject);
  std::string_view token;
  while (count < tokens.size() && walk.next(token)) tokens[count++] = token;
  if (count != 9 && count < 11) return std::nullopt;
  const size_t at = count == 9 ? 4 : 6;  // of the delivery count
  uint64_t sseq = 0;
  uint64_t cseq = 0;
  DeliveryMeta meta;
  if (!read_number(tokens[at], meta.deliveries) || !read_number(tokens[at + 1], sseq) ||
      !read_number(tokens[at + 2], cseq) || !read_number(tokens[at + 3], meta.time) ||
      !read_number(tokens[at + 4], meta.num_pending))
    return std::nullopt;
  meta.stream_seq = StreamSeq(sseq);
  meta.consumer_seq = ConsumerSeq(cseq);
  return meta;
}

AckBody parse_ack_body(std::string_view body) {
  if (body.empty() || body == "+ACK" || body == "+OK") return {AckVerb::kAck, std::nullopt, {}};
  if (body.starts_with("-NAK")) return {AckVerb::kNak, parse_delay(body.substr(4)), {}};
  if (body == "+WPI") return {AckVerb::kProgress, std::nullopt, {}};
  if (body.starts_with("+NXT")) return {AckVerb::kNext, std::nullopt, trim(body.substr(4))};
  if (body.starts_with("+TERM")) return {AckVerb::kTerm, std::nullopt, trim(body.substr(5))};
  return {};
}

}  // namespace sluice
