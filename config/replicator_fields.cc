// Rows of the replicator. Keys that Choria's Stream Replicator has are named and read as it names and reads them,
// so that a block of its file stands here unchanged.
#include <fmt/format.h>

#include <limits>

#include "base/time_format.h"
#include "calendar/time_zone.h"
#include "config/choria_duration.h"
#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

using CopyTable = FieldTable<StreamCopyOptions>;

/// A duration in Choria's grammar: "30s", "1h30m", "1.5d", "2w", "6M", "1y".
template <class T, class Get>
FieldRow& choria_time(FieldTable<T>& t, std::string name, std::string shown, Get get) {
  return t.own(std::move(name), FieldKind::kTime, std::move(shown),
               [get](ReadContext& c, const YamlNode& n, const FieldRow& row, T& options) {
                 const auto text = read_text(c, n);
                 if (!text) return;
                 const auto time = parse_choria_duration(*text);
                 if (!time) return c.problems.add(n.place, fmt::format("'{}': {}", row.name, time.error().detail));
                 get(options) = *time;
               });
}

template <class T, class Get>
FieldRow& text_at(FieldTable<T>& t, std::string name, Get get) {
  return t.own(std::move(name), FieldKind::kText, "", [get](ReadContext& c, const YamlNode& n, const FieldRow&, T& options) {
    if (auto value = read_text(c, n)) get(options) = std::move(*value);
  });
}

/// Below this not even a position gets through in a minute.
constexpr int64_t kLeastRate = 128;

void read_rate(ReadContext& c, const YamlNode& n, std::string_view name, uint64_t& into) {
  const auto text = read_text(c, n);
  if (!text) return;
  const auto rate = parse_rate(*text);
  if (!rate) return c.problems.add(n.place, fmt::format("'{}': {}", name, rate.error().detail));
  if (*rate < kLeastRate) return c.problems.add(n.place, fmt::format("'{}' must be at least {}/s", name, format_size(kLeastRate)));
  into = static_cast<uint64_t>(*rate);
}

const FieldRows& tls_files_fields() {
  static const FieldRows rows = [] {
    FieldTable<TlsFiles> t("TLS files; a section given here replaces the one further out as a whole.");
    t.text("ca", &TlsFiles::ca).doc("PEM file of the authorities to trust.");
    t.text("cert", &TlsFiles::cert).doc("PEM file of our certificate.");
    t.text("key", &TlsFiles::key).doc("PEM file of its key.");
    return t.take();
  }();
  return rows;
}

const FieldRows& choria_login_fields() {
  static const FieldRows rows = [] {
    FieldTable<ChoriaLogin> t("Login at a Choria broker with a JWT of Choria's own kind; a section given here replaces the one further out as a whole.");
    t.text("jwt_file", &ChoriaLogin::jwt_file).needed().doc("File with the JWT.");
    t.text("seed_file", &ChoriaLogin::seed_file).needed().doc("File with the ed25519 seed of its key, 64 hexadecimal digits.");
    t.text("collective", &ChoriaLogin::collective)
        .doc("Replies come under `<collective>.reply.` and the MD5 of the JWT's identity or caller id, which is what the broker lets through.");
    return t.take();
  }();
  return rows;
}

/// A section that may be missing; given once more it begins anew.
template <class T, class Section>
FieldRow& optional_section(FieldTable<T>& t, std::string name, std::optional<Section> T::* member, const FieldRows& fields) {
  return t
      .own(std::move(name), FieldKind::kSection, "",
           [member](ReadContext& c, const YamlNode& n, const FieldRow& row, T& options) {
             read_section(c, n, *row.nested, &(options.*member).emplace());
           })
      .nest(fields);
}

template <class T>
FieldRow& tls_at(FieldTable<T>& t, std::string name, std::optional<TlsFiles> T::* member) {
  return optional_section(t, std::move(name), member, tls_files_fields());
}

template <class T>
FieldRow& choria_login_at(FieldTable<T>& t, std::string name, std::optional<ChoriaLogin> T::* member) {
  return optional_section(t, std::move(name), member, choria_login_fields());
}

