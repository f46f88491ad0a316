#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/parse_number.h"
#include "config/nats_conf_lexical.h"
#include "config/nats_stanzas.h"
#include "config/nats_users.h"
#include "config/operator_token.h"
#include "crypto/nkey.h"

namespace sluice {
namespace {

constexpr std::array kRefused = std::to_array<std::string_view>(
    {"default_sentinel", "resolver_tls", "resolver_pinned_accounts", "no_system_account",
     "no_system", "no_sys_acc", "proxies"});
constexpr std::array kOperatorKeys = std::to_array<std::string_view>(
    {"operator", "operators", "roots", "root", "root_operators", "root_operator"});
constexpr std::array kResolverRefused =
    std::to_array<std::string_view>({"hard_delete", "ttl", "url"});
constexpr std::array kJetStreamRefused = std::to_array<std::string_view>({"cluster_traffic"});
constexpr std::array kNone = std::array<std::string_view, 0>{};

/// One account's block, or an export or an import in it.
class AccountReader {
 public:
  using Value = const ConfValue&;
  AccountReader(NatsReader& reader, AccountOptions& account) : reader_(reader), account_(account) {}

  void block(Value value);

 private:
  void jetstream(Value value);
  void limits(Value value);
  void trace(const ConfEntry& block);
  void trace_destination(const ConfEntry& entry);
  void trace_sampling(const ConfEntry& entry);
  void exports(Value value);
  void exported(Value value);
  void latency(const ConfEntry& entry, ExportOptions& out);
  void latency_sampling(const ConfEntry& entry, LatencyOptions& options);
  void imports(Value value);
  void imported(Value value);
  void source(Value value, ImportOptions& import);
  void limit(const ConfEntry& entry, std::string_view key, int64_t& out);

  NatsReader& reader_;
  AccountOptions& account_;
};

void AccountReader::limit(const ConfEntry& entry, std::string_view key, int64_t& out) {
  if (const auto number = reader_.integer(entry.value, INT64_MIN, INT64_MAX, key))
    out = std::max<int64_t>(*number, -1);
}

void AccountReader::block(Value value) {
  if (value.kind == ConfValue::Kind::kList) {  // the old form: just the users
    read_conf_users(reader_, value, account_.users);
    return;
  }
  if (!reader_.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "nkey") {
      reader_.text(entry.value, account_.nkey);
      if (!is_nkey(NkeyKind::kAccount, account_.nkey))
        reader_.tell(entry.value.place,
                     fmt::format("Not a valid public nkey for an account: \"{}\"", account_.nkey));
    } else if (key == "users") {
      read_conf_users(reader_, entry.value, account_.users);
    } else if (key == "exports") {
      exports(entry.value);
    } else if (key == "imports") {
      imports(entry.value);
    } else if (key == "jetstream") {
      jetstream(entry.value);
    } else if (key == "default_permissions") {
      read_conf_permissions(reader_, entry.value, account_.default_permissions.emplace());
    } else if (key == "mappings" || key == "maps") {
      read_conf_mappings(reader_, entry.value, account_.mappings);
    } else if (key == "limits") {
      limits(entry.value);
    } else if (key == "msg_trace" || key == "trace_dest") {
      trace(entry);
    } else {
      reader_.refuse_or_unknown(entry, kNone);
    }
  }
}

void AccountReader::jetstream(Value value) {
  if (value.kind == ConfValue::Kind::kFlag) {
    if (value.flag) account_.jetstream = JetStreamLimits{};
    return;
  }
  if (value.kind == ConfValue::Kind::kText) {
    const std::string word = to_conf_lower(value.text);
    if (word == "enabled" || word == "enable") {
      account_.jetstream = JetStreamLimits{};
    } else if (word != "disabled" && word != "disable") {
      reader_.tell(value.place, fmt::format("Expected 'enabled' or 'disabled' for string value, got '{}'",
                                            value.text));
    }
    return;
  }
  if (!reader_.is_map(value)) return;
  JetStreamLimits& out = account_.jetstream.emplace();
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    const auto bytes = [&](int64_t& to) {
      if (const auto size = reader_.storage_size(entry.value, key)) to = *size;
    };
    if (key == "max_memory" || key == "max_mem" || key == "mem" || key == "memory") {
      bytes(out.max_memory);
    } else if (key == "max_store" || key == "max_file" || key == "max_disk" || key == "store" ||
               key == "disk") {
      bytes(out.max_storage);
    } else if (key == "max_streams" || key == "streams") {
      limit(entry, key, out.max_streams);
    } else if (key == "max_consumers" || key == "consumers") {
      limit(entry, key, out.max_consumers);
    } else if (key == "max_ack_pending") {
      limit(entry, key, out.max_ack_pending);
    } else if (key == "max_bytes_required" || key == "max_stream_bytes" || key == "max_bytes") {
      reader_.flag(entry.value, out.max_bytes_required);
    } else if (key == "mem_max_stream_bytes" || key == "memory_max_stream_bytes") {
      bytes(out.memory_max_stream_bytes);
    } else if (key == "disk_max_stream_bytes" || key == "store_max_stream_bytes") {
      bytes(out.storage_max_stream_bytes);
    } else {
      reader_.refuse_or_unknown(entry, kJetStreamRefused);
    }
  }
}

