#include "adapters/kafka/record_form.h"

#include <algorithm>
#include <set>

#include "adapters/cloud_events/http_binding.h"
#include "adapters/cloud_events/json_format.h"
#include "adapters/cloud_events/nats_binding.h"
#include "base/headers.h"
#include "base/parse_number.h"
#include "http/message.h"

namespace sluice {
namespace {

constexpr std::string_view kTopicHeader = "Kafka-Topic";
constexpr std::string_view kPartitionHeader = "Kafka-Partition";
constexpr std::string_view kOffsetHeader = "Kafka-Offset";
constexpr std::string_view kTimestampHeader = "Kafka-Timestamp";
constexpr std::string_view kTimestampTypeHeader = "Kafka-Timestamp-Type";
constexpr std::string_view kKeyHeader = "Kafka-Key";
constexpr std::string_view kTombstoneHeader = "Kafka-Tombstone";
constexpr std::string_view kHeaderHeader = "Kafka-Header";
constexpr std::string_view kEventPrefix = "ce_";  // CloudEvents Kafka protocol binding 1.0.2, 3.2.3
constexpr std::string_view kContentType = "content-type";
constexpr size_t kMaxSubject_bytes = 2048;

bool is_printable(char c) { return c > ' ' && c < '\x7f'; }

void add_percent(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kHex[byte >> 4];
  out += kHex[byte & 15];
}

/// Any bytes as a header's value: printable ASCII and inner blanks as they are.
std::string encoded(std::string_view bytes, char also = '%') {
  std::string out;
  out.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    const bool inner_blank = c == ' ' && i > 0 && i + 1 < bytes.size();
    if ((is_printable(c) || inner_blank) && c != '%' && c != also)
      out += c;
    else
      add_percent(out, c);
  }
  return out;
}

/// Any bytes as one token of a subject.
void add_token(std::string& out, std::string_view bytes, bool dots_part) {
  const size_t begin = out.size();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    const bool parts = c == '.' && dots_part && i > 0 && i + 1 < bytes.size() && bytes[i - 1] != '.';
    if (parts || (is_printable(c) && c != '.' && c != '*' && c != '>' && c != '%'))
      out += c;
    else
      add_percent(out, c);
  }
  if (out.size() == begin) out += '%';
}

bool equal_but_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

bool has_prefix(std::string_view name, std::string_view prefix) {
  return name.size() >= prefix.size() && equal_but_case(name.substr(0, prefix.size()), prefix);
}

/// Names with a meaning of their own in messages.
bool is_reserved(std::string_view name) {
  return has_prefix(name, "nats-") || has_prefix(name, "kafka-") || has_prefix(name, "sluice-") || has_prefix(name, "ce-");
}

/// Whether a header can stand in a message as it is.
bool is_plain(const KafkaHeader& header) {
  if (!header.value || header.name.empty() || is_reserved(header.name)) return false;
  const std::string_view value = *header.value;
  return std::ranges::all_of(header.name, [](char c) { return is_printable(c) && c != ':'; }) &&
         std::ranges::none_of(value, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }) &&
         (value.empty() || (value.front() != ' ' && value.back() != ' '));
}

/// Those of one name keep their order, so they are all written in the same way.
void add_headers(std::string& block, const KafkaRecord& record, bool is_event) {
  std::set<std::string_view> odd;
  for (const KafkaHeader& header : record.headers)
    if (!is_plain(header)) odd.insert(header.name);
  for (const KafkaHeader& header : record.headers) {
    if (is_event && (header.name.starts_with(kEventPrefix) || equal_but_case(header.name, kContentType))) continue;
    if (!odd.contains(header.name)) {
      append_header(block, header.name, *header.value);
      continue;
    }
    std::string text = encoded(header.name, '=');
    if (header.value) text.append("=").append(encoded(*header.value));
    append_header(block, kHeaderHeader, text);
  }
}

bool is_kafka_event(const KafkaRecord& record) {
  constexpr std::string_view kRequired[] = {"ce_id", "ce_source", "ce_type", "ce_specversion"};
  return std::ranges::all_of(kRequired, [&](std::string_view name) {
    return std::ranges::any_of(record.headers, [&](const KafkaHeader& h) { return h.name == name; });
  });
}

