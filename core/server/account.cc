#include "server/account.h"

#include "base/check.h"
#include "server/subject_mappings.h"

namespace sluice {

Account::Account(AccountOptions options, Executor& executor, Random& random,
                 Congestion& congestion)
    : router_(executor, random, congestion) {
  change(std::move(options));
}

void Account::change(AccountOptions options) {
  options_ = std::move(options);
  mappings_.reset();
  if (options_.mappings.empty()) return;
  auto mappings = SubjectMappings::make(options_.mappings, {});
  SLUICE_CHECK(mappings.has_value());  // check_options() has seen them
  mappings_ = std::make_unique<SubjectMappings>(std::move(*mappings));
}

Account::~Account() = default;

}  // namespace sluice
