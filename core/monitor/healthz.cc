// /healthz: is the server, or one stream or consumer of it, as it should be.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "monitor/page_json.h"

namespace sluice {
namespace {

/// What is not as it should be.
struct Finding {
  uint16_t status = 503;
  std::string_view word = "unavailable";
  std::string_view type;  ///< for `details`
  std::string why;
};

struct Asked {
  std::string_view account;
  std::string_view stream;
  std::string_view consumer;
};

std::optional<Finding> check_question(const Asked& asked) {
  if (!asked.consumer.empty() && asked.stream.empty()) {
    return Finding{400, "error", "BAD_REQUEST",
                   "\"stream\" must not be empty when checking consumer health"};
  }
  if (!asked.stream.empty() && asked.account.empty()) {
    return Finding{400, "error", "BAD_REQUEST",
                   "\"account\" must not be empty when checking stream health"};
  }
  return std::nullopt;
}

std::optional<Finding> find_missing(const MonitorSubject& subject, const Asked& asked) {
  if (asked.account.empty()) return std::nullopt;
  const auto engines = subject.jetstream();
  const auto found = std::ranges::find(engines, asked.account, &AccountJetStream::account);
  if (found == engines.end()) {
    return Finding{404, "error", "ACCOUNT",
                   fmt::format("JetStream account \"{}\" not found", asked.account)};
  }
  if (asked.stream.empty()) return std::nullopt;
  if (found->streams->find(asked.stream) == nullptr) {
    return Finding{404, "unavailable", "STREAM",
                   fmt::format("JetStream stream \"{}\" not found on account \"{}\"", asked.stream,
                               asked.account)};
  }
  if (asked.consumer.empty() || found->consumers->find(asked.stream, asked.consumer) != nullptr)
    return std::nullopt;
  return Finding{404, "unavailable", "CONSUMER",
                 fmt::format("JetStream consumer \"{}\" not found for stream \"{}\" on account "
                             "\"{}\"",
                             asked.consumer, asked.stream, asked.account)};
}

PageAnswer tell(const Finding& finding, const Asked& asked, bool details) {
  PageJson j = {{"status", finding.word}};
  if (!details) {
    j["error"] = finding.why;
  } else {
    PageJson one = {{"type", finding.type}};
    const bool of_consumer = finding.type == "CONSUMER";
    const bool of_stream = of_consumer || finding.type == "STREAM";
    if (of_stream || finding.type == "ACCOUNT") one["account"] = asked.account;
    if (of_stream) one["stream"] = asked.stream;
    if (of_consumer) one["consumer"] = asked.consumer;
    one["error"] = finding.why;
    j["errors"] = PageJson::array({std::move(one)});
  }
  return {.status = finding.status,
          .body = j.dump(-1, ' ', false, PageJson::error_handler_t::replace)};
}

}  // namespace

std::string MonitorPages::trouble() const {
  if (subject_.store != nullptr) {
    if (auto writable = subject_.store->writable(); !writable) {
      return "store takes no messages: " + writable.error().detail;
    }
  }
  if (subject_.server.draining()) return "the server is shutting down";
  for (const auto& check : checks_) {
    if (std::string wrong = check(); !wrong.empty()) return wrong;
  }
  return {};
}

PageAnswer MonitorPages::healthz(const PageQuery& query) {
  bool flags[4] = {};
  constexpr std::string_view kNames[] = {"js-enabled-only", "js-enabled", "js-server-only",
                                         "details"};
  for (size_t i = 0; i < std::size(kNames); ++i) {
    auto flag = query.flag(kNames[i]);
    if (!flag) return bad_request(flag.error());
    flags[i] = *flag;
  }
  const bool details = flags[3];
  const Asked asked{query.text("account"), query.text("stream"), query.text("consumer")};
  if (auto bad = check_question(asked)) return tell(*bad, asked, details);
  if ((flags[0] || flags[1]) && subject_.store == nullptr) {
    return tell({503, "unavailable", "JETSTREAM", "JetStream not enabled"}, asked, details);
  }
  if (std::string wrong = trouble(); !wrong.empty())
    return tell({503, "unavailable", "JETSTREAM", std::move(wrong)}, asked, details);
  if (auto missing = find_missing(subject_, asked)) return tell(*missing, asked, details);
  return {.status = 200, .body = R"({"status":"ok"})"};
}

}  // namespace sluice
