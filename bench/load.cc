// Load generator: raw sockets, pre-built frames, pipelined. Prints one JSON object for each run.
//
//   sluice-bench WORK --port P --pid PID [--size 128] [--seconds 3] [--window 4000] [--connections 1]
//
//   sluice-bench link --port P --delay-ms 50 [--rate BYTES_A_SECOND] [--depth-mb 256]    a long way to that port
//
// The server's CPU time, RSS and bytes written to the device are read from /proc/PID. Latencies are those of the
// generator: publish to PubAck, or request to the batch's last message.

#include <map>

#include "load.h"

namespace {

using namespace sluice_bench;

double percentile(std::vector<double>& values, double p) {
  if (values.empty()) return 0;
  size_t at = std::min(values.size() - 1, static_cast<size_t>(p * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

const std::map<std::string_view, Outcome (*)(const Options&)> kWorks = {
    {"core-pub", core_pub},       {"pub-sub", pub_sub},
    {"fan-out", fan_out},         {"request", request_reply},
    {"stream-pub", stream_pub},   {"stream-pub-sync", stream_pub_one_at_a_time},
    {"read", read_once},          {"fetch", fetch},
    {"ordered", ordered},         {"push-acks", push_acks},
    {"work-queue", work_queue},   {"consumers-1000", thousand_consumers},
    {"num-pending", num_pending}, {"kv-get", kv_get},
    {"kv-put", kv_put},           {"kv-put-one", kv_put_one_at_a_time},
    {"http-events", http_events},
};

Options parse(int argc, char** argv) {
  Options options;
  if (argc < 2 || std::string_view(argv[1]).starts_with("-")) {
    std::fprintf(stderr,
                 "usage: sluice-bench WORK --port P --pid PID [--size N] [--seconds S] [--window N] "
                 "[--connections N] [--streams N] [--subjects N] [--max-msgs N] [--messages N] [--backlog N]\n"
                 "works:");
    for (const auto& [name, work] : kWorks) std::fprintf(stderr, " %s", std::string(name).c_str());
    std::fprintf(stderr, "\n       sluice-bench link --port P --delay-ms MS [--rate BYTES_A_SECOND] [--depth-mb N]\n");
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
    else if (key == "--keep") options.keep = std::atoi(value) != 0;
    else if (key == "--backlog") options.backlog = static_cast<uint64_t>(std::atoll(value));
    else if (key == "--messages") options.messages = static_cast<uint64_t>(std::atoll(value));
    else if (key == "--delay-ms") options.delay_ms = std::atof(value);
    else if (key == "--rate") options.rate = std::atof(value);
    else if (key == "--depth-mb") options.depth_mb = std::max<size_t>(1, static_cast<size_t>(std::atol(value)));
    else die("unknown option " + std::string(key));
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sluice_bench;
  const Options options = parse(argc, argv);
  if (options.work == "link") return run_link(options), 0;
  const auto work = kWorks.find(options.work);
  if (work == kWorks.end()) die("unknown work '" + options.work + "'");
  Outcome outcome = work->second(options);
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
