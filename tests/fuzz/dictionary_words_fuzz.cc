// Names of dictionaries from another Sluice: what is told must not depend on where the bytes are cut, and what was told must
// read the same when written again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "compression/dictionary_words.h"
#include "cuts.h"

namespace {

using namespace sluice;

std::string told(std::string_view bytes, size_t step) {
  DictionaryWordsReader reader;
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, step);
    const size_t size = part.size();
    const auto whole = reader.feed(part);
    if (!whole) return "!";
    bytes.remove_prefix(size - part.size());
    if (!*whole) continue;
    std::string out(reader.payload());
    if (const auto offer = parse_dictionary_offer(reader.payload()); offer && encode(*offer).substr(8) != reader.payload()) std::abort();
    if (const auto choice = parse_dictionary_choice(reader.payload()); choice && encode(*choice).substr(8) != reader.payload()) std::abort();
    return out + std::to_string(bytes.size());
  }
  return "?";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return same_however_cut(data, size, 16, told); }
