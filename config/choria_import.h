// A Choria configuration → ours: adapters, Choria Streams and submission. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

struct ChoriaImport {
  std::string daemon_yaml;  ///< for `sluice run`
  std::string spool_yaml;   ///< for `sluice-spool`; empty when the file has no submission spool
  std::vector<std::string> notes;  ///< what could not be carried over, by name, and what to know
};

/// The file's grammar: a key and a value a line, parted by the first '='; the last one wins.
std::map<std::string, std::string> parse_choria_config(std::string_view text);
/// Choria's duration: digits alone are seconds; d, w, M, y take decimals. -1 when it is none.
int64_t parse_choria_seconds(std::string_view text);
ChoriaImport import_choria(const std::map<std::string, std::string>& keys, std::string_view file_name);

}  // namespace sluice
