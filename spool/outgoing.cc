#include "spool/outgoing.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/headers.h"

namespace sluice {
namespace {

std::string hex(const Ed25519Signature& bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) fmt::format_to(std::back_inserter(out), "{:02x}", byte);
  return out;
}

}  // namespace

std::string outgoing_headers(const Submission& submission, uint32_t tries, const SpoolSigner* signer) {
  std::vector<std::pair<std::string, std::string>> fields = submission.headers;
  fields.emplace_back("Nats-Msg-Id", submission.id);
  fields.emplace_back("Choria-Priority", std::to_string(submission.priority));
  fields.emplace_back("Choria-Created", std::to_string(submission.created));
  fields.emplace_back("Choria-Sender", submission.sender);
  if (submission.reliable) fields.emplace_back("Choria-Reliable", "1");
  if (tries > 0) fields.emplace_back("Choria-Tries", std::to_string(tries));
  if (!submission.identity.empty()) fields.emplace_back("Choria-Identity", submission.identity);
  if (signer != nullptr) {
    if (!signer->token.empty()) fields.emplace_back("Choria-Token", signer->token);
    fields.emplace_back("Choria-Signature", hex(sign_ed25519(signer->seed, submission.payload)));
  }
  std::ranges::stable_sort(fields, {}, &std::pair<std::string, std::string>::first);
  std::string block = std::string(kHeaderPreamble) + "\r\n";
  for (const auto& [name, value] : fields) block += name + ": " + value + "\r\n";
  return block += "\r\n";
}

}  // namespace sluice
