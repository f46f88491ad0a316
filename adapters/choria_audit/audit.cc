#include "adapters/choria_audit/audit.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <deque>
#include <span>
#include <utility>

#include "adapters/choria_audit/log_reader.h"
#include "adapters/stream_ingest.h"
#include "adapters/subject_adapter.h"
#include "base/base64.h"
#include "base/log.h"
#include "client/backoff.h"
#include "crypto/digest.h"
#include "spool/choria_file.h"
#include "spool/socket_client.h"

namespace sluice {
namespace {

constexpr Logger kLog{"adapters"};
constexpr std::chrono::seconds kStopDeadline{5};
constexpr size_t kMaxAsked_count = 32;  ///< of the spool at a time; it reads at most 64 of one connection
constexpr size_t kMaxHeld_count = 1024;
constexpr size_t kMaxPosition_bytes = 4096;

/// A line on its way; the position goes over it when it and all before it are settled.
struct Held {
  LogLine line{};
  uint64_t number = 0;
  bool asked = false;
  bool settled = false;
  std::string reason{};  ///< of a dead letter
  std::string detail{};
};

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

struct SpoolAnswer {
  bool accepted = false;
  bool duplicate = false;
  bool is_final = false;  ///< the spool will never take it
  std::string text{};
};
SpoolAnswer read_answer(const std::string& line) {
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::element json;
  SpoolAnswer out;
  std::string_view code, text;
  if (parser.parse(line).get(json) != simdjson::SUCCESS) {
    out.text = "the spool answered with something that is no JSON";
  } else if (json["error"]["code"].get(code) == simdjson::SUCCESS) {
    out.is_final = code == to_string(Errc::kInvalidArgument);
    out.text = json["error"]["text"].get(text) == simdjson::SUCCESS ? text : code;
  } else {
    out.accepted = true;
    out.duplicate = json["duplicate"].get(out.duplicate) == simdjson::SUCCESS && out.duplicate;
  }
  return out;
}

class ChoriaAudit final : public Adapter {
 public:
  ChoriaAudit(Env& env, std::unique_ptr<AuditLetters> letters, ChoriaAuditOptions options, std::unique_ptr<FolderWatch> watch)
      : env_(env),
        options_(std::move(options)),
        reader_(options_.file, options_.max_line_bytes),
        watch_(std::move(watch)),
        letters_(std::move(letters)),
        spool_(env, options_.spool, [this] { on_spool(); }),
        read_timer_(env.timers.make([this] { read(); })),
        again_timer_(env.timers.make([this] { feed(); })),
        stop_timer_(env.timers.make([this] { finish_stop(); })),
        worker_(env.disk_workers.make("audit")) {
    letters_->on_room([this] { feed(); });
  }

  std::string_view name() const override { return options_.name; }
  std::string_view kind() const override { return "choria_audit"; }

  void start(std::move_only_function<void(Status)> done) override {
    letters_->prepare([this, told = std::move(done)](Status ready) mutable {
      if ((ready || may_pass(ready.error())) && !stopping_) ready = begin();
      failed_ = !ready;
      told(std::move(ready));
    });
  }

  void stop(std::move_only_function<void()> done) override {
    stopping_ = true;
    stop_done_ = std::move(done);
    read_timer_->stop();
    watch_.reset();
    check_stop(busy() ? std::chrono::nanoseconds(kStopDeadline) : std::chrono::nanoseconds(0));
  }

  AdapterHealth health() const override {
    if (stopping_ || failed_) return AdapterHealth::kStopped;
    if (!begun_) return AdapterHealth::kStarting;
    const bool well = spool_.connected() && trouble_.empty() && letters_->healthy();
    return well ? AdapterHealth::kRunning : AdapterHealth::kDegraded;
  }
  const AdapterFigures& figures() const override {
    figures_.in_flight = asked_ + letters_->in_flight();
    return figures_;
  }
  std::string place() const override { return options_.file; }
  std::string trouble() const override {
    if (!trouble_.empty()) return trouble_;
    return spool_.connected() ? "" : "no connection to the spool's socket " + options_.spool;
  }

 private:
  // ---- where we are in the log

