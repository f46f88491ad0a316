// The streams that a Choria broker makes by itself.
#include <fmt/format.h>

#include "config/config.h"
#include "config/sections.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

/// A row of one stream, with rows of its own below it.
FieldTable<AutoStreamSettings> stream_table(const char* sentence, const char* time_name, const char* time_sentence,
                                            std::chrono::nanoseconds low, std::chrono::nanoseconds high, const char* shown) {
  using O = AutoStreamSettings;
  FieldTable<O> t(sentence);
  t.flag("enabled", &O::enabled).doc("Make it when it is missing.");
  t.time(time_name, &O::retention).between(low, high).shown_as(shown).doc(time_sentence);
  t.count("replicas", &O::replicas).between(0, 5).doc("Copies in a cluster; 0: `core.replicas`.");
  t.size("max_size", &O::max_bytes).doc("Bytes it may take; 0: no limit.");
  return t;
}

const FieldRows& kept_rows(const char* shown, const char* sentence) {
  static std::map<std::string, FieldRows> made;
  auto [at, fresh] = made.try_emplace(std::string(shown) + sentence);
  if (fresh)
    at->second = stream_table(sentence, "retention", "Messages older than this go.", seconds(1), hours(24 * 3660), shown).take();
  return at->second;
}

const FieldRows& election_rows() {
  static const FieldRows rows =
      stream_table("The bucket of leader elections, `KV_CHORIA_LEADER_ELECTION`.", "ttl",
                   "Lease of a leader; candidates of Choria and of Sluice read it from here.", seconds(2), hours(1), "1m")
          .take();
  return rows;
}

}  // namespace

const FieldRows& auto_streams_fields() {
  static const FieldRows rows = [] {
    using O = AutoStreamsSettings;
    FieldTable<O> t(
        "Streams that a Choria broker makes by itself, with its names and options, and one for audit records. Each is made when it is missing and follows this file "
        "as long as nobody else edits it; what an operator changed stays, and the difference is logged.");
    t.section("events", &O::events, kept_rows("1d", "Lifecycle events of the fleet, `CHORIA_EVENTS`."));
    t.section("machine", &O::machine, kept_rows("1d", "Autonomous agents and Scout checks, `CHORIA_MACHINE`."));
    t.section("advisories", &O::advisories, kept_rows("7d", "JetStream's advisories, `CHORIA_STREAM_ADVISORIES`."));
    t.section("executor", &O::executor, kept_rows("1d", "Output of long running commands, `CHORIA_EXECUTOR`."));
    t.section("audit", &O::audit, kept_rows("365d", "RPC audit records of all nodes, `CHORIA_AUDIT`: subjects `choria.audit.>`; nothing can be deleted from it."));
    t.text("executor_collective", &O::executor_collective)
        .doc("Collective whose nodes submit executor events; Choria's own nodes do so in `choria` only.");
    t.section("leader_election", &O::leader_election, election_rows());
    return t.take();
  }();
  return rows;
}

}  // namespace sluice
