// How a server in operator mode comes by its accounts.
#pragma once

#include <memory>

#include "base/time_format.h"
#include "io/disk.h"
#include "server/jwt_accounts.h"
#include "server/jwt_directory.h"
#include "server/server_options.h"

namespace sluice {

/// nullptr when the options name none.
std::unique_ptr<JwtDirectory> make_jwt_directory(Disk& disk, const ServerOptions& options);

/// The tokens of the options and of the directory; nullptr when it is not operator mode. A file that
/// holds no good token is left alone, with a warning; a directory that can't be read is kIo later, at
/// the first change, and a warning now.
std::unique_ptr<JwtAccounts> make_jwt_accounts(const ServerOptions& options, JwtDirectory* directory);

/// In operator mode the accounts are those of the tokens, and "$G" is only there.
ServerOptions with_jwt_accounts(ServerOptions options, const JwtAccounts* jwts, WallNanos now);

}  // namespace sluice
