// How a far NATS system is named: network of an adapter, source and target of a copy.
#include <fmt/format.h>

#include <algorithm>

#include "config/choria_duration.h"
#include "config/config.h"
#include "config/field.h"
#include "config/sections.h"

namespace sluice {
namespace {

/// Adds one URL after a look at its shape; user:password@ inside makes the file hold a secret.
void add_url(ReadContext& context, const YamlNode& node, const std::string& url,
             LinkOptions& link) {
  std::string_view rest = url;
  const size_t scheme_end = rest.find("://");
  const std::string_view scheme = scheme_end == std::string_view::npos ? std::string_view() : rest.substr(0, scheme_end);
  if (scheme != "nats" && scheme != "tls" && scheme != "srv" && scheme != "srv+tls") {
    context.problems.add(node.place, fmt::format("'{}' is not a URL such as nats://host:4222, tls://host:4222 or srv://domain", url));
    return;
  }
  rest.remove_prefix(scheme_end + 3);
  size_t at = rest.rfind('@');
  if (at != std::string_view::npos) {
    if (node.text.find("${") == std::string::npos) context.inline_secrets.push_back(node.place);
    rest.remove_prefix(at + 1);
  }
  size_t colon = rest.rfind(':');
  bool has_port =
      colon != std::string_view::npos && rest.find(']', colon) == std::string_view::npos;
  std::string_view host = has_port ? rest.substr(0, colon) : rest;
  if (has_port && scheme.starts_with("srv")) {
    context.problems.add(node.place, "this URL has a port, which DNS is to tell");
    return;
  }
  Result<int64_t> port = has_port ? parse_integer(rest.substr(colon + 1)) : Result<int64_t>(4222);
  if (host.empty() || host.find('/') != std::string_view::npos || !port || *port < 1 ||
      *port > 65535) {
    context.problems.add(node.place, "this URL has no host, or a wrong port");
    return;
  }
  link.urls.push_back(url);
}

void add_urls(ReadContext& context, const YamlNode& node, LinkOptions& link) {
  if (node.kind == YamlNode::Kind::kList) {
    for (const YamlNode& item : node.items) {
      if (auto url = read_text(context, item)) add_url(context, item, *url, link);
    }
    if (node.items.empty()) context.problems.add(node.place, "the list of servers is empty");
  } else if (auto url = read_text(context, node)) {
    add_url(context, node, *url, link);
  }
}

/// One `key=value` behind the '?' of a URL.
void take_url_option(ReadContext& context, const YamlNode& node, std::string_view option, LinkOptions& link) {
  const size_t equals = std::min(option.find('='), option.size());
  const std::string_view key = option.substr(0, equals);
  const std::string_view value = equals < option.size() ? option.substr(equals + 1) : std::string_view();
  const bool is_true = value == "true" || value == "1" || value == "t";
  if (key == "credentials") {
    link.credentials_file = value;
  } else if (key == "insecure") {
    link.tls_insecure = is_true;
  } else if (key == "connect_timeout") {
    const auto time = parse_choria_duration(value);
    if (!time) return context.problems.add(node.place, "connect_timeout: " + time.error().detail);
    link.connect_timeout = std::chrono::duration_cast<std::chrono::milliseconds>(*time);
  } else if (key == "tls_handshake_first") {
    link.tls_first = is_true;
  } else if (key == "jwt") {
    link.jwt_file = value;
  } else if (key == "nkey") {
    link.nkey_seed_file = value;
  } else {
    context.problems.add(node.place, fmt::format("unknown option '{}' in a URL", key));
  }
}

}  // namespace

namespace {

const FieldRows& choria_login_fields() {
  static const FieldRows rows = [] {
    FieldTable<LinkOptions> t("Login at a Choria broker with a token of its own kind, which wants TLS.");
    t.text("token", &LinkOptions::choria_token_file).needed().doc("File with the JWT (Choria's server.jwt).");
    t.text("seed", &LinkOptions::choria_seed_file).needed().doc("File with the ed25519 seed of its key, 64 hexadecimal digits (Choria's server.seed).");
    return t.take();
  }();
  return rows;
}

void read_inbox_prefix(ReadContext& context, const YamlNode& node, LinkOptions& link) {
  if (auto subject = read_literal_subject(context, node)) link.inbox_prefix = *std::move(subject);
}

}  // namespace

const FieldRows& tls_fields() {
  static const FieldRows rows = [] {
    FieldTable<LinkOptions> t("TLS towards a far server (`tls://`).");
    t.text("ca", &LinkOptions::tls_ca_file)
        .doc("PEM file of the authorities to trust; the system's when empty.");
    t.text("cert", &LinkOptions::tls_cert_file).doc("PEM file of our certificate.");
    t.text("key", &LinkOptions::tls_key_file).doc("PEM file of its key.");
    t.flag("insecure", &LinkOptions::tls_insecure).doc("Do not verify the server's certificate.");
    t.flag("handshake_first", &LinkOptions::tls_first)
        .doc("The TLS handshake comes before the server's first words, as its `handshake_first` asks.");
    return t.take();
  }();
  return rows;
}

namespace {

/// Rows of a far system, of T or of a base of it.
template <class T>
void add_link_rows(FieldTable<T>& t) {
  t.own("servers", FieldKind::kTextList, "",
        [](ReadContext& c, const YamlNode& n, const FieldRow&, T& link) { add_urls(c, n, link); })
      .needed()
      .doc("URLs, tried in turn: `nats://host:port` or `tls://host:port`. `srv://domain` (`srv+tls://`: with TLS in any case) stands for "
           "the servers that DNS names at `_mcollective-server._tcp.<domain>`, else at `_x-puppet-mcollective._tcp.<domain>`; a name that begins "
           "with `_` is asked for as it is.");
  t.text("user", &LinkOptions::user).doc("User name.");
  t.secret("password", &LinkOptions::password, "Its password.");
  t.secret("token", &LinkOptions::token, "Token, instead of user and password.");
  t.text("credentials", &LinkOptions::credentials_file)
      .doc("File with JWT and seed, as nsc writes it.");
  t.own("choria", FieldKind::kSection, "",
        [](ReadContext& c, const YamlNode& n, const FieldRow& row, T& link) {
          read_section(c, n, *row.nested, static_cast<LinkOptions*>(&link));
        })
      .nest(choria_login_fields())
      .doc("A Choria broker's login.");
  t.own("inbox_prefix", FieldKind::kText, LinkOptions{}.inbox_prefix,
        [](ReadContext& c, const YamlNode& n, const FieldRow&, T& link) { read_inbox_prefix(c, n, link); })
      .doc("Replies come to subjects under it. A Choria broker lets who logs in with a token hear "
           "`<collective>.reply.<MD5 of its identity or caller id>` alone.");
  t.text("dns", &LinkOptions::dns_server).doc("Name server for `srv://`, `address:port` (IPv4); the system's when empty.");
  t.own("tls", FieldKind::kSection, "",
        [](ReadContext& c, const YamlNode& n, const FieldRow& row, T& link) {
          read_section(c, n, *row.nested, static_cast<LinkOptions*>(&link));
        })
      .nest(tls_fields())
      .doc("TLS settings.");
  t.time("connect_timeout", &LinkOptions::connect_timeout)
      .between(std::chrono::milliseconds(100), std::chrono::minutes(2))
      .doc("Longest time one connection attempt may take, TLS and login included.");
  t.word("compression", &LinkOptions::compression,
         {{"auto", LinkCompression::kAuto}, {"zstd", LinkCompression::kZstd}, {"none", LinkCompression::kNone}})
      .doc("Of all bytes between two Sluices, both ways. `auto`: when the server offers it, 10 ms or more after it was dialled, "
           "and not while more than 32 MiB/s go out and none of it waits for the link. "
           "`zstd`: a server that does not offer it is refused.");
  t.count("max_pending_messages", &LinkOptions::max_pending_messages)
      .between(16, 1'000'000)
      .doc("Messages taken from the network and not yet handled, before reading pauses.");
}

}  // namespace

const FieldRows& link_fields() {
  static const FieldRows rows = [] {
    FieldTable<LinkOptions> t(
        "A far NATS system. In place of the section, `embedded` or one URL may stand.");
    add_link_rows(t);
    return t.take();
  }();
  return rows;
}

const FieldRows& core_fields() {
  static const FieldRows rows = [] {
    FieldTable<CoreSettings> t(
        "A JetStream elsewhere that takes the place of this daemon's own. The daemon then has no store and no client "
        "port: adapters with `network: embedded` take their messages from that system too.");
    add_link_rows(t);
    t.text("domain", &CoreSettings::domain).doc("Domain of its JetStream; empty: it is asked by `$JS.API`.");
    t.count("replicas", &CoreSettings::replicas)
        .between(1, 5)
        .doc("Copies of each stream that adapters make there.");
    return t.take();
  }();
  return rows;
}

void read_core(ReadContext& context, const YamlNode& node, const FieldRow&, Config& config) {
  if (node.kind == YamlNode::Kind::kMap)
    read_section(context, node, core_fields(), &config.core);
  else
    read_link(context, node, config.core);
}

void read_replicator_url(ReadContext& context, const YamlNode& node, LinkOptions& link) {
  const auto text = read_text(context, node);
  if (!text) return;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    std::string_view url = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    while (url.starts_with(' ')) url.remove_prefix(1);
    while (url.ends_with(' ') || url.ends_with('/')) url.remove_suffix(1);
    const size_t question = std::min(url.find('?'), url.size());
    std::string_view options = url.substr(std::min(question + 1, url.size()));
    url = url.substr(0, question);
    while (url.ends_with('/')) url.remove_suffix(1);
    while (!options.empty()) {
      const size_t end = std::min(options.find('&'), options.size());
      take_url_option(context, node, options.substr(0, end), link);
      options.remove_prefix(std::min(end + 1, options.size()));
    }
    if (url.empty()) continue;
    add_url(context, node, url.find("://") == std::string_view::npos ? "nats://" + std::string(url) : std::string(url), link);
  }
  if (link.jwt_file.empty() != link.nkey_seed_file.empty())
    context.problems.add(node.place, "'jwt' and 'nkey' belong together: the files of a JWT and of the seed that signs for it");
}

void read_link(ReadContext& context, const YamlNode& node, LinkOptions& link) {
  if (node.kind == YamlNode::Kind::kMap) {
    read_section(context, node, link_fields(), &link);
    return;
  }
  if (node.kind == YamlNode::Kind::kScalar && node.text == "embedded") return;
  add_urls(context, node, link);
}

}  // namespace sluice
