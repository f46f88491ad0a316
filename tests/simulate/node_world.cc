#include "simulate/node_world.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iterator>
#include <utility>

namespace sluice::simulate {

using namespace std::chrono_literals;
using sim::Crash;

namespace {
constexpr uint16_t kPort = 4222;
constexpr const char* kServer = "server";
constexpr auto kResend = 2s;

std::chrono::nanoseconds micros(uint64_t count) {
  return std::chrono::microseconds(static_cast<int64_t>(count));
}

/// The number behind `"name":` in a JSON text of ours; enough for PubAcks.
std::optional<uint64_t> json_number(std::string_view json, std::string_view name) {
  const std::string key = fmt::format("\"{}\":", name);
  const size_t at = json.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = json.substr(at + key.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

bool is_status(const WireMessage& message) {
  return message.headers.starts_with("NATS/1.0 ");
}

/// $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.…
std::optional<uint64_t> stream_seq_of(std::string_view ack_subject) {
  for (int skip = 0; skip < 5; ++skip) {
    const size_t dot = ack_subject.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    ack_subject.remove_prefix(dot + 1);
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(ack_subject.data(), ack_subject.data() + ack_subject.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}
}  // namespace

struct NodeWorld::Publisher {
  struct Sent {
    std::string payload;
    MonoTime at{};
  };
  std::string name;
  std::unique_ptr<WireClient> client;
  uint64_t next = 1;
  std::map<uint64_t, Sent> outstanding;
  std::map<uint64_t, uint64_t> seq_of;
  MonoTime connect_at{};
};

struct NodeWorld::Reader {
  std::string name;
  std::unique_ptr<WireClient> client;
  MonoTime connect_at{};
  MonoTime pull_again{};
  std::string subscribed;  ///< name of the client that has its inbox
};

NodeWorld::NodeWorld(uint64_t seed, Tally& tally, bool trace, bool lying_disk, StartEngine start)
    : seed_(seed), tally_(tally), trace_(trace), start_(std::move(start)), sim_(seed),
      random_(sim_.random()), server_env_(sim_.env_at(kServer)) {
  sim_.disk().set_lying_sync(lying_disk);
  sim_.disk_workers().set_latency(micros(random_.below(50)), micros(random_.between(50, 2000)));
  sim_.net().options().latency_low = micros(random_.below(100));
  sim_.net().options().latency_high = micros(random_.between(100, 5000));
  sim_.net().options().reset_on_close_percent = 30;
  for (uint64_t i = random_.between(1, 3); i > 0; --i) {
    publishers_.push_back(std::make_unique<Publisher>());
    publishers_.back()->name = fmt::format("pub{}", i);
  }
  for (uint64_t i = random_.between(1, 2); i > 0; --i) {
    readers_.push_back(std::make_unique<Reader>());
    readers_.back()->name = fmt::format("reader{}", i);
  }
}

NodeWorld::~NodeWorld() {
  engine_.reset();
  sim_.drop_tasks();
}

void NodeWorld::violated(const std::string& what) const {
  throw Violation(fmt::format("node world seed {} life {}: {}", seed_, life_, what));
}

void NodeWorld::note(const std::string& what) {
  if (!trace_) return;
  fmt::print("node world seed {} life {} t={}us: {}\n", seed_, life_, sim_.clock().now().count() / 1000, what);
  std::fflush(stdout);
}

void NodeWorld::run() {
  ++tally_.worlds;
  const uint64_t lives = random_.between(3, 12);
  for (life_ = 1; life_ <= lives; ++life_) live(life_ == lives);
}

bool NodeWorld::start() {
  ++tally_.lives;
  if (random_.chance(25)) sim_.disk().crash_after_ops(random_.between(1, 60), Crash::kPower);
  auto started = start_(server_env_, seed_);
  if (started && sim_.disk().powered()) {
    sim_.disk().crash_after_ops(0);
    engine_ = *std::move(started);
    return true;
  }
  if (sim_.disk().powered()) violated("does not start: " + started.error().detail);
  note("power cut while starting");
  ++tally_.power_cuts;
  ++tally_.cuts_inside;
  ++tally_.cuts_recovering;
  if (started) started->reset();
  sim_.drop_tasks();
  sim_.disk().power_on();
  return false;
}

void NodeWorld::live(bool last) {
  while (!start()) {
  }
  note("started");
  const uint64_t draw = last ? 100 : random_.below(100);
  const bool armed = draw < 60;
  const Crash kind = draw < 45 || (draw >= 60 && draw < 80) ? Crash::kPower : Crash::kKill;
  if (armed) sim_.disk().crash_after_ops(random_.between(1, 300), kind);
  const MonoTime until = sim_.clock().now() + micros(random_.between(1'000, 8'000'000));
  while (sim_.disk().powered() && (armed ? sim_.clock().now() < until + 20s : sim_.clock().now() < until)) {
    keep_clients_going();
    if (random_.chance(2)) disturb_network();
    sim_.run_until([this] { return !sim_.disk().powered() || broken_.has_value(); },
                   micros(random_.between(1, 20'000)));
    if (broken_) violated(*broken_);
    if (const auto why = engine_->failure(); why && sim_.disk().powered()) violated("failed by itself: " + *why);
  }
  if (last) return wait_for_everything();
  if (draw >= 90) return stop(true);
  if (sim_.disk().powered()) sim_.disk().crash(kind);
  ++(kind == Crash::kPower ? tally_.power_cuts : tally_.kills);
  if (armed && kind == Crash::kPower) ++tally_.cuts_inside;
  note(kind == Crash::kPower ? "power cut" : "kill");
  stop(false);
}

void NodeWorld::stop(bool orderly) {
  if (orderly) {
    note("orderly stop");
    bool stopped = false;
    engine_->stop([&] { stopped = true; });
    if (!sim_.run_until([&] { return stopped; }, 120s)) violated("stop never answers");
    ++tally_.closes;
  }
  engine_.reset();
  sim_.drop_tasks();
  sim_.disk().crash_after_ops(0);
  sim_.disk().power_on();
  sim_.run_for(micros(random_.below(2'000'000)));  // clients see the end, some later than others
}

/// Who lost its connection makes a new one after a while; who has one goes on.
void NodeWorld::keep_clients_going() {
  const MonoTime now = sim_.clock().now();
  const auto connect = [&](auto& who) {
    if (who.client && !who.client->closed()) return who.client->connected();
    if (now < who.connect_at) return false;
    who.connect_at = now + micros(random_.between(1000, 500'000));
    who.client = std::make_unique<WireClient>(sim_, fmt::format("{}c{}", who.name, ++client_names_), kServer, kPort);
    return false;
  };
  if (!stream_made_ || !consumer_made_) {
    if (!admin_ || admin_->closed()) {
      admin_ = std::make_unique<WireClient>(sim_, fmt::format("admin{}", ++client_names_), kServer, kPort);
    } else if (admin_->connected() && random_.chance(20)) {
      set_up(*admin_);
    }
  }
  for (auto& publisher : publishers_) {
    if (connect(*publisher)) publish_some(*publisher);
  }
  for (auto& reader : readers_) {
    if (connect(*reader) && consumer_made_ && now >= reader->pull_again) pull(*reader);
  }
}

void NodeWorld::set_up(WireClient& client) {
  const auto answered = [this](bool& flag, const WireMessage& message, const char* what) {
    note(fmt::format("{} answered: {}{}", what, message.headers, message.payload));
    if (is_status(message)) return;  // no responders yet
    if (message.payload.find("\"error\"") != std::string::npos) {
      broken_ = fmt::format("{}: {}", what, message.payload);
      return;
    }
    flag = true;
  };
  if (!stream_made_) {
    client.request("$JS.API.STREAM.CREATE.ORDERS",
                   "{\"name\":\"ORDERS\",\"subjects\":[\"orders.>\"],\"retention\":\"limits\",\"storage\":\"file\","
                   "\"num_replicas\":1}",
                   [this, answered](const WireMessage& message) { answered(stream_made_, message, "stream create"); });
    return;
  }
  client.request("$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.C",
                 "{\"stream_name\":\"ORDERS\",\"config\":{\"durable_name\":\"C\",\"deliver_policy\":\"all\","
                 "\"ack_policy\":\"explicit\",\"ack_wait\":1000000000,\"max_ack_pending\":200}}",
                 [this, answered](const WireMessage& message) { answered(consumer_made_, message, "consumer create"); });
}

void NodeWorld::publish_some(Publisher& publisher) {
  const MonoTime now = sim_.clock().now();
  const auto send = [&](uint64_t number, const std::string& payload) {
    publisher.client->request(
        fmt::format("orders.{}", publisher.name), payload,
        [this, &publisher, number](const WireMessage& message) {
          if (!is_status(message)) got_ack(publisher, number, message.payload);
        },
        fmt::format("{}-{}", publisher.name, number));
    ++tally_.publishes;
  };
  for (auto& [number, sent] : publisher.outstanding) {
    if (now - sent.at < kResend) continue;
    sent.at = now;
    send(number, sent.payload);
  }
  for (uint64_t count = draining_ ? 0 : random_.below(6); count > 0 && publisher.outstanding.size() < 40; --count) {
    const uint64_t number = publisher.next++;
    const std::string payload =
        fmt::format("{} {} {}", publisher.name, number, std::string(random_.below(random_.chance(5) ? 9000 : 200), 'x'));
    publisher.outstanding[number] = {payload, now};
    send(number, payload);
  }
}

void NodeWorld::given_out(uint64_t seq, const std::string& payload, const char* how) {
  const auto [place, fresh] = given_.emplace(seq, payload);
  if (!fresh && place->second != payload)
    broken_ = fmt::format("sequence {} given out twice: was \"{}\", now {} \"{}\"", seq,
                          place->second.substr(0, 20), how, payload.substr(0, 20));
}

void NodeWorld::got_ack(Publisher& publisher, uint64_t number, const std::string& json) {
  if (!sim_.disk().powered()) return;  // the rest of the round in which the power went
  const auto seq = json_number(json, "seq");
  if (!seq || *seq == 0 || json.find("\"error\"") != std::string::npos) {
    broken_ = "publish answered with " + json;
    return;
  }
  const auto [place, fresh] = publisher.seq_of.emplace(number, *seq);
  if (!fresh && place->second != *seq)
    broken_ = fmt::format("{} {} acknowledged as {} and as {}", publisher.name, number, place->second, *seq);
  const auto sent = publisher.outstanding.find(number);
  if (sent == publisher.outstanding.end()) return;
  given_out(*seq, sent->second.payload, "acknowledged for");
  acked_.insert(*seq);
  ++tally_.acked;
  publisher.outstanding.erase(sent);
}

/// Messages of a pull keep their own subject: they are told from others by the subscription.
void NodeWorld::pull(Reader& reader) {
  const std::string inbox = "_PULL." + reader.client->name();
  if (std::exchange(reader.subscribed, reader.client->name()) != reader.client->name()) {
    reader.client->subscribe(inbox, [this, &reader](const WireMessage& message) {
      if (is_status(message)) {
        reader.pull_again = std::min(reader.pull_again, sim_.clock().now() + 50ms);
      } else {
        got_message(reader, message);
      }
    });
  }
  reader.pull_again = sim_.clock().now() + 1s;
  reader.client->publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.C", inbox,
                         fmt::format("{{\"batch\":{},\"expires\":900000000}}", random_.between(1, 200)));
}

void NodeWorld::got_message(Reader& reader, const WireMessage& message) {
  if (!sim_.disk().powered()) return;
  const auto seq = stream_seq_of(message.reply);
  if (!seq) {
    broken_ = "delivered with reply subject " + message.reply;
    return;
  }
  ++tally_.deliveries;
  given_out(*seq, message.payload, "delivered with");
  // A redelivery that was on its way when the ack came is no fault.
  const auto confirmed = confirmed_.find(*seq);
  if (confirmed != confirmed_.end() &&
      (confirmed->second.life != life_ || sim_.clock().now() - confirmed->second.at > 2s))
    broken_ = fmt::format("sequence {} delivered after its ack was confirmed", *seq);
  delivered_.insert(*seq);
  const uint64_t draw = random_.below(100);
  if (draw < 70 || draining_) {
    reader.client->request(message.reply, "+ACK", [this, number = *seq](const WireMessage& reply) {
      if (!is_status(reply) && sim_.disk().powered())
        confirmed_.emplace(number, Confirmed{sim_.clock().now(), life_});
    });
  } else if (draw < 85) {
    reader.client->publish(message.reply, "", "+ACK");
  } else if (draw < 90) {
    reader.client->publish(message.reply, "", "-NAK");
  }
}

void NodeWorld::disturb_network() {
  const uint64_t place = random_.below(publishers_.size() + readers_.size());
  const std::unique_ptr<WireClient>& client =
      place < publishers_.size() ? publishers_[place]->client : readers_[place - publishers_.size()]->client;
  if (!client) return;
  if (random_.chance(50)) {
    sim_.net().reset(client->name(), kServer);
  } else {
    sim_.net().cut(client->name(), kServer);
    sim_.run_until([this] { return !sim_.disk().powered(); }, micros(random_.between(1, 300'000)));
    sim_.net().heal(client->name(), kServer);
  }
}

/// No more crashes: every publish is acknowledged in the end, every acknowledged message delivered.
void NodeWorld::wait_for_everything() {
  draining_ = true;
  const auto all_there = [&] {
    return std::includes(delivered_.begin(), delivered_.end(), acked_.begin(), acked_.end()) &&
           std::all_of(publishers_.begin(), publishers_.end(), [](const auto& p) { return p->outstanding.empty(); });
  };
  const MonoTime until = sim_.clock().now() + 300s;
  while (!all_there() && sim_.clock().now() < until) {
    keep_clients_going();
    sim_.run_until([this] { return broken_.has_value(); }, 20ms);
    if (broken_) violated(*broken_);
  }
  if (!all_there()) {
    std::vector<uint64_t> lost;
    std::set_difference(acked_.begin(), acked_.end(), delivered_.begin(), delivered_.end(), std::back_inserter(lost));
    size_t waiting = 0;
    for (const auto& publisher : publishers_) waiting += publisher->outstanding.size();
    violated(fmt::format("{} of {} acknowledged messages never delivered (first {}), {} publishes never acknowledged",
                         lost.size(), acked_.size(), lost.empty() ? 0 : lost.front(), waiting));
  }
  note(fmt::format("{} acked, {} delivered, {} confirmed", acked_.size(), delivered_.size(), confirmed_.size()));
  stop(true);
}

}  // namespace sluice::simulate