template <class T>
FieldRow& headers_at(FieldTable<T>& t, std::map<std::string, std::string> T::* member) {
  return t.own("headers", FieldKind::kSection, "",
               [member](ReadContext& c, const YamlNode& n, const FieldRow&, T& options) {
                 if (n.kind != YamlNode::Kind::kMap && n.kind != YamlNode::Kind::kNull)
                   return c.problems.add(n.place, "'headers' must be a section (lines of 'name: value')");
                 for (const YamlNode::Entry& entry : n.entries) {
                   if (auto value = read_text(c, entry.value)) (options.*member)[entry.key] = std::move(*value);
                 }
               });
}

const FieldRows& advisory_fields() {
  static const FieldRows rows = [] {
    FieldTable<AdvisoryOptions> t("Messages about sampled values that appear, fall silent, come back or are forgotten.");
    t.text("subject", &AdvisoryOptions::subject)
        .needed()
        .doc("Where they are published, at the source; `%s` becomes the event (`new`, `timeout`, `recover`, "
             "`expire`), `%v` the value.");
    t.flag("reliable", &AdvisoryOptions::reliable).doc("Wait for a stream's ack, try again up to 10 times.");
    return t.take();
  }();
  return rows;
}

const FieldRows& transform_fields() {
  static const FieldRows rows = [] {
    using Transform = std::pair<std::string, std::string>;
    FieldTable<Transform> t("A subject transform (ADR-30).");
    text_at(t, "source", [](Transform& p) -> std::string& { return p.first; }).needed().doc("Pattern of the source's subjects.");
    text_at(t, "destination", [](Transform& p) -> std::string& { return p.second; }).needed().doc("What becomes of them.");
    return t.take();
  }();
  return rows;
}

template <class T>
FieldRow& rate_at(FieldTable<T>& t, std::string shown) {
  return t.own("rate", FieldKind::kText, std::move(shown),
               [](ReadContext& c, const YamlNode& n, const FieldRow& row, T& options) { read_rate(c, n, row.name, options.rate); });
}

template <class T>
FieldRow& time_of_day_at(FieldTable<T>& t, std::string name, std::chrono::minutes T::* member) {
  return t.own(std::move(name), FieldKind::kText, "",
               [member](ReadContext& c, const YamlNode& n, const FieldRow& row, T& options) {
                 const auto text = read_text(c, n);
                 if (!text) return;
                 const auto time = parse_time_of_day(*text);
                 if (!time) return c.problems.add(n.place, fmt::format("'{}': {}", row.name, time.error().detail));
                 options.*member = *time;
               });
}

const FieldRows& pace_window_fields() {
  static const FieldRows rows = [] {
    using O = PaceWindow;
    FieldTable<O> t("Another rate at some hours.");
    time_of_day_at(t, "from", &O::from).needed().doc("From this time of day on, `08:00`.");
    time_of_day_at(t, "to", &O::to).needed().doc("Until this one, `18:00`; earlier than `from`: until that time of the next day.");
    rate_at(t, "").needed().doc("Bytes a second then.");
    return t.take();
  }();
  return rows;
}

const FieldRows& pace_fields() {
  static const FieldRows rows = [] {
    using O = PaceOptions;
    FieldTable<O> t("How fast a copy sends. In place of the section one rate may stand.");
    rate_at(t, "no bound").doc("Bytes a second, `200KiB/s`, or bits as links are sold, `512kbit/s`.");
    t.own("zone", FieldKind::kText, O{}.zone,
          [](ReadContext& c, const YamlNode& n, const FieldRow&, O& options) {
            const auto text = read_text(c, n);
            if (!text) return;
            if (*text != kLocalZone && !TimeZone::find(*text))
              return c.problems.add(n.place, fmt::format("'zone': there is no time zone '{}'", *text));
            options.zone = *text;
          })
        .doc("Time zone of the schedule, `Europe/Berlin`; `Local` is the machine's own.");
    t.section_list("schedule", &O::schedule, pace_window_fields()).doc("Other rates by time of day; the first that fits holds.");
    return t.take();
  }();
  return rows;
}

void read_pace(ReadContext& c, const YamlNode& n, const FieldRow& row, PaceOptions& pace) {
  if (n.kind != YamlNode::Kind::kScalar) {
    read_section(c, n, *row.nested, &pace);
    for (size_t i = 0; i < pace.schedule.size(); ++i) {
      if (pace.schedule[i].from == pace.schedule[i].to)
        c.problems.add(c.place_of(fmt::format("{}.schedule[{}]", c.path, i)), "'from' and 'to' are the same time: give 'rate' beside 'schedule' for all day");
    }
    return;
  }
  read_rate(c, n, row.name, pace.rate);
}

