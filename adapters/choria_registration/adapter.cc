#include "adapters/choria_registration/adapter.h"

#include <utility>

#include "adapters/choria_registration/envelopes.h"
#include "adapters/subject_adapter.h"

namespace sluice {
namespace {

/// A retry after an outage of the target shorter than this can't store anything twice.
constexpr std::chrono::minutes kDuplicateWindow{10};
constexpr std::string_view kPlaceholder = "%s";

std::string with_sender(std::string_view pattern, std::string_view sender) {
  std::string out;
  for (size_t at; (at = pattern.find(kPlaceholder)) != std::string_view::npos;) {
    out.append(pattern.substr(0, at)).append(sender);
    pattern.remove_prefix(at + kPlaceholder.size());
  }
  return out.append(pattern);
}

/// What the stream listens on, so that every sender fits: the pattern up to its placeholder, and
/// ">".
std::string stream_subject(const std::string& pattern) {
  const size_t at = pattern.find(kPlaceholder);
  return at == std::string::npos ? pattern : pattern.substr(0, at) + ">";
}

class EnvelopeReader final : public SubjectReader {
 public:
  EnvelopeReader(std::string subject, UnwrapRules rules)
      : subject_(std::move(subject)), rules_(rules) {}

  std::string_view kind() const override { return "choria_registration"; }

  std::expected<SubjectRecord, SubjectRejection> read(const LinkMessage& message) override {
    auto unwrapped = unwrap_envelope(message.payload, rules_);
    if (!unwrapped) {
      return std::unexpected(
          SubjectRejection{unwrapped.error().reason, std::move(unwrapped.error().detail)});
    }
    SubjectRecord record;
    record.subject = with_sender(subject_, unwrapped->sender);
    record.payload = std::move(unwrapped->record);
    // A sender sends a request once, so the pair names the message however often it comes.
    record.msg_id = "choria:" + unwrapped->sender + ":" + unwrapped->request_id;
    record.lane = std::move(unwrapped->sender);
    return record;
  }

 private:
  const std::string subject_;
  const UnwrapRules rules_;
};

}  // namespace

Result<std::unique_ptr<Adapter>> make_choria_registration(Env& env, NatsLink& network,
                                                          StreamClient& target,
                                                          ChoriaRegistrationOptions options) {
  if (!is_adapter_subject(with_sender(options.subject, "sender"), false))
    return fail(Errc::kInvalidArgument, "target subject: not a subject without wildcards");
  SubjectAdapterOptions flow;
  flow.name = std::move(options.name);
  flow.ingest_subjects = std::move(options.ingest_subjects);
  flow.queue_group = std::move(options.queue_group);
  flow.max_in_flight = options.max_in_flight;
  flow.stream.name = std::move(options.stream);
  flow.stream.subjects = {stream_subject(options.subject)};
  flow.stream.duplicate_window = kDuplicateWindow;
  auto reader = std::make_unique<EnvelopeReader>(
      std::move(options.subject), UnwrapRules{options.requests, options.verify_signatures});
  return make_subject_adapter(env, network, target, std::move(flow), std::move(reader));
}

}  // namespace sluice
