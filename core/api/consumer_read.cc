// CONSUMER.NAMES, LIST, INFO: what consumers there are and how they stand.
#include <fmt/format.h>

#include <array>
#include <vector>

#include "api/api_request.h"
#include "api/consumer_reply.h"
#include "api/consumer_verbs.h"
#include "api/offline_members.h"
#include "stream/pub_ack.h"

namespace sluice::verbs {
namespace {

struct Selection {
  std::vector<Consumer*> consumers;
  Page page;
  std::string offline;  ///< members of the reply
};

Result<Selection> select(ApiContext& context, const ApiCall& call, size_t limit) {
  int64_t offset = 0;
  if (has_json_body(call.body)) {
    const std::array fields{JsonField::into("offset", offset)};
    if (Status s = parse_json_object(call.body, fields, context.options.unknown_keys); !s) return std::unexpected(s.error());
  }
  if (context.streams.find(call.token[0]) == nullptr) return fail_api(Errc::kNotFound, 10059, {});
  Selection out;
  context.consumers.each(call.token[0], [&](Consumer& consumer) {
    if (!consumer.config().direct) out.consumers.push_back(&consumer);
  });
  out.page = page_of(out.consumers.size(), offset, limit);
  return out;
}

template <class Show>
ApiAnswer paged(const Result<Selection>& selected, Show&& show) {
  if (!selected) return ApiAnswer::failed(selected.error());
  std::string out = fmt::format(R"({{{},"consumers":[)", page_members(selected->page));
  for (size_t i = selected->page.first; i < selected->page.end; ++i) {
    if (i != selected->page.first) out += ',';
    out += show(*selected->consumers[i]);
  }
  out += ']';
  out += selected->offline;
  out += '}';
  return ApiAnswer::ok(std::move(out));
}

}  // namespace

ApiAnswer consumer_names(ApiContext& context, const ApiCall& call) {
  return paged(select(context, call, kNamesPage_count),
               [](Consumer& consumer) { return json_quoted(consumer.name()); });
}

ApiAnswer consumer_list(ApiContext& context, const ApiCall& call) {
  auto selected = select(context, call, kListPage_count);
  if (selected)
    selected->offline = offline_members(context.consumers.offline(call.token[0]));
  return paged(selected, [&](Consumer& consumer) { return consumer_json(context, consumer, false); });
}

ApiAnswer consumer_info(ApiContext& context, const ApiCall& call) {
  if (!is_empty_request(call.body)) return ApiAnswer::failed(10038);
  const auto consumer = named_consumer(context, call);
  if (!consumer) return ApiAnswer::failed(consumer.error());
  return ApiAnswer::ok(consumer_json(context, **consumer, true));
}

}  // namespace sluice::verbs
