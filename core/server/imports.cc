#include "server/imports.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/headers.h"
#include "server/import_pattern.h"
#include "server/service_responses.h"
#include "server/tracer.h"
#include "subject/subject.h"

namespace sluice {
namespace {

constexpr std::string_view kRequestInfo = "Nats-Request-Info";

std::string local_subject(const ImportOptions& import) {
  if (!import.to.empty()) return import.to;
  return import.prefix.empty() ? import.subject : import.prefix + '.' + import.subject;
}

const AccountOptions* find_account(const std::vector<AccountOptions>& accounts,
                                   std::string_view name) {
  const auto found = std::ranges::find_if(accounts, [name](const AccountOptions& account) {
    return account.name == name || (!account.nkey.empty() && account.nkey == name);
  });
  return found == accounts.end() ? nullptr : &*found;
}

bool lets_in(const ExportOptions& exported, const AccountOptions& importer,
             std::string_view subject) {
  if (exported.account_token_position > 0) {
    SubjectTokens tokens(subject);
    uint32_t at = 0;
    for (std::string_view token; tokens.next(token);) {
      if (++at == exported.account_token_position) return token == importer.name;
    }
    return false;
  }
  if (exported.accounts.empty()) return !exported.token_required;
  return std::ranges::any_of(exported.accounts, [&](const std::string& name) {
    return name == importer.name || (!importer.nkey.empty() && name == importer.nkey);
  });
}

/// nullptr when the importer may not have it.
const ExportOptions* find_export(const AccountOptions& exporter, const AccountOptions& importer,
                                 const ImportOptions& import) {
  for (const ExportOptions& exported : exporter.exports) {
    if (exported.service == import.service && is_subset(import.subject, exported.subject) &&
        lets_in(exported, importer, import.subject))
      return &exported;
  }
  return nullptr;
}

std::string_view word_for(bool service) { return service ? "service" : "stream"; }

class CycleSearch {
 public:
  CycleSearch(const std::vector<AccountOptions>& accounts, bool service)
      : accounts_(accounts), service_(service) {}

  /// Whether what `start` imports comes back to it.
  bool finds(const AccountOptions& start, const ImportOptions& import) {
    start_ = &start;
    local_ = ImportPattern::make(import.subject, local_subject(import))->here;
    seen_.clear();
    return walk(import);
  }

 private:
  bool walk(const ImportOptions& import) {
    const AccountOptions* exporter = find_account(accounts_, import.account);
    if (exporter == nullptr) return false;
    if (exporter == start_) return subjects_collide(import.subject, local_);
    if (!seen_.insert(exporter).second) return false;
    return std::ranges::any_of(exporter->imports, [&](const ImportOptions& next) {
      if (next.service != service_) return false;
      const auto pattern = ImportPattern::make(next.subject, local_subject(next));
      return pattern && subjects_collide(pattern->here, import.subject) && walk(next);
    });
  }

  const std::vector<AccountOptions>& accounts_;
  const bool service_;
  const AccountOptions* start_ = nullptr;
  std::string local_;
  std::set<const AccountOptions*> seen_;
};

Status check_import(const std::vector<AccountOptions>& accounts, const AccountOptions& importer,
                    const ImportOptions& import) {
  const auto wrong = [&](std::string_view words) {
    return fail(Errc::kInvalidArgument,
                fmt::format("Error adding {} import \"{}\" to account \"{}\": {}",
                            word_for(import.service), import.subject, importer.name, words));
  };
  if (has_wildcards(import.prefix)) return wrong("stream import prefix can not contain wildcard tokens");
  if (auto pattern = ImportPattern::make(import.subject, local_subject(import)); !pattern)
    return wrong(pattern.error().detail);
  const AccountOptions* exporter = find_account(accounts, import.account);
  if (exporter == nullptr) return wrong(fmt::format("account \"{}\" is not there", import.account));
  if (find_export(*exporter, importer, import) == nullptr)
    return wrong(fmt::format("{} import not authorized", word_for(import.service)));
  if (CycleSearch(accounts, import.service).finds(importer, import))
    return wrong(import.service ? "service import forms a cycle" : "stream import forms a cycle");
  return {};
}

}  // namespace

Status check_latency(const ExportOptions& exported) {
  if (!exported.latency) return {};
  const auto wrong = [&](std::string_view words) {
    return fail(Errc::kInvalidArgument,
                fmt::format("Error adding service latency sampling for \"{}\" on subject \"{}\": {}",
                            exported.subject, exported.latency->subject, words));
  };
  if (!exported.service) return wrong("a stream has no requests");
  if (exported.response != ResponseType::kSingleton) return wrong("bad service response type");
  if (!is_valid_literal(exported.latency->subject)) return wrong("invalid publish subject");
  if (exported.latency->sampling < 0 || exported.latency->sampling > 100)
    return wrong("bad sampling percentage, should be 1-100");
  return {};
}

Status check_imports(const std::vector<AccountOptions>& accounts) {
  for (const AccountOptions& account : accounts) {
    for (const ExportOptions& exported : account.exports) {
      if (!is_valid_subject(exported.subject))
        return fail(Errc::kInvalidArgument,
                    fmt::format("export \"{}\" of account \"{}\": invalid subject",
                                exported.subject, account.name));
      if (auto fine = check_latency(exported); !fine) return fine;
    }
    std::set<std::pair<std::string, std::string>> streams;
    for (const ImportOptions& import : account.imports) {
      if (auto fine = check_import(accounts, account, import); !fine) return fine;
      if (!import.service && !streams.emplace(import.account, import.subject + ' ' + local_subject(import)).second)
        return fail(Errc::kInvalidArgument,
                    fmt::format("Error adding stream import \"{}\" to account \"{}\": stream import already exists",
                                import.subject, account.name));
    }
  }
  return {};
}

void drop_invalid_imports(std::vector<AccountOptions>& accounts) {
  for (AccountOptions& account : accounts) {
    std::erase_if(account.imports, [&](const ImportOptions& import) {
      return !check_import(accounts, account, import);
    });
  }
}

/// In the importer's router.
class Imports::Service final : public Subscription {
 public:
  Service(Imports& owner, Account& importer, Account& exporter, ServiceResponses& responses,
          ImportPattern pattern, const ImportOptions& import, const ExportOptions& exported)
      : Subscription(0, pattern.here, ""),
        owner_(owner),
        importer_(importer),
        exporter_(exporter),
        responses_(responses),
        pattern_(std::move(pattern)),
        share_(import.share),
        traced_(exported.allow_trace),
        type_(exported.response),
        threshold_(exported.threshold),
        latency_(exported.latency) {}

