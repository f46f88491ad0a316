// A long way between two ends of TCP: what comes in at one side goes out at the other after a delay, at most at a rate.
//
// Each accepted connection is a pair: one socket to whoever came, one to the target. What a socket reads waits in parts,
// each until it is due; what is due goes out in one write. A direction that holds its depth of bytes reads no more
// until some left, so TCP pushes back as on a full road; an end of file takes the same way as bytes.
// The way is as wide as memory is: TCP's own window never meets the delay, as both hops are local.
#include <uv.h>

#include <array>
#include <csignal>
#include <deque>

#include "load.h"

namespace sluice_bench {
namespace {

constexpr size_t kPart_bytes = 256 * 1024;  // what becomes due in the same millisecond is one part, up to this
constexpr unsigned kMostParts = 64;         // in one write

struct Road {
  uv_loop_t loop;
  sockaddr_in target;
  double delay_ms;
  double bytes_per_ms;  ///< 0 = no bound
  size_t depth_bytes;
  std::array<char, 64 * 1024> scratch;  ///< a read is copied out before the next one begins
};

struct Pair;

/// One way of a pair.
struct Direction {
  struct Part {
    double due_ms;
    std::vector<char> bytes;
  };
  Pair* pair = nullptr;
  uv_tcp_t* from = nullptr;
  uv_tcp_t* to = nullptr;
  uv_timer_t timer;
  uv_write_t write;
  uv_shutdown_t shutdown;
  std::deque<Part> parts;
  size_t held_bytes = 0;
  size_t writing = 0;      ///< parts at the head that a write under way holds
  double free_at_ms = 0;   ///< when the road has carried what it took
  double ended_due_ms = -1;  ///< of the end of file; -1 = not yet
  bool reading = false;
  bool finished = false;

  void start_reading();
  void take(const char* bytes, size_t size);
  void send();
};

struct Pair {
  Road& road;
  uv_tcp_t near, far;
  uv_connect_t connect;
  Direction there, back;
  int open_handles = 0;
  bool closing = false;

  explicit Pair(Road& of) : road(of) {
    for (uv_tcp_t* socket : {&near, &far}) {
      uv_tcp_init(&road.loop, socket);
      socket->data = this;
    }
    for (Direction* way : {&there, &back}) {
      way->pair = this;
      uv_timer_init(&road.loop, &way->timer);
      way->timer.data = way;
    }
    there.from = back.to = &near;
    there.to = back.from = &far;
    open_handles = 4;
  }

  void close() {
    if (std::exchange(closing, true)) return;
    const auto closed = [](uv_handle_t* handle) {
      Pair* pair = handle->type == UV_TIMER ? static_cast<Direction*>(handle->data)->pair : static_cast<Pair*>(handle->data);
      if (--pair->open_handles == 0) delete pair;
    };
    for (uv_tcp_t* socket : {&near, &far}) uv_close(reinterpret_cast<uv_handle_t*>(socket), closed);
    for (Direction* way : {&there, &back}) uv_close(reinterpret_cast<uv_handle_t*>(&way->timer), closed);
  }

