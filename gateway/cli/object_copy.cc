// sluice object put|get: an object's bytes from and to files.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "config/units.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/object_words.h"
#include "gateway/cli/table.h"
#include "uv/signals.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr size_t kPiece_bytes = 256 * 1024;
constexpr size_t kBarWidth = 30;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using OpenFile = std::unique_ptr<std::FILE, CloseFile>;

std::unexpected<Error> file_error(const std::string& path) {
  return fail(Errc::kIo, fmt::format("{}: {}", path, std::strerror(errno)));
}

/// One line that is written over, when somebody looks. Without a size only bytes and rate.
class TransferBar {
 public:
  TransferBar(Clock& clock, uint64_t all, bool quiet)
      : clock_(clock), begun_(clock.now()), all_(all), on_(!quiet && ::isatty(STDERR_FILENO) != 0) {}
  ~TransferBar() {
    if (shown_) std::fputs("\r\x1b[K", stderr);
  }
  TransferBar(const TransferBar&) = delete;
  TransferBar& operator=(const TransferBar&) = delete;
  void size_is(uint64_t all) { all_ = all; }
  void show(uint64_t done) {
    const MonoTime now = clock_.now();
    if (!on_ || now - begun_ < 500ms || (shown_ && now - drawn_ < 100ms)) return;  // short ones need no bar
    shown_ = true;
    drawn_ = now;
    const double seconds = std::chrono::duration<double>(now - begun_).count();
    const double rate = static_cast<double>(done) / seconds;
    std::string line = fmt::format("{} {}/s", format_size(static_cast<int64_t>(done)), format_size(static_cast<int64_t>(rate)));
    if (all_ != 0) {
      const uint64_t part = std::min(done, all_);
      const auto full = static_cast<size_t>(part * kBarWidth / all_);
      line = fmt::format("[{}{}] {:3} % {}", std::string(full, '='), std::string(kBarWidth - full, ' '), part * 100 / all_, line);
      if (rate >= 1) line += fmt::format(", {:.0f} s left", static_cast<double>(all_ - part) / rate);
    }
    std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
    std::fflush(stderr);
  }

 private:
  Clock& clock_;
  const MonoTime begun_;
  MonoTime drawn_{0};
  uint64_t all_;
  bool on_;
  bool shown_ = false;
};

/// Feeds a file into a writer and waits for its end. A pipe is read when it has something, so that a signal is heard and
/// the connection kept meanwhile.
class Upload {
 public:
  Upload(Session& session, int from, const std::string& path) : session_(session), from_(from), path_(path) {}

  Result<ObjectInfo> run(ObjectBucket& bucket, ObjectMeta meta, TransferBar& bar) {
    Signals signals(session_.loop(), {SIGINT, SIGTERM}, [this](int) { stopped_ = true; });
    auto writer = bucket.put(std::move(meta), {.on_ready = [this] { ready_ = true; },
                                               .on_done = [this](Result<ObjectInfo> result) { result_ = std::move(result); }});
    std::optional<Error> unread;
    const auto stopped = [this] { return stopped_ && !at_end_; };  // what has been read whole is put
    while (!result_ && !stopped() && !unread) {
      if (may_read()) unread = feed(*writer);
      bar.show(writer->acked_bytes());
      (void)session_.loop().run_until([&] { return may_read() || result_ || stopped(); }, at_end_ || !ready_ ? 100ms : 5ms);
    }
    if (result_) return std::move(*result_);
    writer.reset();
    (void)session_.api("INFO", "");  // what frees the chunks goes out before the process ends
    if (unread) return std::unexpected(*unread);
    return fail(Errc::kClosed, "stopped; nothing was put");
  }

 private:
  bool may_read() const {
    pollfd waiting{.fd = from_, .events = POLLIN, .revents = 0};
    return ready_ && !at_end_ && ::poll(&waiting, 1, 0) != 0;
  }

  std::optional<Error> feed(ObjectWriter& writer) {
    while (may_read()) {
      const ssize_t got = ::read(from_, piece_.data(), piece_.size());
      if (got < 0) return file_error(path_).error();
      at_end_ = got == 0;
      if (at_end_)
        writer.finish();
      else
        ready_ = writer.write({piece_.data(), static_cast<size_t>(got)});
    }
    return std::nullopt;
  }

  Session& session_;
  const int from_;
  const std::string& path_;
  std::vector<char> piece_ = std::vector<char>(kPiece_bytes);
  bool ready_ = true;
  bool at_end_ = false;
  bool stopped_ = false;
  std::optional<Result<ObjectInfo>> result_;
};

/// A file beside the wanted one, which takes its name once the bytes are known to be good.
class Download {
 public:
  static Result<std::unique_ptr<Download>> open(const std::string& path, bool force) {
    auto out = std::make_unique<Download>();
    if (path == "-") {
      out->to_ = stdout;
      return out;
    }
    std::error_code ignored;
    if (!force && std::filesystem::exists(path, ignored))
      return fail(Errc::kExists, fmt::format("'{}' is there already; --force writes over it", path));
    out->path_ = path;
    out->part_ = fmt::format("{}.part-{}", path, ::getpid());
    out->file_.reset(std::fopen(out->part_.c_str(), "wbx"));
    if (!out->file_) return file_error(out->part_);
    out->to_ = out->file_.get();
    return out;
  }
  ~Download() {
    file_.reset();
    if (!part_.empty()) std::remove(part_.c_str());
  }

