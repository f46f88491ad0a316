// Folds the messages of a stream into the answer to a question about it. Where the messages come from is the caller's
// business: a Sluice's own store, or a reading over the network.
#pragma once

#include <string>
#include <string_view>

#include "proof/digest_request.h"
#include "subject/subject_rewrite.h"

namespace sluice {

/// A message as it is stored. Views are for the call only.
struct ProvedMessage {
  StreamSeq own{};
  std::string_view subject;
  std::string_view headers;
  std::string_view payload;
};

/// Of each message is made a digest of what a copy keeps: its origin's sequence, subject, headers but for those that
/// copiers write, payload. One thread at a time.
class DigestFold {
 public:
  /// @param request checked.
  explicit DigestFold(DigestRequest request);

  /// Messages in the order of their own sequences.
  /// @return false: not taken, as the answer has all the parts it may have; it then says to go on from this message.
  bool add(const ProvedMessage& message);
  const DigestRequest& request() const { return request_; }
  DigestAnswer& answer() { return answer_; }

 private:
  bool is_passed_over(const ProvedMessage& message, uint32_t hops) const;
  bool counts(StreamSeq origin);
  void note_met(StreamSeq origin, StreamSeq own);
  Sha256 digest_of(const ProvedMessage& message, StreamSeq origin);

  const DigestRequest request_;
  DigestAnswer answer_;
  KeyedSha256 hash_;
  SubjectRewrite rewrite_;
  std::string scratch_;
};

}  // namespace sluice
