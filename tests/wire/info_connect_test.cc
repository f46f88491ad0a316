#include "wire/info_connect.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Connect, MissingKeysHaveTheProtocolsDefaults) {
  EXPECT_TRUE(parse_connect("null"));
  const auto options = parse_connect("{}");
  ASSERT_TRUE(options);
  EXPECT_TRUE(options->verbose);
  EXPECT_TRUE(options->pedantic);
  EXPECT_TRUE(options->echo);
  EXPECT_FALSE(options->headers);
  EXPECT_FALSE(options->no_responders);
  EXPECT_EQ(options->protocol, 0);
}

TEST(Connect, ReadsWhatClientsSend) {
  const auto options = parse_connect(
      R"({"verbose":false,"pedantic":false,"Echo":false,"headers":true,"no_responders":true,"protocol":1,)"
      R"("tls_required":false,"name":"c\u00e4","lang":"go","version":"1.2","user":"u","pass":"p","auth_token":null,)"
      R"("jwt":"j","nkey":"n","sig":"s","account":"A","new_account":true,"later":{"x":[1]}})");
  ASSERT_TRUE(options);
  EXPECT_FALSE(options->verbose);
  EXPECT_FALSE(options->pedantic);
  EXPECT_FALSE(options->echo);
  EXPECT_TRUE(options->headers);
  EXPECT_TRUE(options->no_responders);
  EXPECT_EQ(options->protocol, 1);
  EXPECT_EQ(options->name, "c\u00e4");
  EXPECT_EQ(options->lang, "go");
  EXPECT_EQ(options->version, "1.2");
  EXPECT_EQ(options->user, "u");
  EXPECT_EQ(options->pass, "p");
  EXPECT_EQ(options->auth_token, "");
  EXPECT_EQ(options->jwt, "j");
  EXPECT_EQ(options->nkey, "n");
  EXPECT_EQ(options->sig, "s");
  EXPECT_EQ(options->account, "A");
  EXPECT_TRUE(options->new_account);
}

TEST(Connect, RefusesWhatIsNoConnect) {
  for (const char* bad : {"", "[]", "{", "{\"verbose\":1}", "{\"name\":true}",
                          "{\"protocol\":\"1\"}", "{} x", "garbage"}) {
    EXPECT_FALSE(parse_connect(bad)) << bad;
  }
}

TEST(Info, FieldsInTheServersOrder) {
  InfoOptions options;
  options.server_id = "NABC";
  options.server_name = "probe";
  options.version = "2.15.2";
  options.go = "go1.26.8";
  options.host = "127.0.0.1";
  options.port = 24222;
  options.auth_required = true;
  options.max_payload = 1024;
  options.client_id = 6;
  options.client_ip = "127.0.0.1";
  options.api_lvl = 5;
  options.xkey = "XABC";
  EXPECT_EQ(
      make_info_line(options),
      R"(INFO {"server_id":"NABC","server_name":"probe","version":"2.15.2","proto":1,"go":"go1.26.8",)"
      R"("host":"127.0.0.1","port":24222,"headers":true,"auth_required":true,"max_payload":1024,)"
      R"("client_id":6,"client_ip":"127.0.0.1","api_lvl":5,"xkey":"XABC"} )"
      "\r\n");
}

TEST(Info, OptionalFieldsAndBrokenText) {
  InfoOptions options;
  options.jetstream = true;
  options.nonce = "n";
  options.cluster = "\xff";
  options.domain = "hub";
  options.connect_urls = {"a:1", "b:2"};
  options.ldm = true;
  options.connect_info = true;
  options.remote_account = "$G";
  options.acc_is_sys = true;
  const std::string line = make_info_line(options);
  EXPECT_NE(line.find(R"("jetstream":true,"nonce":"n","cluster":)"), std::string::npos) << line;
  EXPECT_NE(
      line.find(R"("domain":"hub","connect_urls":["a:1","b:2"],"ldm":true,"connect_info":true,)"
                R"("remote_account":"$G","acc_is_sys":true} )"),
      std::string::npos)
      << line;
}

}  // namespace
}  // namespace sluice
