// Settings of the Choria registration adapter. Plain data; config/ fills it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/link_options.h"

namespace sluice {

struct ChoriaRegistrationOptions {
  std::string name = "registration";     ///< of the adapter; appears in metrics, subjects of dead letters and logs
  LinkOptions network;                   ///< where the nodes publish; embedded by default
  /// Taken in the order they come, whichever of these they come on; wildcards allowed.
  std::vector<std::string> ingest_subjects = {"mcollective.broadcast.agent.registration"};
  std::string queue_group;               ///< empty = "sluice_<name>"
  bool requests = true;                  ///< true: envelopes are requests (registration); false: replies
  std::string stream = "REGISTRATION";   ///< created when missing, with the template's subjects
  std::string subject = "choria.registration.%s";  ///< %s = the sender, dots kept
  size_t max_in_flight = 2000;           ///< messages offered to the stream and not yet durable
  bool verify_signatures = true;         ///< refuse what carries a signature that does not match
};

}  // namespace sluice
