// The JetStream API of an account that has none: every request is told so.
#pragma once

#include <cstdint>
#include <memory>

#include "bus/bus.h"

namespace sluice {

class ApiRefusal {
 public:
  virtual ~ApiRefusal() = default;
  /// Answers each verb with `api_code`, such as 10039. The bus outlives it.
  static std::unique_ptr<ApiRefusal> make(Bus& bus, uint16_t api_code);
};

}  // namespace sluice
