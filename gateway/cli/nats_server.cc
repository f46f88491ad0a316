// `sluice nats-server`: what that program's command line asks for.
#include <fmt/format.h>

#include <cstdio>

#include "gateway/cli/command_line.h"
#include "gateway/cli/nats_face.h"
#include "gateway/cli/nats_signal.h"
#include "server/version.h"

namespace sluice {
namespace {

int refuse(const std::string& words) {
  std::fprintf(stderr, "nats-server: %s\n", words.c_str());
  return kExitFailure;
}

int signal_verb(const std::string& text) {
  auto order = parse_signal_order(text);
  if (!order) return refuse(order.error().detail);
  auto sent = send_signal(*order, running_nats_servers);
  return sent ? kExitOk : refuse(sent.error().detail);
}

/// -t: what would only be warned of at a start is an error here, as in the reference.
int check_verb(const FaceSetup& setup) {
  const auto& warnings = setup.settings.warnings;
  if (!warnings.empty()) return refuse(fmt::format("{}", fmt::join(warnings, "\n")));
  std::fprintf(stderr, "nats-server: configuration file %s is valid (%s)\n",
               setup.flags.config_file->c_str(), setup.digest.c_str());
  return kExitOk;
}

}  // namespace

int nats_server_verb(const std::vector<std::string>& arguments) {
  auto flags = parse_nats_server_flags(arguments);
  if (!flags) return refuse(flags.error().detail);
  if (flags->help.value_or(false)) {
    std::fputs(nats_server_usage().c_str(), stdout);
    return kExitOk;
  }
  if (flags->version.value_or(false)) {
    std::fputs(fmt::format("nats-server: v{}\n", kCompatVersion).c_str(), stdout);
    return kExitOk;
  }
  if (flags->signal) return signal_verb(*flags->signal);
  const bool check = flags->check.value_or(false);
  if (check && !flags->config_file) {
    return refuse("must specify [-c, --config] option to check configuration file syntax");
  }
  auto setup = make_face_setup(*flags);
  if (!setup) return refuse(setup.error().detail);
  if (check) return check_verb(*setup);
  return NatsFace(std::move(*setup)).run();
}

}  // namespace sluice
