// Verbs with words of their own; each file adds its words to the command line.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace sluice {

/// What to run once the whole line has been understood. @return the exit code.
using VerbRun = std::function<int()>;

void add_audit_verbs(CLI::App& app, VerbRun& run);
void add_election_verbs(CLI::App& app, VerbRun& run);
void add_dlq_verbs(CLI::App& app, VerbRun& run);
void add_history_verb(CLI::App& app, VerbRun& run);
void add_import_verbs(CLI::App& app, VerbRun& run);
void add_kv_verbs(CLI::App& app, VerbRun& run);
void add_object_verbs(CLI::App& app, VerbRun& run);
void add_governor_verbs(CLI::App& app, VerbRun& run);
void add_replay_verb(CLI::App& app, VerbRun& run);
void add_spool_verbs(CLI::App& app, VerbRun& run);
void add_replicate_verb(CLI::App& app, VerbRun& run);
void add_replicator_verbs(CLI::App& app, VerbRun& run);
void add_replicator_advisories_verb(CLI::App& replicator, VerbRun& run);
void add_replicator_gossip_verb(CLI::App& replicator, VerbRun& run);
void add_verify_verb(CLI::App& app, VerbRun& run);
void add_store_verbs(CLI::App& app, VerbRun& run);
void add_submit_verb(CLI::App& app, VerbRun& run);

}  // namespace sluice
