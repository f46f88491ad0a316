// One row a setting. The reader, `sluice check` and the reference page use the same rows.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "client/link_options.h"
#include "config/problems.h"
#include "config/units.h"
#include "config/yaml.h"

namespace sluice {

struct FieldRows;

/// What the readers of rows share during one load.
struct ReadContext {
  Problems& problems;
  const Environment& environment;
  std::string path{};                     ///< of the row being read: "adapters[0].name"
  std::map<std::string, Place> places{};  ///< where each path stands, for the checks that follow
  std::vector<Place> inline_secrets{};    ///< secrets written into the file itself

  /// The place of `where`, or of the nearest thing around it that stands in the file.
  Place place_of(std::string where) const;
};

enum class FieldKind : uint8_t {
  kText,
  kFlag,
  kCount,
  kSize,
  kTime,
  kWord,
  kAddress,
  kTextList,
  kLink,
  kSection,
  kSectionList,
};

struct FieldRow {
  std::string name;
  FieldKind kind = FieldKind::kText;
  std::string shown_default;
  std::string sentence;
  int64_t low =
      std::numeric_limits<int64_t>::min();  ///< both in; bytes or nanoseconds where units apply
  int64_t high = std::numeric_limits<int64_t>::max();
  bool is_reloadable = false;
  bool is_needed = false;
  bool is_secret = false;
  std::vector<std::string> words;     ///< of kWord
  const FieldRows* nested = nullptr;  ///< of kSection, kSectionList, kLink
  /// Of kSectionList whose items are told apart by their `type`: the rows of each.
  std::vector<std::pair<std::string, const FieldRows*>> kinds;
  std::function<void(ReadContext&, const YamlNode&, const FieldRow&, void*)> read;

  FieldRow& doc(std::string text) {
    sentence = std::move(text);
    return *this;
  }
  FieldRow& between(int64_t l, int64_t h) {
    low = l;
    high = h;
    return *this;
  }
  FieldRow& between(std::chrono::nanoseconds l, std::chrono::nanoseconds h) {
    return between(l.count(), h.count());
  }
  FieldRow& at_least(int64_t l) {
    low = l;
    return *this;
  }
  /// Of a row that reads its section itself.
  FieldRow& nest(const FieldRows& rows) {
    nested = &rows;
    return *this;
  }
  FieldRow& reloadable() {
    is_reloadable = true;
    return *this;
  }
  FieldRow& needed() {
    is_needed = true;
    return *this;
  }
  FieldRow& shown_as(std::string text) {
    shown_default = std::move(text);
    return *this;
  }
};

struct FieldRows {
  std::string doc;
  std::vector<FieldRow> rows;
};

/// Reads a section: each key by its row, unknown keys told with the nearest known one.
void read_section(ReadContext& context, const YamlNode& node, const FieldRows& rows, void* target);

// Readers of single values; they tell the problem themselves and return nullopt.
std::optional<std::string> read_text(ReadContext& context, const YamlNode& node);
/// A subject that can be published to.
std::optional<std::string> read_literal_subject(ReadContext& context, const YamlNode& node);
std::optional<bool> read_flag(ReadContext& context, const YamlNode& node);
std::optional<int64_t> read_number(ReadContext& context, const YamlNode& node, const FieldRow& row);
std::optional<size_t> read_word(ReadContext& context, const YamlNode& node, const FieldRow& row);
std::optional<std::vector<std::string>> read_text_list(ReadContext& context, const YamlNode& node);
/// "host:port", "[::1]:port"; port -1 or 0 = any free one (0).
struct Address {
  std::string host;
  uint16_t port = 0;
};
std::optional<Address> read_address(ReadContext& context, const YamlNode& node);
/// A secret written into the file (noted: the file must then be private).
std::optional<std::string> read_secret(ReadContext& context, const YamlNode& node);
/// A secret in a file of its own, which must not be world-readable. The last line end is cut.
std::optional<std::string> read_secret_file(ReadContext& context, const YamlNode& node);
/// "embedded", a URL, a list of URLs, or a section with `servers`.
void read_link(ReadContext& context, const YamlNode& node, LinkOptions& link);
/// Stream Replicator's form: URLs with commas between them, options behind a '?'.
void read_replicator_url(ReadContext& context, const YamlNode& node, LinkOptions& link);
/// A number that may have a fraction, not negative.
std::optional<double> read_decimal(ReadContext& context, const YamlNode& node, const FieldRow& row);
const FieldRows& link_fields();

/// Runs `body` with the context's path one step deeper and notes the place.
template <class Body>
void inside(ReadContext& context, const std::string& step, Place place, Body&& body) {
  size_t before = context.path.size();
  if (!context.path.empty() && !step.starts_with('[')) context.path += '.';
  context.path += step;
  context.places[context.path] = place;
  body();
  context.path.resize(before);
}

/// Builds the rows of an options struct T. A member may belong to a base of T.
template <class T>
class FieldTable {
 public:
  explicit FieldTable(std::string doc) { rows_.doc = std::move(doc); }
  FieldRows take() { return std::move(rows_); }

