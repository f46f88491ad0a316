// A JWT opened: its signature holds, its claims can be read member by member. For the files that read
// the kinds of tokens; heavy, so nobody else includes it.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "server/jwt.h"

namespace sluice {

/// The members of one JSON object of the claims. A member that is missing or null leaves what is
/// there; one of another kind is noted in the token, which is refused for it at the end.
class Claims {
 public:
  Claims() = default;
  Claims(simdjson::dom::object from, bool& wrong) : from_(from), wrong_(&wrong) {}

  void take(const char* key, std::string& out) const;
  void take(const char* key, int64_t& out) const;
  void take(const char* key, bool& out) const;
  void take(const char* key, std::vector<std::string>& out) const;
  void take(const char* key, std::map<std::string, int64_t>& out) const;
  /// A number, or a word instead of one.
  void take(const char* key, int64_t& out, std::string& word) const;
  std::optional<Claims> object(const char* key) const;
  /// The objects of a list.
  std::vector<Claims> objects(const char* key) const;
  /// Name and objects of each member of the object `key` whose members are lists.
  std::vector<std::pair<std::string, std::vector<Claims>>> lists(const char* key) const;
  /// Of a list whose items may be texts or objects.
  std::vector<std::pair<std::string, std::optional<Claims>>> mixed(const char* key) const;

 private:
  /// nullopt when it is missing or null.
  std::optional<simdjson::dom::element> find(const char* key) const;
  std::optional<simdjson::dom::array> list(const char* key) const;
  std::vector<Claims> objects_of(simdjson::dom::element list) const;

  simdjson::dom::object from_;
  bool* wrong_ = nullptr;
};

/// Its claims live as long as this.
struct OpenedJwt {
  simdjson::dom::parser header_parser;
  simdjson::dom::parser parser;
  bool wrong = false;  ///< a claim is of another kind than its own
  Claims claims = {};
  Claims nats = {};
  JwtHead head = {};
  std::string type = {};
};

/// Opens `text`; the errors are those of jwt.h.
Status open_jwt(std::string_view text, OpenedJwt& jwt);

}  // namespace sluice
