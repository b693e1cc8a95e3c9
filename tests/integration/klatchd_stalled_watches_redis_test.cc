// Watches whose clients stop reading: what each holds of the node's memory, what others notice, and how
// they end. Row 22 of the faults plays it with 1,000 of them.
//
// KLATCH_STALLED_WATCHES is how many there are, 300 if it isn't set.

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "tests/integration/klatchd_client.h"
#include "tests/integration/klatchd_process.h"
#include "tests/integration/klatchd_watch_client.h"
#include "tests/integration/sanitized.h"
#include "tests/lib/setting.h"

namespace klatch::testing {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kReaders = 20;
constexpr size_t kTextBytes = 500;
constexpr milliseconds kPostEvery{10};
// What a connection takes for a client that does not read is sent in less.
constexpr milliseconds kFill{4'000};
constexpr milliseconds kWatchedFor{4'000};
constexpr double kMemoryEachMax = 64 << 10;
// The median: the 99th percentile of one run swings by half.
constexpr double kSlowerMax = 1.5;

size_t Stalled() { return setting::Number("KLATCH_STALLED_WATCHES", 300, 1, 100'000); }

class KlatchdStalledWatchesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_THAT(client_.CreateGroup("ann", "hall"), Succeeds());
    for (size_t i = 0; i < Stalled(); ++i) {
      stalled_persons_.push_back(fmt::format("stalled-{}", i));
    }
    for (size_t i = 0; i < kReaders; ++i) {
      reader_persons_.push_back(fmt::format("reader-{}", i));
    }
    ASSERT_THAT(client_.AddApplied("ann", "hall", stalled_persons_), Succeeds());
    ASSERT_THAT(client_.AddApplied("ann", "hall", reader_persons_), Succeeds());
  }

  // As of a client whose memory is small: gRPC's own takes megabytes for who does not read.
  std::shared_ptr<grpc::Channel> SmallChannel() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 16 << 10);
    return grpc::CreateCustomChannel(klatchd_.address(), grpc::InsecureChannelCredentials(),
                                     arguments);
  }
  double Metric(const std::string& name) const {
    const std::string text = klatchd_.Get("/metrics").second;
    const size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::atof(text.c_str() + at + name.size() + 2);
  }
  double ResidentBytes() {
    std::ifstream file(fmt::format("/proc/{}/statm", klatchd_.process().id()));
    double pages = 0;
    file >> pages >> pages;
    return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
  }

  // Posts for a while; how long after its call the slowest reader had each, sorted.
  std::vector<microseconds> PostFor(milliseconds time,
                                    const std::vector<std::unique_ptr<Watcher>>& readers);

  Klatchd klatchd_{{.arguments = {"--shards", "4", "--partitions", "4", "--workers", "1",
                                  "--calls-max", "5000", "--streams-max", "5000"}}};
  Client client_{klatchd_.Channel()};
  std::vector<std::string> stalled_persons_;
  std::vector<std::string> reader_persons_;
  size_t posted_ = 0;
  double resident_most_ = 0;
};

std::vector<microseconds> KlatchdStalledWatchesTest::PostFor(
    milliseconds time, const std::vector<std::unique_ptr<Watcher>>& readers) {
  std::vector<microseconds> took;
  const auto end = steady_clock::now() + time;
  for (auto next = steady_clock::now(); next < end; next += kPostEvery) {
    std::this_thread::sleep_until(next);
    const auto begun = steady_clock::now();
    EXPECT_THAT(client_.Publish("ann", "hall", std::string(kTextBytes, 'x')), Succeeds());
    ++posted_;
    for (const auto& reader : readers) {
      EXPECT_TRUE(reader->Await([&](const Events& events) { return events.size() >= posted_; }));
    }
    took.push_back(std::chrono::duration_cast<microseconds>(steady_clock::now() - begun));
    resident_most_ = std::max(resident_most_, ResidentBytes());
  }
  std::ranges::sort(took);
  return took;
}

microseconds MedianOf(const std::vector<microseconds>& sorted) { return sorted[sorted.size() / 2]; }
microseconds P99Of(const std::vector<microseconds>& sorted) {
  return sorted[sorted.size() * 99 / 100];
}

TEST_F(KlatchdStalledWatchesTest, HoldLittleAreNotNoticedAndAreEnded) {
  std::vector<std::unique_ptr<Watcher>> readers;
  for (const std::string& person : reader_persons_) {
    readers.push_back(std::make_unique<Watcher>(klatchd_.Channel(), person));
    ASSERT_TRUE(readers.back()->AwaitBegun());
  }
  PostFor(kWatchedFor, readers);
  const auto before = PostFor(kWatchedFor, readers);

  std::vector<std::unique_ptr<Watcher>> stalled;
  const auto channel = SmallChannel();
  for (const std::string& person : stalled_persons_) {
    stalled.push_back(
        std::make_unique<Watcher>(channel, Watching(person), Watcher::Begin::kHeldBack));
  }
  ASSERT_TRUE(Eventually([&] {
    return Metric("klatch_watched_persons") == static_cast<double>(Stalled() + kReaders);
  }));
  const double resident = ResidentBytes();
  resident_most_ = 0;
  PostFor(kFill, readers);
  const auto among = PostFor(kWatchedFor, readers);
  const double each = (resident_most_ - resident) / static_cast<double>(Stalled());
  fmt::print("visible in us: before p50 {} p99 {}, among them p50 {} p99 {}; {:.1f} KiB each\n",
             MedianOf(before).count(), P99Of(before).count(), MedianOf(among).count(),
             P99Of(among).count(), each / 1'024);

  ASSERT_TRUE(Eventually(
      [&] { return Metric("klatch_watches_stalled_total") == static_cast<double>(Stalled()); }));
  ASSERT_TRUE(Eventually([&] { return Metric("klatch_watches") == kReaders; }));
  for (const auto& watcher : stalled) {
    watcher->Read();
    ASSERT_TRUE(watcher->AwaitEnd());
    EXPECT_EQ(watcher->status().error_code(), grpc::StatusCode::CANCELLED)
        << watcher->status().error_message();
  }
  if (kIsSanitized) {
    return;  // neither its memory nor its pace is the node's
  }
  EXPECT_LE(each, kMemoryEachMax);
  EXPECT_LE(static_cast<double>(MedianOf(among).count()),
            kSlowerMax * static_cast<double>(MedianOf(before).count()));
}

}  // namespace
}  // namespace klatch::testing
