#include "config/nats_users.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "config/nats_conf_lexical.h"
#include "config/units.h"
#include "crypto/nkey.h"

namespace sluice {
namespace {

using Value = const ConfValue&;
constexpr std::array kUserRefused =
    std::to_array<std::string_view>({"authorization", "proxy_required"});

/// "subject", a list, or `{allow: …, deny: …}`.
void read_subjects(NatsReader& reader, Value value, SubjectPermission& out) {
  if (value.kind != ConfValue::Kind::kMap) {
    reader.texts(value, out.allow);
    return;
  }
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "allow") {
      reader.texts(entry.value, out.allow);
    } else if (key == "deny") {
      reader.texts(entry.value, out.deny);
    } else {
      reader.tell(entry.value.place,
                  fmt::format("Unknown field name \"{}\" parsing subject permissions, only 'allow' "
                              "or 'deny' are permitted",
                              entry.key));
    }
  }
}

/// `true`, or `{max: 1, expires: "2m"}`; 0 = the default, negative = without limit.
std::optional<ResponsePermission> read_responses(NatsReader& reader, Value value) {
  ResponsePermission out;
  if (value.kind == ConfValue::Kind::kFlag)
    return value.flag ? std::optional(out) : std::nullopt;
  if (value.kind != ConfValue::Kind::kMap) {
    reader.tell(value.place, fmt::format("error parsing response permissions, expected a boolean "
                                         "or a map, got {}",
                                         go_type(value)));
    return std::nullopt;
  }
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "max" || key == "max_msgs" || key == "max_messages" || key == "max_responses") {
      const auto number = reader.integer(entry.value, INT64_MIN, INT64_MAX, key);
      if (number && *number != 0) out.max = *number;
    } else if (key == "expires" || key == "expiration" || key == "ttl") {
      std::string text;
      reader.text(entry.value, text);
      const bool negative = text.starts_with('-');
      const auto time = parse_time(negative ? text.substr(1) : text);
      if (!time) {
        reader.tell(entry.value.place,
                    fmt::format("error parsing expires: time: invalid duration \"{}\"", text));
      } else if (time->count() != 0) {
        out.expires = negative ? -*time : *time;
      }
    } else {
      reader.tell(entry.value.place,
                  fmt::format("Unknown field \"{}\" parsing permissions", entry.key));
    }
  }
  return out;
}

void read_user(NatsReader& reader, Value value, std::vector<UserOptions>& users) {
  if (value.kind != ConfValue::Kind::kMap) {
    reader.tell(value.place, fmt::format("Expected user entry to be a map/struct, got {}",
                                         go_type(value)));
    return;
  }
  UserOptions out;
  bool refused = false;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "user" || key == "username") {
      reader.text(entry.value, out.user);
    } else if (key == "pass" || key == "password") {
      reader.text(entry.value, out.password);
    } else if (key == "nkey") {
      reader.text(entry.value, out.nkey);
      if (!is_nkey(NkeyKind::kUser, out.nkey))
        reader.tell(entry.value.place, "Not a valid public nkey for a user");
    } else if (key == "permission" || key == "permissions") {
      read_conf_permissions(reader, entry.value, out.permissions.emplace());
    } else if (key == "allowed_connection_types" || key == "connection_types" || key == "clients") {
      reader.texts(entry.value, out.allowed_connection_types);
      for (std::string& type : out.allowed_connection_types)
        std::ranges::transform(type, type.begin(), [](char c) {
          return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
        });
    } else {
      reader.refuse_or_unknown(entry, kUserRefused);
      refused = true;
    }
  }
  if (out.user.empty() && out.nkey.empty() && !refused)
    reader.tell(value.place, "User entry requires a user");
  users.push_back(std::move(out));
}

std::optional<uint32_t> read_weight(NatsReader& reader, Value value) {
  std::string digits = value.text;
  if (value.kind == ConfValue::Kind::kInteger) digits = std::to_string(value.integer);
  if (digits.ends_with('%')) digits.pop_back();
  uint32_t weight = 0;
  const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), weight);
  if (digits.empty() || bad != std::errc() || end != digits.data() + digits.size()) {
    reader.tell(value.place,
                fmt::format("Invalid weight \"{}\" for mapping destination", value.text));
    return std::nullopt;
  }
  if (weight <= 100) return weight;
  reader.tell(value.place, "individual weights need to be <= 100");
  return std::nullopt;
}

void read_destination(NatsReader& reader, Value value, MappingOptions& mapping) {
  MappingDestination out;
  if (value.kind == ConfValue::Kind::kText) {
    out.subject = value.text;
    mapping.destinations.push_back(std::move(out));
    return;
  }
  if (!reader.is_map(value)) return;
  bool weighted = false;
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "dest" || key == "destination") {
      reader.text(entry.value, out.subject);
    } else if (key == "weight") {
      weighted = true;
      if (const auto weight = read_weight(reader, entry.value)) out.weight = *weight;
    } else if (key == "cluster") {
      reader.text(entry.value, out.cluster);
    } else {
      reader.tell(entry.value.place,
                  fmt::format("Unknown field \"{}\" for mapping destination", entry.key));
    }
  }
  if (out.subject.empty())
    reader.tell(value.place, "missing required destination for the subject mapping");
  else if (!weighted)
    reader.tell(value.place,
                fmt::format("missing required weight for mapping destination \"{}\"", out.subject));
  mapping.destinations.push_back(std::move(out));
}

}  // namespace

void read_conf_users(NatsReader& reader, Value value, std::vector<UserOptions>& users) {
  if (value.kind != ConfValue::Kind::kList) {
    reader.tell(value.place,
                fmt::format("Expected users field to be an array, got {}", go_type(value)));
    return;
  }
  for (const ConfValue& item : value.items) read_user(reader, item, users);
}

void read_conf_permissions(NatsReader& reader, Value value, PermissionOptions& out) {
  if (value.kind != ConfValue::Kind::kMap) {
    reader.tell(value.place, fmt::format("Expected permissions to be a map/struct, got {}",
                                         go_type(value)));
    return;
  }
  for (const ConfEntry& entry : value.entries) {
    const std::string key = to_conf_lower(entry.key);
    if (key == "pub" || key == "publish" || key == "import") {
      read_subjects(reader, entry.value, out.publish);
    } else if (key == "sub" || key == "subscribe" || key == "export") {
      read_subjects(reader, entry.value, out.subscribe);
    } else if (key == "publish_allow_responses" || key == "allow_responses") {
      out.responses = read_responses(reader, entry.value);
    } else {
      reader.tell(entry.value.place,
                  fmt::format("Unknown field \"{}\" parsing permissions", entry.key));
    }
  }
}

void read_conf_mappings(NatsReader& reader, Value value, std::vector<MappingOptions>& mappings) {
  if (!reader.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) {
    MappingOptions mapping{.source = entry.key};
    if (entry.value.kind == ConfValue::Kind::kList) {
      for (const ConfValue& item : entry.value.items) read_destination(reader, item, mapping);
    } else {
      read_destination(reader, entry.value, mapping);
    }
    mappings.push_back(std::move(mapping));
  }
}

}  // namespace sluice
