// Consumers found on disk that this version can't serve.
#include "consumer_world.h"

namespace sluice::test {
namespace {

TEST(OfflineConsumer, KeepsItsInterestUntilItIsDeleted) {
  ConsumerWorld w(ConsumerWorld::named("S", Retention::kInterest));
  ConsumerConfig filtered = ConsumerWorld::pull("C");
  filtered.filter_subject = "a.1";
  w.make(filtered);
  w.make(ConsumerWorld::pull("D"));
  for (auto& [key, kept] : w.store.kept())
    if (kept.name == "C") kept.meta.insert(kept.meta.find("\"config\":{") + 10, R"("of_a_later_version":1,)");
  w.restart();
  ASSERT_EQ(w.consumers->offline("S").size(), 1u);
  w.stream().publish("a.1");
  w.stream().publish("a.2");
  w.run();
  w.fetch(R"({"batch":2})", "_INBOX.1", "D");
  for (const Got& message : w.taken()) w.ack(message);
  EXPECT_TRUE(w.stream().store().load(StreamSeq(1))) << "the offline consumer selects it";
  EXPECT_FALSE(w.stream().store().load(StreamSeq(2)));
  const int changes = w.stream().interest_changes;
  ASSERT_TRUE(w.consumers->remove("S", "C"));
  EXPECT_GT(w.stream().interest_changes, changes) << "the stream looks again at what it holds";
  w.stream().consumer_done(StreamSeq(1));
  EXPECT_FALSE(w.stream().store().load(StreamSeq(1)));
}

TEST(OfflineConsumer, WithoutAReadableFilterSelectsAll) {
  ConsumerWorld w(ConsumerWorld::named("S", Retention::kInterest));
  w.make(ConsumerWorld::pull("C"));
  w.make(ConsumerWorld::pull("D"));
  for (auto& [key, kept] : w.store.kept())
    if (kept.name == "C") kept.meta = "no JSON";
  w.restart();
  w.stream().publish("a.2");
  w.run();
  w.fetch(R"({"batch":1})", "_INBOX.1", "D");
  for (const Got& message : w.taken()) w.ack(message);
  EXPECT_TRUE(w.stream().store().load(StreamSeq(1)));
}

}  // namespace
}  // namespace sluice::test
