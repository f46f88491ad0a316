// STREAM.MSG.GET and STREAM.MSG.DELETE.
#include <array>

#include <fmt/format.h>

#include "api/api_request.h"
#include "api/stream_verbs.h"
#include "base/base64.h"
#include "stream/direct_get_request.h"
#include "stream/pub_ack.h"

namespace sluice::verbs {
namespace {

/// One message is asked for; what belongs to several is not looked at.
bool is_legal(DirectGetRequest r) {
  if (r.batch > 0 || r.max_bytes > 0) return false;
  r.multi_last.clear();
  r.up_to_time.reset();
  return !r.is_empty() && is_legal_direct_get(r);
}

std::string message_json(const StoredMessage& m, bool no_headers) {
  std::string out =
      fmt::format(R"({{"subject":{},"seq":{})", json_quoted(m.subject), m.seq.value());
  if (!no_headers && !m.headers.empty())
    out += fmt::format(R"(,"hdrs":"{}")", base64_encode(m.headers));
  if (!m.payload.empty()) out += fmt::format(R"(,"data":"{}")", base64_encode(m.payload));
  out += fmt::format(R"(,"time":"{}"}})", format_rfc3339(m.time));
  return out;
}

}  // namespace

ApiAnswer stream_msg_get(ApiContext& context, const ApiCall& call) {
  if (call.body.empty()) return ApiAnswer::failed(10003);
  const auto request = parse_direct_get(call.body, context.options.unknown_keys);
  if (!request) return ApiAnswer::failed(request.error());
  if (!is_legal(*request)) return ApiAnswer::failed(10003);
  Stream* stream = context.streams.find(call.token[0]);
  if (stream == nullptr) return ApiAnswer::failed(10059);
  const uint64_t refused = stream->store().refused_reads();
  const auto stored = look_up_message(stream->store(), *request);
  if (!stored && stream->store().refused_reads() != refused)
    return ApiAnswer::failed(Error{Errc::kIo, 10077, "the disk refuses to read the message"});
  if (!stored) return ApiAnswer::failed(10037);
  ApiAnswer answer =
      ApiAnswer::ok(fmt::format(R"({{"message":{}}})", message_json(*stored, request->no_hdr)));
  answer.audited = false;
  return answer;
}

ApiAnswer stream_msg_delete(ApiContext& context, const ApiCall& call) {
  if (is_empty_request(call.body)) return ApiAnswer::failed(10003);
  uint64_t seq = 0;
  bool no_erase = false;
  const std::array fields{JsonField::into("seq", seq), JsonField::into("no_erase", no_erase)};
  if (auto status = parse_json_object(call.body, fields, context.options.unknown_keys); !status)
    return ApiAnswer::failed(status.error());
  Stream* stream = context.streams.find(call.token[0]);
  if (stream == nullptr) return ApiAnswer::failed(10059);
  if (auto status = stream->delete_message(StreamSeq(seq), !no_erase); !status)
    return ApiAnswer::failed(status.error(), 10057);
  const auto deleted = [] { return ApiAnswer::ok(R"({"success":true})"); };
  if (no_erase || context.store == nullptr || stream->config().storage != StorageKind::kFile) return deleted();
  ApiAnswer answer;
  answer.later = [store = context.store, deleted](ApiAnswerDone done) {
    store->when_erased([done = std::move(done), deleted] { done(deleted()); });
  };
  return answer;
}

}  // namespace sluice::verbs
