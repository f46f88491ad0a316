// Operations → bytes for a client, appended to a string; no allocation but the string's own.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

inline constexpr std::string_view kPingLine = "PING\r\n";
inline constexpr std::string_view kPongLine = "PONG\r\n";
inline constexpr std::string_view kOkLine = "+OK\r\n";

/// MSG, with `reply` left out when empty.
void append_msg(std::string& out, std::string_view subject, std::string_view sid,
                std::string_view reply, std::string_view payload);
/// HMSG. `header` is a whole block; an empty one gives an HMSG with a header size of 0, so callers
/// use append_msg for those.
void append_hmsg(std::string& out, std::string_view subject, std::string_view sid,
                 std::string_view reply, std::string_view header, std::string_view payload);
/// -ERR '<text>'
void append_err(std::string& out, std::string_view text);

/// The no-responders answer that a requester gets on its reply subject: a 503 status block with the
/// subject nobody listened to.
void append_no_responders(std::string& out, std::string_view reply, std::string_view sid,
                          std::string_view subject);

/// The client's side: PUB, or HPUB when `header` is not empty.
void append_pub(std::string& out, std::string_view subject, std::string_view reply,
                std::string_view header, std::string_view payload);

}  // namespace sluice
