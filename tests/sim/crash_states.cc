#include "sim/crash_states.h"

#include <algorithm>
#include <span>

namespace sluice::sim {
namespace {

using Kind = DiskEvent::Kind;
constexpr size_t kMaxTears = 24;  ///< of one write and unit, evenly spread

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

void CrashStates::apply_name(const DiskEvent& event, Names& names) {
  const auto found = names.find(event.path);
  if (event.kind == Kind::kRename || event.kind == Kind::kRemove) {
    if (found != names.end() && found->second == event.file) names.erase(found);
  }
  if (event.kind == Kind::kRename) names[event.to] = event.file;
  if (event.kind == Kind::kCreate || event.kind == Kind::kMakeDir) names[event.path] = event.file;
}

void CrashStates::apply_data(const DiskEvent& event, size_t index, const Kept& kept, FileImage& file) const {
  if (event.kind == Kind::kTruncate) {
    if (kept.sector(index, 0)) file.truncate(event.offset);
    return;
  }
  const auto bytes = bytes_of(event.bytes);
  const uint64_t end = event.offset + bytes.size();
  if (kept.sizes) file.size = std::max(file.size, end);
  for (uint64_t at = event.offset; at < end;) {
    const uint64_t sector_end = std::min(end, (at / kSector + 1) * kSector);
    if (kept.sector(index, at / kSector)) file.write(at, bytes.subspan(at - event.offset, sector_end - at));
    at = sector_end;
  }
}

bool CrashStates::step() {
  if (next_ == history_.events.size()) return false;
  const size_t index = next_++;
  const DiskEvent& event = history_.events[index];
  switch (event.kind) {
    case Kind::kWrite:
    case Kind::kTruncate: files_[event.file].events.push_back(index); break;
    case Kind::kSync: {
      PendingFile& file = files_[event.file];
      const Kept all{nullptr, [](size_t, uint64_t) { return true; }};
      for (const size_t at : file.events) apply_data(history_.events[at], at, all, file.durable);
      file.events.clear();
      break;
    }
    case Kind::kCreate:
    case Kind::kMakeDir:
    case Kind::kRename:
    case Kind::kRemove: {
      const std::string dir = folder_of(event.path);
      if (event.kind == Kind::kMakeDir && (dir.empty() || dir == "/")) {
        apply_name(event, names_);  // stands for a mount point
      } else {
        pending_names_.push_back(index);
      }
      break;
    }
    case Kind::kSyncDir:
      std::erase_if(pending_names_, [&](size_t at) {
        const DiskEvent& name = history_.events[at];
        const bool here = folder_of(name.path) == event.path || (!name.to.empty() && folder_of(name.to) == event.path);
        if (here) apply_name(name, names_);
        return here;
      });
      break;
  }
  return true;
}

DiskImage CrashStates::build(const Kept& kept) const {
  Names names = names_;
  for (const size_t at : pending_names_) {
    if (kept.name(at)) apply_name(history_.events[at], names);
  }
  DiskImage image;
  std::map<uint32_t, std::shared_ptr<const FileImage>> made;
  for (const auto& [path, file] : names) {
    const std::string dir = folder_of(path);
    const auto parent = names.find(dir);
    const bool top = dir.empty() || dir == "/";
    if (!top && (parent == names.end() || parent->second != kFolder || !image.contains(dir))) continue;
    if (file == kFolder) {
      image[path] = nullptr;
      continue;
    }
    auto& slot = made[file];
    if (!slot) {
      auto fresh = std::make_shared<FileImage>();
      if (const auto found = files_.find(file); found != files_.end()) {
        *fresh = found->second.durable;
        for (const size_t at : found->second.events) apply_data(history_.events[at], at, kept, *fresh);
      }
      slot = std::move(fresh);
    }
    image[path] = slot;
  }
  return image;
}

std::vector<size_t> CrashStates::pending_data() const {
  std::vector<size_t> out;
  for (const auto& [file, pending] : files_) out.insert(out.end(), pending.events.begin(), pending.events.end());
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<CrashStates::Kept> CrashStates::systematic() const {
  const auto every_name = [](size_t) { return true; };
  const auto no_name = [](size_t) { return false; };
  const auto every_byte = [](size_t, uint64_t) { return true; };
  const auto no_byte = [](size_t, uint64_t) { return false; };
  std::vector<Kept> out;
  out.push_back({every_name, every_byte});
  out.push_back({no_name, no_byte});
  out.push_back({every_name, no_byte});
  out.push_back({no_name, every_byte});
  out.push_back({every_name, no_byte, true});
  for (const size_t event : pending_data()) {
    out.push_back({every_name, [event](size_t at, uint64_t) { return at != event; }});
    out.push_back({every_name, [event](size_t at, uint64_t) { return at == event; }});
    out.push_back({no_name, [event](size_t at, uint64_t) { return at == event; }});
  }
  for (const size_t event : pending_names_) {
    out.push_back({[event](size_t at) { return at != event; }, every_byte});
    out.push_back({[event](size_t at) { return at == event; }, every_byte});
    out.push_back({[event](size_t at) { return at == event; }, no_byte});
  }
  tear_newest(out);
  return out;
}

/// The write under way when the power went: its parts in units of a sector and of a page.
void CrashStates::tear_newest(std::vector<Kept>& out) const {
  if (next_ == 0 || history_.events[next_ - 1].kind != Kind::kWrite) return;
  const size_t newest = next_ - 1;
  const DiskEvent& event = history_.events[newest];
  const auto all_names = [](size_t) { return true; };
  for (const uint64_t unit : {kSector, kPage}) {
    const uint64_t first = event.offset / unit;
    const uint64_t end = (event.offset + event.bytes.size() + unit - 1) / unit;
    const uint64_t stride = std::max<uint64_t>(1, (end - first) / kMaxTears);
    for (uint64_t place = first; place < end; place += stride) {
      const auto part = [newest, unit, place](bool others, auto keep) {
        return [newest, unit, place, others, keep](size_t at, uint64_t sector) {
          return at == newest ? keep(sector * kSector / unit, place) : others;
        };
      };
      for (const bool others : {true, false}) {
        out.push_back({all_names, part(others, [](uint64_t at, uint64_t cut) { return at < cut; })});
        out.push_back({all_names, part(others, [](uint64_t at, uint64_t cut) { return at >= cut; })});
        out.push_back({all_names, part(others, [](uint64_t at, uint64_t hole) { return at != hole; })});
        out.push_back({all_names, part(others, [](uint64_t at, uint64_t only) { return at == only; })});
      }
    }
  }
}

CrashStates::Kept CrashStates::mixture() {
  const uint64_t salt = random_.u64();
  const auto percent = static_cast<unsigned>(random_.between(5, 95));
  const bool by_page = random_.chance(30);
  const bool by_event = random_.chance(20);
  const auto draw = [salt](uint64_t a, uint64_t b) { return SimRandom(salt ^ (a * 0x100000001b3U) ^ (b << 40)); };
  return {[draw, percent](size_t event) { return draw(event, 1).chance(percent); },
          [=](size_t event, uint64_t sector) {
            const uint64_t unit = by_event ? 0 : by_page ? sector * kSector / kPage : sector;
            return draw(event, unit + 2).chance(percent);
          },
          random_.chance(20)};
}

void CrashStates::each(uint64_t promises, size_t mixtures, const std::function<bool(const DiskImage&)>& visit) {
  const auto offer = [&](const Kept& kept) {
    const DiskImage image = build(kept);
    const uint64_t hash = (hash_of(image) ^ promises) * 0x9e3779b97f4a7c15U;
    return !seen_.insert(hash).second || visit(image);
  };
  for (const Kept& kept : systematic()) {
    if (!offer(kept)) return;
  }
  if (pending_names_.empty() && pending_data().empty()) return;
  for (size_t i = 0; i < mixtures; ++i) {
    if (!offer(mixture())) return;
  }
}

}  // namespace sluice::sim
