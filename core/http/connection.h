// One peer of an HttpServer. Entry header of nobody: server.cc alone makes them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/request_parser.h"
#include "http/server.h"

namespace sluice {

/// Happy path: bytes → request → offered to the service → its answer, written when those before it
/// have been. Up to max_pipelined_count requests are with the service at a time.
///
/// Held back (reading is paused): the service takes no more, too many answers are outstanding, or the
/// peer does not take what was written. A request that is not taken within busy_timeout, or not
/// answered within answer_timeout, gets busy() and the connection ends: what was pipelined behind it is
/// then sent again by the peer, in order.
///
/// Each callback may end in HttpServer::drop(), which destroys it: nothing is touched after.
class HttpConnection final : public TransportHandler {
 public:
  HttpConnection(HttpServer& server, uint64_t id, std::unique_ptr<Transport> transport);
  ~HttpConnection() override;

  void start();
  /// Offers the request that was not taken. @return false when the service is still full.
  bool offer_again();

  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_closed(const Error&) override { server_.drop(id_); }

 private:
  enum class Phase : uint8_t {
    kReading,   ///< a request, or the rest of one
    kHeldBack,  ///< something must move before more is read
    kEnding,    ///< nothing more is read; what is outstanding goes out, then the connection ends
    kLingering, ///< the last answer is out, its request's body was not read: it is thrown away for a while
  };
  struct Slot {
    bool head = false;
    bool keep_alive = true;
    std::optional<HttpResponse> response{};
  };

  void consume(std::string_view bytes);
  bool read_head();
  void read_request();
  /// @return false when the service is full.
  bool offer();
  void hold_back(std::string_view rest);
  void go_on();
  bool has_room() const;
  void answer(uint64_t slot, HttpResponse response);
  void add_answer(HttpResponse response);
  /// Writes what can be written. @return false when the connection is gone.
  bool flush();
  void refuse(HttpResponse response, bool linger);
  void end(bool linger);
  void finish();
  void arm_timer();
  void on_timeout();
  void on_request_timeout();
  void release_memory();

  HttpServer& server_;
  uint64_t id_;
  std::unique_ptr<Transport> transport_;
  HttpRequestParser parser_;
  std::unique_ptr<Timer> request_timer_;  ///< from the first byte of a request to its last
  std::unique_ptr<Timer> timer_;          ///< everything else
  Phase phase_ = Phase::kReading;
  bool offering_ = false;
  bool lingers_ = false;
  size_t lingered_bytes_ = 0;
  size_t reserved_bytes_ = 0;              ///< of the server's body memory
  std::optional<HttpRequest> not_taken_;
  std::deque<Slot> slots_;                 ///< requests without their answer written
  uint64_t first_slot_ = 0;                ///< number of slots_.front()
  std::string held_;
  std::string out_;
  std::shared_ptr<HttpConnection*> self_;  ///< for answers that outlive us
};

}  // namespace sluice
