// The rows of the adapters that speak HTTP.
#include <fmt/format.h>

#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

/// `type` and `name`, with which every kind begins.
template <class O>
FieldTable<O> table_of(const char* sentence, const char* kind) {
  FieldTable<O> t(sentence);
  t.own("type", FieldKind::kText, "", [](ReadContext&, const YamlNode&, const FieldRow&, O&) {})
      .needed()
      .doc(fmt::format("`{}`.", kind));
  t.text("name", &O::name).doc("Name of the adapter in logs, metrics and dead letters.");
  return t;
}

const FieldRows& signature_fields() {
  using O = HttpEventsAuthentication;
  static const FieldRows rows = [] {
    FieldTable<O> t("Every request's body is signed by HMAC-SHA-256 with a shared secret.");
    t.secret("secret", &O::signature_secret, "The secret.");
    t.secret("previous_secret", &O::previous_signature_secret, "Another that is good too, while senders change over.");
    t.text("header", &O::signature_header).doc("Header field that holds the signature.");
    t.text("prefix", &O::signature_prefix).doc("Text before the digest.");
    t.word("digest", &O::signature_text, {{"hex", DigestText::kHex}, {"base64", DigestText::kBase64}})
        .doc("How the digest is written.");
    return t.take();
  }();
  return rows;
}

const FieldRows& authentication_fields() {
  using O = HttpEventsAuthentication;
  static const FieldRows rows = [] {
    FieldTable<O> t(
        "Who may send: token, or user and password, whichever are set; and where a signature is set, it too.");
    t.secret("token", &O::token, "Bearer token.");
    t.secret("previous_token", &O::previous_token, "Another that is good too, while senders change over.");
    t.text("user", &O::user).doc("User of HTTP's basic authentication.");
    t.secret("password", &O::password, "Its password.");
    t.group("signature", signature_fields()).doc("Signed bodies, as webhooks of code forges have them.");
    return t.take();
  }();
  return rows;
}

const FieldRows& event_limit_fields() {
  using O = HttpEventsOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("What a sender may ask of this source.");
    t.count("rate", &O::rate).doc("Events a second; more get 429 with Retry-After. 0: without limit.");
    t.count("burst", &O::burst).shown_as("one second's worth").doc("Events let in at once after a pause.");
    t.size("max_event_size", &O::max_event_bytes)
        .between(1024, int64_t{32} * kMiB)
        .doc("Largest event (413 beyond). The stream must take it too: max_payload of the server.");
    t.size("max_batch_size", &O::max_batch_bytes).between(1024, int64_t{64} * kMiB).doc("Largest body of a batch.");
    t.count("max_batch_events", &O::max_batch_count).between(1, 100'000).doc("Events in one batch.");
    t.count("max_connections", &O::max_connections).between(1, 100'000).doc("More are closed as they come.");
    t.time("request_timeout", &O::request_timeout)
        .between(milliseconds(100), minutes(10))
        .doc("From the first byte of a request to its last.");
    t.time("idle_timeout", &O::idle_timeout)
        .between(seconds(1), hours(1))
        .doc("A connection without a request is closed after it.");
    t.time("busy_timeout", &O::busy_timeout)
        .between(milliseconds(0), minutes(1))
        .doc("How long a request waits for room before it gets 503 with Retry-After.");
    t.time("answer_timeout", &O::answer_timeout)
        .between(seconds(1), minutes(10))
        .doc("How long one that was taken waits for the stream before it gets 503; sent again, it is stored once.");
    return t.take();
  }();
  return rows;
}

const FieldRows& event_stream_fields() {
  using O = HttpEventsOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("The source's stream; created when missing, an existing one is left as it is.");
    t.text("name", &O::stream).shown_as("eventsource-<name>-stream").doc("Its name.");
    t.text("subject", &O::subject)
        .shown_as("eventsource.<name>")
        .doc("An event's subject is this and, behind it, the event's type.");
    t.word("retention", &O::retention,
           {{"age", EventRetention::kAge},
            {"limits", EventRetention::kLimits},
            {"size", EventRetention::kSize},
            {"interest", EventRetention::kInterest}})
        .doc("What ends an event's life: `age` (max_age), `size` (max_size), `limits` (either, or max_events), or "
             "`interest` (every consumer has acknowledged it, or max_size; without consumers at once).");
    t.time("max_age", &O::max_age).doc("Of an event. 0: for ever.");
    t.size("max_size", &O::max_bytes).at_least(-1).doc("Bytes of all events. -1: without limit.");
    t.count("max_events", &O::max_events).at_least(-1).doc("How many. -1: without limit.");
    t.word("storage", &O::memory, {{"file", false}, {"memory", true}}).doc("Where events are kept.");
    t.time("duplicate_window", &O::duplicate_window)
        .between(seconds(1), hours(24))
        .doc("How long the same `id` and `source` are one event.");
    return t.take();
  }();
  return rows;
}

}  // namespace

const FieldRows& http_events_fields() {
  using O = HttpEventsOptions;
  static const FieldRows rows = [] {
    auto t = table_of<O>("An event source: CloudEvents that are posted to it go into a stream of its own. The answer is "
                         "2xx when they are on disk.",
                         "http_events");
    t.address("listen", &O::host, &O::port).doc("Where it listens.");
    t.text("path", &O::path).doc("Path that events are posted to.");
    t.section("tls", &O::tls, tls_listener_fields()).doc("HTTPS.");
    t.section("authentication", &O::authentication, authentication_fields()).doc("Who may send.");
    t.flag("allow_anonymous", &O::allow_anonymous)
        .doc("Listen beyond loopback although anybody may send.");
    t.text_list("allowed_origins", &O::allowed_origins)
        .shown_as("[\"*\"]")
        .doc("Origins that the webhook handshake lets in, and that a request's WebHook-Request-Origin may name.");
    t.group("limits", event_limit_fields()).doc("What a sender may ask of this source.");
    t.group("stream", event_stream_fields()).doc("The source's stream.");
    t.count("max_in_flight", &O::max_in_flight)
        .between(1, 1'000'000)
        .doc("Events offered to the stream and not yet durable, before requests have to wait.");
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
