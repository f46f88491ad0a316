#include "adapters/choria_registration/envelopes.h"

#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "adapters/choria_identity/token.h"
#include "adapters/choria_registration/go_json.h"
#include "adapters/choria_registration/unpack.h"
#include "base/base64.h"
#include "crypto/digest.h"
#include "crypto/signature.h"

namespace sluice {
namespace {

using simdjson::dom::element;

constexpr std::string_view kUnsignedRegistration = "insecure registration";
constexpr std::string_view kUnsigned = "insecure";
constexpr size_t kRequestIdLength = 32;
constexpr int64_t kShortestTtl = 30;

/// What all four kinds of message come down to.
struct Content {
  std::string message;
  std::string sender;
  std::string request_id;
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  SignedBy signed_by = {};
};

/// The layers are parsed inside each other, so each needs a parser of its own; they are kept, as
/// their buffers grow to the size of the messages.
struct Parsers {
  simdjson::dom::parser transport, secure, inner;
};
Parsers& parsers() {
  static thread_local Parsers kept;
  return kept;
}

std::unexpected<Rejection> reject(std::string_view reason, std::string detail) {
  return std::unexpected(Rejection{reason, std::move(detail)});
}

/// Strict first: what Go forgives is rare.
std::expected<element, Rejection> parse_object(simdjson::dom::parser& parser, std::string_view json,
                                               const char* layer) {
  element root;
  simdjson::error_code error = parser.parse(json.data(), json.size()).get(root);
  if (error == simdjson::UTF8_ERROR || error == simdjson::STRING_ERROR) {
    const std::string forgiven = forgive_as_go(json);
    error = parser.parse(forgiven.data(), forgiven.size()).get(root);
  }
  if (error != simdjson::SUCCESS) return reject("bad_json", std::string(layer) + " is not JSON");
  if (!root.is_object()) return reject("bad_json", std::string(layer) + " is no object");
  return root;
}

std::optional<std::string_view> text_of(element from, std::string_view key) {
  std::string_view value;
  if (from[key].get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

bool has_texts(element from, std::initializer_list<std::string_view> keys) {
  return std::all_of(keys.begin(), keys.end(), [&](std::string_view key) {
    const auto value = text_of(from, key);
    return value && !value->empty();
  });
}

std::optional<int64_t> integer_of(element from, std::string_view key) {
  int64_t value = 0;
  element found;
  if (from[key].get(found) != simdjson::SUCCESS || !found.is_int64() ||
      found.get(value) != simdjson::SUCCESS)
    return std::nullopt;
  return value;
}

bool has_protocol(element from, std::string_view protocol) {
  return text_of(from, "protocol") == protocol;
}

std::string_view view_of(const Sha256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

// ---- version 1: certificates; JSON in JSON strings

bool is_unsigned_certificate(std::string_view certificate) { return certificate == kUnsigned || certificate == kUnsignedRegistration; }

std::optional<Rejection> check_v1_signature(std::string_view message, std::string_view signature,
                                            std::string_view certificate) {
  if (certificate == kUnsigned && signature == kUnsigned) return std::nullopt;
  const auto bytes = base64_decode(signature);
  if (certificate == kUnsignedRegistration && bytes == kUnsignedRegistration) return std::nullopt;
  if (!bytes) return Rejection{"bad_signature", "the signature is not base64"};
  if (const Status verified = verify_rsa_sha256(certificate, message, *bytes); !verified)
    return Rejection{"bad_signature", verified.error().detail};
  return std::nullopt;
}

std::expected<Content, Rejection> read_v1_request(element secure, const UnwrapRules& rules) {
  if (!has_protocol(secure, "choria:secure:request:1"))
    return reject("unknown_protocol", "not a version 1 secure request");
  if (!has_texts(secure, {"message", "signature", "pubcert"}))
    return reject("bad_envelope", "secure request without message, signature or pubcert");
  const std::string_view json = *text_of(secure, "message");
  if (rules.verify_signatures) {
    if (auto bad =
            check_v1_signature(json, *text_of(secure, "signature"), *text_of(secure, "pubcert")))
      return std::unexpected(std::move(*bad));
  }
  const auto request = parse_object(parsers().inner, json, "the request");
  if (!request) return std::unexpected(request.error());
  if (!has_protocol(*request, "choria:request:1"))
    return reject("unknown_protocol", "not a version 1 request");
  element envelope, filter;
  if ((*request)["envelope"].get(envelope) != simdjson::SUCCESS || !envelope.is_object())
    return reject("bad_envelope", "request without envelope");
  const auto message = text_of(*request, "message");
  if (!message || message->empty()) return reject("bad_envelope", "request without message");
  const auto id = text_of(envelope, "requestid"), sender = text_of(envelope, "senderid");
  if (!id || id->size() != kRequestIdLength)
    return reject("bad_envelope", "the requestid is not 32 characters");
  if (!sender || !has_texts(envelope, {"callerid", "collective", "agent"}))
    return reject("bad_envelope", "envelope without senderid, callerid, collective or agent");
  const auto ttl = integer_of(envelope, "ttl"), time = integer_of(envelope, "time");
  if (!ttl || *ttl < kShortestTtl) return reject("bad_envelope", "no ttl of 30 or more");
  if (!time) return reject("bad_time", "envelope without a whole time");
  if (envelope["filter"].get(filter) != simdjson::SUCCESS || !filter.is_object())
    return reject("bad_envelope", "envelope without filter");
  for (const char* key : {"fact", "cf_class", "identity", "compound"})
    if (simdjson::dom::array list; filter[key].get(list) != simdjson::SUCCESS)
      return reject("bad_envelope", std::string("filter without ") + key);
  Content content{std::string(*message), std::string(*sender), std::string(*id), *time, 0};
  if (rules.keep_credential && !is_unsigned_certificate(*text_of(secure, "pubcert"))) content.signed_by.certificate = *text_of(secure, "pubcert");
  return content;
}

std::expected<Content, Rejection> read_v1_reply(element secure, const UnwrapRules& rules) {
  if (!has_protocol(secure, "choria:secure:reply:1"))
    return reject("unknown_protocol", "not a version 1 secure reply");
  const auto json = text_of(secure, "message");
  if (!json) return reject("bad_envelope", "secure reply without message");
  if (rules.verify_signatures && text_of(secure, "hash") != base64_encode(view_of(sha256(*json))))
    return reject("bad_signature", "the reply's hash does not match");
  const auto reply = parse_object(parsers().inner, *json, "the reply");
  if (!reply) return std::unexpected(reply.error());
  if (!has_protocol(*reply, "choria:reply:1"))
    return reject("unknown_protocol", "not a version 1 reply");
  element envelope;
  if ((*reply)["envelope"].get(envelope) != simdjson::SUCCESS || !envelope.is_object())
    return reject("bad_envelope", "reply without envelope");
  const auto message = text_of(*reply, "message"), sender = text_of(envelope, "senderid"),
             id = text_of(envelope, "requestid");
  const auto time = integer_of(envelope, "time");
  if (!message || !sender || !id || id->empty())
    return reject("bad_envelope", "reply without message, senderid or requestid");
  if (!time) return reject("bad_time", "envelope without a whole time");
  return Content{std::string(*message), std::string(*sender), std::string(*id), *time, 0};
}

// ---- version 2: JWTs; base64 at each layer

std::optional<Rejection> check_v2_signature(element secure, std::string_view request) {
  const auto signature = base64_decode(*text_of(secure, "signature"));
  if (!signature) return Rejection{"bad_signature", "the signature is not base64"};
  if (*signature == kUnsigned) return std::nullopt;
  // A delegated request is signed by its signer.
  const auto signer = text_of(secure, "signer");
  const auto token = parse_token(signer && !signer->empty() ? *signer : *text_of(secure, "caller"));
  if (!token) return Rejection{"bad_signature", token.error().detail};
  if (!verify_ed25519(token->public_key, request, *signature))
    return Rejection{"bad_signature", "the signature does not match"};
  return std::nullopt;
}

std::pair<int64_t, uint32_t> split_nanoseconds(int64_t time) {
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t rest = ((time % kSecond) + kSecond) % kSecond;
  return {(time - rest) / kSecond, static_cast<uint32_t>(rest)};
}

/// Message, sender and time stand alike in requests and replies.
std::expected<Content, Rejection> read_v2_inner(element inner, std::string_view id_key) {
  const auto message = base64_decode(text_of(inner, "message").value_or(""));
  if (!message) return reject("bad_base64", "the message is not base64");
  const auto time = integer_of(inner, "time");
  if (!time || *time < INT64_MIN + 1'000'000'000) return reject("bad_time", "no usable time");
  const auto [seconds, nanoseconds] = split_nanoseconds(*time);
  return Content{*message, std::string(text_of(inner, "sender").value_or("")),
                 std::string(text_of(inner, id_key).value_or("")), seconds, nanoseconds};
}

std::expected<Content, Rejection> read_v2_request(element secure, const UnwrapRules& rules) {
  if (!has_protocol(secure, "io.choria.protocol.v2.secure_request"))
    return reject("unknown_protocol", "not a version 2 secure request");
  if (!has_texts(secure, {"request", "signature", "caller"}))
    return reject("bad_envelope", "secure request without request, signature or caller");
  const auto json = base64_decode(*text_of(secure, "request"));
  if (!json) return reject("bad_base64", "the request is not base64");
  if (rules.verify_signatures) {
    if (auto bad = check_v2_signature(secure, *json)) return std::unexpected(std::move(*bad));
  }
  const auto request = parse_object(parsers().inner, *json, "the request");
  if (!request) return std::unexpected(request.error());
  if (!has_protocol(*request, "io.choria.protocol.v2.request"))
    return reject("unknown_protocol", "not a version 2 request");
  if (!has_texts(*request, {"message", "id", "caller", "collective", "agent"}))
    return reject("bad_envelope", "request without message, id, caller, collective or agent");
  if (const auto ttl = integer_of(*request, "ttl"); !ttl || *ttl < 1)
    return reject("bad_envelope", "no ttl of 1 or more");
  auto content = read_v2_inner(*request, "id");
  if (content && rules.keep_credential && base64_decode(*text_of(secure, "signature")) != kUnsigned) {
    const bool delegated = !text_of(secure, "signer").value_or("").empty();
    content->signed_by.token = *text_of(secure, delegated ? "signer" : "caller");
    if (delegated) {
      content->signed_by.caller_token = *text_of(secure, "caller");
      content->signed_by.caller = *text_of(*request, "caller");
    }
  }
  return content;
}

std::expected<Content, Rejection> read_v2_reply(element secure, const UnwrapRules& rules) {
  if (!has_protocol(secure, "io.choria.protocol.v2.secure_reply"))
    return reject("unknown_protocol", "not a version 2 secure reply");
  const auto json = base64_decode(text_of(secure, "reply").value_or(""));
  if (!json || json->empty()) return reject("bad_base64", "the reply is not base64");
  if (rules.verify_signatures && text_of(secure, "hash") != base64_encode(view_of(sha256(*json))))
    return reject("bad_signature", "the reply's hash does not match");
  const auto reply = parse_object(parsers().inner, *json, "the reply");
  if (!reply) return std::unexpected(reply.error());
  // Choria's own schema names the request's protocol here, so the name is not held against it.
  if (!has_texts(*reply, {"request"})) return reject("bad_envelope", "reply without request");
  return read_v2_inner(*reply, "request");
}

std::expected<Content, Rejection> read_layers(std::string_view payload, const UnwrapRules& rules) {
  const auto transport = parse_object(parsers().transport, payload, "the message");
  if (!transport) return std::unexpected(transport.error());
  const bool v1 = has_protocol(*transport, "choria:transport:1");
  const bool v2 = has_protocol(*transport, "io.choria.protocol.v2.transport");
  if (!v1 && !v2) return reject("unknown_protocol", "not a Choria transport of version 1 or 2");
  if (simdjson::dom::object headers; (*transport)["headers"].get(headers) != simdjson::SUCCESS)
    return reject("bad_transport", "transport without headers");
  const auto data = text_of(*transport, "data");
  if (!data) return reject("bad_transport", "transport without data");
  const auto json = base64_decode(*data);
  if (!json) return reject("bad_base64", "the transport's data is not base64");
  const auto secure = parse_object(parsers().secure, *json, "the secure envelope");
  if (!secure) return std::unexpected(secure.error());
  if (v1) return rules.requests ? read_v1_request(*secure, rules) : read_v1_reply(*secure, rules);
  return rules.requests ? read_v2_request(*secure, rules) : read_v2_reply(*secure, rules);
}

}  // namespace

bool is_safe_sender(std::string_view sender) {
  if (sender.empty() || sender.front() == '.' || sender.back() == '.') return false;
  if (sender.find("..") != std::string_view::npos) return false;
  return std::all_of(sender.begin(), sender.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '\x7f' && c != '*' && c != '>';
  });
}

std::expected<UnwrappedMessage, Rejection> unwrap_envelope(std::string_view payload,
                                                           const UnwrapRules& rules) {
  auto content = read_layers(payload, rules);
  if (!content) return std::unexpected(std::move(content.error()));
  if (!is_safe_sender(content->sender))
    return reject("bad_sender", "the sender can't stand in a subject");
  const auto time = format_go_time(content->seconds, content->nanoseconds);
  if (!time) return reject("bad_time", "the time lies outside the years 0 to 9999");
  if (rules.unpack_bytes != 0) {
    if (auto unpacked = unpack_registration(content->message, rules.unpack_bytes)) content->message = std::move(*unpacked);
  }
  std::string record;
  record.reserve(content->message.size() * 5 / 4 + 256);
  record.append(R"({"protocol":"choria:adapters:choria_streams:output:1","data":)");
  append_go_string(record, content->message);
  record.append(R"(,"sender":)");
  append_go_string(record, content->sender);
  record.append(R"(,"time":")").append(*time).append(R"(","requestid":)");
  append_go_string(record, content->request_id);
  record.push_back('}');
  return UnwrappedMessage{std::move(content->sender), std::move(content->request_id),
                          std::move(record), std::move(content->signed_by)};
}

}  // namespace sluice
