#include "compression/dictionary_words.h"

#include <algorithm>

#include "base/endian.h"

namespace sluice {
namespace {

constexpr std::string_view kMagic = "\x5f\x2a\x4d\x18";

std::string frame(std::string_view payload) {
  std::string out(kMagic);
  char size[4];
  store_le(size, static_cast<uint32_t>(payload.size()));
  out.append(size, sizeof size);
  out += payload;
  return out;
}

void append_id(std::string& out, const DictionaryId& id) { out.append(reinterpret_cast<const char*>(id.data()), id.size()); }

DictionaryId take_id(std::string_view& bytes) {
  DictionaryId id;
  std::ranges::copy(bytes.substr(0, id.size()), reinterpret_cast<char*>(id.data()));
  bytes.remove_prefix(id.size());
  return id;
}

std::unexpected<Error> corrupt() { return fail(Errc::kCorrupt, "zstd: what should name dictionaries does not"); }

}  // namespace

bool is_none(const DictionaryId& id) { return id == DictionaryId{}; }

std::string encode(const DictionaryOffer& offer) {
  std::string payload;
  for (const auto& ids : offer.ids) payload.push_back(static_cast<char>(ids.size()));
  for (const auto& ids : offer.ids)
    for (const DictionaryId& id : ids) append_id(payload, id);
  return frame(payload);
}

std::string encode(const DictionaryChoice& choice) {
  std::string payload;
  for (const DictionaryId& id : choice.ids) append_id(payload, id);
  return frame(payload);
}

Result<DictionaryOffer> parse_dictionary_offer(std::string_view payload) {
  if (payload.size() < kFlowDirections) return corrupt();
  const size_t counts[kFlowDirections] = {static_cast<uint8_t>(payload[0]), static_cast<uint8_t>(payload[1])};
  payload.remove_prefix(kFlowDirections);
  if (std::max(counts[0], counts[1]) > DictionaryOffer::kMaxEach || payload.size() != (counts[0] + counts[1]) * sizeof(DictionaryId))
    return corrupt();
  DictionaryOffer offer;
  for (size_t direction = 0; direction < kFlowDirections; ++direction)
    for (size_t i = 0; i < counts[direction]; ++i) offer.ids[direction].push_back(take_id(payload));
  return offer;
}

Result<DictionaryChoice> parse_dictionary_choice(std::string_view payload) {
  DictionaryChoice choice;
  if (payload.size() != sizeof choice.ids) return corrupt();
  for (DictionaryId& id : choice.ids) id = take_id(payload);
  return choice;
}

Result<bool> DictionaryWordsReader::feed(std::string_view& bytes) {
  const auto take_up_to = [&](size_t size) {
    const size_t part = std::min(bytes.size(), size - gathered_.size());
    gathered_.append(bytes.substr(0, part));
    bytes.remove_prefix(part);
    return gathered_.size() == size;
  };
  if (gathered_.size() < kHead_bytes && !take_up_to(kHead_bytes)) return false;
  const uint32_t size = load_le<uint32_t>(gathered_.data() + kMagic.size());
  if (!gathered_.starts_with(kMagic) || size > kMaxPayload_bytes) return corrupt();
  return take_up_to(kHead_bytes + size);
}

}  // namespace sluice
