#include "adapters/file_drop/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "adapters/stream_ingest.h"
#include "adapters/subject_adapter.h"
#include "base/base64.h"
#include "base/headers.h"
#include "base/log.h"
#include "crypto/digest.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kStopDeadline{5};
constexpr size_t kFilesOfOneScan = 16;  ///< read, and held until they are offered
constexpr size_t kMaxName_bytes = 255;

/// A file as the worker read it.
struct Dropped {
  std::string name;
  std::string bytes;   ///< whole, or of a failed one as much as a dead letter can hold
  std::string reason;  ///< a stable word; empty = fine
  std::string detail;
};

struct Scan {
  std::vector<Dropped> files;
  bool more = false;  ///< there are others
};

/// On the worker.
class Folder {
 public:
  Folder(Disk& disk, PlainFiles& files, const FileDropOptions& options) : disk_(disk), files_(files), options_(options) {}

  Result<Scan> scan(const std::set<std::string>& known) const {
    auto names = disk_.list(options_.folder);
    if (!names) return std::unexpected(names.error());
    Scan scan;
    for (std::string& name : *names) {
      const std::string path = options_.folder + "/" + name;
      if (is_unfinished_name(name) || known.contains(name) || files_.is_folder(path)) continue;
      if (scan.files.size() == kFilesOfOneScan) {
        scan.more = true;
        break;
      }
      scan.files.push_back(read(std::move(name), path));
    }
    return scan;
  }

  Status settle(const std::string& name, uint64_t seq) const {
    const std::string path = options_.folder + "/" + name;
    // The sequence keeps apart what was dropped under one name.
    auto moved = options_.done_folder.empty() ? disk_.remove(path)
                                              : disk_.rename(path, fmt::format("{}/{}-{}", options_.done_folder, seq, name));
    if (!moved) return moved;
    return disk_.sync_dir(options_.folder);
  }

  Status put_aside(const std::string& name, const std::string& reason) const {
    const std::string aside = options_.failed_folder + "/" + name;
    if (auto moved = disk_.rename(options_.folder + "/" + name, aside); !moved) return moved;
    auto file = disk_.open(aside + ".reason", OpenMode::kCreate);
    if (!file) return std::unexpected(file.error());
    const std::string line = reason + "\n";
    if (auto cut = (*file)->truncate(0); !cut) return cut;
    return (*file)->write_at(0, std::as_bytes(std::span(line)));
  }

 private:
  Dropped read(std::string name, const std::string& path) const {
    Dropped dropped{.name = std::move(name), .bytes = {}, .reason = {}, .detail = {}};
    auto file = files_.open(path);
    if (!file && file.error().code == Errc::kUnsupported) {
      dropped.reason = "not_a_file";
      dropped.detail = file.error().detail;
      return dropped;
    }
    auto size = file ? (*file)->size() : Result<uint64_t>(std::unexpected(file.error()));
    if (!size) {
      dropped.reason = "unreadable";
      dropped.detail = size.error().detail;
      return dropped;
    }
    const bool large = *size > options_.max_file_bytes;
    dropped.bytes.resize(std::min<uint64_t>(*size, large ? kDefaultMaxPayload_bytes : options_.max_file_bytes));
    const auto got = (*file)->read_at(0, std::as_writable_bytes(std::span(dropped.bytes)));
    dropped.bytes.resize(got.value_or(0));
    if (!got) {
      dropped.reason = "unreadable";
      dropped.detail = got.error().detail;
    } else if (large) {
      dropped.reason = "too_large";
      dropped.detail = fmt::format("{} bytes, at most {} are taken", *size, options_.max_file_bytes);
    }
    return dropped;
  }

  Disk& disk_;
  PlainFiles& files_;
  const FileDropOptions& options_;
};

std::string file_msg_id(const Dropped& file) {
  const Sha256 digest = sha256(fmt::format("{}:{}", file.name.size(), file.name) + file.bytes);
  return base64url_encode({reinterpret_cast<const char*>(digest.data()), 24});
}

/// One token of a subject: a file's extension does not make a second one.
std::string name_token(std::string_view name) {
  std::string out(name);
  std::replace_if(out.begin(), out.end(),
                  [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '.' || c == '*' || c == '>' || c == '\x7f'; },
                  '_');
  return out;
}

class FileDrop final : public Adapter {
 public:
  FileDrop(Env& env, StreamClient& target, FileDropOptions options, std::unique_ptr<FolderWatch> watch, std::unique_ptr<PlainFiles> files)
      : env_(env),
        options_(std::move(options)),
        files_(std::move(files)),
        folder_(env.disk, *files_, options_),
        watch_(std::move(watch)),
        ingest_(env, target, {.adapter = options_.name, .max_in_flight_count = options_.max_in_flight}),
        scan_timer_(env.timers.make([this] { scan(); })),
        stop_timer_(env.timers.make([this] { finish_stop(); })),
        worker_(env.disk_workers.make("drop")) {
    ingest_.on_room([this] { offer_held(); });
  }

