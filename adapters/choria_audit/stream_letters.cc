#include "adapters/choria_audit/letters.h"
#include "adapters/stream_ingest.h"

namespace sluice {
namespace {

class StreamLetters final : public AuditLetters {
 public:
  StreamLetters(Env& env, StreamClient& client, const std::string& adapter)
      : ingest_(env, client, {.adapter = adapter, .max_in_flight_count = 64}) {}

  void prepare(std::move_only_function<void(Status)> done) override { ingest_.prepare_dead_letters(std::move(done)); }
  bool healthy() const override { return ingest_.healthy(); }
  Offer dead_letter(const DeadLetter& letter, Stored stored) override { return ingest_.dead_letter(letter, std::move(stored)); }
  void on_room(std::move_only_function<void()> room) override { ingest_.on_room(std::move(room)); }
  size_t in_flight() const override { return ingest_.in_flight(); }
  void stop() override { ingest_.stop(); }

 private:
  StreamIngest ingest_;
};

}  // namespace

std::unique_ptr<AuditLetters> make_stream_letters(Env& env, StreamClient& client, const std::string& adapter) {
  return std::make_unique<StreamLetters>(env, client, adapter);
}

}  // namespace sluice
