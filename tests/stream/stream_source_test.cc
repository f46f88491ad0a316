// Mirrors and sources in the configuration: what is refused, in which words, and what is shown. The
// texts were read off nats-server 2.15.2.
#include "stream/stream_source.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "base/api_error.h"
#include "stream/source_positions.h"
#include "stream/stream_config.h"
#include "stream/stream_meta.h"

namespace sluice {
namespace {

class StreamSources : public testing::Test {
 protected:
  StreamSources() { have(R"({"name":"O","subjects":["o.>"],"allow_direct":true,"max_msg_size":100})"); }

  StreamLookup lookup() {
    return [this](std::string_view name) {
      const auto found = streams_.find(std::string(name));
      return found == streams_.end() ? nullptr : &found->second;
    };
  }
  Result<StreamConfig> check(std::string_view json) {
    const auto request = parse_stream_request(json);
    if (!request) return std::unexpected(request.error());
    return check_stream_config(*request, {}, lookup());
  }
  void have(std::string_view json) {
    const auto config = check(json);
    ASSERT_TRUE(config) << config.error().detail;
    streams_[config->name] = *config;
  }
  std::string why_not(std::string_view json) {
    const auto config = check(json);
    if (config) return "accepted";
    return std::to_string(config.error().api_code) + " " +
           api_error_text(config.error().api_code, config.error().detail).description;
  }

  std::map<std::string, StreamConfig> streams_;
};

TEST_F(StreamSources, RoundTripThroughTheMeta) {
  const auto c = check(
      R"({"name":"S","sources":[{"name":"O","opt_start_seq":7,"filter_subject":"o.a"},
          {"name":"P","opt_start_time":"2024-01-02T03:04:05Z",
           "subject_transforms":[{"src":"p.*","dest":"q.$1"},{"src":"r","dest":""}],
           "external":{"api":"$JS.hub.API","deliver":"d"}},
          {"name":"Q","consumer":{"name":"c","deliver_subject":"x.y"}}]})");
  ASSERT_TRUE(c) << c.error().detail;
  EXPECT_TRUE(c->subjects.empty());
  EXPECT_EQ(c->duplicate_window.count(), 0);
  const auto meta = parse_stream_meta(stream_meta_json(*c, 5));
  ASSERT_TRUE(meta) << meta.error().detail;
  EXPECT_EQ(meta->config, *c);
  EXPECT_NE(stream_config_json(*c, nullptr)
                .find(R"("sources":[{"name":"O","opt_start_seq":7,"filter_subject":"o.a"},{"name":"P",)"
                      R"("opt_start_time":"2024-01-02T03:04:05Z","subject_transforms":[{"src":"p.*",)"
                      R"("dest":"q.$1"},{"src":"r","dest":""}],"external":{"api":"$JS.hub.API",)"
                      R"("deliver":"d"}},{"name":"Q","consumer":{"name":"c","deliver_subject":"x.y"}}],)"
                      R"("compression")"),
            std::string::npos);
}

TEST_F(StreamSources, AreStrict) {
  EXPECT_EQ(why_not(R"({"name":"M","mirror":{"name":"O","foo":1}})").substr(0, 5), "10025");
  EXPECT_EQ(why_not(R"({"name":"M","sources":{"name":"O"}})").substr(0, 5), "10025");
  EXPECT_EQ(why_not(R"({"name":"M","sources":[{"name":"O","external":{"x":1}}]})").substr(0, 5), "10025");
}

