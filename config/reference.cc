#include "config/reference.h"

#include <fmt/format.h>

#include <limits>

#include "config/sections.h"
#include "config/spool_config.h"

namespace sluice {
namespace {

std::string type_of(const FieldRow& row) {
  switch (row.kind) {
    case FieldKind::kText:
      return "text";
    case FieldKind::kFlag:
      return "true or false";
    case FieldKind::kCount:
      return "number";
    case FieldKind::kSize:
      return "size";
    case FieldKind::kTime:
      return "duration";
    case FieldKind::kWord:
      return fmt::format("{}", fmt::join(row.words, ", "));
    case FieldKind::kAddress:
      return "host:port";
    case FieldKind::kTextList:
      return "list of text";
    case FieldKind::kLink:
      return "[system](#a-far-system)";
    case FieldKind::kSection:
      return "section";
    case FieldKind::kSectionList:
      return "list of sections";
  }
  return "";
}

std::string range_of(const FieldRow& row) {
  auto shown = [&](int64_t value) {
    if (row.kind == FieldKind::kSize) return format_size(value);
    if (row.kind == FieldKind::kTime) return format_time(std::chrono::nanoseconds(value));
    return std::to_string(value);
  };
  bool numeric =
      row.kind == FieldKind::kCount || row.kind == FieldKind::kSize || row.kind == FieldKind::kTime;
  if (!numeric) return "";
  if (row.high == std::numeric_limits<int64_t>::max()) return fmt::format("≥ {}", shown(row.low));
  return fmt::format("{} – {}", shown(row.low), shown(row.high));
}

void write_rows(std::string& out, const std::string& title, const FieldRows& rows,
                const std::string& path) {
  out += fmt::format("\n## {}\n\n", title);
  if (!rows.doc.empty()) out += rows.doc + "\n\n";
  out += "| key | type | default | range | meaning |\n|---|---|---|---|---|\n";
  for (const FieldRow& row : rows.rows) {
    std::string shown = row.shown_default.empty() ? "" : "`" + row.shown_default + "`";
    std::string sentence = row.sentence;
    if (sentence.empty() && row.nested != nullptr) sentence = row.nested->doc;
    if (row.is_needed) shown = "needed";
    if (row.is_secret) sentence += " Secret.";
    if (row.is_reloadable) sentence += " Applied on SIGHUP.";
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", row.name, type_of(row), shown,
                       range_of(row), sentence);
  }
  for (const FieldRow& row : rows.rows) {
    if (row.nested == &link_fields()) continue;  // told once, at the end
    for (const auto& [kind, fields] : row.kinds) {
      const std::string items = (path.empty() ? row.name : path + "." + row.name) + "[]";
      write_rows(out, fmt::format("`{}` of type `{}`", items, kind), *fields, items);
    }
    if (row.nested == nullptr) continue;
    std::string inner = path.empty() ? row.name : path + "." + row.name;
    if (row.kind == FieldKind::kSectionList) inner += "[]";
    std::string name = "`" + inner + "`";
    write_rows(out, name, *row.nested, inner);
  }
}

}  // namespace

std::string configuration_reference() {
  std::string out =
      "# Configuration\n\n"
      "<!-- Made by `sluice config reference` from the field tables in config/; do not edit. "
      "-->\n\n"
      "One YAML file, given by `sluice run --config FILE`; `sluice check FILE` tells everything "
      "that is wrong\n"
      "with it, with line and column, and starts nothing.\n\n"
      "- **Sizes**: a number of bytes, or with B, KiB, MiB, GiB, TiB (KB, MB, GB and TB mean the "
      "same).\n"
      "- **Durations**: `30s`, `1h30m`, `2d`; units ns, us, ms, s, m, h, d, w.\n"
      "- **Variables**: `${NAME}` and `${NAME:-default}` in any value; `$${` stands for `${`. A "
      "variable that\n"
      "  is not set and has no default is an error.\n"
      "- **Secrets**: better in a file of their own (`password_file`) or a variable. A "
      "configuration or secret\n"
      "  file that everybody may read is refused when it holds one.\n"
      "- Unknown and duplicate keys, octal numbers, anchors, aliases, merge keys and tags are "
      "errors.\n";
  write_rows(out, "The file", config_fields(), "");
  write_rows(out, "A far system", link_fields(), "…");
  out +=
      "\n# The spool's own file\n\n"
      "Of the small daemon `sluice-spool --config FILE` (default `/etc/sluice/spool.yaml`); the same grammar. See "
      "[the spool](spool.md).\n";
  write_rows(out, "The spool", spool_config_fields(), "");
  return out;
}

}  // namespace sluice
