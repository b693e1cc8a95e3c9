// A result as JSON and back, files that are refused, and the files of distributions.

#include "tests/unit/load_result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "bench/load/result/result_file.h"
#include "bench/load/result/value_text.h"
#include "common/base/whole_file.h"

namespace klatch::load {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ResultFileTest : public ::testing::Test {
 protected:
  ResultFileTest() {
    std::string name = std::filesystem::temp_directory_path() / "klatch-result-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~ResultFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ / name; }
  // What is said of a file with this text, without its name.
  std::string Refusal(const std::string& text) const {
    std::ofstream(Path("result.json")) << text;
    const absl::Status status = ReadResultFile(Path("result.json")).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    const std::string message = base::MessageOf(status);
    const std::string name = Path("result.json") + ": ";
    EXPECT_THAT(message, StartsWith(name));
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message.substr(std::min(name.size(), message.size()));
  }

  std::filesystem::path folder_;
};

// The text with the first `from` replaced. REQUIRES: it is there.
std::string With(std::string text, const std::string& from, const std::string& to) {
  const size_t place = text.find(from);
  EXPECT_NE(place, std::string::npos) << from;
  return place == std::string::npos ? text : text.replace(place, from.size(), to);
}

TEST_F(ResultFileTest, WhatIsReadIsWhatWasWritten) {
  Result result = ResultMaker().Make();
  result.summary.paths[static_cast<size_t>(Surface::kResumedWatch)] = {1, 2, 3};
  result.more.examples = {"update \"5\" was lost\nfor <ann>", "ünïcode"};
  result.more.departed = {7, 9};
  result.options["redis"] = "unix:/run/\\a \"b\"";
  ASSERT_TRUE(WriteResultFile(Path("result.json"), result).ok());
  const absl::StatusOr<Result> read = ReadResultFile(Path("result.json"));
  ASSERT_TRUE(read.ok()) << read.status();
  // All fields are in the text, so equal texts are equal results; some are looked at besides.
  EXPECT_EQ(EncodeResult(*read), EncodeResult(result));
  EXPECT_EQ(read->summary.paths[static_cast<size_t>(Surface::kResumedWatch)].leaked, 3u);
  EXPECT_EQ(read->more.examples, result.more.examples);
  EXPECT_EQ(read->more.departed.all, 9u);
  EXPECT_EQ(read->options, result.options);
  EXPECT_EQ(read->latencies[1].buckets, result.latencies[1].buckets);
  EXPECT_EQ(read->series[3].points, result.series[3].points);
  EXPECT_FALSE(read->series[3].points[51].has_value());
  EXPECT_TRUE(read->more.checked);
}

TEST_F(ResultFileTest, NumbersThatADoubleCantHoldAreStrings) {
  Result result;
  result.more.seed = (uint64_t{1} << 53) + 1;
  result.summary.deliveries = uint64_t{1} << 53;
  const std::string text = EncodeResult(result);
  EXPECT_THAT(text, HasSubstr("\"seed\":\"9007199254740993\""));
  EXPECT_THAT(text, HasSubstr("\"deliveries\":9007199254740992,"));
  EXPECT_EQ(DecodeResult(text)->more.seed, result.more.seed);
}

TEST_F(ResultFileTest, NumbersThatAreNoneAreNull) {
  Result result;
  result.costs = {{"CPU per delivery", "µs", std::nan("")}};
  result.series = {{"lag", "lag", "ms", {1.5, std::nullopt, INFINITY}}};
  const std::string text = EncodeResult(result);
  EXPECT_THAT(text, HasSubstr("\"points\":[1.5,null,null]"));
  const absl::StatusOr<Result> read = DecodeResult(text);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(std::isnan(read->costs[0].value));
  EXPECT_FALSE(read->series[0].points[2].has_value());
}

TEST(SpectrumTest, AnswersAsItsHistogramDid) {
  obs::LatencyHistogram histogram;
  EXPECT_EQ(PercentileOf(MakeSpectrum("none", "", histogram), 99), 0u);
  for (int64_t value = 1; value < 200'000; value += 7) {
    histogram.Record(value);
  }
  const Spectrum spectrum = MakeSpectrum("publish", "", histogram);
  EXPECT_EQ(spectrum.count, histogram.Count());
  EXPECT_EQ(spectrum.p999, histogram.Percentile(99.9));
  EXPECT_EQ(spectrum.max, histogram.Max());
  for (const double percent : {0.0, 1.0, 50.0, 99.0, 99.99, 100.0}) {
    EXPECT_EQ(PercentileOf(spectrum, percent), histogram.Percentile(percent)) << percent;
  }
}

TEST_F(ResultFileTest, EveryCutIsRefused) {
  const std::string good = EncodeResult(ResultMaker(3).Make());
  for (size_t size = 0; size + 2 < good.size(); size += 61) {
    EXPECT_FALSE(DecodeResult(good.substr(0, size)).ok()) << size;
  }
}

TEST(ValueTextTest, ThreeDigitsAtAFittingScale) {
  EXPECT_EQ(ValueText(0.62, "µs"), "0.62 µs");
  EXPECT_EQ(ValueText(999.7, "µs"), "1.00 ms");
  EXPECT_EQ(ValueText(28'123, "µs"), "28.1 ms");
  EXPECT_EQ(ValueText(1'900, "ms"), "1.90 s");
  EXPECT_EQ(ValueText(0, "ms"), "0 µs");
  EXPECT_EQ(ValueText(5'300, "bytes"), "5.30 kB");
  EXPECT_EQ(ValueText(2'480, "1/s"), "2,480/s");
  EXPECT_EQ(ValueText(992'345, "1/s"), "992 k/s");
  EXPECT_EQ(ValueText(1'234'567, "1/s"), "1.23 M/s");
  EXPECT_EQ(ValueText(0.5, "cores"), "0.5 cores");
  EXPECT_EQ(ValueText(-12.34, ""), "-12.3");
  EXPECT_EQ(ValueText(std::nan(""), "µs"), "–");
  EXPECT_EQ(ChangeText(1.1234), "+12.3 %");
  EXPECT_EQ(ChangeText(0.96), "−4.0 %");
}

TEST_F(ResultFileTest, BytesThatAreNoTextAreReplaced) {
  Result result;
  result.more.examples = {"person \xff\xfe"};
  const absl::StatusOr<Result> read = DecodeResult(EncodeResult(result));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->more.examples[0], "person \xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST_F(ResultFileTest, WhatIsNoResultIsRefusedWithItsReason) {
  const std::string good = EncodeResult(ResultMaker(3).Make());
  EXPECT_EQ(Refusal(""), "is cut off: its JSON has no end");
  EXPECT_EQ(Refusal(good.substr(0, good.size() / 2)), "is cut off: its JSON has no end");
  EXPECT_EQ(Refusal("hello"), "is no JSON: wrong at byte 1");
  EXPECT_EQ(Refusal(good + "}"), "is no JSON: wrong at byte " + std::to_string(good.size() + 1));
  EXPECT_EQ(Refusal("[1e999999]"), "has a number that nobody can hold");
  EXPECT_EQ(Refusal("{\"persons\":5}"), "is no result of klatch-load");
  EXPECT_EQ(Refusal("[]"), "is no result of klatch-load");
  EXPECT_EQ(Refusal(With(good, "\"klatch_load_result\":1", "\"klatch_load_result\":2")),
            "is a result of schema \"2\"; this klatch-load reads 1");
}

TEST_F(ResultFileTest, AFieldThatIsWrongIsNamed) {
  const std::string good = EncodeResult(ResultMaker(3).Make());
  EXPECT_EQ(Refusal(With(good, "\"lost\":", "\"last\":")), "summary.lost is missing");
  EXPECT_EQ(Refusal(With(good, "\"persons\":100000,", "\"persons\":-1,")),
            "summary.persons wants a whole number of 64 bits, not a value of type number");
  EXPECT_EQ(Refusal(With(good, "\"connections\":4", "\"connections\":4294967296")),
            "more.connections wants a whole number of 32 bits, not a value of type number");
  EXPECT_EQ(Refusal(With(good, "\"seed\":1", "\"seed\":\"18446744073709551616\"")),
            "more.seed wants a whole number of 64 bits, not a value of type string");
  EXPECT_EQ(Refusal(With(good, "\"checked\":true", "\"checked\":null")),
            "more.checked wants true or false, not null");
  EXPECT_EQ(Refusal(With(good, "\"points\":[2500.0,", "\"points\":[\"x\",")),
            "series[0].points[0] wants a number, not a value of type string");
  EXPECT_EQ(Refusal(With(good, "\"cores\":\"2\"", "\"cores\":2")),
            "machine[\"cores\"] wants a string, not a value of type number");
  EXPECT_EQ(Refusal(With(good, "\"latencies\":[{", "\"latencies\":[5,{")),
            "latencies[0] wants an object, not a value of type number");
}

TEST_F(ResultFileTest, BucketsMustRiseAndHoldWhatIsCounted) {
  Result result;
  result.latencies.resize(1);
  result.latencies[0].name = "publish";
  result.latencies[0].count = 3;
  result.latencies[0].buckets = {{5, 1}, {9, 2}};
  EXPECT_TRUE(DecodeResult(EncodeResult(result)).ok());
  result.latencies[0].count = 4;
  EXPECT_EQ(Refusal(EncodeResult(result)),
            "the buckets of latency \"publish\" hold 3 values, not 4");
  result.latencies[0].buckets = {{9, 2}, {5, 2}};
  EXPECT_EQ(Refusal(EncodeResult(result)),
            "the buckets of latency \"publish\" don't rise, or are empty");
  result.latencies[0].buckets = {{5, 4}, {9, 0}};
  EXPECT_FALSE(DecodeResult(EncodeResult(result)).ok());
}

TEST_F(ResultFileTest, BoundsAreKept) {
  Result result;
  result.series = {{"lag", "lag", "ms", {}}};
  result.series[0].points.resize(Result::kSeriesSecondsMax);
  EXPECT_TRUE(DecodeResult(EncodeResult(result)).ok());
  result.series[0].points.emplace_back();
  EXPECT_EQ(Refusal(EncodeResult(result)), "series[0].points has 86401 items; at most 86400");
  result.series.assign(Result::kListMax + 1, {});
  EXPECT_EQ(Refusal(EncodeResult(result)), "series has 257 items; at most 256");
  std::ofstream(Path("huge.json")).close();
  std::filesystem::resize_file(Path("huge.json"), Result::kBytesMax + 1);
  EXPECT_EQ(base::MessageOf(ReadResultFile(Path("huge.json")).status()),
            Path("huge.json") + ": has more than 67108864 bytes");
}

TEST_F(ResultFileTest, AFullDiskIsSaidAndTheEarlierResultStays) {
  EXPECT_EQ(base::MessageOf(WriteResultFile("/dev/full", ResultMaker(3).Make())),
            "/dev/full: can't be written: No space left on device");
  const std::string disk = Path("disk");
  ASSERT_TRUE(std::filesystem::create_directory(disk));
  if (mount("none", disk.c_str(), "tmpfs", 0, "size=128k") != 0) {
    GTEST_SKIP() << "no disk can be mounted here (" << std::strerror(errno)
                 << "): a full one is not tried";
  }
  EXPECT_TRUE(WriteResultFile(disk + "/result.json", Result()).ok());
  const absl::Status full = WriteResultFile(disk + "/result.json", ResultMaker(3'000).Make());
  EXPECT_EQ(base::MessageOf(full),
            disk + "/result.json: can't be written: No space left on device");
  EXPECT_TRUE(ReadResultFile(disk + "/result.json").ok());
  EXPECT_EQ(umount(disk.c_str()), 0);
}

TEST_F(ResultFileTest, EveryDistributionHasAFileOfItsOwn) {
  Result result = ResultMaker(3).Make();
  result.latencies[2].name = "../home page";
  ASSERT_TRUE(WriteHgrmFiles(Path("hgrm"), result).ok());
  const absl::StatusOr<std::string> text = base::ReadWholeFile(Path("hgrm/publish.hgrm"), 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, StartsWith("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"));
  EXPECT_THAT(*text, HasSubstr("Total count    =         3000]\n"));
  EXPECT_TRUE(std::filesystem::exists(Path("hgrm/___home_page.hgrm")));
  EXPECT_THAT(base::MessageOf(WriteHgrmFiles("/dev/null/hgrm", result)),
              StartsWith("/dev/null/hgrm: can't be made: Not a directory"));
}

}  // namespace
}  // namespace klatch::load
