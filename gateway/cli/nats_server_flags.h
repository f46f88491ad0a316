// nats-server's command line, as far as this version takes it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/nats_settings.h"

namespace sluice {

/// What was given; the file's values stay for the rest.
struct NatsServerFlags {
  std::optional<std::string> config_file{};
  std::optional<std::string> signal{};  ///< "CMD" or "CMD=PID"
  std::optional<std::string> host{};
  std::optional<int> port{};          ///< -1: any free one
  std::optional<int> monitor_port{};  ///< 0: none; -1: any free one
  std::optional<std::string> name{};
  std::optional<std::string> client_advertise{};
  std::optional<std::string> store_dir{};
  std::optional<std::string> user{};
  std::optional<std::string> password{};
  std::optional<std::string> token{};
  std::optional<std::string> pid_file{};
  std::optional<std::string> ports_file_dir{};
  std::optional<std::string> log_file{};
  std::optional<std::string> tls_cert{};
  std::optional<std::string> tls_key{};
  std::optional<std::string> tls_ca{};
  std::optional<bool> tls{};
  std::optional<bool> tls_verify{};
  std::optional<bool> jetstream{};
  std::optional<bool> debug{};
  std::optional<bool> trace{};
  std::optional<bool> debug_and_trace{};
  std::optional<bool> logtime{};
  std::optional<bool> logtime_utc{};
  std::optional<bool> check{};
  std::optional<bool> version{};
  std::optional<bool> help{};
};

/// Go's flag syntax: one or two dashes, `-x v` or `-x=v`, switches `-js` or `-js=false`.
/// kUnsupported with one sentence for what the reference has and this version does not,
/// kInvalidArgument in the reference's words for the rest.
Result<NatsServerFlags> parse_nats_server_flags(const std::vector<std::string>& arguments);

/// The command line wins over the file.
void apply_flags(const NatsServerFlags& flags, NatsSettings& settings);

/// What -h prints.
std::string nats_server_usage();

}  // namespace sluice
