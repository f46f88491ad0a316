#include "archive/tar_reader.h"

#include <algorithm>
#include <cstdint>

namespace sluice {
namespace {

constexpr size_t kBlock = 512;

/// A field of octal digits, ended by a blank or a zero byte.
std::optional<uint64_t> octal(std::string_view field) {
  uint64_t out = 0;
  bool any = false;
  for (const char c : field) {
    if (c == ' ' && !any) continue;
    if (c == '\0' || c == ' ') break;
    if (c < '0' || c > '7' || out > (UINT64_MAX >> 4)) return std::nullopt;
    out = out * 8 + static_cast<uint64_t>(c - '0');
    any = true;
  }
  return any ? std::optional(out) : std::nullopt;
}

std::string_view text(std::string_view field) { return field.substr(0, field.find('\0')); }

/// The sum of the header's bytes, its own field counted as blanks.
uint64_t sum_of(std::string_view header) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i)
    sum += i >= 148 && i < 156 ? uint64_t{' '} : uint64_t{static_cast<uint8_t>(header[i])};
  return sum;
}

}  // namespace

Result<std::optional<TarFile>> TarReader::next() {
  const auto corrupt = [](const char* what) { return fail(Errc::kCorrupt, what); };
  waiting_.erase(0, at_);
  at_ = 0;
  while (!ended_) {
    if (waiting_.size() - at_ < kBlock) return std::nullopt;
    const std::string_view header = std::string_view(waiting_).substr(at_, kBlock);
    if (std::all_of(header.begin(), header.end(), [](char c) { return c == '\0'; })) {
      ended_ = true;
      break;
    }
    const auto size = octal(header.substr(124, 12));
    if (octal(header.substr(148, 8)) != sum_of(header) || !size) return corrupt("not a tar archive");
    if (*size > kMaxFile_bytes) return corrupt("a file larger than 64 MiB");
    const size_t padded = (static_cast<size_t>(*size) + kBlock - 1) / kBlock * kBlock;
    if (waiting_.size() - at_ < kBlock + padded) return std::nullopt;
    const size_t body = at_ + kBlock;
    at_ = body + padded;
    const char kind = header[156];
    if (kind != '0' && kind != '\0') continue;
    name_ = text(header.substr(0, 100));
    if (const std::string_view prefix = text(header.substr(345, 155));
        header.substr(257, 5) == "ustar" && !prefix.empty())
      name_ = std::string(prefix) + "/" + name_;
    return TarFile{.name = name_, .bytes = std::string_view(waiting_).substr(body, static_cast<size_t>(*size))};
  }
  return std::nullopt;
}

}  // namespace sluice
