// One account: a world of subjects of its own, with its limits and its figures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "server/account_options.h"
#include "server/router.h"

namespace sluice {

class SubjectMappings;

struct AccountCounters {
  uint64_t in_msgs = 0;
  uint64_t in_bytes = 0;  ///< headers and payload
  uint64_t out_msgs = 0;
  uint64_t out_bytes = 0;
  uint64_t slow_consumers = 0;
  uint64_t total_connections = 0;
};

/// Loop thread only. Lives as long as the server; what its options say may change.
class Account {
 public:
  Account(AccountOptions options, Executor& executor, Random& random, Congestion& congestion);
  ~Account();
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  const std::string& name() const { return options_.name; }
  const AccountOptions& options() const { return options_; }
  /// Takes other options, checked and of the same name. What exists of JetStream, imports and
  /// clients is for others to bring in line.
  void change(AccountOptions options);
  Router& router() { return router_; }
  const Router& router() const { return router_; }
  bool is_system() const { return is_system_; }
  void set_system() { is_system_ = true; }
  /// What tools show beside the name.
  const std::string& display_name() const {
    return options_.display_name.empty() ? options_.name : options_.display_name;
  }

  /// nullptr when it maps nothing, which is all that a publish asks.
  const SubjectMappings* mappings() const { return mappings_.get(); }

  bool has_room_for_connection() const {
    return options_.max_connections < 0 ||
           connections < static_cast<size_t>(options_.max_connections);
  }

  AccountCounters counters;
  size_t connections = 0;    ///< of clients
  size_t leaf_connections = 0;

 private:
  AccountOptions options_;
  bool is_system_ = false;
  Router router_;
  std::unique_ptr<SubjectMappings> mappings_;
};

}  // namespace sluice
