// A spool in the simulated world: queue, sender and the fake other end, which outlives crashes.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "client/stream_client.h"
#include "fake_gateway.h"
#include "sim/sim_env.h"
#include "spool/queue.h"
#include "spool/sender.h"

namespace sluice::test {

inline Submission make_submission(std::string id, WallNanos created, uint8_t priority = 1, bool reliable = true) {
  Submission s;
  s.id = std::move(id);
  s.subject = "demo.sensor";
  s.payload = "reading of " + s.id;
  s.priority = priority;
  s.reliable = reliable;
  s.created = created;
  s.sender = "user 0";
  s.identity = "n1.example.net";
  return s;
}

struct SpoolWorld {
  explicit SpoolWorld(uint64_t seed) : sim(seed), gateway(sim.env()) {
    queue_options.dir = "/spool";
    configure_logging({LogLevel::kOff, false, ""});
  }
  ~SpoolWorld() { stop(); }

  /// @return false when the disk refuses.
  bool open() {
    auto opened = SpoolQueue::open(sim.env(), queue_options);
    if (!opened) return false;
    queue = std::move(*opened);
    return true;
  }
  void start_sender() {
    client = StreamClient::make(sim.env(), gateway);
    sender = std::make_unique<SpoolSender>(sim.env(), *queue, gateway, *client, sender_options);
    sender->start();
  }
  void stop() {
    sender.reset();
    client.reset();
    queue.reset();
  }
  void crash(sim::Crash kind) {
    sim.crash(kind);
    stop();
    sim.drop_tasks();
    sim.disk().power_on();
  }
  /// Submits and runs until the answer is there (or the world is idle without one).
  std::optional<Result<SpoolQueue::Accepted>> submit(Submission s, bool held = false) {
    auto answer = std::make_shared<std::optional<Result<SpoolQueue::Accepted>>>();
    queue->submit(std::move(s), held, [answer](Result<SpoolQueue::Accepted> a) { *answer = std::move(a); });
    sim.run_until_idle();
    return *answer;
  }
  Submission fresh(std::string id, uint8_t priority = 1, bool reliable = true) {
    return make_submission(std::move(id), sim.clock().wall(), priority, reliable);
  }
  uint64_t waiting() {
    uint64_t all = 0;
    for (const auto& lane : queue->lanes()) all += lane.messages;
    return all;
  }

  sim::SimEnv sim;
  FakeGateway gateway;
  SpoolQueueOptions queue_options;
  SpoolSenderOptions sender_options;
  std::unique_ptr<SpoolQueue> queue;
  std::unique_ptr<StreamClient> client;
  std::unique_ptr<SpoolSender> sender;
};

}  // namespace sluice::test
