#include "config/choria_import.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/time_format.h"
#include "config/units.h"

namespace sluice {
namespace {

using Keys = std::map<std::string, std::string>;
constexpr std::string_view kAdapter = "plugin.choria.adapter.";
constexpr std::string_view kStream = "plugin.choria.network.stream.";

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::vector<std::string> list_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    if (const auto word = trim(text.substr(0, comma)); !word.empty()) out.emplace_back(word);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  return out;
}

/// As YAML text that nothing can be read into.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out.append(c == '\'' ? 2 : 1, c);
  return out + "'";
}

bool is_true(std::string_view text) {
  std::string word(trim(text));
  std::ranges::transform(word, word.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return word == "1" || word == "yes" || word == "true" || word == "y" || word == "t";
}

class Importer {
 public:
  Importer(const Keys& keys, std::string_view file_name) : keys_(keys), file_(file_name) {}

  ChoriaImport run() {
    out_.daemon_yaml = fmt::format("# Made from {} by `sluice import choria-config`; check it with `sluice check`.\n", file_);
    adapters();
    streams();
    submission();
    leftovers();
    return std::move(out_);
  }

 private:
  void note(std::string text) { out_.notes.push_back(std::move(text)); }
  /// nullptr when the file does not have it; it then counts as looked at.
  const std::string* find(const std::string& key) {
    const auto found = keys_.find(key);
    if (found == keys_.end()) return nullptr;
    seen_.insert(key);
    return &found->second;
  }
  std::string text(const std::string& key, std::string otherwise = {}) {
    const std::string* value = find(key);
    return value == nullptr ? std::move(otherwise) : *value;
  }

  std::string main_collective() {
    if (const std::string* main = find("main_collective")) return *main;
    const auto all = list_of(text("collectives"));
    if (!all.empty()) return all.front();
    return text("plugin.security.provider") == "choria" ? "choria" : "mcollective";
  }

  /// Where nodes connect, as a section of ours; empty when the file does not say.
  std::string network(std::string_view indent) {
    const auto hosts = list_of(text("plugin.choria.middleware_hosts"));
    if (hosts.empty()) return {};
    const std::string cert = text("plugin.security.file.certificate"), key = text("plugin.security.file.key"),
                      ca = text("plugin.security.file.ca");
    const bool tls = !cert.empty() || !ca.empty();
    std::vector<std::string> urls;
    for (std::string host : hosts) {
      if (const size_t scheme = host.find("://"); scheme != std::string::npos) host.erase(0, scheme + 3);
      urls.push_back(quoted((tls ? "tls://" : "nats://") + host));
    }
    std::string out = fmt::format("\n{}  servers: [{}]\n", indent, fmt::join(urls, ", "));
    if (tls) {
      std::vector<std::string> parts;
      if (!ca.empty()) parts.push_back("ca: " + quoted(ca));
      if (!cert.empty()) parts.push_back("cert: " + quoted(cert));
      if (!key.empty()) parts.push_back("key: " + quoted(key));
      out += fmt::format("{}  tls: {{{}}}\n", indent, fmt::join(parts, ", "));
    }
    return out;
  }

  void adapters() {
    const auto names = list_of(text("plugin.choria.adapters"));
    if (names.empty()) return note("plugin.choria.adapters: no adapters are named");
    std::string list;
    std::set<std::string> hosts;
    for (const std::string& name : names) list += adapter(name, hosts);
    if (list.empty()) return;
    if (!hosts.empty())
      out_.daemon_yaml += fmt::format(
          "\n# The broker stored at {}. Here this daemon stores itself; to go on storing there, say instead:\n"
          "# core: {{servers: [nats://{}]}}\n",
          fmt::join(hosts, ", "), fmt::join(hosts, ", nats://"));
    out_.daemon_yaml += "\nadapters:\n" + list;
  }

  std::string adapter(const std::string& name, std::set<std::string>& hosts) {
    const std::string at = std::string(kAdapter) + name + ".";
    const auto left_out = [&](const std::string& why) {
      note(fmt::format("adapter '{}' is left out: {}", name, why));
      // Its keys are told by this.
      for (const auto& [key, value] : keys_)
        if (key.starts_with(at)) seen_.insert(key);
      return std::string();
    };
    const std::string type = text(at + "type");
    if (type.empty()) return left_out(at + "type is missing");
    if (type == "nats_stream") return left_out("nats_stream (NATS Streaming) is gone for good; Choria refuses it too");
    if (type != "choria_streams" && type != "jetstream") return left_out(fmt::format("{}type '{}' is not known", at, type));
    const std::string topic = text(at + "ingest.topic");
    if (topic.empty()) return left_out(at + "ingest.topic is missing");
    std::string own(name);
    std::ranges::replace_if(own, [](unsigned char c) { return std::isalnum(c) == 0 && c != '_' && c != '-'; }, '_');
    if (own != name) note(fmt::format("adapter '{}' becomes '{}': a name has letters, digits, '_' and '-'", name, own));
    std::string stream = own;
    std::ranges::transform(stream, stream.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    const std::string protocol = text(at + "ingest.protocol", "reply");
    if (protocol != "request" && protocol != "reply")
      note(fmt::format("{}ingest.protocol '{}' means reply, as in Choria", at, protocol));
    std::string out = fmt::format("  - type: choria_registration\n    name: {}\n", own);
    const std::string where = network("    ");
    out += where.empty() ? "    network: embedded\n" : "    network:  # or `embedded`, when the nodes connect to this daemon" + where;
    out += fmt::format("    ingest:\n      subjects: [{}]\n      protocol: {}\n", quoted(topic),
                       protocol == "request" ? "request" : "reply");
    out += fmt::format("      queue_group: {}  # the broker's own: while both run each message goes to one\n", quoted("nats_ingest_" + name));
    out += fmt::format("    stream:\n      name: {}\n      subject: {}\n", stream, quoted(text(at + "stream.topic", name)));
    if (const std::string* length = find(at + "queue_len")) {
      const auto count = parse_integer(*length);
      if (count && *count > 0 && *count <= 1'000'000)
        out += fmt::format("    max_in_flight: {}\n", *count);
      else
        note(fmt::format("{}queue_len '{}' is not a number of 1 to 1000000", at, *length));
    }
    for (const char* workers : {"ingest.workers", "stream.workers"}) {
      if (find(at + workers) != nullptr) note(fmt::format("{}{}: not needed, one connection carries an adapter and keeps its order", at, workers));
    }
    for (const std::string& host : list_of(text(at + "stream.servers"))) hosts.insert(host);
    return out;
  }

  void streams() {
    if (find(std::string(kStream) + "store") == nullptr) return;
    note(std::string(kStream) + "store: not read; messages in it come over by a replicator copy or a mirror from the running broker");
    const std::string* manage = find(std::string(kStream) + "manage_streams");
    const bool managed = manage == nullptr || is_true(*manage);
    std::string list;
    const auto add = [&](const char* row, const char* choria, const char* time_row, const char* time_key, bool on) {
      std::string fields = "enabled: true";
      if (const std::string* time = find(std::string(kStream) + choria + time_key)) {
        const int64_t seconds = parse_choria_seconds(*time);
        if (seconds < 0) note(fmt::format("{}{}{} '{}' is no duration", kStream, choria, time_key, *time));
        if (seconds == 0) on = false;
        if (seconds > 0) fields += fmt::format(", {}: {}s", time_row, seconds);
      }
      if (const std::string* count = find(std::string(kStream) + choria + "_replicas")) {
        const auto replicas = parse_integer(*count);
        if (replicas && *replicas >= 1 && *replicas <= 5) fields += fmt::format(", replicas: {}", *replicas);
        else if (*count != "-1") note(fmt::format("{}{}_replicas '{}' is not a number of 1 to 5", kStream, choria, *count));
      }
      if (on) list += fmt::format("  {}: {{{}}}\n", row, fields);
    };
    add("events", "event", "retention", "_retention", managed);
    add("machine", "machine", "retention", "_retention", managed);
    add("advisories", "advisory", "retention", "_retention", managed);
    add("executor", "executor", "retention", "_retention", managed);
    add("leader_election", "leader_election", "ttl", "_ttl", true);
    if (!list.empty()) out_.daemon_yaml += "\nauto_streams:\n" + list;
  }

  void submission() {
    const std::string* spool = find("plugin.choria.submission.spool");
    if (spool == nullptr || spool->empty()) {
      if (find("plugin.choria.submission.max_spool_size") != nullptr)
        note("plugin.choria.submission.max_spool_size: without plugin.choria.submission.spool there is no spool");
      return;
    }
    const std::string where = network("");
    std::string& out = out_.spool_yaml;
    out = fmt::format("# Made from {} by `sluice import choria-config --spool`.\n", file_);
    out += where.empty() ? std::string("server: 'nats://puppet:4222'  # Choria's default\n") : "server:" + where;
    out += fmt::format("collective: {}\nfolder: {}  # Choria's own spool, taken over as it stands\n", quoted(main_collective()), quoted(*spool));
    if (const std::string* identity = find("identity")) out += fmt::format("identity: {}\n", quoted(*identity));
    if (const std::string* size = find("plugin.choria.submission.max_spool_size")) {
      const auto count = parse_integer(*size);
      if (count && *count > 0)
        out += fmt::format("limits: {{messages: {}}}\n", *count);
      else
        note(fmt::format("plugin.choria.submission.max_spool_size '{}' is not a number", *size));
    }
    const std::string seed = text("plugin.security.choria.seed_file"), token = text("plugin.security.choria.token_file");
    if (!seed.empty()) {
      out += "signing:\n  seed: " + quoted(seed) + "\n";
      if (!token.empty()) out += "  token: " + quoted(token) + "\n";
    }
    note("plugin.choria.submission.*: of sluice-spool; --spool prints its configuration");
  }

  void leftovers() {
    std::string others;
    for (const auto& [key, value] : keys_) {
      if (seen_.contains(key)) continue;
      if (key.starts_with(kAdapter) || key.starts_with(kStream) || key.starts_with("plugin.choria.submission."))
        note(key + ": not carried over");
      else
        others += (others.empty() ? "" : ", ") + key;
    }
    if (!others.empty()) note("not looked at, as they are not of adapters, streams or submission: " + others);
  }

  const Keys& keys_;
  const std::string file_;
  std::set<std::string> seen_;
  ChoriaImport out_;
};

}  // namespace

std::map<std::string, std::string> parse_choria_config(std::string_view text) {
  Keys out;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const size_t equals = line.find('=');
    if (line.empty() || line.front() == '#' || equals == std::string_view::npos) continue;
    out[std::string(trim(line.substr(0, equals)))] = trim(line.substr(equals + 1));
  }
  return out;
}

int64_t parse_choria_seconds(std::string_view text) {
  text = trim(text);
  if (text.empty()) return 0;
  if (const auto seconds = parse_integer(text)) return *seconds;
  double days = 0;
  switch (text.back()) {
    case 'w': case 'W': days = 7; break;
    case 'd': case 'D': days = 1; break;
    case 'M': days = 30; break;
    case 'y': case 'Y': days = 365; break;
    default: {
      const auto go = parse_go_duration(text);
      return go ? go->count() / 1'000'000'000 : -1;
    }
  }
  // A decimal number, cut down to whole hours.
  const std::string number(text.substr(0, text.size() - 1));
  char* end = nullptr;
  const double count = std::strtod(number.c_str(), &end);
  if (number.empty() || end != number.c_str() + number.size() || !(count >= 0 && count < 1e6)) return -1;
  return static_cast<int64_t>(count * days * 24) * 3600;
}

ChoriaImport import_choria(const std::map<std::string, std::string>& keys, std::string_view file_name) {
  return Importer(keys, file_name).run();
}

}  // namespace sluice
