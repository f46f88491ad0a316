// Works of a key-value bucket, as the clients' libraries ask for it.
#include "load.h"

namespace sluice_bench {

namespace {

constexpr uint64_t kKeys = 100'000;
constexpr size_t kPutsUnderWay = 16;
constexpr size_t kGetsUnderWay = 256;

void make_bucket(Peer& admin) {
  admin.request("$JS.API.STREAM.DELETE.KV_bench", "");
  ask(admin, "$JS.API.STREAM.CREATE.KV_bench",
      R"({"name":"KV_bench","subjects":["$KV.bench.>"],"storage":"file","retention":"limits","num_replicas":1,)"
      R"("max_msgs_per_subject":1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"discard":"new","deny_delete":true,)"
      R"("allow_rollup_hdrs":true,"allow_direct":true})");
}

void append_key(uint64_t n, std::string& out) {
  out += "$KV.bench.key-";
  // Neighbours are not asked for one after another: 7919 is prime.
  append_number(out, n * 7919 % kKeys);
}

Outcome put(const Options& options, size_t window) {
  Peer admin(options.port);
  make_bucket(admin);
  return publish(options, window, options.seconds, 0, append_key);
}

}  // namespace

Outcome kv_put(const Options& options) { return put(options, kPutsUnderWay); }

Outcome kv_put_one_at_a_time(const Options& options) { return put(options, 1); }

/// The last message of a key by direct get, 256 requests under way.
Outcome kv_get(const Options& options) {
  Peer admin(options.port);
  make_bucket(admin);
  publish(options, 4000, 0, kKeys, append_key);
  Peer peer(options.port);
  peer.send("SUB got.* 1\r\n");
  peer.ping();
  Outcome outcome;
  outcome.before = server_use(options.pid);
  const double started = now_s();
  const double end = started + options.seconds;
  std::vector<double> asked(kGetsUnderWay);
  uint64_t sent = 0;
  std::string out;
  std::string_view control, payload;
  while (true) {
    const double now = now_s();
    for (; sent - outcome.messages < kGetsUnderWay && now < end; ++sent) {
      out += "PUB $JS.API.DIRECT.GET.KV_bench.";
      append_key(sent, out);
      out += " got.";
      append_number(out, sent);
      out += " 0\r\n\r\n";
      asked[sent % kGetsUnderWay] = now;
    }
    peer.send(std::exchange(out, {}));
    if (sent == outcome.messages) break;
    if (!peer.fill(20'000)) die("no value within 20 s");
    while (peer.next(control, payload)) {
      if (!control.starts_with("HMSG got.") || payload.size() < options.size) die("no value: " + std::string(payload));
      outcome.latencies_us.push_back((now_s() - asked[outcome.messages++ % kGetsUnderWay]) * 1e6);
    }
  }
  outcome.seconds = now_s() - started;
  return outcome;
}

}  // namespace sluice_bench
