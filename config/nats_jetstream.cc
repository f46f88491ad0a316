#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/nats_conf_lexical.h"
#include "config/nats_stanzas.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;

constexpr std::array kJetStreamRefused = std::to_array<std::string_view>({"unique_tag",
                                                                          "tpm",
                                                                          "extension_hint",
                                                                          "max_outstanding_catchup",
                                                                          "max_buffered_size",
                                                                          "max_buffered_msgs",
                                                                          "request_queue_limit",
                                                                          "info_queue_limit",
                                                                          "meta_compact",
                                                                          "meta_compact_size",
                                                                          "meta_compact_sync",
                                                                          "max_concurrent_io"});

class JetStreamReader {
 public:
  JetStreamReader(NatsReader& reader, NatsSettings& out) : reader_(reader), out_(out) {}
  void stanza(const ConfValue& value);
  void store_dir(const ConfValue& value);

 private:
  using Value = const ConfValue&;

  void block(Value value);
  void limits(Value value);
  void sync_interval(Value value);
  void cipher(Value value);

  NatsReader& reader_;
  NatsSettings& out_;
};

void JetStreamReader::stanza(Value value) {
  switch (value.kind) {
    case ConfValue::Kind::kFlag:
      out_.server.jetstream = value.flag;
      return;
    case ConfValue::Kind::kText: {
      const std::string word = to_conf_lower(value.text);
      if (word == "enabled" || word == "enable") {
        out_.server.jetstream = true;
      } else if (word == "disabled" || word == "disable") {
        out_.server.jetstream = false;
      } else {
        reader_.tell(
            value.place,
            fmt::format("Expected 'enabled' or 'disabled' for string value, got '{}'", value.text));
      }
      return;
    }
    case ConfValue::Kind::kMap:
      block(value);
      return;
    case ConfValue::Kind::kInteger:
    case ConfValue::Kind::kReal:
    case ConfValue::Kind::kList:
      reader_.tell(
          value.place,
          fmt::format("Expected map, bool or string to define JetStream, got {}", go_type(value)));
  }
}

void JetStreamReader::cipher(Value value) {
  std::string word;
  reader_.text(value, word);
  word = to_conf_lower(word);
  if (word == "chacha" || word == "chachapoly") {
    out_.store_cipher = SealCipher::kChaCha20Poly1305;
  } else if (word == "aes") {
    out_.store_cipher = SealCipher::kAes256Gcm;
  } else {
    reader_.tell(value.place, fmt::format("Unknown cipher type: \"{}\"", word));
  }
}

void JetStreamReader::block(Value value) {
  out_.server.jetstream = true;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "enabled" || key == "enable") {
      reader_.flag(entry.value, out_.server.jetstream);
    } else if (key == "store_dir" || key == "storedir" || key == "store") {
      store_dir(entry.value);
    } else if (key == "domain") {
      reader_.text(entry.value, out_.server.domain);
      if (out_.server.domain.find_first_of(" \t\r\n.*>") != std::string::npos) {
        reader_.tell(entry.value.place, "invalid domain name");
      }
    } else if (key == "sync_interval" || key == "sync") {
      sync_interval(entry.value);
    } else if (key == "max_memory_store" || key == "max_mem_store" || key == "max_mem") {
      if (auto bytes = reader_.storage_size(entry.value, "max_mem_store"))
        out_.max_memory_bytes = *bytes;
    } else if (key == "max_file_store" || key == "max_file") {
      if (auto bytes = reader_.storage_size(entry.value, "max_file_store"))
        out_.max_file_bytes = *bytes;
    } else if (key == "key" || key == "ek" || key == "encryption_key") {
      reader_.text(entry.value, out_.store_key);
    } else if (key == "prev_key" || key == "prev_ek" || key == "prev_encryption_key") {
      reader_.text(entry.value, out_.previous_store_key);
    } else if (key == "cipher") {
      cipher(entry.value);
    } else if (key == "limits") {
      limits(entry.value);
    } else if (key == "strict") {
      bool strict = true;
      reader_.flag(entry.value, strict);
      out_.server.lenient_requests = !strict;
    } else {
      reader_.refuse_or_unknown(entry, kJetStreamRefused);
    }
  }
}

void JetStreamReader::limits(Value value) {
  if (!reader_.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    const auto count = [&](int64_t& out) {
      if (const auto number = reader_.integer(entry.value, INT64_MIN, INT64_MAX, key)) out = *number;
    };
    if (key == "max_ack_pending") {
      count(out_.max_ack_pending);
    } else if (key == "max_request_batch") {
      count(out_.max_request_batch);
    } else if (key == "max_ha_assets") {
      int64_t without_effect = 0;  // of clusters
      count(without_effect);
      reader_.note(entry.value.place, "\"max_ha_assets\" is without effect here");
    } else if (key == "duplicate_window") {
      if (const auto time = reader_.duration(entry.value, key)) out_.max_duplicate_window = *time;
    } else {
      reader_.refuse_or_unknown(entry, kJetStreamRefused);
    }
  }
}

void JetStreamReader::sync_interval(Value value) {
  if (value.kind == ConfValue::Kind::kText && to_conf_lower(value.text) == "always") {
    out_.sync = SyncMode::kAlways;
    return;
  }
  auto time = reader_.duration(value, "sync_interval");
  if (!time) return;
  out_.sync = SyncMode::kInterval;
  out_.sync_interval = std::max(milliseconds(1), std::chrono::duration_cast<milliseconds>(*time));
}

void JetStreamReader::store_dir(Value value) {
  if (!out_.store_dir.empty()) {
    reader_.tell(value.place, "Duplicate 'store_dir' configuration");
    return;
  }
  reader_.text(value, out_.store_dir);
}

}  // namespace

bool read_jetstream_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                           NatsSettings& settings) {
  JetStreamReader stanza(reader, settings);
  if (key == "jetstream") {
    stanza.stanza(entry.value);
  } else if (key == "store_dir" || key == "storedir") {
    stanza.store_dir(entry.value);
  } else {
    return false;
  }
  return true;
}

}  // namespace sluice
