// KafkaWriter on librdkafka's transactional producer. All its calls wait, so all of them run on one thread.
#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "adapters/kafka/kafka_port.h"
#include "adapters/kafka/rd_client.h"
#include "adapters/kafka/waiting_thread.h"
#include "base/check.h"

namespace sluice {
namespace {

constexpr int kStep_ms = 3000;  ///< one call; between them it is asked whether to go on
constexpr int kMaxSteps = 15;
constexpr int kPollEvery_count = 1000;

using Failure = KafkaWriteFailure;
using Outcome = std::expected<void, Failure>;

struct ErrorGone {
  void operator()(rd_kafka_error_t* error) const { rd_kafka_error_destroy(error); }
};
using RdError = std::unique_ptr<rd_kafka_error_t, ErrorGone>;
struct ListGone {
  void operator()(rd_kafka_topic_partition_list_t* list) const { rd_kafka_topic_partition_list_destroy(list); }
};
using PartitionList = std::unique_ptr<rd_kafka_topic_partition_list_t, ListGone>;
struct GroupGone {
  void operator()(rd_kafka_consumer_group_metadata_t* group) const { rd_kafka_consumer_group_metadata_destroy(group); }
};

bool is_refusal(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || error == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
         error == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE || error == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE ||
         error == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP;
}

bool is_fence(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR__FENCED || error == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH ||
         error == RD_KAFKA_RESP_ERR_PRODUCER_FENCED;
}

/// On the waiting thread only, but for `closing`.
struct Session {
  KafkaClientOptions options;
  KafkaWriterOptions writer;
  rd_kafka_t* producer = nullptr;
  std::atomic<bool> closing = false;
  rd_kafka_resp_err_t first_failure = RD_KAFKA_RESP_ERR_NO_ERROR;  ///< of a record in this transaction

  Session(KafkaClientOptions client, KafkaWriterOptions how) : options(std::move(client)), writer(std::move(how)) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    if (producer == nullptr) return;
    rd_kafka_purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(producer);
  }

  static void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* self) noexcept {
    Session& session = *static_cast<Session*>(self);
    if (session.first_failure == RD_KAFKA_RESP_ERR_NO_ERROR) session.first_failure = message->err;
  }

  std::unexpected<Failure> failure(const char* step, const rd_kafka_error_t* error) const {
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    char why[256] = "";
    if (rd_kafka_error_is_fatal(error) != 0 || rd_kafka_fatal_error(producer, why, sizeof why) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      const rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(producer, why, sizeof why);
      if (is_fence(fatal)) code = fatal;
    }
    Failure out{Failure::Kind::kAgain, fmt::format("{}: {}", step, rd_kafka_error_string(error))};
    if (is_fence(code)) out.kind = Failure::Kind::kFenced;
    else if (is_refusal(first_failure)) out = {Failure::Kind::kRefused, rd_kafka_err2str(first_failure)};
    return std::unexpected(std::move(out));
  }

  /// A call that may be repeated until it comes through.
  template <class Call>
  Outcome repeat(const char* step, Call call) {
    for (int i = 1;; ++i) {
      const RdError error(call());
      if (!error) return {};
      if (rd_kafka_error_is_retriable(error.get()) == 0 || i == kMaxSteps || closing) return failure(step, error.get());
    }
  }

  std::expected<std::optional<KafkaPosition>, Failure> open() {
    auto conf = make_rd_conf(options, true, {{"transactional.id", writer.transactional_id}});
    if (!conf) return std::unexpected(Failure{Failure::Kind::kAgain, conf.error().detail});
    rd_kafka_conf_set_opaque(conf->get(), this);
    rd_kafka_conf_set_dr_msg_cb(conf->get(), &Session::on_delivery);
    auto made = make_rd_client(*std::move(conf), true);
    if (!made) return std::unexpected(Failure{Failure::Kind::kAgain, made.error().detail});
    producer = *made;
    if (auto ready = repeat("init", [this] { return rd_kafka_init_transactions(producer, kStep_ms); }); !ready)
      return std::unexpected(ready.error());
    return committed();
  }

