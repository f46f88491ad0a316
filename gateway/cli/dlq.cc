// sluice dlq ls|show|retry|drop: the dead letters of the adapters.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "adapters/stream_ingest.h"
#include "base/base64.h"
#include "base/headers.h"
#include "config/units.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/session.h"
#include "gateway/cli/stream_reader.h"
#include "gateway/cli/table.h"
#include "gateway/cli/verbs.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr std::string_view kLetterPrefix = "SLUICE.DLQ.";
constexpr size_t kRetryWindow = 64;
/// How long a listener that gives no answer is waited for; nobody at all is told at once.
constexpr std::chrono::milliseconds kListenerPatience{300};

struct DlqWords {
  std::string adapter, reason, older;
  std::vector<uint64_t> letters;
  uint64_t limit = 100;
  bool all = false;
  bool raw = false;
  bool json = false;
  bool force = false;
};

struct Letter {
  uint64_t seq = 0;
  WallNanos time = 0;
  std::string adapter, reason, detail, origin;
  std::string headers;  ///< all of them
  std::string bytes;
};

Letter letter_of(std::string_view subject, std::string_view headers, std::string_view payload, uint64_t seq, WallNanos time) {
  const auto text = [&](const char* name) { return std::string(find_header(headers, name).value_or("")); };
  return {seq, time, std::string(subject.substr(std::min(subject.size(), kLetterPrefix.size()))), text("Sluice-Reason"),
          text("Sluice-Detail"), text("Sluice-Origin"), std::string(headers), std::string(payload)};
}

/// Those that the words name: by number, or by adapter, reason and age.
Result<std::vector<Letter>> pick(Session& session, const DlqWords& words, uint64_t limit) {
  std::vector<Letter> out;
  if (!words.letters.empty()) {
    for (const uint64_t seq : words.letters) {
      auto stored = session.message(kDeadLetterStream, seq);
      if (!stored && stored.error().code == Errc::kNotFound && stored.error().api_code == 10037)
        return fail(Errc::kNotFound, fmt::format("there is no dead letter {}", seq));
      if (!stored) return std::unexpected(stored.error());
      out.push_back(letter_of(stored->subject, stored->headers, stored->payload, seq, stored->time));
    }
    return out;
  }
  WallNanos before = INT64_MAX;
  if (!words.older.empty()) {
    auto age = parse_time(words.older);
    if (!age) return fail(Errc::kInvalidArgument, fmt::format("--older: '{}' is no time, as 7d", words.older));
    before = session.env().clock.wall() - age->count();
  }
  StreamWatchOptions options{.stream = std::string(kDeadLetterStream)};
  options.filters = {std::string(kLetterPrefix) + (words.adapter.empty() ? ">" : words.adapter)};
  auto read = read_stream(session, std::move(options), false, [&](const ConsumedMessage& m) {
    if (m.time > before) return false;  // and so is all behind it
    Letter letter = letter_of(m.subject, m.headers, m.payload, m.stream_seq.value(), m.time);
    if (words.reason.empty() || letter.reason == words.reason) out.push_back(std::move(letter));
    return out.size() < limit;
  });
  if (!read && read.error().api_code == 10059) return out;  // no adapter has ever had one
  if (!read) return std::unexpected(read.error());
  return out;
}

Json json_of(const Letter& letter) {
  return {{"id", letter.seq},
          {"time", format_rfc3339(letter.time)},
          {"adapter", letter.adapter},
          {"reason", letter.reason},
          {"detail", letter.detail},
          {"origin", letter.origin},
          {"size", letter.bytes.size()},
          {"bytes", base64_encode(letter.bytes)}};
}

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace); }

int list_letters(Session& session, const DlqWords& words) {
  auto letters = pick(session, words, words.limit);
  if (!letters) return complain(letters.error());
  if (words.json) {
    Json out = Json::array();
    for (const Letter& letter : *letters) out.push_back(json_of(letter));
    std::printf("%s\n", dump(out).c_str());
    return kExitOk;
  }
  if (letters->empty()) {
    std::printf("No dead letters\n");
    return kExitOk;
  }
  TextTable table({"Id", "Age", "Adapter", "Reason", "Origin", "Bytes", "Detail"});
  const WallNanos now = session.env().clock.wall();
  for (const Letter& l : *letters)
    table.add({std::to_string(l.seq), short_duration(now - l.time), printable(l.adapter), printable(l.reason), printable(l.origin),
               std::to_string(l.bytes.size()), printable(l.detail)});
  std::printf("%s", table.text().c_str());
  if (letters->size() == words.limit) std::printf("… the first %llu; --limit shows more\n", static_cast<unsigned long long>(words.limit));
  return kExitOk;
}