  std::string_view name() const override { return options_.name; }
  std::string_view kind() const override { return "file_drop"; }

  void start(std::move_only_function<void(Status)> done) override {
    StreamSpec spec;
    spec.name = options_.stream;
    spec.subjects = {options_.subject + ".>"};
    spec.duplicate_window = options_.duplicate_window;
    ingest_.prepare(spec, [this, told = std::move(done)](Status ready) mutable {
      if ((ready || may_pass(ready.error())) && !stopping_) ready = begin();
      failed_ = !ready;
      told(std::move(ready));
    });
  }

  void stop(std::move_only_function<void()> done) override {
    stopping_ = true;
    stop_done_ = std::move(done);
    scan_timer_->stop();
    watch_.reset();
    held_.clear();  // they are still in the folder
    stop_timer_->start(busy() ? std::chrono::nanoseconds(kStopDeadline) : std::chrono::nanoseconds(0));
  }

  AdapterHealth health() const override {
    if (stopping_ || failed_) return AdapterHealth::kStopped;
    if (!begun_) return AdapterHealth::kStarting;
    return ingest_.healthy() && trouble_.empty() ? AdapterHealth::kRunning : AdapterHealth::kDegraded;
  }

  const AdapterFigures& figures() const override {
    figures_.duplicates = ingest_.figures().duplicates;
    figures_.in_flight = ingest_.in_flight();
    return figures_;
  }
  std::string place() const override { return options_.folder; }
  std::string trouble() const override { return trouble_.empty() ? ingest_.trouble() : trouble_; }

 private:
  Status begin() {
    if (auto there = env_.disk.list(options_.folder); !there) return std::unexpected(there.error());
    for (const std::string* made : {&options_.done_folder, &options_.failed_folder})
      if (auto fine = made->empty() ? Status{} : env_.disk.make_dirs(*made); !fine) return fine;
    if (auto fine = files_->check_private(options_.failed_folder); !fine) return fine;
    if (auto watched = watch_->start(options_.folder, [this] { scan_soon(); }); !watched)
      SLUICE_LOG(kLog, kWarn, "folder is scanned only adapter={} why=\"{}\"", options_.name, watched.error().detail);
    begun_ = true;
    SLUICE_LOG(kLog, kInfo, "started adapter={} type=file_drop folder={} stream={}", options_.name, options_.folder,
               options_.stream);
    scan_soon();
    return {};
  }

  bool busy() const { return ingest_.in_flight() != 0 || jobs_ != 0; }

  // ---- looking

  void scan_soon() {
    again_ = true;
    if (!stopping_ && !scanning_ && held_.empty()) scan_timer_->start(std::chrono::nanoseconds(0));
  }

  void scan() {
    if (stopping_ || scanning_ || !held_.empty()) return;
    scanning_ = true;
    again_ = false;
    auto found = std::make_shared<Result<Scan>>(Scan{});
    job([this, found, known = known_] {
      *found = folder_.scan(known);
      return *found ? Status{} : std::unexpected(found->error());
    }, [this, found](Status outcome) {
      scanning_ = false;
      if (!outcome) {
        note("folder can't be read", outcome.error());
      } else if (!stopping_) {
        again_ = again_ || (*found)->more;
        for (Dropped& file : (*found)->files) {
          known_.insert(file.name);
          held_.push_back(std::move(file));
        }
        offer_held();
      }
      if (!stopping_ && held_.empty())
        scan_timer_->start(again_ ? std::chrono::nanoseconds(0) : options_.scan_interval);
    });
  }

  // ---- offering

  void offer_held() {
    const bool waited = !held_.empty();
    while (!held_.empty()) {
      if (offer(held_.front()) == Offer::kFull) {
        if (!std::exchange(full_, true)) ++figures_.paused;
        return;
      }
      full_ = false;
      held_.pop_front();
    }
    if (waited && !scanning_ && !stopping_) scan_timer_->start(std::chrono::nanoseconds(0));
  }

  Offer offer(const Dropped& file) {
    const Offer taken = file.reason.empty() ? offer_file(file) : offer_failed(file);
    if (taken == Offer::kFull) return taken;
    ++figures_.received;
    figures_.received_bytes += file.bytes.size();
    if (!file.reason.empty()) ++figures_.rejected[file.reason];
    return taken;
  }

