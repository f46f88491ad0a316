#include "server/trace_encoding.h"

#include <zlib.h>

#include "archive/s2_stream.h"
#include "base/check.h"
#include "base/headers.h"

namespace sluice {
namespace {

constexpr std::string_view kName = "Content-Encoding";

std::string gzipped(std::string_view text) {
  constexpr int kGzipWindow = 15 + 16;
  constexpr int kMemoryLevel = 8;
  z_stream z{};
  SLUICE_CHECK(deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, kMemoryLevel,
                            Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&z, text.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // zlib does not write there
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  SLUICE_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);  // the bound is one
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string snapped(std::string_view text) {
  S2StreamWriter writer(S2StreamWriter::Framing::kSnappy);
  writer.write(text);
  writer.flush();
  return writer.take();
}

}  // namespace

std::string encode_trace(std::string_view json, TraceEncoding encoding, std::string& headers) {
  switch (encoding) {
    case TraceEncoding::kNone:
      return std::string(json);
    case TraceEncoding::kGzip:
      append_header(headers, kName, "gzip");
      return gzipped(json);
    case TraceEncoding::kSnappy:
      append_header(headers, kName, "snappy");
      return snapped(json);
    case TraceEncoding::kUnknown:
      append_header(headers, kName, "identity");
      return std::string(json);
  }
  return {};
}

}  // namespace sluice
