// From a file to options: parse, read by the field tables, check what belongs together.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "config/config.h"
#include "config/problems.h"
#include "config/units.h"

namespace sluice {

/// Reads `text` as the file `problems.file()`. The result is usable only when `problems` stayed
/// empty.
/// @param world_readable  whether everybody may read the file; then it may hold no secrets.
Config parse_config(std::string_view text, bool world_readable, const Environment& environment,
                    Problems& problems);

/// As parse_config, from disk.
Config load_config(const std::string& path, const Environment& environment, Problems& problems);

/// Whether the certificates of a listener are good. kTimeout: they have expired, with which a daemon starts nevertheless.
using CertificateCheck = std::function<Status(const TlsServerOptions&)>;

/// As load_config, and looks whether the files that it names can be read (warnings) and the listeners' certificates are good.
Config check_config(const std::string& path, const Environment& environment, const CertificateCheck& certificates, Problems& problems);

/// True for 127.0.0.0/8, ::1 and localhost.
bool is_loopback(std::string_view host);

}  // namespace sluice
