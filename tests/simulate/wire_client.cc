#include "simulate/wire_client.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>
#include <vector>

namespace sluice::simulate {

namespace {

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    if (end > 0) out.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return out;
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

WireClient::WireClient(sim::SimEnv& sim, const std::string& name, const std::string& host, uint16_t port)
    : name_(name) {
  connecting_ = sim.net().host(name).connect(host, port, [this](Result<std::unique_ptr<Transport>> result) {
    if (!result) {
      closed_ = true;
      last_error_ = result.error().detail;
      return;
    }
    transport_ = *std::move(result);
    transport_->start(*this);
  });
}

void WireClient::send(std::string bytes) {
  if (closed_) return;
  out_ += bytes;
  if (connected_) transport_->write(out_);
}

void WireClient::publish(std::string_view subject, std::string_view reply, std::string_view payload,
                         std::string_view msg_id) {
  const std::string gap = reply.empty() ? "" : " ";
  if (msg_id.empty()) {
    send(fmt::format("PUB {} {}{}{}\r\n{}\r\n", subject, reply, gap, payload.size(), payload));
    return;
  }
  const std::string headers = fmt::format("NATS/1.0\r\nNats-Msg-Id: {}\r\n\r\n", msg_id);
  send(fmt::format("HPUB {} {}{}{} {}\r\n{}{}\r\n", subject, reply, gap, headers.size(),
                   headers.size() + payload.size(), headers, payload));
}

void WireClient::subscribe(std::string_view subject, std::function<void(const WireMessage&)> on_message) {
  const uint64_t sid = next_sid_++;
  subscriptions_[sid] = std::move(on_message);
  send(fmt::format("SUB {} {}\r\n", subject, sid));
}

std::string WireClient::request(std::string_view subject, std::string_view payload,
                                std::function<void(const WireMessage&)> on_reply, std::string_view msg_id) {
  const std::string reply = fmt::format("_INBOX.{}.{}", name_, next_reply_++);
  replies_[reply] = std::move(on_reply);
  publish(subject, reply, payload, msg_id);
  return reply;
}

void WireClient::on_bytes(std::string_view bytes) {
  in_.append(bytes);
  while (!closed_ && take_one()) {
  }
  in_.erase(0, at_);
  at_ = 0;
}

void WireClient::on_closed(const Error& why) {
  closed_ = true;
  if (last_error_.empty()) last_error_ = why.detail;
}

/// @return false when a whole operation has not come yet.
bool WireClient::take_one() {
  const std::string_view rest = std::string_view(in_).substr(at_);
  const size_t end = rest.find("\r\n");
  if (end == std::string_view::npos) return false;
  const std::string_view line = rest.substr(0, end);
  const bool with_headers = line.starts_with("HMSG ");
  if (!with_headers && !line.starts_with("MSG ")) {
    at_ += end + 2;
    take_control(line);
    return true;
  }
  const auto fields = words(line);
  const size_t sizes = with_headers ? 2 : 1;
  const bool shaped = fields.size() == 3 + sizes || fields.size() == 4 + sizes;
  const auto total = shaped ? number(fields.back()) : std::nullopt;
  const auto header_size = !shaped ? std::nullopt
                           : with_headers ? number(fields[fields.size() - 2]) : std::optional<uint64_t>(0);
  const auto sid = shaped ? number(fields[2]) : std::nullopt;
  if (!total || !header_size || !sid || *header_size > *total) {
    last_error_ = "malformed: " + std::string(line);
    closed_ = true;
    return false;
  }
  if (rest.size() < end + 2 + *total + 2) return false;
  WireMessage message;
  message.subject = fields[1];
  if (fields.size() == 4 + sizes) message.reply = fields[3];
  message.headers = rest.substr(end + 2, *header_size);
  message.payload = rest.substr(end + 2 + *header_size, *total - *header_size);
  if (rest.substr(end + 2 + *total, 2) != "\r\n") {
    last_error_ = "payload not followed by CR LF";
    closed_ = true;
    return false;
  }
  at_ += end + 2 + *total + 2;
  deliver(*sid, message);
  return true;
}

void WireClient::take_control(std::string_view line) {
  if (line.starts_with("INFO ")) {
    if (std::exchange(connected_, true)) return;
    std::string hello = fmt::format(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,"
        "\"name\":\"{}\",\"lang\":\"sim\",\"version\":\"1\",\"protocol\":1}}\r\nSUB _INBOX.{}.* 1\r\n",
        name_, name_);
    out_.insert(0, hello);
    transport_->write(out_);
  } else if (line == "PING") {
    send("PONG\r\n");
  } else if (line.starts_with("-ERR")) {
    last_error_ = line;
  }
}

void WireClient::deliver(uint64_t sid, const WireMessage& message) {
  if (sid == 1) {
    const auto found = replies_.find(message.subject);
    if (found == replies_.end()) return;
    const auto run = found->second;
    run(message);
    return;
  }
  const auto found = subscriptions_.find(sid);
  if (found != subscriptions_.end()) found->second(message);
}

}  // namespace sluice::simulate
