// A sink that writes each operation down as a line, to compare whole dialogues.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "wire/parser.h"

namespace sluice {

/// Behaves like a server for the flags: a CONNECT with "headers" in it switches HPUB on.
class RecordingSink {
 public:
  explicit RecordingSink(Parser& parser) : parser_(parser) {}

  bool on_connect(std::string_view json) {
    parser_.limits().connect_first = false;
    if (json.find("headers") != std::string_view::npos) parser_.limits().headers = true;
    return add({"CONNECT", json});
  }
  bool on_pub(const PubOp& op) {
    return add({"PUB", op.subject, op.reply, op.header(), op.payload()});
  }
  bool on_sub(const SubOp& op) { return add({"SUB", op.subject, op.queue, op.sid}); }
  bool on_unsub(const UnsubOp& op) { return add({"UNSUB", op.sid, std::to_string(op.max)}); }
  bool on_ping() { return add({"PING"}); }
  bool on_pong() { return add({"PONG"}); }
  void on_error(WireError error) {
    lines.push_back("error " + std::to_string(static_cast<int>(error)));
  }

  std::vector<std::string> lines;
  size_t stop_after = SIZE_MAX;

 private:
  bool add(std::initializer_list<std::string_view> fields) {
    std::string line;
    for (const std::string_view field : fields) line.append(field).append("|");
    lines.push_back(std::move(line));
    return lines.size() < stop_after;
  }

  Parser& parser_;
};

}  // namespace sluice
