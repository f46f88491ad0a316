// Load generator: raw sockets, pre-built frames, pipelined. Prints one JSON object for each run.
//
//   sluice-bench WORK --port P --pid PID [--size 128] [--seconds 3] [--window 4000] [--connections 1]
//
// Works: core-pub, pub-sub, fan-out, request, stream-pub, stream-pub-sync, fetch, ordered, read. The server's CPU time, RSS and
// bytes written to the device are read from /proc/PID. Latencies are those of the generator: publish to PubAck, or request to
// the batch's last message.

#include "load.h"

namespace {

using namespace sluice_bench;

void make_stream(Peer& peer, const std::string& name, long max_msgs = -1) {
  peer.request("$JS.API.STREAM.DELETE." + name, "");
  std::string answer = peer.request("$JS.API.STREAM.CREATE." + name,
                                    R"({"name":")" + name + R"(","subjects":["bench.)" + name +
                                        R"(","bench.)" + name + R"(.>"],"storage":"file","retention":"limits","num_replicas":1,)" +
                                        R"("max_msgs":)" + std::to_string(max_msgs) +
                                        R"(,"max_bytes":-1,"max_age":0,"discard":"old"})");
  if (answer.find("\"error\"") != answer.npos) die("stream create: " + answer);
}

/// Publishes with `window` outstanding PubAcks for the given time or count (0 = no bound).
/// With --streams and --subjects the messages go round STREAM0, STREAM1 … and their subjects.
Outcome stream_pub(const Options& options, const std::string& stream, size_t window, double seconds,
                   uint64_t most) {
  Peer peer(options.port);
  peer.send("SUB ack.* 1\r\n");
  peer.ping();
  const bool many = options.streams > 1;
  const std::string head = "PUB bench." + stream;
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
    if (out_begin == out.size()) {
      out.clear();
      out_begin = 0;
      char digits[24];
      while (more && sent - acked < window && out.size() < 65536 && (most == 0 || sent < most)) {
        sent_at[sent % window] = now;
        out += head;
        if (many) out.append(digits, std::to_chars(digits, digits + sizeof digits, sent % options.streams).ptr);
        if (options.subjects > 1) {
          out += '.';
          out.append(digits, std::to_chars(digits, digits + sizeof digits, sent / options.streams % options.subjects).ptr);
        }
        out += " ack.";
        out.append(digits, std::to_chars(digits, digits + sizeof digits, sent).ptr);
        out += tail;
        ++sent;
      }
    }
    if (out_begin < out.size()) {
      out_begin += peer.send_some(std::string_view(out).substr(out_begin));
    }
    bool full = sent - acked >= window || !more || out_begin < out.size();
    if (peer.fill(full && out_begin == out.size() ? 10'000 : 0)) {
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

uint64_t fill_stream(const Options& options, const std::string& stream) {
  uint64_t count = std::clamp<uint64_t>((256u << 20) / (options.size + 64), 10'000, 600'000);
  Options fill = options;
  stream_pub(fill, stream, 4000, 0, count);
  return count;
}

Outcome fetch(const Options& options) {
  Peer admin(options.port);
  make_stream(admin, "FETCH");
  uint64_t stored = fill_stream(options, "FETCH");
  std::string made = admin.request(
      "$JS.API.CONSUMER.DURABLE.CREATE.FETCH.c",
      R"({"stream_name":"FETCH","config":{"durable_name":"c","ack_policy":"explicit","deliver_policy":"all","max_ack_pending":20000}})");
  if (made.find("\"error\"") != made.npos) die("consumer create: " + made);
  Peer peer(options.port);
  peer.send("SUB fetch.inbox 1\r\n");
  peer.ping();
  constexpr uint64_t kBatch = 500;
  const std::string body = R"({"batch":500,"expires":5000000000})";
  const std::string pull = "PUB $JS.API.CONSUMER.MSG.NEXT.FETCH.c fetch.inbox " + std::to_string(body.size()) +
                           "\r\n" + body + "\r\n";
  Outcome outcome;
  std::string acks;
  std::string_view control, payload;
  outcome.before = server_use(options.pid);
  double started = now_s();
  while (outcome.messages + kBatch <= stored && now_s() - started < options.seconds) {
    double asked = now_s();
    peer.send(pull);
    for (uint64_t got = 0; got < kBatch; ++got) {
      peer.take(control, payload);
      // MSG subject sid reply size
      size_t third = control.rfind(' ');
      size_t second = control.rfind(' ', third - 1);
      acks += "PUB ";
      acks += control.substr(second + 1, third - second - 1);
      acks += " 4\r\n+ACK\r\n";
    }
    outcome.latencies_us.push_back((now_s() - asked) * 1e6);
    peer.send(acks);
    acks.clear();
    outcome.messages += kBatch;
  }
  peer.ping();
  outcome.seconds = now_s() - started;
  return outcome;
}

Outcome ordered(const Options& options) {
  Peer admin(options.port);
  make_stream(admin, "ORDERED");
  uint64_t stored = fill_stream(options, "ORDERED");
  Outcome outcome;
  outcome.before = server_use(options.pid);
  double started = now_s();
  do {
    Peer peer(options.port);
    peer.send("SUB ordered.inbox 1\r\n");
    peer.ping();
    std::string made = admin.request(
        "$JS.API.CONSUMER.CREATE.ORDERED",
        R"({"stream_name":"ORDERED","config":{"ack_policy":"none","deliver_policy":"all","max_deliver":1,)"
        R"("mem_storage":true,"num_replicas":1,"flow_control":true,"idle_heartbeat":5000000000,)"
        R"("deliver_subject":"ordered.inbox"}})");
    if (made.find("\"error\"") != made.npos) die("consumer create: " + made);
    std::string_view control, payload;
    for (uint64_t got = 0; got < stored;) {
      peer.take(control, payload);
      if (control.starts_with("HMSG ordered.inbox ") && payload.starts_with("NATS/1.0 100")) {
        // HMSG subject sid reply headers total: a flow control request carries a reply.
        std::vector<std::string_view> parts;
        for (size_t at = 0; at < control.size();) {
          size_t blank = std::min(control.find(' ', at), control.size());
          parts.push_back(control.substr(at, blank - at));
          at = blank + 1;
        }
        if (parts.size() == 6) peer.send("PUB " + std::string(parts[3]) + " 0\r\n\r\n");
        continue;
      }
      ++got;
    }
    outcome.messages += stored;
  } while (now_s() - started < options.seconds);
  outcome.seconds = now_s() - started;
  return outcome;
}

double percentile(std::vector<double>& values, double p) {
  if (values.empty()) return 0;
  size_t at = std::min(values.size() - 1, static_cast<size_t>(p * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

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
  const std::string made = admin.request(
      "$JS.API.CONSUMER.CREATE.PUBLISH0",
      R"({"stream_name":"PUBLISH0","config":{"ack_policy":"none","deliver_policy":"all","max_deliver":1,)"
      R"("mem_storage":true,"num_replicas":1,"deliver_subject":"read.inbox"}})");
  if (made.find("\"error\"") != made.npos) die("consumer create: " + made);
  std::string_view control, payload;
  for (uint64_t got = 0; got < stored; ++got) peer.take(control, payload);
  outcome.messages = stored;
  outcome.seconds = now_s() - started;
  return outcome;
}

Options parse(int argc, char** argv) {
  Options options;
  if (argc < 2 || std::string_view(argv[1]).starts_with("-")) {
    std::fprintf(stderr,
                 "usage: sluice-bench WORK --port P --pid PID [--size N] [--seconds S] [--window N] "
                 "[--connections N] [--streams N] [--subjects N] [--max-msgs N] [--messages N]\n"
                 "works: core-pub pub-sub fan-out request stream-pub stream-pub-sync fetch ordered read\n");
    std::exit(2);
  }
  options.work = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    std::string_view key = argv[i];
    const char* value = argv[i + 1];
    if (key == "--port") options.port = static_cast<uint16_t>(std::atoi(value));
    else if (key == "--pid") options.pid = std::atoi(value);
    else if (key == "--size") options.size = static_cast<size_t>(std::atol(value));
    else if (key == "--seconds") options.seconds = std::atof(value);
    else if (key == "--window") options.window = static_cast<size_t>(std::atol(value));
    else if (key == "--connections") options.connections = static_cast<size_t>(std::atol(value));
    else if (key == "--streams") options.streams = std::max<size_t>(1, static_cast<size_t>(std::atol(value)));
    else if (key == "--subjects") options.subjects = std::max<size_t>(1, static_cast<size_t>(std::atol(value)));
    else if (key == "--max-msgs") options.max_msgs = std::atol(value);
    else if (key == "--messages") options.messages = static_cast<uint64_t>(std::atoll(value));
    else die("unknown option " + std::string(key));
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sluice_bench;
  Options options = parse(argc, argv);
  Outcome outcome;
  if (options.work == "core-pub") {
    outcome = core_pub(options);
  } else if (options.work == "pub-sub") {
    outcome = pub_sub(options);
  } else if (options.work == "fan-out") {
    outcome = fan_out(options);
  } else if (options.work == "request") {
    outcome = request_reply(options);
  } else if (options.work == "stream-pub" || options.work == "stream-pub-sync") {
    Peer admin(options.port);
    for (size_t i = 0; i < options.streams; ++i) {
      make_stream(admin, options.streams > 1 ? "PUBLISH" + std::to_string(i) : "PUBLISH", options.max_msgs);
    }
    size_t window = options.work == "stream-pub" ? options.window : 1;
    outcome = stream_pub(options, "PUBLISH", window, options.messages > 0 ? 0 : options.seconds, options.messages);
  } else if (options.work == "fetch") {
    outcome = fetch(options);
  } else if (options.work == "ordered") {
    outcome = ordered(options);
  } else if (options.work == "read") {
    outcome = read_once(options);
  } else {
    die("unknown work '" + options.work + "'");
  }
  ServerUse after = server_use(options.pid);
  double count = static_cast<double>(std::max<uint64_t>(outcome.messages, 1));
  std::printf(
      "{\"work\":\"%s\",\"size\":%zu,\"messages\":%llu,\"seconds\":%.3f,\"per_s\":%.0f,\"cpu_us\":%.4f,"
      "\"rss_mb\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"written\":%.3f}\n",
      options.work.c_str(), options.size, static_cast<unsigned long long>(outcome.messages), outcome.seconds,
      count / std::max(outcome.seconds, 1e-9), (after.cpu_s - outcome.before.cpu_s) * 1e6 / count, after.rss_mb,
      percentile(outcome.latencies_us, 0.5), percentile(outcome.latencies_us, 0.99),
      (after.written_bytes - outcome.before.written_bytes) / (count * static_cast<double>(options.size)));
  return 0;
}
