#include "stream/pub_ack.h"

#include <charconv>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/api_error.h"

namespace sluice {

std::string json_quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string api_error_json(const Error& why) {
  const uint16_t code = why.api_code != 0 ? why.api_code : uint16_t{10003};
  const ApiErrorText text = api_error_text(code, why.detail);
  return fmt::format(R"({{"code":{},"err_code":{},"description":{}}})", text.http_code, code,
                     json_quoted(text.description));
}

PubAckText::PubAckText(std::string_view stream, std::string_view domain)
    : stream_json_(json_quoted(stream)) {
  text_ = fmt::format(R"({{"stream":{},)", stream_json_);
  if (!domain.empty()) {
    domain_json_ = json_quoted(domain);
    text_ += fmt::format(R"("domain":{},)", domain_json_);
  }
  text_ += R"("seq":)";
  head_size_ = text_.size();
}

void PubAckText::write(StreamSeq seq, std::string_view end) {
  char digits[24];
  const auto done = std::to_chars(std::begin(digits), std::end(digits), seq.value());
  text_.resize(head_size_);
  text_.append(digits, done.ptr);
  text_.append(end);
}

std::string_view PubAckText::stored(StreamSeq seq) {
  write(seq, "}");
  return text_;
}

std::string_view PubAckText::duplicate(StreamSeq seq) {
  write(seq, R"(,"duplicate": true})");
  return text_;
}

std::string PubAckText::counted(StreamSeq seq, std::string_view sum) {
  write(seq, fmt::format(R"(,"val":"{}"}})", sum));
  return text_;
}

std::string PubAckText::batch(StreamSeq seq, std::string_view id, uint64_t count) {
  write(seq, fmt::format(R"(,"batch":{},"count":{}}})", json_quoted(id), count));
  return text_;
}

std::string PubAckText::refused(const Error& why) const {
  std::string out = fmt::format(R"({{"error":{},"stream":{},"seq":0)", api_error_json(why), stream_json_);
  if (!domain_json_.empty()) out += fmt::format(R"(,"domain":{})", domain_json_);
  out += '}';
  return out;
}

}  // namespace sluice
