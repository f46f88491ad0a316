// Works of core NATS: publish, one subscriber, a hundred of them, request and reply.
#include "load.h"

namespace sluice_bench {

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

/// 1 → 100: all subscriptions are on ten connections that one thread reads. A message counted is one
/// delivery.
Outcome fan_out(const Options& options) {
  constexpr size_t kPeers = 10;
  constexpr size_t kEach = 10;
  std::vector<std::unique_ptr<Peer>> subscribers;
  for (size_t i = 0; i < kPeers; ++i) {
    auto& peer = subscribers.emplace_back(std::make_unique<Peer>(options.port));
    for (size_t sid = 1; sid <= kEach; ++sid)
      peer->send("SUB bench.fan " + std::to_string(sid) + "\r\n");
    peer->ping();
  }
  const std::string one = frame("bench.fan", "", options.size);
  // As one delivery stands on the wire: sids have one digit, but for the tenth.
  const size_t delivery = std::string("MSG bench.fan 1 ").size() +
                          std::to_string(options.size).size() + 2 + options.size + 2;
  const uint64_t a_message = kPeers * (kEach * delivery + 1);
  std::atomic<uint64_t> received_bytes{0};
  std::atomic<bool> done{false};
  std::thread reader([&] {
    std::vector<pollfd> waiting;
    for (const auto& peer : subscribers) waiting.push_back({peer->fd(), POLLIN, 0});
    std::vector<char> block(1 << 20);
    while (!done.load(std::memory_order_relaxed)) {
      if (::poll(waiting.data(), waiting.size(), 50) <= 0) continue;
      for (const pollfd& one_fd : waiting) {
        if (one_fd.revents == 0) continue;
        const ssize_t n = ::recv(one_fd.fd, block.data(), block.size(), 0);
        if (n <= 0) die("a subscriber was cut");
        received_bytes += static_cast<uint64_t>(n);
      }
    }
  });
  Peer publisher(options.port);
  std::string batch;
  for (size_t i = 0; i < 16; ++i) batch += one;
  const uint64_t most = 32U << 20;  // on the way to all subscribers together
  Outcome outcome;
  outcome.before = server_use(options.pid);
  const double started = now_s();
  uint64_t sent = 0;
  while (now_s() < started + options.seconds) {
    if (sent * a_message > received_bytes.load() + most) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      continue;
    }
    publisher.send(batch);
    sent += 16;
  }
  const double give_up = now_s() + 20;
  while (received_bytes < sent * a_message && now_s() < give_up)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  outcome.seconds = now_s() - started;
  const uint64_t got = received_bytes;
  done = true;
  reader.join();
  if (got < sent * a_message) die("deliveries were lost on the way");
  outcome.messages = sent * kPeers * kEach;
  return outcome;
}

/// One request at a time; a message counted is one round trip.
Outcome request_reply(const Options& options) {
  std::atomic<bool> done{false};
  Peer responder(options.port);
  responder.send("SUB bench.rr 1\r\n");
  responder.ping();
  std::thread service([&] {
    std::string_view control, payload;
    while (!done.load(std::memory_order_relaxed)) {
      if (!responder.fill(50)) continue;
      while (responder.next(control, payload)) {
        // MSG subject sid reply size
        const size_t third = control.rfind(' ');
        const size_t second = control.rfind(' ', third - 1);
        std::string answer = "PUB ";
        answer += control.substr(second + 1, third - second - 1);
        answer += " " + std::to_string(payload.size()) + "\r\n";
        answer += payload;
        responder.send(answer + "\r\n");
      }
    }
  });
  Peer peer(options.port);
  peer.send("SUB bench.inbox 1\r\n");
  peer.ping();
  const std::string request = frame("bench.rr", "bench.inbox", options.size);
  Outcome outcome;
  outcome.before = server_use(options.pid);
  const double started = now_s();
  std::string_view control, payload;
  while (now_s() < started + options.seconds) {
    const double asked = now_s();
    peer.send(request);
    do {
      peer.take(control, payload);
    } while (!control.starts_with("MSG "));
    outcome.latencies_us.push_back((now_s() - asked) * 1e6);
    ++outcome.messages;
  }
  outcome.seconds = now_s() - started;
  done = true;
  service.join();
  return outcome;
}

}  // namespace sluice_bench
