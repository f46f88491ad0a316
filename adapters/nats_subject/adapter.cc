#include "adapters/nats_subject/adapter.h"

#include <utility>

#include "adapters/subject_adapter.h"
#include "base/headers.h"
#include "subject/transform.h"

namespace sluice {
namespace {

constexpr std::chrono::minutes kDuplicateWindow{2};

class AnyMessageReader final : public SubjectReader {
 public:
  AnyMessageReader(Random& random, SubjectTransform transform)
      : random_(random), transform_(std::move(transform)) {}

  std::string_view kind() const override { return "nats_subject"; }

  SubjectReading read(const LinkMessage& message, const ReadAt&) override {
    SubjectRecord record;
    const uint64_t dice = transform_.uses_random() ? random_.u64() : 0;
    if (!transform_.map(message.subject, dice, record.subject))
      return std::unexpected(
          SubjectRejection{"bad_subject", "the transform gives no subject for it"});
    record.headers = message.headers;
    record.payload = message.payload;
    record.msg_id = find_header(message.headers, "Nats-Msg-Id").value_or("");
    if (!record.msg_id.empty()) remove_header(record.headers, "Nats-Msg-Id");
    remove_headers_with_prefix(record.headers, "Nats-Expected-");
    remove_header(record.headers, "Nats-Rollup");
    record.lane = message.subject;
    return record;
  }

 private:
  Random& random_;
  const SubjectTransform transform_;
};

/// The literal tokens at the front of a destination and ">": what every mapped subject lies below.
std::string stream_subject(std::string_view destination) {
  std::string out;
  while (!destination.empty()) {
    const size_t dot = destination.find('.');
    const std::string_view token = destination.substr(0, dot);
    if (token.find_first_of("*>{$") != std::string_view::npos) return out.empty() ? out : out + ">";
    out.append(token).append(".");
    if (dot == std::string_view::npos) break;
    destination.remove_prefix(dot + 1);
  }
  if (!out.empty()) out.pop_back();
  return out;
}

}  // namespace

Result<std::unique_ptr<Adapter>> make_nats_subject(Env& env, NatsLink& network,
                                                   StreamClient& target,
                                                   NatsSubjectOptions options) {
  if (options.destination.empty()) options.destination = options.name + ".>";
  auto transform = SubjectTransform::make(options.source, options.destination);
  if (!transform) return std::unexpected(transform.error());
  SubjectAdapterOptions flow;
  flow.stream.subjects = {stream_subject(options.destination)};
  if (flow.stream.subjects.front().empty())
    return fail(Errc::kInvalidArgument,
                "destination: its first token must be plain text, so that the stream's subjects are known");
  flow.name = std::move(options.name);
  flow.ingest_subjects = std::move(options.ingest_subjects);
  flow.queue_group = std::move(options.queue_group);
  flow.max_in_flight = options.max_in_flight;
  flow.answer = options.answer;
  flow.stream.name = std::move(options.stream);
  flow.stream.duplicate_window = kDuplicateWindow;
  return make_subject_adapter(env, network, target, std::move(flow),
                              std::make_unique<AnyMessageReader>(env.random, std::move(*transform)));
}

}  // namespace sluice
