// A small file, whole. Blocking.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"
#include "io/disk.h"

namespace sluice {

/// kInvalidArgument when it has more than `most_bytes`: looked at before anything is allocated.
inline Result<std::string> read_file(Disk& disk, const std::string& path, uint64_t most_bytes) {
  auto file = disk.open(path, OpenMode::kRead);
  if (!file) return std::unexpected(file.error());
  const auto size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  if (*size > most_bytes) return fail(Errc::kInvalidArgument, path + " is too large");
  std::string bytes(*size, '\0');
  const auto got = (*file)->read_at(0, std::as_writable_bytes(std::span(bytes)));
  if (!got) return std::unexpected(got.error());
  bytes.resize(*got);
  return bytes;
}

}  // namespace sluice
