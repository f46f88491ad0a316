#include <fmt/format.h>

#include <cstdio>

#include "config/load.h"
#include "crypto/tls_context.h"
#include "gateway/cli/command_line.h"
#include "uv/env.h"

namespace sluice {
namespace {

Status check_certificates(const TlsServerOptions& tls, WallNanos now) {
  const auto made = make_tls_server_context(tls);
  if (!made) return std::unexpected(made.error());
  const WallNanos end = (*made)->not_after();
  if (end < now) return fail(Errc::kTimeout, fmt::format("the certificate was good until {}: clients refuse it", format_rfc3339(end)));
  return {};
}

}  // namespace

int tell_problems(const std::string& config_path) {
  UvEnv world;
  Problems problems(config_path);
  const CertificateCheck certificates = [&](const TlsServerOptions& tls) { return check_certificates(tls, world.env().clock.wall()); };
  check_config(config_path, process_environment(), certificates, problems);
  std::fputs(problems.to_text().c_str(), stderr);
  if (problems.empty()) return kExitOk;
  std::fprintf(stderr, "%zu problem%s\n", problems.size(), problems.size() == 1 ? "" : "s");
  return kExitConfig;
}

int check_verb(const std::string& config_path) {
  if (const int code = tell_problems(config_path); code != kExitOk) return code;
  std::printf("%s: ok\n", config_path.c_str());
  return kExitOk;
}

}  // namespace sluice
