// The words of a .conf value that every stanza needs: one value of a kind, or what is wrong with
// it, told in the reference's words with its place.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/nats_conf.h"

namespace sluice {

/// One for a reading of a file. Collects everything that is wrong; a getter that tells leaves its
/// output as it was.
class NatsReader {
 public:
  using Value = const ConfValue&;
  using Key = std::string_view;

  explicit NatsReader(const NatsConf& conf) : conf_(conf) {}
  NatsReader(const NatsReader&) = delete;
  NatsReader& operator=(const NatsReader&) = delete;

  /// "F:1:0: words".
  void tell(const ConfPlace& place, std::string_view words);
  /// Goes on all the same; the reference's -t takes it as an error.
  void warn(const ConfPlace& place, std::string_view words);
  /// Is without effect here, as what it tunes is not there; the log says so.
  void note(const ConfPlace& place, std::string_view words);
  /// A key of a block that nobody took: `refused` are those the reference knows and this version
  /// does not do. A plain `false` asks for nothing; a key used as a variable is no field.
  void refuse_or_unknown(const ConfEntry& entry, std::span<const std::string_view> refused);

  bool is(Value value, ConfValue::Kind kind, std::string_view wanted);
  bool is_map(Value value);
  void text(Value value, std::string& out);
  void flag(Value value, bool& out);
  std::optional<int64_t> integer(Value value, int64_t low, int64_t high, Key key);
  /// A text such as "2m30s"; a number means seconds and is warned of.
  std::optional<std::chrono::nanoseconds> duration(Value value, Key key);
  /// Seconds, also with a fraction, or a duration. `what` names the block in the error.
  std::optional<std::chrono::nanoseconds> seconds_or_duration(Value value, Key what, Key key);
  /// A number, or a text such as "10G" (powers of 1024).
  std::optional<int64_t> storage_size(Value value, std::string_view name);
  /// 4222, ":4222", "host:4222", "[::1]:4222".
  void address(Value value, std::string& host, int& port);
  void port(Value value, Key key, int& out);
  /// 0 and less: without limit, which `out` has as 0.
  void count(Value value, Key key, size_t& out);
  /// One text, or a list of them.
  void texts(Value value, std::vector<std::string>& out);

  const std::string& errors() const { return errors_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  std::string at(const ConfPlace& place) const;

  const NatsConf& conf_;
  std::string errors_;
  std::vector<std::string> warnings_;
  std::vector<std::string> notes_;
};

/// As Go names the type of a value: "int64", "map[string]interface {}" ….
std::string_view go_type(const ConfValue& value);

}  // namespace sluice
