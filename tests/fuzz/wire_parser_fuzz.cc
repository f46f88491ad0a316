// Any bytes, cut anywhere, must give the same operations, and never read outside the block.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "wire/client_parser.h"
#include "wire/info_connect.h"
#include "wire/parser.h"

namespace {

using sluice::Parser;
using sluice::WireLimits;

struct TextSink {
  std::string text;
  bool add(std::initializer_list<std::string_view> fields) {
    for (const std::string_view field : fields) text.append(field).append("\x1f");
    return true;
  }
  bool on_connect(std::string_view json) {
    (void)sluice::parse_connect(json);
    return add({"connect", json});
  }
  bool on_pub(const sluice::PubOp& op) {
    return add({"pub", op.subject, op.reply, op.header(), op.payload()});
  }
  bool on_sub(const sluice::SubOp& op) { return add({"sub", op.subject, op.queue, op.sid}); }
  bool on_unsub(const sluice::UnsubOp& op) {
    return add({"unsub", op.sid, std::to_string(op.max)});
  }
  bool on_ping() { return add({"ping"}); }
  bool on_pong() { return add({"pong"}); }
  void on_error(sluice::WireError error) {
    add({"error", std::to_string(static_cast<int>(error))});
  }
};

bool feed_exact(Parser& parser, TextSink& sink, std::string_view bytes) {
  const auto copy = std::make_unique<char[]>(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.get(), bytes.data(), bytes.size());
  return parser.feed({copy.get(), bytes.size()}, sink);
}

std::string run(std::string_view bytes, size_t step, const WireLimits& limits) {
  Parser parser(limits);
  TextSink sink;
  for (size_t at = 0; at < bytes.size(); at += step) {
    if (!feed_exact(parser, sink, bytes.substr(at, step))) break;
  }
  return sink.text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t step = 1 + data[0] % 16;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  WireLimits limits;
  limits.max_control_line = 128;
  limits.max_payload = 512;
  limits.headers = (data[0] & 16) != 0;
  limits.connect_first = (data[0] & 32) != 0;
  SLUICE_CHECK(run(bytes, bytes.size() + 1, limits) == run(bytes, step, limits));

  sluice::ClientParser client(1024);
  client.feed(bytes);
  sluice::ServerEvent event;
  while (client.next(event).value_or(false)) {
  }
  return 0;
}