  Status begin() {
    const std::string folder = parent_of(options_.file);
    if (auto there = env_.disk.list(folder); !there) return std::unexpected(there.error());
    if (auto there = env_.disk.list(parent_of(options_.position_file)); !there) return std::unexpected(there.error());
    if (Status known = load_position(); !known) return known;
    if (auto watched = watch_->start(folder, [this] { read_soon(); }); !watched)
      SLUICE_LOG(kLog, kWarn, "log is looked at now and then only adapter={} why=\"{}\"", options_.name, watched.error().detail);
    begun_ = true;
    SLUICE_LOG(kLog, kInfo, "started adapter={} type=choria_audit file={} offset={} spool={}", options_.name, options_.file, kept_.offset,
               options_.spool);
    spool_.start();
    read_soon();
    return {};
  }

  Status load_position() {
    auto file = env_.disk.open(options_.position_file, OpenMode::kRead);
    if (!file && file.error().code == Errc::kNotFound) {
      if (options_.from_end) reader_.skip_present();
      return {};
    }
    if (!file) return std::unexpected(file.error());
    std::string text(kMaxPosition_bytes, '\0');
    const auto got = (*file)->read_at(0, std::as_writable_bytes(std::span(text)));
    if (!got) return std::unexpected(got.error());
    text.resize(*got);
    const auto position = parse_log_position(text);
    if (!position)
      return fail(Errc::kCorrupt, fmt::format("{} holds no position. Without it every record of {} would be submitted again: remove it to allow that",
                                              options_.position_file, options_.file));
    kept_ = passed_ = *position;
    reader_.resume(*position);
    return {};
  }

  /// One at a time; what is passed meanwhile goes with the next.
  void keep_position() {
    if (keeping_ || passed_ == kept_) return;
    keeping_ = true;
    job([this, position = passed_] { return write_position(position); },
        [this, position = passed_](const Status& written) {
          keeping_ = false;
          if (!written) {
            note("position can't be kept", written.error().detail);
            if (begin_unkept_ && !stopping_) again_timer_->start(five_sec_backoff(++failures_, env_.random));
            return;
          }
          kept_ = position;
          keep_position();
          if (std::exchange(begin_unkept_, false)) feed();
        });
  }

  Status write_position(const LogPosition& position) const {
    const std::string text = format_log_position(position);
    const std::string fresh = options_.position_file + ".new";
    auto file = env_.disk.open(fresh, OpenMode::kCreate);
    if (!file) return std::unexpected(file.error());
    if (Status s = (*file)->truncate(0); !s) return s;
    if (Status s = (*file)->write_at(0, std::as_bytes(std::span(text))); !s) return s;
    if (Status s = (*file)->sync(); !s) return s;
    if (Status s = env_.disk.rename(fresh, options_.position_file); !s) return s;
    return env_.disk.sync_dir(parent_of(options_.position_file));
  }

  // ---- reading

  void read_soon() {
    again_ = true;
    if (may_read()) read_timer_->start(std::chrono::nanoseconds(0));
  }
  bool may_read() const { return !stopping_ && !reading_ && held_.size() < kMaxHeld_count / 2; }

  void read() {
    if (!may_read()) return;
    reading_ = true;
    again_ = false;
    auto found = std::make_shared<LogRead>();
    job([this, found]() -> Status {
      auto got = reader_.read();
      if (!got) return std::unexpected(got.error());
      *found = *std::move(got);
      return {};
    }, [this, found](const Status& outcome) {
      reading_ = false;
      if (outcome) {
        if (read_failed_) trouble_.clear();
        read_failed_ = false;
        if (!stopping_) take(*found);
      } else {
        read_failed_ = true;
        note("log can't be read", outcome.error().detail);
      }
      if (may_read()) read_timer_->start(again_ ? std::chrono::nanoseconds(0) : options_.scan_interval);
    });
  }

