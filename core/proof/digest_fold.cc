#include "proof/digest_fold.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/endian.h"
#include "base/headers.h"
#include "proof/copy_marks.h"
#include "subject/subject.h"

namespace sluice {
namespace {

void append_size(std::string& out, size_t size) {
  char bytes[8];
  store_le(bytes, static_cast<uint64_t>(size));
  out.append(bytes, sizeof bytes);
}

void append_part(std::string& out, std::string_view part) {
  append_size(out, part.size());
  out += part;
}

}  // namespace

DigestFold::DigestFold(DigestRequest request) : request_(std::move(request)), hash_(request_.key) {
  answer_.newest = request_.seen;
  if (!request_.rewrite.empty()) {
    auto rewrite = SubjectRewrite::make(request_.rewrite);
    SLUICE_CHECK(rewrite.has_value());
    rewrite_ = *std::move(rewrite);
  }
}

bool DigestFold::is_passed_over(const ProvedMessage& message, uint32_t hops) const {
  if (request_.max_hops != 0 && hops >= request_.max_hops) return true;
  return !request_.filters.empty() && std::ranges::none_of(request_.filters, [&](const std::string& filter) {
    return subject_matches(filter, message.subject);
  });
}

bool DigestFold::counts(StreamSeq origin) {
  if (!request_.range.contains(origin)) return false;
  if (request_.only.empty()) return true;
  const auto after = std::ranges::upper_bound(request_.only, origin, {}, &SequenceRange::first);
  return after != request_.only.begin() && std::prev(after)->contains(origin);
}

void DigestFold::note_met(StreamSeq origin, StreamSeq own) {
  if (answer_.oldest.is_zero() || origin < answer_.oldest) answer_.oldest = origin;
  if (origin > answer_.newest) {
    answer_.newest = origin;
    answer_.newest_own = own;
  } else if (origin < answer_.newest) {
    ++answer_.disordered;
  }
}

bool DigestFold::add(const ProvedMessage& message) {
  // Marks cost a look at the headers; a stream known by its own sequences needs none of it.
  CopyMark mark;
  if (!request_.origin.empty() || request_.max_hops != 0) mark = find_copy_mark(message.headers, request_.mark_rule());
  if (request_.origin.empty()) mark.origin = message.own;
  const bool passed_over = is_passed_over(message, mark.hops);
  if (!passed_over && mark.origin && counts(*mark.origin)) {
    const uint64_t index = (mark.origin->value() - request_.range.first.value()) / request_.span;
    auto part = answer_.parts.find(index);
    if (part == answer_.parts.end()) {
      if (answer_.parts.size() >= request_.max_parts) {
        answer_.next = message.own;
        return false;
      }
      part = answer_.parts.emplace(index, RangePart{}).first;
    }
    RangePart one{.count = 1, .own = {message.own, message.own}, .digest = {}};
    one.digest.add(digest_of(message, *mark.origin));
    part->second.merge(one);
  }
  ++answer_.read;
  if (passed_over)
    ++answer_.passed_over;
  else if (!mark.origin)
    ++answer_.others;
  else
    note_met(*mark.origin, message.own);
  return true;
}

/// Every length stands before what it is the length of, and the sum of all can be told from the first three: no input
/// is the beginning of another.
Sha256 DigestFold::digest_of(const ProvedMessage& message, StreamSeq origin) {
  std::string rewritten;
  std::string_view subject = request_.subjects ? message.subject : std::string_view();
  if (request_.subjects && !rewrite_.keeps_subjects()) subject = rewritten = rewrite_.of_message(message.subject, 0);
  scratch_.clear();
  append_size(scratch_, subject.size());
  append_size(scratch_, message.payload.size());
  append_size(scratch_, 0);  // the headers' size, below
  append_size(scratch_, origin.value());
  const size_t before = scratch_.size();
  each_header(message.headers, [this](std::string_view name, std::string_view value) {
    if (is_copiers_own(name)) return;
    append_part(scratch_, name);
    append_part(scratch_, value);
  });
  store_le(scratch_.data() + 16, static_cast<uint64_t>(scratch_.size() - before));
  hash_.begin();
  hash_.update(scratch_);
  hash_.update(subject);
  hash_.update(message.payload);
  return hash_.finish();
}

}  // namespace sluice
