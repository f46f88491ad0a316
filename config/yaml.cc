#include "config/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

namespace sluice {
namespace {

/// Marks count from 0.
Place place_of(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

/// Builds the tree from the parser's events; its own node type would drop duplicates and resolve
/// aliases (which a short file can make huge).
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(Problems& problems) : problems_(problems) {}

  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, "", anchor);
    add(YamlNode{.place = place_of(mark)});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    problems_.add(place_of(mark), "aliases (*name) are not supported");
    add(YamlNode{.place = place_of(mark)});
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check(mark, tag, anchor);
    add(YamlNode{.kind = YamlNode::Kind::kScalar,
                 .place = place_of(mark),
                 .text = value,
                 .quoted = tag == "!"});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    check(mark, tag, anchor);
    open_.push_back({YamlNode{.kind = YamlNode::Kind::kList, .place = place_of(mark)}, {}});
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    check(mark, tag, anchor);
    open_.push_back({YamlNode{.kind = YamlNode::Kind::kMap, .place = place_of(mark)}, {}});
  }
  void OnMapEnd() override { close(); }
  void OnAnchor(const YAML::Mark&, const std::string&) override {}

 private:
  struct Open {
    YamlNode node;
    std::optional<YamlNode> key;  // of a map: read, its value not yet
  };

  void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor)
      problems_.add(place_of(mark), "anchors (&name) are not supported");
    if (!tag.empty() && tag != "?" && tag != "!") {
      problems_.add(place_of(mark), fmt::format("tags ({}) are not supported", tag));
    }
  }

  void close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(node));
  }

  void add(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kList) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.key) {
      parent.key = std::move(node);
    } else {
      add_entry(parent.node, std::move(*parent.key), std::move(node));
      parent.key.reset();
    }
  }

  void add_entry(YamlNode& map, YamlNode key, YamlNode value) {
    if (key.kind != YamlNode::Kind::kScalar) {
      problems_.add(key.place, "a key must be a word");
      return;
    }
    if (key.text == "<<" && !key.quoted) {
      problems_.add(key.place, "merge keys (<<) are not supported");
      return;
    }
    for (const YamlNode::Entry& earlier : map.entries) {
      if (earlier.key != key.text) continue;
      problems_.add(key.place, fmt::format("key '{}' stands here twice, first in line {}", key.text,
                                           earlier.place.line));
      return;
    }
    map.entries.push_back({std::move(key.text), key.place, std::move(value)});
  }

  Problems& problems_;
  YamlNode root_;
  std::vector<Open> open_;
};

/// Of the first line that is indented by one; the library says of it anything but that.
Place first_tab(std::string_view text) {
  for (int line = 1; !text.empty(); ++line) {
    const std::string_view one = text.substr(0, text.find('\n'));
    const size_t at = one.find_first_not_of(' ');
    if (at != std::string_view::npos && one[at] == '\t') return {line, static_cast<int>(at) + 1};
    text.remove_prefix(std::min(one.size() + 1, text.size()));
  }
  return {};
}

}  // namespace

std::optional<YamlNode> parse_yaml(std::string_view text, Problems& problems) {
  if (text.size() > kMaxConfig_bytes) {
    problems.add({}, "larger than 1 MiB");
    return std::nullopt;
  }
  Builder builder(problems);
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    if (!parser.HandleNextDocument(builder))
      return YamlNode{.place = {1, 1}};  // nothing but comments
    YamlNode root = builder.take();
    Problems of_second(problems.file());
    Builder second(of_second);
    if (parser.HandleNextDocument(second)) {
      problems.add(second.take().place, "only one document in a file, found a second");
    }
    return root;
  } catch (const YAML::Exception& error) {
    const Place tab = first_tab(text);
    if (tab.line != 0 && (error.mark.is_null() || tab.line <= place_of(error.mark).line))
      problems.add(tab, "a tab before the first word: YAML indents by blanks");
    else
      problems.add(error.mark.is_null() ? Place{} : place_of(error.mark), error.msg);
    return std::nullopt;
  }
}

std::string canonical_text(const YamlNode& node) {
  std::string out(1, node.quoted ? '"' : ' ');
  out += node.text;
  for (const YamlNode& item : node.items) out += "\n[" + canonical_text(item) + "]";
  for (const YamlNode::Entry& entry : node.entries)
    out += "\n{" + entry.key + ":" + canonical_text(entry.value) + "}";
  return out;
}

}  // namespace sluice
