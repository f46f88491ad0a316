#include "server/jwt.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "crypto/nkey.h"
#include "server/jwt_claims.h"
#include "subject/subject.h"

namespace sluice {
namespace {

std::unexpected<Error> corrupt(std::string_view words) {
  return fail(Errc::kCorrupt, std::string(words));
}
std::unexpected<Error> unsupported(std::string words) {
  return fail(Errc::kUnsupported, std::move(words));
}

void read_subjects(const Claims& from, const char* key, SubjectPermission& out) {
  if (const auto lists = from.object(key)) {
    lists->take("allow", out.allow);
    lists->take("deny", out.deny);
  }
}

PermissionOptions read_permissions(const Claims& from) {
  PermissionOptions out;
  read_subjects(from, "pub", out.publish);
  read_subjects(from, "sub", out.subscribe);
  if (const auto responses = from.object("resp")) {
    ResponsePermission allowed;
    int64_t max = 0, ttl = 0;
    responses->take("max", max);
    responses->take("ttl", ttl);
    if (max != 0) allowed.max = max;
    if (ttl != 0) allowed.expires = std::chrono::nanoseconds(ttl);
    out.responses = allowed;
  }
  return out;
}

std::optional<int32_t> time_of_day(std::string_view text) {
  if (text.size() != 8 || text[2] != ':' || text[5] != ':') return std::nullopt;
  const auto two = [&](size_t at) {
    const char a = text[at], b = text[at + 1];
    return a < '0' || a > '9' || b < '0' || b > '9' ? 99 : (a - '0') * 10 + (b - '0');
  };
  const int h = two(0), m = two(3), s = two(6);
  if (h > 23 || m > 59 || s > 59) return std::nullopt;
  return h * 3600 + m * 60 + s;
}

Result<UserGrant> read_grant(const Claims& from) {
  UserGrant out;
  out.permissions = read_permissions(from);
  from.take("subs", out.max_subscriptions);
  from.take("payload", out.max_payload);
  from.take("src", out.sources);
  for (const Claims& span : from.objects("times")) {
    std::string start, end;
    span.take("start", start);
    span.take("end", end);
    const auto first = time_of_day(start), last = time_of_day(end);
    if (!first || !last) return corrupt("a JWT's times are not hh:mm:ss");
    out.times.push_back({*first, *last});
  }
  from.take("times_location", out.times_location);
  from.take("bearer_token", out.bearer);
  from.take("allowed_connection_types", out.connection_types);
  bool proxy = false;
  from.take("proxy_required", proxy);
  if (proxy) return unsupported("proxy_required is not carried out");
  out.blank = out.permissions == PermissionOptions{} && out.max_subscriptions == 0 &&
              out.max_payload == 0 && out.sources.empty() && out.times.empty() && !out.bearer &&
              out.connection_types.empty();
  return out;
}

JetStreamLimits read_tier(const Claims& from) {
  JetStreamLimits js{.max_memory = 0, .max_storage = 0, .max_streams = 0, .max_consumers = 0};
  from.take("mem_storage", js.max_memory);
  from.take("disk_storage", js.max_storage);
  from.take("streams", js.max_streams);
  from.take("consumer", js.max_consumers);
  from.take("max_ack_pending", js.max_ack_pending);
  from.take("mem_max_stream_bytes", js.memory_max_stream_bytes);
  from.take("disk_max_stream_bytes", js.storage_max_stream_bytes);
  from.take("max_bytes_required", js.max_bytes_required);
  // 0 of these is no limit.
  for (int64_t* zero : {&js.max_streams, &js.max_consumers, &js.max_ack_pending,
                        &js.memory_max_stream_bytes, &js.storage_max_stream_bytes}) {
    if (*zero == 0) *zero = -1;
  }
  return js;
}

/// Tiers for streams of up to five replicas. One server keeps one: what is in force is R1.
void read_jetstream(const Claims& limits, AccountOptions& out) {
  if (const auto tiers = limits.object("tiered_limits")) {
    for (const char* name : {"R1", "R2", "R3", "R4", "R5"}) {
      if (const auto tier = tiers->object(name)) out.jetstream_tiers.emplace_back(name, read_tier(*tier));
    }
  }
  if (!out.jetstream_tiers.empty()) {
    const auto& [name, first] = out.jetstream_tiers.front();
    out.jetstream = name == "R1" ? first : JetStreamLimits{.max_memory = 0, .max_storage = 0};
    return;
  }
  const JetStreamLimits js = read_tier(limits);
  if (js.max_memory != 0 || js.max_storage != 0) out.jetstream = js;
}

/// `{"sampling": percent | "headers", "results": subject}`
void read_latency(const Claims& from, ExportOptions& out) {
  const auto latency = from.object("service_latency");
  if (!latency) return;
  std::string word;
  int64_t percent = 0;
  latency->take("sampling", percent, word);
  LatencyOptions& options = out.latency.emplace();
  latency->take("results", options.subject);
  options.sampling = word == "headers" ? 0 : static_cast<int>(std::clamp<int64_t>(percent, -1, 101));
}

JwtExport read_export(const Claims& from) {
  JwtExport out;
  ExportOptions& o = out.options;
  std::string type, response;
  from.take("subject", o.subject);
  from.take("type", type);
  o.service = type == "service";
  from.take("token_req", o.token_required);
  from.take("response_type", response);
  o.response = response == "Stream"    ? ResponseType::kStream
               : response == "Chunked" ? ResponseType::kChunked
                                       : ResponseType::kSingleton;
  int64_t threshold = 0, position = 0;
  from.take("response_threshold", threshold);
  o.threshold = std::chrono::nanoseconds(threshold);
  from.take("account_token_position", position);
  o.account_token_position = static_cast<uint32_t>(std::clamp<int64_t>(position, 0, 256));
  from.take("allow_trace", o.allow_trace);
  read_latency(from, o);
  from.take("revocations", out.revocations);
  return out;
}

ImportOptions read_import(const Claims& from) {
  ImportOptions out;
  std::string type, to;
  from.take("type", type);
  out.service = type == "service";
  from.take("account", out.account);
  from.take("subject", out.subject);
  from.take("local_subject", out.to);
  from.take("share", out.share);
  from.take("allow_trace", out.allow_trace);
  from.take("token", out.activation);
  from.take("to", to);
  if (!out.to.empty() || to.empty()) return out;
  // The older form: a prefix for streams; for services `subject` is the name here, `to` there.
  if (out.service) {
    out.to = std::exchange(out.subject, to);
  } else {
    out.prefix = to;
  }
  return out;
}

std::vector<MappingOptions> read_mappings(const Claims& from) {
  std::vector<MappingOptions> out;
  for (const auto& [source, destinations] : from.lists("mappings")) {
    MappingOptions& mapping = out.emplace_back(MappingOptions{.source = source});
    for (const Claims& item : destinations) {
      MappingDestination& destination = mapping.destinations.emplace_back();
      int64_t weight = 0;
      item.take("subject", destination.subject);
      item.take("weight", weight);
      item.take("cluster", destination.cluster);
      destination.weight =
          weight == 0 ? 100 : static_cast<uint32_t>(std::clamp<int64_t>(weight, 0, 101));
    }
  }
  return out;
}

Status read_signing_keys(const Claims& nats, AccountJwt& out) {
  for (auto& [plain, scope] : nats.mixed("signing_keys")) {
    if (!scope) {
      out.signing_keys.emplace(plain, std::nullopt);
      continue;
    }
    std::string kind, key;
    scope->take("kind", kind);
    scope->take("key", key);
    const auto grant = scope->object("template");
    if (kind != "user_scope" || !grant)
      return unsupported(fmt::format("a signing key of kind \"{}\"", kind));
    auto read = read_grant(*grant);
    if (!read) return std::unexpected(read.error());
    out.signing_keys.emplace(std::move(key), std::move(*read));
  }
  return {};
}

/// Limits of what an account's token itself may hold.
struct TokenLimits {
  int64_t imports = -1;
  int64_t exports = -1;
  bool wildcards = true;
};

Status check_counts(const AccountJwt& account, const TokenLimits& limits) {
  const auto exceeds = [](size_t count, int64_t limit) {
    return limit >= 0 && count > static_cast<size_t>(limit);
  };
  if (exceeds(account.options.imports.size(), limits.imports))
    return corrupt("the account contains more imports than allowed by the operator");
  if (exceeds(account.exports.size(), limits.exports))
    return corrupt("the account contains more exports than allowed by the operator");
  if (!limits.wildcards && std::ranges::any_of(account.exports, [](const JwtExport& exported) {
        return has_wildcards(exported.options.subject);
      }))
    return corrupt("the account contains wildcard exports that are not allowed by the operator");
  return {};
}

Status read_account(const OpenedJwt& jwt, AccountJwt& out) {
  AccountOptions& o = out.options;
  o.name = o.nkey = jwt.head.subject;
  o.display_name = jwt.head.name;
  o.max_connections = o.max_subscriptions = o.max_leafnodes = o.max_payload = 0;
  TokenLimits own{.imports = 0, .exports = 0, .wildcards = false};
  if (const auto limits = jwt.nats.object("limits")) {
    limits->take("conn", o.max_connections);
    limits->take("subs", o.max_subscriptions);
    limits->take("payload", o.max_payload);
    limits->take("leaf", o.max_leafnodes);
    limits->take("disallow_bearer", out.disallow_bearer);
    limits->take("imports", own.imports);
    limits->take("exports", own.exports);
    limits->take("wildcards", own.wildcards);
    read_jetstream(*limits, o);
  }
  for (const Claims& from : jwt.nats.objects("exports")) out.exports.push_back(read_export(from));
  for (const Claims& from : jwt.nats.objects("imports")) o.imports.push_back(read_import(from));
  o.mappings = read_mappings(jwt.nats);
  if (const auto defaults = jwt.nats.object("default_permissions")) {
    PermissionOptions permissions = read_permissions(*defaults);
    if (permissions != PermissionOptions{}) o.default_permissions = std::move(permissions);
  }
  jwt.nats.take("revocations", out.revocations);
  if (const auto trace = jwt.nats.object("trace")) {
    int64_t sampling = 0;
    trace->take("dest", o.trace_destination);
    trace->take("sampling", sampling);
    o.trace_sampling = sampling == 0 ? 100 : static_cast<int>(std::clamp<int64_t>(sampling, 1, 100));
  }
  if (const auto callout = jwt.nats.object("authorization")) {
    std::vector<std::string> users;
    callout->take("auth_users", users);
    if (!users.empty()) return unsupported("an account's auth callout is not carried out");
  }
  if (auto fine = read_signing_keys(jwt.nats, out); !fine) return fine;
  return check_counts(out, own);
}

Status open_kind(std::string_view text, std::string_view type, NkeyKind subject, OpenedJwt& jwt) {
  if (auto fine = open_jwt(text, jwt); !fine) return fine;
  if (jwt.type != type || !is_nkey(subject, jwt.head.subject))
    return corrupt(fmt::format("not a JWT of kind {}", type));
  return {};
}

std::unexpected<Error> wrong_kind() { return corrupt("a claim of a JWT is of another kind than its own"); }

}  // namespace

Result<UserJwt> read_user_jwt(std::string_view text) {
  OpenedJwt jwt;
  if (auto fine = open_kind(text, "user", NkeyKind::kUser, jwt); !fine)
    return std::unexpected(fine.error());
  UserJwt out{jwt.head, {}, {}};
  auto grant = read_grant(jwt.nats);
  if (!grant) return std::unexpected(grant.error());
  out.grant = std::move(*grant);
  jwt.nats.take("issuer_account", out.issuer_account);
  if (jwt.wrong) return wrong_kind();
  return out;
}

Result<AccountJwt> read_account_jwt(std::string_view text) {
  OpenedJwt jwt;
  if (auto fine = open_kind(text, "account", NkeyKind::kAccount, jwt); !fine)
    return std::unexpected(fine.error());
  AccountJwt out{.head = jwt.head, .options = {}, .text = std::string(text)};
  if (auto fine = read_account(jwt, out); !fine) return std::unexpected(fine.error());
  if (jwt.wrong) return wrong_kind();
  return out;
}

Result<OperatorJwt> read_operator_jwt(std::string_view text) {
  OpenedJwt jwt;
  if (auto fine = open_kind(text, "operator", NkeyKind::kOperator, jwt); !fine)
    return std::unexpected(fine.error());
  OperatorJwt out{.head = jwt.head};
  jwt.nats.take("signing_keys", out.signing_keys);
  jwt.nats.take("system_account", out.system_account);
  jwt.nats.take("strict_signing_key_usage", out.strict_signing_keys);
  if (jwt.wrong) return wrong_kind();
  if (out.head.issuer != out.head.subject &&
      std::ranges::find(out.signing_keys, out.head.issuer) == out.signing_keys.end())
    return fail(Errc::kDenied, "an operator's JWT is not signed by the operator");
  return out;
}

Result<ActivationJwt> read_activation_jwt(std::string_view text) {
  OpenedJwt jwt;
  if (auto fine = open_kind(text, "activation", NkeyKind::kAccount, jwt); !fine)
    return std::unexpected(fine.error());
  ActivationJwt out{.head = jwt.head};
  std::string kind;
  jwt.nats.take("subject", out.import_subject);
  jwt.nats.take("kind", kind);
  out.service = kind == "service";
  jwt.nats.take("issuer_account", out.issuer_account);
  if (out.issuer_account.empty()) out.issuer_account = out.head.issuer;
  if (jwt.wrong) return wrong_kind();
  return out;
}

}  // namespace sluice
