#include "client/kv_watch.h"

#include <algorithm>
#include <utility>

#include "base/headers.h"
#include "client/parse_number.h"

namespace sluice {
namespace {

StreamWatchOptions stream_options(std::string stream, const std::string& prefix, const KvWatchOptions& options) {
  StreamWatchOptions out{.stream = std::move(stream), .headers_only = options.headers_only};
  for (const std::string& filter : options.filters) out.filters.push_back(prefix + filter);
  if (out.filters.empty()) out.filters.push_back(prefix + ">");
  out.from = options.updates_only ? WatchFrom::kNew : options.history ? WatchFrom::kAll : WatchFrom::kLastOfEachSubject;
  return out;
}

}  // namespace

KvOperation kv_operation_of(std::string_view headers) {
  if (headers.empty()) return KvOperation::kPut;
  const auto operation = find_header(headers, "KV-Operation");
  if (operation == "DEL") return KvOperation::kDelete;
  if (operation == "PURGE") return KvOperation::kPurge;
  const auto reason = find_header(headers, "Nats-Marker-Reason");
  if (reason == "MaxAge" || reason == "Purge") return KvOperation::kPurge;
  if (reason == "Remove") return KvOperation::kDelete;
  return KvOperation::kPut;
}

KvWatch::KvWatch(Env& env, StreamClient& client, std::string stream, std::string prefix, KvWatchOptions options,
                 KvWatchEvents events)
    : prefix_(std::move(prefix)),
      events_(std::move(events)),
      watch_(env, client, stream_options(std::move(stream), prefix_, options),
             {.on_message = [this](const ConsumedMessage& message) { on_message(message); },
              .on_current =
                  [this] {
                    if (events_.on_current) events_.on_current();
                  },
              .on_trouble =
                  [this](const Error& why) {
                    if (events_.on_trouble) events_.on_trouble(why);
                  }}) {}

void KvWatch::on_message(const ConsumedMessage& message) {
  if (!events_.on_entry) return;
  KvEntry entry;
  entry.key = message.subject.substr(std::min(prefix_.size(), message.subject.size()));
  entry.value = message.payload;
  entry.revision = message.stream_seq;
  entry.time = message.time;
  entry.operation = kv_operation_of(message.headers);
  entry.size = message.payload.size();
  if (const auto size = find_header(message.headers, "Nats-Msg-Size"))
    entry.size = parse_decimal<uint64_t>(*size).value_or(0);
  events_.on_entry(entry);
}

}  // namespace sluice
