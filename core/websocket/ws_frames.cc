#include "websocket/ws_frames.h"

#include <wslay/wslay.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace sluice {
namespace {

struct Sink {
  std::string* out = nullptr;
  uint32_t key = 0;
};

ssize_t append_bytes(const uint8_t* bytes, size_t size, int, void* user) noexcept {
  static_cast<Sink*>(user)->out->append(reinterpret_cast<const char*>(bytes), size);
  return static_cast<ssize_t>(size);
}

int give_key(uint8_t* key, size_t size, void* user) noexcept {
  std::memcpy(key, &static_cast<Sink*>(user)->key, std::min(size, sizeof(uint32_t)));
  return 0;
}

void append_frame(std::string& out, const WsFrameHeader& header, std::string_view payload,
                  const uint32_t* key) {
  Sink sink{&out, key == nullptr ? 0 : *key};
  const wslay_frame_callbacks callbacks{&append_bytes, nullptr, &give_key};
  wslay_frame_context_ptr context = nullptr;
  SLUICE_CHECK(wslay_frame_context_init(&context, &callbacks, &sink) == 0);
  wslay_frame_iocb frame{};
  frame.fin = header.fin ? 1 : 0;
  frame.rsv = header.rsv1 ? WSLAY_RSV1_BIT : WSLAY_RSV_NONE;
  frame.opcode = static_cast<uint8_t>(header.opcode);
  frame.mask = key == nullptr ? 0 : 1;
  frame.payload_length = payload.size();
  do {
    frame.data = reinterpret_cast<const uint8_t*>(payload.data());
    frame.data_length = payload.size();
    const ssize_t sent = wslay_frame_send(context, &frame);
    SLUICE_CHECK(sent >= 0);  // the sink takes everything
    payload.remove_prefix(static_cast<size_t>(sent));
  } while (!payload.empty());
  wslay_frame_context_free(context);
}

}  // namespace

class WsFrameReader::State {
 public:
  State() {
    const wslay_frame_callbacks callbacks{nullptr, &State::read, nullptr};
    SLUICE_CHECK(wslay_frame_context_init(&context_, &callbacks, this) == 0);
  }
  ~State() { wslay_frame_context_free(context_); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void feed(std::string_view bytes) { in_ = bytes; }

  Outcome next(WsFramePart& part) {
    wslay_frame_iocb frame{};
    const ssize_t got = wslay_frame_recv(context_, &frame);
    if (got == WSLAY_ERR_WANT_READ) return Outcome::kMore;
    if (got < 0) return Outcome::kBroken;
    part.begins = offset_ == 0;
    offset_ += frame.data_length;
    part.ends = offset_ == frame.payload_length;
    if (part.ends) offset_ = 0;
    part.opcode = static_cast<WsOpcode>(frame.opcode);
    part.fin = frame.fin != 0;
    part.rsv1 = wslay_get_rsv1(frame.rsv) != 0;
    part.masked = frame.mask != 0;
    part.data = {reinterpret_cast<const char*>(frame.data), frame.data_length};
    const bool other_bits = (frame.rsv & (WSLAY_RSV2_BIT | WSLAY_RSV3_BIT)) != 0;
    const bool known = frame.opcode <= 2 || (frame.opcode >= 8 && frame.opcode <= 10);
    return other_bits || !known ? Outcome::kBroken : Outcome::kPart;
  }

 private:
  static ssize_t read(uint8_t* into, size_t size, int, void* user) noexcept {
    auto& in = static_cast<State*>(user)->in_;
    const size_t taken = std::min(size, in.size());
    if (taken == 0) return -1;  // wslay: want more
    std::memcpy(into, in.data(), taken);
    in.remove_prefix(taken);
    return static_cast<ssize_t>(taken);
  }

  wslay_frame_context_ptr context_ = nullptr;
  std::string_view in_;
  uint64_t offset_ = 0;  ///< of the next part in its frame
};

WsFrameReader::WsFrameReader() : state_(std::make_unique<State>()) {}
WsFrameReader::~WsFrameReader() = default;
void WsFrameReader::feed(std::string_view bytes) { state_->feed(bytes); }
WsFrameReader::Outcome WsFrameReader::next(WsFramePart& part) { return state_->next(part); }

void append_ws_frame(std::string& out, const WsFrameHeader& header, std::string_view payload) {
  append_frame(out, header, payload, nullptr);
}

void append_masked_ws_frame(std::string& out, const WsFrameHeader& header, std::string_view payload,
                            uint32_t key) {
  append_frame(out, header, payload, &key);
}

}  // namespace sluice
