// Settings of the Choria submission adapter. Plain data; config/ fills it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/link_options.h"

namespace sluice {

enum class SubmissionCheck : uint8_t {
  kOff,      ///< signatures are passed along unread
  kMark,     ///< the outcome stands in the header Sluice-Verified
  kRequire,  ///< what is not proven goes to the dead letters
};

struct ChoriaSubmissionOptions {
  std::string name = "submission";
  std::string account;  ///< of the embedded core, whose messages and streams these are; empty = the global one
  LinkOptions network;                     ///< where the nodes publish; embedded by default
  std::string collective = "mcollective";  ///< subjects "<collective>.submission.in.>"
  std::string queue_group;                 ///< empty = "sluice_<name>"
  std::string stream = "SUBMISSION";       ///< created when missing
  std::string prefix = "choria.submission";  ///< "<prefix>.<the submitted subject>"
  std::string audit_prefix;  ///< submitted "audit.…" becomes "<this>.…", of another stream; empty = as the others
  SubmissionCheck check = SubmissionCheck::kOff;
  std::vector<std::string> trusted_issuers;  ///< hex public keys of organisations; for mark and require
  size_t max_in_flight = 2000;
};

}  // namespace sluice
