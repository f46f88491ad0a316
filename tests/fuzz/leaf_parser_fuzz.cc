// Bytes of another server: what the parser tells must not depend on where they are cut, and a
// message that was told must read the same when written again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cuts.h"
#include "leaf/leaf_parser.h"

namespace {

using sluice::LeafOp;
using sluice::LeafOpKind;
using sluice::LeafParser;

std::string told(std::string_view bytes, size_t step) {
  LeafParser parser(4096);
  std::string out;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, step);
    bytes.remove_prefix(part.size());
    parser.feed(part);
    while (true) {
      LeafOp op;
      const auto got = parser.next(op);
      if (!got) return out + "!";
      if (!*got) break;
      out += std::to_string(static_cast<int>(op.kind));
      if (op.kind == LeafOpKind::kMessage) {
        sluice::append_leaf_message(out, op.subject, op.reply, op.queues, op.header, op.payload);
      } else {
        out.append(op.subject).append(" ").append(op.queue).append(" ").append(op.text).append("\n");
      }
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return same_however_cut(data, size, 16, told); }
