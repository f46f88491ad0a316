#include "monitor/prometheus_text.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(PrometheusText, NothingIsNothing) { EXPECT_EQ(PrometheusText().text(), ""); }

TEST(PrometheusText, FamiliesInOrderOfAppearanceSamplesTogether) {
  PrometheusText out;
  out.counter("b_total", "Bees.", {{"kind", "x"}}, 1);
  out.gauge("a", "Ants.", {}, 2.5);
  out.counter("b_total", "Bees.", {{"kind", "y"}}, 3);
  EXPECT_EQ(out.text(),
            "# HELP b_total Bees.\n# TYPE b_total counter\nb_total{kind=\"x\"} 1\nb_total{kind=\"y\"} 3\n"
            "# HELP a Ants.\n# TYPE a gauge\na 2.5\n");
}

TEST(PrometheusText, LabelValuesAreEscaped) {
  PrometheusText out;
  out.gauge("g", "G.", {{"a", "back\\slash"}, {"b", "quo\"te"}, {"c", "line\nbreak"}, {"d", "tab\tblank {}"}}, 1);
  EXPECT_NE(out.text().find("g{a=\"back\\\\slash\",b=\"quo\\\"te\",c=\"line\\nbreak\",d=\"tab\tblank {}\"} 1\n"),
            std::string::npos)
      << out.text();
}

TEST(PrometheusText, LargeNumbersKeepTheirDigits) {
  PrometheusText out;
  out.counter("bytes_total", "B.", {}, 9007199254740992.0);  // 2^53
  out.counter("small_total", "S.", {}, 1234567890.0);
  out.gauge("part", "P.", {}, 0.1);
  const std::string text = out.text();
  const auto value = [&](const std::string& name) {
    return std::stod(text.substr(text.find("\n" + name + " ") + name.size() + 2));
  };
  EXPECT_EQ(value("bytes_total"), 9007199254740992.0) << text;
  EXPECT_EQ(value("small_total"), 1234567890.0) << text;
  EXPECT_EQ(value("part"), 0.1) << text;
}

}  // namespace
}  // namespace sluice
