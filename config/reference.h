#pragma once

#include <string>

namespace sluice {

/// The reference page of the configuration as Markdown, from the field tables.
/// docs/configuration.md is its committed output.
std::string configuration_reference();

}  // namespace sluice