  void take(LogRead& found) {
    if (found.begins) {
      passed_ = *found.begins;
      begin_unkept_ = true;
    }
    again_ = again_ || found.more;
    for (const std::string& gap : found.gaps) {
      SLUICE_LOG(kLog, kError, "records may be missing adapter={} file={} why=\"{}\"", options_.name, options_.file, gap);
      held_.push_back({.line = {.after = passed_before_gap()}, .number = ++last_number_, .reason = "gap", .detail = gap});
      ++figures_.rejected["gap"];
    }
    for (LogLine& line : found.lines) {
      Held held{.line = std::move(line), .number = ++last_number_};
      ++figures_.received;
      figures_.received_bytes += held.line.text.size();
      if (held.line.fault == LogFault::kTooLong) {
        held.reason = "too_long";
        held.detail = fmt::format("longer than {} bytes, cut", options_.max_line_bytes);
      } else if (held.line.fault == LogFault::kUnfinished) {
        held.reason = "unfinished";
        held.detail = "the log was rotated within this line";
      } else {
        held.reason = check_audit_record(held.line.text, held.detail);
      }
      if (!held.reason.empty()) ++figures_.rejected[held.reason];
      held_.push_back(std::move(held));
    }
    feed();
  }
  /// A gap moves nothing.
  LogPosition passed_before_gap() const { return held_.empty() ? passed_ : held_.back().line.after; }

  // ---- handing on

  void on_spool() {
    if (spool_.connected()) {
      note_end();
      SLUICE_LOG(kLog, kInfo, "spool connected adapter={}", options_.name);
      return feed();
    }
    note("spool is away", spool_.trouble());
  }

  void feed() {
    if (again_timer_->active()) return;
    if (begin_unkept_) return keep_position();  // a log that is rotated before the first record is settled must be found again
    for (Held& one : held_) {
      if (one.asked) continue;
      if (stopping_ || !(one.reason.empty() ? submit(one) : bury(one))) break;
    }
  }

  bool submit(Held& one) {
    if (!spool_.connected() || asked_ >= kMaxAsked_count) return false;
    one.asked = true;
    ++asked_;
    Submission out;
    out.id = id_of(one.line);
    out.subject = options_.subject;
    out.payload = one.line.text;
    out.reliable = true;
    out.priority = options_.priority;
    out.created = env_.clock.wall();
    out.ttl = options_.ttl;
    out.max_tries = 0;
    out.sender = "choria_audit";
    out.identity = options_.identity;
    out.sign = options_.sign;
    spool_.ask(R"({"op":"submit","message":)" + format_choria_file(out) + "}", [this, number = one.number](Result<std::string> answer) {
      --asked_;
      on_answer(number, std::move(answer));
      check_stop();
    });
    return true;
  }

  /// A record taken twice has one id: same node, same place, same bytes.
  std::string id_of(const LogLine& line) const {
    const std::string& node = options_.identity.empty() ? options_.host : options_.identity;
    const Sha256 digest = sha256(fmt::format("{}:{}:{}:{}", node.size(), node, line.at, line.text));
    return "audit-" + base64url_encode({reinterpret_cast<const char*>(digest.data()), 24});
  }

  void on_answer(uint64_t number, Result<std::string> line) {
    const auto at = std::ranges::find(held_, number, &Held::number);
    if (at == held_.end()) return;
    const SpoolAnswer answer = line ? read_answer(*line) : SpoolAnswer{.text = line.error().detail};
    if (answer.accepted) {
      ++figures_.accepted;
      if (answer.duplicate) ++figures_.duplicates;
      failures_ = 0;
      note_end();
      settle(*at);
      return feed();
    }
    at->asked = false;
    // With a signature asked for, it is the node's key that is missing, not the record that is wrong.
    if (answer.is_final && !options_.sign) {
      at->reason = "refused";
      at->detail = answer.text;
      ++figures_.rejected["refused"];
      return feed();
    }
    note("spool does not take a record", answer.text);
    if (!again_timer_->active() && !stopping_) {
      ++figures_.paused;
      again_timer_->start(five_sec_backoff(++failures_, env_.random));
    }
  }

  bool bury(Held& one) {
    // A gap is no line and has no offset: what is told of it names it.
    const std::string_view gap = one.reason == "gap" ? std::string_view(one.detail) : std::string_view();
    const std::string place = fmt::format("{}#{}/{} {}", options_.file, one.line.after.inode, one.line.at, gap);
    const Offer taken = letters_->dead_letter({one.reason, one.detail, options_.file, one.line.text, place}, [this, number = one.number](const Result<PubAck>& kept) {
      const auto at = std::ranges::find(held_, number, &Held::number);
      if (at != held_.end() && (kept || kept.error().code != Errc::kClosed)) settle(*at);
      check_stop();
    });
    one.asked = taken == Offer::kAccepted;
    return one.asked;
  }