TEST_F(StreamSources, RefuseBadMirrors) {
  const auto mirror = [this](std::string_view members, std::string_view rest = "") {
    return why_not(fmt::format(R"({{"name":"M","mirror":{{"name":"O"{}}}{}}})", members, rest));
  };
  EXPECT_EQ(mirror("", R"(,"first_seq":3)"), "10143 stream mirrors can not have first sequence configured");
  EXPECT_EQ(mirror("", R"(,"subjects":["x"])"), "10034 stream mirrors can not contain subjects");
  EXPECT_EQ(mirror("", R"(,"sources":[{"name":"O"}])"),
            "10031 stream mirrors can not also contain other sources");
  EXPECT_EQ(mirror(R"(,"consumer":{"name":"a.b"})"), "10213 stream mirror consumer config is invalid");
  EXPECT_EQ(mirror(R"(,"consumer":{"name":"c"})"), "10213 stream mirror consumer config is invalid");
  EXPECT_EQ(mirror(R"(,"consumer":{"name":"c","deliver_subject":"x.*"})"),
            "10213 stream mirror consumer config is invalid");
  EXPECT_EQ(mirror(R"(,"consumer":{"name":"c","deliver_subject":"x"},"opt_start_seq":3)"),
            "10213 stream mirror consumer config is invalid");
  EXPECT_EQ(mirror(R"(,"filter_subject":"o.a","subject_transforms":[{"src":"o.b","dest":""}])"),
            "10150 mirror with multiple subject transforms cannot also have a single subject filter");
  EXPECT_EQ(mirror(R"(,"filter_subject":"o..a")"), "10049 subject filter 'o..a' for the mirror invalid subject");
  EXPECT_EQ(mirror(R"(,"subject_transforms":[{"src":"o..b","dest":"x"}])"),
            "10151 mirror transform source: invalid subject o..b");
  EXPECT_EQ(mirror(R"(,"subject_transforms":[{"src":"o.*","dest":"x.$3"}])"),
            "10154 mirror transform: invalid mapping destination: wildcard index out of range in $3: [3]");
  EXPECT_EQ(mirror(R"(,"subject_transforms":[{"src":"o.*","dest":"x.$1"},{"src":"o.a","dest":"x"}])"),
            "10152 mirror subject filters can not overlap");
  EXPECT_EQ(why_not(R"({"name":"M","mirror":{}})"), "10142 mirrored stream name is invalid");
  EXPECT_EQ(mirror("", R"(,"max_msg_size":50)"),
            "10030 stream mirror must have max message size >= source");
  EXPECT_EQ(why_not(R"({"name":"M","mirror":{"name":"M"}})"), "10052 detected cycle");
  EXPECT_EQ(why_not(R"({"name":"M","mirror_direct":true})"), "accepted");  // a promoted mirror may keep it
  EXPECT_EQ(mirror("", R"(,"pedantic":true)"),
            "10157 pedantic mode: origin stream has direct get set, mirror has it disabled");
  EXPECT_EQ(mirror(R"(,"opt_start_seq":3,"opt_start_time":"2020-01-01T00:00:00Z")"), "accepted");
}

TEST_F(StreamSources, RefuseBadSources) {
  const auto source = [this](std::string_view members, std::string_view rest = "") {
    return why_not(fmt::format(R"({{"name":"S","sources":[{{"name":"O"{}}}]{}}})", members, rest));
  };
  EXPECT_EQ(why_not(R"({"name":"S","sources":[{"name":"a b"}]})"), "10141 sourced stream name is invalid");
  EXPECT_EQ(why_not(R"({"name":"S","sources":[{"name":"O"},{"name":"O"}]})"),
            "10140 duplicate source configuration detected");
  EXPECT_EQ(why_not(R"({"name":"S","sources":[{"name":"O"},{"name":"O","filter_subject":"o.a"}]})"), "accepted");
  EXPECT_EQ(source(R"(,"filter_subject":"o.a","subject_transforms":[{"src":"o.b","dest":""}])"),
            "10144 source with multiple subject transforms cannot also have a single subject filter");
  EXPECT_EQ(source(R"(,"subject_transforms":[{"src":"o..b","dest":"x"}])"),
            "10145 source transform source: invalid subject o..b");
  EXPECT_EQ(source(R"(,"subject_transforms":[{"src":"o.*","dest":"x.$3"}])"),
            "10146 source transform: invalid mapping destination: wildcard index out of range in $3: [3]");
  EXPECT_EQ(source(R"(,"subject_transforms":[{"src":"o.*","dest":"x.$1"},{"src":"o.a","dest":"x"}])"),
            "10147 source filters can not overlap");
  EXPECT_EQ(source(R"(,"consumer":{})"), "10215 stream source consumer config is invalid");
  EXPECT_EQ(why_not(R"({"name":"S","sources":[{"name":"O","consumer":{"name":"c","deliver_subject":"d"}},
                        {"name":"O","consumer":{"name":"c","deliver_subject":"d2"}}]})"),
            "10140 duplicate source configuration detected");
  EXPECT_EQ(why_not(R"({"name":"S","sources":[{"name":"O","consumer":{"name":"c","deliver_subject":"d"}},
                        {"name":"O","subject_transforms":[{"src":"o.a","dest":""}],
                         "consumer":{"name":"c","deliver_subject":"d2"}}]})"),
            "10216 duplicate stream source consumer detected");
  EXPECT_EQ(source("", R"(,"max_msg_size":50)"),
            "10046 stream source must have max message size >= target");
  EXPECT_EQ(source(R"(,"filter_subject":"o..a")"),
            "10049 subject filter 'o..a' for the source: invalid subject");
}

