#include "spool/submission.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/headers.h"
#include "subject/subject.h"

namespace sluice {
namespace {

bool begins_with_word(std::string_view name, std::string_view word) {
  return name.size() >= word.size() && std::equal(word.begin(), word.end(), name.begin(), [](char w, char n) {
           return w == std::tolower(static_cast<unsigned char>(n));
         });
}

Status check_headers(const Submission& submission) {
  size_t bytes = 0;
  for (const auto& [name, value] : submission.headers) {
    bytes += name.size() + value.size() + 4;
    if (begins_with_word(name, "choria") || begins_with_word(name, "nats"))
      return fail(Errc::kInvalidArgument, "headers may not start with 'choria' or 'nats'");
    if (!is_valid_header_name(name) || name.find_first_of(" \t") != std::string::npos || !is_valid_header_value(value))
      return fail(Errc::kInvalidArgument, "a header whose name or value can't be sent");
  }
  if (bytes > kMaxSubmissionHeaders_bytes)
    return fail(Errc::kInvalidArgument, fmt::format("headers exceed {} bytes", kMaxSubmissionHeaders_bytes));
  return {};
}

bool is_one_line(std::string_view text) { return text.size() <= 1024 && is_valid_header_value(text); }

}  // namespace

Status check_submission(const Submission& submission, size_t max_payload_bytes) {
  const auto refuse = [](std::string why) { return fail(Errc::kInvalidArgument, std::move(why)); };
  if (submission.id.empty() || !is_one_line(submission.id)) return refuse("id is required and must be one short line");
  if (submission.subject.empty()) return refuse("subject is required");
  if (submission.subject.size() > kMaxSubmissionSubject_bytes || !is_valid_literal(submission.subject))
    return refuse("subject is not a subject without wildcards");
  if (submission.payload.empty()) return refuse("payload is empty");
  if (submission.payload.size() > max_payload_bytes)
    return refuse(fmt::format("payload of {} bytes exceeds maximum {}", submission.payload.size(), max_payload_bytes));
  if (submission.priority >= kSpoolPriorities) return refuse("priority must be between 0 and 4");
  if (submission.created == 0 || submission.created == kZeroTime) return refuse("created time is required");
  if (submission.ttl.count() <= 0) return refuse("ttl is required");
  if (submission.ttl > kMaxSubmissionTtl) return refuse("ttl exceeds maximum 744h0m0s");
  if (submission.sender.empty() || !is_one_line(submission.sender)) return refuse("sender is required and must be one short line");
  if (!is_one_line(submission.identity)) return refuse("identity must be one short line");
  return check_headers(submission);
}

std::string make_uuid(Random& random) {
  const uint64_t high = (random.u64() & ~0xf000ULL) | 0x4000ULL;
  const uint64_t low = (random.u64() & ~(3ULL << 62)) | (2ULL << 62);
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xffff, high & 0xffff, low >> 48,
                     low & 0xffff'ffff'ffffULL);
}

}  // namespace sluice
