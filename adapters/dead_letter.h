// What an adapter can't handle, and the id that keeps a letter from standing twice in the dead letters.
#pragma once

#include <string>
#include <string_view>

namespace sluice {

/// What can't be handled is kept, with its reason. Views are for the call only.
struct DeadLetter {
  std::string_view reason;  ///< stable word: "bad_json", "bad_base64", …
  std::string_view detail;  ///< for people
  std::string_view origin;  ///< subject or place it came from
  std::string_view bytes;   ///< as received
  /// Where in its source nothing else ever stood: a sequence, an offset, a file. Empty: the source has no such places
  /// (a subject, a request), and what it sends again is another letter.
  std::string_view place = {};
};

/// The `Nats-Msg-Id` of a letter that has a place, the same whoever writes it, and how often: of adapter, place, reason
/// and bytes. The bytes, as a source that was made anew has its places anew.
std::string dead_letter_id(std::string_view adapter, std::string_view reason, std::string_view place, std::string_view bytes);

}  // namespace sluice
