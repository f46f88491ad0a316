#include <fmt/format.h>

#include <array>

#include "config/nats_conf_lexical.h"
#include "config/nats_stanzas.h"
#include "config/nats_tls.h"

namespace sluice {
namespace {

constexpr std::array kRefused = std::to_array<std::string_view>(
    {"advertise", "authorization", "no_auth_user"});

void read_headers(NatsReader& reader, const ConfValue& value, WebSocketOptions& out) {
  if (!reader.is_map(value)) return;
  for (const ConfEntry& entry : value.entries) {
    std::string text;
    reader.text(entry.value, text);
    out.headers.emplace_back(entry.key, std::move(text));
  }
}

bool read_origin_key(NatsReader& reader, std::string_view key, const ConfValue& value,
                     WebSocketOptions& out) {
  if (key == "same_origin") {
    reader.flag(value, out.same_origin);
  } else if (key == "allowed_origins" || key == "allowed_origin" || key == "allow_origins" ||
             key == "allow_origin" || key == "origins" || key == "origin") {
    reader.texts(value, out.allowed_origins);
  } else if (key == "jwt_cookie") {
    reader.text(value, out.jwt_cookie);
  } else if (key == "user_cookie") {
    reader.text(value, out.user_cookie);
  } else if (key == "pass_cookie") {
    reader.text(value, out.pass_cookie);
  } else if (key == "token_cookie") {
    reader.text(value, out.token_cookie);
  } else if (key == "headers") {
    read_headers(reader, value, out);
  } else {
    return false;
  }
  return true;
}

bool read_key(NatsReader& reader, std::string_view key, const ConfValue& value,
              WebSocketOptions& out, int& port) {
  if (key == "listen") {
    reader.address(value, out.host, port);
  } else if (key == "port") {
    reader.port(value, key, port);
  } else if (key == "host" || key == "net") {
    reader.text(value, out.host);
  } else if (key == "no_tls") {
    reader.flag(value, out.no_tls);
  } else if (key == "tls") {
    read_tls_block(reader, value, out.tls);
  } else if (key == "handshake_timeout") {
    if (auto time = reader.duration(value, key)) out.handshake_timeout = *time;
  } else if (key == "compress" || key == "compression") {
    reader.flag(value, out.compression);
  } else if (key == "ping_interval") {
    if (auto time = reader.duration(value, key)) out.ping_interval = *time;
  } else {
    return read_origin_key(reader, key, value, out);
  }
  return true;
}

}  // namespace

bool read_websocket_stanza(NatsReader& reader, std::string_view key, const ConfEntry& entry,
                           NatsSettings& settings) {
  if (key != "websocket" && key != "ws") return false;
  if (entry.value.kind == ConfValue::Kind::kFlag && !entry.value.flag) return true;
  if (!reader.is_map(entry.value)) return true;
  WebSocketOptions& out = settings.server.websocket;
  int port = 0;
  for (const ConfEntry& inner : entry.value.entries) {
    if (!read_key(reader, to_conf_lower(inner.key), inner.value, out, port))
      reader.refuse_or_unknown(inner, kRefused);
  }
  // Without a port there is no listener, as the reference has it.
  out.enabled = port != 0;
  out.port = port > 0 ? static_cast<uint16_t>(port) : 0;
  if (out.enabled && !out.no_tls && !out.tls.enabled())
    reader.tell(entry.value.place, "websocket requires TLS configuration");
  return true;
}

}  // namespace sluice
