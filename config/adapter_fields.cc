// Adapters are told apart by their `type`; each kind has rows of its own.
#include <fmt/format.h>

#include "config/adapter_table.h"
#include "config/config.h"
#include "config/named_files.h"
#include "config/sections.h"

namespace sluice {
namespace {

constexpr const char* kNetworkSentence =
    "Where the messages are published: `embedded` (their senders connect to this daemon), a URL, or a "
    "section.";

/// Of a kind that listens to a NATS network.
template <class O>
FieldTable<O> table_of(const char* sentence, const char* kind) {
  auto t = adapter_table<O>(sentence, kind);
  t.link("network", &O::network).doc(kNetworkSentence);
  return t;
}

template <class O>
void add_window(FieldTable<O>& t) {
  t.count("max_in_flight", &O::max_in_flight)
      .between(1, 1'000'000)
      .doc("Messages offered to the stream and not yet durable, before the network is held back.");
}

const FieldRows& registration_ingest_fields() {
  using O = ChoriaRegistrationOptions;
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
    t.word("signatures", &O::signatures,
           {{"off", SignatureRule::kOff}, {"match", SignatureRule::kMatch}, {"mark", SignatureRule::kMark}, {"require", SignatureRule::kRequire}})
        .doc("`off`: not looked at; `match`: one that does not match its key is refused; `mark`: likewise, and whether the sender is proven (its "
             "certificate or token is its own and by somebody trusted) stands in the header `Sluice-Verified`; `require`: what is not proven goes "
             "to the dead letters.");
    t.text_list("trusted_issuers", &O::trusted_issuers)
        .doc("Public keys (hexadecimal) of the organisations whose tokens count, their chain issuers' included (protocol version 2).");
    t.text("ca", &O::ca_file).doc("File with the certificates (PEM) that nodes' certificates must be by (protocol version 1).");
    t.flag("unpack", &O::unpack).doc("Store registration data that came gzip'd unpacked, when that fits into 768 KiB: `content` instead of `zcontent`.");
    return t.take();
  }();
  return rows;
}

const FieldRows& registration_stream_fields() {
  using O = ChoriaRegistrationOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("Where messages go.");
    t.text("name", &O::stream).doc("Stream; created when missing.");
    t.text("subject", &O::subject).doc("Subject of each message; `%s` stands for the sender.");
    return t.take();
  }();
  return rows;
}

const FieldRows& registration_fields() {
  static const FieldRows rows = [] {
    auto t = table_of<ChoriaRegistrationOptions>(
        "Takes Choria registration data from a NATS network into a stream.", "choria_registration");
    t.group("ingest", registration_ingest_fields()).doc("What is taken from the network.");
    t.group("stream", registration_stream_fields()).doc("Where messages go.");
    add_window(t);
    return t.take();
  }();
  return rows;
}

const FieldRows& submission_stream_fields() {
  using O = ChoriaSubmissionOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("Where messages go.");
    t.text("name", &O::stream).doc("Stream; created when missing.");
    t.text("prefix", &O::prefix).doc("Subject of a message: this, and behind it the submitted subject.");
    t.text("audit_prefix", &O::audit_prefix)
        .doc("Instead for submitted subjects `audit.…`: this, and what stands behind `audit.`. A stream other than `name` must listen there; "
             "`choria.audit` is what `auto_streams.audit` makes. Empty: audit records go with the rest.");
    return t.take();
  }();
  return rows;
}

const FieldRows& submission_fields() {
  using O = ChoriaSubmissionOptions;
  static const FieldRows rows = [] {
    auto t = table_of<O>(
        "Takes what Choria nodes submit into a stream, once each, and answers when it is on disk.",
        "choria_submission");
    t.text("collective", &O::collective).doc("Main collective of the nodes: subjects `<collective>.submission.in.>`.");
    t.text("queue_group", &O::queue_group)
        .shown_as("sluice_<name>")
        .doc("Queue group: of several daemons in one group each message reaches one.");
    t.group("stream", submission_stream_fields()).doc("Where messages go.");
    t.word("signatures", &O::check,
           {{"off", SubmissionCheck::kOff}, {"mark", SubmissionCheck::kMark}, {"require", SubmissionCheck::kRequire}})
        .doc("`off`: passed along unread; `mark`: the outcome stands in the header `Sluice-Verified`; "
             "`require`: what is not proven goes to the dead letters.");
    t.text_list("trusted_issuers", &O::trusted_issuers)
        .doc("Public keys (hexadecimal) of the organisations whose tokens count.");
    add_window(t);
    return t.take();
  }();
  return rows;
}

