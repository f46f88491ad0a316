#include "spool/folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/log.h"
#include "spool/choria_file.h"

namespace sluice {
namespace {

constexpr Logger kLog{"spool"};
constexpr std::chrono::seconds kLookEvery{1};
/// Of each priority in one look; also bounded by bytes.
constexpr size_t kFilesAtOnce = 64;
constexpr size_t kBytesAtOnce = 4 * kMiB;
constexpr size_t kMaxLeftAlone = 10'000;

std::string folder_of(const std::string& dir, unsigned priority) { return fmt::format("{}/P{}", dir, priority); }

/// @return the trouble in words; empty = none.
std::string read_file(Disk& disk, const std::string& path, size_t max_bytes, std::string& into) {
  auto file = disk.open(path, OpenMode::kRead);
  if (!file) return file.error().detail;
  const auto size = (*file)->size();
  if (!size) return size.error().detail;
  if (*size > max_bytes) return fmt::format("{} bytes are more than a message may have", *size);
  into.resize(*size);
  const auto got = (*file)->read_at(0, std::as_writable_bytes(std::span(into)));
  if (!got) return got.error().detail;
  into.resize(*got);
  return {};
}

}  // namespace

SpoolFolder::SpoolFolder(Env& env, SpoolQueue& queue, std::string dir, size_t max_payload_bytes)
    : env_(env), queue_(queue), dir_(std::move(dir)), max_file_bytes_(max_payload_bytes / 3 * 4 + 128 * kKiB),
      timer_(env.timers.make([this] { look_again(); })), worker_(env.disk_workers.make("spool-folder")) {}

Status SpoolFolder::start(std::move_only_function<void()> caught_up) {
  for (unsigned p = 0; p < kSpoolPriorities; ++p) {
    if (Status s = env_.disk.make_dirs(folder_of(dir_, p)); !s) return s;
  }
  caught_up_ = std::move(caught_up);
  look_again();
  return {};
}

/// Worker thread.
Status SpoolFolder::look(Disk& disk, const std::string& dir, const std::set<std::string>& left_alone, size_t max_file_bytes,
                         Look& into) {
  size_t bytes = 0;
  for (uint8_t p = 0; p < kSpoolPriorities; ++p) {
    const std::string folder = folder_of(dir, p);
    auto names = disk.list(folder);  // sorted: the oldest first
    if (!names) return std::unexpected(names.error());
    size_t taken = 0;
    for (std::string& name : *names) {
      const std::string path = folder + "/" + name;
      if (!name.ends_with(".msg") || left_alone.contains(path)) continue;
      if (taken++ == kFilesAtOnce || bytes > kBytesAtOnce) {
        into.more = true;
        break;
      }
      Found found{p, std::move(name), {}, {}};
      found.trouble = read_file(disk, path, max_file_bytes, found.text);
      bytes += found.text.size();
      into.found.push_back(std::move(found));
    }
  }
  return {};
}

void SpoolFolder::look_again() {
  auto look_at = std::make_shared<Look>();
  worker_->submit(
      [look_at, &disk = env_.disk, dir = dir_, left_alone = left_alone_, max = max_file_bytes_] {
        return look(disk, dir, left_alone, max, *look_at);
      },
      [this, look_at](const Status& status) {
        if (!status && !std::exchange(look_failed_, true))
          SLUICE_LOG(kLog, kError, "folder can't be read dir={} error={}", dir_, status.error().detail);
        if (status) look_failed_ = false;
        take(*look_at);
      });
}

void SpoolFolder::take(Look& look) {
  more_ = look.more;
  batch_ = {};
  ++batch_.unanswered;  // until all are handed over
  std::array<bool, kSpoolPriorities> stopped{};
  for (Found& file : look.found) {
    const std::string path = folder_of(dir_, file.priority) + "/" + file.name;
    if (!file.trouble.empty()) {
      leave_alone(path, file.trouble);
      continue;
    }
    auto message = parse_choria_file(file.text);
    const auto place = message ? queue_.find(message->id) : std::nullopt;
    const bool known = place && !place->quarantined;
    if (stopped[file.priority] && !known) continue;
    const auto done = [this, path, alive = std::weak_ptr<char>(alive_)](const Result<SpoolQueue::Accepted>& answer) {
      if (!alive.expired()) answered(path, answer);
    };
    Status good = message ? check_submission(*message, SIZE_MAX) : Status(std::unexpected(message.error()));
    if (!good) {
      ++batch_.unanswered;
      ++figures_.malformed;
      Submission broken = message ? std::move(*message) : Submission{};
      if (!message) {
        broken.id = "file " + file.name;  // so that a crash before the removal does not keep it twice
        broken.payload = std::move(file.text);
        broken.priority = file.priority;
        broken.created = env_.clock.wall();
      }
      queue_.submit_quarantined(std::move(broken), message ? kReasonInvalid : kReasonMalformed,
                                fmt::format("{}: {}", file.name, good.error().detail), done);
      continue;
    }
    // The order of the files is kept: behind one that finds no room nobody passes.
    if (!known && !queue_.has_room(*message)) {
      stopped[file.priority] = true;
      batch_.refused = true;
      continue;
    }
    ++batch_.unanswered;
    queue_.submit(std::move(*message), true, done);
  }
  if (batch_.refused) ++figures_.postponed;
  if (--batch_.unanswered == 0) remove_files();
}

void SpoolFolder::answered(const std::string& path, const Result<SpoolQueue::Accepted>& answer) {
  if (answer) {
    batch_.done.push_back(path);
    if (answer->duplicate) {
      ++figures_.duplicates;
    } else if (!answer->place.quarantined) {
      ++figures_.taken;
      batch_.held.push_back(answer->place);
    }
  } else if (answer.error().code == Errc::kInvalidArgument) {
    leave_alone(path, answer.error().detail);
  } else {
    batch_.refused = true;
  }
  if (--batch_.unanswered == 0) remove_files();
}

void SpoolFolder::remove_files() {
  if (batch_.done.empty()) return finish_round(false);
  auto stubborn = std::make_shared<std::set<std::string>>();
  worker_->submit(
      [stubborn, paths = batch_.done, &disk = env_.disk]() -> Status {
        std::set<std::string> folders;
        for (const std::string& path : paths) {
          if (const Status s = disk.remove(path); !s && s.error().code != Errc::kNotFound) stubborn->insert(path);
          folders.insert(path.substr(0, path.rfind('/')));
        }
        for (const std::string& folder : folders) {
          if (Status s = disk.sync_dir(folder); !s) return s;
        }
        return {};
      },
      [this, stubborn](const Status& status) {
        if (!status) SLUICE_LOG(kLog, kError, "folder can't be synced dir={} error={}", dir_, status.error().detail);
        for (const std::string& path : *stubborn) leave_alone(path, "it can't be removed; its message is taken");
        finish_round(more_);
      });
}

/// The messages may go: their files are gone, or will never be looked at again.
void SpoolFolder::finish_round(bool more) {
  for (const SpoolPlace& place : batch_.held) queue_.release(place);
  const bool stuck = batch_.refused || batch_.done.empty();
  batch_ = {};
  if (more && !stuck) {
    timer_->start(std::chrono::nanoseconds(0));
    return;
  }
  timer_->start(kLookEvery);
  if (auto told = std::exchange(caught_up_, nullptr)) told();
}

void SpoolFolder::leave_alone(const std::string& path, const std::string& why) {
  ++figures_.left_alone;
  if (left_alone_.size() >= kMaxLeftAlone) return;  // it will be told again
  left_alone_.insert(path);
  SLUICE_LOG(kLog, kError, "file is left alone path={} reason={}", path, why);
}

void SpoolFolder::collect(MetricSink& sink) const {
  const auto files = [&](std::string_view outcome, uint64_t count) {
    sink.counter("sluice_spool_files_total", "What became of files in the folder.", {{"outcome", outcome}}, static_cast<double>(count));
  };
  files("taken", figures_.taken);
  files("duplicate", figures_.duplicates);
  files("malformed", figures_.malformed);
  files("left_alone", figures_.left_alone);
}

}  // namespace sluice
