// A command line's connection to a daemon, used one step after the other: each call runs the loop until
// its answer is there.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "client/link_options.h"
#include "client/stream_client.h"
#include "uv/env.h"

namespace CLI {
class App;
}

namespace sluice {

/// Where the daemon is. Without `server` the local configuration's client port is taken, and with no
/// such file 127.0.0.1:4222.
struct SessionOptions {
  std::string server;
  std::string credentials_file;
  std::string user;
  std::string password;
  std::string config_path;
  std::string tls_ca_file;
  std::string tls_cert_file;
  std::string tls_key_file;
  std::string api_prefix = "$JS.API";
};

/// --server, --creds, --user, --tlsca, --tlscert, --tlskey, --config, --js-domain, each with its environment variable; the
/// password only by variable, as command lines are seen by everybody.
std::shared_ptr<SessionOptions> add_session_options(CLI::App& verb);

inline constexpr std::string_view kDefaultConfigPath = "/etc/sluice/sluice.yaml";

/// One thread. Nothing in here may be called from inside a callback of the loop.
class Session {
 public:
  /// Connects; an error says where to, what went wrong and what to do.
  static Result<std::unique_ptr<Session>> open(const SessionOptions& options, std::string_view program);
  /// Without a connection of its own: only env(), loop(), await() and connect().
  static std::unique_ptr<Session> unconnected();
  ~Session();

  Env& env() { return world_.env(); }
  Loop& loop() { return world_.loop(); }
  StreamClient& client() { return *client_; }
  NatsLink& link() { return *link_; }
  const std::string& api_prefix() const { return api_prefix_; }

  /// Runs the loop until `start`'s callback has its result.
  template <class T>
  Result<T> await(const std::function<Ticket(std::move_only_function<void(Result<T>)>)>& start) {
    std::optional<Result<T>> got;
    Ticket call = start([&](Result<T> result) { got = std::move(result); });
    if (!loop().run_until([&] { return got.has_value(); }, kCallLimit))
      return fail(Errc::kTimeout, "no answer");
    return std::move(*got);
  }
  /// One more connection of the same loop, to another daemon. It does not outlive the session.
  struct Connection {
    std::unique_ptr<NatsLink> link;
    std::string api_prefix;
  };
  Result<Connection> connect(const SessionOptions& options, std::string_view program);
  Result<Connection> connect(const LinkOptions& link, std::string api_prefix);
  Result<std::string> api(std::string_view verb, std::string_view target, std::string_view body = "");
  Result<PubAck> publish(std::string_view subject, std::string_view headers, std::string_view payload);
  /// kNotFound when nothing matches.
  Result<StoredCopy> last_message(std::string_view stream, std::string_view filter);
  Result<StoredCopy> message(std::string_view stream, uint64_t seq);

 private:
  static constexpr std::chrono::seconds kCallLimit{30};
  Session() = default;

  UvEnv world_;
  std::string api_prefix_;
  std::unique_ptr<NatsLink> link_;
  std::unique_ptr<StreamClient> client_;
};

/// "sluice: <what>" on standard error. @return kExitFailure.
int complain(std::string_view what);
int complain(const Error& why);
/// Opens a session and runs `work` with it.
int with_session(const SessionOptions& options, const std::function<int(Session&)>& work);
/// As which this machine takes part when nobody says another name.
std::string own_host_name();
/// Asks "<question> (y/N)"; without a terminal the answer is no.
bool confirm(std::string_view question);

}  // namespace sluice
