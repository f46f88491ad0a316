#include "config/operator_token.h"

#include <fmt/format.h>

#include <fstream>

namespace sluice {
namespace {

constexpr size_t kMaxFile_bytes = 1024 * 1024;
/// Base64 of `{"`: how every JWT begins.
constexpr std::string_view kJwtBegins = "eyJ";

}  // namespace

Result<std::string> read_operator_token(const std::string& text) {
  if (text.starts_with(kJwtBegins)) return text;
  std::ifstream file(text);
  size_t read = 0;
  for (std::string line; read < kMaxFile_bytes && std::getline(file, line);) {
    read += line.size() + 1;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.starts_with(kJwtBegins)) return line;
  }
  return fail(Errc::kNotFound, fmt::format("error reading operator JWT \"{}\"", text));
}

}  // namespace sluice
