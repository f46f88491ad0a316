// A libuv handle whose owner dies at once and whose memory is freed when libuv lets go of it.
// Seen only by the .cc files of this room: it brings in <uv.h>.
#pragma once

#include <uv.h>

#include <memory>
#include <string>

#include "base/error.h"

namespace sluice {

/// Loop thread only. A late callback finds `data == nullptr` and returns.
template <class H>
class UvHandle {
  struct Closer {
    bool armed = false;  // uv_*_init succeeded: libuv now knows this memory
    void operator()(H* handle) const noexcept {
      if (!armed) {
        delete handle;
        return;
      }
      handle->data = nullptr;
      uv_close(reinterpret_cast<uv_handle_t*>(handle),
               [](uv_handle_t* closed) { delete reinterpret_cast<H*>(closed); });
    }
  };
  std::unique_ptr<H, Closer> box_ = std::unique_ptr<H, Closer>(new H{});

 public:
  H* get() const { return box_.get(); }
  uv_handle_t* handle() const { return reinterpret_cast<uv_handle_t*>(box_.get()); }
  uv_stream_t* stream() const { return reinterpret_cast<uv_stream_t*>(box_.get()); }
  /// After a successful uv_*_init: names the owner that callbacks find in `data`.
  void armed(void* owner) {
    box_->data = owner;
    box_.get_deleter().armed = true;
  }
  void set_owner(void* owner) { box_->data = owner; }
  void close() { box_.reset(); }
  explicit operator bool() const { return box_ != nullptr; }
};

/// "listen 127.0.0.1:4222: address already in use" from a libuv code.
inline Error uv_error(int code, const std::string& what) {
  Errc errc = Errc::kIo;
  if (code == UV_EOF || code == UV_ECONNRESET || code == UV_EPIPE) errc = Errc::kClosed;
  if (code == UV_ETIMEDOUT) errc = Errc::kTimeout;
  if (code == UV_ECONNREFUSED) errc = Errc::kIo;
  return Error{errc, 0, what + ": " + uv_strerror(code)};
}

}  // namespace sluice
