// Load generator: raw sockets, pre-built frames, pipelined. Prints one JSON object for each run.
//
//   sluice-bench WORK --port P --pid PID [--size 128] [--seconds 3] [--window 4000] [--connections 1]
//
// Works: core-pub, pub-sub, stream-pub, stream-pub-sync, fetch, ordered. The server's CPU time and RSS
// are read from /proc/PID. Latencies are those of the generator: publish to PubAck, or request to
// the batch's last message.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using SteadyClock = std::chrono::steady_clock;

struct Options {
  std::string work;
  uint16_t port = 4222;
  int pid = 0;
  size_t size = 128;
  double seconds = 3;
  size_t window = 4000;
  size_t connections = 1;
};

/// CPU seconds (user and system) and resident bytes of the server.
struct ServerUse {
  double cpu_s = 0;
  double rss_mb = 0;
};

struct Outcome {
  uint64_t messages = 0;
  double seconds = 0;
  std::vector<double> latencies_us;
  ServerUse before;  ///< when the measured part began
};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "sluice-bench: %s\n", why.c_str());
  std::exit(1);
}

double now_s() {
  return std::chrono::duration<double>(SteadyClock::now().time_since_epoch()).count();
}

/// A blocking connection with a line and byte reader.
class Peer {
 public:
  explicit Peer(uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) die("cannot connect");
    int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    buffer_.resize(1 << 20);
    line();  // INFO
    send("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,"
         "\"protocol\":1,\"echo\":true}\r\n");
    ping();
  }
  ~Peer() { ::close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  int fd() const { return fd_; }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) die("the server closed the connection while writing");
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }

  /// Bytes written without waiting; 0 when the socket is full.
  size_t send_some(std::string_view bytes) {
    ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EAGAIN) return 0;
      die("the server closed the connection while writing");
    }
    return static_cast<size_t>(n);
  }

  bool buffered() const { return begin_ < end_; }

  /// Waits for at least one byte, up to `timeout_ms`.
  bool fill(int timeout_ms) {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, timeout_ms) <= 0) return false;
    if (begin_ == end_) begin_ = end_ = 0;
    if (end_ == buffer_.size()) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
      if (end_ == buffer_.size()) buffer_.resize(buffer_.size() * 2);
    }
    ssize_t n = ::recv(fd_, buffer_.data() + end_, buffer_.size() - end_, 0);
    if (n <= 0) die("the server closed the connection");
    end_ += static_cast<size_t>(n);
    return true;
  }

  /// One operation's control line without CRLF, and its payload; false when more bytes are needed.
  /// PING is answered here. The views live until the next fill().
  bool next(std::string_view& control, std::string_view& payload) {
    while (true) {
      std::string_view rest(buffer_.data() + begin_, end_ - begin_);
      size_t eol = rest.find("\r\n");
      if (eol == rest.npos) return false;
      control = rest.substr(0, eol);
      payload = {};
      size_t used = eol + 2;
      if (control.starts_with("MSG ") || control.starts_with("HMSG ")) {
        size_t size = 0;
        size_t blank = control.rfind(' ');
        std::from_chars(control.data() + blank + 1, control.data() + control.size(), size);
        if (rest.size() < used + size + 2) return false;
        payload = rest.substr(used, size);
        used += size + 2;
      }
      begin_ += used;
      if (control == "PING") {
        send("PONG\r\n");
        continue;
      }
      if (control.starts_with("-ERR")) die("server said " + std::string(control));
      return true;
    }
  }

  /// Blocks until one operation has come.
  void take(std::string_view& control, std::string_view& payload) {
    while (!next(control, payload)) {
      if (!fill(20'000)) die("no answer within 20 s");
    }
  }

  void ping() {
    send("PING\r\n");
    std::string_view control, payload;
    do {
      take(control, payload);
    } while (control != "PONG");
  }

  std::string request(const std::string& subject, const std::string& body) {
    if (!inbox_) {
      send("SUB _INBOX.bench.* 900\r\n");
      inbox_ = true;
    }
    send("PUB " + subject + " _INBOX.bench.r " + std::to_string(body.size()) + "\r\n" + body + "\r\n");
    std::string_view control, payload;
    do {
      take(control, payload);
    } while (payload.empty());
    return std::string(payload);
  }

 private:
  void line() {
    std::string_view control, payload;
    take(control, payload);
  }

  int fd_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool inbox_ = false;
};

ServerUse server_use(int pid) {
  ServerUse use;
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  size_t after_name = text.rfind(')');
  if (after_name == text.npos) return use;
  unsigned long user = 0, system = 0;
  long rss_pages = 0;
  std::sscanf(text.c_str() + after_name + 2,
              "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u %ld",
              &user, &system, &rss_pages);
  use.cpu_s = static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  use.rss_mb = static_cast<double>(rss_pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
  return use;
}

std::string frame(const std::string& subject, const std::string& reply, size_t size) {
  std::string out = "PUB " + subject;
  if (!reply.empty()) out += " " + reply;
  return out + " " + std::to_string(size) + "\r\n" + std::string(size, 'x') + "\r\n";
}

Outcome core_pub(const Options& options) {
  std::vector<std::thread> threads;
  std::atomic<uint64_t> total{0};
  ServerUse before = server_use(options.pid);
  double started = now_s();
  for (size_t c = 0; c < options.connections; ++c) {
    threads.emplace_back([&] {
      Peer peer(options.port);
      std::string one = frame("bench.core", "", options.size);
      std::string batch;
      size_t count = std::max<size_t>(1, 65536 / one.size());
      for (size_t i = 0; i < count; ++i) batch += one;
      double end = now_s() + options.seconds;
      uint64_t sent = 0;
      while (now_s() < end) {
        peer.send(batch);
        sent += count;
      }
      peer.ping();
      total += sent;
    });
  }
  for (auto& thread : threads) thread.join();
  return {total, now_s() - started, {}, before};
}

Outcome pub_sub(const Options& options) {
  Peer subscriber(options.port);
  subscriber.send("SUB bench.ps 1\r\n");
  subscriber.ping();
  std::atomic<uint64_t> received{0};
  std::atomic<bool> done{false};
  std::thread reader([&] {
    std::string_view control, payload;
    uint64_t count = 0;
    while (!done.load(std::memory_order_relaxed)) {
      if (!subscriber.fill(50)) continue;
      while (subscriber.next(control, payload)) ++count;
      received.store(count, std::memory_order_release);
    }
  });
  Peer publisher(options.port);
  std::string one = frame("bench.ps", "", options.size);
  std::string batch;
  size_t count = std::max<size_t>(1, 32768 / one.size());
  for (size_t i = 0; i < count; ++i) batch += one;
  // Never more than 16 MiB on the way, so that nobody is cut as a slow consumer.
  uint64_t most = (16u << 20) / one.size();
  ServerUse before = server_use(options.pid);
  double started = now_s();
  double end = started + options.seconds;
  uint64_t sent = 0;
  while (now_s() < end) {
    if (sent - received.load(std::memory_order_acquire) > most) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      continue;
    }
    publisher.send(batch);
    sent += count;
  }
  double give_up = now_s() + 20;
  while (received < sent && now_s() < give_up) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  double took = now_s() - started;
  uint64_t got = received;
  done = true;
  reader.join();
  if (got < sent) die("messages were lost on the way: " + std::to_string(sent - got));
  return {got, took, {}, before};
}

void make_stream(Peer& peer, const std::string& name) {
  peer.request("$JS.API.STREAM.DELETE." + name, "");
  std::string answer = peer.request("$JS.API.STREAM.CREATE." + name,
                                    R"({"name":")" + name + R"(","subjects":["bench.)" + name +
                                        R"("],"storage":"file","retention":"limits","num_replicas":1,)"
                                        R"("max_msgs":-1,"max_bytes":-1,"max_age":0,"discard":"old"})");
  if (answer.find("\"error\"") != answer.npos) die("stream create: " + answer);
}

