#include "gateway/cli/stream_reader.h"

#include <csignal>
#include <optional>

#include "uv/signals.h"

namespace sluice {

Status read_stream(Session& session, StreamWatchOptions options, bool follow,
                   const std::function<bool(const ConsumedMessage&)>& visit) {
  bool over = false;
  std::optional<Error> trouble;
  Signals signals(session.loop(), {SIGINT, SIGTERM}, [&](int) { over = true; });
  {
    StreamWatch watch(session.env(), session.client(), std::move(options),
                      {.on_message =
                           [&](const ConsumedMessage& message) {
                             if (!over && !visit(message)) over = true;
                           },
                       .on_current = [&] { over = over || !follow; },
                       .on_trouble = [&](const Error& why) { trouble = why; }});
    const auto done = [&] { return over || trouble; };
    while (!done()) (void)session.loop().run_until(done, std::chrono::hours(1));
  }
  if (trouble) return std::unexpected(*trouble);
  // The consumer's end goes out before the process does: wait for a round trip.
  (void)session.api("INFO", "");
  return {};
}

}  // namespace sluice