const FieldRows& subject_ingest_fields() {
  using O = NatsSubjectOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("What is taken from the network.");
    t.text_list("subjects", &O::ingest_subjects).needed().doc("Subjects to take from; wildcards allowed.");
    t.text("queue_group", &O::queue_group)
        .shown_as("sluice_<name>")
        .doc("Queue group: of several daemons in one group each message reaches one.");
    t.flag("answer", &O::answer).doc("Answer a message that has a reply subject with its PubAck, when it is on disk.");
    return t.take();
  }();
  return rows;
}

const FieldRows& subject_stream_fields() {
  using O = NatsSubjectOptions;
  static const FieldRows rows = [] {
    FieldTable<O> t("Where messages go.");
    t.text("name", &O::stream).needed().doc("Stream; created when missing.");
    t.text("source", &O::source).doc("Pattern that a subject must match.");
    t.text("destination", &O::destination)
        .shown_as("<name>.>")
        .doc("What becomes of it: text, `$1` or `{{wildcard(1)}}`, and the other functions of subject mapping. Its "
             "first token is plain text.");
    return t.take();
  }();
  return rows;
}

const FieldRows& subject_fields() {
  static const FieldRows rows = [] {
    auto t = table_of<NatsSubjectOptions>("Takes what is published on subjects of a core NATS network into a stream.",
                                          "nats_subject");
    t.group("ingest", subject_ingest_fields()).doc("What is taken from the network.");
    t.group("stream", subject_stream_fields()).doc("Where messages go.");
    add_window(t);
    return t.take();
  }();
  return rows;
}

const FieldRows& file_drop_fields() {
  using O = FileDropOptions;
  static const FieldRows rows = [] {
    auto t = adapter_table<O>("Takes the files that are renamed into a folder into a stream, and away when they are on disk there.",
                              "file_drop");
    t.text("folder", &O::folder)
        .needed()
        .doc("The folder. Names that begin with `.` or end in `.tmp .part .partial .swp ~` are left alone.");
    t.text("done_folder", &O::done_folder).doc("Where files go when they are stored, on the same disk. Empty: they are deleted.");
    t.text("failed_folder", &O::failed_folder)
        .shown_as("<folder>/failed")
        .doc("Where files go that can't be taken, each with its `.reason`.");
    t.text("stream", &O::stream).needed().doc("Stream; created when missing.");
    t.text("subject", &O::subject).shown_as("filedrop.<name>").doc("A message's subject is this and, behind it, the file's name.");
    t.size("max_file_size", &O::max_file_bytes).between(1, int64_t{32} * kMiB).doc("Larger files fail.");
    t.time("scan_interval", &O::scan_interval)
        .between(std::chrono::milliseconds(100), std::chrono::hours(1))
        .doc("The folder is looked through that often, besides being told by the kernel.");
    t.time("duplicate_window", &O::duplicate_window)
        .between(std::chrono::seconds(1), std::chrono::hours(24))
        .doc("How long a file of the same name and content is one message.");
    t.count("max_in_flight", &O::max_in_flight).between(1, 100'000).doc("Files offered to the stream and not yet durable.");
    return t.take();
  }();
  return rows;
}

const FieldRows& audit_fields() {
  using O = ChoriaAuditOptions;
  static const FieldRows rows = [] {
    auto t = adapter_table<O>("Follows a Choria server's RPC audit log and hands its records to this node's sluice-spool, which takes them to the centre.",
                              "choria_audit", kAdapterNameSentence,
                              "Account of the embedded core that lines which are no records go to, as dead letters.");
    add_audit_rows(t);
    t.text("spool", &O::spool).doc("UNIX socket of this node's sluice-spool.");
    t.text("identity", &O::identity).doc("This node, as Choria names it. Empty: the spool's own `identity`.");
    return t.take();
  }();
  return rows;
}

template <class O>
void* begin(AdapterOptions& into) {
  return &into.emplace<O>();
}

}  // namespace

