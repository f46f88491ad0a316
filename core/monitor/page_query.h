// What a page was asked: parameters of an HTTP query, or the members of a $SYS request's JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace sluice {

class PageQuery {
 public:
  using Parameters = std::vector<std::pair<std::string, std::string>>;

  PageQuery() = default;
  explicit PageQuery(Parameters parameters) : parameters_(std::move(parameters)) {}
  /// Members that are texts, numbers and booleans, under the names that HTTP has for them; empty
  /// text = nothing asked. kInvalidArgument when it is no JSON object.
  /// `first` go before them.
  static Result<PageQuery> of_json(std::string_view text, Parameters first = {});

  /// The first of that name; "" when there is none.
  std::string_view text(std::string_view name) const;
  bool has(std::string_view name) const;
  /// kInvalidArgument in the reference's words when it is no boolean. Missing = false.
  Result<bool> flag(std::string_view name) const;
  /// `otherwise` when it is missing.
  Result<int64_t> integer(std::string_view name, int64_t otherwise) const;

 private:
  Parameters parameters_;
};

}  // namespace sluice
