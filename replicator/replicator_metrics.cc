// The replicator's figures for /metrics: ours, and on request under Stream Replicator's names.
#include <string>
#include <tuple>
#include <utility>

#include "replicator/replicator.h"

namespace sluice {
namespace {

using View = Replicator::CopyView;

double number(uint64_t value) { return static_cast<double>(value); }

void collect_copy(MetricSink& sink, const View& view) {
  const CopyFigures& f = view.figures;
  const Ledger& ledger = f.position.ledger;
  const std::string id = view.options.id();
  const MetricLabels labels{{"copy", id}};
  auto count = [&](std::string_view name, std::string_view help, uint64_t value) { sink.counter(name, help, labels, number(value)); };
  auto gauge = [&](std::string_view name, std::string_view help, double value) { sink.gauge(name, help, labels, value); };
  count("sluice_replicator_passed_messages_total", "Source messages accounted for since the copy first began.", ledger.read);
  const std::pair<std::string_view, uint64_t> outcomes[] = {
      {"copied", ledger.copied},   {"filtered", ledger.filtered}, {"sampled", ledger.sampled},
      {"expired", ledger.expired}, {"dead_lettered", ledger.dead_lettered}, {"removed_at_source", ledger.removed},
      {"purged_at_source", ledger.purged}, {"lost_with_old_source", ledger.recreated}};
  for (const auto& [outcome, value] : outcomes) {
    sink.counter("sluice_replicator_messages_total", "What became of them; the outcomes add up to those passed.",
                 {{"copy", id}, {"outcome", outcome}}, number(value));
  }
  count("sluice_replicator_copied_bytes_total", "Payloads that the target has acknowledged.", f.copied_bytes);
  count("sluice_replicator_repeated_messages_total", "Messages the source delivered again, left out.", f.repeated);
  count("sluice_replicator_sessions_total", "Times the copy asked both ends where they stand.", f.sessions);
  count("sluice_replicator_failures_total", "Sessions that ended by themselves.", f.failures);
  count("sluice_replicator_gaps_total", "Times that source messages vanished before they were copied.", f.gaps);
  count("sluice_replicator_renamed_ids_total", "Messages stored under a message id of ours.", f.renamed_ids);
  if (!view.options.fence_subject.empty())
    count("sluice_replicator_fence_refused_total", "Sessions that ended because their mark on the target stood no more.", f.fence_refused);
  gauge("sluice_replicator_source_sequence", "Source sequence up to which all is accounted for.", number(f.position.source_seq.value()));
  gauge("sluice_replicator_blocked", "1 while a person is needed.", f.state == CopyState::kBlocked ? 1 : 0);
  gauge("sluice_replicator_stalled", "1 when neither a message was copied nor the source seen to have none for 8 s.", view.lag.stalled ? 1 : 0);
  gauge("sluice_replicator_paused", "1 while it rests: by a person's word, or another one leads.", f.state == CopyState::kPaused ? 1 : 0);
  gauge("sluice_replicator_in_flight_messages", "On their way to the target.", number(f.in_flight));
  gauge("sluice_replicator_window_bytes", "What may be on its way at once, by the link's measured rate.", number(f.window_bytes));
  gauge("sluice_replicator_pace_bytes_per_second", "What may be sent now, by the pace; 0 = no bound.", number(f.pace_rate));
  for (const auto& [end, traffic] : {std::pair("source", &f.source_link), std::pair("target", &f.target_link)}) {
    const std::tuple<const char*, const char*, uint64_t> flows[] = {{"sent", "plain", traffic->sent},
                                                                    {"sent", "wire", traffic->sent_on_wire},
                                                                    {"received", "plain", traffic->received},
                                                                    {"received", "wire", traffic->received_on_wire}};
    for (const auto& [direction, form, bytes] : flows) {
      sink.counter("sluice_replicator_link_bytes_total", "Bytes of the copy's connections, as they are and as they cross the network.",
                   {{"copy", id}, {"end", end}, {"direction", direction}, {"form", form}}, number(bytes));
    }
  }
  gauge("sluice_replicator_latency_seconds", "From the source's store to the target's ack, of the newest copy.", f.last_latency_seconds);
  // No figure rather than a wrong one: the lag is left out while the source can't be asked.
  if (view.lag.messages)
    gauge("sluice_replicator_lag_messages", "Source sequences behind the source's end, asked independently.", number(*view.lag.messages));
  if (view.lag.seconds)
    gauge("sluice_replicator_lag_seconds", "Age of the oldest message not copied yet.", *view.lag.seconds);
  if (view.limiter == nullptr) return;
  gauge("sluice_replicator_tracked_values", "Values known to the sampling.", number(view.limiter->tracker().size()));
  count("sluice_replicator_tracker_evictions_total", "Values forgotten because the tracker was full.", view.limiter->tracker().evicted());
  if (const TrackerBucket* bucket = view.limiter->bucket()) {
    const TrackerBucketFigures& kept = bucket->figures();
    count("sluice_replicator_tracker_bucket_writes_total", "Items of the sampling state written to its bucket.", kept.written);
    count("sluice_replicator_tracker_bucket_failures_total", "Such writes that failed and are tried again.", kept.failed);
    count("sluice_replicator_tracker_bucket_refused_total", "Such writes that were refused because another leader's term has begun.", kept.refused);
    count("sluice_replicator_tracker_bucket_unread_total", "Times that sampling began without the state in its bucket.", kept.unread);
    gauge("sluice_replicator_tracker_bucket_waiting", "Items that wait to be written.", number(bucket->waiting()));
  }
  if (const Advisor* advisor = view.limiter->advisor()) {
    for (const AgeEvent event : kAgeEvents) {
      sink.counter("sluice_replicator_advisories_total", "Advisories sent.", {{"copy", id}, {"event", to_string(event)}},
                   number(advisor->told(event)));
    }
    count("sluice_replicator_advisory_failures_total", "Advisories given up.", advisor->failed());
    count("sluice_replicator_advisories_dropped_total", "Advisories dropped with a full queue or a lost lead.", advisor->dropped());
  }
}

/// Only figures of this process, as the original has it.
void collect_choria(MetricSink& sink, const View& view, const std::string& replicator) {
  const CopyFigures& f = view.figures;
  const std::string prefix = "choria_stream_replicator_";
  const MetricLabels labels{{"stream", view.options.stream}, {"replicator", replicator}, {"worker", view.options.name}};
  auto count = [&](const char* name, const char* help, uint64_t value) { sink.counter(prefix + name, help, labels, number(value)); };
  count("replicator_total_messages", "The total number of messages processed including ones that would be ignored", f.copied + f.skipped + f.expired);
  count("replicator_total_bytes", "The size of messages processed including ones that would be ignored", f.read_bytes);
  count("replicator_handler_error_count", "The number of times the handler failed to process a message", f.failures);
  count("replicator_too_old_messages", "The number of messages that were discarded for being too old", f.expired);
  count("replicator_copied_messages", "The number of messages that were copied", f.copied);
  count("replicator_copied_bytes", "The size of messages that were copied", f.copied_bytes);
  count("replicator_skipped_messages", "The number of messages that were skipped due to limiter configuration", f.skipped);
  count("replicator_skipped_bytes", "The size of messages that were skipped due to limiter configuration", f.skipped_bytes);
  count("replicator_meta_parse_failed_count", "The number of times a message metadata could not be parsed", 0);
  count("replicator_ack_failed_count", "The number of times an ack failed", 0);
  count("replicator_consumer_recreated", "The number of times the consumer had to be recreated", f.sessions);
  count("replicator_processing_time_seconds_count", "Messages whose processing was timed", f.processed);
  sink.counter(prefix + "replicator_processing_time_seconds_sum", "How long they took from reading to settling, summed", labels, f.processing_seconds);
  const bool leads = view.leadership == nullptr || view.leadership->leads();
  sink.gauge(prefix + "replicator_stream_sequence", "The stream sequence of the last message received from the consumer", labels,
             leads ? number(f.position.source_seq.value()) : 0);
  if (view.limiter != nullptr) {
    sink.gauge(prefix + "tracker_total_items", "The number of entries in the tracker", labels, number(view.limiter->tracker().size()));
    sink.gauge(prefix + "tracker_seen_by_gossip", "Number of entries that are tracked via gossip synchronization", labels, number(view.limiter->figures().gossip_heard));
    const std::string consumer = worker_consumer_name(view.options.name);
    const MetricLabels limits{{"limiter", "memory"}, {"stream", consumer}, {"replicator", replicator}};
    sink.counter(prefix + "limiter_messages_without_limit_field_count", "The number of messages that did not have the data field or header used for limiting", limits, number(view.limiter->figures().without_value));
    sink.counter(prefix + "limiter_messages_copy_forced_count", "The number of messages that were copied due to the force field being set", limits, number(view.limiter->figures().forced));
    if (const Advisor* advisor = view.limiter->advisor()) {
      for (const AgeEvent event : kAgeEvents) {
        sink.counter(prefix + "advisor_total_messages", "The total number of advisories sent",
                     {{"advisory", to_string(event)}, {"stream", view.options.stream}, {"replicator", replicator}},
                     number(advisor->told(event)));
      }
      sink.counter(prefix + "advisor_publish_errors", "The number of times publishing advisories failed",
                   {{"stream", view.options.stream}, {"replicator", replicator}}, number(advisor->failed()));
    }
  }
  if (view.leadership != nullptr) {
    const ElectionOptions& e = view.leadership->options();
    sink.gauge(prefix + "election_leader", "1 while this candidate leads", {{"election", e.name}, {"identity", e.candidate}, {"replicator", replicator}}, leads ? 1 : 0);
    if (const Election* election = view.leadership->election()) {
      for (const bool led : {false, true}) {
        sink.counter(prefix + "election_campaigns", "The number of campaigns a specific candidate voted in",
                     {{"election", e.name}, {"identity", e.candidate}, {"state", led ? "leader" : "candidate"}, {"replicator", replicator}},
                     number(election->campaigns(led)));
      }
      sink.gauge(prefix + "election_interval_seconds", "The number of seconds between campaigns",
                 {{"election", e.name}, {"identity", e.candidate}, {"replicator", replicator}},
                 std::chrono::duration<double>(election->interval()).count());
    }
  }
}

}  // namespace

void Replicator::collect(MetricSink& sink) const {
  for (const View& view : copies()) {
    collect_copy(sink, view);
    if (options_.choria_metrics) collect_choria(sink, view, options_.name);
    if (view.leadership != nullptr && view.leadership->election() != nullptr) view.leadership->election()->collect(sink);
  }
  if (!heartbeat_) return;
  for (const Heartbeat::Figures& beat : heartbeat_->figures()) {
    const MetricLabels labels{{"subject", beat.subject}};
    sink.counter("sluice_replicator_heartbeats_total", "Heartbeats sent.", labels, number(beat.published));
    sink.counter("sluice_replicator_heartbeat_failures_total", "Heartbeats that no stream acknowledged.", labels, number(beat.failed));
    sink.gauge("sluice_replicator_heartbeat_ack_seconds", "Time to the ack of the last one.", labels, beat.last_seconds);
    if (!options_.choria_metrics) continue;
    const MetricLabels theirs{{"replicator", options_.name}, {"subject", beat.subject}};
    sink.counter("choria_stream_replicator_heartbeat_published_count", "The number of heartbeats published", theirs, number(beat.published));
    sink.counter("choria_stream_replicator_heartbeat_published_error_count", "The number of heartbeats that failed", theirs, number(beat.failed));
    sink.counter("choria_stream_replicator_heartbeat_publish_time_count", "Heartbeats whose publishing was timed", theirs, number(beat.timed));
    sink.counter("choria_stream_replicator_heartbeat_publish_time_sum", "Seconds they took to be acknowledged, summed", theirs, beat.sum_seconds);
  }
  if (!options_.choria_metrics) return;
  sink.gauge("choria_stream_replicator_heartbeat_subjects_count", "The number of heartbeat subjects", {{"replicator", options_.name}}, number(options_.heartbeats.subjects.size()));
  sink.gauge("choria_stream_replicator_heartbeat_paused", "1 while another one sends them", {{"replicator", options_.name}, {"hostname", host_}}, heartbeat_->active() ? 0 : 1);
}

}  // namespace sluice
