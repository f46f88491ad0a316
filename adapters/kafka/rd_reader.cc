// KafkaReader on librdkafka's consumer: fetched by its threads into one queue, which writes to an eventfd when
// it is no longer empty.
#include <librdkafka/rdkafka.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "adapters/kafka/kafka_port.h"
#include "adapters/kafka/rd_client.h"
#include "adapters/kafka/waiting_thread.h"
#include "base/check.h"
#include "base/log.h"

namespace sluice {
namespace {

constexpr Logger kLog{"kafka"};
constexpr int kAsk_ms = 4000;  ///< for one question to a broker
constexpr int kWake_ms = 500;
constexpr size_t kAtOnce_count = 256;
constexpr size_t kWakeFrom_count = 2000;  ///< fewer were no full queue
constexpr size_t kWakeAtOnce_count = 16;  ///< partitions asked about

/// The library's objects. Whoever lets go last ends them, and waits for that: never the loop.
struct Client {
  rd_kafka_t* handle = nullptr;
  rd_kafka_queue_t* queue = nullptr;
  int fd = -1;
  Client() = default;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    if (queue != nullptr) {
      rd_kafka_queue_io_event_enable(queue, -1, nullptr, 0);
      rd_kafka_queue_destroy(queue);
    }
    if (handle != nullptr) rd_kafka_destroy(handle);
    if (fd >= 0) ::close(fd);
  }
};

struct ListGone {
  void operator()(rd_kafka_topic_partition_list_t* list) const { rd_kafka_topic_partition_list_destroy(list); }
};
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, ListGone>;

/// Adds the partitions of one topic with their bounds. Waits.
Status look_at(rd_kafka_t* client, const std::string& topic, KafkaReader::Bounds& out) {
  rd_kafka_topic_t* handle = rd_kafka_topic_new(client, topic.c_str(), nullptr);
  if (handle == nullptr) return fail(Errc::kInvalidArgument, "'" + topic + "' is no topic");
  const rd_kafka_metadata_t* found = nullptr;
  const rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, handle, &found, kAsk_ms);
  rd_kafka_topic_destroy(handle);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(Errc::kTimeout, rd_kafka_err2str(error));
  Status done;
  for (int i = 0; done && i < found->topic_cnt; ++i) {
    const rd_kafka_metadata_topic_t& one = found->topics[i];
    if (one.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) continue;
    if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR && one.err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
      done = fail(Errc::kRefused, "topic '" + topic + "': " + rd_kafka_err2str(one.err));
      break;
    }
    for (int j = 0; j < one.partition_cnt; ++j) {
      const int32_t number = one.partitions[j].id;
      KafkaBounds bounds;
      const auto asked = rd_kafka_query_watermark_offsets(client, topic.c_str(), number, &bounds.first, &bounds.end, kAsk_ms);
      if (asked == RD_KAFKA_RESP_ERR_NO_ERROR) {
        out[{topic, number}] = bounds;
      } else {
        done = fail(Errc::kTimeout, "topic '" + topic + "': " + rd_kafka_err2str(asked));
        break;
      }
    }
  }
  rd_kafka_metadata_destroy(found);
  return done;
}

class RdReader final : public KafkaReader {
 public:
  RdReader(Env& env, std::shared_ptr<Client> client)
      : env_(env), client_(std::move(client)), thread_(std::make_unique<WaitingThread>(env)) {
    watch_ = env.poller.watch(client_->fd, [this](bool, bool) { on_event(); });
    watch_->want(true, false);
  }
  RdReader(const RdReader&) = delete;
  RdReader& operator=(const RdReader&) = delete;
  ~RdReader() override { end([] {}); }

  /// Errors come while read() runs, on the loop.
  static void on_error(rd_kafka_t*, int code, const char* reason, void* self) noexcept {
    // Without a reader it is the last thread, which ends the client.
    if (RdReader* reader = static_cast<Opaque*>(self)->reader) reader->note(static_cast<rd_kafka_resp_err_t>(code), reason);
  }
  /// What librdkafka holds of us; outlives both.
  struct Opaque {
    RdReader* reader = nullptr;
  };
  void adopt(std::shared_ptr<Opaque> opaque) {
    opaque_ = std::move(opaque);
    opaque_->reader = this;
  }

