// Settings of the Choria registration adapter. Plain data; config/ fills it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/link_options.h"

namespace sluice {

enum class SignatureRule : uint8_t {
  kOff,      ///< not looked at
  kMatch,    ///< one that does not match its key is refused; whose key it is, nobody asks
  kMark,     ///< as kMatch, and whether the sender is proven stands in the header Sluice-Verified
  kRequire,  ///< what is not proven to be the sender's goes to the dead letters
};

struct ChoriaRegistrationOptions {
  std::string name = "registration";     ///< of the adapter; appears in metrics, subjects of dead letters and logs
  std::string account;  ///< of the embedded core, whose messages and streams these are; empty = the global one
  LinkOptions network;                   ///< where the nodes publish; embedded by default
  /// Taken in the order they come, whichever of these they come on; wildcards allowed.
  std::vector<std::string> ingest_subjects = {"mcollective.broadcast.agent.registration"};
  std::string queue_group;               ///< empty = "sluice_<name>"
  bool requests = true;                  ///< true: envelopes are requests (registration); false: replies
  std::string stream = "REGISTRATION";   ///< created when missing, with the template's subjects
  std::string subject = "choria.registration.%s";  ///< %s = the sender, dots kept
  size_t max_in_flight = 2000;           ///< messages taken and not yet durable
  SignatureRule signatures = SignatureRule::kMatch;
  std::vector<std::string> trusted_issuers;  ///< hex public keys of organisations, whose tokens count (version 2)
  std::string ca_file;                   ///< certificates that nodes' certificates are by (version 1)
  bool unpack = false;                   ///< store gzip'd content unpacked
};

}  // namespace sluice