  Offer offer_file(const Dropped& file) {
    std::string headers;
    append_header(headers, "Sluice-File", base64url_encode(file.name));
    if (is_valid_header_value(file.name)) set_header(headers, "Sluice-File", file.name);
    const std::string path = options_.folder + "/" + file.name;
    return ingest_.offer({options_.subject + "." + name_token(file.name), headers, file.bytes, file_msg_id(file), "folder", path},
                         [this, name = file.name](Result<PubAck> stored) {
                           if (stored) {
                             ++figures_.accepted;
                             settle(name, [this, name, seq = stored->seq.value()] { return folder_.settle(name, seq); });
                           } else if (stored.error().code != Errc::kClosed) {
                             ++figures_.rejected["refused"];
                             put_aside(name, "refused: " + stored.error().detail);
                           }
                           check_stop();
                         });
  }

  Offer offer_failed(const Dropped& file) {
    const std::string path = options_.folder + "/" + file.name;
    // The detail too: of a file that is too large, whose bytes are its beginning only, it tells the size.
    return ingest_.dead_letter({file.reason, file.detail, path, file.bytes, path + ": " + file.detail},
                               [this, name = file.name, why = file.reason + ": " + file.detail](const Result<PubAck>& kept) {
                                 if (kept || kept.error().code != Errc::kClosed) put_aside(name, why);
                                 check_stop();
                               });
  }

  // ---- tidying up

  void put_aside(const std::string& name, const std::string& why) {
    settle(name, [this, name, why] { return folder_.put_aside(name, why); });
  }

  /// A file that can't be moved away stays known, so that it is not stored again and again.
  void settle(const std::string& name, std::move_only_function<Status()> work) {
    job(std::move(work), [this, name](Status outcome) {
      if (outcome)
        known_.erase(name);
      else
        note("file can't be moved away, it is not taken again before a restart", outcome.error());
    });
  }

  void job(std::move_only_function<Status()> work, std::move_only_function<void(Status)> done) {
    ++jobs_;
    worker_->submit(std::move(work), [this, told = std::move(done)](Status outcome) mutable {
      --jobs_;
      told(std::move(outcome));
      check_stop();
    });
  }

  void note(const char* what, const Error& why) {
    if (trouble_ != why.detail)
      SLUICE_LOG(kLog, kError, "{} adapter={} folder={} why=\"{}\"", what, options_.name, options_.folder, why.detail);
    trouble_ = why.detail;
  }

  void check_stop() {
    if (stop_timer_->active() && !busy()) stop_timer_->start(std::chrono::nanoseconds(0));
  }
  void finish_stop() {
    if (busy()) SLUICE_LOG(kLog, kWarn, "stopped with files not stored adapter={}", options_.name);
    ingest_.stop();
    if (auto done = std::exchange(stop_done_, nullptr)) done();
  }

  Env& env_;
  const FileDropOptions options_;
  const std::unique_ptr<PlainFiles> files_;
  const Folder folder_;
  std::unique_ptr<FolderWatch> watch_;
  mutable AdapterFigures figures_;
  bool begun_ = false;
  bool stopping_ = false;
  bool failed_ = false;
  bool full_ = false;
  bool scanning_ = false;
  bool again_ = false;           ///< something came while we looked
  size_t jobs_ = 0;              ///< of the worker
  std::set<std::string> known_;  ///< held, offered, or not to be moved away
  std::deque<Dropped> held_;     ///< read and not offered; kFilesOfOneScan at most
  std::string trouble_;
  StreamIngest ingest_;
  std::unique_ptr<Timer> scan_timer_;
  std::move_only_function<void()> stop_done_;
  std::unique_ptr<Timer> stop_timer_;
  std::unique_ptr<DiskWorker> worker_;
};

}  // namespace

bool is_unfinished_name(std::string_view name) {
  if (name.empty() || name.front() == '.' || name.size() > kMaxName_bytes) return true;
  for (const std::string_view end : {".tmp", ".part", ".partial", ".swp", "~"})
    if (name.ends_with(end)) return true;
  return false;
}

Result<std::unique_ptr<Adapter>> make_file_drop(Env& env, StreamClient& target, FileDropOptions options,
                                                std::unique_ptr<FolderWatch> watch, std::unique_ptr<PlainFiles> files) {
  if (options.subject.empty()) options.subject = "filedrop." + options.name;
  if (options.failed_folder.empty()) options.failed_folder = options.folder + "/failed";
  if (!is_adapter_subject(options.name, false) || options.name.contains('.'))
    return fail(Errc::kInvalidArgument, "the adapter's name must be one subject token");
  if (options.folder.empty() || options.stream.empty() || options.max_in_flight == 0)
    return fail(Errc::kInvalidArgument, "a drop folder needs a folder, a stream and room for a file");
  if (!is_adapter_subject(options.subject, false))
    return fail(Errc::kInvalidArgument, "'" + options.subject + "' is not a subject");
  return std::make_unique<FileDrop>(env, target, std::move(options), std::move(watch), std::move(files));
}

}  // namespace sluice
