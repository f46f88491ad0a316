// What crosses between accounts: services and streams that one exports and another imports.
//
// A service import is a subscription in the importing account: a request on its subject is renamed,
// gets a reply of the exporter's (service_responses.h) and is published there. A stream import is a
// subscription in the exporting account: what it hears is renamed and published in the importing
// one. Nobody listening on the other side is nobody listening here: the 503 of a request and the
// interest of a consumer are decided at the end of the way. What came through a stream import goes
// through no other import.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/env.h"
#include "server/accounts.h"
#include "server/service_latency.h"

namespace sluice {

class ServiceResponses;

/// Whether the latency that an export asks for can be told. @return kInvalidArgument in the reference's words.
Status check_latency(const ExportOptions& exported);

/// Whether these imports are allowed, valid and free of cycles; for check_options().
/// @return kInvalidArgument: "service import not authorized", "stream import not authorized",
///   "import forms a cycle", …, with the account's name before it.
Status check_imports(const std::vector<AccountOptions>& accounts);

/// Takes out the imports that check_imports() would refuse: what operators' JWTs claim, others may not
/// grant (any more).
void drop_invalid_imports(std::vector<AccountOptions>& accounts);

/// All imports of a server. Loop thread only; goes before the accounts do.
class Imports {
 public:
  /// Who a connection is, as JSON: everything, or the account only. "" when it is no client.
  using ClientInfo = std::function<LatencyClient(uint64_t connection_id, bool everything)>;

  /// The accounts' options have passed check_imports().
  Imports(Env& env, Accounts& accounts, ClientInfo client_info);
  ~Imports();
  Imports(const Imports&) = delete;
  Imports& operator=(const Imports&) = delete;

  /// Takes down the imports of that account and makes those which its options say.
  void rebuild(Account& importer);

  /// Requests of other accounts that are not answered yet.
  size_t open_responses() const;
  uint64_t expired_responses() const;
  uint64_t refused_requests() const;

 private:
  class Service;
  class Stream;
  struct Link {
    Account* importer;
    Router* router;  ///< where the subscription is
    Subscription* subscription;
  };
  ServiceResponses& responses_of(Account& exporter);

  Env& env_;
  Accounts& accounts_;
  ClientInfo client_info_;
  const Message* imported_ = nullptr;  ///< the one that a stream import is just handing on
  std::vector<Link> links_;
  std::map<Account*, std::unique_ptr<ServiceResponses>> responses_;
};

}  // namespace sluice
