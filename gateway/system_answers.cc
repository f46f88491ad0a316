#include "gateway/system_answers.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string lower(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

/// What the page is asked beside the request's own options.
PageQuery::Parameters fixed_parameters(std::string_view name, std::string_view account) {
  PageQuery::Parameters out;
  if (account.empty()) return out;
  out.emplace_back("acc", account);
  if (name == "subsz") out.emplace_back("subs", "1");
  return out;
}

}  // namespace

Result<std::string> SystemAnswers::page(std::string_view page, std::string_view options,
                                        std::string_view account) {
  const std::string name = page == "INFO" ? "accountz" : lower(page);
  auto query = PageQuery::of_json(options, fixed_parameters(name, account));
  if (!query) return fail(Errc::kCorrupt, query.error().detail);
  const PageAnswer answer = pages_.answer(name, *query);
  Json json = Json::parse(answer.body, nullptr, false);
  if (name == "raftz" && answer.status == 404) return std::string("{}");
  if (json.is_discarded()) return fail(Errc::kInvalidArgument, answer.body);
  if (name == "healthz") json["status_code"] = answer.status;
  if (page == "INFO") json = json["account_detail"];
  if (name == "jsz" && !account.empty()) {
    const auto details = json.find("account_details");
    if (details == json.end())
      return fail(Errc::kNotFound, fmt::format("account \"{}\" not found", account));
    json = details->at(0);
  }
  return text_of(json);
}

HostFigures SystemAnswers::figures() {
  Json varz = Json::parse(pages_.answer("varz", PageQuery()).body, nullptr, false);
  HostFigures out;
  out.process = fmt::format(R"("mem":{},"cores":{},"cpu":{:.0f})", varz.value("mem", uint64_t{0}),
                            varz.value("cores", uint64_t{1}), varz.value("cpu", 0.0));
  const auto jetstream = varz.find("jetstream");
  if (jetstream == varz.end() || jetstream->empty()) return out;
  (*jetstream)["config"].erase("store_dir");  // the monitor's readers are on this machine, these are not
  out.jetstream = R"("jetstream":)" + text_of(*jetstream);
  return out;
}

}  // namespace sluice
