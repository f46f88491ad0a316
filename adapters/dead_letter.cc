#include "adapters/dead_letter.h"

#include "base/base64.h"
#include "crypto/digest.h"

namespace sluice {
namespace {

constexpr size_t kId_bytes = 24;

}  // namespace

std::string dead_letter_id(std::string_view adapter, std::string_view reason, std::string_view place, std::string_view bytes) {
  Sha256Stream digest;
  for (const std::string_view part : {adapter, reason, place}) {
    digest.update(std::to_string(part.size()) + ":");
    digest.update(part);
  }
  digest.update(bytes);
  const Sha256 all = digest.finish();
  return "letter-" + base64url_encode({reinterpret_cast<const char*>(all.data()), kId_bytes});
}

}  // namespace sluice