  bool take(const Message& message, const Origin& origin) override {
    if (&message == owner_.imported_) return false;
    std::string subject;
    const std::string_view route = importer_.router().route();
    if (!pattern_.same && !pattern_.to_there.map(route, 0, subject)) return false;
    const std::string_view there = pattern_.same ? route : std::string_view(subject);
    TracedMessage* trace = TracedMessage::of(origin);
    if (trace != nullptr) {
      trace->service_import(exporter_.name(), route, there);
      if (trace->only() && !traced_) return false;  // its way ends here
    }
    std::string headers;
    std::string reply;
    Message passed = message;
    const LatencyClient asker =
        owner_.client_info_(origin.connection_id, share_ || exporter_.is_system());
    std::unique_ptr<LatencyMeasure> measure = begin_measure(message, asker);
    // An acknowledgement's own reply is no request's.
    if (!message.reply.empty() && !message.reply.starts_with("$JS.ACK.")) {
      reply = responses_.open(importer_, message.reply, type_, threshold_, std::move(measure));
      if (reply.empty()) return false;
      passed.reply = reply;
    } else if (measure != nullptr) {
      measure->failed(LatencyFailure::kNoReply);
    }
    if (!asker.json.empty()) {
      headers = message.headers;
      set_header(headers, kRequestInfo, asker.json);
      passed.headers = headers;
    }
    std::string told;
    if (trace != nullptr) {
      if (headers.empty()) headers = message.headers;
      told = lead_trace(*trace, headers);
      passed.headers = headers;
    }
    const Origin from{origin.connection_id, traced_ ? origin.trace : nullptr};
    if (hand_on(exporter_.router(), route, there, passed, from) > 0) return true;
    for (const std::string& opened : {reply, told}) {
      if (!opened.empty()) responses_.cancel(opened);
    }
    return false;
  }
  bool congested() const override { return false; }
  bool conditional() const override { return true; }
  bool interested(std::string_view subject) const override {
    std::string there(subject);
    if (!pattern_.same && !pattern_.to_there.map(subject, 0, there)) return false;
    return exporter_.router().has_interest(there, {});
  }

 private:
  /// nullptr = it is not sampled
  std::unique_ptr<LatencyMeasure> begin_measure(const Message& message, const LatencyClient& asker) {
    std::string asked;
    if (!latency_ || !is_sampled(*latency_, message.headers, owner_.env_.random, asked)) return nullptr;
    return std::make_unique<LatencyMeasure>(owner_.env_, exporter_, latency_->subject, asker, std::move(asked));
  }

  /// Servers behind us tell their part in the exporter's account, from where it comes back as answers
  /// do. @return the subject that was opened for it; "" = nobody behind us traces it
  std::string lead_trace(const TracedMessage& trace, std::string& headers) {
    std::string told;
    if (traced_) {
      told = responses_.open(importer_, trace.request().destination, ResponseType::kStream, threshold_);
    }
    if (told.empty()) {
      disable_tracing(headers);
    } else {
      redirect_trace(headers, told);
    }
    return told;
  }

