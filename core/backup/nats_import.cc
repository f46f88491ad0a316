#include "backup/nats_import.h"

#include <utility>

#include <fmt/format.h>

namespace sluice {

Result<std::unique_ptr<NatsImport>> NatsImport::begin(Streams& streams, Consumers& consumers, NatsStreamFiles& files) {
  std::unique_ptr<NatsImport> out(new NatsImport(streams, consumers, files));
  const NatsSurvey& survey = files.survey();
  // The end of an emptied stream is set by finish(), with its time.
  const StreamSeq first = survey.messages > 0 ? survey.first : StreamSeq(1);
  auto into = streams.restore(files.config(), first);
  if (!into) return std::unexpected(into.error());
  out->into_ = *std::move(into);
  return out;
}

Status NatsImport::take_block(size_t block, std::move_only_function<void()> durable) {
  auto taken = files_.read_block(block, [this](const StoredMessage& message) -> Status {
    auto stored = into_->append(message);
    if (stored) ++messages_;
    return stored;
  });
  if (taken) into_->when_durable(std::move(durable));
  return taken;
}

Result<Stream*> NatsImport::finish() {
  auto made = into_->finish(files_.survey().last, files_.survey().last_time);
  if (!made) return made;
  for (const PortableConsumer& saved : files_.consumers()) {
    const auto restored = consumers_.restore(**made, saved);
    if (restored) {
      ++consumers_taken_;
      continue;
    }
    const std::string why = fmt::format("consumer {}: {} ({})", saved.config.durable_name, restored.error().detail, restored.error().api_code);
    if (files_.config().retention != Retention::kLimits) {
      (void)streams_.remove(files_.config().name);
      return fail(Errc::kUnsupported, why);
    }
    left_out_.push_back(why);
  }
  return made;
}

}  // namespace sluice
