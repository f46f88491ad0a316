// The recorded answers of nats-server, held against ours; the simulated network cuts the bytes into
// pieces of random size.
#include <fstream>
#include <string>
#include <vector>

#include "session.h"
#include "test_paths.h"

namespace sluice {
namespace {

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    switch (text[++i]) {
      case 'r':
        out += '\r';
        break;
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case 'x':
        out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
        i += 2;
        break;
      default:
        out += text[i];
    }
  }
  return out;
}

struct Dialogue {
  std::string sent;
  std::string answer;
  bool open = false;
};

std::vector<Dialogue> recorded() {
  std::vector<Dialogue> all;
  std::ifstream file(SLUICE_FIXTURES "/server/dialogues.txt");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("> ")) all.emplace_back().sent = unescape(line.substr(2));
    if (line.starts_with("< ")) all.back().answer = unescape(line.substr(2));
    if (line.starts_with("= ")) all.back().open = line == "= open";
  }
  return all;
}

std::string with_short_info(std::string text) {
  for (size_t at = text.find("INFO {"); at != std::string::npos; at = text.find("INFO {", at)) {
    const size_t end = text.find("} \r\n", at);
    if (end == std::string::npos) break;
    text.replace(at, end + 4 - at, "<INFO>");
  }
  return text;
}

class DialogueTest : public test::ServerTest, public ::testing::WithParamInterface<uint64_t> {
 protected:
  DialogueTest() : ServerTest(GetParam()) {}
};

TEST_P(DialogueTest, AnswersAsNatsServerDoes) {
  start();
  sim.net().options().reset_on_close_percent = 0;  // the -ERR before a close must arrive
  const std::vector<Dialogue> dialogues = recorded();
  ASSERT_GT(dialogues.size(), 60U);
  for (const Dialogue& dialogue : dialogues) {
    SCOPED_TRACE(::testing::PrintToString(dialogue.sent) + " seed " + std::to_string(GetParam()));
    auto peer = connect();
    EXPECT_EQ(with_short_info(ask(*peer, dialogue.sent)), dialogue.answer);
    EXPECT_EQ(!peer->closed(), dialogue.open);
    peer->close();
    sim.run_until_idle();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, DialogueTest, ::testing::Range<uint64_t>(1, 11));

}  // namespace
}  // namespace sluice
