#include "stream/big_integer.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

/// Of two magnitudes without leading zeros.
bool is_less(std::string_view a, std::string_view b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

std::string sum_of(std::string_view larger, std::string_view smaller) {
  std::string out(larger.size() + 1, '0');
  int carry = 0;
  for (size_t i = 0; i < larger.size() || carry != 0; ++i) {
    int digit = carry;
    if (i < larger.size()) digit += larger[larger.size() - 1 - i] - '0';
    if (i < smaller.size()) digit += smaller[smaller.size() - 1 - i] - '0';
    out[out.size() - 1 - i] = static_cast<char>('0' + digit % 10);
    carry = digit / 10;
  }
  return out;
}

/// @param larger  not less than `smaller`
std::string difference_of(std::string_view larger, std::string_view smaller) {
  std::string out(larger);
  int borrow = 0;
  for (size_t i = 0; i < larger.size(); ++i) {
    int digit = larger[larger.size() - 1 - i] - '0' - borrow;
    if (i < smaller.size()) digit -= smaller[smaller.size() - 1 - i] - '0';
    borrow = digit < 0 ? 1 : 0;
    out[out.size() - 1 - i] = static_cast<char>('0' + digit + borrow * 10);
  }
  return out;
}

}  // namespace

BigInteger::BigInteger(bool negative, std::string digits)
    : negative_(negative), digits_(std::move(digits)) {
  digits_.erase(0, std::min(digits_.find_first_not_of('0'), digits_.size() - 1));
  if (digits_ == "0") negative_ = false;
}

std::optional<BigInteger> BigInteger::parse(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  return BigInteger(negative, std::string(text));
}

BigInteger BigInteger::operator-() const { return BigInteger(!negative_, digits_); }

BigInteger BigInteger::operator+(const BigInteger& other) const {
  const bool other_is_larger = is_less(digits_, other.digits_);
  const BigInteger& larger = other_is_larger ? other : *this;
  const BigInteger& smaller = other_is_larger ? *this : other;
  if (larger.negative_ == smaller.negative_)
    return BigInteger(larger.negative_, sum_of(larger.digits_, smaller.digits_));
  return BigInteger(larger.negative_, difference_of(larger.digits_, smaller.digits_));
}

}  // namespace sluice
