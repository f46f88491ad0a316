// The numbers of ack subjects, written and read without a step for each digit: five of them, some fifty
// digits, go out and come back with every message, and were 8 % of a push consumer's CPU.
#pragma once

#include <array>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/endian.h"

namespace sluice {

/// The most digits of a 64-bit number.
inline constexpr size_t kMostDigits = 20;

/// Writes the eight digits of a number below 100,000,000: halves, pairs and digits are split in all
/// lanes of a word at once.
inline void put_eight_digits(char* at, uint32_t value) {
  const uint64_t halves = value / 10'000 | uint64_t{value % 10'000} << 32;
  const uint64_t hundreds = (halves * 5'243 >> 19) & 0x0000'007f'0000'007f;  // x / 100 for x < 10,000
  const uint64_t pairs = hundreds | (halves - hundreds * 100) << 16;
  const uint64_t tens = (pairs * 103 >> 10) & 0x000f'000f'000f'000f;  // x / 10 for x < 100
  const uint64_t digits = tens | (pairs - tens * 10) << 8;
  store_le64(at, digits | 0x3030'3030'3030'3030);
}

/// A number that is mostly one more or one less than the one written before it: its digits are kept, and
/// then only the last one changes. The last eight are a word, so that what is read was written as such.
class SteppingNumber {
 public:
  /// Writes kRoom bytes. @return the end of those that count.
  char* put(char* at, uint64_t value) {
    const uint64_t last = word_ >> last_shift_ & 0xf;
    if (value > value_ && value - value_ == 1 && last != 9) {
      word_ += uint64_t{1} << last_shift_;
    } else if (value_ > value && value_ - value == 1 && last != 0) {
      word_ -= uint64_t{1} << last_shift_;
    } else if (value != value_) {
      spell(value);
    }
    value_ = value;
    if (front_size_ != 0) {
      std::memcpy(at, front_.data(), front_.size());
      at += front_size_;
    }
    store_le64(at, word_);
    return at + last_shift_ / 8 + 1;
  }
  static constexpr size_t kRoom = kMostDigits;

 private:
  void spell(uint64_t value) {
    std::array<char, kMostDigits> digits;
    const auto size = static_cast<size_t>(std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr - digits.data());
    front_size_ = size > 8 ? size - 8 : 0;
    std::memcpy(front_.data(), digits.data(), front_size_);
    word_ = 0;
    std::memcpy(&word_, digits.data() + front_size_, size - front_size_);
    last_shift_ = 8 * (size - front_size_ - 1);
  }

  uint64_t value_ = 0;
  uint64_t word_ = '0';    ///< the last eight digits, the first of them in the lowest byte
  size_t last_shift_ = 0;  ///< of the last digit in the word
  std::array<char, kMostDigits - 8> front_{};
  size_t front_size_ = 0;
};

/// Reads numbers of up to 19 digits out of a text, up to eight digits at a time.
class DigitReader {
 public:
  /// At least eight bytes that may be read stand in front of `end`.
  DigitReader(const char* at, const char* end) : at_(at), end_(end) {}

  /// The digits here, as many as there are. @return false when there is none, or more than 19.
  bool number(uint64_t& value) {
    static constexpr std::array<uint64_t, 9> kPowers = {1,      10,        100,        1'000,      10'000,
                                                        100'000, 1'000'000, 10'000'000, 100'000'000};
    value = 0;
    size_t count = 0;
    for (size_t taken = 8; taken == 8; count += taken) {
      if (count > 16) return false;
      const uint64_t word = next_eight() ^ 0x3030'3030'3030'3030;
      taken = leading_digits(word);
      if (taken == 0) break;
      value = value * kPowers[taken] + eight_to_number(word << (64 - 8 * taken));
      at_ += taken;
    }
    return count != 0 && count <= 19;
  }
  bool dot() { return at_ != end_ && *at_++ == '.'; }
  bool at_end() const { return at_ == end_; }

 private:
  /// What stands here, zeros behind the end.
  uint64_t next_eight() const {
    const auto left = static_cast<size_t>(end_ - at_);
    if (left >= 8) return load_le64(at_);
    return left == 0 ? 0 : load_le64(end_ - 8) >> (64 - 8 * left);
  }
  /// Bytes above 9 end it; what they carry only reaches bytes behind the first of them.
  static size_t leading_digits(uint64_t word) {
    const uint64_t others = ((word + 0x7676'7676'7676'7676) | word) & 0x8080'8080'8080'8080;
    return static_cast<size_t>(std::countr_zero(others)) / 8;
  }
  /// Digits as numbers, the first in the lowest byte: pairs, fours, eight.
  static uint64_t eight_to_number(uint64_t digits) {
    const uint64_t pairs = digits * 10 + (digits >> 8);
    constexpr uint64_t kLanes = 0x0000'00ff'0000'00ff;
    return ((pairs & kLanes) * (100 + (1'000'000ULL << 32)) + (pairs >> 16 & kLanes) * (1 + (10'000ULL << 32))) >> 32;
  }

  const char* at_;
  const char* end_;
};

}  // namespace sluice
