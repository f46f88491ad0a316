#include "replicator/target_config.h"


#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "replicator/copy_subjects.h"

namespace sluice {
namespace {

const std::string kSource = R"({"config":{"name":"S","description":"d","subjects":["s.>","misc.*"],"retention":"limits","max_age":60,
  "num_replicas":3,"placement":{"cluster":"c"},"republish":{"src":">","dest":"r.>"},"allow_rollup_hdrs":true,"sealed":false,
  "metadata":{"_nats.ver":"2.15.2","owner":"me"}}})";

StreamCopyOptions options() {
  StreamCopyOptions o;
  o.target_stream = "T";
  return o;
}

TEST(TargetConfig, TakesTheListedFieldsAndNothingElse) {
  const auto made = target_config(kSource, options(), SubjectRewrite());
  ASSERT_TRUE(made);
  EXPECT_EQ(nlohmann::json::parse(*made), nlohmann::json::parse(R"({"name":"T","description":"d","subjects":["s.>","misc.*"],
    "retention":"limits","max_age":60,"allow_rollup_hdrs":true,"metadata":{"owner":"me"},"num_replicas":1})"));
}

TEST(TargetConfig, RewritesSubjectsAsMessages) {
  StreamCopyOptions o = options();
  o.target_subject_prefix = "F";
  o.target_subject_remove = "misc";
  const auto made = target_config(kSource, o, *SubjectRewrite::make(rewrite_rules(o)));
  EXPECT_EQ(nlohmann::json::parse(*made)["subjects"], (std::vector<std::string>{"F.s.>", "F.*"}));
}

TEST(TargetConfig, AMirrorHasNoSubjectsToCopy) {
  EXPECT_FALSE(target_config(R"({"config":{"name":"M","mirror":{"name":"S"}}})", options(), SubjectRewrite()));
  EXPECT_FALSE(target_config("no json", options(), SubjectRewrite()));
}

TEST(TargetConfig, ShowsDifferencesAndTakesThemAway) {
  const std::string target = R"({"config":{"name":"T","description":"d","subjects":["s.>","misc.*"],"retention":"limits","max_age":5,
    "max_bytes":0,"num_replicas":1,"allow_rollup_hdrs":true,"deny_purge":true,"metadata":{"_nats.ver":"2","owner":"me"},"placement":{"cluster":"x"}}})";
  const auto differences = config_differences(kSource, target, options(), SubjectRewrite());
  ASSERT_EQ(differences.size(), 2u);
  EXPECT_EQ(differences[0].field, "max_age");
  EXPECT_EQ(differences[0].source, "60");
  EXPECT_EQ(differences[0].target, "5");
  EXPECT_EQ(differences[1].field, "deny_purge");
  EXPECT_EQ(differences[1].source, "");
  const auto updated = updated_config(target, differences);
  ASSERT_TRUE(updated);
  EXPECT_TRUE(config_differences(kSource, R"({"config":)" + *updated + "}", options(), SubjectRewrite()).empty());
  EXPECT_EQ(nlohmann::json::parse(*updated)["placement"]["cluster"], "x") << "what is the target's own stays";
}

TEST(SubjectRewrite, AsStreamReplicatorDoesIt) {
  const auto rewrite = [](const std::string& prefix, const std::string& remove, const std::string& subject) {
    StreamCopyOptions o;
    o.target_subject_prefix = prefix;
    o.target_subject_remove = remove;
    return SubjectRewrite::make(rewrite_rules(o))->of_message(subject, 0);
  };
  EXPECT_EQ(rewrite("", "", "a.b"), "a.b");
  EXPECT_EQ(rewrite("FLEET", "NODE_DATA", "NODE_DATA.h1"), "FLEET.h1");
  EXPECT_EQ(rewrite("site1", "", "NODE_DATA.h1"), "site1.NODE_DATA.h1");
  EXPECT_EQ(rewrite("", "NODE_DATA.", "NODE_DATA.h1"), "h1");
  EXPECT_EQ(rewrite("", "NODE_DATA", "NODE_DATA.h1"), ".h1") << "a removed first token leaves its dot";
  EXPECT_EQ(rewrite("", "a", "banana.a.x"), "bnn.x") << "text, not tokens, everywhere";
}

TEST(SubjectRewrite, TransformsComeFirst) {
  StreamCopyOptions o;
  o.subject_transforms = {{"orders.*.>", "eu.{{wildcard(1)}}.>"}, {"orders.>", "never.>"}};
  o.target_subject_prefix = "x";
  const auto rewrite = SubjectRewrite::make(rewrite_rules(o));
  ASSERT_TRUE(rewrite);
  EXPECT_EQ(rewrite->of_message("orders.7.new", 0), "x.eu.7.new");
  EXPECT_EQ(rewrite->of_message("other", 0), "x.other");
  o.subject_transforms = {{"a.*", "b.{{wildcard(3)}}"}};
  EXPECT_FALSE(SubjectRewrite::make(rewrite_rules(o)));
}

}  // namespace
}  // namespace sluice
