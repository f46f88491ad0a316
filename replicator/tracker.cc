#include "replicator/tracker.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using simdjson::dom::element;

Json json_of(const TrackedItem& item) {
  Json json = {{"seen", format_rfc3339(item.seen)}, {"copied", format_rfc3339(item.copied)}};
  if (item.advised) json["advised"] = true;
  if (item.size == std::floor(item.size) && std::abs(item.size) < 1e15)
    json["size"] = static_cast<int64_t>(item.size);
  else
    json["size"] = item.size;
  return json;
}

Result<TrackedItem> item_of(element json) {
  TrackedItem item;
  std::string_view text;
  if (json["seen"].get(text) != simdjson::SUCCESS) return fail(Errc::kCorrupt, "an item without 'seen'");
  const auto seen = parse_rfc3339(text);
  if (!seen) return fail(Errc::kCorrupt, "'seen' is no time");
  item.seen = std::max<WallNanos>(*seen, 0);
  if (json["copied"].get(text) == simdjson::SUCCESS) {
    const auto copied = parse_rfc3339(text);
    if (!copied) return fail(Errc::kCorrupt, "'copied' is no time");
    item.copied = *copied;
  }
  bool advised = false;
  if (json["advised"].get(advised) == simdjson::SUCCESS) item.advised = advised;
  if (json["size"].get(item.size) != simdjson::SUCCESS) {
    int64_t whole = 0;
    if (json["size"].get(whole) == simdjson::SUCCESS) item.size = static_cast<double>(whole);
  }
  return item;
}

/// Merged out of order by more than this: sorted before silence is looked for.
constexpr WallNanos kDisorder = 5'000'000'000;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

const TrackedItem* Tracker::find(std::string_view value) const {
  const auto found = items_.find(value);
  return found == items_.end() ? nullptr : &found->second->item;
}

/// The value's entry, made when it is missing, as the most recent.
Tracker::Entries::iterator Tracker::touch(std::string_view value) {
  changed_ = true;
  if (const auto found = items_.find(value); found != items_.end()) {
    entries_.splice(entries_.end(), entries_, found->second);
    return found->second;
  }
  if (items_.size() >= max_items_ && !entries_.empty()) {
    ++evicted_;
    drop(entries_.begin());
  }
  const auto entry = entries_.insert(entries_.end(), Entry{std::string(value), {}});
  items_.emplace(entry->value, entry);
  return entry;
}

void Tracker::drop(Entries::iterator entry) {
  changed_ = true;
  changed_values_.erase(entry->value);
  taken_values_.erase(entry->value);
  items_.erase(entry->value);
  entries_.erase(entry);
}

void Tracker::changed(const Entry& entry) {
  changed_ = true;
  if (notes_changes_ && !taken_values_.contains(entry.value)) changed_values_.insert(entry.value);
}

std::optional<std::pair<std::string, TrackedItem>> Tracker::take_changed() {
  if (taken_values_.empty()) taken_values_.swap(changed_values_);
  if (taken_values_.empty()) return std::nullopt;
  const auto entry = items_.at(*taken_values_.begin());
  taken_values_.erase(taken_values_.begin());
  return std::pair(entry->value, entry->item);
}

void Tracker::mark_changed(std::string_view value) {
  if (const auto found = items_.find(value); found != items_.end()) changed(*found->second);
}

std::optional<TrackedItem> Tracker::saw(std::string_view value, WallNanos now, double size) {
  std::optional<TrackedItem> before;
  if (const TrackedItem* known = find(value)) before = *known;
  const auto entry = touch(value);
  TrackedItem& item = entry->item;
  item.seen = now;
  item.size = size;
  item.advised = false;
  changed(*entry);
  return before;
}

void Tracker::copied(std::string_view value, WallNanos at) {
  const auto found = items_.find(value);
  if (found == items_.end()) return;  // made room meanwhile
  found->second->item.copied = std::max(found->second->item.copied, at);
  changed(*found->second);
}

void Tracker::merge(std::string_view value, const TrackedItem& item) {
  if (const auto found = items_.find(value); found != items_.end()) {
    TrackedItem& own = found->second->item;
    const bool is_news = item.copied > own.copied || (item.seen == own.seen && item.advised && !own.advised);
    own.copied = std::max(own.copied, item.copied);
    if (item.seen == own.seen) own.advised = own.advised || item.advised;
    if (is_news) changed(*found->second);
    if (item.seen <= own.seen) return;
  }
  const auto entry = touch(value);
  TrackedItem& own = entry->item;
  own.seen = item.seen;
  own.size = item.size;
  own.advised = item.advised;
  own.copied = std::max(own.copied, item.copied);
  changed(*entry);
  if (entry != entries_.begin() && std::prev(entry)->item.seen - own.seen > kDisorder) disordered_ = true;
}

