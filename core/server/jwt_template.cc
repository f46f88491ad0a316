// The templates of scoped signing keys.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "server/jwt_conditions.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr size_t kMaxExpansions = 4096;

std::unexpected<Error> denied(std::string words) { return fail(Errc::kDenied, std::move(words)); }

std::vector<std::string> tag_values(const std::vector<std::string>& tags, std::string_view key) {
  std::vector<std::string> values;
  for (const std::string& tag : tags) {
    if (tag.size() > key.size() && tag.starts_with(key) && tag[key.size()] == ':')
      values.push_back(tag.substr(key.size() + 1));
  }
  return values;
}

/// What `{{…}}` stands for; nullopt when the words are unknown.
std::optional<std::vector<std::string>> values_of(std::string_view words, const UserJwt& user,
                                                  const AccountJwt& account) {
  std::string text;
  for (const char c : words) {
    if (c != ' ') text += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  }
  if (text == "name()") return std::vector{user.head.name};
  if (text == "subject()") return std::vector{user.head.subject};
  if (text == "account-name()") return std::vector{account.head.name};
  if (text == "account-subject()") return std::vector{account.head.subject};
  for (const auto& [prefix, tags] : {std::pair{std::string_view("tag("), &user.head.tags},
                                     {std::string_view("account-tag("), &account.head.tags}}) {
    if (text.starts_with(prefix) && text.ends_with(')'))
      return tag_values(*tags, std::string_view(text).substr(prefix.size(),
                                                             text.size() - prefix.size() - 1));
  }
  return std::nullopt;
}

/// A value must not bring a template or wildcards of its own.
bool is_plain_value(const std::string& value) {
  return value.find("{{") == std::string::npos && value.find_first_of(" \t\r\n*>") == std::string::npos;
}

Status fill_list(std::vector<std::string>& subjects, bool is_deny, const UserJwt& user,
                 const AccountJwt& account) {
  std::vector<std::string> filled;
  for (std::vector<std::string> open(subjects.rbegin(), subjects.rend()); !open.empty();) {
    const std::string subject = std::move(open.back());
    open.pop_back();
    const size_t from = subject.find("{{");
    if (from == std::string::npos) {
      if (!is_valid_subject(subject.substr(0, subject.find(' '))))
        return denied(fmt::format("the template gives the invalid subject \"{}\"", subject));
      filled.push_back(subject);
      if (filled.size() > kMaxExpansions) return denied("the template gives too many subjects");
      continue;
    }
    const size_t to = subject.find("}}", from);
    if (to == std::string::npos) return denied("the template is not closed");
    const auto values =
        values_of(std::string_view(subject).substr(from + 2, to - from - 2), user, account);
    if (!values || (values->empty() && is_deny))
      return denied(fmt::format("the template can't be filled: \"{}\"", subject));
    if (open.size() + values->size() > kMaxExpansions)
      return denied("the template gives too many subjects");
    for (auto value = values->rbegin(); value != values->rend(); ++value) {
      if (!is_plain_value(*value))
        return denied("a value of the template holds a wildcard, a blank or a template");
      open.push_back(subject.substr(0, from) + *value + subject.substr(to + 2));
    }
  }
  subjects = std::move(filled);
  return {};
}

}  // namespace

Result<PermissionOptions> fill_template(const PermissionOptions& permissions, const UserJwt& user,
                                        const AccountJwt& account) {
  PermissionOptions out = permissions;
  for (auto [list, is_deny] : {std::pair{&out.publish.allow, false}, {&out.publish.deny, true},
                               {&out.subscribe.allow, false}, {&out.subscribe.deny, true}}) {
    const bool had_some = !list->empty();
    if (auto fine = fill_list(*list, is_deny, user, account); !fine)
      return std::unexpected(fine.error());
    // An allow list whose templates gave nothing must not become leave for everything.
    if (had_some && list->empty()) return denied("the template leaves nothing");
  }
  return out;
}

}  // namespace sluice