  Status write(std::string_view bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), to_) == bytes.size()) return {};
    return file_error(path_.empty() ? "standard output" : part_);
  }
  Status keep() {
    if (std::fflush(to_) != 0 || (file_ && ::fsync(::fileno(to_)) != 0)) return file_error(path_.empty() ? "standard output" : part_);
    if (!file_) return {};
    file_.reset();
    if (std::rename(part_.c_str(), path_.c_str()) != 0) return file_error(path_);
    part_.clear();
    return {};
  }

 private:
  std::string path_, part_;
  OpenFile file_;
  std::FILE* to_ = nullptr;
};

Result<ObjectMeta> meta_of(const ObjectWords& words) {
  ObjectMeta meta{.name = words.object, .description = words.description};
  if (meta.name.empty()) meta.name = std::filesystem::path(words.file).filename().string();
  auto metadata = read_pairs(words.metadata, "--metadata");
  auto headers = read_pairs(words.headers, "--header");
  auto chunk = read_size(words.chunk_size, "--chunk-size");
  if (!metadata) return std::unexpected(metadata.error());
  if (!headers) return std::unexpected(headers.error());
  if (!chunk) return std::unexpected(chunk.error());
  meta.metadata = *std::move(metadata);
  for (auto& [name, value] : *headers) meta.headers[name].push_back(value);
  if (*chunk > 0) meta.chunk_bytes = static_cast<uint64_t>(*chunk);
  return meta;
}

}  // namespace

int put_object(Session& session, ObjectBucket& bucket, const ObjectWords& words) {
  const bool piped = words.file == "-";
  if (piped && words.object.empty()) return complain("standard input has no name: say --name");
  auto meta = meta_of(words);
  if (!meta) return complain(meta.error());
  if (!words.force) {
    auto there = session.await<ObjectInfo>([&](auto done) { return bucket.info(meta->name, false, std::move(done)); });
    if (there && !confirm(fmt::format("Write over '{}'?", meta->name))) return kExitFailure;
  }
  OpenFile file(piped ? nullptr : std::fopen(words.file.c_str(), "rb"));
  if (!piped && !file) return complain(file_error(words.file).error());
  std::error_code unknown;
  const uint64_t size = piped ? 0 : std::filesystem::file_size(words.file, unknown);
  Result<ObjectInfo> put = fail(Errc::kClosed, "");
  {
    TransferBar bar(session.env().clock, unknown ? 0 : size, words.quiet);
    put = Upload(session, piped ? STDIN_FILENO : ::fileno(file.get()), words.file).run(bucket, *std::move(meta), bar);
  }
  if (!put) return complain(put.error());
  print_object(*put, words.json);
  return kExitOk;
}

int get_object(Session& session, ObjectBucket& bucket, const ObjectWords& words) {
  std::string path = words.output;
  if (path.empty()) path = std::filesystem::path(words.object).filename().string();
  if (path.empty() || path == "." || path == "..") return complain(fmt::format("'{}' is no file name: say --output", printable(words.object)));
  auto file = Download::open(path, words.force);
  if (!file) return complain(file.error());
  std::optional<Status> ended;
  bool stopped = false;
  uint64_t bytes = 0;
  ObjectInfo told;
  {
    TransferBar bar(session.env().clock, 0, words.quiet);
    Signals signals(session.loop(), {SIGINT, SIGTERM}, [&](int) { stopped = true; });
    auto reader = bucket.get(words.object, {.on_info =
                                                [&](const ObjectInfo& info) {
                                                  told = info;
                                                  bar.size_is(info.size);
                                                },
                                            .on_bytes =
                                                [&](std::string_view part) {
                                                  bytes += part.size();
                                                  bar.show(bytes);
                                                  if (auto written = (*file)->write(part); !written && !ended) ended = written;
                                                },
                                            .on_done =
                                                [&](Status status) {
                                                  if (!ended) ended = std::move(status);
                                                }});
    while (!ended && !stopped) (void)session.loop().run_until([&] { return ended.has_value() || stopped; }, 1h);
    reader.reset();
    if (stopped || !*ended) (void)session.api("INFO", "");  // the consumer's end goes out before the process does
  }
  if (stopped) return complain("stopped; nothing was kept");
  if (!*ended && ended->error().code == Errc::kNotFound)
    return complain(fmt::format("there is no object '{}' in {}", printable(words.object), words.bucket));
  if (!*ended) return complain(ended->error());
  if (auto kept = (*file)->keep(); !kept) return complain(kept.error());
  if (path != "-" && !words.quiet)
    std::printf("Wrote %s to %s, its digest is right\n", format_size(static_cast<int64_t>(told.size)).c_str(), printable(path).c_str());
  return kExitOk;
}

}  // namespace sluice
