// STREAM.NAMES, LIST, INFO: what streams there are and how they stand.
#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "api/api_request.h"
#include "api/offline_members.h"
#include "api/stream_verbs.h"
#include "consumer/consumers.h"
#include "stream/pub_ack.h"
#include "stream/stream_info.h"
#include "subject/subject.h"

namespace sluice::verbs {
namespace {

/// The streams that a paged request asks for, by name.
struct Selection {
  std::vector<Stream*> streams;
  int64_t offset = 0;
};

Result<Selection> select_streams(ApiContext& context, const ApiCall& call) {
  Selection out;
  std::string subject;
  if (has_json_body(call.body)) {
    const std::array fields{JsonField::into("offset", out.offset),
                            JsonField::into("subject", subject)};
    if (auto status = parse_json_object(call.body, fields, context.options.unknown_keys); !status)
      return std::unexpected(status.error());
  }
  context.streams.each([&](Stream& stream) {
    const auto& subjects = stream.config().subjects;
    if (subject.empty() || std::any_of(subjects.begin(), subjects.end(), [&](const std::string& s) {
          return subjects_collide(s, subject);
        }))
      out.streams.push_back(&stream);
  });
  return out;
}

struct InfoRequest {
  int64_t offset = 0;
  bool deleted_details = false;
  std::string subjects_filter;
};

Result<InfoRequest> parse_info_request(std::string_view body, UnknownKeys unknown) {
  InfoRequest out;
  if (!has_json_body(body)) return out;
  const std::array fields{JsonField::into("offset", out.offset),
                          JsonField::into("deleted_details", out.deleted_details),
                          JsonField::into("subjects_filter", out.subjects_filter)};
  if (auto status = parse_json_object(body, fields, unknown); !status)
    return std::unexpected(status.error());
  return out;
}

/// Counts of the matching subjects that lie on the page.
SubjectCounts subjects_on_page(Stream& stream, const InfoRequest& request, Page& page) {
  size_t total = 0;
  stream.store().each_subject(request.subjects_filter,
                              [&total](std::string_view, const SubjectState&) {
                                ++total;
                                return true;
                              });
  page = page_of(total, request.offset, kSubjectsPage_count);
  if (total == 0) page.limit = 0;
  // An offset beyond the end is shown as it was asked for.
  if (total > 0 && request.offset > 0) page.first = static_cast<size_t>(request.offset);
  SubjectCounts out;
  size_t index = 0;
  stream.store().each_subject(request.subjects_filter,
                              [&](std::string_view subject, const SubjectState& state) {
                                if (index >= page.first && index < page.end)
                                  out.emplace_back(std::string(subject), state.count);
                                return ++index < page.end;
                              });
  return out;
}

}  // namespace

ApiAnswer stream_names(ApiContext& context, const ApiCall& call) {
  const auto selected = select_streams(context, call);
  if (!selected) return ApiAnswer::failed(selected.error());
  const Page page = page_of(selected->streams.size(), selected->offset, kNamesPage_count);
  std::string out = fmt::format(R"({{{},"streams":)", page_members(page));
  if (page.first == page.end) {
    out += "null}";
    return ApiAnswer::ok(std::move(out));
  }
  for (size_t i = page.first; i < page.end; ++i) {
    out += i == page.first ? '[' : ',';
    out += json_quoted(selected->streams[i]->config().name);
  }
  out += "]}";
  return ApiAnswer::ok(std::move(out));
}

ApiAnswer stream_list(ApiContext& context, const ApiCall& call) {
  const auto selected = select_streams(context, call);
  if (!selected) return ApiAnswer::failed(selected.error());
  const Page page = page_of(selected->streams.size(), selected->offset, kListPage_count);
  std::string out = fmt::format(R"({{{},"streams":[)", page_members(page));
  for (size_t i = page.first; i < page.end; ++i) {
    Stream& stream = *selected->streams[i];
    fmt::format_to(std::back_inserter(out), "{}{{{}}}", i == page.first ? "" : ",",
                   stream_info_members(
                       stream,
                       {.consumer_count = context.consumers.count(stream.config().name),
                        .domain = context.options.domain,
                        .leader = {}},
                       context.env.clock.wall()));
  }
  out += ']';
  out += offline_members(context.streams.offline());
  out += '}';
  return ApiAnswer::ok(std::move(out));
}

ApiAnswer stream_info(ApiContext& context, const ApiCall& call) {
  const auto request = parse_info_request(call.body, context.options.unknown_keys);
  if (!request) return ApiAnswer::failed(request.error());
  Stream* stream = context.streams.find(call.token[0]);
  if (stream == nullptr) return ApiAnswer::failed(10059);
  const ServerMetadata server{context.options.version, context.options.api_level};
  StreamInfoShown shown{.consumer_count = context.consumers.count(call.token[0]),
                        .server = &server,
                        .domain = context.options.domain,
                        .leader = context.options.server_name,
                        .deleted_details = request->deleted_details};
  Page page;
  SubjectCounts subjects;
  if (!request->subjects_filter.empty()) {
    subjects = subjects_on_page(*stream, *request, page);
    shown.subjects = &subjects;
  }
  return ApiAnswer::ok(fmt::format("{{{},{}}}", page_members(page),
                                   stream_info_members(*stream, shown, context.env.clock.wall())));
}

}  // namespace sluice::verbs