void AccountReader::limits(Value value) {
  if (!reader_.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "max_connections" || key == "max_conn") {
      limit(entry, key, account_.max_connections);
    } else if (key == "max_subscriptions" || key == "max_subs") {
      limit(entry, key, account_.max_subscriptions);
    } else if (key == "max_payload" || key == "max_pay") {
      limit(entry, key, account_.max_payload);
    } else if (key == "max_leafnodes" || key == "max_leafs") {
      limit(entry, key, account_.max_leafnodes);
    } else {
      reader_.tell(entry.value.place,
                   fmt::format("Unknown field \"{}\" parsing account limits", entry.key));
    }
  }
}

void AccountReader::trace_destination(const ConfEntry& entry) {
  if (entry.value.kind != ConfValue::Kind::kText) {
    reader_.tell(entry.value.place, fmt::format("Field \"{}\" should be a string, got {}", entry.key,
                                                go_type(entry.value)));
  } else {
    account_.trace_destination = entry.value.text;
  }
}

void AccountReader::trace_sampling(const ConfEntry& entry) {
  std::optional<int64_t> percent;
  if (entry.value.kind == ConfValue::Kind::kText) {
    std::string_view text = entry.value.text;
    if (text.ends_with('%')) text.remove_suffix(1);
    percent = parse_decimal<int64_t>(text);
    if (!percent)
      return reader_.tell(entry.value.place, fmt::format("Invalid trace destination sampling value \"{}\"",
                                                         entry.value.text));
  } else if (entry.value.kind == ConfValue::Kind::kInteger) {
    percent = reader_.integer(entry.value, INT64_MIN, INT64_MAX, entry.key);
  }
  if (!percent) {
    reader_.tell(entry.value.place,
                 fmt::format("Trace destination sampling field \"{}\" should be an integer or a "
                             "percentage, got {}", entry.key, go_type(entry.value)));
  } else if (*percent < 1 || *percent > 100) {
    reader_.tell(entry.value.place,
                 fmt::format("Trace destination sampling value {} is invalid, needs to be [1..100]", *percent));
  } else {
    account_.trace_sampling = static_cast<int>(*percent);
  }
}

/// Where messages with a sampled traceparent are traced to: a subject, or `{dest, sampling}`.
void AccountReader::trace(const ConfEntry& block) {
  if (block.value.kind == ConfValue::Kind::kText) return trace_destination(block);
  if (block.value.kind != ConfValue::Kind::kMap) {
    reader_.tell(block.value.place,
                 fmt::format("Expected account message trace \"{}\" to be a string or a map/struct, got {}",
                             block.key, go_type(block.value)));
    return;
  }
  for (const ConfEntry& entry : block.value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "dest") {
      trace_destination(entry);
    } else if (key == "sampling") {
      trace_sampling(entry);
    } else {
      reader_.tell(entry.value.place,
                   fmt::format("Unknown field \"{}\" parsing account message trace map/struct \"{}\"",
                               entry.key, block.key));
    }
  }
  if (account_.trace_destination.empty())
    reader_.warn(block.value.place, "Trace destination sampling ignored since no destination was set");
}

void AccountReader::exports(Value value) {
  if (value.kind != ConfValue::Kind::kList) {
    reader_.tell(value.place, fmt::format("Exports should be an array, got {}", go_type(value)));
    return;
  }
  for (const ConfValue& item : value.items) exported(item);
}

/// `"subject"`, or `{subject, sampling: percent | headers}`.
void AccountReader::latency(const ConfEntry& entry, ExportOptions& out) {
  LatencyOptions& options = out.latency.emplace();
  if (entry.value.kind == ConfValue::Kind::kText) {
    options.subject = entry.value.text;
    return;
  }
  if (entry.value.kind != ConfValue::Kind::kMap) {
    return reader_.tell(entry.value.place, fmt::format("Expected latency entry to be a map/struct or string, got {}",
                                                       go_type(entry.value)));
  }
  bool named = false;
  for (const ConfEntry& one : entry.value.entries) {
    const std::string key = to_conf_lower(one.key);
    if (key == "sampling") {
      latency_sampling(one, options);
    } else if (key == "subject") {
      named = true;
      if (one.value.kind != ConfValue::Kind::kText) {
        reader_.tell(one.value.place, fmt::format("Expected latency subject to be a string, got {}", go_type(one.value)));
      } else {
        options.subject = one.value.text;
      }
    } else {
      reader_.refuse_or_unknown(one, kNone);
    }
  }
  if (!named) reader_.tell(entry.value.place, "Latency subject required, but missing");
}