  void look(const std::vector<std::string>& topics, std::move_only_function<void(Result<Bounds>)> done) override {
    SLUICE_CHECK(!look_done_);
    look_done_ = std::move(done);
    thread_->run([this, client = client_, topics]() -> std::move_only_function<void()> {
      auto found = std::make_shared<Result<Bounds>>(Bounds{});
      for (const std::string& topic : topics) {
        if (Status seen = look_at(client->handle, topic, **found); !seen) {
          *found = std::unexpected(seen.error());
          break;
        }
      }
      return [this, found] {
        trouble_ = *found ? "" : found->error().detail;
        if (!*found) hear();
        auto told = std::exchange(look_done_, nullptr);
        if (told) told(std::move(*found));
      };
    });
  }

  void assign(const std::map<KafkaPartition, int64_t>& from) override {
    const uint64_t turn = ++assignment_;
    read_from_.clear();
    for (const auto& [partition, offset] : from) read_from_.push_back(partition);
    thread_->run([this, client = client_, from, turn]() -> std::move_only_function<void()> {
      PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(from.size())));
      for (const auto& [partition, offset] : from)
        rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.number)->offset = offset;
      const rd_kafka_resp_err_t error = rd_kafka_assign(client->handle, list.get());
      return [this, error, turn] {
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
          trouble_ = rd_kafka_err2str(error);
          if (changed_) changed_();
          return;
        }
        assigned_ = std::max(assigned_, turn);
        if (readable_) readable_();
      };
    });
  }

  size_t read(size_t max_count, const std::function<void(const KafkaRecord&)>& visit) override {
    if (assigned_ != assignment_ || !client_) return 0;
    std::array<rd_kafka_message_t*, kAtOnce_count> messages;
    const ssize_t got = rd_kafka_consume_batch_queue(client_->queue, 0, messages.data(), std::min(max_count, messages.size()));
    size_t records = 0;
    for (ssize_t i = 0; i < got; ++i) {
      rd_kafka_message_t* message = messages[static_cast<size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++records;
        hand_out(*message, visit);
      } else {
        on_partition_error(*message);
      }
      rd_kafka_message_destroy(message);
    }
    if (records > 0) trouble_.clear();
    const size_t waiting = rd_kafka_queue_length(client_->queue);
    most_waiting_ = std::max(most_waiting_, waiting);
    if (most_waiting_ >= kWakeFrom_count && waiting < most_waiting_ / 2) wake_fetchers(waiting);
    if (got > 0 && records == 0)  // there may be more behind the errors
      env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
        if (!alive.expired() && readable_) readable_();
      });
    return records;
  }

  void on_readable(std::move_only_function<void()> told) override { readable_ = std::move(told); }
  void on_changed(std::move_only_function<void()> told) override { changed_ = std::move(told); }

  std::optional<int64_t> end_of(const KafkaPartition& partition) const override {
    int64_t first = 0, end = 0;
    if (!client_ || rd_kafka_get_watermark_offsets(client_->handle, partition.topic.c_str(), partition.number, &first, &end) !=
                        RD_KAFKA_RESP_ERR_NO_ERROR ||
        end < 0)
      return std::nullopt;
    return end;
  }

  std::string trouble() const override { return trouble_; }
  bool take_missing() override { return std::exchange(missing_, false); }

  void close(std::move_only_function<void()> done) override { end(std::move(done)); }

 private:
  /// The watch goes first: the library's last thread closes the descriptor.
  void end(std::move_only_function<void()> done) {
    if (!client_) return;
    watch_.reset();
    opaque_->reader = nullptr;
    look_done_ = nullptr;
    close_done_ = std::move(done);
    thread_->run([this, client = std::exchange(client_, nullptr), opaque = opaque_]() mutable -> std::move_only_function<void()> {
      client.reset();
      return [this] {
        auto told = std::exchange(close_done_, nullptr);
        told();
      };
    });
  }

  void on_event() {
    uint64_t count = 0;
    (void)!::read(client_->fd, &count, sizeof count);
    if (readable_) readable_();
  }

  void hand_out(const rd_kafka_message_t& message, const std::function<void(const KafkaRecord&)>& visit) {
    KafkaRecord record;
    record.topic = rd_kafka_topic_name(message.rkt);
    record.partition = message.partition;
    record.offset = message.offset;
    rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    record.timestamp_ms = rd_kafka_message_timestamp(&message, &type);
    record.is_append_time = type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
    if (message.key != nullptr) record.key = std::string_view(static_cast<const char*>(message.key), message.key_len);
    if (message.payload != nullptr) record.value = std::string_view(static_cast<const char*>(message.payload), message.len);
    headers_.clear();
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      const char* name = nullptr;
      const void* value = nullptr;
      size_t size = 0;
      for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i)
        headers_.push_back({name, value == nullptr ? KafkaBytes() : std::string_view(static_cast<const char*>(value), size)});
    }
    record.headers = headers_;
    visit(record);
  }

  /// The library's threads stop fetching when their queue is full, and look at it again once a second only, unless
  /// something else wakes them: by then it has long been empty. A question to a partition's leader does.
  void wake_fetchers(size_t waiting) {
    most_waiting_ = waiting;  // asked again at the next half
    if (waking_) return;
    waking_ = true;
    std::vector<KafkaPartition> some;
    for (size_t i = 0; i < std::min(read_from_.size(), kWakeAtOnce_count); ++i) some.push_back(read_from_[wake_next_++ % read_from_.size()]);
    thread_->run([this, client = client_, some]() -> std::move_only_function<void()> {
      for (const KafkaPartition& one : some) {
        int64_t first = 0, end = 0;
        const auto asked = rd_kafka_query_watermark_offsets(client->handle, one.topic.c_str(), one.number, &first, &end, kWake_ms);
        if (asked != RD_KAFKA_RESP_ERR_NO_ERROR) break;
      }
      return [this] { waking_ = false; };
    });
  }

  static bool says_missing(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
  }

  /// Nothing is assigned while brokers can't be asked: what the queue holds are words of why.
  void hear() {
    if (!client_ || assignment_ != 0) return;
    rd_kafka_message_t* message = nullptr;
    if (rd_kafka_consume_batch_queue(client_->queue, 0, &message, 1) > 0) rd_kafka_message_destroy(message);
  }

  void on_partition_error(const rd_kafka_message_t& message) {
    const char* topic = message.rkt != nullptr ? rd_kafka_topic_name(message.rkt) : "";
    SLUICE_LOG(kLog, kDebug, "partition error topic={} partition={} why=\"{}\"", topic, message.partition, rd_kafka_message_errstr(&message));
    trouble_ = std::string(topic) + ": " + rd_kafka_err2str(message.err);
    missing_ |= says_missing(message.err);
    env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired() && changed_) changed_();
    });
  }

  void note(rd_kafka_resp_err_t code, const char* reason) {
    if (trouble_.empty()) SLUICE_LOG(kLog, kWarn, "trouble with the brokers why=\"{}\" what=\"{}\"", rd_kafka_err2str(code), reason);
    missing_ |= says_missing(code);
    // That no broker is left follows from the error before it, which says why.
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !trouble_.empty()) return;
    trouble_ = std::string(rd_kafka_err2str(code)) + ": " + reason;
    env_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired() && changed_) changed_();
    });
  }

  Env& env_;
  std::shared_ptr<Client> client_;
  std::shared_ptr<Opaque> opaque_;
  std::vector<KafkaHeader> headers_;  ///< scratch
  std::string trouble_;
  bool missing_ = false;
  std::vector<KafkaPartition> read_from_;
  size_t most_waiting_ = 0;  ///< in the queue, since its fetchers were woken
  size_t wake_next_ = 0;
  bool waking_ = false;
  uint64_t assignment_ = 0;  ///< asked for; read() waits until it is in force
  uint64_t assigned_ = 0;
  std::move_only_function<void(Result<Bounds>)> look_done_;
  std::move_only_function<void()> close_done_;
  std::move_only_function<void()> readable_;
  std::move_only_function<void()> changed_;
  std::unique_ptr<PollHandle> watch_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::unique_ptr<WaitingThread> thread_;
};

}  // namespace

