#include "leaf/leaf_credentials.h"

#include <string_view>

#include "io/read_file.h"

namespace sluice {
namespace {

constexpr uint64_t kMaxFile_bytes = 64 * 1024;

/// The first word behind the line that holds `title`.
std::string word_after(std::string_view text, std::string_view title) {
  const size_t at = text.find(title);
  if (at == text.npos) return {};
  text.remove_prefix(at + title.size());
  const size_t begin = text.find_first_not_of("-\r\n ");
  if (begin == text.npos) return {};
  text.remove_prefix(begin);
  return std::string(text.substr(0, text.find_first_of("\r\n ")));
}

}  // namespace

Result<LeafCredentials> read_leaf_credentials(Disk& disk, const std::string& path) {
  const auto text = read_file(disk, path, kMaxFile_bytes);
  if (!text) return std::unexpected(text.error());
  LeafCredentials credentials{word_after(*text, "BEGIN NATS USER JWT"),
                              word_after(*text, "BEGIN USER NKEY SEED")};
  if (credentials.jwt.empty() || credentials.seed.empty())
    return fail(Errc::kInvalidArgument, path + " holds no user JWT and seed");
  return credentials;
}

}  // namespace sluice