void AccountReader::latency_sampling(const ConfEntry& entry, LatencyOptions& options) {
  if (entry.value.kind == ConfValue::Kind::kInteger) {
    if (const auto percent = reader_.integer(entry.value, INT64_MIN, INT64_MAX, entry.key))
      options.sampling = static_cast<int>(std::clamp<int64_t>(*percent, -1, 101));
  } else if (entry.value.kind != ConfValue::Kind::kText) {
    return reader_.tell(entry.value.place, fmt::format("Expected latency sample to be a string or map/struct, got {}",
                                                       go_type(entry.value)));
  } else if (to_conf_lower(entry.value.text) == "headers") {
    options.sampling = 0;
    return;
  } else {
    std::string_view text = entry.value.text;
    if (text.ends_with('%')) text.remove_suffix(1);
    const auto percent = parse_decimal<int64_t>(text);
    if (!percent) {
      return reader_.tell(entry.value.place, fmt::format("Failed to parse latency sample: \"{}\" is no number", text));
    }
    options.sampling = static_cast<int>(std::clamp<int64_t>(*percent, -1, 101));
  }
  if (options.sampling < 1 || options.sampling > 100)
    reader_.tell(entry.value.place, "bad sampling percentage, should be 1-100");
}

void AccountReader::exported(Value value) {
  if (!reader_.is_map(value)) return;
  ExportOptions out;
  bool named = false;
  const ConfEntry* traced = nullptr;
  const ConfEntry* timed = nullptr;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "stream" || key == "service") {
      if (named)
        reader_.tell(entry.value.place, "Detected stream and service in one export");
      named = true;
      out.service = key == "service";
      reader_.text(entry.value, out.subject);
    } else if (key == "accounts") {
      reader_.texts(entry.value, out.accounts);
    } else if (key == "response" || key == "response_type") {
      std::string word;
      reader_.text(entry.value, word);
      const std::string low = to_conf_lower(word);
      if (low == "single" || low == "singleton") {
        out.response = ResponseType::kSingleton;
      } else if (low == "stream") {
        out.response = ResponseType::kStream;
      } else if (low == "chunk" || low == "chunked") {
        out.response = ResponseType::kChunked;
      } else {
        reader_.tell(entry.value.place, fmt::format("Unknown response type: \"{}\"", word));
      }
    } else if (key == "threshold" || key == "response_threshold" || key == "response_max_time" ||
               key == "response_time") {
      if (const auto time = reader_.duration(entry.value, key)) out.threshold = *time;
    } else if (key == "account_token_position") {
      if (const auto at = reader_.integer(entry.value, 0, 256, key))
        out.account_token_position = static_cast<uint32_t>(*at);
    } else if (key == "allow_trace") {
      reader_.flag(entry.value, out.allow_trace);
      traced = &entry;
    } else if (key == "latency") {
      latency(entry, out);
      timed = &entry;
    } else {
      reader_.refuse_or_unknown(entry, kNone);
    }
  }
  if (traced != nullptr && named && !out.service)
    reader_.tell(traced->value.place, "Detected allow_trace directive on non-service");
  if (timed != nullptr && named && !out.service)
    reader_.tell(timed->value.place, "Detected latency directive on non-service");
  if (!named) reader_.tell(value.place, "Expected an export to name a stream or a service");
  account_.exports.push_back(std::move(out));
}

void AccountReader::imports(Value value) {
  if (value.kind != ConfValue::Kind::kList) {
    reader_.tell(value.place, fmt::format("Imports should be an array, got {}", go_type(value)));
    return;
  }
  for (const ConfValue& item : value.items) imported(item);
}

void AccountReader::source(Value value, ImportOptions& import) {
  if (!reader_.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "account") {
      reader_.text(entry.value, import.account);
    } else if (key == "subject") {
      reader_.text(entry.value, import.subject);
    } else {
      reader_.refuse_or_unknown(entry, kNone);
    }
  }
  if (import.account.empty() || import.subject.empty())
    reader_.tell(value.place, "Expect an account name and a subject");
}

