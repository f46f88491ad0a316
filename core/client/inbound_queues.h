// What a link has taken for its subscriptions and not yet handed out: one order over all of them,
// which pausing one subscription leaves alone for the others and restores when it resumes.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/nats_link.h"
#include "io/executor.h"

namespace sluice {

/// A copy of a message, for queues: one allocation.
class HeldMessage {
 public:
  explicit HeldMessage(const LinkMessage& message)
      : subject_size_(message.subject.size()),
        reply_size_(message.reply.size()),
        headers_size_(message.headers.size()) {
    bytes_.reserve(subject_size_ + reply_size_ + headers_size_ + message.payload.size());
    bytes_.append(message.subject).append(message.reply);
    bytes_.append(message.headers).append(message.payload);
  }
  size_t size() const { return bytes_.size(); }
  /// Good as long as this object is neither moved nor destroyed.
  LinkMessage view() const {
    const std::string_view all = bytes_;
    const size_t headers_at = subject_size_ + reply_size_;
    return {all.substr(0, subject_size_), all.substr(subject_size_, reply_size_),
            all.substr(headers_at, headers_size_), all.substr(headers_at + headers_size_)};
  }

 private:
  std::string bytes_;
  size_t subject_size_, reply_size_, headers_size_;
};

using LinkHandler = std::move_only_function<void(const LinkMessage&)>;

/// Member of a link; loop thread only. Handlers may remove their source or destroy the link.
class InboundQueues {
 public:
  /// One subscription.
  struct Source {
    explicit Source(LinkHandler on_message) : handler(std::move(on_message)) {}
    LinkHandler handler;
    std::deque<std::pair<uint64_t, HeldMessage>>
        waiting;  ///< with their numbers in the link's order
    size_t bytes = 0;
    bool paused = false;
    bool removed = false;
  };
  using SourcePtr = std::shared_ptr<Source>;

  /// `drained` runs after messages were handed out of the queues.
  InboundQueues(Executor& executor, std::move_only_function<void()> drained)
      : executor_(executor), drained_(std::move(drained)) {}
  InboundQueues(const InboundQueues&) = delete;
  InboundQueues& operator=(const InboundQueues&) = delete;

  SourcePtr add(LinkHandler handler);
  void remove(const SourcePtr& source);
  void pause(const SourcePtr& source) { source->paused = true; }
  void resume(const SourcePtr& source);

  /// Copies the message; its handler runs in a later callback. The caller keeps the bounds.
  void enqueue(const SourcePtr& source, const LinkMessage& message);
  /// Calls the handler at once when nothing is before this message, else enqueues it.
  void hand_out(const SourcePtr& source, const LinkMessage& message);

  size_t waiting_count() const { return waiting_count_; }
  size_t waiting_bytes() const { return waiting_bytes_; }

 private:
  /// The source whose first message is the oldest of those that may go; null when none may.
  SourcePtr next_source() const;
  void post_drain();
  void drain();

  Executor& executor_;
  std::move_only_function<void()> drained_;
  std::vector<SourcePtr> sources_;
  uint64_t next_number_ = 0;
  size_t waiting_count_ = 0;
  size_t waiting_bytes_ = 0;
  bool posted_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
