// A byte stream between two Sluices that is compressed once both have agreed, around TCP or TLS. The session on top can't tell.
//
// Happy path: the server's INFO offers it (`sluice_zstd`); the client sends its CONNECT line in clear and, with the next byte,
// begins to compress; the server sees the first byte of a frame behind that line, reads it as such and compresses what it
// writes from then on. Neither waits for an answer, so a connection takes no longer. Where the INFO says `sluice_zstd_dictionaries`, each
// direction begins with the names of dictionaries (dictionary_words.h): the client's offers what it has, the server's says which ones
// both have. The server begins with its own at once; the client, whose first frame holds a PING only, begins a second frame with its own as soon as it
// knows. Both sides then cut new ones out of what passes. What the server has to say before (that it
// refuses the login, say) comes in clear lines, which are told from a frame by their first byte.
// A client may leave off when the road is wide (adapt()): what it then writes is one frame of bytes as they are, which any reader reads.
// Failures: what is no frame, or wants more memory than our own writer needs → on_closed with kCorrupt. Reading stops in the
// middle of a block when the session pauses: a few bytes that would unpack to very many never do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "compression/compression_worth.h"
#include "compression/dictionaries.h"
#include "compression/dictionary_words.h"
#include "compression/zstd_stream.h"
#include "io/executor.h"
#include "io/transport.h"

namespace sluice {

/// Bytes as the session has them, and as they were given to the stream below.
struct ByteFlow {
  uint64_t sent = 0;
  uint64_t sent_packed = 0;
  uint64_t received = 0;
  uint64_t received_packed = 0;
};

/// What the compressed streams of a listener share; outlives them.
struct CompressionWorld {
  Executor& executor;
  size_t max_streams = 0;  ///< at once; each takes about 2 MiB
  size_t streams = 0;      ///< open ones
  uint64_t accepted = 0;
  uint64_t crowded_out = 0;  ///< closed at max_streams
  uint64_t broken = 0;       ///< closed for bytes that are no frame
  uint64_t offered = 0;      ///< dictionaries were asked for
  uint64_t agreed = 0;       ///< and one was found, for either direction
  Dictionaries dictionaries{kMaxDictionaries};  ///< in memory: kMaxDictionary_bytes each at most
  static constexpr size_t kMaxDictionaries = 128;  ///< of each direction
  ByteFlow flow = {};        ///< of compressed streams alone
};

class CompressedTransport final : public Transport, private TransportHandler {
 public:
  /// A client's: clear until begin().
  CompressedTransport(std::unique_ptr<Transport> under, Executor& executor);
  /// A server's: clear unless the client begins behind its first line.
  CompressedTransport(std::unique_ptr<Transport> under, CompressionWorld& world);
  ~CompressedTransport() override;
  CompressedTransport(const CompressedTransport&) = delete;
  CompressedTransport& operator=(const CompressedTransport&) = delete;

  /// A client's: what is written from here on is compressed. Once, behind the first line and before any other.
  /// @param dictionaries  null: the server has none; else outlives this.
  void begin(Dictionaries* dictionaries = nullptr);
  /// A client's: compresses only while that is worth it. `clock` outlives this.
  void adapt(const Clock& clock) { clock_ = &clock; }
  /// What the connection began with, in both directions; null = nothing.
  const DictionaryPtr& dictionary(FlowDirection direction) const { return agreed_[index_of(direction)]; }
  bool compressed() const { return writer_ != nullptr; }
  const ByteFlow& flow() const { return flow_; }

  // Transport
  void start(TransportHandler& handler) override;
  void write(std::string& bytes) override;
  size_t queued_bytes() const override { return under_->queued_bytes(); }
  void pause_reading() override;
  void resume_reading() override;
  void close(bool flush) override;
  std::string peer_address() const override { return under_->peer_address(); }
  bool established() const override { return under_->established(); }
  const TlsPeer* tls() const override { return under_->tls(); }

 private:
  enum class Inbound : uint8_t {
    kClear,      ///< whatever comes
    kFirstLine,  ///< server: CONNECT
    kDecide,     ///< server: the byte behind it
    kLines,      ///< client: clear ones, until a frame begins in the place of a line
    kWords,      ///< names of dictionaries, then kPacked
    kPacked,
    kClosed,
  };

  // TransportHandler
  void on_established() override { handler_->on_established(); }
  void on_bytes(std::string_view bytes) override;
  void on_drained() override { handler_->on_drained(); }
  void on_closed(const Error& why) override;

  void take(std::string_view bytes);
  std::string_view take_some(std::string_view bytes);
  std::string_view take_line(std::string_view bytes);
  bool is_worth_compressing(size_t bytes);
  std::string_view unpack(std::string_view bytes);
  bool admit();
  std::string_view take_words(std::string_view bytes);
  Status take_offer();
  Status take_choice();
  void cut_dictionaries(Dictionaries& dictionaries);
  void catch_up();
  void hand_up(std::string_view bytes);
  void count_received(size_t bytes, size_t packed);
  void fail_stream(const Error& why);

  std::unique_ptr<Transport> under_;
  Executor& executor_;
  CompressionWorld* const world_;  ///< null: a client's
  TransportHandler* handler_ = nullptr;
  Inbound inbound_;
  const Clock* clock_ = nullptr;  ///< null: always compresses
  CompressionWorth worth_;
  bool at_line_start_ = true;
  bool paused_ = false;
  bool more_inside_ = false;  ///< the reader may make more without further bytes
  std::string held_;          ///< came while the session paused, or behind what it stopped at
  std::unique_ptr<ZstdWriter> writer_;
  std::unique_ptr<ZstdReader> reader_;
  std::string packed_;
  Dictionaries* dictionaries_ = nullptr;
  std::unique_ptr<DictionaryWordsReader> words_;
  std::array<DictionaryPtr, kFlowDirections> agreed_;
  bool frame_follows_ = false;  ///< client: the next bytes begin the frame with the agreed dictionary
  struct Cuts {
    DictionaryCutter cutter;
    std::deque<DictionaryId> made{};  ///< of this connection
  };
  std::unique_ptr<Cuts> sent_cuts_, received_cuts_;
  ByteFlow flow_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sluice
