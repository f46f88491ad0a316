#include "config/field.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "config/secret_file.h"

namespace sluice {
namespace {

const char* in_words(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return "a value";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a section";
  }
  return "";
}

std::string shown(const FieldRow& row, int64_t value) {
  if (row.kind == FieldKind::kSize) return format_size(value);
  if (row.kind == FieldKind::kTime) return format_time(std::chrono::nanoseconds(value));
  return std::to_string(value);
}

std::string last_step(const std::string& path) {
  size_t dot = path.rfind('.');
  return dot == std::string::npos ? path : path.substr(dot + 1);
}

}  // namespace

Place ReadContext::place_of(std::string where) const {
  while (!where.empty()) {
    if (auto it = places.find(where); it != places.end()) return it->second;
    size_t cut = where.find_last_of(".[");
    where.resize(cut == std::string::npos ? 0 : cut);
  }
  return {};
}

void read_section(ReadContext& context, const YamlNode& node, const FieldRows& rows, void* target) {
  if (node.kind != YamlNode::Kind::kMap && node.kind != YamlNode::Kind::kNull) {
    context.problems.add(node.place,
                         fmt::format("{} must be a section (lines of 'key: value'), found {}",
                                     context.path.empty() ? "the file" : "'" + context.path + "'",
                                     in_words(node.kind)));
    return;
  }
  std::set<std::string_view> seen;
  for (const YamlNode::Entry& entry : node.entries) {
    auto row = std::find_if(rows.rows.begin(), rows.rows.end(),
                            [&](const FieldRow& r) { return r.name == entry.key; });
    if (row == rows.rows.end()) {
      std::vector<std::string> known;
      for (const FieldRow& r : rows.rows) known.push_back(r.name);
      std::string_view near = nearest_word(entry.key, known);
      context.problems.add(
          entry.place, near.empty()
                           ? fmt::format("unknown key '{}'", entry.key)
                           : fmt::format("unknown key '{}', did you mean '{}'?", entry.key, near));
      continue;
    }
    seen.insert(row->name);
    inside(context, entry.key, entry.place, [&] {
      bool nested = row->kind == FieldKind::kSection || row->kind == FieldKind::kSectionList;
      if (entry.value.kind == YamlNode::Kind::kNull && !nested) {
        context.problems.add(entry.place, fmt::format("'{}' has no value", entry.key));
        return;
      }
      row->read(context, entry.value, *row, target);
    });
  }
  for (const FieldRow& row : rows.rows) {
    if (seen.contains(row.name + "_file") && seen.contains(row.name)) {
      context.problems.add(
          context.place_of(context.path.empty() ? row.name : context.path + "." + row.name),
          fmt::format("'{0}' and '{0}_file' can't both be given", row.name));
    }
    if (row.is_needed && !seen.contains(row.name)) {
      context.problems.add(node.place, fmt::format("'{}' is missing", row.name));
    }
  }
}

std::optional<std::string> read_text(ReadContext& context, const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar) {
    context.problems.add(node.place, fmt::format("'{}' must be a single value, found {}",
                                                 last_step(context.path), in_words(node.kind)));
    return std::nullopt;
  }
  auto text = expand_variables(node.text, context.environment);
  if (!text) {
    context.problems.add(node.place, text.error().detail);
    return std::nullopt;
  }
  return std::move(*text);
}

std::optional<std::string> read_literal_subject(ReadContext& context, const YamlNode& node) {
  auto text = read_text(context, node);
  if (!text) return std::nullopt;
  const bool has_odd = std::ranges::any_of(*text, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '*' || c == '>' || c == '\x7f'; });
  if (text->empty() || has_odd || text->starts_with('.') || text->ends_with('.') || text->contains("..")) {
    context.problems.add(node.place, "not a subject without wildcards");
    return std::nullopt;
  }
  return text;
}

std::optional<bool> read_flag(ReadContext& context, const YamlNode& node) {
  auto text = read_text(context, node);
  if (!text) return std::nullopt;
  if (*text == "true") return true;
  if (*text == "false") return false;
  context.problems.add(node.place, fmt::format("'{}' must be true or false, found '{}'",
                                               last_step(context.path), *text));
  return std::nullopt;
}

