// The rows of the adapters that speak HTTP.
#include <fmt/format.h>

#include "config/adapter_table.h"
#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

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

const FieldRows& route_fields() {
  using O = ChannelRoute;
  static const FieldRows rows = [] {
    FieldTable<O> t("What of a stream goes into the channel.");
    t.text("stream", &O::stream).needed().doc("The stream; one that is not there yet is waited for.");
    t.text("subject", &O::subject).doc("Only messages on these subjects; wildcards allowed.");
    t.text_list("attributes", &O::attributes)
        .doc("Only events that fit all of these: `type=com.example.*`, where `*` stands for any text.");
    t.word("from", &O::from_start, {{"new", false}, {"start", true}})
        .doc("`new`: what comes after the route was first there. `start`: all that the stream holds, too.");
    return t.take();
  }();
  return rows;
}

const FieldRows& channel_authentication_fields() {
  using O = ChannelAuthentication;
  static const FieldRows rows = [] {
    FieldTable<O> t("How the endpoint knows us.");
    t.secret("token", &O::token, "Bearer token.");
    t.text("user", &O::user).doc("User of HTTP's basic authentication.");
    t.secret("password", &O::password, "Its password.");
    t.secret("signature_secret", &O::signature_secret, "Every body is signed with it by HMAC-SHA-256.");
    t.text("signature_header", &O::signature_header).doc("Header field that holds the signature.");
    t.text("signature_prefix", &O::signature_prefix).doc("Text before its hexadecimal digits.");
    return t.take();
  }();
  return rows;
}

const FieldRows& channel_tls_fields() {
  using O = HttpChannelOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("TLS towards the endpoint; its certificate is always verified.");
    t.text("ca", &O::ca_file).doc("PEM file of the authorities to trust; the system's when empty.");
    t.text("cert", &O::cert_file).doc("PEM file of our certificate.");
    t.text("key", &O::key_file).doc("PEM file of its key.");
    return t.take();
  }();
  return rows;
}

const FieldRows& retry_fields() {
  using O = HttpChannelOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("When an event is tried again, and when no more.");
    t.time("first", &O::first_retry).between(milliseconds(10), hours(1)).doc("After the first failure; doubled each time.");
    t.time("last", &O::last_retry).between(milliseconds(10), hours(24)).doc("Never later than this.");
    t.count("max_attempts", &O::max_attempts).doc("Then the event is a dead letter. 0: tried without end.");
    t.time("give_up_after", &O::give_up_after)
        .doc("Time in the channel after which an event that fails is a dead letter. 0: never.");
    return t.take();
  }();
  return rows;
}

const FieldRows& channel_stream_fields() {
  using O = HttpChannelOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("The channel's stream; created when missing. What has been delivered is taken out of it.");
    t.text("name", &O::stream).shown_as("eventchannel-<name>-stream").doc("Its name.");
    t.size("max_size", &O::max_bytes).at_least(-1).doc("Bytes that may wait; then the routes wait. -1: without limit.");
    t.time("max_age", &O::max_age).doc("Of an event that waits; then it is dropped. 0: for ever.");
    t.word("storage", &O::memory, {{"file", false}, {"memory", true}}).doc("Where events wait.");
    t.time("duplicate_window", &O::duplicate_window)
        .between(seconds(1), hours(24))
        .doc("How long the same `id` and `source` are one event.");
    return t.take();
  }();
  return rows;
}

}  // namespace

const FieldRows& http_channel_fields() {
  using O = HttpChannelOptions;
  static const FieldRows rows = [] {
    auto t = adapter_table<O>("An event channel: events of streams are delivered to an HTTP endpoint as CloudEvents, and are "
                         "acknowledged when it says 2xx.",
                         "http_channel");
    t.text("endpoint", &O::endpoint).needed().doc("Where events are posted to: `http://` or `https://`.");
    t.word("mode", &O::mode, {{"binary", ChannelMode::kBinary}, {"structured", ChannelMode::kStructured}})
        .doc("Attributes as header fields, or the whole event as JSON.");
    t.section_list("routes", &O::routes, route_fields())
        .doc("What is delivered. What is published to `eventchannel.<name>.>` is, too.");
    t.word("order", &O::order,
           {{"none", ChannelOrder::kNone}, {"channel", ChannelOrder::kChannel}, {"key", ChannelOrder::kKey}})
        .doc("`channel`: one event after the other. `key`: those with the same `key` are. `none`: as fast as may be.");
    t.text("key", &O::key).doc("Attribute that `order: key` goes by.");
    t.count("concurrency", &O::concurrency).between(1, 1000).doc("Requests at a time.");
    t.section("authentication", &O::authentication, channel_authentication_fields()).doc("How the endpoint knows us.");
    t.group("tls", channel_tls_fields()).doc("TLS towards the endpoint.");
    t.time("connect_timeout", &O::connect_timeout).between(milliseconds(10), minutes(5)).doc("For a connection, TLS included.");
    t.time("timeout", &O::timeout).between(milliseconds(10), hours(1)).doc("For one delivery, all in all.");
    t.group("retry", retry_fields()).doc("When an event is tried again.");
    t.group("stream", channel_stream_fields()).doc("The channel's stream.");
    t.count("max_in_flight", &O::max_in_flight)
        .between(1, 10'000)
        .doc("Events held in memory: under way, or waiting for their turn or to be tried again.");
    return t.take();
  }();
  return rows;
}

const FieldRows& http_events_fields() {
  using O = HttpEventsOptions;
  static const FieldRows rows = [] {
    auto t = adapter_table<O>("An event source: CloudEvents that are posted to it go into a stream of its own. The answer is "
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
