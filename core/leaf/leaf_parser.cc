#include "leaf/leaf_parser.h"

#include <algorithm>
#include <array>

#include "base/parse_number.h"

namespace sluice {
namespace {

constexpr size_t kMaxArguments = 256;  ///< subject, reply, queues, sizes

/// Splits at blanks; false when there are too many.
bool split(std::string_view text, std::vector<std::string_view>& out) {
  out.clear();
  while (!text.empty()) {
    const size_t begin = text.find_first_not_of(" \t");
    if (begin == text.npos) break;
    text.remove_prefix(begin);
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    if (out.size() == kMaxArguments) return false;
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return true;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return out;
}

std::unexpected<Error> broken(const char* why) { return fail(Errc::kCorrupt, why); }

void append_number(std::string& out, size_t number) { out += std::to_string(number); }

}  // namespace

void LeafParser::feed(std::string_view bytes) {
  if (read_ > 0) {
    buffer_.erase(0, read_);
    read_ = 0;
  }
  buffer_.append(bytes);
}

Result<bool> LeafParser::next(LeafOp& op) {
  while (true) {
    const std::string_view rest = std::string_view(buffer_).substr(read_);
    const size_t end = rest.find('\n');
    if (end == rest.npos) {
      if (rest.size() > kMaxLine_bytes) return fail(Errc::kFull, "line too long");
      return false;
    }
    if (end > kMaxLine_bytes) return fail(Errc::kFull, "line too long");
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    op = {};
    if (!line.empty()) return read_line(line, read_ + end + 1, op);
    read_ += end + 1;
  }
}

Result<bool> LeafParser::read_line(std::string_view line, size_t line_end, LeafOp& op) {
  const size_t blank = std::min(line.find_first_of(" \t"), line.size());
  const std::string verb = upper(line.substr(0, blank));
  const std::string_view args = line.substr(std::min(blank + 1, line.size()));
  if (verb == "LMSG") return read_message(args, false, line_end, op);
  if (verb == "HMSG") return read_message(args, true, line_end, op);
  if (verb == "PING") {
    op.kind = LeafOpKind::kPing;
  } else if (verb == "PONG") {
    op.kind = LeafOpKind::kPong;
  } else if (verb == "INFO" || verb == "CONNECT") {
    op.kind = verb == "INFO" ? LeafOpKind::kInfo : LeafOpKind::kConnect;
    op.text = args;
  } else if (verb == "-ERR") {
    op.kind = LeafOpKind::kError;
    op.text = args;
    if (op.text.size() >= 2 && op.text.front() == '\'' && op.text.back() == '\'')
      op.text = op.text.substr(1, op.text.size() - 2);
  } else if (verb == "LS+" || verb == "LS-") {
    std::vector<std::string_view> parts;
    if (!split(args, parts)) return broken("too many arguments");
    const bool subscribe = verb == "LS+";
    op.kind = subscribe ? LeafOpKind::kSubscribe : LeafOpKind::kUnsubscribe;
    if (parts.empty() || parts.size() > 3) return broken("arguments of LS+ or LS-");
    op.subject = parts[0];
    if (parts.size() > 1) op.queue = parts[1];
    if (subscribe && parts.size() == 2) return broken("LS+ with a queue and no weight");
    if (parts.size() == 3) {
      const auto weight = parse_decimal<uint32_t>(parts[2]);
      if (!weight || *weight == 0) return broken("weight of LS+");
      op.weight = *weight;
    }
  } else {
    return broken("unknown operation");
  }
  read_ = line_end;
  return true;
}

/// <subject> [reply | + reply q… | | q…] [header size] <size>
Result<bool> LeafParser::read_message(std::string_view args, bool with_header, size_t line_end,
                                      LeafOp& op) {
  std::vector<std::string_view> parts;
  if (!split(args, parts)) return broken("too many arguments");
  const size_t sizes = with_header ? 2 : 1;
  if (parts.size() < 1 + sizes) return broken("arguments of a message");
  const auto total = parse_decimal<size_t>(parts.back());
  const auto header = with_header ? parse_decimal<size_t>(parts[parts.size() - 2]) : size_t{0};
  if (!total || !header || *header > *total) return broken("size of a message");
  if (*total > max_payload_bytes_) return fail(Errc::kFull, "message too large");
  op.kind = LeafOpKind::kMessage;
  op.subject = parts[0];
  const std::span middle(parts.data() + 1, parts.size() - 1 - sizes);
  if (middle.size() == 1) {
    op.reply = middle[0];
  } else if (middle.size() >= 2) {
    const bool reply = middle[0] == "+";
    if (!reply && middle[0] != "|") return broken("arguments of a message");
    if (reply) op.reply = middle[1];
    op.queues.assign(middle.begin() + (reply ? 2 : 1), middle.end());
  }
  if (buffer_.size() < line_end + *total + 2) return false;  // the line is read again then
  if (buffer_.compare(line_end + *total, 2, "\r\n") != 0) return broken("end of a message");
  op.header = std::string_view(buffer_).substr(line_end, *header);
  op.payload = std::string_view(buffer_).substr(line_end + *header, *total - *header);
  read_ = line_end + *total + 2;
  return true;
}

void append_leaf_message(std::string& out, std::string_view subject, std::string_view reply,
                         std::span<const std::string_view> queues, std::string_view header,
                         std::string_view payload) {
  out.append(header.empty() ? "LMSG " : "HMSG ").append(subject);
  if (!queues.empty()) {
    out.append(reply.empty() ? " |" : " + ").append(reply);
    for (const std::string_view queue : queues) out.append(" ").append(queue);
  } else if (!reply.empty()) {
    out.append(" ").append(reply);
  }
  out += ' ';
  if (!header.empty()) {
    append_number(out, header.size());
    out += ' ';
  }
  append_number(out, header.size() + payload.size());
  out.append("\r\n").append(header).append(payload).append("\r\n");
}

void append_leaf_subscribe(std::string& out, std::string_view subject, std::string_view queue,
                           uint32_t weight) {
  out.append("LS+ ").append(subject);
  if (!queue.empty()) {
    out.append(" ").append(queue).append(" ");
    append_number(out, weight);
  }
  out.append("\r\n");
}

void append_leaf_unsubscribe(std::string& out, std::string_view subject, std::string_view queue) {
  out.append("LS- ").append(subject);
  if (!queue.empty()) out.append(" ").append(queue);
  out.append("\r\n");
}

}  // namespace sluice
