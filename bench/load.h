// What the generator's works share: a raw connection, the server's use of the machine, an outcome.
#pragma once

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
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace sluice_bench {

using SteadyClock = std::chrono::steady_clock;

struct Options {
  std::string work;
  uint16_t port = 4222;
  int pid = 0;
  size_t size = 128;
  double seconds = 3;
  size_t window = 4000;
  size_t connections = 1;
  size_t streams = 1;       ///< stream-pub: messages go round them
  size_t subjects = 1;      ///< of each stream
  long max_msgs = -1;       ///< of each stream; few: messages die young
  bool keep = false;        ///< go on with the streams of an earlier run instead of making them anew
  uint64_t messages = 0;    ///< stream-pub: stop after so many; 0 = --seconds decides
  uint64_t backlog = 0;     ///< work-queue: the publisher waits while so many are not acknowledged; 0 = never
  double delay_ms = 0;      ///< link: one way
  double rate = 0;          ///< link: bytes a second each way; 0 = no bound
  size_t depth_mb = 256;    ///< link: held each way of a connection, before it takes no more
};

/// CPU seconds (user and system) and resident bytes of the server.
struct ServerUse {
  double cpu_s = 0;
  double rss_mb = 0;
  double written_bytes = 0;  ///< towards the device; 0 when it may not be asked
};

struct Outcome {
  uint64_t messages = 0;
  double seconds = 0;
  std::vector<double> latencies_us;
  ServerUse before;  ///< when the measured part began
};

[[noreturn]] inline void die(const std::string& why) {
  std::fprintf(stderr, "sluice-bench: %s\n", why.c_str());
  std::exit(1);
}

inline double now_s() {
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

  /// Whether what was sent last ended with a whole frame; a PONG that is owed goes out then.
  void between_frames(bool whole) {
    between_frames_ = whole;
    if (whole && std::exchange(owes_pong_, false)) send("PONG\r\n");
  }

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
        if (between_frames_) {
          send("PONG\r\n");
        } else {
          owes_pong_ = true;
        }
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
    start_request(subject, body);
    return answer();
  }

  /// The first half of a request; one at a time.
  void start_request(const std::string& subject, const std::string& body) {
    if (!inbox_) {
      send("SUB _INBOX.bench" + std::to_string(fd_) + ".* 900\r\n");
      inbox_ = true;
    }
    send("PUB " + subject + " _INBOX.bench" + std::to_string(fd_) + ".r " + std::to_string(body.size()) + "\r\n" + body + "\r\n");
  }
  std::string answer() {
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
  bool between_frames_ = true;
  bool owes_pong_ = false;
};

inline ServerUse server_use(int pid) {
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
  std::ifstream io("/proc/" + std::to_string(pid) + "/io");
  for (std::string key; io >> key;) {
    if (key == "write_bytes:") io >> use.written_bytes;
  }
  use.rss_mb = static_cast<double>(rss_pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
  return use;
}

inline std::string frame(const std::string& subject, const std::string& reply, size_t size) {
  std::string out = "PUB " + subject;
  if (!reply.empty()) out += " " + reply;
  return out + " " + std::to_string(size) + "\r\n" + std::string(size, 'x') + "\r\n";
}

// Works of core NATS.
Outcome core_pub(const Options& options);
Outcome pub_sub(const Options& options);
Outcome fan_out(const Options& options);
Outcome request_reply(const Options& options);

// Works of streams.
Outcome stream_pub(const Options& options);
Outcome stream_pub_one_at_a_time(const Options& options);
Outcome read_once(const Options& options);

// Works of consumers.
Outcome fetch(const Options& options);
Outcome ordered(const Options& options);
Outcome push_acks(const Options& options);
Outcome work_queue(const Options& options);
Outcome thousand_consumers(const Options& options);
Outcome num_pending(const Options& options);

// Works of a key-value bucket.
Outcome kv_get(const Options& options);
Outcome kv_put(const Options& options);
Outcome kv_put_one_at_a_time(const Options& options);

// Work over HTTP.
Outcome http_events(const Options& options);

/// A link between others: prints `{"listening": PORT}` and carries what comes there to 127.0.0.1:--port until it is killed.
void run_link(const Options& options);

// What they share.
void append_number(std::string& out, uint64_t number);
/// A request to the JetStream API; ends the program when it is answered with an error.
std::string ask(Peer& admin, const std::string& subject, const std::string& body);
/// File storage, subjects `bench.NAME` and `bench.NAME.>`; one of that name is deleted before.
void make_stream(Peer& admin, const std::string& name, long max_msgs = -1);
/// Publishes with `window` outstanding PubAcks for the given time or count (0 = no bound).
/// `subject(n, out)` appends the subject of the n-th message; no more than `allowed()` are sent (null: no bound).
Outcome publish(const Options& options, size_t window, double seconds, uint64_t most,
                const std::function<void(uint64_t, std::string&)>& subject, const std::function<uint64_t()>& allowed = {});
/// Some 256 MB of messages, at most 600,000. Their number.
uint64_t fill_stream(const Options& options, const std::string& stream);

}  // namespace sluice_bench
