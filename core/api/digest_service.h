// Answers `$SLUICE.API.STREAM.DIGEST.<stream>`: digests of ranges of what a stream holds, for `sluice verify`.
//
// Happy path: a request is a Job; the loop copies a slice of messages out of the store, a worker hashes it, and so on until
// the range is done or the job has had its share; then the answer says where to go on. Nothing is kept between requests:
// a proof reads what is stored now. Failures: too many at once (10167), the stream goes meanwhile (10059), the disk refuses (10077).
// Loop thread only, but for the hashing.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "bus/bus.h"
#include "io/env.h"
#include "proof/digest_fold.h"
#include "stream/streams.h"

namespace sluice {

class DigestService {
 public:
  static constexpr size_t kMaxUnderWay = 8;
  static constexpr size_t kSlice_count = 512;
  static constexpr size_t kSlice_bytes = 1024 * 1024;
  /// One request's share.
  static constexpr uint64_t kShare_count = 131'072;
  static constexpr uint64_t kShare_bytes = 128 * 1024 * 1024;
  static constexpr std::chrono::seconds kShareTime{1};

  /// Subscribes at once; what is referred to outlives it.
  DigestService(Env& env, Bus& bus, Streams& streams, const std::string& domain);
  ~DigestService();
  DigestService(const DigestService&) = delete;
  DigestService& operator=(const DigestService&) = delete;

  void collect(MetricSink& sink) const;

 private:
  struct Job;
  void on_request(const Message& message, size_t prefix_size);
  void begin(std::string_view stream, const DigestRequest& request, std::string_view reply);
  void go_on(const std::shared_ptr<Job>& job);
  void read_slice(Job& job, Stream& stream);
  void on_hashed(const std::shared_ptr<Job>& job);
  Stream* stream_of(const Job& job);
  void finish(const std::shared_ptr<Job>& job);
  void fail_job(const std::shared_ptr<Job>& job, uint16_t api_code, std::string words);
  void refuse(std::string_view reply, uint16_t api_code, std::string_view words);

  Env& env_;
  Bus& bus_;
  Streams& streams_;
  std::list<std::shared_ptr<Job>> jobs_;
  uint64_t requests_ = 0;
  uint64_t refused_ = 0;
  uint64_t messages_ = 0;
  std::unique_ptr<DiskWorker> worker_;  ///< made when first needed
  std::vector<std::unique_ptr<BusSubscription>> subscriptions_;
};

}  // namespace sluice
