#include "adapters/choria_submission/adapter.h"

#include <utility>

#include "adapters/choria_identity/token.h"
#include "adapters/subject_adapter.h"
#include "base/headers.h"
#include "crypto/signature.h"

namespace sluice {
namespace {

/// Nodes keep a reliable message for a week by default; a stream's dedup window can't, but a retry comes
/// within minutes of a lost answer.
constexpr std::chrono::minutes kDuplicateWindow{10};
constexpr std::string_view kAudit = "audit.";
constexpr std::string_view kVerified = "Sluice-Verified";

class SubmissionReader final : public SubjectReader {
 public:
  SubmissionReader(const ChoriaSubmissionOptions& options, std::vector<std::string> trusted)
      : source_prefix_(options.collective + ".submission.in."),
        target_prefix_(options.prefix + "."),
        audit_prefix_(options.audit_prefix.empty() ? "" : options.audit_prefix + "."),
        check_(options.check),
        trusted_(std::move(trusted)) {}

  std::string_view kind() const override { return "choria_submission"; }
  bool is_slow() const override { return check_ != SubmissionCheck::kOff; }

  SubjectReading read(const LinkMessage& message, const ReadAt& at) override {
    if (!message.subject.starts_with(source_prefix_) ||
        !is_adapter_subject(message.subject.substr(source_prefix_.size()), false))
      return std::unexpected(SubjectRejection{"bad_subject", "not a subject below the collective's"});
    const auto id = find_header(message.headers, "Nats-Msg-Id");
    if (!id || id->empty())
      return std::unexpected(SubjectRejection{"no_id", "a submission without Nats-Msg-Id"});
    SubjectRecord record;
    record.subject = target_of(message.subject.substr(source_prefix_.size()));
    record.headers = message.headers;
    record.payload = message.payload;
    // The port writes the id again, behind the others; it must not stand there twice.
    record.msg_id = *id;
    remove_header(record.headers, "Nats-Msg-Id");
    remove_headers_with_prefix(record.headers, "Nats-Expected-");
    remove_header(record.headers, "Nats-Rollup");
    remove_header(record.headers, kVerified);  // nobody outside may claim it
    // A node keeps order within one priority, so that is the lane.
    record.lane = std::string(find_header(message.headers, "Choria-Identity").value_or("")) + "/" +
                  std::string(find_header(message.headers, "Choria-Priority").value_or(""));
    if (check_ == SubmissionCheck::kOff) return record;
    const Status proven = verify(message, at.wall);
    const bool is_unsigned = !find_header(message.headers, "Choria-Signature");
    if (!proven && check_ == SubmissionCheck::kRequire)
      return std::unexpected(SubjectRejection{is_unsigned ? "unsigned" : "bad_signature",
                                              proven.error().detail});
    append_header(record.headers, kVerified,
                  proven ? "yes" : is_unsigned ? "unsigned" : "no: " + proven.error().detail);
    return record;
  }

 private:
  std::string target_of(std::string_view submitted) const {
    if (!audit_prefix_.empty() && submitted.starts_with(kAudit)) return audit_prefix_ + std::string(submitted.substr(kAudit.size()));
    return target_prefix_ + std::string(submitted);
  }

  Status verify(const LinkMessage& message, WallNanos now) const {
    const auto signature = find_header(message.headers, "Choria-Signature");
    if (!signature) return fail(Errc::kDenied, "there is no signature");
    const auto jwt = find_header(message.headers, "Choria-Token");
    if (!jwt) return fail(Errc::kDenied, "there is no token");
    const auto token = parse_token(*jwt);
    if (!token) return std::unexpected(token.error());
    if (const Status issued = check_token(*jwt, *token, trusted_, now); !issued)
      return issued;
    const auto bytes = decode_hex(*signature);
    if (!bytes || !verify_ed25519(token->public_key, message.payload, *bytes))
      return fail(Errc::kDenied, "the signature does not match");
    if (const auto identity = find_header(message.headers, "Choria-Identity");
        identity && !identity->empty() && *identity != token->identity)
      return fail(Errc::kDenied, "the token is another identity's");
    return {};
  }

  const std::string source_prefix_;
  const std::string target_prefix_;
  const std::string audit_prefix_;
  const SubmissionCheck check_;
  const std::vector<std::string> trusted_;
};

}  // namespace

Result<std::unique_ptr<Adapter>> make_choria_submission(Env& env, NatsLink& network,
                                                        StreamClient& target,
                                                        ChoriaSubmissionOptions options) {
  std::vector<std::string> trusted;
  for (const std::string& hex : options.trusted_issuers) {
    auto key = decode_hex_key(hex);
    if (!key) return fail(Errc::kInvalidArgument, "a trusted issuer is not 64 hexadecimal digits");
    trusted.push_back(std::move(*key));
  }
  if (options.check != SubmissionCheck::kOff && trusted.empty())
    return fail(Errc::kInvalidArgument, "signatures can't be checked without trusted_issuers");
  if (!is_adapter_subject(options.prefix, false))
    return fail(Errc::kInvalidArgument, "prefix: not a subject without wildcards");
  if (!options.audit_prefix.empty() && !is_adapter_subject(options.audit_prefix, false))
    return fail(Errc::kInvalidArgument, "audit_prefix: not a subject without wildcards");
  SubjectAdapterOptions flow;
  flow.name = options.name;
  flow.ingest_subjects = {options.collective + ".submission.in.>"};
  flow.queue_group = options.queue_group;
  flow.max_in_flight = options.max_in_flight;
  flow.answer = true;
  flow.stream.name = options.stream;
  flow.stream.subjects = {options.prefix + ".>"};
  flow.stream.duplicate_window = kDuplicateWindow;
  auto reader = std::make_unique<SubmissionReader>(options, std::move(trusted));
  return make_subject_adapter(env, network, target, std::move(flow), std::move(reader));
}

}  // namespace sluice
