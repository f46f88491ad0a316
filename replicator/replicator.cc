#include "replicator/replicator.h"

#include <fmt/format.h>

#include <utility>

namespace sluice {

/// Links outlive the clients on them, those outlive the copy.
struct Replicator::Copy {
  std::unique_ptr<NatsLink> source_link;
  std::unique_ptr<NatsLink> target_link;
  std::unique_ptr<StreamClient> source;
  std::unique_ptr<StreamClient> target;
  std::unique_ptr<StreamCopy> copy;
};

Replicator::Replicator(Env& env, ReplicatorOptions options, LinkFactory make_link)
    : env_(env), options_(std::move(options)), make_link_(std::move(make_link)) {}

Replicator::~Replicator() = default;

Status Replicator::start() {
  for (const StreamCopyOptions& wanted : options_.streams) {
    auto made = std::make_unique<Copy>();
    const std::string worker = wanted.name.empty() ? wanted.stream : wanted.name;
    auto link = [&](LinkOptions where, const char* side) {
      if (where.name.empty()) where.name = fmt::format("sluice replicator {} {}", worker, side);
      return make_link_(where);
    };
    auto source = link(wanted.source, "source");
    if (!source) return std::unexpected(source.error());
    auto target = link(wanted.target, "target");
    if (!target) return std::unexpected(target.error());
    made->source_link = std::move(*source);
    made->target_link = std::move(*target);
    made->source = StreamClient::make(env_, *made->source_link);
    made->target = StreamClient::make(env_, *made->target_link);
    made->copy = std::make_unique<StreamCopy>(env_, wanted, options_.name, options_.state_dir,
                                              *made->source, *made->target);
    copies_.push_back(std::move(made));
  }
  for (auto& copy : copies_) copy->copy->start();
  return {};
}

void Replicator::stop(std::move_only_function<void()> done) {
  stopped_ = std::move(done);
  stopping_ = copies_.size() + 1;
  auto one_less = [this] {
    if (--stopping_ == 0) {
      auto finished = std::exchange(stopped_, nullptr);
      finished();
    }
  };
  for (auto& copy : copies_) copy->copy->stop(one_less);
  one_less();
}

std::vector<Replicator::CopyView> Replicator::copies() const {
  std::vector<CopyView> views;
  for (const auto& copy : copies_) views.push_back({copy->copy->options(), copy->copy->figures()});
  return views;
}

void Replicator::collect(MetricSink& sink) const {
  for (const auto& entry : copies_) {
    const CopyFigures& f = entry->copy->figures();
    const MetricLabels labels{{"copy", entry->copy->options().name}};
    auto count = [&](std::string_view name, std::string_view help, uint64_t value) {
      sink.counter(name, help, labels, static_cast<double>(value));
    };
    count("sluice_replicator_read_messages_total", "Messages taken from the source", f.read);
    count("sluice_replicator_copied_messages_total", "Messages that the target has acknowledged", f.copied);
    count("sluice_replicator_copied_bytes_total", "Their subjects, headers and payloads", f.copied_bytes);
    count("sluice_replicator_repeated_messages_total", "Messages the source delivered again, left out", f.repeated);
    count("sluice_replicator_sessions_total", "Times the copy asked both ends where they stand", f.sessions);
    count("sluice_replicator_renamed_ids_total", "Messages stored under a message id of ours", f.renamed_ids);
    sink.gauge("sluice_replicator_source_sequence", "Newest source sequence on the target", labels,
               static_cast<double>(f.source_seq.value()));
    sink.gauge("sluice_replicator_blocked", "1 while a person is needed", labels,
               f.state == CopyState::kBlocked ? 1 : 0);
    // No figure rather than a wrong one: the lag is left out while the source can't be asked.
    if (f.lag) {
      sink.gauge("sluice_replicator_lag_messages", "Messages behind the source's end, asked independently",
                 labels, static_cast<double>(*f.lag));
    }
  }
}

}  // namespace sluice
