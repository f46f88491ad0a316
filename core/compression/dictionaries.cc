#include "compression/dictionaries.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "crypto/digest.h"
#include "io/read_file.h"

namespace sluice {
namespace {

constexpr std::string_view kPrefixes[kFlowDirections] = {"to-server-", "to-client-"};
constexpr std::string_view kSuffix = ".dict";

/// Not synced: a torn file is told by its name, and is then one dictionary less.
Status write_file(Disk& disk, const std::string& folder, const std::string& path, std::string_view bytes) {
  if (auto made = disk.make_dirs(folder); !made) return made;
  auto file = disk.open(path, OpenMode::kCreate);
  if (!file) return std::unexpected(file.error());
  if (auto cut = (*file)->truncate(0); !cut) return cut;
  return (*file)->write_at(0, std::as_bytes(std::span(bytes)));
}

}  // namespace

DictionaryId dictionary_id(std::string_view content) {
  const Sha256 digest = sha256(content);
  DictionaryId id;
  std::copy_n(digest.begin(), id.size(), id.begin());
  return id;
}

Dictionaries::Dictionaries(size_t max_each, Disk& disk, DiskWorkers& workers, std::string folder)
    : max_each_(max_each), disk_(&disk), folder_(std::move(folder)), workers_(&workers) {
  load();
}

Dictionaries::~Dictionaries() = default;

void Dictionaries::load() {
  if (!disk_->exists(folder_)) return;
  const auto names = disk_->list(folder_);
  if (!names) {
    ++disk_errors_;
    return;
  }
  for (const std::string& name : *names) {
    for (const FlowDirection direction : {FlowDirection::kToServer, FlowDirection::kToClient}) {
      if (!name.starts_with(kPrefixes[index_of(direction)]) || !name.ends_with(kSuffix)) continue;
      auto content = read_file(*disk_, folder_ + "/" + name, kMaxDictionary_bytes);
      const bool whole = content && folder_ + "/" + name == path_of(direction, dictionary_id(*content));
      if (whole && held_[index_of(direction)].size() < max_each_)
        held_[index_of(direction)].push_back(std::make_shared<const Dictionary>(dictionary_id(*content), *std::move(content)));
      else
        submit([disk = disk_, path = folder_ + "/" + name] { return disk->remove(path); });
    }
  }
}

std::string Dictionaries::path_of(FlowDirection direction, const DictionaryId& id) const {
  return folder_ + "/" + std::string(kPrefixes[index_of(direction)]) + to_hex(id) + std::string(kSuffix);
}

void Dictionaries::submit(std::move_only_function<Status()> work) {
  if (!worker_) worker_ = workers_->make("zstd");
  worker_->submit(std::move(work), [this](const Status& done) { disk_errors_ += done ? 0 : 1; });
}

Dictionaries::Held::iterator Dictionaries::place_of(FlowDirection direction, const DictionaryId& id) {
  return std::ranges::find(held_[index_of(direction)], id, [](const DictionaryPtr& one) { return one->id; });
}

DictionaryPtr Dictionaries::find(FlowDirection direction, const DictionaryId& id) {
  Held& held = held_[index_of(direction)];
  const auto found = place_of(direction, id);
  if (found == held.end()) return nullptr;
  held.splice(held.end(), held, found);
  return held.back();
}

DictionaryId Dictionaries::add(FlowDirection direction, std::string content) {
  const DictionaryId id = dictionary_id(content);
  if (find(direction, id)) return id;
  held_[index_of(direction)].push_back(std::make_shared<const Dictionary>(id, std::move(content)));
  if (disk_ != nullptr) write(direction, held_[index_of(direction)].back());
  trim(direction);
  return id;
}

void Dictionaries::write(FlowDirection direction, const DictionaryPtr& dictionary) {
  submit([disk = disk_, folder = folder_, path = path_of(direction, dictionary->id), content = dictionary->content] {
    return write_file(*disk, folder, path, content);
  });
}

void Dictionaries::trim(FlowDirection direction) {
  Held& held = held_[index_of(direction)];
  for (auto one = held.begin(); held.size() > max_each_ && one != held.end();) {
    const auto next = std::next(one);
    if (one->use_count() == 1) forget(direction, (*one)->id), held.erase(one);
    one = next;
  }
}

void Dictionaries::remove(FlowDirection direction, const DictionaryId& id) {
  Held& held = held_[index_of(direction)];
  const auto found = place_of(direction, id);
  if (found == held.end()) return;
  forget(direction, id);
  held.erase(found);
}

void Dictionaries::forget(FlowDirection direction, const DictionaryId& id) {
  if (disk_ != nullptr) submit([disk = disk_, path = path_of(direction, id)] { return disk->remove(path); });
}

std::vector<DictionaryId> Dictionaries::best(FlowDirection direction, size_t most) const {
  const Held& held = held_[index_of(direction)];
  std::vector<DictionaryPtr> all(held.rbegin(), held.rend());
  std::ranges::stable_sort(all, std::ranges::greater{}, [](const DictionaryPtr& one) { return one->content.size(); });
  std::vector<DictionaryId> out;
  for (const DictionaryPtr& one : all)
    if (out.size() < most) out.push_back(one->id);
  return out;
}

void DictionaryCutter::take(std::string_view bytes) {
  while (!bytes.empty()) {
    const uint64_t start = next_ - std::min<uint64_t>(next_, kMaxDictionary_bytes);
    const bool keeps = offset_ >= start;
    const std::string_view part = bytes.substr(0, std::min<uint64_t>(bytes.size(), (keeps ? next_ : start) - offset_));
    if (keeps) kept_.append(part);
    offset_ += part.size();
    bytes.remove_prefix(part.size());
    if (offset_ != next_) continue;
    next_ *= 2;
    std::string content = kept_;
    // The next one may begin inside of what is kept.
    const uint64_t next_start = next_ - std::min<uint64_t>(next_, kMaxDictionary_bytes);
    if (next_start >= offset_)
      kept_ = std::string();
    else
      kept_.erase(0, next_start - start);
    cut_(std::move(content));
  }
}

}  // namespace sluice
