// Which pages of a segment protect which, in stripes of 256 and of 512 pages.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "store/record_format.h"
#include "store/segment.h"
#include "store/segment_format.h"
#include "store/segment_repair.h"
#include "store_world.h"

namespace sluice {
namespace {

using format::ParityLayout;

TEST(ParityLayout, EachPageIsInOneGroupAndNeighboursAreInDifferentOnes) {
  for (const uint32_t version : {4U, 5U, format::kVersion, format::kSealedVersion}) {
    const ParityLayout layout = format::parity_layout(version);
    for (const uint32_t pages : {1U, 15U, 16U, 17U, 255U, 256U, 257U, 511U, 512U, 513U, 1040U}) {
      SCOPED_TRACE(std::to_string(version) + ", pages " + std::to_string(pages));
      std::vector<uint32_t> seen;
      for (uint32_t parity = 0; parity < layout.parity_pages_of(pages); ++parity) {
        const std::vector<uint32_t> group = layout.group_of(parity, pages);
        EXPECT_GE(group.size(), 1U);
        EXPECT_LE(group.size(), layout.stripe_pages / ParityLayout::kGroups);
        for (const uint32_t page : group) EXPECT_EQ(layout.parity_of(page), parity);
        seen.insert(seen.end(), group.begin(), group.end());
      }
      std::sort(seen.begin(), seen.end());
      ASSERT_EQ(seen.size(), pages);
      for (uint32_t page = 0; page < pages; ++page) EXPECT_EQ(seen[page], page);
      for (uint32_t begin = 0; begin + ParityLayout::kGroups <= pages; ++begin) {
        std::set<uint32_t> touched;
        for (uint32_t page = begin; page < begin + ParityLayout::kGroups; ++page) touched.insert(layout.parity_of(page));
        // Across the border of two stripes too: 16 divides them.
        EXPECT_EQ(touched.size(), ParityLayout::kGroups);
      }
    }
  }
}

TEST(ParityLayout, HowWideAStripeIsStandsInTheVersion) {
  EXPECT_EQ(format::parity_layout(2).parity_pages_of(1024), 64U);
  EXPECT_EQ(format::parity_layout(4).parity_pages_of(1024), 64U);
  EXPECT_EQ(format::parity_layout(5).parity_pages_of(1024), 64U);
  EXPECT_EQ(format::parity_layout(6).parity_pages_of(1024), 32U);
  EXPECT_EQ(format::parity_layout(7).parity_pages_of(1024), 32U);
}

/// A segment of several stripes: any 16 neighbours, pages of messages or of parity, are written anew as they were.
TEST(ParityLayout, SixteenNeighboursAreMendedWhereverTheyLie) {
  StoreWorld w;
  sim::SimDisk& disk = w.sim.disk();
  ASSERT_TRUE(disk.make_dirs("/data"));
  SegmentWriter writer(disk, "/data", 1, 77, nullptr);
  ASSERT_TRUE(writer.begin());
  const std::string payload(3000, 'p');
  for (uint64_t seq = 1; seq <= 1600; ++seq) {
    ASSERT_TRUE(writer.add({.type = format::RecordType::kMessage, .stream = 1, .seq = seq, .time = static_cast<WallNanos>(seq),
                            .subject = "s", .headers = {}, .payload = payload, .msg_id = {}}));
  }
  ASSERT_TRUE(writer.finish());
  const format::SegmentTrailer trailer = writer.trailer();
  ASSERT_GT(trailer.pages, 2 * trailer.parity().stripe_pages);
  auto file = disk.open(writer.path(), OpenMode::kReadWrite);
  ASSERT_TRUE(file);
  const std::string whole = *disk.contents(writer.path());
  SegmentPages pages(**file, trailer);
  const uint32_t stripe = trailer.parity().stripe_pages;
  for (const uint32_t begin : {0U, 250U, stripe - 8, stripe, 2 * stripe - 16, trailer.pages - 16, trailer.pages}) {
    SCOPED_TRACE(begin);
    const std::vector<std::byte> zeros(16 * format::kBlock);
    ASSERT_TRUE((*file)->write_at(uint64_t{begin} * format::kBlock, zeros));
    for (uint32_t page = begin; page < begin + 16; ++page) EXPECT_EQ(*pages.check(page), PageState::kRepaired) << page;
    EXPECT_EQ(*disk.contents(writer.path()), whole);
  }
}

}  // namespace
}  // namespace sluice
