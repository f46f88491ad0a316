// Any bytes as a header block: reading stays inside, and what was appended is found again.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/headers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto copy = std::make_unique<char[]>(size);
  if (size != 0) std::memcpy(copy.get(), data, size);
  const std::string_view block(copy.get(), size);
  size_t fields = 0;
  sluice::each_header(block, [&](std::string_view name, std::string_view value) {
    ++fields;
    SLUICE_CHECK(!name.empty());
    SLUICE_CHECK(value.empty() || (value.data() >= block.data() &&
                                   value.data() + value.size() <= block.data() + block.size()));
  });
  (void)sluice::header_status(block);
  (void)sluice::find_header(block, "Nats-Msg-Id");

  std::string changed(block);
  const size_t removed = sluice::remove_headers_with_prefix(changed, "Nats-");
  size_t left = 0;
  sluice::each_header(changed, [&](std::string_view, std::string_view) { ++left; });
  if (block.starts_with(sluice::kHeaderPreamble)) SLUICE_CHECK(left + removed == fields);
  std::string fresh;
  sluice::set_header(fresh, "Nats-Msg-Id", "1");
  SLUICE_CHECK(sluice::find_header(fresh, "Nats-Msg-Id") == "1");
  return 0;
}
