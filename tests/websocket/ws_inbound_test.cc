// Frames to bytes: what the protocol allows, and each way to break it.
#include "websocket/ws_inbound.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <string>

#include "websocket/ws_deflate.h"
#include "websocket/ws_frames.h"

namespace sluice {
namespace {

constexpr uint32_t kKey = 0x1d2c3b4a;

std::string frame(std::string_view payload, WsFrameHeader header = {}) {
  std::string out;
  append_masked_ws_frame(out, header, payload, kKey);
  return out;
}
std::string bare(std::string_view payload, WsFrameHeader header = {}) {
  std::string out;
  append_ws_frame(out, header, payload);
  return out;
}

struct Fed {
  WsInbound::Events events;
  std::optional<WsFailure> failure;
};

class WsInboundTest : public ::testing::Test {
 protected:
  Fed feed(std::string_view bytes, WsInboundRules rules = {}, size_t step = 0) {
    rules.max_message_bytes = rules.max_message_bytes == 0 ? 1000 : rules.max_message_bytes;
    rules.max_compressed_bytes = rules.max_compressed_bytes == 0 ? 8000 : rules.max_compressed_bytes;
    WsInbound inbound(rules, &codec);
    Fed fed;
    while (!bytes.empty() && !fed.failure) {
      const size_t size = step == 0 ? bytes.size() : std::min(step, bytes.size());
      // A copy of its own, so that a read beyond it is found.
      const std::string part(bytes.substr(0, size));
      fed.failure = inbound.feed(part, fed.events);
      bytes.remove_prefix(size);
    }
    return fed;
  }
  WsDeflate codec;
};

TEST_F(WsInboundTest, MessagesAreAStreamHoweverTheyAreCut) {
  const std::string large(70'000, 'x');
  const std::string bytes = frame("PING\r\n") + frame("", {.opcode = WsOpcode::kText}) +
                            frame("PUB a ", {.opcode = WsOpcode::kText, .fin = false}) +
                            frame("p1", {.opcode = WsOpcode::kPing}) +
                            frame("5\r\n", {.opcode = WsOpcode::kContinuation, .fin = false}) +
                            frame("hello\r\n", {.opcode = WsOpcode::kContinuation}) + frame(large);
  for (const size_t step : {0u, 1u, 2u, 3u, 7u, 4096u}) {
    const Fed fed = feed(bytes, {}, step);
    EXPECT_FALSE(fed.failure.has_value()) << step;
    EXPECT_EQ(fed.events.data, "PING\r\nPUB a 5\r\nhello\r\n" + large) << step;
    EXPECT_TRUE(fed.events.ping);
    EXPECT_EQ(fed.events.pongs, "p1");
    EXPECT_FALSE(fed.events.close);
  }
}

TEST_F(WsInboundTest, MaskingIsDemandedUnlessAgreedOtherwise) {
  const Fed plain = feed(bare("PING\r\n"));
  ASSERT_TRUE(plain.failure.has_value());
  EXPECT_EQ(plain.failure->code, WsCloseCode::kNone);
  EXPECT_EQ(feed(bare("PING\r\n"), {.may_be_unmasked = true}).events.data, "PING\r\n");
  EXPECT_EQ(feed(frame("PING\r\n"), {.may_be_unmasked = true}).events.data, "PING\r\n");
  const Fed server = feed(frame("x"), {.masked = false});
  ASSERT_TRUE(server.failure.has_value());
  EXPECT_EQ(feed(bare("x"), {.masked = false}).events.data, "x");
}

TEST_F(WsInboundTest, ACloseFrameTellsItsCodeAndEndsEverything) {
  const Fed fed = feed(frame("a") + frame(std::string("\x03\xe9", 2) + "bye", {.opcode = WsOpcode::kClose}) +
                       frame("b"));
  EXPECT_FALSE(fed.failure.has_value());
  EXPECT_EQ(fed.events.data, "a");
  EXPECT_TRUE(fed.events.close);
  EXPECT_EQ(fed.events.close_code, 1001);
  EXPECT_EQ(feed(frame("", {.opcode = WsOpcode::kClose})).events.close_code, 0);
  EXPECT_TRUE(feed(frame("x", {.opcode = WsOpcode::kClose})).failure.has_value());
}

TEST_F(WsInboundTest, BrokenRulesAreProtocolErrors) {
  std::string far_too_long = frame("x");
  far_too_long[1] = static_cast<char>(0xff);  // masked, 64 bits of length follow…
  far_too_long.insert(2, 8, static_cast<char>(0xff));  // …with the top one set
  const std::string odd_bits[] = {
      frame("x", {.opcode = WsOpcode::kContinuation}),               // continues nothing
      frame("x", {.fin = false}) + frame("y"),                       // begins inside another
      frame("x", {.rsv1 = true}),                                    // compression not agreed
      frame("x", {.opcode = WsOpcode::kPing, .rsv1 = true}),
      frame("x", {.opcode = static_cast<WsOpcode>(3)}),
      frame("x", {.opcode = static_cast<WsOpcode>(11)}),
      far_too_long,
  };
  for (const std::string& bytes : odd_bits) {
    const Fed fed = feed(bytes);
    ASSERT_TRUE(fed.failure.has_value());
    EXPECT_EQ(fed.failure->code, WsCloseCode::kProtocolError);
  }
  std::string other_bit = frame("x");
  other_bit[0] = static_cast<char>(other_bit[0] | 0x20);
  EXPECT_TRUE(feed(other_bit).failure.has_value());
}

TEST_F(WsInboundTest, CompressedMessagesWholeAndInFragments) {
  const std::string text = "PUB a 5\r\nhello\r\n" + std::string(500, 'z');
  std::string packed;
  codec.deflate(text, packed);
  EXPECT_LT(packed.size(), text.size());
  const std::string whole = frame(packed, {.rsv1 = true});
  const std::string parts =
      frame(packed.substr(0, 5), {.fin = false, .rsv1 = true}) +
      frame(packed.substr(5, 3), {.opcode = WsOpcode::kContinuation, .fin = false}) +
      frame(packed.substr(8), {.opcode = WsOpcode::kContinuation});
  for (const size_t step : {0u, 1u, 5u}) {
    const Fed fed = feed(whole + frame("plain") + parts, {.deflate = true}, step);
    EXPECT_FALSE(fed.failure.has_value());
    EXPECT_EQ(fed.events.data, text + "plain" + text);
  }
}

TEST_F(WsInboundTest, ABombIsCutAtItsBound) {
  std::string packed;
  codec.deflate(std::string(10'000'000, 'z'), packed);
  const Fed bomb = feed(frame(packed, {.rsv1 = true}),
                        {.deflate = true, .max_message_bytes = 100'000, .max_compressed_bytes = 100'000});
  ASSERT_TRUE(bomb.failure.has_value());
  EXPECT_EQ(bomb.failure->code, WsCloseCode::kTooLarge);
  EXPECT_LE(bomb.events.data.capacity(), 200'000u);
  const Fed gathered = feed(frame(packed, {.rsv1 = true}),
                            {.deflate = true, .max_message_bytes = 100'000, .max_compressed_bytes = 1000});
  ASSERT_TRUE(gathered.failure.has_value());
  EXPECT_EQ(gathered.failure->code, WsCloseCode::kTooLarge);
  EXPECT_TRUE(feed(frame("not deflate at all", {.rsv1 = true}), {.deflate = true}).failure.has_value());
}

TEST_F(WsInboundTest, TheCodecIsTheSameForMessagesOfEverySize) {
  for (const size_t size : {0u, 1u, 65u, 16'384u, 16'385u, 200'000u}) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += static_cast<char>((i * i) >> 3);
    std::string packed;
    codec.deflate(text, packed);
    std::string out = "before";
    ASSERT_TRUE(codec.inflate(packed, size, out).has_value());
    EXPECT_EQ(out, "before" + text);
    if (size == 0) continue;
    out.clear();
    EXPECT_EQ(codec.inflate(packed, size - 1, out).error().code, Errc::kFull);
    EXPECT_EQ(out, "");
  }
}

}  // namespace
}  // namespace sluice