TEST_F(StreamSources, RefuseBadExternals) {
  const auto external = [this](std::string_view api, std::string_view deliver) {
    return why_not(fmt::format(
        R"({{"name":"S","sources":[{{"name":"X","external":{{"api":"{}","deliver":"{}"}}}}]}})", api, deliver));
  };
  EXPECT_EQ(external("$JS.hub.API", "x.*"), "10024 stream external delivery prefix x.* must not contain wildcards");
  EXPECT_EQ(external("$JS.hub.*", "x"),
            "10052 stream external api prefix \"$JS.hub.*\" must be a valid subject without wildcards");
  EXPECT_EQ(external("$JS.API", "x"),
            "10021 stream external api prefix $JS.API must not overlap with $JS.API");
  EXPECT_EQ(external("$JS.API.X", ""), "accepted");
  EXPECT_EQ(external("", "k"), "accepted");
}

TEST_F(StreamSources, FindCycles) {
  have(R"({"name":"C1","sources":[{"name":"C3"}]})");
  have(R"({"name":"C2","sources":[{"name":"C1"}]})");
  EXPECT_EQ(why_not(R"({"name":"C3","sources":[{"name":"C2"}]})"), "10052 detected cycle");
  EXPECT_EQ(why_not(R"({"name":"C3","subjects":["c"],"sources":[{"name":"C2","filter_subject":"q"}]})"),
            "10052 detected cycle");
  EXPECT_EQ(why_not(R"({"name":"A","subjects":["a"],"sources":[{"name":"A","filter_subject":"zz"}]})"), "accepted");
  EXPECT_EQ(why_not(R"({"name":"A","subjects":["a"],"sources":[{"name":"A","filter_subject":"a"}]})"),
            "10052 detected cycle");
  EXPECT_EQ(why_not(R"({"name":"C3","sources":[{"name":"C2","external":{"api":"$JS.x.API","deliver":""}}]})"),
            "accepted");
}

TEST_F(StreamSources, MirrorsTakeOverDirectGet) {
  EXPECT_TRUE(check(R"({"name":"M","mirror":{"name":"O"}})")->mirror_direct);
  EXPECT_FALSE(check(R"({"name":"M","mirror":{"name":"unknown"}})")->mirror_direct);
}

TEST_F(StreamSources, MirrorsCanOnlyBePromoted) {
  const StreamConfig mirror = *check(R"({"name":"M","mirror":{"name":"O"}})");
  StreamConfig other = *check(R"({"name":"M","mirror":{"name":"O","filter_subject":"o.a"}})");
  EXPECT_EQ(check_stream_update(mirror, other).error().api_code, 10055);
  StreamConfig plain = *check(R"({"name":"M"})");
  EXPECT_EQ(plain.subjects, std::vector<std::string>{"M"});
  EXPECT_TRUE(check_stream_update(mirror, plain));
  StreamConfig same = mirror;
  EXPECT_EQ(check_stream_update(plain, same).error().api_code, 10055);
}

TEST_F(StreamSources, ShowTheirState) {
  const StreamConfig c = *check(R"({"name":"S","sources":[{"name":"O","filter_subject":"o.a"}]})");
  EXPECT_EQ(source_info_json(c.sources[0], {}),
            R"({"name":"O","lag":0,"active":-1,"filter_subject":"o.a"})");
  EXPECT_EQ(source_info_json(c.sources[0], {.lag = 3, .seq = 9, .active_ns = 7,
                                            .error = Error{Errc::kTimeout, 10045, "gone"}}),
            R"({"name":"O","lag":3,"seq":9,"active":7,"error":{"code":500,"err_code":10045,)"
            R"("description":"gone"},"filter_subject":"o.a"})");
}

TEST(SourceHeader, IsReadInAllItsForms) {
  const auto full = parse_source_header("DN:abcd 2 a.> b.> dn.a i9cOh6er");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->key, "DN:abcd a.> b.>");
  EXPECT_EQ(full->seq, 2u);
  EXPECT_EQ(full->identity, "i9cOh6er");
  EXPECT_EQ(parse_source_header("DN 7")->key, "DN > >");
  EXPECT_EQ(parse_source_header("DN 7 > > a")->identity, "");
  EXPECT_FALSE(parse_source_header("DN"));
  EXPECT_FALSE(parse_source_header("DN x"));
  EXPECT_FALSE(parse_source_header(""));
  EXPECT_FALSE(parse_source_header("DN 99999999999999999999"));
}

}  // namespace
}  // namespace sluice
