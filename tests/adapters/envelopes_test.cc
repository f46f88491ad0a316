// Every recording of real Choria nodes and adapters, and hand-made edges of them.
#include "adapters/choria_registration/envelopes.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "adapters/choria_registration/go_json.h"
#include "base/base64.h"
#include "test_paths.h"

namespace sluice {
namespace {

const std::string kFolder = std::string(SLUICE_FIXTURES) + "/choria/";

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void expect_output(const std::string& input, const std::string& output, bool requests) {
  SCOPED_TRACE(input);
  const auto got = unwrap_envelope(read_file(kFolder + input), {.requests = requests});
  ASSERT_TRUE(got) << got.error().reason << ": " << got.error().detail;
  EXPECT_EQ(got->record, read_file(kFolder + output));
}

TEST(Envelopes, RecordedRegistrationsGiveTheRecordedOutput) {
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("registration-v")) continue;
    const std::string tail = name.substr(std::string("registration-").size());
    expect_output(
        name, "adapter-output-" + std::string(tail[1] == '1' ? "file-" : "choria-") + tail, true);
    ++seen;
  }
  EXPECT_EQ(seen, 12);
}

TEST(Envelopes, RecordedRepliesGiveTheRecordedOutput) {
  for (const std::string name : {"rpc-reply-v1-discovery.json", "rpc-reply-v1-rpcutil-ping.json"})
    expect_output(name, "adapter-output-file-" + name, false);
}

TEST(Envelopes, BadInputIsRejectedForItsReason) {
  const std::map<std::string, std::string> reasons = {{"bad-base64", "bad_base64"},
                                                      {"empty", "bad_json"},
                                                      {"inner-not-json", "bad_signature"},
                                                      {"no-headers", "bad_transport"},
                                                      {"not-json", "bad_json"},
                                                      {"sender-empty", "bad_signature"},
                                                      {"sender-with-space", "bad_signature"},
                                                      {"sender-with-wildcard", "bad_signature"},
                                                      {"tampered-body", "bad_signature"},
                                                      {"unknown-protocol", "unknown_protocol"},
                                                      {"wrong-signature", "bad_signature"}};
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder + "adapter-bad-input")) {
    SCOPED_TRACE(entry.path());
    const auto got = unwrap_envelope(read_file(entry.path()), {});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().reason, reasons.at(entry.path().stem()));
    ++seen;
  }
  EXPECT_EQ(seen, 11);
}

TEST(Envelopes, WithoutSignatureChecksThePlaceOfTheFaultShows) {
  const std::map<std::string, std::string> reasons = {{"inner-not-json", "bad_json"},
                                                      {"sender-empty", "bad_sender"},
                                                      {"sender-with-space", "bad_sender"},
                                                      {"sender-with-wildcard", "bad_sender"}};
  const UnwrapRules rules{.verify_signatures = false};
  for (const auto& [name, reason] : reasons) {
    SCOPED_TRACE(name);
    const auto got =
        unwrap_envelope(read_file(kFolder + "adapter-bad-input/" + name + ".bin"), rules);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().reason, reason);
  }
  EXPECT_TRUE(unwrap_envelope(read_file(kFolder + "adapter-bad-input/tampered-body.bin"), rules));
}

// Choria's adapter stores a sender with a wildcard under a subject that nobody can name; ours
// refuses.
TEST(Envelopes, EdgesAreAsRecordedButForWildcardSenders) {
  int stored = 0, refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder + "adapter-edge")) {
    if (entry.path().extension() != ".in") continue;
    SCOPED_TRACE(entry.path());
    auto out = entry.path();
    out.replace_extension(".out");
    const auto got = unwrap_envelope(read_file(entry.path()), {});
    if (std::filesystem::exists(out) && entry.path().stem() != "sender-star") {
      ASSERT_TRUE(got) << got.error().reason << ": " << got.error().detail;
      EXPECT_EQ(got->record, read_file(out));
      ++stored;
    } else {
      EXPECT_FALSE(got);
      ++refused;
    }
  }
  EXPECT_EQ(stored, 18);
  EXPECT_EQ(refused, 20);
}