/// Publishes with `window` outstanding PubAcks for the given time or count (0 = no bound).
Outcome stream_pub(const Options& options, const std::string& stream, size_t window, double seconds,
                   uint64_t most) {
  Peer peer(options.port);
  peer.send("SUB ack.* 1\r\n");
  peer.ping();
  std::string head = "PUB bench." + stream + " ack.";
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

Options parse(int argc, char** argv) {
  Options options;
  if (argc < 2 || std::string_view(argv[1]).starts_with("-")) {
    std::fprintf(stderr,
                 "usage: sluice-bench WORK --port P --pid PID [--size N] [--seconds S] [--window N] "
                 "[--connections N]\nworks: core-pub pub-sub stream-pub stream-pub-sync fetch ordered\n");
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
    else die("unknown option " + std::string(key));
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse(argc, argv);
  Outcome outcome;
  if (options.work == "core-pub") {
    outcome = core_pub(options);
  } else if (options.work == "pub-sub") {
    outcome = pub_sub(options);
  } else if (options.work == "stream-pub" || options.work == "stream-pub-sync") {
    Peer admin(options.port);
    make_stream(admin, "PUBLISH");
    size_t window = options.work == "stream-pub" ? options.window : 1;
    outcome = stream_pub(options, "PUBLISH", window, options.seconds, 0);
  } else if (options.work == "fetch") {
    outcome = fetch(options);
  } else if (options.work == "ordered") {
    outcome = ordered(options);
  } else {
    die("unknown work '" + options.work + "'");
  }
  ServerUse after = server_use(options.pid);
  double count = static_cast<double>(std::max<uint64_t>(outcome.messages, 1));
  std::printf(
      "{\"work\":\"%s\",\"size\":%zu,\"messages\":%llu,\"seconds\":%.3f,\"per_s\":%.0f,\"cpu_us\":%.4f,"
      "\"rss_mb\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
      options.work.c_str(), options.size, static_cast<unsigned long long>(outcome.messages), outcome.seconds,
      count / std::max(outcome.seconds, 1e-9), (after.cpu_s - outcome.before.cpu_s) * 1e6 / count, after.rss_mb,
      percentile(outcome.latencies_us, 0.5), percentile(outcome.latencies_us, 0.99));
  return 0;
}
