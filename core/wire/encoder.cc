#include "wire/encoder.h"

#include <array>
#include <cstring>
#include <initializer_list>

namespace sluice {
namespace {

constexpr size_t kMaxDigits = 20;

/// Decimal digits of a size, without the heap.
class Digits {
 public:
  explicit Digits(size_t value) {
    do {
      text_[--first_] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
  }
  std::string_view view() const { return {text_.data() + first_, kMaxDigits - first_}; }

 private:
  std::array<char, kMaxDigits> text_;
  size_t first_ = kMaxDigits;
};

/// Makes room once, then copies the pieces one behind the other.
void append_all(std::string& out, std::initializer_list<std::string_view> pieces) {
  const size_t before = out.size();
  size_t after = before;
  for (const std::string_view piece : pieces) after += piece.size();
  out.resize_and_overwrite(after, [&](char* data, size_t /*room: may be more than asked for*/) {
    char* at = data + before;
    for (const std::string_view piece : pieces) {
      if (!piece.empty()) std::memcpy(at, piece.data(), piece.size());
      at += piece.size();
    }
    return after;
  });
}

std::string_view blank_after(std::string_view field) { return field.empty() ? "" : " "; }

}  // namespace

void append_msg(std::string& out, std::string_view subject, std::string_view sid,
                std::string_view reply, std::string_view payload) {
  const Digits size(payload.size());
  append_all(out, {"MSG ", subject, " ", sid, " ", reply, blank_after(reply), size.view(), "\r\n",
                   payload, "\r\n"});
}

void append_hmsg(std::string& out, std::string_view subject, std::string_view sid,
                 std::string_view reply, std::string_view header, std::string_view payload) {
  const Digits header_size(header.size());
  const Digits size(header.size() + payload.size());
  append_all(out, {"HMSG ", subject, " ", sid, " ", reply, blank_after(reply), header_size.view(),
                   " ", size.view(), "\r\n", header, payload, "\r\n"});
}

void append_err(std::string& out, std::string_view text) {
  append_all(out, {"-ERR '", text, "'\r\n"});
}

void append_no_responders(std::string& out, std::string_view reply, std::string_view sid,
                          std::string_view subject) {
  constexpr std::string_view kBefore = "NATS/1.0 503\r\nNats-Subject: ";
  constexpr std::string_view kAfter = "\r\n\r\n";
  const Digits size(kBefore.size() + subject.size() + kAfter.size());
  append_all(out, {"HMSG ", reply, " ", sid, " ", size.view(), " ", size.view(), "\r\n", kBefore,
                   subject, kAfter, "\r\n"});
}

void append_pub(std::string& out, std::string_view subject, std::string_view reply,
                std::string_view header, std::string_view payload) {
  const Digits header_size(header.size());
  const Digits size(header.size() + payload.size());
  if (header.empty()) {
    append_all(out, {"PUB ", subject, " ", reply, blank_after(reply), size.view(), "\r\n", payload,
                     "\r\n"});
  } else {
    append_all(out, {"HPUB ", subject, " ", reply, blank_after(reply), header_size.view(), " ",
                     size.view(), "\r\n", header, payload, "\r\n"});
  }
}

}  // namespace sluice