EventResult<CloudEvent> event_of(const KafkaRecord& record) {
  CloudEvent event;
  for (const KafkaHeader& header : record.headers) {
    const bool is_type = equal_but_case(header.name, kContentType);
    if (!is_type && !header.name.starts_with(kEventPrefix)) continue;
    const std::string attribute(is_type ? "datacontenttype" : header.name.substr(kEventPrefix.size()));
    if (!header.value) return not_an_event("bad_attribute", "'" + attribute + "' is null");
    if (auto fine = check_attribute(attribute, *header.value); !fine) return std::unexpected(fine.error());
    if (!event.get(attribute).empty()) return not_an_event("bad_attribute", "'" + attribute + "' stands twice");
    event.attributes.emplace_back(attribute, *header.value);
  }
  if (auto fine = check_event(event); !fine) return std::unexpected(fine.error());
  return event;
}

/// A structured event has its attributes in its value.
EventResult<void> check_structured(const KafkaRecord& record) {
  for (const KafkaHeader& header : record.headers) {
    if (!equal_but_case(header.name, kContentType) || !header.value) continue;
    if (content_mode(*header.value) != ContentMode::kStructured) continue;
    if (auto event = read_json_event(record.value.value_or("")); !event) return std::unexpected(event.error());
    return {};
  }
  return not_an_event("no_event", "the record is no CloudEvent");
}

/// `name=value`, or `name` alone for null.
bool add_decoded(KafkaOutRecord& out, std::string_view text) {
  const size_t equals = text.find('=');
  auto name = percent_decode(text.substr(0, equals), false);
  if (!name) return false;
  std::optional<std::string> value;
  if (equals != std::string_view::npos) {
    value = percent_decode(text.substr(equals + 1), false);
    if (!value) return false;
  }
  out.headers.emplace_back(*std::move(name), std::move(value));
  return true;
}

EventResult<void> add_event(KafkaOutRecord& out, std::string_view headers) {
  auto event = read_nats_event(headers, {});
  if (!event) return std::unexpected(event.error());
  for (auto& [name, value] : event->attributes) {
    const bool is_type = name == "datacontenttype";
    if (name == "partitionkey") out.key = value;  // the binding's key mapper, 3.1
    out.headers.emplace_back(is_type ? std::string(kContentType) : std::string(kEventPrefix) + name, std::move(value));
  }
  return {};
}

}  // namespace

// ---- subjects

Result<SubjectTemplate> SubjectTemplate::parse(std::string_view text) {
  SubjectTemplate out;
  const auto bad = [&](const char* why) {
    return fail(Errc::kInvalidArgument, "subject '" + std::string(text) + "': " + why);
  };
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t open = rest.find_first_of("{}");
    if (open != 0) {
      out.parts_.emplace_back(Place::kText, rest.substr(0, open));
      if (open == std::string_view::npos) break;
      rest.remove_prefix(open);
    }
    const size_t close = rest.find('}');
    if (rest.front() == '}' || close == std::string_view::npos) return bad("a brace without its other half");
    const std::string_view name = rest.substr(1, close - 1);
    if (name != "topic" && name != "partition" && name != "key")
      return bad("it knows {topic}, {partition} and {key}");
    out.parts_.emplace_back(name == "topic" ? Place::kTopic : name == "key" ? Place::kKey : Place::kPartition, "");
    rest.remove_prefix(close + 1);
  }
  const std::string sample = out.subject({.topic = "t", .key = "k", .value = {}, .headers = {}});
  const bool odd = sample.empty() || sample.front() == '.' || sample.back() == '.' || sample.contains("..") ||
                   std::ranges::any_of(sample, [](char c) { return !is_printable(c) || c == '*' || c == '>'; });
  if (odd || sample.front() == '$') return bad("that becomes no subject of a stream");
  return out;
}

std::string SubjectTemplate::subject(const KafkaRecord& record) const {
  std::string out;
  for (const auto& [place, text] : parts_) {
    switch (place) {
      case Place::kText:
        out += text;
        break;
      case Place::kTopic:
        add_token(out, record.topic, true);
        break;
      case Place::kPartition:
        out += std::to_string(record.partition);
        break;
      case Place::kKey:
        if (record.key)
          add_token(out, *record.key, false);
        else
          out += '_';
        break;
    }
  }
  return out;
}

