// sluice submit SUBJECT FILE|-: hands a message to the node's spool. Choria's flags, and its spool without it.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "config/units.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/session.h"
#include "gateway/cli/spool_session.h"
#include "gateway/cli/verbs.h"
#include "spool/choria_file.h"
#include "uv/env.h"

namespace sluice {
namespace {

struct SubmitWords {
  SpoolWords spool;
  std::string subject;
  std::string file;
  bool reliable = false;
  int priority = 4;
  std::string ttl = "24h";
  uint32_t tries = kDefaultSubmissionTries;
  std::string sender;
  std::string id;
  bool sign = false;
  std::vector<std::string> headers;
};

Result<std::string> read_payload(const std::string& path, size_t max_bytes) {
  const int fd = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(Errc::kNotFound, path + ": " + std::generic_category().message(errno));
  std::string out;
  char block[65536];
  ssize_t n = 0;
  while ((n = ::read(fd, block, sizeof block)) > 0 || (n < 0 && errno == EINTR)) {
    if (n > 0) out.append(block, static_cast<size_t>(n));
    if (out.size() > max_bytes) break;
  }
  const int code = errno;
  if (fd != STDIN_FILENO) ::close(fd);
  if (n < 0) return fail(Errc::kIo, path + ": " + std::generic_category().message(code));
  return out;
}

/// "24h", "7d", or bare seconds, as Choria reads durations.
Result<std::chrono::seconds> parse_ttl(const std::string& text) {
  const auto seconds = parse_integer(text);
  if (seconds) return std::chrono::seconds(*seconds);
  const auto time = parse_time(text);
  if (!time) return std::unexpected(time.error());
  return std::chrono::duration_cast<std::chrono::seconds>(*time);
}

Result<Submission> make_submission(const SubmitWords& words, const SpoolConfig& config, Env& env) {
  Submission out;
  auto payload = read_payload(words.file, config.queue.max_payload_bytes);
  if (!payload) return std::unexpected(payload.error());
  const auto ttl = parse_ttl(words.ttl);
  if (!ttl) return fail(Errc::kInvalidArgument, "--ttl: " + ttl.error().detail);
  out.id = words.id.empty() ? make_uuid(env.random) : words.id;
  out.subject = words.subject;
  out.payload = std::move(*payload);
  out.reliable = words.reliable;
  out.priority = static_cast<uint8_t>(words.priority);
  out.created = env.clock.wall();
  out.ttl = *ttl;
  out.max_tries = words.tries;
  out.sender = words.sender.empty() ? fmt::format("user {}", ::geteuid()) : words.sender;
  out.identity = config.identity.empty() ? own_host_name() : config.identity;
  out.sign = words.sign;
  for (const std::string& header : words.headers) {
    const size_t at = header.find('=');
    if (at == std::string::npos) return fail(Errc::kInvalidArgument, "a header is KEY=VALUE: " + header);
    out.headers.emplace_back(header.substr(0, at), header.substr(at + 1));
  }
  if (Status s = check_submission(out, config.queue.max_payload_bytes); !s) return std::unexpected(s.error());
  return out;
}

/// As Choria writes into its spool: a temporary file above the folders, synced, then renamed into place, synced.
Status write_into_folder(Env& env, const std::string& dir, const Submission& message) {
  const std::string temporary = fmt::format("{}/{}.tmp", dir, make_uuid(env.random));
  const std::string folder = fmt::format("{}/P{}", dir, message.priority);
  const std::string text = format_choria_file(message);
  const auto write = [&]() -> Status {
    if (Status s = env.disk.make_dirs(folder); !s) return s;
    auto file = env.disk.open(temporary, OpenMode::kCreate);
    if (!file) return std::unexpected(file.error());
    if (Status s = (*file)->write_at(0, std::as_bytes(std::span(text))); !s) return s;
    if (Status s = (*file)->sync(); !s) return s;
    if (Status s = env.disk.rename(temporary, fmt::format("{}/{:019}-{}.msg", folder, message.created, make_uuid(env.random))); !s) return s;
    return env.disk.sync_dir(folder);
  };
  Status written = write();
  if (!written) (void)env.disk.remove(temporary);
  return written;
}

int submit_verb(const SubmitWords& words) {
  const auto config = spool_config_of(words.spool);
  if (!config) return complain(config.error());
  UvEnv world;
  const auto message = make_submission(words, *config, world.env());
  if (!message) return complain(message.error());
  auto session = SpoolSession::open(*config, words.spool, SpoolAccess::kRunning);
  if (!session) {
    if (session.error().code != Errc::kClosed || config->folder.empty()) return complain(session.error());
    if (message->sign && config->sender.seed_file.empty()) return complain("this node has no seed to sign with (signing.seed)");
    if (Status s = write_into_folder(world.env(), config->folder, *message); !s) return complain(s.error());
    std::printf("%s\n", message->id.c_str());
    return kExitOk;
  }
  const auto answer = (*session)->ask(R"({"op":"submit","message":)" + format_choria_file(*message) + "}");
  if (!answer) return complain(answer.error());
  const auto json = nlohmann::json::parse(*answer, nullptr, false);
  if (!json.is_object()) return complain("sluice-spool answered with something that is no JSON object");
  if (json.contains("error")) return complain(json["error"].value("text", "refused"));
  std::printf("%s\n", json.value("id", message->id).c_str());
  return kExitOk;
}

}  // namespace

void add_submit_verb(CLI::App& app, VerbRun& run) {
  auto words = std::make_shared<SubmitWords>();
  CLI::App* verb = app.add_subcommand(
      "submit", "Hand a message to this node's spool (sluice-spool), which sends it when it can; print its id.\n"
                "Exit code 0 means: it is on disk.\n"
                "  sluice submit myapp.metrics metrics.json --reliable --ttl 7d");
  verb->add_option("SUBJECT", words->subject, "the subject, without the collective's prefix")->required();
  verb->add_option("FILE", words->file, "file that holds the payload; - is standard input")->required();
  verb->add_flag("--reliable", words->reliable, "send until it is acknowledged, in order with others of its priority");
  verb->add_option("--priority", words->priority, "0 to 4; each priority is a queue of its own")->check(CLI::Range(0, 4))->capture_default_str();
  verb->add_option("--ttl", words->ttl, "how long it is worth sending")->capture_default_str();
  verb->add_option("--tries", words->tries, "how often it may be refused; 0 = as often as it takes")->capture_default_str();
  verb->add_option("--sender", words->sender, "who sends it; without: user <uid>");
  verb->add_flag("--sign", words->sign, "sign the payload with the node's key");
  verb->add_option("-H,--header", words->headers, "a header, KEY=VALUE; can be repeated")->allow_extra_args(false);
  verb->add_option("--id", words->id, "its id; submitting the same one again while it waits changes nothing");
  add_spool_options(*verb, words->spool, false);
  verb->callback([words, &run] { run = [words] { return submit_verb(*words); }; });
}

}  // namespace sluice
