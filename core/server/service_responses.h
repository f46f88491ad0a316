// Where the answers of an account's services go back to: replies of requests that came from other
// accounts.
//
// A request is passed on with the reply "_R_.<token>". One subscription of the exporting account
// hears all of these and publishes each answer to the requester's own reply, in its account. An entry
// ends with its answer (singleton), with an empty message (stream, chunked), or when the answer is
// late.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "io/env.h"
#include "server/account_options.h"
#include "server/service_latency.h"

namespace sluice {

class Account;
class Router;
struct Message;
struct Origin;

/// Routes the message in the other account by `route_there`. Its subject is renamed with it, unless
/// it is another than the route (what a consumer delivers): that one clients want to see.
size_t hand_on(Router& to, std::string_view route_here, std::string_view route_there,
               const Message& message, const Origin& origin);

/// Loop thread only. Goes before the accounts' routers do.
class ServiceResponses {
 public:
  static constexpr size_t kMaxOpen = 65'536;  ///< of one account; beyond it requests are refused
  static constexpr std::chrono::minutes kDefaultThreshold{2};

  using ClientInfo = std::function<LatencyClient(uint64_t connection_id, bool everything)>;

  ServiceResponses(Env& env, Account& exporter, ClientInfo client_info);
  ~ServiceResponses();
  ServiceResponses(const ServiceResponses&) = delete;
  ServiceResponses& operator=(const ServiceResponses&) = delete;

  /// @param threshold 0 = kDefaultThreshold
  /// @param measure   nullptr = nobody wants to know how long it takes
  /// @return the reply to pass on; "" when too many are open.
  std::string open(Account& importer, std::string_view reply, ResponseType type,
                   std::chrono::nanoseconds threshold,
                   std::unique_ptr<LatencyMeasure> measure = nullptr);
  /// Nobody took the request.
  void cancel(std::string_view passed_reply);

  size_t open_count() const { return entries_.size(); }
  uint64_t expired_count() const { return expired_; }
  uint64_t refused_count() const { return refused_; }

 private:
  class Listener;
  struct Entry {
    Account* importer;
    std::string reply;
    ResponseType type;
    std::chrono::nanoseconds threshold;
    MonoTime deadline;
    std::unique_ptr<LatencyMeasure> measure = nullptr;
    bool asker_gone = false;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  using Entries = std::unordered_map<std::string, Entry, Hash, std::equal_to<>>;

  Entries::const_iterator entry(std::string_view passed_reply) const;
  bool take(const Message& message, const Origin& origin);
  bool answer(Account& importer, std::string_view reply, const Message& message, const Origin& origin);
  bool interested(std::string_view subject) const;
  void listen();
  void sweep();
  void asker_gone(std::string_view token);

  Env& env_;
  Account& exporter_;
  ClientInfo client_info_;
  Entries entries_;
  Listener* listener_ = nullptr;  ///< owned by the exporter's router
  std::unique_ptr<Timer> sweep_timer_;
  uint64_t expired_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace sluice
