// Several accounts over one store directory: each sees a Store with its own streams only.
//
// On disk the global account's streams carry their bare names, as ever; those of other accounts are
// "<account>/<stream>" (a stream's name holds no '/'). Streams of accounts that nobody opened stay
// as they are.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "store/store.h"

namespace sluice {

/// Loop thread only. The store outlives it, and it the accounts' stores.
class AccountStores {
 public:
  explicit AccountStores(Store& store);
  ~AccountStores();
  AccountStores(const AccountStores&) = delete;
  AccountStores& operator=(const AccountStores&) = delete;

  /// The part of `account`; "" = the global one. Once for each account.
  std::unique_ptr<Store> open(std::string_view account);

  Store& whole() { return store_; }

 private:
  class Part;

  Store& store_;
  /// Whose consumer it is: who gives the snapshot.
  std::map<ConsumerKey, Part*> owners_;
};

}  // namespace sluice