const std::vector<AdapterKind>& adapter_kinds() {
  static const std::vector<AdapterKind> kinds = {
      {"choria_registration", &registration_fields, &begin<ChoriaRegistrationOptions>},
      {"choria_submission", &submission_fields, &begin<ChoriaSubmissionOptions>},
      {"nats_subject", &subject_fields, &begin<NatsSubjectOptions>},
      {"http_events", &http_events_fields, &begin<HttpEventsOptions>},
      {"http_channel", &http_channel_fields, &begin<HttpChannelOptions>},
      {"kafka_source", &kafka_source_fields, &begin<KafkaSourceOptions>},
      {"kafka_sink", &kafka_sink_fields, &begin<KafkaSinkOptions>},
      {"file_drop", &file_drop_fields, &begin<FileDropOptions>},
      {"choria_audit", &audit_fields, &begin<ChoriaAuditOptions>},
  };
  return kinds;
}

void add_audit_rows(FieldTable<ChoriaAuditOptions>& t) {
  using O = ChoriaAuditOptions;
  t.text("file", &O::file).needed().doc("The log: Choria's `plugin.rpcaudit.logfile`. Rotated by renaming or by copying and cutting.");
  t.text("position_file", &O::position_file).needed().doc("Keeps how far the log was taken; in a folder that survives restarts.");
  t.text("subject", &O::subject).doc("Records are submitted under this subject.");
  t.count("priority", &O::priority).between(0, 4).doc("Queue of the spool.");
  t.flag("sign", &O::sign).doc("Have the spool sign each record with the node's key.");
  t.time("ttl", &O::ttl)
      .between(std::chrono::seconds(60), std::chrono::seconds(31 * 86'400))
      .doc("How long a record may wait in the spool; then it goes to the spool's quarantine.");
  t.word("start", &O::from_end, {{"beginning", false}, {"end", true}})
      .doc("Without a position file: take what stands in the log, or only what comes.");
  t.size("max_line", &O::max_line_bytes).between(1 * kKiB, 128 * kKiB).doc("Longer lines become dead letters.");
  t.time("scan_interval", &O::scan_interval)
      .between(std::chrono::milliseconds(50), std::chrono::minutes(1))
      .doc("The log is looked at that often, besides being told by the kernel.");
}

void read_adapters(ReadContext& context, const YamlNode& node, const FieldRow&, Config& config) {
  if (node.kind == YamlNode::Kind::kNull) return;
  if (node.kind != YamlNode::Kind::kList) {
    context.problems.add(node.place, "'adapters' must be a list (lines that begin with '- ')");
    return;
  }
  std::vector<std::string> words;
  for (const AdapterKind& kind : adapter_kinds()) words.push_back(kind.name);
  for (size_t i = 0; i < node.items.size(); ++i) {
    const YamlNode& item = node.items[i];
    const YamlNode::Entry* type = nullptr;
    for (const YamlNode::Entry& entry : item.entries) {
      if (entry.key == "type") type = &entry;
    }
    if (type == nullptr) {
      context.problems.add(
          item.place, fmt::format("'type' is missing; known types: {}", fmt::join(words, ", ")));
      continue;
    }
    inside(context, "[" + std::to_string(i) + "]", item.place, [&] {
      auto word = read_text(context, type->value);
      if (!word) return;
      for (const AdapterKind& kind : adapter_kinds()) {
        if (kind.name != *word) continue;
        read_section(context, item, kind.rows(), kind.begin(config.adapters.emplace_back()));
        config.adapter_texts.push_back(canonical_text(item) + named_files_text(context, item));
        return;
      }
      std::string_view near = nearest_word(*word, words);
      context.problems.add(
          type->value.place,
          near.empty() ? fmt::format("unknown adapter type '{}'; known types: {}", *word,
                                     fmt::join(words, ", "))
                       : fmt::format("unknown adapter type '{}', did you mean '{}'?", *word, near));
    });
  }
}

}  // namespace sluice
