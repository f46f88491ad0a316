#include "remote/srv_lookup.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <numeric>
#include <utility>

namespace sluice {
namespace {

constexpr size_t kMaxAnswer_bytes = 64 * 1024 - 1;
constexpr size_t kMaxTargets_count = 64;
constexpr int kPatience_s = 2;

Status ask_only(struct __res_state& state, const std::string& server) {
  const size_t colon = server.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  uint16_t port = NS_DEFAULTPORT;
  if (colon != std::string::npos) {
    const char* end_of_text = server.data() + server.size();
    const auto [end, error] = std::from_chars(server.data() + colon + 1, end_of_text, port);
    if (error != std::errc{} || end != end_of_text || port == 0) return fail(Errc::kInvalidArgument, "name server: bad port in " + server);
  }
  to.sin_port = htons(port);
  if (::inet_pton(AF_INET, server.substr(0, colon).c_str(), &to.sin_addr) != 1)
    return fail(Errc::kInvalidArgument, "name server: not an IPv4 address: " + server);
  state.nsaddr_list[0] = to;
  state.nscount = 1;
  return {};
}

Error why_not(const std::string& name, int herrno) {
  switch (herrno) {
    case HOST_NOT_FOUND:
      return {Errc::kNotFound, 0, "DNS knows no " + name};
    case NO_DATA:
      return {Errc::kNotFound, 0, "DNS names no servers at " + name};
    case TRY_AGAIN:
      return {Errc::kTimeout, 0, "DNS does not answer about " + name};
    default:
      return {Errc::kIo, 0, "DNS fails at " + name};
  }
}

struct CloseState {
  void operator()(struct __res_state* state) const {
    ::res_nclose(state);
    delete state;
  }
};

}  // namespace

Result<std::vector<SrvTarget>> look_up_srv(const std::string& name, const std::string& dns_server) {
  const std::unique_ptr<struct __res_state, CloseState> state(new struct __res_state());
  if (::res_ninit(state.get()) != 0) return fail(Errc::kIo, "DNS: the system's resolver can't be set up");
  state->retrans = kPatience_s;
  state->retry = 1;
  if (!dns_server.empty()) {
    if (Status s = ask_only(*state, dns_server); !s) return std::unexpected(s.error());
  }
  std::vector<unsigned char> answer(kMaxAnswer_bytes);
  const int size = ::res_nquery(state.get(), name.c_str(), ns_c_in, ns_t_srv, answer.data(), static_cast<int>(answer.size()));
  if (size < 0) return std::unexpected(why_not(name, state->res_h_errno));
  auto targets = parse_srv_answer({answer.data(), std::min(static_cast<size_t>(size), answer.size())});
  if (targets && targets->empty()) return fail(Errc::kNotFound, "DNS names no servers at " + name);
  return targets;
}

Result<std::vector<SrvTarget>> parse_srv_answer(std::span<const unsigned char> message) {
  ns_msg parsed{};
  if (message.size() > kMaxAnswer_bytes || ::ns_initparse(message.data(), static_cast<int>(message.size()), &parsed) != 0)
    return fail(Errc::kCorrupt, "DNS: not an answer");
  std::vector<SrvTarget> out;
  for (int i = 0; i < ns_msg_count(parsed, ns_s_an) && out.size() < kMaxTargets_count; ++i) {
    ns_rr record{};
    if (::ns_parserr(&parsed, ns_s_an, i, &record) != 0) return fail(Errc::kCorrupt, "DNS: a damaged answer");
    if (ns_rr_type(record) != ns_t_srv || ns_rr_class(record) != ns_c_in) continue;
    constexpr int kBeforeName_bytes = 6;
    if (ns_rr_rdlen(record) <= kBeforeName_bytes) return fail(Errc::kCorrupt, "DNS: a damaged SRV record");
    const unsigned char* data = ns_rr_rdata(record);
    std::array<char, NS_MAXDNAME> host{};
    if (::dn_expand(ns_msg_base(parsed), ns_msg_end(parsed), data + kBeforeName_bytes, host.data(), static_cast<int>(host.size())) < 0)
      return fail(Errc::kCorrupt, "DNS: a damaged name in an SRV record");
    SrvTarget target{.host = host.data(),
                     .port = static_cast<uint16_t>(ns_get16(data + 4)),
                     .priority = static_cast<uint16_t>(ns_get16(data)),
                     .weight = static_cast<uint16_t>(ns_get16(data + 2))};
    if (!target.host.empty() && target.host != "." && target.port != 0) out.push_back(std::move(target));
  }
  return out;
}

std::vector<SrvTarget> in_srv_order(std::vector<SrvTarget> targets, Random& random) {
  std::ranges::stable_sort(targets, {}, &SrvTarget::priority);
  // Each weight counts one more than it is, so that those of weight 0 have a small chance too.
  const auto share = [](const SrvTarget& target) { return uint64_t{target.weight} + 1; };
  for (auto first = targets.begin(); first != targets.end(); ++first) {
    const auto end = std::find_if(first, targets.end(), [&](const SrvTarget& t) { return t.priority != first->priority; });
    const uint64_t sum = std::accumulate(first, end, uint64_t{0}, [&](uint64_t so_far, const SrvTarget& t) { return so_far + share(t); });
    uint64_t drawn = random.below(sum);
    auto chosen = first;
    for (; drawn >= share(*chosen); ++chosen) drawn -= share(*chosen);
    std::iter_swap(first, chosen);
  }
  return targets;
}

std::vector<std::string> srv_names(const std::string& host) {
  if (host.starts_with('_')) return {host};
  return {"_mcollective-server._tcp." + host, "_x-puppet-mcollective._tcp." + host};
}

}  // namespace sluice
