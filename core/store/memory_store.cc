// A stream in memory: each message in one block of its own, the index holds its address.
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "base/endian.h"
#include "store/indexed_stream.h"
#include "store/store.h"

namespace sluice {
namespace {

constexpr size_t kHead = 24;  // time, payload, headers, subject length, id length

MessagePlace place_of(const char* block) {
  const auto address = std::bit_cast<uint64_t>(block);
  MessagePlace place;
  place.file = static_cast<uint32_t>(address >> 32);
  place.offset8 = static_cast<uint32_t>(address);
  return place;
}
char* block_of(const MessagePlace& place) {
  return std::bit_cast<char*>(static_cast<uint64_t>(place.file) << 32 | place.offset8);
}

class MemoryStream final : public IndexedStream {
 public:
  explicit MemoryStream(StreamSeq first_seq) {
    if (first_seq.is_zero()) return;
    first_ = first_seq.value();
    last_ = first_ - 1;
  }
  ~MemoryStream() override {
    for (uint64_t s = index_.next(0); s != 0; s = index_.next(s + 1)) std::free(block_of(*index_.find(s)));
    std::free(grave_);
  }

  StreamSeq append(const AppendRequest& r) override {
    SLUICE_CHECK(r.subject.size() <= UINT16_MAX && r.msg_id.size() <= UINT16_MAX);
    auto* block = static_cast<char*>(
        std::malloc(kHead + r.subject.size() + r.headers.size() + r.payload.size() + r.msg_id.size()));
    SLUICE_CHECK(block != nullptr);
    store_le(block, r.time);
    store_le32(block + 8, static_cast<uint32_t>(r.payload.size()));
    store_le32(block + 12, static_cast<uint32_t>(r.headers.size()));
    store_le16(block + 16, static_cast<uint16_t>(r.subject.size()));
    store_le16(block + 18, static_cast<uint16_t>(r.msg_id.size()));
    char* at = block + kHead;
    for (std::string_view part : {r.subject, r.headers, r.payload, r.msg_id}) {
      if (!part.empty()) std::memcpy(at, part.data(), part.size());
      at += part.size();
    }
    MessagePlace place = place_of(block);
    place.accounted_bytes = static_cast<uint32_t>(r.subject.size() + r.headers.size() + r.payload.size() + 16) & 0x7fffffff;
    place.subject_hash = format::subject_hash(r.subject);
    note_append(last_ + 1, place, r.subject, r.time);
    ++commit_;
    return StreamSeq(last_);
  }
  StreamSeq append_all(std::span<const AppendRequest> requests) override {
    const StreamSeq first(last_ + 1);
    for (const AppendRequest& r : requests)
      if (r.skipped)
        skip(r.time, r.msg_id);
      else
        append(r);
    return first;
  }
  StreamSeq skip(WallNanos time, std::string_view) override {
    note_skip(last_ + 1, time);
    ++commit_;
    return StreamSeq(last_);
  }
  void skip_to(StreamSeq last, WallNanos time) override {
    note_skip_to(last.value(), time);
    ++commit_;
  }
  bool remove(StreamSeq seq, bool erase) override {
    if (const MessagePlace* place = index_.find(seq.value()); erase && place != nullptr) {
      auto fetched = fetch(seq.value(), *place);
      if (!note_remove(seq.value())) return false;
      // The view is into the block that waits in the grave.
      std::memset(const_cast<char*>(fetched->message.payload.data()), 0, fetched->message.payload.size());
    } else if (!note_remove(seq.value())) {
      return false;
    }
    ++commit_;
    return true;
  }
  uint64_t purge_below(StreamSeq first_kept) override {
    ++commit_;
    return note_purge_below(first_kept.value());
  }
  CommitNo last_commit() const override { return CommitNo(commit_); }

 protected:
  Result<Fetched> fetch(uint64_t seq, const MessagePlace& place) const override {
    const char* block = block_of(place);
    Fetched f;
    const char* at = block + kHead;
    const auto take = [&at](size_t length) {
      const std::string_view part(at, length);
      at += length;
      return part;
    };
    f.message.seq = StreamSeq(seq);
    f.message.time = load_le<WallNanos>(block);
    f.message.subject = take(load_le16(block + 16));
    f.message.headers = take(load_le32(block + 12));
    f.message.payload = take(load_le32(block + 8));
    f.msg_id = take(load_le16(block + 18));
    return f;
  }
  void hold(std::shared_ptr<const void>) override {}
  void dropped(const MessagePlace& place) override {
    std::free(grave_);
    grave_ = block_of(place);  // one call later: the caller may still look at its subject
  }
  void dropped_all() override {
    for (uint64_t s = index_.next(0); s != 0; s = index_.next(s + 1)) std::free(block_of(*index_.find(s)));
  }
  void message_lost(uint64_t, const Error&) override {}

 private:
  uint64_t commit_ = 0;
  char* grave_ = nullptr;
};

}  // namespace

std::unique_ptr<StreamStore> make_memory_store(StreamSeq first_seq) {
  return std::make_unique<MemoryStream>(first_seq);
}

}  // namespace sluice
