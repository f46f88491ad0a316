#include "stream/direct_get.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/headers.h"
#include "base/limits.h"
#include "stream/api_level.h"

namespace sluice {
namespace {

constexpr size_t kMaxWaiting_bytes = 64 * kMiB;
constexpr size_t kMaxSeriesUnderWay = 64;
constexpr size_t kSeriesSlice_count = 256;
constexpr size_t kMaxMultiLast = 1024;
constexpr int64_t kDefaultSeries_bytes = 64 * kMiB;

/// Below 0 it is used up by the first message, of which its size can be taken off.
int64_t bytes_asked(const DirectGetRequest& r) { return r.max_bytes != 0 ? std::max<int64_t>(r.max_bytes, -1) : kDefaultSeries_bytes; }

/// Queue group of all that answer for one stream.
constexpr std::string_view kAnswerers = "_sys_";

std::string api_prefix(std::string_view domain) {
  return domain.empty() ? "$JS.API." : fmt::format("$JS.{}.API.", domain);
}

}  // namespace

struct DirectGet::Outbox {
  explicit Outbox(Bus& b) : bus(b) {}
  Bus& bus;
  size_t waiting_bytes = 0;
};

/// A batch or multi_last on its way: sent a slice a round.
struct DirectGet::Series {
  std::string reply;
  std::string filter;               ///< batch: what is sent
  StreamSeq from;                   ///< batch: next sequence to look at
  std::vector<StreamSeq> chosen;    ///< multi_last: what is sent, ascending
  size_t next_chosen = 0;
  bool is_multi_last = false;
  uint64_t left = 0;                ///< messages that may still be sent
  int64_t bytes_left = 0;           ///< the message that uses them up is the last
  uint64_t pending = 0;             ///< matching messages from here on
  StreamSeq previous;
  StreamSeq up_to;
  bool no_headers = false;
};

DirectGet::DirectGet(Env& env, Bus& bus, Stream& stream, const std::vector<std::string>& names,
                     const StreamsOptions& options)
    : stream_(stream),
      options_(options),
      outbox_(std::make_shared<Outbox>(bus)),
      series_timer_(env.timers.make([this] { send_all_slices(); })) {
  std::vector<std::string> prefixes{api_prefix("")};
  if (!options.domain.empty()) prefixes.push_back(api_prefix(options.domain));
  for (const std::string& prefix : prefixes) {
    for (const std::string& name : names) {
      const std::string subject = fmt::format("{}DIRECT.GET.{}", prefix, name);
      subscriptions_.push_back(bus.subscribe(subject, kAnswerers,
                                             [this](const Message& m, const Origin&) { on_request(m); }));
      subscriptions_.push_back(bus.subscribe(
          subject + ".>", kAnswerers, [this](const Message& m, const Origin&) { on_subject_request(m); }));
    }
  }
}

DirectGet::~DirectGet() = default;

void DirectGet::stop() {
  stopped_ = true;
  subscriptions_.clear();
  series_timer_->stop();
}

bool DirectGet::level_refused(const Message& message) {
  if (api_level_suffices(message.headers, options_.api_level)) return false;
  answer_status(message.reply, 412, "Required Api Level");
  return true;
}

void DirectGet::on_request(const Message& message) {
  if (message.reply.empty() || level_refused(message)) return;
  if (message.payload.empty()) return answer_status(message.reply, 408, "Empty Request");
  const auto request = parse_direct_get(message.payload, UnknownKeys::kIgnore);
  if (!request) return answer_status(message.reply, 408, "Malformed Request");
  if (request->is_empty()) return answer_status(message.reply, 408, "Empty Request");
  if (!is_legal_direct_get(*request)) return answer_status(message.reply, 408, "Bad Request");
  if (!request->multi_last.empty()) return get_multi_last(*request, message.reply);
  if (request->batch > 0) return get_series(*request, message.reply);
  get(*request, message.reply);
}

void DirectGet::on_subject_request(const Message& message) {
  if (message.reply.empty() || level_refused(message)) return;
  if (!is_empty_direct_get(message.payload)) return answer_status(message.reply, 408, "Bad Request");
  // The subject is what follows the stream's name.
  const std::string_view marker = "API.DIRECT.GET.";
  const size_t at = message.subject.find(marker);
  DirectGetRequest request;
  request.last_by_subj = message.subject.substr(message.subject.find('.', at + marker.size()) + 1);
  get(request, message.reply);
}

void DirectGet::get(const DirectGetRequest& request, std::string_view reply) {
  const uint64_t refused = stream_.store().refused_reads();
  if (const auto stored = look_up_message(stream_.store(), request))
    answer(reply, *stored, request.no_hdr);
  else if (stream_.store().refused_reads() != refused)
    answer_status(reply, 500, "Message Unreadable");  // it may be there: the reference says 404
  else
    answer_status(reply, 404, "Message Not Found");
}

std::string DirectGet::message_headers(const StoredMessage& m) const {
  std::string block;
  block.reserve(m.headers.size() + m.subject.size() + stream_.config().name.size() + 128);
  if (m.headers.size() > 2)
    block.append(m.headers.substr(0, m.headers.size() - 2));  // without the empty line
  else
    block.append(kHeaderPreamble).append("\r\n");
  fmt::format_to(std::back_inserter(block),
                 "Nats-Stream: {}\r\nNats-Subject: {}\r\nNats-Sequence: {}\r\nNats-Time-Stamp: ",
                 stream_.config().name, m.subject, m.seq.value());
  append_rfc3339(block, m.time);
  block += "\r\n\r\n";
  return block;
}

void DirectGet::answer(std::string_view reply, const StoredMessage& message, bool no_headers) {
  send(reply, no_headers ? std::string() : message_headers(message), message.payload);
}

void DirectGet::answer_status(std::string_view reply, uint16_t code, std::string_view text) {
  send(reply, make_status_block(code, text), "");
}

/// At once when everything is durable, else as soon as it is.
void DirectGet::send(std::string_view reply, std::string headers, std::string_view payload) {
  const size_t bytes = reply.size() + headers.size() + payload.size();
  if (outbox_->waiting_bytes + bytes > kMaxWaiting_bytes) {
    outbox_->bus.publish({.subject = reply,
                          .reply = "",
                          .headers = "NATS/1.0 429 Too Many Requests\r\n\r\n",
                          .payload = ""});
    return;
  }
  outbox_->waiting_bytes += bytes;
  stream_.when_durable([outbox = outbox_, bytes, to = std::string(reply),
                        block = std::move(headers), body = std::string(payload)] {
    outbox->waiting_bytes -= bytes;
    outbox->bus.publish({.subject = to, .reply = "", .headers = block, .payload = body});
  });
}

// -- series: batch and multi_last

void DirectGet::get_series(const DirectGetRequest& r, std::string_view reply) {
  StreamStore& store = stream_.store();
  auto series = std::make_unique<Series>();
  series->reply = reply;
  series->filter = r.next_by_subj.empty() ? ">" : r.next_by_subj;
  series->from = r.start_time ? store.seq_at_time(*r.start_time)
                              : StreamSeq(r.seq > 0 ? r.seq : 1);
  series->left = r.batch;
  series->bytes_left = bytes_asked(r);
  series->pending = store.count_matching(series->from, series->filter);
  series->no_headers = r.no_hdr;
  if (series->pending == 0) return answer_status(reply, 404, "Message Not Found");
  start_series(std::move(series));
}

void DirectGet::get_multi_last(const DirectGetRequest& r, std::string_view reply) {
  StreamStore& store = stream_.store();
  StreamSeq up_to = store.state().last_seq;
  if (r.up_to_seq > 0) up_to = std::min(up_to, StreamSeq(r.up_to_seq));
  if (r.up_to_time) {
    const StreamSeq after = store.seq_at_time(*r.up_to_time + 1);
    up_to = after.is_zero() ? up_to : std::min(up_to, after.prev());
  }
  std::set<StreamSeq> found;
  std::vector<std::pair<std::string, StreamSeq>> newer;  // subjects whose last is beyond up_to
  bool too_many = false;
  for (const std::string& filter : r.multi_last) {
    if (filter.empty()) continue;  // no subject is empty
    store.each_subject(filter, [&](std::string_view subject, const SubjectState& state) {
      if (state.last <= up_to) {
        found.insert(state.last);
      } else if (state.first <= up_to) {
        newer.emplace_back(subject, state.first);
      }
      too_many = found.size() + newer.size() > kMaxMultiLast;
      return !too_many;
    });
  }
  if (too_many) return answer_status(reply, 413, "Too Many Results");
  for (const auto& [subject, first] : newer) {
    StreamSeq last;
    for (StreamSeq from = first;;) {
      const auto stored = store.load_next(from, subject);
      if (!stored || stored->seq > up_to) break;
      last = stored->seq;
      from = last.next();
    }
    if (!last.is_zero()) found.insert(last);
  }
  if (found.empty()) return answer_status(reply, 404, "No Results");
  // The last page of several may be empty: it ends like the others.
  found.erase(found.begin(), found.lower_bound(StreamSeq(r.seq)));
  auto series = std::make_unique<Series>();
  series->reply = reply;
  series->is_multi_last = true;
  series->chosen.assign(found.begin(), found.end());
  series->left = r.batch > 0 ? r.batch : UINT64_MAX;
  series->bytes_left = bytes_asked(r);
  series->pending = found.size();
  series->up_to = r.up_to_seq > 0 ? StreamSeq(r.up_to_seq) : up_to;
  start_series(std::move(series));
}

void DirectGet::start_series(std::unique_ptr<Series> series) {
  if (series_.size() >= kMaxSeriesUnderWay)
    return answer_status(series->reply, 429, "Too Many Requests");
  series_.push_back(std::move(series));
  if (!series_timer_->active()) series_timer_->start(std::chrono::nanoseconds(0));
}

void DirectGet::send_all_slices() {
  std::erase_if(series_, [this](const std::unique_ptr<Series>& s) { return send_slice(*s); });
  if (!series_.empty() && !stopped_) series_timer_->start(std::chrono::nanoseconds(0));
}

/// @return true when the series is complete.
bool DirectGet::send_slice(Series& s) {
  if (stopped_) return true;
  StreamStore& store = stream_.store();
  for (size_t sent = 0; sent < kSeriesSlice_count; ++sent) {
    if (stopped_) return true;  // an answer's receiver deleted the stream
    const uint64_t refused = store.refused_reads();
    std::optional<StoredMessage> stored;
    if (s.left > 0 && s.is_multi_last) {
      // A message that went meanwhile is passed over.
      while (!stored && s.next_chosen < s.chosen.size()) stored = store.load(s.chosen[s.next_chosen++]);
      if (stored) s.pending = s.chosen.size() - s.next_chosen;
    } else if (s.left > 0) {
      stored = store.load_next(s.from, s.filter);
      if (stored && s.pending > 0) --s.pending;
    }
    if (store.refused_reads() != refused) {
      answer_status(s.reply, 500, "Message Unreadable");
      return true;
    }
    if (!stored) {
      std::string end = make_status_block(204, "EOB");
      append_header(end, "Nats-Num-Pending", std::to_string(s.pending));
      append_header(end, "Nats-Last-Sequence", std::to_string(s.previous.value()));
      if (s.is_multi_last)
        append_header(end, "Nats-UpTo-Sequence", std::to_string(s.up_to.value()));
      send(s.reply, std::move(end), "");
      return true;
    }
    std::string headers;
    if (!s.no_headers) {
      headers = message_headers(*stored);
      append_header(headers, "Nats-Num-Pending", std::to_string(s.pending));
      append_header(headers, "Nats-Last-Sequence", std::to_string(s.previous.value()));
    }
    s.previous = stored->seq;
    s.from = stored->seq.next();
    s.bytes_left -= static_cast<int64_t>(stored->subject.size() + stored->headers.size() + stored->payload.size());
    s.left = s.bytes_left > 0 ? s.left - 1 : 0;
    send(s.reply, std::move(headers), stored->payload);
  }
  return false;
}

}  // namespace sluice
