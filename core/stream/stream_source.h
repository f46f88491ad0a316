// Where a stream takes its messages from: the `mirror` and `sources[]` objects of its configuration.
// Source: the documented StreamSource (ADR-59, ADR-60 for `consumer`).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time_format.h"

namespace sluice {

struct StreamConfig;

/// What SubjectTransform takes, as the client wrote it.
struct SubjectMapping {
  std::string source;       ///< empty = ">"
  std::string destination;  ///< empty = the subject stays
  bool operator==(const SubjectMapping&) const = default;
};

/// An origin in another account or domain.
struct ExternalStream {
  std::string api;      ///< stands in place of `$JS.API`
  std::string deliver;  ///< prefix of the deliver subject; empty = `$JS`
  bool operator==(const ExternalStream&) const = default;
};

/// A durable consumer of the origin that the operator made beforehand (ADR-60).
struct SourceConsumer {
  std::string name;
  std::string deliver_subject;
  bool operator==(const SourceConsumer&) const = default;
};

struct StreamSource {
  std::string name;
  uint64_t opt_start_seq = 0;
  std::optional<WallNanos> opt_start_time;
  std::string filter_subject;
  std::vector<SubjectMapping> subject_transforms;  ///< each `source` is a filter as well
  std::optional<ExternalStream> external;
  std::optional<SourceConsumer> consumer;

  /// What the origin is asked for; empty = everything.
  std::vector<std::string> filters() const;
  bool operator==(const StreamSource&) const = default;
};

/// The object in the documented order of fields.
std::string stream_source_json(const StreamSource& source);

/// The configuration of the account's stream of that name; nullptr when there is none here.
using StreamLookup = std::function<const StreamConfig*(std::string_view name)>;

/// The checks on `mirror` and `sources` that stand between the other options and the subjects, in the
/// reference's order. Takes over the origin's allow_direct as mirror_direct; 10157 when pedantic.
Status check_stream_sources(StreamConfig& config, bool pedantic, const StreamLookup& find);

/// 8 characters that change when a stream is deleted and made anew under the same name.
std::string stream_identity(WallNanos created);

/// Set by whoever copies the messages; shown in stream info.
struct SourceStatus {
  uint64_t lag = 0;
  uint64_t seq = 0;            ///< a source: newest sequence of the origin that was taken
  int64_t active_ns = -1;      ///< since the origin was last heard of; -1 = never
  std::optional<Error> error;  ///< with its api_code
};
/// The `mirror` object or one of `sources[]` of a StreamInfo.
std::string source_info_json(const StreamSource& source, const SourceStatus& status);

}  // namespace sluice