TEST(Envelopes, RequestsAndRepliesAreNotMixedUp) {
  EXPECT_FALSE(unwrap_envelope(read_file(kFolder + "rpc-reply-v1-discovery.json"), {}));
  EXPECT_FALSE(
      unwrap_envelope(read_file(kFolder + "registration-v1-file-plain.json"), {.requests = false}));
}

TEST(Envelopes, AChangedVersionTwoRequestIsRefused) {
  std::string text = read_file(kFolder + "registration-v2-file-plain.json");
  const size_t at = text.find("\"data\":\"") + 8;
  const size_t end = text.find('"', at);
  std::string secure = *base64_decode(text.substr(at, end - at));
  const size_t request_at = secure.find("\"request\":\"") + 11;
  const size_t request_end = secure.find('"', request_at);
  std::string request = *base64_decode(secure.substr(request_at, request_end - request_at));
  const size_t sender = request.find("node2");
  ASSERT_NE(sender, std::string::npos);
  request.replace(sender, 5, "node3");
  secure.replace(request_at, request_end - request_at, base64_encode(request));
  text.replace(at, end - at, base64_encode(secure));
  const auto got = unwrap_envelope(text, {});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().reason, "bad_signature");
  EXPECT_TRUE(unwrap_envelope(text, {.verify_signatures = false}));
}

// Whatever arrives: an answer, never a crash (run with sanitizers).
TEST(Envelopes, CutAndChangedBytesNeverHurt) {
  for (const char* name : {"registration-v1-file-plain.json", "registration-v2-file-plain.json"}) {
    const std::string text = read_file(kFolder + name);
    uint64_t random = 88172645463325252ULL;
    for (int i = 0; i < 400; ++i) {
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      std::string changed = text.substr(0, 1 + random % text.size());
      changed[(random >> 20) % changed.size()] = static_cast<char>(random >> 50);
      (void)unwrap_envelope(changed, {});
      std::string flipped = text;
      flipped[(random >> 16) % text.size()] ^= static_cast<char>(1 << ((random >> 8) % 7));
      (void)unwrap_envelope(flipped, {.verify_signatures = false});
    }
  }
}

TEST(Envelopes, Senders) {
  for (const char* good : {"a", "n1.example.net", "Node-1.Example_NET", "n\xC3\xB8"})
    EXPECT_TRUE(is_safe_sender(good)) << good;
  for (const char* bad :
       {"", ".", ".a", "a.", "a..b", "a b", "*", "a.>", "a*b", "a\tb", "a\r\nb", "a\x7f"})
    EXPECT_FALSE(is_safe_sender(bad)) << bad;
}

TEST(GoJson, Times) {
  EXPECT_EQ(format_go_time(0, 0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_go_time(-5, 0), "1969-12-31T23:59:55Z");
  EXPECT_EQ(format_go_time(99999999999, 500000000), "5138-11-16T09:46:39.5Z");
  EXPECT_EQ(format_go_time(253402300799, 0), "9999-12-31T23:59:59Z");
  EXPECT_FALSE(format_go_time(253402300800, 0));
  EXPECT_FALSE(format_go_time(INT64_MIN, 0));
}

TEST(GoJson, Forgiveness) {
  EXPECT_EQ(forgive_as_go("\"\\ud83d\\ude00 \\ud83d x \\\\ud83d \xff\""),
            "\"\\ud83d\\ude00 \\ufffd x \\\\ud83d \xEF\xBF\xBD\"");
  EXPECT_EQ(forgive_as_go("\\"), "\\");
  EXPECT_EQ(forgive_as_go("\\\xff"), "\\\xEF\xBF\xBD");
}

}  // namespace
}  // namespace sluice
