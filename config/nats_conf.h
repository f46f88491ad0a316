// nats-server's configuration grammar, read into a plain tree with places.
//
// `key: v | key = v | key v | key { … }`, # and // comments, `;` and `,` between values, strings in
// '…' and "…", ( … ) blocks, [ … ] with commas or lines, include, $VARIABLES, 64k (× 1000) and 64KB
// (× 1024). Errors are worded as nats-server 2.15.2 words them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "config/units.h"

namespace sluice {

/// Line from 1; column as the reference counts it: from 0 in the first line, from 1 in the others.
struct ConfPlace {
  uint32_t file = 0;  ///< index into NatsConf::files
  int line = 0;
  int column = 0;
};

struct ConfEntry;

struct ConfValue {
  enum class Kind : uint8_t { kFlag, kInteger, kReal, kText, kList, kMap };

  Kind kind = Kind::kText;
  bool flag = false;
  int64_t integer = 0;
  double real = 0;
  std::string text{};
  std::vector<ConfValue> items;    ///< kList
  std::vector<ConfEntry> entries;  ///< kMap; no key twice, the last one in the file counts
  ConfPlace place{};               ///< of the key in a map, of the value itself in a list

  const ConfEntry* find(std::string_view key) const;
};

struct ConfEntry {
  std::string key;  ///< as written
  ConfValue value;
  bool used_as_variable = false;
};

struct NatsConf {
  ConfValue root;                  ///< kMap
  std::vector<std::string> files;  ///< the file itself, then what it includes
};

/// Gives a file's text by its path; the error's detail as "open PATH: no such file or directory".
using ConfReader = std::function<Result<std::string>(const std::string& path)>;

/// @return kInvalidArgument with one sentence. Files, depth and values are bounded.
Result<NatsConf> parse_nats_conf(const std::string& path, std::string_view text,
                                 const ConfReader& reader, const Environment& environment);
/// The same from the disk.
Result<NatsConf> load_nats_conf(const std::string& path, const Environment& environment);

/// The tree as JSON with sorted keys, one line: what the reference's configuration digest is made
/// of.
std::string canonical_json(const NatsConf& conf);

}  // namespace sluice
