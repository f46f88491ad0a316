// Streams on a simulated world: publishes over a fake bus, answers caught, durability by hand.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "../client/fake_bus.h"
#include "held_store.h"
#include "purge_now.h"
#include "sim/sim_env.h"
#include "stream/streams.h"
#include "subject/subject.h"

namespace sluice {

/// An observer that remembers what it was told and can be told what to say.
class RecordingObserver final : public StreamObserver {
 public:
  explicit RecordingObserver(std::string filter = ">") : filter_(std::move(filter)) {}
  void on_visible(StreamSeq last) override { visible.push_back(last.value()); }
  void on_removed(StreamSeq seq, std::string_view subject) override {
    removed.emplace_back(seq.value(), subject);
  }
  void on_purged_below(StreamSeq first) override { purged_below.push_back(first.value()); }
  bool needs(StreamSeq seq, std::string_view subject) const override {
    return selects(subject) && !acked.contains(seq.value());
  }
  bool selects(std::string_view subject) const override { return subject_matches(filter_, subject); }
  void on_stream_deleted() override { deleted = true; }

  std::vector<uint64_t> visible;
  std::vector<std::pair<uint64_t, std::string>> removed;
  std::vector<uint64_t> purged_below;
  std::set<uint64_t> acked;
  bool deleted = false;

 private:
  std::string filter_;
};

class StreamWorld : public testing::Test {
 protected:
  struct Caught {
    std::string headers;
    std::string payload;
  };

  StreamWorld() {
    options_.api_level = 5;
    inbox_ = bus_.subscribe("_INBOX.>", "", [this](const Message& m, const Origin&) {
      caught_.push_back({std::string(m.headers), std::string(m.payload)});
    });
  }
  ~StreamWorld() override {
    streams_.reset();
    sim_.run_until_idle();
  }

  Streams& streams() {
    if (!streams_) streams_ = Streams::make(sim_.env(), bus_, &store_, options_);
    return *streams_;
  }
  /// The process ends and starts again on the same store.
  void restart() {
    streams_.reset();
    sim_.run_until_idle();
    store_.forget_listeners();
    streams();
  }
  Stream& make(std::string json) {
    auto config = parse_stream_config(json);
    EXPECT_TRUE(config) << (config ? "" : config.error().detail);
    auto stream = streams().create(*config);
    EXPECT_TRUE(stream) << (stream ? 0 : stream.error().api_code);
    settle();
    return **stream;
  }
  void settle() {
    store_.release();
    sim_.run_until_idle();
    store_.release();
  }
  static std::string block(const std::vector<std::pair<std::string, std::string>>& headers) {
    if (headers.empty()) return {};
    std::string out = "NATS/1.0\r\n";
    for (const auto& [name, value] : headers) out += name + ": " + value + "\r\n";
    return out + "\r\n";
  }
  void publish(std::string_view subject, std::string_view payload = "x",
               const std::vector<std::pair<std::string, std::string>>& headers = {},
               std::string_view reply = "_INBOX.a") {
    const std::string h = block(headers);
    bus_.publish({.subject = subject, .reply = reply, .headers = h, .payload = payload});
  }
  /// Publishes, makes it durable, returns the one answer ("" when there was none).
  std::string ack(std::string_view subject, std::string_view payload = "x",
                  const std::vector<std::pair<std::string, std::string>>& headers = {}) {
    caught_.clear();
    publish(subject, payload, headers);
    settle();
    EXPECT_LE(caught_.size(), 1U);
    return caught_.empty() ? "" : caught_.back().payload;
  }
  /// err_code and description of an answer.
  static std::string error_of(const std::string& answer) {
    const auto code = answer.find("\"err_code\":");
    if (code == std::string::npos) return "no error: " + answer;
    const auto text = answer.find("\"description\":\"", code) + 15;
    return answer.substr(code + 11, 5) + " " + answer.substr(text, answer.find("\"}", text) - text);
  }
  static std::vector<uint64_t> seqs(Stream& stream) {
    std::vector<uint64_t> out;
    for (StreamSeq from(1);;) {
      auto m = stream.store().load_next(from, ">");
      if (!m) return out;
      out.push_back(m->seq.value());
      from = m->seq.next();
    }
  }

  sim::SimEnv sim_{1};
  FakeBus bus_;
  HeldStore store_;
  StreamsOptions options_;
  std::unique_ptr<BusSubscription> inbox_;
  std::vector<Caught> caught_;
  std::unique_ptr<Streams> streams_;
};

}  // namespace sluice