void add_places(CopyTable& t) {
  using O = StreamCopyOptions;
  t.text("name", &O::name)
      .shown_as("the replicator's name")
      .doc("Name of this copy among those of the same stream; stands in the header of copied messages.");
  t.text("stream", &O::stream).needed().doc("Stream at the source.");
  t.text("target_stream", &O::target_stream).shown_as("the same name").doc("Stream at the target.");
  t.link("source", &O::source).doc("System to read from.");
  t.link("target", &O::target).doc("System to write to.");
  for (const auto& [name, member] : {std::pair("source_url", &O::source), std::pair("target_url", &O::target)}) {
    t.own(name, FieldKind::kText, "",
          [member = member](ReadContext& c, const YamlNode& n, const FieldRow&, O& options) {
            read_replicator_url(c, n, options.*member);
          })
        .doc("The same as a comma list of URLs; `?credentials=`, `?jwt=` with `?nkey=`, `?insecure=`, `?tls_handshake_first=` and "
             "`?connect_timeout=` are understood.");
  }
  tls_at(t, "tls", &O::tls).doc("TLS files of both sides.");
  tls_at(t, "source_tls", &O::source_tls).doc("TLS files of the source.");
  tls_at(t, "target_tls", &O::target_tls).doc("TLS files of the target.");
  choria_login_at(t, "choria", &O::choria).doc("Login at a Choria broker, both sides; with neither `ca` nor `cert` of `tls` its certificate is not verified.");
  choria_login_at(t, "source_choria", &O::source_choria).doc("Login at the source's Choria broker.");
  choria_login_at(t, "target_choria", &O::target_choria).doc("Login at the target's Choria broker.");
  t.flag("target_initiated", &O::target_initiated)
      .doc("Says that this runs near the target. Both directions copy alike here; Stream Replicator's rules for it are checked.");
  t.flag("create_target", &O::create_target).doc("Make the target stream when it is missing, by the source's configuration.");
  t.own("no_target_create", FieldKind::kFlag, "false",
        [](ReadContext& c, const YamlNode& n, const FieldRow&, O& options) {
          if (auto value = read_flag(c, n)) options.create_target = !*value;
        })
      .doc("The opposite of `create_target`.");
  t.flag("update_target", &O::update_target).doc("Keep the target's configuration like the source's; else differences are only told.");
  t.count("target_replicas", &O::target_replicas).between(1, 5).doc("Replicas of a target stream that is made.");
  t.word("target_writers", &O::target_writers,
         {{"auto", TargetWriters::kAuto}, {"exclusive", TargetWriters::kExclusive}, {"shared", TargetWriters::kShared}})
      .doc("Who writes to the target stream. `exclusive`: only this copy, each message is fenced. `shared`: others too; order is "
           "kept for each subject. `auto`: exclusive until somebody else is seen to write.");
  t.own("fence_subject", FieldKind::kText, "",
        [](ReadContext& c, const YamlNode& n, const FieldRow&, O& options) {
          if (auto subject = read_literal_subject(c, n)) options.fence_subject = *std::move(subject);
        })
      .doc("A subject of the target stream for this copy alone. Where others write too, a mark is put there as a session begins, and copies are "
           "taken only while it stands: of an earlier session or a stale leader nothing is. nats-server from 2.12 on.");
}