  Imports& owner_;
  Account& importer_;
  Account& exporter_;
  ServiceResponses& responses_;
  const ImportPattern pattern_;
  const bool share_;
  const bool traced_;
  const ResponseType type_;
  const std::chrono::nanoseconds threshold_;
  const std::optional<LatencyOptions> latency_;
};

/// In the exporter's router.
class Imports::Stream final : public Subscription {
 public:
  Stream(Imports& owner, Account& importer, Account& exporter, ImportPattern pattern, bool traced)
      : Subscription(0, pattern.there, ""),
        owner_(owner),
        importer_(importer),
        exporter_(exporter),
        pattern_(std::move(pattern)),
        traced_(traced) {}

  bool take(const Message& message, const Origin& origin) override {
    if (&message == owner_.imported_) return false;
    const std::string_view route = exporter_.router().route();
    std::string subject;
    if (!pattern_.same && !pattern_.to_here.map(route, 0, subject)) return false;
    const std::string_view here = pattern_.same ? route : std::string_view(subject);
    if (TracedMessage* trace = TracedMessage::of(origin); trace != nullptr) [[unlikely]]
      return take_traced(message, route, here, origin, *trace);
    return pass(message, route, here, origin);
  }
  bool congested() const override { return false; }
  bool conditional() const override { return true; }
  bool interested(std::string_view subject) const override {
    std::string here(subject);
    if (!pattern_.same && !pattern_.to_here.map(subject, 0, here)) return false;
    return importer_.router().has_interest(here, {});
  }

 private:
  bool pass(const Message& message, std::string_view route, std::string_view here,
            const Origin& origin) {
    const bool shows_route = message.subject == route;
    Message renamed = message;
    if (shows_route) renamed.subject = here;
    const Message* before = std::exchange(owner_.imported_, &renamed);
    Router& router = importer_.router();
    const size_t taken =
        shows_route ? router.publish(renamed, origin) : router.deliver(here, {}, renamed);
    owner_.imported_ = before;
    return taken > 0;
  }

  bool take_traced(const Message& message, std::string_view route, std::string_view here,
                   const Origin& origin, TracedMessage& trace) {
    const TracedMessage::StreamImport import(trace, importer_.name(), pattern_.there, here);
    if (traced_) return pass(message, route, here, origin);
    const bool wanted = importer_.router().has_interest(here, {});
    if (wanted) trace.stream_export(import);  // its way ends here
    return wanted && (trace.only() || pass(message, route, here, Origin{origin.connection_id}));
  }

  Imports& owner_;
  Account& importer_;
  Account& exporter_;
  const ImportPattern pattern_;
  const bool traced_;
};

Imports::Imports(Env& env, Accounts& accounts, ClientInfo client_info)
    : env_(env), accounts_(accounts), client_info_(std::move(client_info)) {
  accounts.each([this](Account& account) { rebuild(account); });
}

Imports::~Imports() {
  for (const Link& link : links_) link.router->remove(*link.subscription);
}

ServiceResponses& Imports::responses_of(Account& exporter) {
  auto& responses = responses_[&exporter];
  if (responses == nullptr)
    responses = std::make_unique<ServiceResponses>(env_, exporter, client_info_);
  return *responses;
}

void Imports::rebuild(Account& importer) {
  std::erase_if(links_, [&](const Link& link) {
    if (link.importer != &importer) return false;
    link.router->remove(*link.subscription);
    return true;
  });
  for (const ImportOptions& import : importer.options().imports) {
    Account* exporter = accounts_.find(import.account);
    auto pattern = ImportPattern::make(import.subject, local_subject(import));
    if (exporter == nullptr || !pattern) continue;  // a claim that is not (any more) fulfilled
    const ExportOptions* exported =
        find_export(exporter->options(), importer.options(), import);
    if (exported == nullptr) continue;
    Router& router = import.service ? importer.router() : exporter->router();
    std::unique_ptr<Subscription> made;
    if (import.service) {
      made = std::make_unique<Service>(*this, importer, *exporter, responses_of(*exporter),
                                       std::move(*pattern), import, *exported);
    } else {
      made = std::make_unique<Stream>(*this, importer, *exporter, std::move(*pattern),
                                      import.allow_trace);
    }
    Subscription* added = router.add(std::move(made));
    SLUICE_CHECK(added != nullptr);
    links_.push_back({&importer, &router, added});
  }
}

size_t Imports::open_responses() const {
  size_t count = 0;
  for (const auto& [account, responses] : responses_) count += responses->open_count();
  return count;
}

uint64_t Imports::expired_responses() const {
  uint64_t count = 0;
  for (const auto& [account, responses] : responses_) count += responses->expired_count();
  return count;
}

uint64_t Imports::refused_requests() const {
  uint64_t count = 0;
  for (const auto& [account, responses] : responses_) count += responses->refused_count();
  return count;
}

}  // namespace sluice
