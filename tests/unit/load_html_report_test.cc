// The page that is made of results: its plots have the points that they should, its text can't
// break out, and it asks for nothing else.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <set>

#include "bench/load/result/html_report.h"
#include "bench/load/result/report_figures.h"
#include "bench/load/result/svg_plot.h"
#include "tests/unit/load_result.h"

namespace klatch::load {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

size_t Occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

std::vector<std::string> LabelsOf(const Axis& axis) {
  std::vector<std::string> labels;
  for (const Axis::Tick& tick : axis.ticks()) {
    labels.push_back(tick.label);
  }
  return labels;
}

std::vector<std::string> HeadingsOf(const std::vector<Figure>& figures) {
  std::vector<std::string> headings;
  for (const Figure& figure : figures) {
    headings.push_back(figure.heading);
  }
  return headings;
}

TEST(AxisTest, LinearOnesGoFromZeroToTheTickAbove) {
  const Axis axis = Axis::Linear(30, 2'490, "1/s");
  EXPECT_THAT(LabelsOf(axis),
              ElementsAre("0/s", "500/s", "1,000/s", "1,500/s", "2,000/s", "2,500/s"));
  EXPECT_DOUBLE_EQ(axis.At(1'250), 0.5);
  EXPECT_DOUBLE_EQ(axis.At(9'999), 1);
  EXPECT_EQ(LabelsOf(Axis::Linear(0, 0, "")).front(), "0");
}

TEST(AxisTest, LogarithmicOnesHaveDecades) {
  const Axis axis = Axis::Log(120, 900'000, "µs");
  EXPECT_THAT(LabelsOf(axis), ElementsAre("100 µs", "1 ms", "10 ms", "100 ms", "1 s"));
  EXPECT_DOUBLE_EQ(axis.At(10'000), 0.5);
  EXPECT_DOUBLE_EQ(axis.At(0), 0);
  EXPECT_THAT(LabelsOf(Axis::Log(3, 8, "µs")), ElementsAre("2 µs", "5 µs", "10 µs"));
  EXPECT_FALSE(Axis::Log(0, 0, "µs").ticks().empty());
}

TEST(AxisTest, TimesAreRound) {
  EXPECT_THAT(LabelsOf(Axis::Time(119)),
              ElementsAre("0 s", "20 s", "40 s", "60 s", "80 s", "100 s"));
  EXPECT_THAT(LabelsOf(Axis::Time(1'799)),
              ElementsAre("0 s", "5 min", "10 min", "15 min", "20 min", "25 min"));
  EXPECT_EQ(LabelsOf(Axis::Time(86'399)).back(), "18 h");
  EXPECT_EQ(LabelsOf(Axis::Time(0)).front(), "0 s");
}

TEST(AxisTest, TicksNeedNoZerosBehindThePoint) {
  EXPECT_THAT(LabelsOf(Axis::Within(900'000, 1'400'000, "1/s")),
              ElementsAre("900 k/s", "1 M/s", "1.1 M/s", "1.2 M/s", "1.3 M/s", "1.4 M/s"));
  EXPECT_THAT(LabelsOf(Axis::Within(5, 5, "")).front(), "5");
}

TEST(AxisTest, PercentilesGiveEveryNineTheSameWidth) {
  const Axis axis = Axis::Percentiles(10'000);
  EXPECT_THAT(LabelsOf(axis), ElementsAre("0 %", "90 %", "99 %", "99.9 %", "99.99 %"));
  EXPECT_NEAR(axis.At(90), 0.25, 1e-9);
  EXPECT_NEAR(axis.At(99.9), 0.75, 1e-9);
  EXPECT_DOUBLE_EQ(axis.At(100), 1);
}

TEST(PlotTest, CurvesGoThroughTheirPointsAndStopAtGaps) {
  const Plot plot{"Lag",
                  "How far",
                  Axis::Linear(0, 10, ""),
                  Axis::Linear(0, 10, ""),
                  "seconds",
                  Plot::Kind::kLines,
                  {{"apply", {{0, 0}, {5, 10}, {6, std::nullopt}, {10, 5}}}}};
  const std::string html = PlotHtml(plot, "f1");
  EXPECT_THAT(html, HasSubstr("class=\"curve c0 d0\" d=\"M0.0 500.0h0L500.0 0.0M1000.0 250.0h0\""));
  EXPECT_THAT(html,
              HasSubstr("<title id=\"f1-title\">Lag</title><desc id=\"f1-desc\">How far</desc>"));
  EXPECT_THAT(html, HasSubstr("aria-labelledby=\"f1-title f1-desc\""));
}

TEST(PlotTest, PointsAreDotsWithoutLines) {
  const Plot plot{"Cost",
                  "",
                  Axis::Linear(0, 10, ""),
                  Axis::Linear(0, 10, ""),
                  "",
                  Plot::Kind::kPoints,
                  {{"klatchd", {{0, 0}, {5, 10}}}, {"redis", {{5, 5}}}}};
  EXPECT_THAT(PlotHtml(plot, "f"), HasSubstr("d=\"M0.0 500.0h0M500.0 0.0h0\""));
  EXPECT_THAT(PlotHtml(plot, "f"), HasSubstr("d=\"M500.0 250.0m-5 0h10\"")) << "other marks";
}

TEST(PlotTest, CurvesDifferInColourOrDashes) {
  std::set<std::string> looks;
  for (size_t i = 0; i < 36; ++i) {
    looks.insert(CurveClasses(i));
  }
  EXPECT_EQ(looks.size(), 36u);
}

TEST(ReportFiguresTest, PanelsStandInTheirOrderAndStrangersBehind) {
  Result result = ResultMaker().Make();
  result.series.insert(result.series.begin(), {"hit_rate", "cache", "1/s", {1.0, 2.0}});
  EXPECT_THAT(HeadingsOf(SeriesFigures(result)),
              ElementsAre("Operations per second", "Deliveries per second",
                          "How far each stage is behind", "In memory and not yet in Redis",
                          "Latency from second to second", "CPU", "Memory", "cache"));
}

TEST(ReportFiguresTest, AxesRepeatNoUnitThatDoesNotFitToTheValue) {
  const std::vector<Figure> figures = SeriesFigures(ResultMaker().Make());
  EXPECT_EQ(figures[0].plot.y.ticks()[1].label, "500/s");
  EXPECT_EQ(figures[3].plot.y.ticks()[0].label, "0") << "of entries, on no logarithmic scale";
  EXPECT_EQ(figures[6].plot.y.ticks().back().label, "800 MB");
}

TEST(ReportFiguresTest, EverySecondIsAPointAndARow) {
  const Result result = ResultMaker(120).Make();
  const Figure figure = SeriesFigures(result)[2];
  ASSERT_EQ(figure.plot.curves.size(), 2u);
  EXPECT_EQ(figure.plot.curves[0].name, "append");
  ASSERT_EQ(figure.plot.curves[0].points.size(), 120u);
  EXPECT_EQ(figure.plot.curves[0].points[7].y, result.series[3].points[7]);
  EXPECT_FALSE(figure.plot.curves[0].points[51].y.has_value());
  EXPECT_EQ(figure.numbers.rows.size(), 120u);
  EXPECT_EQ(figure.numbers.rows[51].cells[1], "–");
}

TEST(ReportFiguresTest, ADayIsThinnedAndItsWorstSecondStays) {
  Result result;
  result.series = {{"lag_append", "lag", "ms", {}}, {"answered", "rate", "1/s", {}}};
  for (Series& series : result.series) {
    series.points.assign(Result::kSeriesSecondsMax, 5.0);
    series.points[50'000] = 9'000;
  }
  const std::vector<Figure> figures = SeriesFigures(result);
  EXPECT_LE(figures[0].plot.curves[0].points.size(), Figure::kPointsMax);
  EXPECT_THAT(figures[0].remark, HasSubstr("the mean of 240 seconds"));
  EXPECT_EQ(figures[0].summary.caption, "Each curve, in 1/s");
  EXPECT_EQ(figures[0].summary.rows[0].cells[4], "9,000") << "of the seconds themselves";
  EXPECT_NEAR(*figures[0].plot.curves[0].points[50'000 / 240].y, 5 + 8'995 / 240.0, 1e-9);
  EXPECT_THAT(figures[1].remark, HasSubstr("the worst of 240 seconds"));
  EXPECT_EQ(figures[1].plot.curves[0].points[50'000 / 240].y, 9'000);
}

TEST(ReportFiguresTest, TheSpectrumEndsAtTheMaximum) {
  const Result result = ResultMaker(10).Make();
  const std::vector<Figure> figures = SpectrumFigures(result);
  ASSERT_EQ(figures.size(), 1u);
  ASSERT_EQ(figures[0].plot.curves.size(), 3u);
  const Curve::Point& last = figures[0].plot.curves[0].points.back();
  EXPECT_DOUBLE_EQ(last.x, 100);
  EXPECT_EQ(last.y, static_cast<double>(result.latencies[0].max));
  EXPECT_TRUE(SpectrumFigures(Result()).empty());
}

TEST(ReportFiguresTest, CostIsCpuOverDeliveries) {
  Result result;
  result.summary.published = 10;
  result.summary.deliveries = 4'000;
  result.costs = {{"CPU of klatchd per delivery", "µs", 0.5},
                  {"CPU of klatchd per operation", "µs", 5}};
  result.series = {{"deliveries_memory", "deliveries", "1/s", {1'000'000, 0, 500'000}},
                   {"cpu_klatchd", "cpu", "cores", {0.5, 0.1, 0.4}}};
  const std::vector<Figure> of_one = CostFigures({result});
  ASSERT_EQ(of_one.size(), 1u);
  ASSERT_EQ(of_one[0].plot.curves.size(), 1u);
  const std::vector<Curve::Point>& seconds = of_one[0].plot.curves[0].points;
  ASSERT_EQ(seconds.size(), 2u) << "a second without deliveries has no cost of one";
  EXPECT_DOUBLE_EQ(seconds[0].x, 500'000);
  EXPECT_DOUBLE_EQ(*seconds[0].y, 0.8);
  EXPECT_DOUBLE_EQ(*seconds[1].y, 0.5);
  const std::vector<Figure> of_two = CostFigures({result, result});
  ASSERT_EQ(of_two[0].plot.curves.size(), 1u);
  EXPECT_EQ(of_two[0].plot.curves[0].name, "klatchd");
  ASSERT_EQ(of_two[0].plot.curves[0].points.size(), 2u);
  EXPECT_DOUBLE_EQ(of_two[0].plot.curves[0].points[0].x, 400);
  EXPECT_TRUE(CostFigures({Result()}).empty());
}

TEST(HtmlReportTest, NoTextBreaksOut) {
  const std::string attack = "<script>alert(1)</script>\"'><img src=x>&\x01";
  Result result = ResultMaker(10).Make();
  result.name = result.started = result.verdict = result.sentence = result.command = attack;
  result.arrivals = attack;
  result.machine = result.options = {{attack, attack}};
  result.more.examples = {attack};
  result.latencies[0].name = result.latencies[0].what = attack;
  result.costs[0].name = result.costs[0].unit = attack;
  result.series.push_back({attack, attack, attack, {1.0}});
  for (const std::vector<Result>& results :
       {std::vector<Result>{result}, std::vector<Result>{result, result}}) {
    const std::string html = HtmlReport(results);
    EXPECT_EQ(Occurrences(html, "<script>"), 1u) << "ours alone";
    EXPECT_THAT(html, Not(HasSubstr("<img")));
    EXPECT_THAT(html, Not(HasSubstr("\"'>")));
    EXPECT_EQ(html.find('\x01'), std::string::npos);
    EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;"));
  }
}

TEST(HtmlReportTest, NothingElseIsAskedFor) {
  const std::string html = HtmlReport({ResultMaker(10).Make()});
  for (const char* part : {"src=", "href=", "url(", "@import", "http:", "https:", "<link"}) {
    EXPECT_THAT(html, Not(HasSubstr(part))) << part;
  }
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
}

TEST(HtmlReportTest, IdsAreThereOnceAndTagsAreClosed) {
  const Result result = ResultMaker(30).Make();
  const std::string html = HtmlReport({result, result});
  std::set<std::string> ids;
  const std::regex id(" id=\"([^\"]*)\"");
  size_t count = 0;
  for (std::sregex_iterator match(html.begin(), html.end(), id), end; match != end; ++match) {
    ids.insert((*match)[1]);
    ++count;
  }
  EXPECT_GT(count, 10u);
  EXPECT_EQ(ids.size(), count);
  for (const char* tag : {"figure", "table", "div", "dl", "ul", "svg", "section", "details", "p"}) {
    const std::string name(tag);
    EXPECT_EQ(Occurrences(html, "<" + name + ">") + Occurrences(html, "<" + name + " "),
              Occurrences(html, "</" + name + ">"))
        << tag;
  }
}

TEST(HtmlReportTest, SaysWhatCameOutAndHowToPlayItAgain) {
  Result result = ResultMaker(10).Make();
  result.summary.leaked = 3;
  result.summary.paths[static_cast<size_t>(Surface::kHttp)].leaked = 3;
  result.verdict = "missed";
  const std::string html = HtmlReport({result});
  EXPECT_THAT(html, HasSubstr("<p class=\"verdict\"><b>✗ missed</b>"));
  EXPECT_THAT(html, HasSubstr("<td class=\"wrong\">3</td>"));
  EXPECT_THAT(html, HasSubstr("<code>klatch-load play --group-size=400 --persons=100000"));
  EXPECT_THAT(html, HasSubstr("<dt>group-size</dt><dd>400</dd>"));
}

TEST(HtmlReportTest, StrangeValuesMakeAPage) {
  Result result = ResultMaker(10).Make();
  const std::vector<std::optional<double>> strange = {
      0.0, -1.0, 1e-310, 1e308, -1e308, 1e18, 1e18 + 1'000, std::nullopt, INFINITY, std::nan("")};
  for (Series& series : result.series) {
    series.points = strange;
  }
  for (Cost& cost : result.costs) {
    cost.value = std::nan("");
  }
  result.summary.seconds = INFINITY;
  result.offered_per_second = 1e308;
  result.latencies[0].max = UINT64_MAX;
  result.latencies[0].buckets = {{0, 1}, {UINT64_MAX, 1}};
  result.latencies[0].count = 2;
  for (const std::vector<Result>& results :
       {std::vector<Result>{result}, std::vector<Result>{result, result}}) {
    const std::string html = HtmlReport(results);
    EXPECT_LT(html.size(), 1u << 20);
    EXPECT_FALSE(std::regex_search(html, std::regex("(style|d|data-x)=\"[^\"]*(nan|inf)")));
  }
}

TEST(HtmlReportTest, AnEmptyResultIsAPage) {
  EXPECT_THAT(HtmlReport({Result()}), HasSubstr("Not checked"));
}

}  // namespace
}  // namespace klatch::load
