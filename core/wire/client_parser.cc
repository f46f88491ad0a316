#include "wire/client_parser.h"

#include <algorithm>
#include <charconv>

namespace sluice {
namespace {

/// INFO grows with the cluster's addresses; messages and errors stay far below.
constexpr size_t kMaxLine = 1 * kMiB;
constexpr std::string_view kLineEnd = "\r\n";

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  for (text = trim(text); !text.empty(); text = trim(text)) {
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

bool parse_size(std::string_view text, size_t& size) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  return error == std::errc{} && end == text.data() + text.size();
}

bool take_verb(std::string_view line, std::string_view verb, std::string_view& args) {
  if (line.size() < verb.size()) return false;
  for (size_t i = 0; i < verb.size(); ++i) {
    const char c = line[i] >= 'a' && line[i] <= 'z' ? static_cast<char>(line[i] - 32) : line[i];
    if (c != verb[i]) return false;
  }
  if (line.size() > verb.size() && line[verb.size()] != ' ' && line[verb.size()] != '\t')
    return false;
  args = trim(line.substr(verb.size()));
  return true;
}

std::string_view without_quotes(std::string_view text) {
  if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'')
    return text.substr(1, text.size() - 2);
  return text;
}

}  // namespace

void ClientParser::feed(std::string_view bytes) {
  buffer_.erase(0, read_);
  read_ = 0;
  buffer_.append(bytes);
}

Result<bool> ClientParser::next(ServerEvent& event) {
  const std::string_view rest = std::string_view(buffer_).substr(read_);
  const size_t newline = rest.find('\n');
  if (newline == std::string_view::npos) {
    if (rest.size() > kMaxLine) return fail(Errc::kCorrupt, "line too long");
    return false;
  }
  std::string_view line = rest.substr(0, newline);
  if (line.ends_with('\r')) line.remove_suffix(1);
  event = {};
  std::string_view args;
  if (take_verb(line, "MSG", args)) return read_message(args, false, newline + 1, event);
  if (take_verb(line, "HMSG", args)) return read_message(args, true, newline + 1, event);
  if (take_verb(line, "PING", args)) {
    event.kind = ServerEventKind::kPing;
  } else if (take_verb(line, "PONG", args)) {
    event.kind = ServerEventKind::kPong;
  } else if (take_verb(line, "+OK", args)) {
    event.kind = ServerEventKind::kOk;
  } else if (take_verb(line, "-ERR", args)) {
    event.kind = ServerEventKind::kErr;
    event.text = without_quotes(args);
  } else if (take_verb(line, "INFO", args)) {
    event.kind = ServerEventKind::kInfo;
    event.text = args;
  } else {
    return fail(Errc::kCorrupt, "unknown operation of the server");
  }
  read_ += newline + 1;
  return true;
}

Result<bool> ClientParser::read_message(std::string_view args, bool with_header, size_t line_end,
                                        ServerEvent& event) {
  const std::vector<std::string_view> words = split(args);
  const size_t numbers = with_header ? 2 : 1;
  if (words.size() != numbers + 2 && words.size() != numbers + 3) {
    return fail(Errc::kCorrupt, "message line with a wrong number of fields");
  }
  size_t header = 0;
  size_t size = 0;
  if ((with_header && !parse_size(words[words.size() - 2], header)) ||
      !parse_size(words.back(), size) || header > size || size > max_message_bytes_) {
    return fail(Errc::kCorrupt, "message line with a bad size");
  }
  const std::string_view rest = std::string_view(buffer_).substr(read_ + line_end);
  if (rest.size() < size + kLineEnd.size()) return false;
  if (rest.substr(size, kLineEnd.size()) != kLineEnd)
    return fail(Errc::kCorrupt, "message without its line end");
  event.kind = ServerEventKind::kMsg;
  event.subject = words[0];
  event.sid = words[1];
  if (words.size() == numbers + 3) event.reply = words[2];
  event.header = rest.substr(0, header);
  event.payload = rest.substr(header, size - header);
  read_ += line_end + size + kLineEnd.size();
  return true;
}

}  // namespace sluice
