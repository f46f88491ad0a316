#include "monitor/page_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/parse_number.h"

namespace sluice {
namespace {

/// How a $SYS request names what HTTP names otherwise.
std::string http_name(const std::string& member) {
  if (member == "subscriptions") return "subs";
  if (member == "account") return "acc";
  if (member == "deleted_details" || member == "leader_only") {
    std::string out = member;
    std::ranges::replace(out, '_', '-');
    return out;
  }
  return member;
}

}  // namespace

Result<PageQuery> PageQuery::of_json(std::string_view text, Parameters first) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return PageQuery(std::move(first));
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return fail(Errc::kInvalidArgument, "the request is no JSON object");
  Parameters out = std::move(first);
  for (const auto& [name, value] : json.items()) {
    if (name == "subscriptions_detail" && value == true) {
      out.insert(out.begin(), {"subs", "detail"});
    } else if (name == "state" && value.is_number_integer()) {
      constexpr std::array kStates{"open", "closed", "any"};
      const auto state = value.get<int64_t>();
      if (state < 0 || state > 2) return fail(Errc::kInvalidArgument, "invalid state");
      out.emplace_back("state", kStates[static_cast<size_t>(state)]);
    } else if (value.is_string()) {
      out.emplace_back(http_name(name), value.get<std::string>());
    } else if (value.is_number() || value.is_boolean()) {
      out.emplace_back(http_name(name), value.dump());
    }
  }
  return PageQuery(std::move(out));
}

std::string_view PageQuery::text(std::string_view name) const {
  for (const auto& [key, value] : parameters_) {
    if (key == name) return value;
  }
  return {};
}

bool PageQuery::has(std::string_view name) const { return !text(name).empty(); }

Result<bool> PageQuery::flag(std::string_view name) const {
  using namespace std::string_view_literals;
  constexpr std::array kOn{"1"sv, "t"sv, "T"sv, "true"sv, "TRUE"sv, "True"sv};
  constexpr std::array kOff{""sv, "0"sv, "f"sv, "F"sv, "false"sv, "FALSE"sv, "False"sv};
  const std::string_view word = text(name);
  if (std::ranges::find(kOff, word) != kOff.end()) return false;
  if (std::ranges::find(kOn, word) != kOn.end()) return true;
  return fail(Errc::kInvalidArgument,
              fmt::format("Error decoding boolean for '{}': strconv.ParseBool: parsing \"{}\": "
                          "invalid syntax",
                          name, word));
}

Result<int64_t> PageQuery::integer(std::string_view name, int64_t otherwise) const {
  const std::string_view word = text(name);
  if (word.empty()) return otherwise;
  if (auto number = parse_decimal<int64_t>(word)) return *number;
  return fail(
      Errc::kInvalidArgument,
      fmt::format("Error decoding int for '{}': strconv.Atoi: parsing \"{}\": invalid syntax", name,
                  word));
}

}  // namespace sluice
