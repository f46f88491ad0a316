#include "stream/ack_queue.h"

#include <utility>

#include "base/check.h"

namespace sluice {

void AckQueue::push(Entry entry, std::string_view reply, OfferDone done, std::string text) {
  SLUICE_CHECK(entries_.empty() || entries_.back().commit <= entry.commit);
  entry.reply_bytes = static_cast<uint32_t>(reply.size());
  entry.has_done = done != nullptr;
  replies_.append(reply);
  if (entry.has_done) dones_.push_back(std::move(done));
  if (entry.kind == Kind::kText) texts_.push_back(std::move(text));
  message_bytes_ += entry.message_bytes;
  entries_.push_back(entry);
}

void AckQueue::pop(Answer& into) {
  SLUICE_CHECK(!entries_.empty());
  into.entry = entries_.front();
  entries_.pop_front();
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
  replies_.clear();
  replies_head_ = 0;
  dones_.clear();
  texts_.clear();
  message_bytes_ = 0;
}

}  // namespace sluice