void add_selection(CopyTable& t) {
  using O = StreamCopyOptions;
  t.text("filter_subject", &O::filter_subject).doc("Copy only these subjects; everything when empty.");
  t.text_list("filter_subjects", &O::filter_subjects).doc("The same, several.");
  t.text("target_subject_prefix", &O::target_subject_prefix).doc("Put before each subject, with a dot.");
  t.text("target_subject_remove", &O::target_subject_remove)
      .doc("Text that is then taken out of each subject, wherever it stands; `..` becomes `.`.");
  t.section_list("subject_transforms", &O::subject_transforms, transform_fields())
      .doc("Applied before prefix and removal, the first one that matches. Needs a target stream made by hand.");
  t.flag("ephemeral", &O::ephemeral).doc("Copy everything anew at each start.");
  t.flag("start_at_end", &O::start_at_end).doc("Where no position is known: only what is stored from now on.");
  t.count("start_sequence", &O::start_sequence).doc("The same: from this sequence.");
  choria_time(t, "start_delta", "", [](O& o) -> std::chrono::nanoseconds& { return o.start_delta; })
      .doc("The same: what is not older than this.");
  t.own("start_time", FieldKind::kText, "",
        [](ReadContext& c, const YamlNode& n, const FieldRow&, O& options) {
          const auto text = read_text(c, n);
          if (!text) return;
          const auto time = parse_rfc3339(*text);
          if (!time) return c.problems.add(n.place, fmt::format("'start_time': '{}' is no time such as 2026-11-20T11:08:57Z", *text));
          options.start_time = *time;
        })
      .doc("The same: from this time on (RFC 3339).");
  t.count("max_hops", &O::max_hops)
      .between(0, 16)
      .doc("Leave out messages that were copied so often before: 1 in a full mesh of sites, the number of sites less one in a ring; 0 = copy all.");
  choria_time(t, "max_age", "", [](O& o) -> std::chrono::nanoseconds& { return o.max_age; })
      .doc("Leave out messages older than this when their turn comes.");
}

void add_sampling(CopyTable& t) {
  using O = StreamCopyOptions;
  text_at(t, "inspect_field", [](O& o) -> std::string& { return o.inspect.field; })
      .doc("Sample by this field of the JSON body (`a.b`, `list.0`): one message of each value in a period.");
  text_at(t, "inspect_header", [](O& o) -> std::string& { return o.inspect.header; }).doc("Sample by this header.");
  t.own("inspect_subject_token", FieldKind::kCount, "0",
        [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& options) {
          if (auto value = read_number(c, n, row)) options.inspect.subject_token = static_cast<int32_t>(*value);
        })
      .between(-1, 256)
      .doc("Sample by this token of the subject, from 1; -1 = the whole subject; 0 = off.");
  text_at(t, "inspect_force_field", [](O& o) -> std::string& { return o.inspect.force_field; })
      .doc("A body that has this field is copied.");
  choria_time(t, "inspect_duration", "", [](O& o) -> std::chrono::nanoseconds& { return o.inspect.duration; })
      .doc("The period of sampling.");
  choria_time(t, "warn_duration", "half of inspect_duration", [](O& o) -> std::chrono::nanoseconds& { return o.inspect.warn; })
      .doc("Silence after which a value's timeout is told.");
  t.own("size_trigger", FieldKind::kCount, "0",
        [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& options) {
          if (auto value = read_decimal(c, n, row)) options.inspect.size_trigger = *value;
        })
      .doc("Copy at once when the body's size changes by as many bytes; 0 = off.");
  t.own("advisory", FieldKind::kSection, "",
        [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& options) {
          if (n.kind != YamlNode::Kind::kNull) read_section(c, n, *row.nested, &options.inspect.advisory);
        })
      .nest(advisory_fields());
  t.own("max_tracked", FieldKind::kCount, "1000000",
        [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& options) {
          if (auto value = read_number(c, n, row)) options.inspect.max_tracked = static_cast<size_t>(*value);
        })
      .between(1, 100'000'000)
      .doc("Values remembered; beyond that the one not seen for longest makes room.");
  text_at(t, "state_bucket", [](O& o) -> std::string& { return o.inspect.state_bucket; })
      .doc("Key-value bucket at the source that keeps what is known of values, beside the state folder, so that it survives a fail-over; "
           "made when it is missing.");
}