void AccountReader::imported(Value value) {
  if (!reader_.is_map(value)) return;
  ImportOptions out;
  bool named = false;
  const ConfEntry* traced = nullptr;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "stream" || key == "service") {
      if (named)
        reader_.tell(entry.value.place, "Detected stream and service in one import");
      named = true;
      out.service = key == "service";
      source(entry.value, out);
    } else if (key == "to") {
      reader_.text(entry.value, out.to);
    } else if (key == "prefix") {
      reader_.text(entry.value, out.prefix);
    } else if (key == "share") {
      reader_.flag(entry.value, out.share);
    } else if (key == "allow_trace") {
      reader_.flag(entry.value, out.allow_trace);
      traced = &entry;
    } else {
      reader_.refuse_or_unknown(entry, kNone);
    }
  }
  if (traced != nullptr && named && out.service)
    reader_.tell(traced->value.place, "Detected allow_trace directive on a non-stream");
  if (!named) reader_.tell(value.place, "Expected an import to name a stream or a service");
  account_.imports.push_back(std::move(out));
}

void read_accounts(NatsReader& reader, const ConfValue& value, ServerOptions& server) {
  if (!reader.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) {
    if (entry.key == kGlobalAccount) {
      reader.tell(entry.value.place, fmt::format("\"{}\" is a Reserved Account", entry.key));
      continue;
    }
    AccountOptions& account = server.accounts.emplace_back(AccountOptions{.name = entry.key});
    AccountReader(reader, account).block(entry.value);
  }
}

void read_operator(NatsReader& reader, const ConfValue& value, OperatorMode& mode) {
  if (value.kind == ConfValue::Kind::kList) {
    for (const ConfValue& item : value.items) read_operator(reader, item, mode);
    return;
  }
  std::string text;
  reader.text(value, text);
  if (auto token = read_operator_token(text)) {
    mode.operators.push_back(std::move(*token));
  } else {
    reader.tell(value.place, token.error().detail);
  }
}

/// MEMORY, or `{type: full, dir: …}`: all accounts in one folder. One server has nobody to be in step
/// with, so what tunes that is without effect.
void read_resolver(NatsReader& reader, const ConfEntry& entry, OperatorMode& mode) {
  const auto refuse = [&reader](const ConfValue& value) {
    reader.tell(value.place, "this version of Sluice carries out the resolvers MEMORY and full");
  };
  if (entry.value.kind == ConfValue::Kind::kText) {
    const std::string word = to_conf_lower(entry.value.text);
    if (word != "memory" && word != "mem") refuse(entry.value);
    return;
  }
  if (!reader.is_map(entry.value)) return;
  std::string type;
  for (const ConfEntry& one : entry.value.entries) {
    const std::string key = to_conf_lower(one.key);
    if (key == "type") {
      reader.text(one.value, type);
    } else if (key == "dir") {
      reader.text(one.value, mode.directory);
    } else if (key == "allow_delete") {
      reader.flag(one.value, mode.allow_delete);
    } else if (key == "interval" || key == "timeout" || key == "limit") {
      reader.note(one.value.place, fmt::format("\"{}\" is without effect here", one.key));
    } else {
      reader.refuse_or_unknown(one, kResolverRefused);
    }
  }
  type = to_conf_lower(type);
  if (type == "mem" || type == "memory") {
    mode.directory.clear();
  } else if (type != "full") {
    refuse(entry.value);
  } else if (mode.directory.empty()) {
    reader.tell(entry.value.place, "dir has no value and needs to point to a directory");
  }
}

void read_preload(NatsReader& reader, const ConfValue& value, OperatorMode& mode) {
  if (!reader.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) {
    if (!is_nkey(NkeyKind::kAccount, entry.key)) {
      reader.tell(entry.value.place, "expected key to be a valid account public key");
      continue;
    }
    reader.text(entry.value, mode.preload[entry.key]);
  }
}

}  // namespace

bool read_accounts_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                          NatsSettings& settings) {
  if (key == "accounts") {
    read_accounts(reader, entry.value, settings.server);
  } else if (key == "mappings" || key == "maps") {
    read_conf_mappings(reader, entry.value, settings.server.mappings);
  } else if (key == "system_account" || key == "system") {
    reader.text(entry.value, settings.server.system_account);
  } else if (std::ranges::find(kOperatorKeys, key) != kOperatorKeys.end()) {
    read_operator(reader, entry.value, settings.server.operator_mode);
  } else if (key == "resolver" || key == "account_resolver") {
    read_resolver(reader, entry, settings.server.operator_mode);
  } else if (key == "resolver_preload") {
    read_preload(reader, entry.value, settings.server.operator_mode);
  } else if (key == "trusted" || key == "trusted_keys") {
    reader.texts(entry.value, settings.server.operator_mode.trusted_keys);
  } else if (std::ranges::find(kRefused, key) != kRefused.end()) {
    reader.refuse_or_unknown(entry, kRefused);
  } else {
    return false;
  }
  return true;
}

}  // namespace sluice
