#include "config/nats_tls.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/nats_conf_lexical.h"
#include "config/nats_stanzas.h"
#include "config/units.h"

namespace sluice {
namespace {

constexpr std::array kRefused = std::to_array<std::string_view>({"ocsp", "ocsp_cache"});
/// Certificate stores of Windows, what only routes need, OCSP.
constexpr std::array kBlockRefused = std::to_array<std::string_view>(
    {"insecure", "verify_cert_and_check_known_urls", "cert_store", "cert_match_by", "cert_match",
     "cert_match_skip_invalid", "ca_certs_match", "ocsp_peer"});

void read_first(NatsReader& reader, const ConfValue& value, TlsListenerOptions& tls) {
  tls.first_fallback = {};
  if (value.kind == ConfValue::Kind::kFlag) {
    tls.handshake_first = value.flag;
    return;
  }
  if (!reader.is(value, ConfValue::Kind::kText, "string")) return;
  const std::string word = to_conf_lower(value.text);
  tls.handshake_first = word != "false" && word != "off";
  if (!tls.handshake_first || word == "true" || word == "on") return;
  const auto time = parse_time(value.text);
  if (word == "auto" || word == "auto_fallback") {
    tls.first_fallback = std::chrono::milliseconds(50);
  } else if (time && time->count() > 0) {
    tls.first_fallback = *time;
  } else {
    reader.tell(value.place, fmt::format("field \"handshake_first\"'s value \"{}\" is invalid",
                                         value.text));
  }
}

void read_pins(NatsReader& reader, const ConfValue& value, TlsListenerOptions& tls) {
  std::vector<std::string> pins;
  reader.texts(value, pins);
  for (std::string& pin : pins) {
    pin = to_conf_lower(pin);
    if (pin.size() != 64 || pin.find_first_not_of("0123456789abcdef") != std::string::npos) {
      reader.tell(value.place,
                  fmt::format("error parsing 'pinned_certs' key {} does not look like lower case hex-encoded "
                              "sha256 of DER encoded SubjectPublicKeyInfo", pin));
      return;
    }
  }
  if (pins.empty()) reader.tell(value.place, "expecting non-empty list of strings in 'pinned_certs'");
  tls.pinned_certs = std::move(pins);
}

void read_version(NatsReader& reader, const ConfValue& value, TlsListenerOptions& tls) {
  std::string text = value.text;
  if (value.kind == ConfValue::Kind::kReal) text = fmt::format("{}", value.real);
  if (text == "1.2") {
    tls.min_version = TlsVersion::k12;
  } else if (text == "1.3") {
    tls.min_version = TlsVersion::k13;
  } else {
    reader.tell(value.place, fmt::format("unsupported TLS version: {}", text));
  }
}

void read_pairs(NatsReader& reader, const ConfValue& value, TlsListenerOptions& tls) {
  if (!reader.is(value, ConfValue::Kind::kList, "array")) return;
  for (const ConfValue& item : value.items) {
    if (!reader.is_map(item)) continue;
    TlsKeyPair& pair = tls.certificates.emplace_back();
    for (const ConfEntry& entry : item.entries) {
      const std::string key = to_conf_lower(entry.key);
      if (key == "cert_file") {
        reader.text(entry.value, pair.cert_file);
      } else if (key == "key_file") {
        reader.text(entry.value, pair.key_file);
      } else {
        reader.refuse_or_unknown(entry, {});
      }
    }
  }
}

bool read_file_key(NatsReader& reader, std::string_view key, const ConfValue& value,
                   TlsKeyPair& single, TlsListenerOptions& tls) {
  if (key == "cert_file") {
    reader.text(value, single.cert_file);
  } else if (key == "key_file") {
    reader.text(value, single.key_file);
  } else if (key == "ca_file") {
    reader.text(value, tls.ca_file);
  } else if (key == "certs" || key == "certificates") {
    read_pairs(reader, value, tls);
  } else {
    return false;
  }
  return true;
}

bool read_rule_key(NatsReader& reader, std::string_view key, const ConfValue& value,
                   TlsListenerOptions& tls) {
  if (key == "verify") {
    reader.flag(value, tls.verify);
  } else if (key == "verify_and_map") {
    reader.flag(value, tls.verify_and_map);
  } else if (key == "cipher_suites") {
    reader.texts(value, tls.cipher_suites);
    if (tls.cipher_suites.empty())
      reader.tell(value.place, "error parsing tls config, 'cipher_suites' cannot be empty");
  } else if (key == "allow_insecure_cipher_suites") {
    reader.flag(value, tls.allow_insecure_cipher_suites);
  } else if (key == "curve_preferences") {
    reader.texts(value, tls.curve_preferences);
    if (tls.curve_preferences.empty())
      reader.tell(value.place, "error parsing tls config, 'curve_preferences' cannot be empty");
  } else if (key == "pinned_certs") {
    read_pins(reader, value, tls);
  } else if (key == "min_version") {
    read_version(reader, value, tls);
  } else if (key == "timeout") {
    if (auto time = reader.seconds_or_duration(value, "tls", "timeout")) tls.timeout = *time;
  } else if (key == "connection_rate_limit") {
    if (auto number = reader.integer(value, 0, 1'000'000'000, key))
      tls.connection_rate_limit = static_cast<uint64_t>(*number);
  } else if (key == "handshake_first" || key == "first" || key == "immediate") {
    read_first(reader, value, tls);
  } else {
    return false;
  }
  return true;
}

}  // namespace

void read_tls_block(NatsReader& reader, const ConfValue& value, TlsListenerOptions& tls) {
  if (!reader.is_map(value)) return;
  TlsKeyPair single;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (read_file_key(reader, key, entry.value, single, tls) ||
        read_rule_key(reader, key, entry.value, tls)) {
      continue;
    }
    reader.refuse_or_unknown(entry, kBlockRefused);
  }
  if (!single.cert_file.empty() && !tls.certificates.empty()) {
    reader.tell(value.place, "error parsing tls config, cannot combine 'cert_file' option with 'certs' option");
  } else if (!single.cert_file.empty() && single.key_file.empty()) {
    reader.tell(value.place, "missing 'key_file' in TLS configuration");
  } else if (single.cert_file.empty() && !single.key_file.empty()) {
    reader.tell(value.place, "missing 'cert_file' in TLS configuration");
  } else if (!single.cert_file.empty()) {
    tls.certificates.push_back(std::move(single));
  }
}

bool read_tls_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                     NatsSettings& settings) {
  if (key == "tls") {
    read_tls_block(reader, entry.value, settings.server.tls);
    if (!settings.server.tls.enabled())
      reader.tell(entry.value.place, "missing 'cert_file' in TLS configuration");
  } else if (key == "allow_non_tls") {
    reader.flag(entry.value, settings.server.allow_non_tls);
  } else if (std::ranges::find(kRefused, key) != kRefused.end()) {
    reader.refuse_or_unknown(entry, kRefused);
  } else {
    return false;
  }
  return true;
}

}  // namespace sluice
