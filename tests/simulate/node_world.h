// A whole engine behind a simulated network: clients publish, consume and lose their connections,
// the server is killed and cut off; what clients were told must stay true.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/sim_env.h"
#include "simulate/tally.h"
#include "simulate/wire_client.h"

namespace sluice::simulate {

/// The engine under test, as the world sees it. Destroying it is the process's end.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Orderly stop; `done` once everything is on disk.
  virtual void stop(std::function<void()> done) = 0;
  /// Set when it can't serve (any more).
  virtual std::optional<std::string> failure() const = 0;
};

/// Starts an engine that keeps its data in "data/node" and listens for clients on port 4222.
using StartEngine = std::function<Result<std::unique_ptr<Engine>>(Env& env, uint64_t seed)>;
Result<std::unique_ptr<Engine>> start_node(Env& env, uint64_t seed);

class NodeWorld {
 public:
  NodeWorld(uint64_t seed, Tally& tally, bool trace, bool lying_disk, StartEngine start);
  ~NodeWorld();
  /// Throws Violation.
  void run();

 private:
  struct Publisher;
  struct Reader;

  void live(bool last);
  bool start();
  void stop(bool orderly);
  void keep_clients_going();
  void publish_some(Publisher& publisher);
  void got_ack(Publisher& publisher, uint64_t number, const std::string& json);
  void pull(Reader& reader);
  void got_message(Reader& reader, const WireMessage& message);
  void set_up(WireClient& client);
  void given_out(uint64_t seq, const std::string& payload, const char* how);
  void disturb_network();
  void wait_for_everything();
  [[noreturn]] void violated(const std::string& what) const;
  void note(const std::string& what);

  uint64_t seed_;
  Tally& tally_;
  bool trace_;
  StartEngine start_;
  sim::SimEnv sim_;
  sim::SimRandom& random_;
  Env server_env_;
  std::unique_ptr<Engine> engine_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::unique_ptr<WireClient> admin_;
  std::optional<std::string> broken_;  ///< found inside a callback; thrown outside
  uint64_t life_ = 0;
  uint64_t client_names_ = 0;
  bool stream_made_ = false;
  bool consumer_made_ = false;
  bool draining_ = false;

  std::map<uint64_t, std::string> given_;  ///< every sequence a client was told of, with its payload
  std::set<uint64_t> acked_;               ///< acknowledged to a publisher
  std::set<uint64_t> delivered_;
  struct Confirmed {
    MonoTime at{};
    uint64_t life = 0;
  };
  std::map<uint64_t, Confirmed> confirmed_;  ///< whose ack the server confirmed
};

}  // namespace sluice::simulate