  void settle(Held& one) {
    one.settled = true;
    while (!held_.empty() && held_.front().settled) {
      passed_ = held_.front().line.after;
      held_.pop_front();
    }
    keep_position();
    if (may_read() && !read_timer_->active()) read_timer_->start(again_ ? std::chrono::nanoseconds(0) : options_.scan_interval);
  }

  // ---- the rest

  bool busy() const { return jobs_ != 0 || asked_ != 0 || letters_->in_flight() != 0; }

  void job(std::move_only_function<Status()> work, std::move_only_function<void(Status)> done) {
    ++jobs_;
    worker_->submit(std::move(work), [this, told = std::move(done)](Status outcome) mutable {
      --jobs_;
      told(std::move(outcome));
      check_stop();
    });
  }

  void note(const char* what, const std::string& why) {
    const std::string text = fmt::format("{}: {}", what, why);
    if (std::exchange(trouble_, text) != text) SLUICE_LOG(kLog, kWarn, "{} adapter={} why=\"{}\"", what, options_.name, why);
  }
  void note_end() {
    if (!read_failed_) trouble_.clear();
  }

  void check_stop(std::chrono::nanoseconds within = std::chrono::nanoseconds(0)) {
    if (!stop_done_) return;
    if (!busy() || within.count() > 0) stop_timer_->start(busy() ? within : std::chrono::nanoseconds(0));
  }
  void finish_stop() {
    if (busy()) SLUICE_LOG(kLog, kWarn, "stopped with records not settled, they come again adapter={}", options_.name);
    letters_->stop();
    if (auto done = std::exchange(stop_done_, nullptr)) done();
  }

  Env& env_;
  const ChoriaAuditOptions options_;
  LogReader reader_;  ///< on the worker
  std::unique_ptr<FolderWatch> watch_;
  mutable AdapterFigures figures_;
  bool begin_unkept_ = false;
  bool begun_ = false, stopping_ = false, failed_ = false;
  bool reading_ = false, again_ = false, keeping_ = false, read_failed_ = false;
  size_t jobs_ = 0;   ///< of the worker
  size_t asked_ = 0;  ///< of the spool, unanswered
  int failures_ = 0;
  uint64_t last_number_ = 0;
  std::deque<Held> held_;  ///< read and not settled, in the log's order
  LogPosition passed_;     ///< behind all that is settled
  LogPosition kept_;       ///< what the position file says
  std::string trouble_;
  std::unique_ptr<AuditLetters> letters_;
  SpoolSocketClient spool_;
  std::unique_ptr<Timer> read_timer_;
  std::unique_ptr<Timer> again_timer_;
  std::move_only_function<void()> stop_done_;
  std::unique_ptr<Timer> stop_timer_;
  std::unique_ptr<DiskWorker> worker_;
};

}  // namespace

std::string check_audit_record(const std::string& line, std::string& detail) {
  static thread_local simdjson::dom::parser parser;
  simdjson::dom::object record;
  if (parser.parse(line).get(record) != simdjson::SUCCESS) {
    detail = "not a JSON object";
    return "bad_json";
  }
  for (const std::string_view key : {"timestamp", "caller", "agent", "action"}) {
    std::string_view text;
    if (record[key].get(text) == simdjson::SUCCESS && !text.empty()) continue;
    detail = fmt::format("no '{}'", key);
    return "bad_record";
  }
  return "";
}

Result<std::unique_ptr<Adapter>> make_choria_audit(Env& env, std::unique_ptr<AuditLetters> letters, ChoriaAuditOptions options,
                                                   std::unique_ptr<FolderWatch> watch) {
  if (!is_adapter_subject(options.name, false) || options.name.contains('.'))
    return fail(Errc::kInvalidArgument, "the adapter's name must be one subject token");
  if (const auto fault = find_fault(options)) return fail(Errc::kInvalidArgument, fmt::format("{}: {}", fault->key, fault->text));
  return std::make_unique<ChoriaAudit>(env, std::move(letters), std::move(options), std::move(watch));
}

}  // namespace sluice
