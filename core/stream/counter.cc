#include "stream/counter.h"

#include <map>
#include <utility>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/headers.h"

namespace sluice {
namespace {

using Json = nlohmann::json;
constexpr std::string_view kSources = "Nats-Counter-Sources";
constexpr std::string_view kIncrement = "Nats-Incr";

/// Origin stream → origin subject → its last sum.
using Sources = std::map<std::string, std::map<std::string, std::string>>;

std::unexpected<Error> broken() { return fail_api(Errc::kRefused, 10172, ""); }

std::optional<Sources> read_sources(std::string_view headers) {
  Sources out;
  const auto text = find_header(headers, kSources);
  if (!text || text->empty()) return out;
  const Json json = Json::parse(*text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  for (const auto& [stream, subjects] : json.items()) {
    if (!subjects.is_object()) return std::nullopt;
    for (const auto& [subject, sum] : subjects.items()) {
      if (!sum.is_string()) return std::nullopt;
      out[stream][subject] = sum.get<std::string>();
    }
  }
  return out;
}

struct Standing {
  BigInteger sum;
  Sources sources;
};

std::optional<Standing> standing(const CounterBefore& before) {
  Standing out;
  if (before.payload.empty() && before.headers.empty()) return out;
  auto sum = parse_counter_payload(before.payload);
  auto sources = read_sources(before.headers);
  if (!sum || !sources) return std::nullopt;
  out.sum = *std::move(sum);
  out.sources = *std::move(sources);
  return out;
}

/// Where the field stands already, else at the end: as the reference does it.
void put_header(std::string& block, std::string_view name, std::string_view value) {
  const auto old = find_header(block, name);
  if (!old) return append_header(block, name, value);
  block.replace(static_cast<size_t>(old->data() - block.data()), old->size(), value);
}

CounterStep step_to(const BigInteger& sum, std::string headers, const Sources& sources) {
  if (sources.empty())
    remove_header(headers, kSources);
  else
    put_header(headers, kSources, Json(sources).dump(-1, ' ', true, Json::error_handler_t::replace));
  std::string text = sum.to_string();
  return {.headers = std::move(headers), .payload = fmt::format(R"({{"val":"{}"}})", text), .sum = std::move(text)};
}

/// The last word of "stream seq filter dest subject", or the stored subject for older writers.
std::string_view origin_subject(std::string_view stream_source, std::string_view stored) {
  for (int word = 0; word < 4; ++word) {
    const size_t blank = stream_source.find(' ');
    if (blank == std::string_view::npos) return stored;
    stream_source.remove_prefix(blank + 1);
  }
  return stream_source.substr(0, stream_source.find(' '));
}

}  // namespace

std::optional<BigInteger> parse_counter_payload(std::string_view payload) {
  const Json json = Json::parse(payload, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto sum = json.find("val");
  if (sum == json.end() || !sum->is_string()) return std::nullopt;
  return BigInteger::parse(sum->get_ref<const std::string&>());
}

Result<CounterStep> count_increment(const CounterBefore& before, std::string_view headers,
                                    std::string_view increment) {
  const auto by = BigInteger::parse(increment);
  if (!by) return fail_api(Errc::kRefused, 10171, "");
  const auto at = standing(before);
  if (!at) return broken();
  std::string out(headers);
  remove_header(out, kSources);
  return step_to(at->sum + *by, std::move(out), at->sources);
}

Result<CounterStep> count_sourced(const CounterBefore& before, std::string_view headers,
                                  std::string_view payload, std::string_view subject,
                                  std::string_view stream_source) {
  auto at = standing(before);
  const auto theirs = parse_counter_payload(payload);
  if (!at || !theirs) return broken();
  const std::string stream(stream_source.substr(0, stream_source.find(' ')));
  std::string& last = at->sources[stream][std::string(origin_subject(stream_source, subject))];
  const BigInteger growth = *theirs - BigInteger::parse(last).value_or(BigInteger());
  last = theirs->to_string();
  std::string out(headers);
  put_header(out, kIncrement, growth.to_string());
  return step_to(at->sum + growth, std::move(out), at->sources);
}

}  // namespace sluice
