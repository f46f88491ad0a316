#include "gateway/cli/verify_side.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/api_json.h"
#include "config/secret_file.h"
#include "config/units.h"
#include "gateway/cli/missing_stream.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

constexpr auto kServedLimit = 5s;

uint64_t positive(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_integer() ? static_cast<uint64_t>(std::max<int64_t>(0, found->get<int64_t>())) : 0;
}

std::unexpected<Error> of_side(const std::string& side, Error why) {
  why.detail = fmt::format("{}: {}", side, why.detail.empty() ? to_string(why.code) : why.detail);
  return std::unexpected(std::move(why));
}

}  // namespace

void add_side_options(CLI::App& verb, const std::string& side, VerifySideWords& words) {
  std::string variable = "SLUICE_" + side;
  for (char& c : variable) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  SessionOptions& session = words.session;
  verb.add_option("--" + side, session.server, fmt::format("URL of the {}; left out with --config: as the copy is configured", side))->envname(variable);
  verb.add_option("--" + side + "-creds", session.credentials_file, "Credentials file for it")->envname(variable + "_CREDS");
  verb.add_option("--" + side + "-user", session.user, fmt::format("User for it; the password comes from the variable {}_PASSWORD", variable))
      ->envname(variable + "_USER");
  verb.add_option("--" + side + "-password-file", words.password_file, "Or from a file")->envname(variable + "_PASSWORD_FILE");
  verb.add_option_function<std::string>(
      "--" + side + "-js-domain", [&session](const std::string& domain) { session.api_prefix = "$JS." + domain + ".API"; },
      "JetStream domain there");
  verb.add_flag("--" + side + "-read", words.reads, fmt::format("Read the {} even when it is a Sluice that makes digests itself", side));
  if (const auto password = process_environment()(variable + "_PASSWORD")) session.password = *password;
}

Result<std::unique_ptr<VerifySide>> VerifySide::open(Session& session, const VerifySideWords& words, std::string name,
                                                     std::string stream) {
  SessionOptions options = words.session;
  if (!words.password_file.empty()) {
    auto secret = load_secret_file(words.password_file);
    if (!secret) return of_side(name, {secret.error().code, 0, fmt::format("{} {}", words.password_file, secret.error().detail)});
    options.password = *std::move(secret);
  }
  std::unique_ptr<VerifySide> side(new VerifySide(session, std::move(name), std::move(stream)));
  auto connection = words.configured ? session.connect(*words.configured, options.api_prefix) : session.connect(options, "sluice verify");
  if (!connection) return of_side(side->name_, connection.error());
  side->connection_ = *std::move(connection);
  NatsLink& link = *side->connection_.link;
  side->client_ = StreamClient::make(session.env(), link, side->connection_.api_prefix);
  if (auto asked = side->ask_info(); !asked) {
    const std::string elsewhere = fmt::format("--{0}, --{0}-creds or --{0}-user", side->name_);
    return of_side(side->name_, explain_missing_stream(session, *side->client_, link, side->stream_, asked.error(), elsewhere));
  }
  side->served_ = !words.reads && side->are_digests_served();
  side->digests_ = side->served_ ? StreamDigests::served(session.env(), link, side->connection_.api_prefix, side->stream_)
                                 : StreamDigests::read(session.env(), *side->client_, side->stream_);
  return side;
}

Result<std::string> VerifySide::api(std::string_view verb, std::string_view body) {
  return session_.await<std::string>([&](auto done) { return client_->api(verb, stream_, body, std::move(done)); });
}

Result<StoredCopy> VerifySide::message(StreamSeq seq) {
  return session_.await<StoredCopy>([&](auto done) { return client_->get_message(stream_, seq, std::move(done)); });
}

Result<StoredCopy> VerifySide::last_message(const std::string& subject) {
  return session_.await<StoredCopy>([&](auto done) { return client_->last_message(stream_, subject, std::move(done)); });
}

Result<PubAck> VerifySide::publish(const LinkMessage& message) {
  return session_.await<PubAck>([&](auto done) { return client_->publish(message, kServedLimit, std::move(done)); });
}

Status VerifySide::remove(StreamSeq own) {
  const auto reply = api("STREAM.MSG.DELETE", Json{{"seq", own.value()}, {"no_erase", true}}.dump());
  if (reply) return {};
  const auto still = message(own);
  if (!still && still.error().code == Errc::kNotFound) return {};
  return std::unexpected(reply.error());
}

Status VerifySide::ask_info() {
  auto reply = api("STREAM.INFO", "");
  if (!reply) return std::unexpected(reply.error());
  const Json root = Json::parse(*reply, nullptr, false);
  if (!root.is_object() || !root.contains("config") || !root.contains("state"))
    return fail(Errc::kCorrupt, "the answer to STREAM.INFO is none");
  const Json& config = root["config"];
  const Json& state = root["state"];
  if (const auto mirror = config.find("mirror"); mirror != config.end() && mirror->is_object()) info_.mirror_of = mirror->value("name", "");
  info_.limits_front = positive(config, "max_age") != 0 || positive(config, "max_msgs") != 0 || positive(config, "max_bytes") != 0;
  info_.max_msgs_per_subject = positive(config, "max_msgs_per_subject");
  info_.denies_delete = config.value("deny_delete", false) || config.value("sealed", false);
  info_.messages = positive(state, "messages");
  info_.first_seq = StreamSeq(positive(state, "first_seq"));
  info_.last_seq = StreamSeq(positive(state, "last_seq"));
  return {};
}

/// One small question. Nobody listens on that subject at a foreign server; who must not publish there gets no answer.
bool VerifySide::are_digests_served() {
  const std::string prefix = digest_subject_prefix_beside(connection_.api_prefix);
  if (prefix.empty()) return false;
  DigestRequest probe{.own = {StreamSeq(1), StreamSeq(1)}, .range = {StreamSeq(1), StreamSeq(1)}};
  const std::string body = encode(probe);
  auto answer = session_.await<std::string>([&](auto done) {
    return connection_.link->request({prefix + stream_, {}, {}, body}, kServedLimit,
                                     [told = std::move(done)](Result<LinkMessage> reply) mutable {
                                       if (!reply) return told(std::unexpected(reply.error()));
                                       told(std::string(reply->payload));
                                     });
  });
  return answer && parse_digest_answer(*answer).has_value();
}

Result<StreamSeq> VerifySide::next_of_subject(StreamSeq from, const std::string& subject) {
  auto reply = api("STREAM.MSG.GET", Json{{"seq", from.value()}, {"next_by_subj", subject}}.dump());
  if (!reply) return std::unexpected(reply.error());
  auto stored = parse_stored_message(*reply);
  if (!stored) return std::unexpected(stored.error());
  return stored->seq;
}

}  // namespace sluice
