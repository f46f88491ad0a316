// Work over HTTP: many keep-alive connections, each with one request under way.

#include <sys/epoll.h>

#include "load.h"

namespace sluice_bench {
namespace {

/// One sender: an event, its answer, the next event.
class Sender {
 public:
  Sender(uint16_t port, size_t number, size_t size) : number_(number), body_(size, 'x') {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) die("cannot connect");
    int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  ~Sender() { ::close(fd_); }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  int fd() const { return fd_; }
  void send() {
    const std::string request =
        "POST /events HTTP/1.1\r\nHost: bench\r\nce-specversion: 1.0\r\nce-id: " + std::to_string(number_) + "-" +
        std::to_string(++sent_) + "\r\nce-source: /bench\r\nce-type: bench\r\nContent-Type: text/plain\r\nContent-Length: " +
        std::to_string(body_.size()) + "\r\n\r\n" + body_;
    began_ = now_s();
    if (::write(fd_, request.data(), request.size()) != static_cast<ssize_t>(request.size())) die("a request does not fit");
  }
  /// Microseconds of the answer that is now whole; negative: it is not.
  double receive() {
    char block[4096];
    const ssize_t n = ::read(fd_, block, sizeof block);
    if (n <= 0) die("the connection ended");
    answer_.append(block, static_cast<size_t>(n));
    const size_t head = answer_.find("\r\n\r\n");
    if (head == std::string::npos) return -1;
    if (answer_.compare(0, 10, "HTTP/1.1 2") != 0) die("answered: " + answer_.substr(0, answer_.find('\r')));
    size_t length = 0;
    if (const size_t at = answer_.find("Content-Length: "); at < head) length = static_cast<size_t>(std::atol(answer_.c_str() + at + 16));
    if (answer_.size() < head + 4 + length) return -1;
    answer_.erase(0, head + 4 + length);
    return (now_s() - began_) * 1e6;
  }

 private:
  const size_t number_;
  const std::string body_;
  int fd_ = -1;
  uint64_t sent_ = 0;
  double began_ = 0;
  std::string answer_;
};

}  // namespace

Outcome http_events(const Options& options) {
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<std::unique_ptr<Sender>> senders;
  for (size_t i = 0; i < options.connections; ++i) {
    senders.push_back(std::make_unique<Sender>(options.port, i, options.size));
    epoll_event wanted{.events = EPOLLIN, .data = {.u64 = i}};
    if (::epoll_ctl(poll, EPOLL_CTL_ADD, senders.back()->fd(), &wanted) != 0) die("cannot poll");
  }
  Outcome outcome;
  outcome.before = server_use(options.pid);
  const double began = now_s();
  for (auto& sender : senders) sender->send();
  std::vector<epoll_event> ready(options.connections);
  while (now_s() < began + options.seconds) {
    const int count = ::epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), 1000);
    for (int i = 0; i < count; ++i) {
      Sender& sender = *senders[ready[static_cast<size_t>(i)].data.u64];
      const double took = sender.receive();
      if (took < 0) continue;
      ++outcome.messages;
      outcome.latencies_us.push_back(took);
      sender.send();
    }
  }
  outcome.seconds = now_s() - began;
  ::close(poll);
  return outcome;
}

}  // namespace sluice_bench
