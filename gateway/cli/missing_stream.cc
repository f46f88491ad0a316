#include "gateway/cli/missing_stream.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace sluice {
namespace {

using Json = nlohmann::json;
constexpr uint16_t kStreamNotFound = 10059;
constexpr size_t kNamed = 8;

struct StreamNames {
  std::vector<std::string> first;  ///< kNamed at most
  size_t all = 0;
};

std::optional<StreamNames> ask_names(Session& session, StreamClient& client) {
  const auto reply = session.await<std::string>([&](auto done) { return client.api("STREAM.NAMES", "", "", std::move(done)); });
  const Json root = reply ? Json::parse(*reply, nullptr, false) : Json();
  if (!root.is_object()) return std::nullopt;
  StreamNames out;
  out.all = root.value("total", size_t{0});
  const auto names = root.find("streams");
  if (names == root.end() || !names->is_array()) return out;
  for (const Json& name : *names)
    if (name.is_string() && out.first.size() < kNamed) out.first.push_back(name.get<std::string>());
  return out;
}

std::string what_is_there(const std::optional<StreamNames>& names) {
  if (!names) return "which streams there are, this login may not ask";
  if (names->all == 0) return "it has no stream at all";
  std::string text = fmt::format("it has {}", fmt::join(names->first, ", "));
  if (names->all > names->first.size()) text += fmt::format(" and {} more (`nats stream ls` lists them)", names->all - names->first.size());
  return text;
}

}  // namespace

Error explain_missing_stream(Session& session, StreamClient& client, const NatsLink& link, const std::string& stream, const Error& why,
                             const std::string& elsewhere) {
  if (why.api_code != kStreamNotFound) return why;
  return {why.code, kStreamNotFound,
          fmt::format("there is no stream '{}' in this login's account on {}: {}. Another server or login: {}", stream, link.peer(),
                      what_is_there(ask_names(session, client)), elsewhere)};
}

}  // namespace sluice
