#include "base/api_error.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(ApiError, PutsTheDetailInPlaceOfThePlaceholder) {
  EXPECT_EQ(api_error_text(10071, "7").description, "wrong last sequence: 7");
  EXPECT_EQ(api_error_text(10071, "7").http_code, 400);
  EXPECT_EQ(api_error_description(10059), "stream not found");
  EXPECT_EQ(api_error_text(10052, "max age needs to be >= 100ms").description,
            "max age needs to be >= 100ms");
}

}  // namespace
}  // namespace sluice