Result<std::unique_ptr<KafkaReader>> make_kafka_reader(Env& env, const KafkaClientOptions& options) {
  auto conf = make_rd_conf(options, false,
                           {{"group.id", "sluice"},
                            {"enable.auto.commit", "false"},
                            {"enable.auto.offset.store", "false"},
                            {"auto.offset.reset", "error"},
                            {"isolation.level", "read_committed"}});
  if (!conf) return std::unexpected(conf.error());
  auto opaque = std::make_shared<RdReader::Opaque>();
  rd_kafka_conf_set_opaque(conf->get(), opaque.get());
  rd_kafka_conf_set_error_cb(conf->get(), &RdReader::on_error);
  auto handle = make_rd_client(*std::move(conf), false);
  if (!handle) return std::unexpected(handle.error());
  auto client = std::make_shared<Client>();
  client->handle = *handle;
  rd_kafka_poll_set_consumer(client->handle);
  client->queue = rd_kafka_queue_get_consumer(client->handle);
  client->fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (client->fd < 0) return fail(Errc::kIo, "no eventfd");
  const uint64_t one = 1;
  rd_kafka_queue_io_event_enable(client->queue, client->fd, &one, sizeof one);
  auto reader = std::make_unique<RdReader>(env, std::move(client));
  reader->adopt(std::move(opaque));
  return reader;
}

}  // namespace sluice
