// What went over earlier connections, for the next one to begin with: Zstandard dictionaries of raw content.
//
// Both ends of a compressed connection see the same bytes, so both cut the same dictionaries out of them and nothing has to be sent:
// a dictionary is the 110 KiB (or less) of one direction before byte 2^14, 2^15, …, and its name is the hash of it. When a connection begins,
// the ends look for one that both have (compressed_transport.h). Raw content and not a trained one: docs/replication.md, "Compression".
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/disk.h"

namespace sluice {

inline constexpr size_t kMaxDictionary_bytes = 110 * 1024;
inline constexpr uint64_t kFirstDictionaryCut = 16 * 1024;

/// The first half of the content's SHA-256: nobody names it who has not seen the content.
using DictionaryId = std::array<uint8_t, 16>;
DictionaryId dictionary_id(std::string_view content);

struct Dictionary {
  DictionaryId id{};
  std::string content;
};
using DictionaryPtr = std::shared_ptr<const Dictionary>;

enum class FlowDirection : uint8_t { kToServer, kToClient };
inline constexpr size_t kFlowDirections = 2;
inline constexpr size_t index_of(FlowDirection direction) { return static_cast<size_t>(direction); }

/// At most `max_each` of each direction; the one not used for longest goes first, but none that a connection uses.
/// Loop thread only.
class Dictionaries {
 public:
  /// In memory.
  explicit Dictionaries(size_t max_each) : max_each_(max_each) {}
  /// Also kept in a folder, written by a worker; what can't be read or written is not kept (counted). Reads what is there:
  /// files whose name is not the hash of what they hold are removed.
  Dictionaries(size_t max_each, Disk& disk, DiskWorkers& workers, std::string folder);
  ~Dictionaries();
  Dictionaries(const Dictionaries&) = delete;
  Dictionaries& operator=(const Dictionaries&) = delete;

  DictionaryPtr find(FlowDirection direction, const DictionaryId& id);
  DictionaryId add(FlowDirection direction, std::string content);
  void remove(FlowDirection direction, const DictionaryId& id);
  /// The best first: larger ones, then newer ones.
  std::vector<DictionaryId> best(FlowDirection direction, size_t most) const;
  size_t count() const { return held_[0].size() + held_[1].size(); }
  uint64_t disk_errors() const { return disk_errors_; }

 private:
  using Held = std::list<DictionaryPtr>;  ///< used last at the end
  void load();
  Held::iterator place_of(FlowDirection direction, const DictionaryId& id);
  void trim(FlowDirection direction);
  void write(FlowDirection direction, const DictionaryPtr& dictionary);
  void forget(FlowDirection direction, const DictionaryId& id);
  void submit(std::move_only_function<Status()> work);
  std::string path_of(FlowDirection direction, const DictionaryId& id) const;

  const size_t max_each_;
  std::array<Held, kFlowDirections> held_;
  Disk* disk_ = nullptr;
  std::string folder_;
  DiskWorkers* workers_ = nullptr;
  std::unique_ptr<DiskWorker> worker_;  ///< made when first needed
  uint64_t disk_errors_ = 0;
};

/// Cuts dictionaries out of the bytes of one direction of one connection, from its first compressed one on.
class DictionaryCutter {
 public:
  using Cut = std::function<void(std::string content)>;
  explicit DictionaryCutter(Cut cut) : cut_(std::move(cut)) {}
  void take(std::string_view bytes);

 private:
  Cut cut_;
  uint64_t offset_ = 0;
  uint64_t next_ = kFirstDictionaryCut;
  std::string kept_;
};

}  // namespace sluice
