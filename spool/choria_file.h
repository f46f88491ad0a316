// Choria's file of one spooled message: a JSON object. Also the form in which submissions come over the socket
// and leave by `sluice spool export`.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "spool/submission.h"

namespace sluice {

/// kInvalidArgument with the reason when it is no such object. Missing keys are left at Choria's zero values
/// (`reliable` false, `priority` 0, `max_tries` 0 …); check_submission() then judges. Keys it does not know are
/// passed over, as Choria does. Limits: `text` as it is; payload is base64.
Result<Submission> parse_choria_file(std::string_view text);

/// The object as Choria writes it, byte for byte: its order of keys, Go's escapes, no blanks, no line end.
/// `next_try` is Go's zero time.
std::string format_choria_file(const Submission& submission);

}  // namespace sluice
