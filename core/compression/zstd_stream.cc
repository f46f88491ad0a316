#include "compression/zstd_stream.h"

#include <zstd.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

/// 200 MB/s and more; higher ones gain a few percent on small messages and cost twice.
constexpr int kLevel = 3;

/// A frame without content size, checksum or dictionary, whose window is ours (RFC 8878, 3.1.1.1).
constexpr char kStoredFrame[] = {kZstdFirstByte, '\xb5', '\x2f', '\xfd', 0, (kZstdWindowLog - 10) << 3};
constexpr size_t kMaxBlock_bytes = 128 * 1024;

/// 3.1.1.2: whether it is the last one, the type (0: as it is), the size.
void append_raw_block(std::string& out, std::string_view bytes, bool is_last) {
  const size_t head = bytes.size() << 3 | (is_last ? 1 : 0);
  for (const int shift : {0, 8, 16}) out.push_back(static_cast<char>(head >> shift & 0xff));
  out.append(bytes);
}

}  // namespace

struct ZstdWriter::Context {
  ZSTD_CCtx* zstd = ZSTD_createCCtx();
  DictionaryPtr dictionary;  ///< referred to by the frame
  ~Context() { ZSTD_freeCCtx(zstd); }
};

ZstdWriter::ZstdWriter() : context_(std::make_unique<Context>()) {
  SLUICE_CHECK(context_->zstd != nullptr);
  ZSTD_CCtx_setParameter(context_->zstd, ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context_->zstd, ZSTD_c_windowLog, kZstdWindowLog);
}

ZstdWriter::~ZstdWriter() = default;

void ZstdWriter::end_frame(std::string& out) {
  if (std::exchange(storing_, false)) return append_raw_block(out, {}, true);
  char end[64];
  ZSTD_inBuffer in{nullptr, 0, 0};
  ZSTD_outBuffer made{end, sizeof end, 0};
  SLUICE_CHECK(ZSTD_compressStream2(context_->zstd, &made, &in, ZSTD_e_end) == 0);
  out.append(end, made.pos);
}

void ZstdWriter::store(std::string_view bytes, std::string& out) {
  if (!storing_) {
    end_frame(out);
    out.append(kStoredFrame, sizeof kStoredFrame);
    storing_ = true;
  }
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kMaxBlock_bytes))) append_raw_block(out, bytes.substr(0, kMaxBlock_bytes), false);
}

void ZstdWriter::use(DictionaryPtr dictionary) {
  context_->dictionary = std::move(dictionary);
  const std::string& content = context_->dictionary->content;
  SLUICE_CHECK(!ZSTD_isError(ZSTD_CCtx_refPrefix(context_->zstd, content.data(), content.size())));
}

void ZstdWriter::write(std::string_view bytes, std::string& out) {
  if (storing_) end_frame(out);
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  size_t left = 1;
  while (left != 0) {
    const size_t before = out.size();
    out.resize(before + ZSTD_compressBound(in.size - in.pos) + 64);
    ZSTD_outBuffer made{out.data() + before, out.size() - before, 0};
    left = ZSTD_compressStream2(context_->zstd, &made, &in, ZSTD_e_flush);
    out.resize(before + made.pos);
    SLUICE_CHECK(!ZSTD_isError(left));  // memory alone
  }
  SLUICE_CHECK(in.pos == in.size);
}

struct ZstdReader::Context {
  ZSTD_DCtx* zstd = ZSTD_createDCtx();
  bool in_frame = false;
  DictionaryPtr expected;    ///< of a frame to come
  size_t frames_before = 0;  ///< it
  DictionaryPtr dictionary;  ///< referred to by the frame
  void begin_frame();
  ~Context() { ZSTD_freeDCtx(zstd); }
};

ZstdReader::ZstdReader() : context_(std::make_unique<Context>()) {
  SLUICE_CHECK(context_->zstd != nullptr);
  ZSTD_DCtx_setParameter(context_->zstd, ZSTD_d_windowLogMax, kZstdWindowLog);
}

ZstdReader::~ZstdReader() = default;

void ZstdReader::expect(DictionaryPtr dictionary, size_t behind_frames) {
  context_->expected = std::move(dictionary);
  context_->frames_before = behind_frames;
}

void ZstdReader::Context::begin_frame() {
  in_frame = true;
  if (!expected || frames_before-- != 0) return;
  dictionary = std::exchange(expected, nullptr);
  SLUICE_CHECK(!ZSTD_isError(ZSTD_DCtx_refPrefix(zstd, dictionary->content.data(), dictionary->content.size())));
}

Result<size_t> ZstdReader::read(std::string_view& in, std::span<char> into) {
  ZSTD_inBuffer from{in.data(), in.size(), 0};
  ZSTD_outBuffer made{into.data(), into.size(), 0};
  while (made.pos < made.size) {
    const size_t before = from.pos + made.pos;
    if (!context_->in_frame) {
      if (from.pos == from.size) break;  // a call without a byte would begin a frame, too early for its dictionary
      context_->begin_frame();
    }
    const size_t left = ZSTD_decompressStream(context_->zstd, &made, &from);
    if (ZSTD_isError(left)) return fail(Errc::kCorrupt, std::string("zstd: ") + ZSTD_getErrorName(left));
    if (from.pos + made.pos == before) break;
    context_->in_frame = left != 0;
  }
  in.remove_prefix(from.pos);
  return made.pos;
}

}  // namespace sluice
