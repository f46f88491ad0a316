// Works of one stream or many: publishing, and reading everything once.
#include "load.h"

namespace sluice_bench {

std::string ask(Peer& admin, const std::string& subject, const std::string& body) {
  std::string answer = admin.request(subject, body);
  if (answer.find("\"error\"") != answer.npos) die(subject + ": " + answer);
  return answer;
}

void make_stream(Peer& admin, const std::string& name, long max_msgs) {
  admin.request("$JS.API.STREAM.DELETE." + name, "");
  ask(admin, "$JS.API.STREAM.CREATE." + name,
      R"({"name":")" + name + R"(","subjects":["bench.)" + name + R"(","bench.)" + name +
          R"(.>"],"storage":"file","retention":"limits","num_replicas":1,"max_msgs":)" + std::to_string(max_msgs) +
          R"(,"max_bytes":-1,"max_age":0,"discard":"old"})");
}

Outcome publish(const Options& options, size_t window, double seconds, uint64_t most,
                const std::function<void(uint64_t, std::string&)>& subject, const std::function<uint64_t()>& allowed) {
  Peer peer(options.port);
  peer.send("SUB ack.* 1\r\n");
  peer.ping();
  std::string tail = " " + std::to_string(options.size) + "\r\n" + std::string(options.size, 'x') + "\r\n";
  std::vector<double> sent_at(window);
  Outcome outcome;
  outcome.before = server_use(options.pid);
  uint64_t sent = 0, acked = 0;
  std::string out;
  size_t out_begin = 0;
  std::string_view control, payload;
  double started = now_s();
  double end = seconds > 0 ? started + seconds : 1e18;
  while (true) {
    double now = now_s();
    bool more = now < end && (most == 0 || sent < most);
    if (!more && acked == sent) break;
    const uint64_t until = allowed ? allowed() : UINT64_MAX;
    if (out_begin == out.size()) {
      out.clear();
      out_begin = 0;
      char digits[24];
      while (more && sent - acked < window && out.size() < 65536 && (most == 0 || sent < most) && sent < until) {
        sent_at[sent % window] = now;
        out += "PUB ";
        subject(sent, out);
        out += " ack.";
        out.append(digits, std::to_chars(digits, digits + sizeof digits, sent).ptr);
        out += tail;
        ++sent;
      }
    }
    if (out_begin < out.size()) {
      out_begin += peer.send_some(std::string_view(out).substr(out_begin));
      peer.between_frames(out_begin == out.size());
    }
    bool full = sent - acked >= window || !more || out_begin < out.size();
    const bool held = !full && sent >= until;
    if (peer.fill(full && out_begin == out.size() ? 10'000 : held ? 1 : 0)) {
      now = now_s();
      while (peer.next(control, payload)) {
        if (!control.starts_with("MSG ack.")) {
          if (control.starts_with("HMSG")) die("publish refused: " + std::string(payload));
          continue;
        }
        if (payload.starts_with("{\"error")) die("publish refused: " + std::string(payload));
        uint64_t id = 0;
        std::from_chars(control.data() + 8, control.data() + control.size(), id);
        if (acked % 16 == 0 || window == 1) outcome.latencies_us.push_back((now - sent_at[id % window]) * 1e6);
        ++acked;
      }
    } else if (full && out_begin == out.size()) {
      die("no PubAck within 10 s");
    }
  }
  outcome.messages = acked;
  outcome.seconds = now_s() - started;
  return outcome;
}

void append_number(std::string& out, uint64_t number) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

uint64_t fill_stream(const Options& options, const std::string& stream) {
  const uint64_t count = options.messages > 0
                             ? options.messages
                             : std::clamp<uint64_t>((256U << 20) / (options.size + 64), 10'000, 600'000);
  publish(options, 4000, 0, count, [&](uint64_t, std::string& out) { out += "bench." + stream; });
  return count;
}

namespace {

/// With --streams and --subjects the messages go round PUBLISH0, PUBLISH1 … and their subjects.
Outcome publish_round(const Options& options, size_t window) {
  Peer admin(options.port);
  const bool many = options.streams > 1;
  for (size_t i = 0; i < options.streams && !options.keep; ++i)
    make_stream(admin, many ? "PUBLISH" + std::to_string(i) : "PUBLISH", options.max_msgs);
  const double seconds = options.messages > 0 ? 0 : options.seconds;
  return publish(options, window, seconds, options.messages, [&](uint64_t n, std::string& out) {
    out += "bench.PUBLISH";
    if (many) append_number(out, n % options.streams);
    if (options.subjects > 1) {
      out += '.';
      append_number(out, n / options.streams % options.subjects);
    }
  });
}

}  // namespace

Outcome stream_pub(const Options& options) { return publish_round(options, options.window); }

Outcome stream_pub_one_at_a_time(const Options& options) { return publish_round(options, 1); }

/// Reads PUBLISH0, the first of a many-streams fill, from its first message to its last, once.
Outcome read_once(const Options& options) {
  Peer admin(options.port);
  const std::string info = admin.request("$JS.API.STREAM.INFO.PUBLISH0", "");
  const size_t at = info.find("\"messages\":");
  if (at == info.npos) die("no stream PUBLISH0: " + info);
  uint64_t stored = 0;
  std::from_chars(info.data() + at + 11, info.data() + info.size(), stored);
  Outcome outcome;
  outcome.before = server_use(options.pid);
  Peer peer(options.port);
  peer.send("SUB read.inbox 1\r\n");
  peer.ping();
  const double started = now_s();
  ask(admin, "$JS.API.CONSUMER.CREATE.PUBLISH0",
      R"({"stream_name":"PUBLISH0","config":{"ack_policy":"none","deliver_policy":"all","max_deliver":1,)"
      R"("mem_storage":true,"num_replicas":1,"deliver_subject":"read.inbox"}})");
  std::string_view control, payload;
  for (uint64_t got = 0; got < stored; ++got) peer.take(control, payload);
  outcome.messages = stored;
  outcome.seconds = now_s() - started;
  return outcome;
}

}  // namespace sluice_bench
