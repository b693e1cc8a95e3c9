// The structured log: what a line looks like, what happens to hostile texts, and to a sink that is
// gone.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <thread>

#include "common/obs/log.h"

namespace klatch::obs {
namespace {

using std::chrono::milliseconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::string Json(std::string_view text, size_t bytes_max = 1000) {
  std::string out;
  AppendJsonString(out, text, bytes_max);
  return out;
}

TEST(LogTest, WritesOneJsonObjectPerLine) {
  const base::WallTime now{milliseconds(1'777'889'472'005)};
  EXPECT_EQ(
      FormatLogLine(now, Level::kWarn, "tailer", "gap \"seen\"",
                    {{"shard", 7}, {"ok", false}, {"ratio", 0.5}, {"name", "g\n"}}),
      "{\"ts\":\"2026-05-04T10:11:12.005Z\",\"level\":\"warn\",\"component\":\"tailer\","
      "\"msg\":\"gap \\\"seen\\\"\",\"shard\":7,\"ok\":false,\"ratio\":0.5,\"name\":\"g\\n\"}\n");
}

TEST(LogTest, EscapesWhatJsonForbids) {
  EXPECT_EQ(Json("a\"\\\b\f\n\r\t\x01\x7f"), "\"a\\\"\\\\\\u0008\\u000c\\n\\r\\t\\u0001\\u007f\"");
  EXPECT_EQ(Json(std::string_view("\0", 1)), "\"\\u0000\"");
  EXPECT_EQ(Json("über 🎉"), "\"über 🎉\"");
}

TEST(LogTest, ReplacesIllFormedUtf8) {
  const std::string replacement = "\xEF\xBF\xBD";
  EXPECT_EQ(Json("a\xff"
                 "b"),
            "\"a" + replacement + "b\"");
  EXPECT_EQ(Json("\xc3"), "\"" + replacement + "\"");
  EXPECT_EQ(Json("\xed\xa0\x80"), "\"" + replacement + replacement + replacement + "\"");
}

TEST(LogTest, WritesNumbersThatJsonHas) {
  const base::WallTime now{};
  const double infinity = std::numeric_limits<double>::infinity();
  const std::string line = FormatLogLine(now, Level::kInfo, "c", "m",
                                         {{"max", std::numeric_limits<uint64_t>::max()},
                                          {"min", std::numeric_limits<int64_t>::min()},
                                          {"inf", infinity},
                                          {"nan", std::nan("")}});
  EXPECT_THAT(line, EndsWith("\"max\":18446744073709551615,\"min\":-9223372036854775808,"
                             "\"inf\":null,\"nan\":null}\n"));
}

TEST(LogTest, CutsLongLinesBetweenCharactersAndSaysSo) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) {
    text += "ü";
  }
  const std::string line = FormatLogLine(base::WallTime{}, Level::kInfo, text, text,
                                         {{"a", text}, {"b", text}, {"c", 1}});
  EXPECT_LE(line.size(), kLogLineBytesMax);
  EXPECT_THAT(line, EndsWith(",\"truncated\":true}\n"));
  EXPECT_EQ(line.find("\xEF\xBF\xBD"), std::string::npos);
}

TEST(LogTest, CutStringsStayWithinTheirBound) {
  for (size_t bound = 2; bound < 40; ++bound) {
    const std::string cut = Json(
        "a\x01ü🎉\"\xff"
        "tail of the text",
        bound);
    EXPECT_LE(cut.size(), bound);
    EXPECT_EQ(cut.front(), '"');
    EXPECT_EQ(cut.back(), '"');
  }
}

TEST(LogTest, LeavesOutLinesBelowTheLevel) {
  CapturingSink sink;
  ScopedLogSink scope(sink);
  Log(Level::kDebug, "c", "hidden");
  SetLogLevel(Level::kDebug);
  Log(Level::kDebug, "c", "shown");
  SetLogLevel(Level::kError);
  Log(Level::kWarn, "c", "hidden");
  SetLogLevel(Level::kInfo);
  ASSERT_EQ(sink.lines().size(), 1u);
  EXPECT_THAT(sink.lines()[0], HasSubstr("\"shown\""));
}

TEST(LogTest, LinesOfManyThreadsNeverInterleave) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  constexpr int kThreads = 4;
  constexpr int kLines = 500;
  std::string received;
  std::thread reader([&] {
    char buffer[65536];
    for (ssize_t n = 0; (n = read(pipe_ends[0], buffer, sizeof(buffer))) > 0;) {
      received.append(buffer, static_cast<size_t>(n));
    }
  });
  {
    DescriptorSink sink(pipe_ends[1]);
    ScopedLogSink scope(sink);
    std::vector<std::thread> writers;
    for (int t = 0; t < kThreads; ++t) {
      writers.emplace_back([t] {
        const std::string text(1000, static_cast<char>('a' + t));
        for (int i = 0; i < kLines; ++i) {
          Log(Level::kInfo, "writer", text, {{"end", t}});
        }
      });
    }
    for (std::thread& writer : writers) {
      writer.join();
    }
  }
  close(pipe_ends[1]);
  reader.join();
  close(pipe_ends[0]);
  int lines = 0;
  for (size_t start = 0; start < received.size(); ++lines) {
    const size_t end = received.find('\n', start);
    const std::string line = received.substr(start, end - start);
    const size_t text = line.find("\"msg\":\"") + 7;
    const std::string expected(1000, line[text]);
    EXPECT_EQ(line.substr(text, 1000), expected);
    EXPECT_THAT(line, EndsWith("\"end\":" + std::to_string(line[text] - 'a') + "}"));
    start = end + 1;
  }
  EXPECT_EQ(lines, kThreads * kLines);
}

TEST(DescriptorSinkTest, SurvivesAClosedPipeAndAClosedDescriptor) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  close(pipe_ends[0]);
  DescriptorSink sink(pipe_ends[1]);
  sink.Write("lost\n");
  sink.Write("lost too\n");
  close(pipe_ends[1]);
  sink.Write("nowhere\n");
}

TEST(LogLimiterTest, AdmitsNPerSecondAndCountsTheRest) {
  LogLimiter limiter(2);
  const base::MonotonicTime start{};
  EXPECT_EQ(limiter.Admit(start), 0u);
  EXPECT_EQ(limiter.Admit(start), 0u);
  EXPECT_EQ(limiter.Admit(start + milliseconds(1)), std::nullopt);
  EXPECT_EQ(limiter.Admit(start + milliseconds(999)), std::nullopt);
  EXPECT_EQ(limiter.Admit(start + milliseconds(1000)), 2u);
  EXPECT_EQ(limiter.Admit(start + milliseconds(1001)), 0u);
  EXPECT_EQ(limiter.Admit(start + milliseconds(1002)), std::nullopt);
}

}  // namespace
}  // namespace klatch::obs