  template <class O>
  FieldRow& text(std::string name, std::string O::* member) {
    return add(std::move(name), FieldKind::kText, defaults_.*member,
               [member](ReadContext& c, const YamlNode& n, const FieldRow&, T& t) {
                 if (auto value = read_text(c, n)) t.*member = std::move(*value);
               });
  }
  template <class O>
  FieldRow& flag(std::string name, bool O::* member) {
    return add(std::move(name), FieldKind::kFlag, defaults_.*member ? "true" : "false",
               [member](ReadContext& c, const YamlNode& n, const FieldRow&, T& t) {
                 if (auto value = read_flag(c, n)) t.*member = *value;
               });
  }
  template <class O, std::integral U>
  FieldRow& count(std::string name, U O::* member) {
    return number(std::move(name), FieldKind::kCount, member, std::to_string(defaults_.*member));
  }
  template <class O, std::integral U>
  FieldRow& size(std::string name, U O::* member) {
    return number(std::move(name), FieldKind::kSize, member,
                  format_size(static_cast<int64_t>(defaults_.*member)));
  }
  template <class O, class Rep, class Period>
  FieldRow& time(std::string name, std::chrono::duration<Rep, Period> O::* member) {
    using Duration = std::chrono::duration<Rep, Period>;
    return add(std::move(name), FieldKind::kTime, format_time(defaults_.*member),
               [member](ReadContext& c, const YamlNode& n, const FieldRow& row, T& t) {
                 if (auto value = read_number(c, n, row)) {
                   t.*member =
                       std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(*value));
                 }
               })
        .at_least(0);
  }
  /// `words` in the order of the enum's values.
  template <class O, class E>
  FieldRow& word(std::string name, E O::* member, std::vector<std::pair<std::string, E>> words) {
    std::string shown;
    std::vector<std::string> names;
    for (auto& [word_name, value] : words) {
      names.push_back(word_name);
      if (value == defaults_.*member) shown = word_name;
    }
    FieldRow& row =
        add(std::move(name), FieldKind::kWord, shown,
            [member, words](ReadContext& c, const YamlNode& n, const FieldRow& r, T& t) {
              if (auto index = read_word(c, n, r)) t.*member = words[*index].second;
            });
    row.words = std::move(names);
    return row;
  }
  template <class O, class P>
  FieldRow& address(std::string name, std::string O::* host, uint16_t P::* port) {
    return add(std::move(name), FieldKind::kAddress,
               (defaults_.*host) + ":" + std::to_string(defaults_.*port),
               [host, port](ReadContext& c, const YamlNode& n, const FieldRow&, T& t) {
                 if (auto value = read_address(c, n)) {
                   t.*host = value->host;
                   t.*port = value->port;
                 }
               });
  }
  template <class O>
  FieldRow& text_list(std::string name, std::vector<std::string> O::* member) {
    return add(std::move(name), FieldKind::kTextList, "",
               [member](ReadContext& c, const YamlNode& n, const FieldRow&, T& t) {
                 if (auto value = read_text_list(c, n)) t.*member = std::move(*value);
               });
  }
  /// Two rows: `name` and `name_file`.
  template <class O>
  void secret(const std::string& name, std::string O::* member, const std::string& doc) {
    FieldRow& here = add(name, FieldKind::kText, "",
                         [member](ReadContext& c, const YamlNode& n, const FieldRow&, T& t) {
                           if (auto value = read_secret(c, n)) t.*member = std::move(*value);
                         });
    here.is_secret = true;
    here.doc(doc);
    add(name + "_file", FieldKind::kText, "",
        [member](ReadContext& c, const YamlNode& n, const FieldRow&, T& t) {
          if (auto value = read_secret_file(c, n)) t.*member = std::move(*value);
        })
        .doc("File that holds the " + name + "; must not be world-readable.");
  }
  template <class O>
  FieldRow& link(std::string name, LinkOptions O::* member) {
    FieldRow& row = add(std::move(name), FieldKind::kLink, "embedded",
                        [member](ReadContext& c, const YamlNode& n, const FieldRow&, T& t) {
                          read_link(c, n, t.*member);
                        });
    row.nested = &link_fields();
    return row;
  }
  template <class O, class S>
  FieldRow& section(std::string name, S O::* member, const FieldRows& nested) {
    FieldRow& row = add(std::move(name), FieldKind::kSection, "",
                        [member](ReadContext& c, const YamlNode& n, const FieldRow& r, T& t) {
                          read_section(c, n, *r.nested, &(t.*member));
                        });
    row.nested = &nested;
    return row;
  }
  /// A section that stands for something only when it is there.
  template <class O, class S>
  FieldRow& section(std::string name, std::optional<S> O::* member, const FieldRows& nested) {
    FieldRow& row = add(std::move(name), FieldKind::kSection, "",
                        [member](ReadContext& c, const YamlNode& n, const FieldRow& r, T& t) {
                          read_section(c, n, *r.nested, &(t.*member).emplace());
                        });
    row.nested = &nested;
    return row;
  }
  /// Rows of a group that is stored in T itself.
  FieldRow& group(std::string name, const FieldRows& nested) {
    FieldRow& row = add(std::move(name), FieldKind::kSection, "",
                        [](ReadContext& c, const YamlNode& n, const FieldRow& r, T& t) {
                          read_section(c, n, *r.nested, &t);
                        });
    row.nested = &nested;
    return row;
  }
  template <class O, class S>
  FieldRow& section_list(std::string name, std::vector<S> O::* member, const FieldRows& nested) {
    FieldRow& row = add(std::move(name), FieldKind::kSectionList, "",
                        [member](ReadContext& c, const YamlNode& n, const FieldRow& r, T& t) {
                          read_items(c, n, r, t.*member);
                        });
    row.nested = &nested;
    return row;
  }
  /// A row that reads itself.
  FieldRow& own(std::string name, FieldKind kind, std::string shown_default,
                std::function<void(ReadContext&, const YamlNode&, const FieldRow&, T&)> read) {
    return add(std::move(name), kind, std::move(shown_default), std::move(read));
  }