int show_letter(Session& session, const DlqWords& words) {
  auto letters = pick(session, words, 1);
  if (!letters) return complain(letters.error());
  const Letter& letter = letters->front();
  if (words.raw) {
    std::fwrite(letter.bytes.data(), 1, letter.bytes.size(), stdout);
  } else if (words.json) {
    std::printf("%s\n", dump(json_of(letter)).c_str());
  } else {
    std::printf("Dead letter %llu of %s, %s\n\n", static_cast<unsigned long long>(letter.seq), printable(letter.adapter).c_str(),
                format_rfc3339(letter.time).c_str());
    each_header(letter.headers, [](std::string_view name, std::string_view value) {
      std::printf("%s: %s\n", printable(name).c_str(), printable(value).c_str());
    });
    std::printf("\n%s\n", printable(letter.bytes).c_str());
  }
  return kExitOk;
}

/// The message's own headers, as it had them before it became a letter.
std::string own_headers(const Letter& letter) {
  std::string out = letter.headers;
  const std::string id(find_header(out, "Sluice-Msg-Id").value_or(""));
  remove_headers_with_prefix(out, "Sluice-");
  remove_header(out, "Nats-Msg-Id");  // the letter's
  if (!id.empty()) set_header(out, "Nats-Msg-Id", id);
  return out;
}

bool nothing_named(const DlqWords& words) {
  if (!words.letters.empty() || words.all) return false;
  complain("which letters? Their numbers, or --all");
  return true;
}

Status forget(Session& session, uint64_t seq) {
  auto gone = session.api("STREAM.MSG.DELETE", kDeadLetterStream, Json{{"seq", seq}, {"no_erase", true}}.dump());
  if (!gone && gone.error().api_code != 10057) return std::unexpected(gone.error());
  return {};
}

/// Ends the answer of an adapter that made a letter of it again.
constexpr std::string_view kKeptAgain = "kept in SLUICE_DLQ";

/// An answer in words; empty = handed on.
std::string refusal(const Result<LinkMessage>& answer) {
  if (!answer) {
    const Error& why = answer.error();
    if (why.code == Errc::kTimeout) return "";  // listened to, not answered
    return why.detail.empty() ? to_string(why.code) : why.detail;
  }
  const Json json = Json::parse(answer->payload, nullptr, false);
  if (!json.is_object() || !json.contains("error")) return "";
  const Json& error = json["error"];
  return error.is_object() ? error.value("description", "refused") : error.is_string() ? error.get<std::string>() : "refused";
}

