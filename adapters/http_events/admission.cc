#include "adapters/http_events/admission.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/base64.h"
#include "base/parse_number.h"
#include "crypto/hmac.h"
#include "crypto/secret.h"

namespace sluice {
namespace {

constexpr std::string_view kOrigin = "webhook-request-origin";
constexpr std::string_view kRate = "webhook-request-rate";

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

/// What stands behind "<scheme> " in Authorization; schemes have no case.
std::optional<std::string_view> credentials(const HttpRequest& request, std::string_view scheme) {
  const auto value = request.header("authorization");
  if (!value || value->size() <= scheme.size() || (*value)[scheme.size()] != ' ') return std::nullopt;
  if (lower(std::string(value->substr(0, scheme.size()))) != scheme) return std::nullopt;
  std::string_view rest = value->substr(scheme.size() + 1);
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  return rest;
}

std::string digest_text(const Sha256& digest, DigestText form) {
  if (form == DigestText::kBase64)
    return base64_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
  return to_hex(digest);
}

}  // namespace

RequestAuthentication::RequestAuthentication(HttpEventsAuthentication options)
    : options_(std::move(options)), signature_header_(lower(options_.signature_header)) {}

bool RequestAuthentication::admits_head(const HttpRequest& request) const {
  if (options_.token.empty() && options_.user.empty()) return true;
  if (!options_.token.empty()) {
    if (const auto token = credentials(request, "bearer")) {
      const bool now = secrets_equal(*token, options_.token);
      const bool before = !options_.previous_token.empty() && secrets_equal(*token, options_.previous_token);
      return now || before;
    }
  }
  if (!options_.user.empty()) {
    if (const auto encoded = credentials(request, "basic")) {
      const auto pair = base64_decode(*encoded);
      return pair && secrets_equal(*pair, options_.user + ":" + options_.password);
    }
  }
  return false;
}

bool RequestAuthentication::signed_by(std::string_view secret, std::string_view body,
                                      std::string_view given) const {
  return secrets_equal(given, digest_text(hmac_sha256(secret, body), options_.signature_text));
}

bool RequestAuthentication::admits_body(const HttpRequest& request) const {
  if (options_.signature_secret.empty()) return true;
  const auto header = request.header(signature_header_);
  if (!header || !header->starts_with(options_.signature_prefix)) return false;
  std::string given(header->substr(options_.signature_prefix.size()));
  if (options_.signature_text == DigestText::kHex) given = lower(std::move(given));
  const bool now = signed_by(options_.signature_secret, request.body, given);
  const bool before = !options_.previous_signature_secret.empty() &&
                      signed_by(options_.previous_signature_secret, request.body, given);
  return now || before;
}

std::string RequestAuthentication::challenge() const {
  std::string out;
  if (!options_.token.empty()) out = "Bearer";
  if (!options_.user.empty()) out.append(out.empty() ? "" : ", ").append("Basic realm=\"events\"");
  return out;
}

RateLimit::RateLimit(Clock& clock, uint64_t rate, uint64_t burst)
    : clock_(clock),
      rate_(rate),
      burst_(static_cast<double>(burst == 0 ? std::max<uint64_t>(rate, 1) : burst)),
      tokens_(burst_),
      filled_(clock.now()) {}

void RateLimit::fill() {
  const MonoTime now = clock_.now();
  const double seconds = std::chrono::duration<double>(now - filled_).count();
  filled_ = now;
  tokens_ = std::min(burst_, tokens_ + seconds * static_cast<double>(rate_));
}

uint64_t RateLimit::wait_seconds() {
  if (rate_ == 0) return 0;
  fill();
  if (tokens_ >= 1) return 0;
  return static_cast<uint64_t>(std::ceil((1 - tokens_) / static_cast<double>(rate_)));
}

void RateLimit::count(uint64_t events) {
  if (rate_ != 0) tokens_ -= static_cast<double>(events);
}

bool is_allowed_origin(const HttpRequest& request, const std::vector<std::string>& allowed_origins) {
  const auto origin = request.header(kOrigin);
  if (!origin) return true;
  return std::any_of(allowed_origins.begin(), allowed_origins.end(),
                     [&](const std::string& allowed) { return allowed == "*" || allowed == *origin; });
}

HttpResponse webhook_handshake(const HttpRequest& request, const std::vector<std::string>& allowed_origins,
                               uint64_t events_per_second) {
  HttpResponse response{.status = 200, .content_type = "text/plain; charset=utf-8", .body = {}, .headers = {}};
  response.headers.emplace_back("Allow", "POST, OPTIONS");
  const auto origin = request.header(kOrigin);
  // Consent is in the headers alone: an answer without them is none.
  if (!origin || !is_allowed_origin(request, allowed_origins)) return response;
  const auto wanted = request.header(kRate);
  const uint64_t number = wanted ? parse_decimal<uint64_t>(*wanted).value_or(0) : 0;
  if (wanted && *wanted != "*" && number == 0) return plain_response(400);
  response.headers.emplace_back("WebHook-Allowed-Origin", std::string(*origin));
  const uint64_t ours = events_per_second * 60;
  std::string granted = "*";
  if (number != 0) granted = std::to_string(ours == 0 ? number : std::min(ours, number));
  if (number == 0 && ours != 0) granted = std::to_string(ours);
  response.headers.emplace_back("WebHook-Allowed-Rate", std::move(granted));
  return response;
}

}  // namespace sluice
