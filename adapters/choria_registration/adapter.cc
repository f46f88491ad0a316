#include "adapters/choria_registration/adapter.h"

#include <utility>

#include "adapters/choria_registration/envelopes.h"
#include "adapters/choria_registration/voucher.h"
#include "adapters/subject_adapter.h"
#include "base/headers.h"
#include "base/limits.h"

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

/// What a record may come to when it is unpacked: what fits into a message whatever its headers.
constexpr size_t kUnpacked_bytes = kDefaultMaxPayload_bytes * 3 / 4;
constexpr std::string_view kVerified = "Sluice-Verified";

class EnvelopeReader final : public SubjectReader {
 public:
  EnvelopeReader(std::string subject, UnwrapRules rules, bool require, std::unique_ptr<Voucher> voucher)
      : subject_(std::move(subject)), rules_(rules), require_(require), voucher_(std::move(voucher)) {}

  std::string_view kind() const override { return "choria_registration"; }
  bool is_slow() const override { return (rules_.requests && rules_.verify_signatures) || rules_.unpack_bytes != 0; }

  SubjectReading read(const LinkMessage& message, const ReadAt& at) override {
    auto unwrapped = unwrap_envelope(message.payload, rules_);
    if (!unwrapped) {
      return std::unexpected(
          SubjectRejection{unwrapped.error().reason, std::move(unwrapped.error().detail)});
    }
    SubjectRecord record;
    if (voucher_) {
      const bool is_unsigned = unwrapped->signed_by.nobody();
      const Result<std::string> proven = voucher_->check(unwrapped->signed_by, unwrapped->sender, {at.now, at.wall});
      if (!proven && require_)
        return std::unexpected(SubjectRejection{is_unsigned ? "unsigned" : "not_proven", proven.error().detail});
      append_header(record.headers, kVerified, outcome(proven, is_unsigned));
    }
    record.subject = with_sender(subject_, unwrapped->sender);
    record.payload = std::move(unwrapped->record);
    // A sender sends a request once, so the pair names the message however often it comes.
    record.msg_id = "choria:" + unwrapped->sender + ":" + unwrapped->request_id;
    record.lane = std::move(unwrapped->sender);
    return record;
  }

 private:
  static std::string outcome(const Result<std::string>& proven, bool is_unsigned) {
    if (!proven) return is_unsigned ? "unsigned" : "no: " + proven.error().detail;
    if (proven->empty()) return "yes";
    return is_valid_header_value(*proven) ? "yes: signed by " + *proven : "yes: signed by another";
  }

  const std::string subject_;
  const UnwrapRules rules_;
  const bool require_;
  const std::unique_ptr<Voucher> voucher_;  ///< null: nobody asks who signed
};

}  // namespace

Result<std::unique_ptr<Adapter>> make_choria_registration(Env& env, NatsLink& network,
                                                          StreamClient& target,
                                                          ChoriaRegistrationOptions options) {
  if (!is_adapter_subject(with_sender(options.subject, "sender"), false))
    return fail(Errc::kInvalidArgument, "target subject: not a subject without wildcards");
  const bool vouches = options.signatures == SignatureRule::kMark || options.signatures == SignatureRule::kRequire;
  std::unique_ptr<Voucher> voucher;
  if (vouches) {
    if (!options.requests) return fail(Errc::kInvalidArgument, "replies are not signed: 'signatures' must be off or match");
    auto made = Voucher::make(env.disk, options.trusted_issuers, options.ca_file);
    if (!made) return std::unexpected(made.error());
    voucher = *std::move(made);
  }
  SubjectAdapterOptions flow;
  flow.name = std::move(options.name);
  flow.ingest_subjects = std::move(options.ingest_subjects);
  flow.queue_group = std::move(options.queue_group);
  flow.max_in_flight = options.max_in_flight;
  flow.stream.name = std::move(options.stream);
  flow.stream.subjects = {stream_subject(options.subject)};
  flow.stream.duplicate_window = kDuplicateWindow;
  auto reader = std::make_unique<EnvelopeReader>(
      std::move(options.subject),
      UnwrapRules{.requests = options.requests,
                  .unpack_bytes = options.unpack ? kUnpacked_bytes : 0,
                  .verify_signatures = options.signatures != SignatureRule::kOff,
                  .keep_credential = vouches},
      options.signatures == SignatureRule::kRequire, std::move(voucher));
  return make_subject_adapter(env, network, target, std::move(flow), std::move(reader));
}

}  // namespace sluice