void add_conduct(CopyTable& t) {
  using O = StreamCopyOptions;
  t.text("leader_election_name", &O::leader_election_name)
      .doc("Takes part in an election under this name: only the leader copies.");
  t.count("window_messages", &O::window_messages)
      .between(1, 60'000)
      .doc("Messages on their way to the target, not yet acknowledged.");
  t.size("window_size", &O::window_bytes)
      .between(64 * 1024, 24 * static_cast<int64_t>(kMiB))
      .doc("Bytes on their way to the target, at most: 8 MiB and what a long way carries at the measured rate; a slow link gets less by itself.");
  t.own("compression", FieldKind::kWord, "as source and target say",
        [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& options) {
          if (const auto index = read_word(c, n, row)) options.compression = static_cast<LinkCompression>(*index);
        })
      .doc("`compression` of both ends at once; an embedded one has none.")
      .words = {"auto", "zstd", "none"};
  t.own("pace", FieldKind::kSection, "",
        [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& options) { read_pace(c, n, row, options.pace); })
      .nest(pace_fields())
      .doc("How fast this copy sends to its target, in bytes a second (subjects, headers and payloads, as they are before compression).");
  t.word("on_gap", &O::on_gap, {{"continue", OnGap::kContinue}, {"stop", OnGap::kStop}, {"restart", OnGap::kRestart}})
      .doc("When messages vanished at the source before they were copied, or it was made anew: count them as lost and go on, wait "
           "for a person, or begin again by the start settings.");
  t.flag("message_ids", &O::message_ids).doc("Give messages without a `Nats-Msg-Id` one of stream, sequence and names.");
  t.text("dead_letter_subject", &O::dead_letter_subject)
      .doc("Where, at the target, a message goes that the target stream refuses; without it the copy waits.");
  t.count("max_tries", &O::max_tries).between(1, 1000).doc("Tries before that.");
}

const FieldRows& copy_fields() {
  static const FieldRows rows = [] {
    CopyTable t("One stream copied in one direction.");
    add_places(t);
    add_selection(t);
    add_sampling(t);
    add_conduct(t);
    return t.take();
  }();
  return rows;
}

const FieldRows& heartbeat_subject_fields() {
  static const FieldRows rows = [] {
    using O = HeartbeatSubject;
    FieldTable<O> t("One subject of heartbeats.");
    t.text("subject", &O::subject).needed().doc("Where they are published.");
    choria_time(t, "interval", "that of all", [](O& o) -> std::chrono::nanoseconds& { return o.interval; })
        .doc("Time between two.");
    headers_at(t, &O::headers).doc("Further headers; they replace those of all.");
    return t.take();
  }();
  return rows;
}

const FieldRows& heartbeat_fields() {
  static const FieldRows rows = [] {
    using O = HeartbeatOptions;
    FieldTable<O> t("Small messages at fixed intervals that prove the way from end to end.");
    t.link("target", &O::target).doc("System to publish to.");
    t.own("url", FieldKind::kText, "",
          [](ReadContext& c, const YamlNode& n, const FieldRow&, O& options) { read_replicator_url(c, n, options.target); })
        .doc("The same as a comma list of URLs.");
    tls_at(t, "tls", &O::tls).doc("TLS files.");
    choria_login_at(t, "choria", &O::choria).doc("Login at a Choria broker.");
    choria_time(t, "interval", "10s", [](O& o) -> std::chrono::nanoseconds& { return o.interval; }).doc("Time between two.");
    headers_at(t, &O::headers).doc("Headers of all.");
    t.flag("leader_election", &O::leader_election).doc("Only one replicator of this name sends them.");
    t.section_list("subjects", &O::subjects, heartbeat_subject_fields());
    return t.take();
  }();
  return rows;
}

}  // namespace

const FieldRows& replicator_fields() {
  static const FieldRows rows = [] {
    using O = ReplicatorOptions;
    FieldTable<O> t("Copies streams between systems.");
    t.text("name", &O::name).doc("Name of this replicator in the header of copied messages.");
    t.text("state_dir", &O::state_dir)
        .shown_as("<store.dir>/replicator")
        .doc("Folder for positions and trackers, beside what the targets tell themselves.");
    t.text("state_store", &O::state_dir).shown_as("").doc("Another name of `state_dir`.");
    t.text("election_bucket", &O::election_bucket).doc("Key-value bucket of the elections, at the source; it must exist.");
    t.flag("choria_metrics", &O::choria_metrics).doc("Also show figures under the names of Choria's Stream Replicator.");
    tls_at(t, "tls", &O::tls).doc("TLS files of all copies.");
    choria_login_at(t, "choria", &O::choria).doc("Login at a Choria broker, all copies.");
    t.section_list("streams", &O::streams, copy_fields());
    t.section("heartbeats", &O::heartbeats, heartbeat_fields());
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
