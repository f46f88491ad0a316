#include "stream/ack_queue.h"

#include <utility>

#include "base/check.h"

namespace sluice {

namespace {
constexpr size_t kKeptTaken_count = 1024;  ///< places at the front of the queue that are empty before the rest moves up
constexpr size_t kKeptRoom_count = 16'384;  ///< an empty queue keeps memory for so many
}  // namespace

void AckQueue::push(Entry entry, std::string_view reply, OfferDone done, std::string text) {
  SLUICE_CHECK(empty() || entries_.back().commit <= entry.commit);
  entry.reply_bytes = static_cast<uint32_t>(reply.size());
  entry.has_done = done != nullptr;
  replies_.append(reply);
  if (entry.has_done) dones_.push_back(std::move(done));
  if (entry.kind == Kind::kText) texts_.push_back(std::move(text));
  message_bytes_ += entry.message_bytes;
  entries_.push_back(entry);
}

void AckQueue::pop(Answer& into) {
  SLUICE_CHECK(!empty());
  into.entry = entries_[head_++];
  if (head_ == entries_.size()) {
    entries_.clear();
    if (entries_.capacity() > kKeptRoom_count) entries_.shrink_to_fit();
    head_ = 0;
  } else if (head_ > entries_.size() / 2 && head_ > kKeptTaken_count) {
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<ptrdiff_t>(head_));
    head_ = 0;
  }
  message_bytes_ -= into.entry.message_bytes;
  into.reply.assign(replies_, replies_head_, into.entry.reply_bytes);
  replies_head_ += into.entry.reply_bytes;
  if (replies_head_ == replies_.size()) {
    replies_.clear();
    replies_head_ = 0;
  } else if (replies_head_ > replies_.size() / 2 && replies_head_ > 4096) {
    replies_.erase(0, replies_head_);
    replies_head_ = 0;
  }
  into.text.clear();
  if (into.entry.kind == Kind::kText) {
    into.text = std::move(texts_.front());
    texts_.pop_front();
  }
  into.done = nullptr;
  if (into.entry.has_done) {
    into.done = std::move(dones_.front());
    dones_.pop_front();
  }
}

void AckQueue::clear() {
  entries_.clear();
  head_ = 0;
  replies_.clear();
  replies_head_ = 0;
  dones_.clear();
  texts_.clear();
  message_bytes_ = 0;
}

}  // namespace sluice
