// A command run beside the loop.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace sluice {

/// Starts `command` by the search path with our own input, output and environment. kNotFound with the name when it can't be.
Result<pid_t> start_child(const std::vector<std::string>& command);
/// The exit code of a child that has ended (killed: 128 + signal); -1 while it runs.
int child_exit_code(pid_t child);
/// Whether it has a handler for `number`: most signals end who has none.
bool child_catches(pid_t child, int number);

}  // namespace sluice
