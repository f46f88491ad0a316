#include "store/store_check.h"

#include "base/seq_set.h"

namespace sluice {
namespace {

constexpr uint64_t kTellEvery = 1000;

void check_stream(StreamStore& stream, StreamCheck& out, const std::function<void()>& read_one) {
  out.state = stream.state();
  out.lost = stream.lost();
  const SeqSet gaps = stream.deleted();
  const uint64_t last = out.state.messages == 0 ? 0 : out.state.last_seq.value();
  for (uint64_t seq = out.state.first_seq.value(); seq <= last; ++seq) {
    if (gaps.contains(seq)) {
      seq = gaps.next_absent(seq) - 1;
      continue;
    }
    const uint64_t before = stream.state().messages;
    if (stream.load(StreamSeq(seq))) {
      read_one();
    } else if (stream.state().messages < before) {
      out.damaged.push_back(seq);
    } else {
      out.unreadable = seq;  // the disk refuses: what lies behind would take as long to refuse
      return;
    }
  }
}

}  // namespace

StoreCheck check_store(Store& store, const std::function<void(uint64_t, uint64_t)>& progress) {
  StoreCheck out;
  const RecoveryReport& report = store.recovery();
  out.notes = report.notes;
  out.lost_records = report.lost_records;
  out.cut_bytes = report.cut_bytes;
  uint64_t all = 0;
  for (const RecoveredStream& stream : store.streams()) all += store.find_stream(stream.name)->state().messages;
  for (const RecoveredStream& stream : store.streams()) {
    StreamCheck& check = out.streams.emplace_back();
    check.name = stream.name;
    check.consumers = store.consumers(stream.name).size();
    check_stream(*store.find_stream(stream.name), check, [&] {
      if (++out.messages % kTellEvery == 0 && progress) progress(out.messages, all);
    });
    out.bytes += check.state.bytes;
    out.damaged_messages += check.damaged.size();
    out.unreadable_streams += check.unreadable != 0 ? 1 : 0;
  }
  if (progress) progress(out.messages, all);
  return out;
}

uint64_t give_up_damaged(Store& store, const StoreCheck& found) {
  uint64_t count = 0;
  for (const StreamCheck& check : found.streams) {
    StreamStore* stream = store.find_stream(check.name);
    if (stream == nullptr) continue;
    for (const uint64_t seq : check.damaged) count += stream->remove(StreamSeq(seq), false) ? 1 : 0;
  }
  return count;
}

}  // namespace sluice
