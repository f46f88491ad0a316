#include "adapters/choria_registration/unpack.h"

#include <simdjson.h>
#include <zlib.h>

#include <array>

#include "adapters/choria_registration/go_json.h"
#include "base/base64.h"

namespace sluice {
namespace {

constexpr int kGzipWindow_bits = 15 + 16;  // 16: a gzip header, as zlib's manual says

std::optional<std::string> inflate_gzip(std::string_view packed, size_t max_bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindow_bits) != Z_OK) return std::nullopt;
  // zlib's interface is older than const; it does not write there.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::array<char, 16 * 1024> chunk;
  std::string out;
  int outcome = Z_OK;
  while (outcome == Z_OK && out.size() <= max_bytes) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    outcome = ::inflate(&stream, Z_NO_FLUSH);
    out.append(chunk.data(), chunk.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (outcome != Z_STREAM_END || out.size() > max_bytes) return std::nullopt;
  return out;
}

/// The bare value, as it is written into the object.
std::optional<std::string> content_of(std::string_view protocol, const std::string& bytes) {
  if (protocol == "choria:registration:filecontent:1") return "\"" + base64_encode(bytes) + "\"";
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::object inventory;
  if (protocol != "choria:registration:inventorycontent:1" || parser.parse(bytes).get(inventory) != simdjson::SUCCESS) return std::nullopt;
  return bytes;
}

}  // namespace

std::optional<std::string> unpack_registration(std::string_view message, size_t max_bytes) {
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::object registration;
  std::string_view packed, protocol;
  if (!message.contains("\"zcontent\"") || parser.parse(message.data(), message.size()).get(registration) != simdjson::SUCCESS ||
      registration["zcontent"].get(packed) != simdjson::SUCCESS || registration["protocol"].get(protocol) != simdjson::SUCCESS)
    return std::nullopt;
  const auto gzip = base64_decode(packed);
  const auto bytes = gzip ? inflate_gzip(*gzip, max_bytes) : std::nullopt;
  const auto content = bytes ? content_of(protocol, *bytes) : std::nullopt;
  if (!content) return std::nullopt;
  std::string out = "{";
  for (const auto [key, value] : registration) {
    if (out.size() > 1) out.push_back(',');
    append_go_string(out, key == "zcontent" ? "content" : key);
    out.push_back(':');
    if (key == "zcontent") {
      out += *content;
    } else if (std::string_view text; value.get(text) == simdjson::SUCCESS) {
      append_go_string(out, text);
    } else {
      out += simdjson::minify(value);
    }
  }
  out.push_back('}');
  if (out.size() > max_bytes) return std::nullopt;
  return out;
}

}  // namespace sluice
