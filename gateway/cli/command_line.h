// The command line: one file a verb, this one only tells them apart.
#pragma once

#include <string>
#include <vector>

namespace sluice {

/// Exit codes follow sysexits.h where it has a word for it.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 64;
inline constexpr int kExitConfig = 78;

/// The whole program. Called by the name `nats-server` it speaks that program's command line.
int run_command_line(int argc, char** argv);

int run_verb(const std::string& config_path);
/// Everything that is wrong with a configuration, and with the files that it names, on standard error.
/// @return kExitConfig when a daemon would not start with it.
int tell_problems(const std::string& config_path);
int check_verb(const std::string& config_path);
int reload_verb(const std::string& config_path);
std::string version_text();
int version_verb();
int config_reference_verb();
/// `arguments` without the program's name.
int nats_server_verb(const std::vector<std::string>& arguments);

}  // namespace sluice
