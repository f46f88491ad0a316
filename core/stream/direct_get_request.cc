#include "stream/direct_get_request.h"

#include <array>

#include "stream/json_object.h"

namespace sluice {
namespace {

JsonField time_field(std::string_view name, std::optional<WallNanos>& out) {
  return {name, [&out](const JsonElement& from) -> Status {
            if (from.is_null()) return {};
            WallNanos time = 0;
            if (auto status = read_json_time(from, time); !status) return status;
            out = time;
            return {};
          }};
}

}  // namespace

Result<DirectGetRequest> parse_direct_get(std::string_view body, UnknownKeys unknown) {
  DirectGetRequest r;
  const std::array fields{
      JsonField::into("seq", r.seq),
      JsonField::into("last_by_subj", r.last_by_subj),
      JsonField::into("next_by_subj", r.next_by_subj),
      time_field("start_time", r.start_time),
      JsonField::into("batch", r.batch),
      JsonField::into("max_bytes", r.max_bytes),
      JsonField::into("multi_last", r.multi_last),
      JsonField::into("up_to_seq", r.up_to_seq),
      time_field("up_to_time", r.up_to_time),
      JsonField::into("no_hdr", r.no_hdr),
  };
  if (auto status = parse_json_object(body, fields, unknown); !status)
    return std::unexpected(status.error());
  return r;
}

bool is_empty_direct_get(std::string_view body) { return is_empty_request(body); }

std::optional<StoredMessage> look_up_message(StreamStore& store, const DirectGetRequest& r) {
  if (!r.last_by_subj.empty()) return store.load_last(r.last_by_subj);
  StreamSeq from(r.seq > 0 ? r.seq : 1);
  if (r.start_time) from = store.seq_at_time(*r.start_time);
  if (!r.next_by_subj.empty()) return store.load_next(from, r.next_by_subj);
  if (r.start_time) return store.load_next(from, ">");
  return store.load(from);
}

bool is_legal_direct_get(const DirectGetRequest& r) {
  const bool last = !r.last_by_subj.empty();
  if (r.seq > 0 && (last || r.start_time)) return false;
  if (last && (!r.next_by_subj.empty() || r.start_time || r.batch > 0)) return false;
  if (!r.multi_last.empty() && (last || !r.next_by_subj.empty())) return false;
  return !(r.up_to_seq > 0 && r.up_to_time);
}

}  // namespace sluice
