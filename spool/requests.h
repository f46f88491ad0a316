// What the socket and the command line ask of a spool: one JSON object in, one JSON object out.
//
//   {"op":"submit","message":{…Choria's file…}}    → {"id":"…","duplicate":false}, once it is on disk
//   {"op":"list","box":"queue"|"quarantine","after":"…","limit":100} → {"entries":[…],"after":"…"}; no payloads
//   {"op":"show","id":"…"}                         → {"entry":{…},"message":{…}}
//   {"op":"replay","id":"…"}                       → {"id":"…"}
//   {"op":"drop","id":"…"}                         → {"id":"…"}: out of its lane into the quarantine, or, when it is
//                                                    there already, for good
//   {"op":"repair"}                                → {"moved":n}: what can't be sent as it is went to the quarantine
//   {"op":"status"}                                → lanes, quarantine, troubles, what recovery found
// A refusal is {"error":{"code":"full","text":"…"}}; codes are those of base/error.h. Missing keys of a message get
// Choria's defaults of its programming interface (priority 0, TTL a week, 500 tries), `id` and `created` are made.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "io/env.h"
#include "spool/queue.h"
#include "spool/sender.h"

namespace sluice {

class SpoolRequests {
 public:
  using Done = std::move_only_function<void(std::string)>;

  /// `sender` may be null: nobody sends here (a command works on a stopped spool). Both outlive it.
  SpoolRequests(Env& env, SpoolQueue& queue, const SpoolSender* sender, std::string identity, bool can_sign)
      : env_(env), queue_(queue), sender_(sender), identity_(std::move(identity)), can_sign_(can_sign) {}

  /// `done` runs once, now or later, with one line without its line end. Never throws.
  void handle(std::string_view request, Done done);

 private:
  struct Parsed;
  void submit(const Parsed& request, Done done);
  void list(const Parsed& request, Done done);
  void show(const Parsed& request, Done done);
  void replay(const Parsed& request, Done done);
  void drop(const Parsed& request, Done done);
  void status(Done done);

  Env& env_;
  SpoolQueue& queue_;
  const SpoolSender* sender_;
  const std::string identity_;
  const bool can_sign_;
};

}  // namespace sluice