  Direction& reading_from(const uv_stream_t* socket) { return socket == reinterpret_cast<uv_stream_t*>(&near) ? there : back; }
};

double now_ms() { return static_cast<double>(uv_hrtime()) / 1e6; }

void Direction::start_reading() {
  if (reading || pair->closing || ended_due_ms >= 0 || held_bytes >= pair->road.depth_bytes) return;
  reading = true;
  uv_read_start(
      reinterpret_cast<uv_stream_t*>(from),
      [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
        auto& scratch = static_cast<Pair*>(handle->data)->road.scratch;
        *buffer = uv_buf_init(scratch.data(), static_cast<unsigned>(scratch.size()));
      },
      [](uv_stream_t* socket, ssize_t size, const uv_buf_t* buffer) {
        Pair* of = static_cast<Pair*>(socket->data);
        Direction& way = of->reading_from(socket);
        if (size > 0) return way.take(buffer->base, static_cast<size_t>(size));
        if (size == 0) return;
        if (size != UV_EOF) return of->close();
        uv_read_stop(socket);
        way.reading = false;
        way.ended_due_ms = now_ms() + of->road.delay_ms;
        way.send();
      });
}

void Direction::take(const char* bytes, size_t size) {
  const Road& road = pair->road;
  const double now = now_ms();
  free_at_ms = std::max(free_at_ms, now) + (road.bytes_per_ms == 0 ? 0 : static_cast<double>(size) / road.bytes_per_ms);
  const double due = free_at_ms + road.delay_ms;
  const bool joins = parts.size() > writing && due - parts.back().due_ms < 1 && parts.back().bytes.size() + size <= kPart_bytes;
  if (!joins) parts.push_back({due, {}});
  parts.back().bytes.insert(parts.back().bytes.end(), bytes, bytes + size);
  held_bytes += size;
  if (held_bytes >= road.depth_bytes) {
    uv_read_stop(reinterpret_cast<uv_stream_t*>(from));
    reading = false;
  }
  if (writing == 0 && !uv_is_active(reinterpret_cast<uv_handle_t*>(&timer))) send();
}

/// Writes what is due; when nothing is, waits for it.
void Direction::send() {
  if (pair->closing || writing != 0 || finished) return;
  const double now = now_ms();
  std::array<uv_buf_t, kMostParts> buffers;
  while (writing < parts.size() && writing < kMostParts && parts[writing].due_ms <= now) {
    buffers[writing] = uv_buf_init(parts[writing].bytes.data(), static_cast<unsigned>(parts[writing].bytes.size()));
    ++writing;
  }
  if (writing != 0) {
    write.data = this;
    const int refused = uv_write(&write, reinterpret_cast<uv_stream_t*>(to), buffers.data(), static_cast<unsigned>(writing), [](uv_write_t* done, int status) {
      auto* way = static_cast<Direction*>(done->data);
      if (status != 0) return way->pair->close();
      for (; way->writing != 0; --way->writing) {
        way->held_bytes -= way->parts.front().bytes.size();
        way->parts.pop_front();
      }
      way->start_reading();
      way->send();
    });
    if (refused != 0) pair->close();
    return;
  }
  const double next = !parts.empty() ? parts.front().due_ms : ended_due_ms;
  if (next < 0) return;
  if (next > now) {
    uv_update_time(&pair->road.loop);
    uv_timer_start(&timer, [](uv_timer_t* fired) { static_cast<Direction*>(fired->data)->send(); },
                   static_cast<uint64_t>(std::max(next - now + 0.5, 1.0)), 0);
    return;
  }
  finished = true;
  if (pair->there.finished && pair->back.finished) return pair->close();
  uv_shutdown(&shutdown, reinterpret_cast<uv_stream_t*>(to), [](uv_shutdown_t*, int) {});
}

void on_connection(uv_stream_t* listener, int status) {
  if (status != 0) return;
  Road& road = *static_cast<Road*>(listener->data);
  auto* pair = new Pair(road);  // deletes itself once its handles are closed
  if (uv_accept(listener, reinterpret_cast<uv_stream_t*>(&pair->near)) != 0) return pair->close();
  pair->connect.data = pair;
  const int refused = uv_tcp_connect(&pair->connect, &pair->far, reinterpret_cast<const sockaddr*>(&road.target), [](uv_connect_t* connect, int failed) {
    auto* connected = static_cast<Pair*>(connect->data);
    if (connected->closing) return;
    if (failed != 0) return connected->close();
    uv_tcp_nodelay(&connected->near, 1);
    uv_tcp_nodelay(&connected->far, 1);
    connected->there.start_reading();
    connected->back.start_reading();
  });
  if (refused != 0) pair->close();
}

}  // namespace

void run_link(const Options& options) {
  std::signal(SIGPIPE, SIG_IGN);
  static Road road;
  road.delay_ms = options.delay_ms;
  road.bytes_per_ms = options.rate / 1000;
  road.depth_bytes = options.depth_mb * 1'000'000;
  uv_loop_init(&road.loop);
  uv_ip4_addr("127.0.0.1", options.port, &road.target);
  uv_tcp_t listener;
  uv_tcp_init(&road.loop, &listener);
  listener.data = &road;
  sockaddr_in here;
  uv_ip4_addr("127.0.0.1", 0, &here);
  if (uv_tcp_bind(&listener, reinterpret_cast<const sockaddr*>(&here), 0) != 0 ||
      uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 128, on_connection) != 0)
    die("cannot listen");
  int size = sizeof here;
  uv_tcp_getsockname(&listener, reinterpret_cast<sockaddr*>(&here), &size);
  std::printf("{\"listening\":%d}\n", ntohs(here.sin_port));
  std::fflush(stdout);
  uv_run(&road.loop, UV_RUN_DEFAULT);
}

}  // namespace sluice_bench
