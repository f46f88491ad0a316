// How two ends find a dictionary that both have: a skippable frame of Zstandard (RFC 8878, 3.1.2) in front of each direction.
//
//   client  5F 2A 4D 18  <size, 4 bytes, little endian>  <n> <m>  n ids to the server, m ids to the client, the best first
//   server  the same beginning, then two ids: the one to the server, the one to the client; zeros for none
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "compression/dictionaries.h"

namespace sluice {

/// No line of the NATS protocol begins with it, nor a frame.
inline constexpr char kDictionaryWordsFirstByte = '\x5f';

struct DictionaryOffer {
  static constexpr size_t kMaxEach = 6;
  std::array<std::vector<DictionaryId>, kFlowDirections> ids;
};

struct DictionaryChoice {
  std::array<DictionaryId, kFlowDirections> ids{};
};
bool is_none(const DictionaryId& id);

std::string encode(const DictionaryOffer& offer);
std::string encode(const DictionaryChoice& choice);
Result<DictionaryOffer> parse_dictionary_offer(std::string_view payload);
Result<DictionaryChoice> parse_dictionary_choice(std::string_view payload);

/// Gathers one such frame, however it is cut. Never holds more than the largest may have.
class DictionaryWordsReader {
 public:
  /// Takes bytes off the front. @return true when payload() is whole; kCorrupt: no such frame, or a larger one.
  Result<bool> feed(std::string_view& bytes);
  std::string_view payload() const { return std::string_view(gathered_).substr(kHead_bytes); }
  static constexpr size_t kHead_bytes = 8;
  static constexpr size_t kMaxPayload_bytes = 2 + 2 * DictionaryOffer::kMaxEach * sizeof(DictionaryId);

 private:
  std::string gathered_;
};

}  // namespace sluice
