#include "stream/stream_source.h"

#include <algorithm>

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <xxhash.h>

#include "base/api_error.h"
#include "base/nuid.h"
#include "stream/stream_source_json.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

Json transforms_json(const StreamSource& source) {
  Json out = Json::array();
  for (const SubjectMapping& mapping : source.subject_transforms)
    out.push_back({{"src", mapping.source}, {"dest", mapping.destination}});
  return out;
}

Json external_json(const ExternalStream& external) {
  return {{"api", external.api}, {"deliver", external.deliver}};
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Status read_transforms(const JsonElement& from, std::vector<SubjectMapping>& out, UnknownKeys unknown) {
  if (from.is_null()) return {};
  simdjson::dom::array elements;
  if (from.get_array().get(elements) != simdjson::SUCCESS)
    return bad_json("cannot unmarshal subject_transforms");
  for (const JsonElement element : elements) {
    SubjectMapping& mapping = out.emplace_back();
    const std::array fields{JsonField::into("src", mapping.source),
                            JsonField::into("dest", mapping.destination)};
    if (auto status = read_json_object(element, fields, unknown); !status) return status;
  }
  return {};
}

Status read_start_time(const JsonElement& from, std::optional<WallNanos>& out) {
  if (from.is_null()) return {};
  WallNanos time = kZeroTime;
  if (auto status = read_json_time(from, time); !status) return status;
  out = time;
  return {};
}

Status read_external(const JsonElement& from, std::optional<ExternalStream>& out, UnknownKeys unknown) {
  if (from.is_null()) return {};
  ExternalStream& external = out.emplace();
  const std::array fields{JsonField::into("api", external.api),
                          JsonField::into("deliver", external.deliver)};
  return read_json_object(from, fields, unknown);
}

Status read_consumer(const JsonElement& from, std::optional<SourceConsumer>& out, UnknownKeys unknown) {
  if (from.is_null()) return {};
  SourceConsumer& consumer = out.emplace();
  const std::array fields{JsonField::into("name", consumer.name),
                          JsonField::into("deliver_subject", consumer.deliver_subject)};
  return read_json_object(from, fields, unknown);
}

}  // namespace

std::vector<std::string> StreamSource::filters() const {
  if (!filter_subject.empty()) return {filter_subject};
  std::vector<std::string> out;
  for (const SubjectMapping& mapping : subject_transforms)
    out.push_back(mapping.source.empty() ? ">" : mapping.source);
  if (out.size() == 1 && out.front() == ">") out.clear();
  return out;
}

Status read_stream_source(const JsonElement& from, StreamSource& out, UnknownKeys unknown) {
  const std::array fields{
      JsonField::into("name", out.name),
      JsonField::into("opt_start_seq", out.opt_start_seq),
      JsonField{"opt_start_time",
                [&out](const JsonElement& e) { return read_start_time(e, out.opt_start_time); }},
      JsonField::into("filter_subject", out.filter_subject),
      JsonField{"subject_transforms",
                [&out, unknown](const JsonElement& e) { return read_transforms(e, out.subject_transforms, unknown); }},
      JsonField{"external", [&out, unknown](const JsonElement& e) { return read_external(e, out.external, unknown); }},
      JsonField{"consumer", [&out, unknown](const JsonElement& e) { return read_consumer(e, out.consumer, unknown); }},
  };
  return read_json_object(from, fields, unknown);
}

JsonField mirror_field(std::optional<StreamSource>& out, UnknownKeys unknown) {
  return {"mirror", [&out, unknown](const JsonElement& from) -> Status {
            if (from.is_null()) return {};
            return read_stream_source(from, out.emplace(), unknown);
          }};
}

JsonField sources_field(std::vector<StreamSource>& out, UnknownKeys unknown) {
  return {"sources", [&out, unknown](const JsonElement& from) -> Status {
            if (from.is_null()) return {};
            simdjson::dom::array elements;
            if (from.get_array().get(elements) != simdjson::SUCCESS)
              return bad_json("cannot unmarshal sources");
            for (const JsonElement element : elements)
              if (auto status = read_stream_source(element, out.emplace_back(), unknown); !status)
                return status;
            return {};
          }};
}

std::string stream_identity(WallNanos created) {
  uint64_t hash = XXH3_64bits(&created, sizeof created);
  std::string out(8, '0');
  for (char& c : out) {
    c = kBase62[hash % kBase62.size()];
    hash /= kBase62.size();
  }
  return out;
}

std::string stream_source_json(const StreamSource& source) {
  Json out;
  out["name"] = source.name;
  if (source.opt_start_seq != 0) out["opt_start_seq"] = source.opt_start_seq;
  if (source.opt_start_time) out["opt_start_time"] = format_rfc3339(*source.opt_start_time);
  if (!source.filter_subject.empty()) out["filter_subject"] = source.filter_subject;
  if (!source.subject_transforms.empty()) out["subject_transforms"] = transforms_json(source);
  if (source.external) out["external"] = external_json(*source.external);
  if (source.consumer) {
    Json consumer = Json::object();
    if (!source.consumer->name.empty()) consumer["name"] = source.consumer->name;
    if (!source.consumer->deliver_subject.empty())
      consumer["deliver_subject"] = source.consumer->deliver_subject;
    out["consumer"] = std::move(consumer);
  }
  return dump(out);
}

std::string source_info_json(const StreamSource& source, const SourceStatus& status) {
  Json out;
  out["name"] = source.name;
  if (source.external) out["external"] = external_json(*source.external);
  out["lag"] = status.lag;
  if (status.seq != 0) out["seq"] = status.seq;
  out["active"] = status.active_ns;
  if (status.error) {
    const ApiErrorText text = api_error_text(status.error->api_code, status.error->detail);
    out["error"] = {{"code", text.http_code},
                    {"err_code", status.error->api_code},
                    {"description", text.description}};
  }
  if (!source.filter_subject.empty()) out["filter_subject"] = source.filter_subject;
  if (!source.subject_transforms.empty()) out["subject_transforms"] = transforms_json(source);
  return dump(out);
}

}  // namespace sluice
