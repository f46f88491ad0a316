#include "wire/encoder.h"

#include <array>
#include <cstdint>
#include <cstring>

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

/// A field of most messages is shorter than a call of memcpy is worth: two moves that may overlap.
char* put(char* at, std::string_view piece) {
  const char* from = piece.data();
  const size_t size = piece.size();
  const auto ends = [&](auto word) {
    std::memcpy(&word, from, sizeof word);
    auto last = word;
    std::memcpy(&last, from + size - sizeof word, sizeof word);
    std::memcpy(at, &word, sizeof word);
    std::memcpy(at + size - sizeof word, &last, sizeof word);
  };
  if (size > 16) {
    std::memcpy(at, from, size);
  } else if (size >= 8) {
    ends(uint64_t{});
  } else if (size >= 4) {
    ends(uint32_t{});
  } else if (size >= 2) {
    ends(uint16_t{});
  } else if (size == 1) {
    *at = *from;
  }
  return at + size;
}

/// A literal: its size is known when this is compiled.
template <size_t kSize>
char* put(char* at, const char (&literal)[kSize]) {
  std::memcpy(at, literal, kSize - 1);
  return at + kSize - 1;
}

size_t size_of(std::string_view piece) { return piece.size(); }

template <size_t kSize>
constexpr size_t size_of(const char (&/*literal*/)[kSize]) {
  return kSize - 1;
}

/// Makes room once, then copies the pieces one behind the other.
template <class... Pieces>
void append_all(std::string& out, const Pieces&... pieces) {
  const size_t before = out.size();
  const size_t after = before + (size_of(pieces) + ...);
  out.resize_and_overwrite(after, [&](char* data, size_t /*room: may be more than asked for*/) {
    char* at = data + before;
    ((at = put(at, pieces)), ...);
    return after;
  });
}

std::string_view blank_after(std::string_view field) { return {" ", field.empty() ? 0U : 1U}; }

}  // namespace

void append_msg(std::string& out, std::string_view subject, std::string_view sid,
                std::string_view reply, std::string_view payload) {
  const Digits size(payload.size());
  append_all(out, "MSG ", subject, " ", sid, " ", reply, blank_after(reply), size.view(), "\r\n",
                   payload, "\r\n");
}

void append_hmsg(std::string& out, std::string_view subject, std::string_view sid,
                 std::string_view reply, std::string_view header, std::string_view payload) {
  const Digits header_size(header.size());
  const Digits size(header.size() + payload.size());
  append_all(out, "HMSG ", subject, " ", sid, " ", reply, blank_after(reply), header_size.view(),
                   " ", size.view(), "\r\n", header, payload, "\r\n");
}

void append_err(std::string& out, std::string_view text) {
  append_all(out, "-ERR '", text, "'\r\n");
}

void append_no_responders(std::string& out, std::string_view reply, std::string_view sid,
                          std::string_view subject) {
  constexpr std::string_view kBefore = "NATS/1.0 503\r\nNats-Subject: ";
  constexpr std::string_view kAfter = "\r\n\r\n";
  const Digits size(kBefore.size() + subject.size() + kAfter.size());
  append_all(out, "HMSG ", reply, " ", sid, " ", size.view(), " ", size.view(), "\r\n", kBefore,
                   subject, kAfter, "\r\n");
}

void append_pub(std::string& out, std::string_view subject, std::string_view reply,
                std::string_view header, std::string_view payload) {
  const Digits header_size(header.size());
  const Digits size(header.size() + payload.size());
  if (header.empty()) {
    append_all(out, "PUB ", subject, " ", reply, blank_after(reply), size.view(), "\r\n", payload,
                     "\r\n");
  } else {
    append_all(out, "HPUB ", subject, " ", reply, blank_after(reply), header_size.view(), " ",
                     size.view(), "\r\n", header, payload, "\r\n");
  }
}

}  // namespace sluice
