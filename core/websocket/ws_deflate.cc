#include "websocket/ws_deflate.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/limits.h"

namespace sluice {
namespace {

constexpr int kRawWindow_bits = -15;
constexpr std::string_view kTail("\x00\x00\xff\xff", 4);

Bytef* bytes_of(std::string_view text) {
  // zlib's interface is older than const; it does not write there.
  return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
}

}  // namespace

class WsDeflate::State {
 public:
  State() {
    SLUICE_CHECK(deflateInit2(&out_, Z_BEST_SPEED, Z_DEFLATED, kRawWindow_bits, 8,
                              Z_DEFAULT_STRATEGY) == Z_OK);
    SLUICE_CHECK(inflateInit2(&in_, kRawWindow_bits) == Z_OK);
  }
  ~State() {
    deflateEnd(&out_);
    inflateEnd(&in_);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void deflate(std::string_view message, std::string& out) {
    SLUICE_CHECK(deflateReset(&out_) == Z_OK);
    out_.next_in = bytes_of(message);
    out_.avail_in = static_cast<uInt>(message.size());
    do {
      out_.next_out = chunk_.data();
      out_.avail_out = static_cast<uInt>(chunk_.size());
      const int done = ::deflate(&out_, Z_SYNC_FLUSH);
      SLUICE_CHECK(done == Z_OK || done == Z_BUF_ERROR);
      out.append(reinterpret_cast<char*>(chunk_.data()), chunk_.size() - out_.avail_out);
    } while (out_.avail_out == 0);
    SLUICE_CHECK(out.ends_with(kTail));
    out.resize(out.size() - kTail.size());
  }

  Status inflate(std::string_view compressed, size_t max_bytes, std::string& out) {
    SLUICE_CHECK(inflateReset(&in_) == Z_OK);
    const size_t before = out.size();
    for (const std::string_view part : {compressed, kTail}) {
      in_.next_in = bytes_of(part);
      in_.avail_in = static_cast<uInt>(part.size());
      do {
        in_.next_out = chunk_.data();
        in_.avail_out = static_cast<uInt>(chunk_.size());
        const int done = ::inflate(&in_, Z_SYNC_FLUSH);
        if (done == Z_STREAM_END) {
          // A final block is allowed; what stands behind it is not.
          const bool rest = in_.avail_in != 0 && part.data() != kTail.data();
          if (rest) return broken(out, before);
          return take(max_bytes, before, out);
        }
        if (done != Z_OK && done != Z_BUF_ERROR) return broken(out, before);
        if (Status fits = take(max_bytes, before, out); !fits) return fits;
      } while (in_.avail_out == 0);
    }
    return {};
  }

 private:
  Status take(size_t max_bytes, size_t before, std::string& out) {
    const size_t got = chunk_.size() - in_.avail_out;
    if (out.size() - before + got > max_bytes) {
      out.resize(before);
      return fail(Errc::kFull, "the inflated message is too large");
    }
    out.append(reinterpret_cast<char*>(chunk_.data()), got);
    return {};
  }
  static Status broken(std::string& out, size_t before) {
    out.resize(before);
    return fail(Errc::kCorrupt, "the message is no deflate stream");
  }

  z_stream out_{};
  z_stream in_{};
  std::array<Bytef, 16 * kKiB> chunk_;
};

WsDeflate::WsDeflate() : state_(std::make_unique<State>()) {}
WsDeflate::~WsDeflate() = default;
void WsDeflate::deflate(std::string_view message, std::string& out) {
  state_->deflate(message, out);
}
Status WsDeflate::inflate(std::string_view compressed, size_t max_bytes, std::string& out) {
  return state_->inflate(compressed, max_bytes, out);
}

}  // namespace sluice
