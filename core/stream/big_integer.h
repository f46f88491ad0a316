// Whole numbers of any size, in decimal: what counter streams add up (ADR-49).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// Always normalised: no leading zeros, no negative zero. Adding costs one pass over the digits.
class BigInteger {
 public:
  BigInteger() = default;
  /// An optional sign and at least one digit; nullopt for anything else.
  static std::optional<BigInteger> parse(std::string_view text);

  BigInteger operator-() const;
  BigInteger operator+(const BigInteger& other) const;
  BigInteger operator-(const BigInteger& other) const { return *this + -other; }
  bool operator==(const BigInteger&) const = default;
  std::string to_string() const { return negative_ ? "-" + digits_ : digits_; }

 private:
  BigInteger(bool negative, std::string digits);

  bool negative_ = false;
  std::string digits_ = "0";  ///< most significant first
};

}  // namespace sluice
