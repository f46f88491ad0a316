#include "stream/schedules.h"

namespace sluice {

void Schedules::put(std::string_view subject, StreamSeq seq, WallNanos due) {
  if (const auto old = by_subject_.find(subject); old != by_subject_.end()) erase(old);
  by_subject_.emplace(subject, Entry{seq, due});
  subject_of_.emplace(seq, subject);
  by_due_.emplace(due, seq);
}

void Schedules::move(std::string_view subject, StreamSeq before, WallNanos due) {
  const auto at = by_subject_.find(subject);
  if (at == by_subject_.end() || at->second.seq >= before) return;
  by_due_.erase({at->second.due, at->second.seq});
  at->second.due = due;
  by_due_.emplace(due, at->second.seq);
}

void Schedules::forget(StreamSeq seq) {
  const auto subject = subject_of_.find(seq);
  if (subject != subject_of_.end()) erase(by_subject_.find(subject->second));
}

void Schedules::forget_below(StreamSeq first_kept) {
  while (!subject_of_.empty() && subject_of_.begin()->first < first_kept)
    erase(by_subject_.find(subject_of_.begin()->second));
}

std::optional<Schedules::Entry> Schedules::find(std::string_view subject) const {
  const auto at = by_subject_.find(subject);
  if (at == by_subject_.end()) return std::nullopt;
  return at->second;
}

std::optional<std::pair<std::string, Schedules::Entry>> Schedules::next_due() const {
  if (by_due_.empty()) return std::nullopt;
  const auto& [due, seq] = *by_due_.begin();
  return std::pair(subject_of_.at(seq), Entry{seq, due});
}

void Schedules::erase(BySubject::iterator at) {
  by_due_.erase({at->second.due, at->second.seq});
  subject_of_.erase(at->second.seq);
  by_subject_.erase(at);
}

}  // namespace sluice
