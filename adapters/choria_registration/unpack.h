// Registration data that came gzip'd, as it would have come otherwise.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// `message` is the JSON of a registration (choria:registration:filecontent:1 or inventorycontent:1); its `zcontent` is inflated and
/// takes the name, and the form, of the `content` it was made of: base64 of a file, an object of an inventory. Other keys keep
/// their places and bytes.
/// @return nullopt when there is nothing to unpack, it is damaged, or the result would be larger than `max_bytes`.
std::optional<std::string> unpack_registration(std::string_view message, size_t max_bytes);

}  // namespace sluice
