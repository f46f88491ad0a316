// NATS header blocks: "NATS/1.0[ code[ text]]\r\n", then "Name: value\r\n" …, then "\r\n".
//
// The core forwards blocks unseen, so a block can hold any bytes: these functions read what they
// understand and pass over the rest. Shapes after ADR-4.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

inline constexpr std::string_view kHeaderPreamble = "NATS/1.0";

/// One line of a block. Views into it; `value` has its leading blanks cut,
/// and only those.
struct HeaderField {
  std::string_view name;
  std::string_view value;
};

/// Walks the fields in the block's order; lines without a colon or a name are passed over.
class HeaderFields {
 public:
  explicit HeaderFields(std::string_view block);
  /// @return false at the end.
  bool next(HeaderField& field);

 private:
  std::string_view rest_;
};

struct HeaderStatus {
  uint16_t code = 0;  ///< 0 = an ordinary message
  std::string_view text;
};

/// Names are case-sensitive; the first one wins. A field with an empty value gives "".
std::optional<std::string_view> find_header(std::string_view block, std::string_view name);

template <class F>
void each_header(std::string_view block, F&& visit) {
  HeaderFields fields(block);
  for (HeaderField field; fields.next(field);) visit(field.name, field.value);
}

/// The status line; extra blanks are tolerated. Code 0 when there is none or it is not 100…999.
HeaderStatus header_status(std::string_view block);

/// Adds a field at the end; an empty block becomes a whole one. Name and value must hold no CR or
/// LF (checked): they would begin a line of their own.
void append_header(std::string& block, std::string_view name, std::string_view value);
/// Removes every field of that name. A block without fields and status left becomes "".
/// @return how many went.
size_t remove_header(std::string& block, std::string_view name);
size_t remove_headers_with_prefix(std::string& block, std::string_view name_prefix);
/// Removes the fields of that name, then appends.
void set_header(std::string& block, std::string_view name, std::string_view value);

/// "NATS/1.0 404 No Messages\r\n\r\n"; fields can be appended. `text` may be empty.
std::string make_status_block(uint16_t code, std::string_view text);

/// Whether a name or value can stand in a block: no CR or LF; for a name also no ':' and not empty.
bool is_valid_header_name(std::string_view name);
bool is_valid_header_value(std::string_view value);

}  // namespace sluice