int retry_letters(Session& session, const DlqWords& words) {
  if (nothing_named(words)) return kExitUsage;
  auto letters = pick(session, words, words.all ? SIZE_MAX : words.limit);
  if (!letters) return complain(letters.error());
  if (!words.force && !confirm(fmt::format("Publish {} dead letters again to where they came from?", letters->size()))) return kExitFailure;
  size_t handed_on = 0, kept = 0, open = 0;
  std::vector<Ticket> calls(letters->size());
  std::vector<uint64_t> done, renewed;
  for (size_t i = 0; i < letters->size(); ++i) {
    const Letter& letter = (*letters)[i];
    const std::string headers = own_headers(letter);
    const auto keep = [&](const std::string& why) {
      ++kept;
      std::fprintf(stderr, "sluice: letter %llu stays: %s\n", static_cast<unsigned long long>(letter.seq), why.c_str());
    };
    if (letter.origin.empty() || find_header(letter.headers, "Sluice-Truncated-From")) {
      keep(letter.origin.empty() ? "it does not say where it came from" : "its bytes were cut");
      continue;
    }
    if (!session.loop().run_until([&] { return open < kRetryWindow; }, 60s)) return complain("no answers");
    ++open;
    calls[i] = session.link().request({letter.origin, {}, headers, letter.bytes}, kListenerPatience,
                                      [&, seq = letter.seq, keep](const Result<LinkMessage>& answer) {
                                        --open;
                                        const std::string why = refusal(answer);
                                        if (why.ends_with(kKeptAgain)) {
                                          ++kept;
                                          std::fprintf(stderr, "sluice: letter %llu came back as a new one: %s\n", static_cast<unsigned long long>(seq), why.c_str());
                                          return renewed.push_back(seq);
                                        }
                                        if (!why.empty()) return keep(why);
                                        done.push_back(seq);
                                      });
  }
  if (!session.loop().run_until([&] { return open == 0; }, 60s)) return complain("no answers");
  for (const uint64_t seq : done) {
    if (auto gone = forget(session, seq); !gone) return complain(gone.error());
    ++handed_on;
  }
  for (const uint64_t seq : renewed) {
    if (auto gone = forget(session, seq); !gone) return complain(gone.error());
  }
  std::printf("Handed on %zu, kept %zu\n", handed_on, kept);
  return kept == 0 ? kExitOk : kExitFailure;
}

int drop_letters(Session& session, const DlqWords& words) {
  if (nothing_named(words)) return kExitUsage;
  auto letters = pick(session, words, words.all ? SIZE_MAX : words.limit);
  if (!letters) return complain(letters.error());
  if (!words.force && !confirm(fmt::format("Drop {} dead letters for good?", letters->size()))) return kExitFailure;
  for (const Letter& letter : *letters) {
    if (auto gone = forget(session, letter.seq); !gone) return complain(gone.error());
  }
  std::printf("Dropped %zu\n", letters->size());
  return kExitOk;
}

void add_choice(CLI::App& verb, DlqWords& words) {
  verb.add_option("ID", words.letters, "letters, as ls shows them");
  verb.add_flag("--all", words.all, "all of them, or all that the options below leave");
  verb.add_option("--adapter", words.adapter, "only of this adapter");
  verb.add_option("--reason", words.reason, "only with this reason");
  verb.add_option("--older", words.older, "only those older than this");
  verb.add_flag("-f,--force", words.force, "do not ask");
}

}  // namespace

void add_dlq_verbs(CLI::App& app, VerbRun& run) {
  CLI::App* dlq = app.add_subcommand("dlq", "Dead letters: messages that an adapter could not store, with the reason.");
  dlq->require_subcommand(1);
  auto words = std::make_shared<DlqWords>();
  const auto add = [&](const char* name, const char* sentence, int (*work)(Session&, const DlqWords&)) {
    CLI::App* verb = dlq->add_subcommand(name, sentence);
    auto where = add_session_options(*verb);
    verb->callback([words, where, work, &run] {
      run = [words, where, work] { return with_session(*where, [&](Session& s) { return work(s, *words); }); };
    });
    return verb;
  };
  const auto add_choosing = [&](const char* name, const char* sentence, int (*work)(Session&, const DlqWords&)) {
    CLI::App* verb = add(name, sentence, work);
    add_choice(*verb, *words);
  };
  CLI::App* ls = add("ls", "List dead letters, oldest first.", &list_letters);
  ls->alias("list");
  ls->add_option("--adapter", words->adapter, "only of this adapter");
  ls->add_option("--reason", words->reason, "only with this reason");
  ls->add_option("--older", words->older, "only those older than this");
  ls->add_option("--limit", words->limit, "at most so many")->capture_default_str();
  ls->add_flag("--json", words->json, "as JSON, bytes in base64");
  CLI::App* show = add("show", "Show one dead letter.", &show_letter);
  show->add_option("ID", words->letters, "letter")->required()->expected(1);
  show->add_flag("--raw", words->raw, "its bytes as received, nothing else");
  show->add_flag("--json", words->json, "as JSON, bytes in base64");
  add_choosing("retry", "Publish dead letters again to where they came from; those that are taken are dropped here.", &retry_letters);
  add_choosing("drop", "Drop dead letters for good.", &drop_letters);
}

}  // namespace sluice