  /// Nothing is under way any more, so what the group has is what was committed.
  std::expected<std::optional<KafkaPosition>, Failure> committed() const {
    const auto again = [](std::string why) { return std::unexpected(Failure{Failure::Kind::kAgain, "position: " + std::move(why)}); };
    auto conf = make_rd_conf({options.brokers, consumer_properties()}, false,
                             {{"group.id", writer.group}, {"enable.auto.commit", "false"}, {"isolation.level", "read_committed"}});
    if (!conf) return again(conf.error().detail);
    auto consumer = make_rd_client(*std::move(conf), false);
    if (!consumer) return again(consumer.error().detail);
    PartitionList list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), writer.topic.c_str(), 0);
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__TIMED_OUT;
    for (int i = 0; i < kMaxSteps && error != RD_KAFKA_RESP_ERR_NO_ERROR && !closing; ++i)
      error = rd_kafka_committed(*consumer, list.get(), kStep_ms);
    rd_kafka_destroy(*consumer);
    const rd_kafka_topic_partition_t& found = list->elems[0];
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) error = found.err;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return again(rd_kafka_err2str(error));
    if (found.offset < 0) return std::optional<KafkaPosition>();
    return KafkaPosition{found.offset, std::string(static_cast<const char*>(found.metadata), found.metadata_size)};
  }

  /// Those that a consumer knows too: how to get in.
  std::map<std::string, std::string> consumer_properties() const {
    std::map<std::string, std::string> out;
    for (const auto& [name, value] : options.properties)
      if (name.starts_with("security.") || name.starts_with("sasl.") || name.starts_with("ssl.") || name.starts_with("enable.ssl") ||
          name.starts_with("enable.sasl") || name.starts_with("socket.") || name.starts_with("broker.") || name == "client.id")
        out.emplace(name, value);
    return out;
  }

  Outcome write(const std::vector<KafkaOutRecord>& records, const KafkaPosition& position) {
    first_failure = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (const RdError error(rd_kafka_begin_transaction(producer)); error) return failure("begin", error.get());
    for (size_t i = 0; i < records.size(); ++i) {
      if (auto taken = produce(records[i]); !taken) return taken;
      if (i % kPollEvery_count == 0) rd_kafka_poll(producer, 0);
    }
    PartitionList list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_t& at = *rd_kafka_topic_partition_list_add(list.get(), writer.topic.c_str(), 0);
    at.offset = position.next;
    at.metadata = strdup(position.note.c_str());  // the list frees it
    at.metadata_size = position.note.size();
    const std::unique_ptr<rd_kafka_consumer_group_metadata_t, GroupGone> group(
        rd_kafka_consumer_group_metadata_new(writer.group.c_str()));
    if (auto sent = repeat("position", [&] { return rd_kafka_send_offsets_to_transaction(producer, list.get(), group.get(), kStep_ms); });
        !sent)
      return sent;
    return repeat("commit", [this] { return rd_kafka_commit_transaction(producer, kStep_ms); });
  }

  Outcome produce(const KafkaOutRecord& record) {
    for (int i = 0;; ++i) {
      rd_kafka_headers_t* headers = rd_kafka_headers_new(record.headers.size());
      for (const auto& [name, value] : record.headers)
        rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value ? value->data() : nullptr,
                            value ? static_cast<ssize_t>(value->size()) : 0);
      const auto bytes = [](const std::optional<std::string>& text) {
        return text ? const_cast<char*>(text->data()) : nullptr;  // copied by the library
      };
      const size_t key_size = record.key ? record.key->size() : 0;
      const size_t value_size = record.value ? record.value->size() : 0;
      const int64_t time = std::max<int64_t>(record.timestamp_ms, 0);  // 0 = now
      const rd_kafka_resp_err_t error = rd_kafka_producev(
          producer, RD_KAFKA_V_TOPIC(writer.topic.c_str()), RD_KAFKA_V_PARTITION(RD_KAFKA_PARTITION_UA),
          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(bytes(record.key), key_size),
          RD_KAFKA_V_VALUE(bytes(record.value), value_size), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_TIMESTAMP(time),
          RD_KAFKA_V_END);
      if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
      rd_kafka_headers_destroy(headers);
      if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL || i == 10 * kMaxSteps || closing) {
        const auto kind = is_refusal(error) ? Failure::Kind::kRefused : is_fence(error) ? Failure::Kind::kFenced : Failure::Kind::kAgain;
        return std::unexpected(Failure{kind, fmt::format("produce: {}", rd_kafka_err2str(error))});
      }
      rd_kafka_poll(producer, kStep_ms / 10);
    }
  }
};

class RdWriter final : public KafkaWriter {
 public:
  RdWriter(Env& env, std::shared_ptr<Session> session)
      : session_(std::move(session)), thread_(std::make_unique<WaitingThread>(env)) {}
  RdWriter(const RdWriter&) = delete;
  RdWriter& operator=(const RdWriter&) = delete;
  ~RdWriter() override { end([] {}); }

  void open(std::move_only_function<void(std::expected<std::optional<KafkaPosition>, Failure>)> done) override {
    open_done_ = std::move(done);
    thread_->run([this, session = session_]() -> std::move_only_function<void()> {
      return [this, outcome = session->open()] {
        if (auto told = std::exchange(open_done_, nullptr)) told(outcome);
      };
    });
  }

  void write(std::vector<KafkaOutRecord> records, KafkaPosition position,
             std::move_only_function<void(Outcome)> done) override {
    SLUICE_CHECK(!write_done_);
    write_done_ = std::move(done);
    thread_->run([this, session = session_, batch = std::move(records), at = std::move(position)]() -> std::move_only_function<void()> {
      return [this, outcome = session->write(batch, at)] {
        if (auto told = std::exchange(write_done_, nullptr)) told(outcome);
      };
    });
  }

  void close(std::move_only_function<void()> done) override { end(std::move(done)); }

 private:
  void end(std::move_only_function<void()> done) {
    if (!session_) return;
    open_done_ = nullptr;
    write_done_ = nullptr;
    close_done_ = std::move(done);
    session_->closing = true;
    thread_->run([this, session = std::exchange(session_, nullptr)]() mutable -> std::move_only_function<void()> {
      session.reset();
      return [this] {
        auto told = std::exchange(close_done_, nullptr);
        told();
      };
    });
  }

  std::shared_ptr<Session> session_;
  std::move_only_function<void(std::expected<std::optional<KafkaPosition>, Failure>)> open_done_;
  std::move_only_function<void(Outcome)> write_done_;
  std::move_only_function<void()> close_done_;
  std::unique_ptr<WaitingThread> thread_;
};

}  // namespace

Result<std::unique_ptr<KafkaWriter>> make_kafka_writer(Env& env, const KafkaClientOptions& options,
                                                       const KafkaWriterOptions& writer) {
  if (auto good = check_kafka_properties(options, true); !good) return std::unexpected(good.error());
  return std::make_unique<RdWriter>(env, std::make_shared<Session>(options, writer));
}

}  // namespace sluice
