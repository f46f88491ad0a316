#include "gateway/cli/http_get.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

#include "io/transport.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kLimit{5};
constexpr size_t kMaxPage_bytes = 16 * 1024 * 1024;

class PageReader final : public TransportHandler {
 public:
  void on_bytes(std::string_view bytes) override {
    if (text.size() + bytes.size() > kMaxPage_bytes) {
      too_large = true;
      done = true;
      return;
    }
    text.append(bytes);
  }
  void on_drained() override {}
  void on_closed(const Error&) override { done = true; }

  std::string text;
  bool done = false;
  bool too_large = false;
};

}  // namespace

Result<std::string> http_get(UvEnv& world, const std::string& host, uint16_t port, const std::string& path) {
  PageReader reader;
  std::unique_ptr<Transport> transport;
  std::optional<Error> failed;
  Ticket connecting = world.env().network.connect(host, port, [&](Result<std::unique_ptr<Transport>> connected) {
    if (!connected) {
      failed = connected.error();
      return;
    }
    transport = *std::move(connected);
    transport->start(reader);
    // HTTP/1.0: the server closes behind the page, which has no chunks.
    std::string request = fmt::format("GET {} HTTP/1.0\r\nHost: {}:{}\r\n\r\n", path, host, port);
    transport->write(request);
  });
  const std::string where = fmt::format("http://{}:{}{}", host, port, path);
  if (!world.loop().run_until([&] { return failed || reader.done; }, kLimit)) return fail(Errc::kTimeout, where + " does not answer");
  if (failed) return fail(Errc::kClosed, fmt::format("{}: {}", where, failed->detail));
  if (reader.too_large) return fail(Errc::kFull, where + ": the page is larger than 16 MiB");
  const size_t body = reader.text.find("\r\n\r\n");
  const size_t blank = reader.text.find(' ');
  if (body == std::string::npos || blank == std::string::npos) return fail(Errc::kCorrupt, where + ": not an HTTP answer");
  if (reader.text.compare(blank + 1, 3, "200") != 0)
    return fail(Errc::kRefused, fmt::format("{}: {}", where, reader.text.substr(blank + 1, reader.text.find('\r') - blank - 1)));
  return reader.text.substr(body + 4);
}

}  // namespace sluice