std::optional<int64_t> read_number(ReadContext& context, const YamlNode& node,
                                   const FieldRow& row) {
  auto text = read_text(context, node);
  if (!text) return std::nullopt;
  Result<int64_t> value = 0;
  if (row.kind == FieldKind::kTime) {
    auto time = parse_time(*text);
    value = time ? Result<int64_t>(time->count()) : std::unexpected(time.error());
  } else {
    value = row.kind == FieldKind::kSize ? parse_size(*text) : parse_integer(*text);
  }
  if (!value) {
    context.problems.add(node.place, fmt::format("'{}': {}", row.name, value.error().detail));
    return std::nullopt;
  }
  if (*value < row.low || *value > row.high) {
    std::string bound =
        row.high == std::numeric_limits<int64_t>::max()
            ? fmt::format("at least {}", shown(row, row.low))
            : fmt::format("between {} and {}", shown(row, row.low), shown(row, row.high));
    context.problems.add(node.place,
                         fmt::format("'{}' must be {}, found {}", row.name, bound, *text));
    return std::nullopt;
  }
  return *value;
}

std::optional<double> read_decimal(ReadContext& context, const YamlNode& node, const FieldRow& row) {
  auto text = read_text(context, node);
  if (!text) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error == std::errc{} && end == text->data() + text->size() && value >= 0) return value;
  context.problems.add(node.place, fmt::format("'{}' must be a number that is not negative, found '{}'", row.name, *text));
  return std::nullopt;
}

std::optional<size_t> read_word(ReadContext& context, const YamlNode& node, const FieldRow& row) {
  auto text = read_text(context, node);
  if (!text) return std::nullopt;
  auto it = std::find(row.words.begin(), row.words.end(), *text);
  if (it != row.words.end()) return static_cast<size_t>(it - row.words.begin());
  context.problems.add(node.place, fmt::format("'{}' must be one of {}, found '{}'", row.name,
                                               fmt::join(row.words, ", "), *text));
  return std::nullopt;
}

std::optional<std::vector<std::string>> read_text_list(ReadContext& context, const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kList) {
    context.problems.add(node.place, fmt::format("'{}' must be a list, found {}",
                                                 last_step(context.path), in_words(node.kind)));
    return std::nullopt;
  }
  std::vector<std::string> out;
  for (const YamlNode& item : node.items) {
    auto text = read_text(context, item);
    if (!text) return std::nullopt;
    out.push_back(std::move(*text));
  }
  return out;
}

std::optional<Address> read_address(ReadContext& context, const YamlNode& node) {
  auto text = read_text(context, node);
  if (!text) return std::nullopt;
  size_t colon = text->rfind(':');
  std::string host = colon == std::string::npos ? "" : text->substr(0, colon);
  bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty() || (!bracketed && host.find(':') != std::string::npos)) {
    context.problems.add(node.place, fmt::format("'{}' must be host:port such as 127.0.0.1:4222 or "
                                                 "[::1]:4222, found '{}'",
                                                 last_step(context.path), *text));
    return std::nullopt;
  }
  auto port = parse_integer(std::string_view(*text).substr(colon + 1));
  if (!port || *port < -1 || *port > 65535) {
    context.problems.add(node.place,
                         fmt::format("'{}': the port must be between 1 and 65535, or -1 for "
                                     "any free one, found '{}'",
                                     last_step(context.path), text->substr(colon + 1)));
    return std::nullopt;
  }
  return Address{host, static_cast<uint16_t>(*port == -1 ? 0 : *port)};
}

std::optional<std::string> read_secret(ReadContext& context, const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kScalar && node.text.find("${") == std::string::npos) {
    context.inline_secrets.push_back(node.place);
  }
  return read_text(context, node);
}

std::optional<std::string> read_secret_file(ReadContext& context, const YamlNode& node) {
  auto path = read_text(context, node);
  if (!path) return std::nullopt;
  auto refuse = [&](const std::string& why) {
    context.problems.add(node.place,
                         fmt::format("'{}': {}: {}", last_step(context.path), *path, why));
    return std::nullopt;
  };
  auto secret = load_secret_file(*path);
  if (!secret) return refuse(secret.error().detail);
  return std::move(*secret);
}

}  // namespace sluice
