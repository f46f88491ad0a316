// Works of consumers: a batch at a time, pushed with acknowledgements, in order, very many at once, and what is pending.
#include "load.h"

namespace sluice_bench {

namespace {

/// `control` is "MSG subject sid reply size".
void append_ack(std::string& acks, std::string_view control) {
  const size_t third = control.rfind(' ');
  const size_t second = control.rfind(' ', third - 1);
  acks += "PUB ";
  acks += control.substr(second + 1, third - second - 1);
  acks += " 4\r\n+ACK\r\n";
}

}  // namespace

Outcome fetch(const Options& options) {
  Peer admin(options.port);
  make_stream(admin, "FETCH");
  uint64_t stored = fill_stream(options, "FETCH");
  ask(admin, "$JS.API.CONSUMER.DURABLE.CREATE.FETCH.c",
      R"({"stream_name":"FETCH","config":{"durable_name":"c","ack_policy":"explicit","deliver_policy":"all","max_ack_pending":20000}})");
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
      append_ack(acks, control);
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
    ask(admin, "$JS.API.CONSUMER.CREATE.ORDERED",
        R"({"stream_name":"ORDERED","config":{"ack_policy":"none","deliver_policy":"all","max_deliver":1,)"
        R"("mem_storage":true,"num_replicas":1,"flow_control":true,"idle_heartbeat":5000000000,)"
        R"("deliver_subject":"ordered.inbox"}})");
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

/// A durable push consumer whose every message is acknowledged.
Outcome push_acks(const Options& options) {
  Peer admin(options.port);
  make_stream(admin, "PUSH");
  const uint64_t stored = fill_stream(options, "PUSH");
  Peer peer(options.port);
  peer.send("SUB push.inbox 1\r\n");
  peer.ping();
  Outcome outcome;
  outcome.before = server_use(options.pid);
  const double started = now_s();
  ask(admin, "$JS.API.CONSUMER.DURABLE.CREATE.PUSH.c",
      R"({"stream_name":"PUSH","config":{"durable_name":"c","ack_policy":"explicit","deliver_policy":"all",)"
      R"("max_ack_pending":20000,"deliver_subject":"push.inbox"}})");
  std::string acks;
  std::string_view control, payload;
  while (outcome.messages < stored) {
    if (!peer.next(control, payload)) {
      peer.send(std::exchange(acks, {}));
      if (!peer.fill(20'000)) die("no message within 20 s");
      continue;
    }
    append_ack(acks, control);
    ++outcome.messages;
  }
  peer.send(acks);
  peer.ping();
  outcome.seconds = now_s() - started;
  return outcome;
}

/// A work queue: everything published is fetched in batches of 500 and acknowledged, which removes it. A message counted went
/// all the way. With --backlog the publisher does not run away from who fetches.
Outcome work_queue(const Options& options) {
  Peer admin(options.port);
  if (!options.keep) admin.request("$JS.API.STREAM.DELETE.QUEUE", "");
  ask(admin, "$JS.API.STREAM.CREATE.QUEUE",
      R"({"name":"QUEUE","subjects":["bench.QUEUE"],"storage":"file","retention":"workqueue","num_replicas":1})");
  ask(admin, "$JS.API.CONSUMER.DURABLE.CREATE.QUEUE.c",
      R"({"stream_name":"QUEUE","config":{"durable_name":"c","ack_policy":"explicit","max_ack_pending":20000}})");
  const uint64_t most = options.messages > 0 ? options.messages : 500'000;
  const ServerUse before = server_use(options.pid);
  const double started = now_s();
  std::atomic<uint64_t> fetched{0};
  std::thread worker([&] {
    Peer peer(options.port);
    peer.send("SUB queue.inbox 1\r\n");
    peer.ping();
    const std::string body = R"({"batch":500,"expires":5000000000})";
    const std::string pull =
        "PUB $JS.API.CONSUMER.MSG.NEXT.QUEUE.c queue.inbox " + std::to_string(body.size()) + "\r\n" + body + "\r\n";
    std::string acks;
    std::string_view control, payload;
    uint64_t asked = 0;
    for (uint64_t got = 0; got < most;) {
      if (asked <= got + 500) {
        acks += pull;
        asked += 500;
      }
      if (!peer.next(control, payload)) {
        peer.send(std::exchange(acks, {}));
        if (!peer.fill(20'000)) die("no message within 20 s");
        continue;
      }
      if (control.starts_with("HMSG ")) {  // a pull that expired
        asked = got;
        continue;
      }
      append_ack(acks, control);
      fetched.store(++got, std::memory_order_relaxed);
    }
    peer.send(acks);
    peer.ping();
  });
  std::function<uint64_t()> allowed;
  if (options.backlog > 0) allowed = [&] { return fetched.load(std::memory_order_relaxed) + options.backlog; };
  Outcome outcome = publish(options, options.window, 0, most, [](uint64_t, std::string& out) { out += "bench.QUEUE"; }, allowed);
  worker.join();
  outcome.before = before;
  outcome.seconds = now_s() - started;
  return outcome;
}

/// 1,000 push consumers of one stream, each with a subject of its own. A message counted was stored and delivered.
Outcome thousand_consumers(const Options& options) {
  constexpr uint64_t kConsumers = 1000;
  Peer admin(options.port);
  make_stream(admin, "MANY");
  Peer peer(options.port);
  // nats-server sees an ephemeral consumer's interest only in a subscription to the very subject.
  for (uint64_t i = 0; i < kConsumers; ++i) peer.send("SUB many." + std::to_string(i) + " " + std::to_string(i + 1) + "\r\n");
  peer.ping();
  for (uint64_t i = 0; i < kConsumers; ++i) {
    const std::string id = std::to_string(i);
    ask(admin, "$JS.API.CONSUMER.CREATE.MANY.c" + id + ".bench.MANY." + id,
        R"({"stream_name":"MANY","config":{"name":"c)" + id + R"(","filter_subject":"bench.MANY.)" + id +
            R"(","ack_policy":"none","deliver_policy":"all","deliver_subject":"many.)" + id + R"("}})");
  }
  std::atomic<uint64_t> received{0};
  std::atomic<bool> done{false};
  std::thread reader([&] {
    std::string_view control, payload;
    while (!done.load(std::memory_order_relaxed)) {
      if (!peer.fill(50)) continue;
      uint64_t count = 0;
      while (peer.next(control, payload)) ++count;
      received += count;
    }
  });
  const double started = now_s();
  // A count, not a time: a server whose deliveries fall far behind its acks would be left with all of them.
  const uint64_t most = options.messages > 0 ? options.messages : 100'000;
  Outcome outcome = publish(options, options.window, 0, most, [&](uint64_t n, std::string& out) {
    out += "bench.MANY.";
    append_number(out, n % kConsumers);
  });
  const double give_up = now_s() + 120;
  while (received < outcome.messages && now_s() < give_up) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  outcome.seconds = now_s() - started;
  done = true;
  reader.join();
  if (received != outcome.messages) die("deliveries were lost: " + std::to_string(outcome.messages - received));
  return outcome;
}

/// 1,000,000 subjects of one message; a consumer with a wildcard that 1,000 of them match is created, which answers with what is
/// pending, and deleted. A message counted is one such consumer.
Outcome num_pending(const Options& options) {
  constexpr uint64_t kSide = 1000;
  Peer admin(options.port);
  make_stream(admin, "PENDING");
  publish(options, 4000, 0, kSide * kSide, [&](uint64_t n, std::string& out) {
    out += "bench.PENDING.";
    append_number(out, n / kSide);
    out += '.';
    append_number(out, n % kSide);
  });
  // Several ask at once: of one alone most of the time is that of two idle cores waking each other.
  std::vector<std::unique_ptr<Peer>> askers;
  for (size_t i = 0; i < 4; ++i) askers.push_back(std::make_unique<Peer>(options.port));
  Outcome outcome;
  outcome.before = server_use(options.pid);
  const double started = now_s();
  while (now_s() < started + options.seconds) {
    const double asked = now_s();
    for (size_t i = 0; i < askers.size(); ++i) {
      const uint64_t n = outcome.messages + i;
      const std::string id = std::to_string(n % kSide);
      const std::string filter = "bench.PENDING." + (n % 2 == 0 ? id + ".*" : "*." + id);
      const std::string name = "c" + std::to_string(i);
      askers[i]->start_request("$JS.API.CONSUMER.CREATE.PENDING." + name + "." + filter,
                               R"({"stream_name":"PENDING","config":{"name":")" + name + R"(","filter_subject":")" + filter +
                                   R"(","ack_policy":"explicit","deliver_policy":"all","mem_storage":true}})");
    }
    for (const auto& asker : askers) {
      const std::string made = asker->answer();
      outcome.latencies_us.push_back((now_s() - asked) * 1e6);
      if (made.find("\"num_pending\":1000,") == made.npos && made.find("\"num_pending\":1000}") == made.npos)
        die("not 1,000 pending: " + made);
    }
    for (size_t i = 0; i < askers.size(); ++i) askers[i]->start_request("$JS.API.CONSUMER.DELETE.PENDING.c" + std::to_string(i), "");
    for (const auto& asker : askers) {
      if (const std::string gone = asker->answer(); gone.find("\"error\"") != gone.npos) die("delete: " + gone);
    }
    outcome.messages += askers.size();
  }
  outcome.seconds = now_s() - started;
  return outcome;
}

}  // namespace sluice_bench
