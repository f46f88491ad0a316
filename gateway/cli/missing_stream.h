// What a person is told when the stream that a verb names is not there.
#pragma once

#include <string>

#include "client/stream_client.h"
#include "gateway/cli/session.h"

namespace sluice {

/// `why` as it came, unless it says "stream not found" (10059): then which stream, on which server, what streams the login's
/// account has there, and how to look elsewhere. Asks the server for their names.
/// @param elsewhere  the options that name another server or login, such as "--server, --creds"
Error explain_missing_stream(Session& session, StreamClient& client, const NatsLink& link, const std::string& stream, const Error& why,
                             const std::string& elsewhere = "--server, --creds or --user");

}  // namespace sluice
