// One of the two streams that `sluice verify` compares: its connection, what its server says of it, its digests.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/cli/session.h"
#include "replicator/healing.h"
#include "replicator/stream_digests.h"

namespace CLI {
class App;
}

namespace sluice {

struct VerifySideWords {
  SessionOptions session;
  std::string password_file;
  std::optional<LinkOptions> configured{};  ///< instead of the session's URL
  bool reads = false;  ///< even when digests are served
};

/// `--<side>`, `--<side>-creds`, `-user`, `-password-file`, `-js-domain`, each with its variable `SLUICE_<SIDE>…`; a
/// password by variable or file only.
void add_side_options(CLI::App& verb, const std::string& side, VerifySideWords& words);

/// What STREAM.INFO says.
struct VerifiedStream {
  std::string mirror_of;  ///< empty = of none
  bool limits_front = false;  ///< old messages leave by age, count or bytes
  uint64_t max_msgs_per_subject = 0;  ///< 0 = no limit
  bool denies_delete = false;
  uint64_t messages = 0;
  StreamSeq first_seq{}, last_seq{};
};

class VerifySide final : public HealSource, public HealTarget {
 public:
  /// Connects and asks for the stream. Errors name the side.
  static Result<std::unique_ptr<VerifySide>> open(Session& session, const VerifySideWords& words, std::string name, std::string stream);

  const std::string& name() const { return name_; }
  const std::string& stream() const { return stream_; }
  const VerifiedStream& info() const { return info_; }
  StreamClient& client() { return *client_; }
  StreamDigests& digests() { return *digests_; }
  bool served() const { return served_; }
  Result<StoredCopy> message(StreamSeq seq) override;
  /// The first message of that subject from `from` on; kNotFound.
  Result<StreamSeq> next_of_subject(StreamSeq from, const std::string& subject);
  Result<StoredCopy> last_message(const std::string& subject) override;
  Result<PubAck> publish(const LinkMessage& message) override;
  Status remove(StreamSeq own) override;
  /// Asks for the stream once more.
  Status refresh() { return ask_info(); }
  Result<std::string> api(std::string_view verb, std::string_view body);

 private:
  VerifySide(Session& session, std::string name, std::string stream) : session_(session), name_(std::move(name)), stream_(std::move(stream)) {}
  Status ask_info();
  bool are_digests_served();

  Session& session_;
  const std::string name_;
  const std::string stream_;
  Session::Connection connection_;
  std::unique_ptr<StreamClient> client_;
  std::unique_ptr<StreamDigests> digests_;
  bool served_ = false;
  VerifiedStream info_;
};

}  // namespace sluice
