#include "config/stream_replicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/config_file.h"
#include "config/load.h"
#include "config/replicator_rules.h"
#include "config/sections.h"

namespace sluice {
namespace {

struct FileTarget {
  StreamReplicatorFile file;
  bool profiling = true;
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

/// The process's own keys; those of the replicator follow them in one table.
const FieldRows& process_fields() {
  static const FieldRows rows = [] {
    FieldTable<FileTarget> t("Keys of Stream Replicator's process.");
    t.own("monitor_port", FieldKind::kCount, "0",
          [](ReadContext& c, const YamlNode& n, const FieldRow& row, FileTarget& target) {
            if (auto port = read_number(c, n, row)) target.file.monitor_port = static_cast<uint16_t>(*port);
          })
        .between(0, 65535);
    t.flag("profiling", &FileTarget::profiling);
    t.own("logfile", FieldKind::kText, "", [](ReadContext& c, const YamlNode& n, const FieldRow&, FileTarget& target) {
      if (auto path = read_text(c, n)) {
        target.file.log.json = !path->empty();  // a file gets JSON lines, standard error text
        target.file.log.file = std::move(*path);
      }
    });
    t.own("loglevel", FieldKind::kText, "info", [](ReadContext& c, const YamlNode& n, const FieldRow&, FileTarget& target) {
      if (auto level = read_text(c, n))
        target.file.log.level = *level == "debug" ? LogLevel::kDebug : *level == "warn" ? LogLevel::kWarn : LogLevel::kInfo;
    });
    return t.take();
  }();
  return rows;
}

const FieldRow* find_row(const FieldRows& rows, std::string_view name) {
  const auto found = std::find_if(rows.rows.begin(), rows.rows.end(), [&](const FieldRow& row) { return row.name == name; });
  return found == rows.rows.end() ? nullptr : &*found;
}

/// YAML's older words for true and false.
void plain_flag(YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar || node.quoted) return;
  const std::string word = lower(node.text);
  if (word == "yes" || word == "on" || word == "true") node.text = "true";
  if (word == "no" || word == "off" || word == "false") node.text = "false";
}

/// Brings a section into the form that the rows read: lower case, known keys only, each once, no empty values.
void normalize(YamlNode& node, const std::vector<const FieldRows*>& tables, Problems& warnings) {
  if (node.kind != YamlNode::Kind::kMap) return;
  std::vector<YamlNode::Entry> kept;
  for (YamlNode::Entry& entry : node.entries) {
    std::string key = lower(entry.key);
    const FieldRow* row = nullptr;
    for (const FieldRows* rows : tables) row = row ? row : find_row(*rows, key);
    if (row == nullptr) {
      warnings.add(entry.place, fmt::format("unknown key '{}' is left out", entry.key));
      continue;
    }
    if (entry.value.kind == YamlNode::Kind::kNull) continue;
    entry.key = std::move(key);
    if (row->kind == FieldKind::kFlag) plain_flag(entry.value);
    if (row->nested != nullptr) {
      normalize(entry.value, {row->nested}, warnings);
      for (YamlNode& item : entry.value.items) normalize(item, {row->nested}, warnings);
    }
    const auto earlier = std::find_if(kept.begin(), kept.end(), [&](const auto& k) { return k.key == entry.key; });
    if (earlier == kept.end()) {
      kept.push_back(std::move(entry));
    } else {
      warnings.add(entry.place, fmt::format("'{}' stands here twice; the last one counts", entry.key));
      *earlier = std::move(entry);
    }
  }
  node.entries = std::move(kept);
}

/// Moves the entries of the process's rows into a section of their own.
YamlNode split_off(YamlNode& root, const FieldRows& rows) {
  YamlNode own{.kind = YamlNode::Kind::kMap, .place = root.place};
  std::erase_if(root.entries, [&](YamlNode::Entry& entry) {
    if (find_row(rows, entry.key) == nullptr) return false;
    own.entries.push_back(std::move(entry));
    return true;
  });
  return own;
}

void check_what_is_needed(const ReplicatorOptions& options, const YamlNode& root, const ReadContext& context,
                          Problems& problems, Problems& warnings) {
  if (std::none_of(root.entries.begin(), root.entries.end(), [](const auto& e) { return e.key == "name"; }))
    problems.add(root.place, "'name' is missing");
  for (size_t i = 0; i < options.streams.size(); ++i) {
    const StreamCopyOptions& copy = options.streams[i];
    const Place place = context.place_of(fmt::format("streams[{}]", i));
    if (copy.source.embedded()) problems.add(place, "'source_url' is missing");
    if (copy.target.embedded()) problems.add(place, "'target_url' is missing");
    if (copy.inspect.enabled() && copy.inspect.duration.count() == 0)
      warnings.add(place, "without 'inspect_duration' nothing is sampled: every message is copied");
  }
  if (!options.heartbeats.subjects.empty() && options.heartbeats.target.embedded())
    problems.add(context.place_of("heartbeats"), "'url' is missing");
}

}  // namespace

bool is_stream_replicator_file(const std::string& text) {
  Problems ignored("");
  const auto root = parse_yaml(text, ignored);
  return root && std::ranges::any_of(root->entries, [](const YamlNode::Entry& entry) { return lower(entry.key) == "streams"; });
}

StreamReplicatorFile parse_stream_replicator(std::string_view text, const Environment& environment, Problems& problems,
                                             Problems& warnings) {
  FileTarget target;
  target.file.replicator.choria_metrics = true;
  auto root = parse_yaml(text, problems);
  if (!root) return std::move(target.file);
  normalize(*root, {&process_fields(), &replicator_fields()}, warnings);
  const YamlNode process = split_off(*root, process_fields());
  ReadContext context{.problems = problems, .environment = environment};
  read_section(context, process, process_fields(), &target);
  read_section(context, *root, replicator_fields(), &target.file.replicator);
  settle_replicator(target.file.replicator, [&](const std::string& path, std::string what) {
    if (path == "name" && target.file.replicator.name.empty()) return;  // told as missing
    problems.add(context.place_of(path), std::move(what));
  });
  check_what_is_needed(target.file.replicator, *root, context, problems, warnings);
  return std::move(target.file);
}

StreamReplicatorFile load_stream_replicator(const std::string& path, const Environment& environment, Problems& problems,
                                            Problems& warnings) {
  const auto text = read_config_file(path, problems);
  if (!text) return {};
  return parse_stream_replicator(text->text, environment, problems, warnings);
}

}  // namespace sluice