void Tracker::merge_saved(std::string_view value, const TrackedItem& item) {
  merge(value, item);
  const Entry& own = *items_.at(value);
  if (own.item.seen > item.seen || own.item.copied > item.copied || own.item.advised != item.advised) return;
  changed_values_.erase(own.value);
  taken_values_.erase(own.value);
}

void Tracker::forget(std::string_view value, const TrackedItem& item) {
  const auto found = items_.find(value);
  if (found != items_.end() && found->second->item.seen <= item.seen) drop(found->second);
}

void Tracker::scrub(WallNanos now, std::chrono::nanoseconds warn, std::chrono::nanoseconds period,
                    const Silence& silence) {
  if (std::exchange(disordered_, false))
    entries_.sort([](const Entry& a, const Entry& b) { return a.item.seen < b.item.seen; });
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const int64_t age = now - entry->item.seen;
    if (age <= warn.count()) break;
    const auto next = std::next(entry);
    if (age > period.count()) {
      if (age <= 2 * period.count()) silence.expired(entry->value, entry->item);
      drop(entry);
    } else if (!entry->item.advised) {
      silence.timed_out(entry->value, entry->item);
      entry->item.advised = true;
      changed(*entry);
    }
    entry = next;
  }
}

void Tracker::each(const std::function<void(std::string_view, const TrackedItem&)>& visit) const {
  for (const Entry& entry : entries_) visit(entry.value, entry.item);
}

std::string encode_tracker(const Tracker& tracker) {
  std::map<std::string_view, const TrackedItem*> sorted;
  tracker.each([&](std::string_view value, const TrackedItem& item) { sorted.emplace(value, &item); });
  std::string out = R"({"Items":{)";
  for (const auto& [value, item] : sorted) {
    if (!out.ends_with('{')) out += ',';
    out += dump(Json(value));
    out += ':';
    out += dump(json_of(*item));
  }
  return out + "}}";
}

Status decode_tracker(std::string_view json, Tracker& tracker) {
  simdjson::dom::parser parser;
  element root;
  simdjson::dom::object items;
  if (parser.parse(json.data(), json.size()).get(root) != simdjson::SUCCESS ||
      root["Items"].get(items) != simdjson::SUCCESS)
    return fail(Errc::kCorrupt, "not a state file with Items");
  std::multimap<WallNanos, std::pair<std::string_view, TrackedItem>> by_age;
  for (const auto& [value, entry] : items) {
    auto item = item_of(entry);
    if (!item) return std::unexpected(item.error());
    by_age.emplace(item->seen, std::pair(value, *item));
  }
  for (const auto& [seen, entry] : by_age) tracker.merge(entry.first, entry.second);
  return {};
}

std::string encode_gossip(std::string_view value, const TrackedItem& item) {
  Json json = json_of(item);
  json["value"] = value;
  return dump(json);
}

namespace {

/// One item with its value inside.
Status take_item(std::string_view json, const std::function<void(std::string_view, const TrackedItem&, bool expired)>& take) {
  static thread_local simdjson::dom::parser parser;
  element root;
  std::string_view value;
  if (json.empty() || parser.parse(json.data(), json.size()).get(root) != simdjson::SUCCESS ||
      root["value"].get(value) != simdjson::SUCCESS || value.empty())
    return fail(Errc::kCorrupt, "not an item with its value");
  const auto item = item_of(root);
  if (!item) return std::unexpected(item.error());
  bool expired = false;
  if (root["expired"].get(expired) != simdjson::SUCCESS) expired = false;
  take(value, *item, expired);
  return {};
}

}  // namespace

Status decode_gossip(std::string_view json, Tracker& tracker) {
  return take_item(json, [&](std::string_view value, const TrackedItem& item, bool) { tracker.merge(value, item); });
}

std::string encode_saved(std::string_view value, const TrackedItem& item, bool expired) {
  Json json = json_of(item);
  json["value"] = value;
  if (expired) json["expired"] = true;
  return dump(json);
}

Status decode_saved(std::string_view json, Tracker& tracker) {
  return take_item(json, [&](std::string_view value, const TrackedItem& item, bool expired) {
    if (expired) return tracker.forget(value, item);
    tracker.merge_saved(value, item);
  });
}

}  // namespace sluice
