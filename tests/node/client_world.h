// A whole engine, and a client of our own on its bus.
#pragma once

#include "node_world.h"

namespace sluice::test {

class ClientWorld : public testing::Test {
 protected:
  void SetUp() override {
    w_.start();
    connect();
  }
  void TearDown() override { disconnect(); }
  void connect() {
    link_ = make_bus_link(w_.sim.env(), w_.node->bus());
    client_ = StreamClient::make(w_.sim.env(), *link_);
  }
  virtual void disconnect() {
    client_.reset();
    link_.reset();
  }
  /// Runs the world until `start`'s callback has its result.
  template <class T, class Start>
  Result<T> wait(Start start) {
    std::optional<Result<T>> got;
    Ticket call = start([&](Result<T> result) { got = std::move(result); });
    EXPECT_TRUE(w_.sim.run_until([&] { return got.has_value(); }, 60s));
    return got ? std::move(*got) : Result<T>(fail(Errc::kTimeout, "no answer"));
  }

  NodeWorld w_;
  std::unique_ptr<NatsLink> link_;
  std::unique_ptr<StreamClient> client_;
};

}  // namespace sluice::test
