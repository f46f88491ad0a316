#include "server/permissions.h"

#include <fmt/format.h>

#include <algorithm>

#include "subject/subject.h"

namespace sluice {
namespace {

bool queue_matches(std::string_view pattern, std::string_view queue) {
  return pattern == queue || subject_matches(pattern, queue);
}

}  // namespace

Status Permissions::read(const std::vector<std::string>& from, bool with_queue, List& into) {
  into.given = into.given || !from.empty();
  for (const std::string& text : from) {
    const size_t first = text.find_first_of(" \t");
    Entry entry{text.substr(0, first), {}};
    if (first != std::string::npos) {
      const size_t last = text.find_first_not_of(" \t", first);
      if (last != std::string::npos) entry.queue = text.substr(last);
    }
    const bool fine = is_valid_subject(entry.subject) &&
                      (entry.queue.empty() || (with_queue && is_valid_subject(entry.queue)));
    if (!fine)
      return fail(Errc::kInvalidArgument, fmt::format("subject \"{}\" is not a valid subject", text));
    if (entry.queue.empty()) into.tree.insert(entry.subject, 0);
    into.entries.push_back(std::move(entry));
  }
  return {};
}

Result<std::shared_ptr<const Permissions>> Permissions::make(const PermissionOptions& options) {
  auto made = std::make_shared<Permissions>();
  made->options_ = options;
  // Leave to answer replaces the leave to publish anything.
  made->publish_allow_.given = options.responses.has_value();
  for (auto [list, with_queue, into] :
       {std::tuple{&options.publish.allow, false, &made->publish_allow_},
        {&options.publish.deny, false, &made->publish_deny_},
        {&options.subscribe.allow, true, &made->subscribe_allow_},
        {&options.subscribe.deny, true, &made->subscribe_deny_}}) {
    if (auto fine = read(*list, with_queue, *into); !fine) return std::unexpected(fine.error());
  }
  return made;
}

bool Permissions::may_publish(std::string_view subject) const {
  if (publish_allow_.given && !publish_allow_.tree.has_match(subject)) return false;
  return !publish_deny_.tree.has_match(subject);
}

bool Permissions::may_subscribe(std::string_view subject, std::string_view queue) const {
  // With a queue, entries that name queues decide when there are any for the subject.
  const auto answer = [&](const List& list) {
    bool plain = false, named = false, named_match = false;
    for (const Entry& entry : list.entries) {
      if (!is_subset(subject, entry.subject)) continue;
      if (entry.queue.empty()) {
        plain = true;
      } else if (!queue.empty()) {
        named = true;
        named_match = named_match || queue_matches(entry.queue, queue);
      }
    }
    return named ? named_match : plain;
  };
  if (subscribe_allow_.given && !answer(subscribe_allow_)) return false;
  return !subscribe_deny_.given || !answer(subscribe_deny_);
}

bool Permissions::needs_filter(std::string_view subject) const {
  return has_wildcards(subject) &&
         std::ranges::any_of(subscribe_deny_.entries, [subject](const Entry& entry) {
           return entry.queue.empty() && subjects_collide(entry.subject, subject);
         });
}

bool Permissions::may_receive(std::string_view subject) const {
  return !subscribe_deny_.tree.has_match(subject);
}

template <class Ask>
bool PermissionState::cached(Answers& answers, std::string_view subject, Ask&& ask) {
  if (const auto known = answers.find(subject); known != answers.end()) return known->second;
  const bool answer = ask();
  if (subject.size() > kMaxCachedSubject_bytes) return answer;
  if (answers.size() >= kMaxCached) answers.clear();
  answers.emplace(subject, answer);
  return answer;
}

bool PermissionState::may_publish(std::string_view subject, MonoTime now) {
  if (cached(publish_, subject, [&] { return rules_->may_publish(subject); })) return true;
  return !grants_.empty() && use_grant(subject, now);
}

bool PermissionState::may_receive(std::string_view subject) {
  return cached(receive_, subject, [&] { return rules_->may_receive(subject); });
}

void PermissionState::grant_reply(std::string_view reply, MonoTime now) {
  const ResponsePermission& rule = *rules_->options().responses;
  const auto expired = [&](MonoTime since) {
    return rule.expires.count() >= 0 && now - since >= rule.expires;
  };
  while (!grant_order_.empty() &&
         (grant_order_.size() >= kMaxReplies || expired(grant_order_.front().first))) {
    const auto& [since, oldest] = grant_order_.front();
    const auto found = grants_.find(oldest);
    // It may have been used up, or granted again since.
    if (found != grants_.end() && found->second.since == since) grants_.erase(found);
    grant_order_.pop_front();
  }
  grants_.insert_or_assign(std::string(reply), Grant{now, 0});
  grant_order_.emplace_back(now, reply);
}

bool PermissionState::use_grant(std::string_view subject, MonoTime now) {
  const auto found = grants_.find(subject);
  if (found == grants_.end()) return false;
  const ResponsePermission& rule = *rules_->options().responses;
  Grant& grant = found->second;
  const bool late = rule.expires.count() >= 0 && now - grant.since >= rule.expires;
  if (late || (rule.max >= 0 && grant.used >= rule.max)) {
    grants_.erase(found);
    return false;
  }
  ++grant.used;
  return true;
}

}  // namespace sluice