std::string SubjectTemplate::filter(std::string_view topic) const {
  // A token with a place in it is a wildcard; '\x01' marks it until then.
  std::string marked;
  for (const auto& [place, text] : parts_) {
    if (place == Place::kText)
      marked += text;
    else if (place == Place::kTopic)
      add_token(marked, topic, true);
    else
      marked += '\x01';
  }
  std::string out;
  for (size_t at = 0; at <= marked.size();) {
    const size_t dot = std::min(marked.find('.', at), marked.size());
    const std::string_view token = std::string_view(marked).substr(at, dot - at);
    if (!out.empty()) out += '.';
    out += token.contains('\x01') ? "*" : token;
    at = dot + 1;
  }
  return out;
}

// ---- records into messages

EventResult<RecordMessage> message_of(const KafkaRecord& record, const SubjectTemplate& subject, KafkaEvents events) {
  RecordMessage out;
  const bool is_event = events != KafkaEvents::kOff && is_kafka_event(record);
  if (is_event) {
    auto event = event_of(record);
    if (!event) return std::unexpected(event.error());
    out.headers = write_nats_headers(*event);
  } else if (events == KafkaEvents::kRequire) {
    if (auto fine = check_structured(record); !fine) return std::unexpected(fine.error());
  }
  out.subject = subject.subject(record);
  if (out.subject.size() > kMaxSubject_bytes) return not_an_event("long_key", "the key is too long for a subject");
  append_header(out.headers, kTopicHeader, record.topic);
  append_header(out.headers, kPartitionHeader, std::to_string(record.partition));
  append_header(out.headers, kOffsetHeader, std::to_string(record.offset));
  if (record.timestamp_ms >= 0) append_header(out.headers, kTimestampHeader, std::to_string(record.timestamp_ms));
  if (record.is_append_time) append_header(out.headers, kTimestampTypeHeader, "LogAppendTime");
  if (record.key) append_header(out.headers, kKeyHeader, encoded(*record.key));
  if (!record.value) append_header(out.headers, kTombstoneHeader, "true");
  add_headers(out.headers, record, is_event);
  out.payload = record.value.value_or("");
  return out;
}

uint64_t record_mark(const KafkaRecord& record) {
  constexpr size_t kRead_bytes = 64;
  uint64_t mark = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&](std::string_view bytes) {
    for (const char c : bytes) mark = (mark ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  add(std::to_string(record.timestamp_ms));
  add("k");
  add(record.key.value_or("").substr(0, kRead_bytes));
  add("v");
  add(record.value.value_or("").substr(0, kRead_bytes));
  return mark;
}

// ---- messages into records

EventResult<KafkaOutRecord> record_of(const MessageView& message, KafkaKeySource key, KafkaEvents events) {
  KafkaOutRecord out;
  const bool is_event = events != KafkaEvents::kOff && is_nats_event(message.headers);
  if (is_event) {
    if (auto fine = add_event(out, message.headers); !fine) return std::unexpected(fine.error());
  } else if (events == KafkaEvents::kRequire) {
    return not_an_event("no_event", "the message is no CloudEvent");
  }
  bool from_kafka = false, tombstone = false, good = true;
  out.timestamp_ms = message.time / 1'000'000;
  each_header(message.headers, [&](std::string_view name, std::string_view value) {
    if (name == kTopicHeader) {
      from_kafka = true;
    } else if (name == kKeyHeader) {
      out.key = percent_decode(value, false);
      good = good && out.key.has_value();
    } else if (name == kTimestampHeader) {
      const auto time = parse_decimal<uint64_t>(value);
      good = good && time && *time <= uint64_t{INT64_MAX};
      if (time) out.timestamp_ms = static_cast<int64_t>(*time);
    } else if (name == kTombstoneHeader) {
      tombstone = true;
    } else if (name == kHeaderHeader) {
      good = add_decoded(out, value) && good;
    } else if (name == kPartitionHeader || name == kOffsetHeader || name == kTimestampTypeHeader || has_prefix(name, "nats-")) {
      return;  // of the place it came from
    } else if (!is_event || (!has_prefix(name, "ce-") && !equal_but_case(name, kContentType))) {
      out.headers.emplace_back(name, value);
    }
  });
  if (!good) return not_an_event("bad_encoding", "a header 'Kafka-…' is not as Sluice writes it");
  if (!out.key && !from_kafka && key == KafkaKeySource::kSubject) out.key = message.subject;
  if (!tombstone || !message.payload.empty()) out.value = message.payload;
  return out;
}

}  // namespace sluice
