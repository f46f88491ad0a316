#include "config/spool_config.h"

#include <fmt/format.h>

#include <charconv>

#include "config/adapter_table.h"
#include "config/config_file.h"
#include "config/sections.h"

namespace sluice {
namespace {

/// "0660", in quotes or not: a file mode is octal, unlike every other number here.
void read_socket_mode(ReadContext& context, const YamlNode& node, const FieldRow&, SpoolConfig& config) {
  unsigned mode = 0;
  const char* end = node.text.data() + node.text.size();
  const auto parsed = std::from_chars(node.text.data(), end, mode, 8);
  if (node.kind != YamlNode::Kind::kScalar || parsed.ec != std::errc{} || parsed.ptr != end || mode > 0777)
    return context.problems.add(node.place, "a file mode such as '0660'");
  config.socket_mode = mode;
}

void read_metrics(ReadContext& context, const YamlNode& node, const FieldRow&, SpoolConfig& config) {
  if (const auto address = read_address(context, node)) {
    config.metrics_host = address->host;
    config.metrics_port = address->port;
  }
}

const FieldRows& limit_fields() {
  static const FieldRows rows = [] {
    using O = SpoolQueueOptions;
    FieldTable<O> t("How much is kept. What goes beyond is refused at its submission, never dropped later.");
    t.count("messages", &O::max_messages).between(1, 10'000'000).doc("Waiting messages of each priority.");
    t.size("bytes", &O::max_bytes).at_least(64 * 1024).doc("Bytes of all waiting messages.");
    t.time("age", &O::max_age).doc("Longest time a message may wait, whatever its own TTL; 0: its TTL alone decides.");
    t.size("payload", &O::max_payload_bytes).between(1, 8 * 1024 * 1024).doc("Largest payload of one message.");
    t.size("reserve", &O::reserve_bytes).doc("Disk space kept free, so that messages can leave when it is full.");
    t.count("quarantined", &O::max_quarantined).between(1, 10'000'000).doc("Messages in the quarantine; beyond it the oldest is forgotten.");
    t.size("quarantined_bytes", &O::max_quarantined_bytes).at_least(64 * 1024).doc("Bytes in the quarantine, likewise.");
    return t.take();
  }();
  return rows;
}

const FieldRows& signing_fields() {
  static const FieldRows rows = [] {
    using O = SpoolSenderOptions;
    FieldTable<O> t("What messages submitted with `sign` are signed with.");
    t.text("seed", &O::seed_file).doc("File with the ed25519 seed, 64 hexadecimal digits (Choria's server.seed).");
    t.text("token", &O::token_file).doc("File with the JWT sent along (Choria's server.jwt).");
    return t.take();
  }();
  return rows;
}

const FieldRows& spool_audit_fields() {
  static const FieldRows rows = [] {
    FieldTable<ChoriaAuditOptions> t("Follows this node's RPC audit log: each record is submitted; what is none goes to the quarantine.");
    add_audit_rows(t);
    return t.take();
  }();
  return rows;
}

/// What the start would say.
void validate_audit(ReadContext& context, SpoolConfig& config) {
  config.audit->spool = config.socket;
  if (config.socket.empty() || config.audit->file.empty() || config.audit->position_file.empty()) return;  // told as missing
  const auto fault = find_fault(*config.audit);
  if (!fault) return;
  const bool of_socket = fault->key == "spool";
  context.problems.add(context.place_of(of_socket ? "socket" : fmt::format("audit.{}", fault->key)), std::string(fault->text));
}

/// What no field can see alone.
void validate(ReadContext& context, SpoolConfig& config) {
  if (config.server.embedded() && context.problems.empty())
    context.problems.add(context.place_of("server"), "'server' must name the NATS system that messages are sent to");
  if (config.socket.empty() && config.folder.empty())
    context.problems.add(context.place_of("socket"), "with neither 'socket' nor 'folder' nothing can come in");
  if (config.audit && config.socket.empty())
    context.problems.add(context.place_of("audit"), "'audit' needs 'socket': records come in by the same door as everything");
  if (config.audit) validate_audit(context, config);
  if (config.audit && config.audit->sign && config.sender.seed_file.empty())
    context.problems.add(context.place_of("audit.sign"), "nothing to sign with: 'signing.seed' is missing");
  config.sender.subject_prefix = config.collective.empty() ? "" : config.collective + ".submission.in.";
  config.server.name = "sluice-spool";
  config.has_inbox_prefix = context.places.contains("server.inbox_prefix");
}

}  // namespace

const FieldRows& spool_config_fields() {
  static const FieldRows rows = [] {
    using O = SpoolConfig;
    FieldTable<O> t("");
    t.text("identity", &O::identity).doc("Of this node, sent as Choria-Identity; the host's name when empty.");
    t.link("server", &O::server).shown_as("").needed().doc("Where messages go: a gateway with the adapter choria_submission, or a JetStream.");
    t.text("collective", &O::collective)
        .doc("Main collective: subjects become `<collective>.submission.in.<subject>`. Empty: subjects go out as they are.");
    t.own("spool", FieldKind::kText, O{}.queue.dir,
          [](ReadContext& c, const YamlNode& n, const FieldRow&, O& config) {
            if (auto value = read_text(c, n)) config.queue.dir = std::move(*value);
          })
        .doc("Folder of the queue.");
    t.text("socket", &O::socket).doc("UNIX socket for submissions; empty: none.");
    t.own("socket_mode", FieldKind::kText, "0660", &read_socket_mode).doc("Its file mode: who may write to it may submit, look and drop.");
    t.text("folder", &O::folder)
        .doc("Folder P0 … P4 with Choria's files `*.msg`, taken in as they come; also a Choria spool to take over. Empty: none.");
    t.own("metrics", FieldKind::kAddress, "", &read_metrics).doc("Address to serve /metrics and /healthz at. It has no authentication.");
    t.section("limits", &O::queue, limit_fields());
    t.section("signing", &O::sender, signing_fields());
    t.own("ack_timeout", FieldKind::kTime, "2s",
          [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& config) {
            if (auto value = read_number(c, n, row)) config.sender.ack_timeout = std::chrono::nanoseconds(*value);
          })
        .between(std::chrono::milliseconds(100), std::chrono::minutes(5))
        .doc("How long an acknowledgement may take.");
    FieldRow& nobody = t.own("no_responders", FieldKind::kWord, "wait", [](ReadContext& c, const YamlNode& n, const FieldRow& row, O& config) {
      if (auto index = read_word(c, n, row)) config.sender.no_responders = *index == 0 ? NoResponders::kWait : NoResponders::kCount;
    });
    nobody.words = {"wait", "count"};
    nobody.doc("When nobody listens on a subject: wait until somebody does (or the TTL ends), or count a try, as Choria does.");
    t.time("alert_age", &O::alert_age)
        .between(std::chrono::seconds(0), std::chrono::hours(24 * 31))
        .doc("When a message waits longer, that is published on `sluice.advisory.alert.spool_age`, and once more when none does any more; 0: never. "
             "The login needs leave to publish there.");
    t.section("audit", &O::audit, spool_audit_fields());
    t.section("log", &O::log, log_fields());
    return t.take();
  }();
  return rows;
}

SpoolConfig parse_spool_config(std::string_view text, bool world_readable, const Environment& environment, Problems& problems) {
  SpoolConfig config;
  const auto root = parse_yaml(text, problems);
  if (!root) return config;
  ReadContext context{.problems = problems, .environment = environment};
  read_section(context, *root, spool_config_fields(), &config);
  if (world_readable) tell_open_secrets(context);
  validate(context, config);
  return config;
}

SpoolConfig load_spool_config(const std::string& path, const Environment& environment, Problems& problems) {
  const auto file = read_config_file(path, problems);
  return file ? parse_spool_config(file->text, file->world_readable, environment, problems) : SpoolConfig{};
}

}  // namespace sluice
