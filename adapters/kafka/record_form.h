// A Kafka record as a stored message, and back. README.md here documents the headers.
#pragma once

#include <string>
#include <string_view>

#include "adapters/cloud_events/event.h"
#include "adapters/kafka/kafka_port.h"
#include "base/time_format.h"

namespace sluice {

inline constexpr std::string_view kKafkaPositions = "SLUICE.KAFKA.";  ///< subjects of positions begin with it

/// A subject with places for what a record has: `{topic}` `{partition}` `{key}`, the rest is as it stands.
class SubjectTemplate {
 public:
  /// @return kInvalidArgument for an unknown or unclosed place, or a text that can't become a subject.
  static Result<SubjectTemplate> parse(std::string_view text);
  /// What can't stand in a token is percent-encoded: a key is one token, a topic's dots part its tokens. No key: `_`,
  /// an empty one: `%`.
  std::string subject(const KafkaRecord& record) const;
  /// A filter that each of its subjects of this topic fits.
  std::string filter(std::string_view topic) const;

 private:
  enum class Place : uint8_t { kText, kTopic, kPartition, kKey };
  std::vector<std::pair<Place, std::string>> parts_;
};

struct RecordMessage {
  std::string subject;
  std::string headers;
  std::string payload;
};

/// Faults: "no_event" and those of CloudEvents.
EventResult<RecordMessage> message_of(const KafkaRecord& record, const SubjectTemplate& subject, KafkaEvents events);

struct MessageView {
  std::string_view subject;
  std::string_view headers;
  std::string_view payload;
  WallNanos time = 0;
};

/// Faults: "bad_encoding" for a header of ours that is none, "no_event" and those of CloudEvents.
EventResult<KafkaOutRecord> record_of(const MessageView& message, KafkaKeySource key, KafkaEvents events);

/// The same for the same record; of a topic that was made again, another one in all likelihood.
uint64_t record_mark(const KafkaRecord& record);

}  // namespace sluice
