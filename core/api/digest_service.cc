#include "api/digest_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "stream/pub_ack.h"

namespace sluice {
namespace {

/// Messages copied out of the store, one after the other.
struct Slice {
  struct Place {
    StreamSeq own;
    size_t subject = 0, headers = 0, payload = 0;  ///< their sizes
  };
  std::vector<Place> places{};
  std::string bytes{};

  void clear() {
    places.clear();
    bytes.clear();
  }
  void add(const StoredMessage& m) {
    places.push_back({m.seq, m.subject.size(), m.headers.size(), m.payload.size()});
    bytes.append(m.subject).append(m.headers).append(m.payload);
  }
  void fold_into(DigestFold& fold) const {
    std::string_view rest = bytes;
    const auto take = [&rest](size_t size) {
      const std::string_view part = rest.substr(0, size);
      rest.remove_prefix(size);
      return part;
    };
    for (const Place& place : places) {
      ProvedMessage message{.own = place.own, .subject = take(place.subject), .headers = {}, .payload = {}};
      message.headers = take(place.headers);
      message.payload = take(place.payload);
      if (!fold.add(message)) return;
    }
  }
};

}  // namespace

struct DigestService::Job {
  Job(DigestRequest request, std::string_view stream_name, std::string_view reply_to)
      : fold(std::move(request)), stream(stream_name), reply(reply_to) {}
  // The loop's while a slice is read, the worker's while it is hashed.
  DigestFold fold;
  Slice slice;
  // The loop's.
  const std::string stream;
  const std::string reply;
  WallNanos created = 0;  ///< of the stream: another one of its name is not it
  StreamSeq at{};         ///< next own sequence to look at
  StreamSeq end{};        ///< last one that is looked at
  bool read_to_end = false;
  bool unreadable = false;
  uint64_t bytes = 0;
  MonoTime until{0};
};

DigestService::DigestService(Env& env, Bus& bus, Streams& streams, const std::string& domain)
    : env_(env), bus_(bus), streams_(streams) {
  std::vector<std::string> prefixes{digest_subject_prefix("")};
  if (!domain.empty()) prefixes.push_back(digest_subject_prefix(domain));
  for (const std::string& prefix : prefixes) {
    subscriptions_.push_back(bus.subscribe(prefix + "*", "", [this, size = prefix.size()](const Message& m, const Origin&) {
      on_request(m, size);
    }));
  }
}

DigestService::~DigestService() = default;

void DigestService::on_request(const Message& message, size_t prefix_size) {
  if (message.reply.empty()) return;
  ++requests_;
  const std::string_view stream = message.subject.substr(prefix_size);
  const auto request = parse_digest_request(message.payload);
  if (!request) return refuse(message.reply, request.error().api_code, request.error().detail);
  begin(stream, *request, message.reply);
}

void DigestService::begin(std::string_view name, const DigestRequest& request, std::string_view reply) {
  Stream* stream = streams_.find(name);
  if (stream == nullptr) return refuse(reply, 10059, "stream not found");
  if (jobs_.size() >= kMaxUnderWay) return refuse(reply, 10167, "too many requests");
  auto job = std::make_shared<Job>(request, name, reply);
  job->created = stream->created();
  job->at = request.own.first;
  job->end = std::min(request.own.last, stream->visible_last());
  job->until = env_.clock.now() + kShareTime;
  jobs_.push_back(job);
  go_on(job);
}

Stream* DigestService::stream_of(const Job& job) {
  Stream* stream = streams_.find(job.stream);
  return stream != nullptr && stream->created() == job.created ? stream : nullptr;
}

void DigestService::go_on(const std::shared_ptr<Job>& job) {
  Stream* stream = stream_of(*job);
  if (stream == nullptr) return fail_job(job, 10059, "stream not found");
  read_slice(*job, *stream);
  if (job->unreadable) return fail_job(job, 10077, "the disk refuses to read a message");
  if (!worker_) worker_ = env_.disk_workers.make("digest");
  worker_->submit(
      [job]() -> Status {
        job->slice.fold_into(job->fold);
        return {};
      },
      [this, job](const Status&) { on_hashed(job); });
}

void DigestService::read_slice(Job& job, Stream& stream) {
  StreamStore& store = stream.store();
  job.slice.clear();
  while (job.slice.places.size() < kSlice_count && job.slice.bytes.size() < kSlice_bytes) {
    const uint64_t refused = store.refused_reads();
    const auto stored = job.at > job.end ? std::nullopt : store.load_next(job.at, "");
    if (!stored && store.refused_reads() != refused) {
      job.unreadable = true;
      return;
    }
    if (!stored || stored->seq > job.end) {
      job.read_to_end = true;
      break;
    }
    job.slice.add(*stored);
    job.at = stored->seq.next();
  }
  messages_ += job.slice.places.size();
  job.bytes += job.slice.bytes.size();
}

void DigestService::on_hashed(const std::shared_ptr<Job>& job) {
  DigestAnswer& answer = job->fold.answer();
  if (!answer.next.is_zero() || job->read_to_end) return finish(job);
  if (answer.read >= kShare_count || job->bytes >= kShare_bytes || env_.clock.now() >= job->until) {
    answer.next = job->at;
    return finish(job);
  }
  go_on(job);
}

void DigestService::finish(const std::shared_ptr<Job>& job) {
  jobs_.remove(job);
  const std::string body = encode(job->fold.answer());
  bus_.publish({.subject = job->reply, .reply = "", .headers = "", .payload = body});
}

void DigestService::fail_job(const std::shared_ptr<Job>& job, uint16_t api_code, std::string words) {
  jobs_.remove(job);
  refuse(job->reply, api_code, words);
}

void DigestService::refuse(std::string_view reply, uint16_t api_code, std::string_view words) {
  ++refused_;
  const int status = api_code == 10059 ? 404 : api_code == 10167 ? 429 : api_code == 10077 ? 503 : 400;
  const std::string body = fmt::format(R"({{"type":"{}","error":{{"code":{},"err_code":{},"description":{}}}}})", kDigestResponse,
                                       status, api_code, json_quoted(words));
  bus_.publish({.subject = reply, .reply = "", .headers = "", .payload = body});
}

void DigestService::collect(MetricSink& sink) const {
  sink.counter("sluice_digest_requests_total", "Requests for digests of streams.", {}, static_cast<double>(requests_));
  sink.counter("sluice_digest_refused_total", "Those answered with an error.", {}, static_cast<double>(refused_));
  sink.counter("sluice_digest_messages_total", "Messages read for them.", {}, static_cast<double>(messages_));
  sink.gauge("sluice_digest_running", "Those under way.", {}, static_cast<double>(jobs_.size()));
}

}  // namespace sluice
