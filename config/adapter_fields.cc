#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

using O = ChoriaRegistrationOptions;

const FieldRows& ingest_fields() {
  static const FieldRows rows = [] {
    FieldTable<O> t("What is taken from the network.");
    t.text_list("subjects", &O::ingest_subjects)
        .shown_as("[mcollective.broadcast.agent.registration]")
        .doc("Subjects the nodes publish to; wildcards allowed.");
    t.text("queue_group", &O::queue_group)
        .shown_as("sluice_<name>")
        .doc("Queue group: of several daemons in one group each message reaches one.");
    t.word("protocol", &O::requests, {{"request", true}, {"reply", false}})
        .doc("Which Choria envelopes arrive: `request` (registration) or `reply`.");
    t.flag("verify_signatures", &O::verify_signatures)
        .doc("Refuse a message that carries a signature which does not match.");
    return t.take();
  }();
  return rows;
}

const FieldRows& stream_fields() {
  static const FieldRows rows = [] {
    FieldTable<O> t("Where messages go.");
    t.text("name", &O::stream).doc("Stream; created when missing.");
    t.text("subject", &O::subject).doc("Subject of each message; `%s` stands for the sender.");
    return t.take();
  }();
  return rows;
}

}  // namespace

const FieldRows& choria_registration_fields() {
  static const FieldRows rows = [] {
    FieldTable<O> t("Takes Choria registration data from a NATS network into a stream.");
    t.own("type", FieldKind::kText, "", [](ReadContext&, const YamlNode&, const FieldRow&, O&) {})
        .needed()
        .doc("`choria_registration`.");
    t.text("name", &O::name).doc("Name of the adapter in logs, metrics and dead letters.");
    t.link("network", &O::network)
        .doc(
            "Where the nodes publish: `embedded` (they connect to this daemon), a URL, or a "
            "section.");
    t.group("ingest", ingest_fields()).doc("What is taken from the network.");
    t.group("stream", stream_fields()).doc("Where messages go.");
    t.count("max_in_flight", &O::max_in_flight)
        .between(1, 1'000'000)
        .doc(
            "Messages offered to the stream and not yet durable, before the network is held back.");
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
