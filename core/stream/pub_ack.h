// The bodies that answer a publish, formatted by hand: one is made for every stored message.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/ids.h"

namespace sluice {

class PubAckText {
 public:
  /// `domain` empty = none.
  PubAckText(std::string_view stream, std::string_view domain);

  /// stored() is about to be called: fetches its text into the processor's cache, from what begins at hot().
  void prefetch() const { __builtin_prefetch(text_.data(), 1); }
  const void* hot() const { return &text_; }
  /// `{"stream":"S","seq":7}`. The view lives until the next call.
  std::string_view stored(StreamSeq seq);
  /// `{"stream":"S","seq":2,"duplicate": true}`; the blank is the reference's.
  std::string_view duplicate(StreamSeq seq);
  /// `{"stream":"S","seq":7,"val":"5"}`
  std::string counted(StreamSeq seq, std::string_view sum);
  /// `{"stream":"S","seq":9,"batch":"<id>","count":3}`
  std::string batch(StreamSeq seq, std::string_view id, uint64_t count);
  /// `{"error":{…},"stream":"S","seq":0}`
  std::string refused(const Error& why) const;

 private:
  void write(StreamSeq seq, std::string_view end);

  std::string stream_json_;  ///< the name as a JSON string
  std::string domain_json_;
  std::string text_;
  size_t head_size_ = 0;
};

/// `{"code":…,"err_code":…,"description":"…"}`, the error object of the API (ADR-1).
std::string api_error_json(const Error& why);
/// `text` as a JSON string, quotes included; invalid UTF-8 is replaced.
std::string json_quoted(std::string_view text);

}  // namespace sluice