 private:
  template <class Read>
  FieldRow& add(std::string name, FieldKind kind, std::string shown_default, Read read) {
    FieldRow& row = rows_.rows.emplace_back();
    row.name = std::move(name);
    row.kind = kind;
    row.shown_default = std::move(shown_default);
    row.read = [read = std::move(read)](ReadContext& c, const YamlNode& n, const FieldRow& r,
                                        void* t) { read(c, n, r, *static_cast<T*>(t)); };
    return row;
  }
  template <class O, class U>
  FieldRow& number(std::string name, FieldKind kind, U O::* member, std::string shown) {
    FieldRow& row = add(std::move(name), kind, std::move(shown),
                        [member](ReadContext& c, const YamlNode& n, const FieldRow& r, T& t) {
                          if (auto value = read_number(c, n, r)) t.*member = static_cast<U>(*value);
                        });
    row.low = std::is_signed_v<U> ? static_cast<int64_t>(std::numeric_limits<U>::min()) : 0;
    row.high = sizeof(U) < 8 ? static_cast<int64_t>(std::numeric_limits<U>::max())
                             : std::numeric_limits<int64_t>::max();
    return row;
  }
  template <class S>
  static void read_items(ReadContext& context, const YamlNode& node, const FieldRow& row,
                         std::vector<S>& into) {
    if (node.kind == YamlNode::Kind::kNull) return;
    if (node.kind != YamlNode::Kind::kList) {
      context.problems.add(node.place,
                           "'" + row.name + "' must be a list (lines that begin with '- ')");
      return;
    }
    for (size_t i = 0; i < node.items.size(); ++i) {
      S& item = into.emplace_back();
      inside(context, "[" + std::to_string(i) + "]", node.items[i].place,
             [&] { read_section(context, node.items[i], *row.nested, &item); });
    }
  }

  T defaults_{};
  FieldRows rows_;
};

}  // namespace sluice
