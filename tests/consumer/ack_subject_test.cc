// The quick ways to write and read ack subjects say what the plain ones say; pending messages as a map would have them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "consumer/ack_reply.h"
#include "consumer/pending.h"

namespace sluice {
namespace {

constexpr std::array<uint64_t, 16> kEdges = {0,      1,      9,         10,         11,          99,          100,       99'999'999,
                                             100'000'000, 999'999'999'999, 9'999'999'999'999'999, 10'000'000'000'000'000,
                                             INT64_MAX, uint64_t{INT64_MAX} + 1, UINT64_MAX - 1, UINT64_MAX};

/// Neighbours of what came before, for the most part, as deliveries are.
uint64_t next_number(std::mt19937_64& random, uint64_t before) {
  switch (random() % 6) {
    case 0: return kEdges[random() % kEdges.size()];
    case 1: return random() >> random() % 64;
    case 2: return before - 1;
    case 3: return before;
    default: return before + 1;
  }
}

std::string spell(const DeliveryMeta& m) {
  return fmt::format("$JS.ACK.S.C.{}.{}.{}.{}.{}", m.deliveries, m.stream_seq.value(), m.consumer_seq.value(), m.time,
                     m.num_pending);
}

void expect_same(const std::optional<DeliveryMeta>& quick, const std::optional<DeliveryMeta>& plain, const std::string& subject) {
  ASSERT_EQ(quick.has_value(), plain.has_value()) << subject;
  if (!quick) return;
  ASSERT_EQ(spell(*quick), spell(*plain)) << subject;
}

/// From bytes that end where the subject ends, so that a sanitizer sees one byte too many.
std::optional<DeliveryMeta> parse_exactly(const AckSubject& reader, const std::string& subject) {
  const auto bytes = std::make_unique<char[]>(subject.size());
  std::copy(subject.begin(), subject.end(), bytes.get());
  return reader.parse({bytes.get(), subject.size()});
}

TEST(AckDigits, EightDigitsOfEveryKind) {
  std::array<char, 8> digits;
  for (uint32_t n = 0; n < 100'000'000; n += n < 1'000'000 ? 1 : 997) {
    put_eight_digits(digits.data(), n);
    ASSERT_EQ(std::string(digits.data(), 8), fmt::format("{:08}", n));
  }
}

TEST(AckSubjectText, IsWhatTheNumbersSpell) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    AckSubject writer("S", "C");
    DeliveryMeta meta;
    for (int i = 0; i < 20'000; ++i) {
      meta.deliveries = next_number(random, meta.deliveries);
      meta.stream_seq = StreamSeq(next_number(random, meta.stream_seq.value()));
      meta.consumer_seq = ConsumerSeq(next_number(random, meta.consumer_seq.value()));
      meta.time = static_cast<WallNanos>(next_number(random, static_cast<uint64_t>(meta.time)));
      meta.num_pending = next_number(random, meta.num_pending);
      const std::string subject(writer.format(meta));
      ASSERT_EQ(subject, spell(meta));
      expect_same(parse_exactly(writer, subject), parse_ack_subject(subject), subject);
    }
  }
}

TEST(AckSubjectText, IsReadAsThePlainWayReadsIt) {
  const AckSubject reader("S", "C");
  constexpr std::string_view kBytes = "0123456789.+- x/:\xb0\xff";
  for (const unsigned seed : {1u, 2u, 3u}) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 50'000; ++i) {
      std::string subject = spell({random() % 20, StreamSeq(random() >> random() % 64), ConsumerSeq(random() >> random() % 64),
                                   static_cast<WallNanos>(random() >> random() % 64), random() >> random() % 64});
      for (uint64_t changes = random() % 4; changes > 0; --changes) {
        const size_t at = random() % (subject.size() + 1);
        switch (random() % 3) {
          case 0: subject.insert(at, 1, kBytes[random() % kBytes.size()]); break;
          case 1: subject.erase(at, random() % 3); break;
          default: subject.resize(at); break;
        }
      }
      expect_same(parse_exactly(reader, subject), parse_ack_subject(subject), subject);
    }
  }
  const std::string many_zeros = "$JS.ACK.S.C.1.00000000000000000000000000007.7.7.7";
  EXPECT_EQ(parse_exactly(reader, many_zeros).value().stream_seq, StreamSeq(7));
  EXPECT_TRUE(parse_exactly(reader, "$JS.ACK._.hash.S.C.1.2.3.4.5"));
  EXPECT_FALSE(parse_exactly(reader, "$JS.ACK.S.C.1.2.3.4.5."));
}

TEST(PendingMessages, AreWhatAMapWouldHold) {
  for (const unsigned seed : {1u, 2u, 3u, 4u}) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    Pending pending;
    std::map<uint64_t, uint64_t> model;  // sequence → first delivery
    uint64_t newest = 0;
    for (int i = 0; i < 30'000; ++i) {
      // Phases of growing and of emptying, so that the front goes in steps and memory is given back.
      const bool grow = i / 2'000 % 2 == 0 ? random() % 4 != 0 : random() % 4 == 0;
      if (grow || model.empty()) {
        // Seed 1 has no jumps; the others do, and now and then an older one comes back.
        const bool older = seed > 2 && random() % 8 == 0 && newest > 50;
        const uint64_t seq = older ? newest - random() % 50 : newest + 1 + (seed == 1 ? 0 : random() % 3);
        newest = std::max(newest, seq);
        if (model.contains(seq)) continue;
        PendingMessage message;
        message.seq = StreamSeq(seq);
        message.first_delivery = ConsumerSeq(static_cast<uint64_t>(i));
        EXPECT_EQ(pending.add(message).seq, StreamSeq(seq));
        model[seq] = static_cast<uint64_t>(i);
      } else {
        auto victim = model.begin();
        if (random() % 4 == 0) victim = model.lower_bound(victim->first + random() % (newest - victim->first + 1));
        if (victim == model.end()) continue;
        ASSERT_TRUE(pending.remove(StreamSeq(victim->first)));
        ASSERT_FALSE(pending.remove(StreamSeq(victim->first)));
        model.erase(victim);
      }
      ASSERT_EQ(pending.size(), model.size());
      ASSERT_EQ(pending.first() == nullptr ? 0 : pending.first()->seq.value(), model.empty() ? 0 : model.begin()->first);
      const uint64_t asked = newest - std::min(newest, random() % 100);
      const PendingMessage* found = std::as_const(pending).find(StreamSeq(asked));
      ASSERT_EQ(found != nullptr, model.contains(asked));
      ASSERT_EQ(found == nullptr ? 0 : found->first_delivery.value(), found == nullptr ? 0 : model[asked]);
    }
    auto at = model.begin();
    pending.each([&](PendingMessage& m) { ASSERT_EQ(m.seq.value(), (at++)->first); });
    EXPECT_EQ(at, model.end());
  }
}

}  // namespace
}  // namespace sluice
