#include "bench/versus/last_member.h"

#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <thread>
#include <unordered_map>

#include "bench/load/plan/random.h"
#include "bench/versus/app.h"
#include "bench/versus/call_load.h"
#include "bench/versus/open_calls.h"
#include "bench/versus/peer_server.h"
#include "bench/versus/stored_bytes.h"
#include "bench/versus/watches.h"
#include "common/base/hash.h"
#include "common/obs/latency_histogram.h"

namespace klatch::versus {
namespace {

using klatch::v1::PublishUpdateRequest;
using klatch::v1::PublishUpdateResponse;

constexpr uint32_t kGroups = 100;
constexpr uint32_t kGroupsQuick = 40;
constexpr uint32_t kCap = 800;  // of the timelines, all of which are full
constexpr uint32_t kGroupSize = 400;
constexpr uint32_t kWatchedPart = 10;  // one of so many groups is watched
constexpr uint32_t kLargeGroup = 1'000'000;
constexpr uint32_t kLargeGroupQuick = 100'000;
constexpr uint32_t kLargeSample = 1'000;
constexpr double kLargeRate = 20;
constexpr double kProbeRate = 200;
constexpr size_t kTextBytes = 100;
constexpr char kLarge[] = "large";
constexpr std::chrono::seconds kBeginMax{120};
// Latency is measured, not what is written in time: the usual bounds, under which no post is refused
// for what other work on the machine takes from the flusher.
const std::vector<std::string> kAsShipped = {"--flush-interval", "1s", "--admission-flush-age",
                                             "8s"};
constexpr std::chrono::seconds kPeakMax{5};
// Behind the last post: nothing has come for so long.
constexpr std::chrono::milliseconds kStill{500};

std::string GroupName(uint64_t number) { return fmt::format("of400-{}", number % kGroups); }
std::string MemberName(uint64_t number) { return fmt::format("member-{}", number); }
std::string CrowdName(uint64_t number) { return fmt::format("crowd-{}", number); }

int64_t Nanoseconds(SteadyTime time) { return time.time_since_epoch().count(); }

// A post that says when it was due.
PublishUpdateRequest DuePost(const std::string& group, const std::string& author,
                             const std::string& request_id, SteadyTime due) {
  PublishUpdateRequest request;
  request.set_actor(author);
  request.set_request_id(request_id);
  request.mutable_update()->add_groups(group);
  request.mutable_update()->set_text(fmt::format("{:<{}}", Nanoseconds(due), kTextBytes));
  return request;
}

// Notes when a post has come to the last of its watched members. Fed by the one thread that reads.
class LastArrivals {
 public:
  explicit LastArrivals(uint64_t members) : members_(members) {}

  void Take(const klatch::v1::Update& update, uint64_t persons) {
    uint64_t& come = come_[update.id()];
    come += persons;
    if (come < members_) {
      return;
    }
    come_.erase(update.id());
    int64_t due = 0;
    std::from_chars(update.text().data(), update.text().data() + update.text().size(), due);
    latencies_.load()->Record(
        std::chrono::nanoseconds(Nanoseconds(std::chrono::steady_clock::now()) - due));
  }
  // From here on a slice of its own.
  void Begin(obs::LatencyHistogram& latencies) { latencies_.store(&latencies); }

 private:
  const uint64_t members_;
  std::unordered_map<uint64_t, uint64_t> come_;  // by update, to how many
  obs::LatencyHistogram unwanted_;
  std::atomic<obs::LatencyHistogram*> latencies_{&unwanted_};
};

// A watch that has missed something since there were so many gaps (finding the peak may make some) tells
// nothing about the last member.
absl::Status CheckWatches(const Watches& watches, uint64_t gaps_before,
                          const obs::LatencyHistogram& arrivals) {
  return watches.gaps() == gaps_before && !watches.failed() && arrivals.Count() != 0
             ? absl::OkStatus()
             : base::Error(absl::StatusCode::kInternal,
                           fmt::format("{} posts came to their last member, {} gaps{}",
                                       arrivals.Count(), watches.gaps() - gaps_before,
                                       watches.failed() ? ", a watch has ended" : ""));
}

// What a slice has seen.
struct Slice {
  obs::LatencyHistogram last;
  obs::LatencyHistogram large;
  obs::LatencyHistogram empty;
  std::atomic<uint64_t> posts{0};
  std::atomic<uint64_t> refused{0};
  std::string reason;  // of the first that was refused
};

class LastMember {
 public:
  explicit LastMember(Lab& lab) : lab_(lab), random_(lab.options().seed) {}

  absl::StatusOr<std::vector<Figure>> Measure() {
    KLATCH_RETURN_IF_ERROR(SetUp());
    KLATCH_RETURN_IF_ERROR(FindPeak());
    std::vector<double> last;
    std::vector<double> large;
    std::vector<double> empty;
    for (uint32_t i = 0; i < lab_.options().SliceCount() && !lab_.interrupted(); ++i) {
      Slice slice;
      KLATCH_RETURN_IF_ERROR(RunSlice(slice));
      last.push_back(static_cast<double>(slice.last.Percentile(99)));
      large.push_back(static_cast<double>(slice.large.Percentile(99)));
      empty.push_back(static_cast<double>(slice.empty.Percentile(99)));
      SayProgress(fmt::format("p99: last of 400 {} µs, large group {} µs, empty call {} µs",
                              last.back(), large.back(), empty.back()));
    }
    return Figures(last, large, empty);
  }

 private:
  bool WantsLarge() const { return lab_.options().Wants("million_group_ratio"); }
  uint32_t Groups() const { return lab_.options().quick ? kGroupsQuick : kGroups; }
  uint32_t LargeSize() const { return lab_.options().quick ? kLargeGroupQuick : kLargeGroup; }
  std::string NextRequestId() { return fmt::format("{}-{}", run_, requests_++); }

  absl::Status SetUp();
  absl::Status Fill(App& app);
  absl::Status SetUpLarge(App& app);
  absl::Status FindPeak();
  absl::Status RunSlice(Slice& slice);
  // Until the watches have been still for a while.
  void AwaitArrivals() const;
  void Post(OpenCalls& calls, const std::string& group, const std::string& author, SteadyTime due,
            Slice& slice);
  std::vector<Figure> Figures(const std::vector<double>& last, const std::vector<double>& large,
                              const std::vector<double>& empty) const;

  Lab& lab_;
  load::Random random_;
  const std::string run_ = fmt::format("last-{:016x}", base::RandomUint64());
  std::atomic<uint64_t> requests_{0};
  std::unique_ptr<RedisHost> redis_;
  std::unique_ptr<NodeHost> node_;
  std::unique_ptr<Process> peer_;
  std::string peer_listen_;
  std::vector<std::string> owners_;  // by group
  double peak_ = 0;                  // posts per second
  LastArrivals arrivals_{kGroupSize};
  LastArrivals large_arrivals_{kLargeSample};
  // Behind what their listeners use.
  std::unique_ptr<Watches> watches_;
  std::unique_ptr<Watches> large_watches_;
};

absl::Status LastMember::SetUp() {
  KLATCH_ASSIGN_OR_RETURN(redis_, lab_.StartRedis("last-redis"));
  KLATCH_ASSIGN_OR_RETURN(node_, lab_.StartNode("last-klatchd", *redis_, kAsShipped));
  KLATCH_ASSIGN_OR_RETURN(peer_, lab_.StartPeer("last-empty", kServeEmpty, &peer_listen_));
  App app(node_->target());
  // No two groups share a member, so that whoever is watched is told of one group's posts.
  std::vector<std::string> watched;
  for (uint32_t group = 0; group < Groups(); ++group) {
    std::vector<std::string> members;
    for (uint32_t i = 0; i < kGroupSize; ++i) {
      members.push_back(MemberName(group * kGroupSize + i));
    }
    if (group < Groups() / kWatchedPart) {
      watched.insert(watched.end(), members.begin(), members.end());
    }
    owners_.push_back(members.front());
    KLATCH_RETURN_IF_ERROR(app.MakeGroup(GroupName(group), members));
  }
  KLATCH_RETURN_IF_ERROR(Fill(app));
  if (WantsLarge()) {
    KLATCH_RETURN_IF_ERROR(SetUpLarge(app));
  }
  watches_ = WatchOnOneStream(node_->target(), watched,
                              [this](const klatch::v1::Update& update, uint64_t persons) {
                                arrivals_.Take(update, persons);
                              });
  return watches_->AwaitBegun(kBeginMax)
             ? absl::OkStatus()
             : base::Error(absl::StatusCode::kInternal, "not all watches have begun");
}

absl::Status LastMember::Fill(App& app) {
  SayProgress(fmt::format("filling {} timelines", Groups() * kGroupSize));
  std::vector<App::GroupAndAuthor> groups;
  for (uint32_t group = 0; group < Groups(); ++group) {
    groups.push_back({GroupName(group), owners_[group]});
  }
  for (uint32_t i = 0; i < kCap; ++i) {
    KLATCH_RETURN_IF_ERROR(app.PostToEach(groups, std::string(kTextBytes, 'x')));
  }
  KLATCH_RETURN_IF_ERROR(node_->AwaitFlushed());
  return CheckFull(*redis_, uint64_t{Groups()} * kGroupSize, kCap);
}

absl::Status LastMember::SetUpLarge(App& app) {
  SayProgress(fmt::format("making a group of {}", LargeSize()));
  std::vector<std::string> crowd;
  for (uint32_t i = 0; i < LargeSize(); ++i) {
    crowd.push_back(CrowdName(i));
  }
  KLATCH_RETURN_IF_ERROR(app.MakeGroup(kLarge, crowd));
  KLATCH_RETURN_IF_ERROR(app.ReadHome(crowd.back(), 1).status());
  crowd.resize(kLargeSample);
  large_watches_ = WatchOnOneStream(node_->target(), crowd,
                                    [this](const klatch::v1::Update& update, uint64_t persons) {
                                      large_arrivals_.Take(update, persons);
                                    });
  return large_watches_->AwaitBegun(kBeginMax)
             ? absl::OkStatus()
             : base::Error(absl::StatusCode::kInternal,
                           "not all watches of the large group have begun");
}

// One post per call, as many calls under way as the node likes.
absl::Status LastMember::FindPeak() {
  using Load = CallLoad<PublishUpdateRequest, PublishUpdateResponse>;
  Load load(
      {.target = node_->target(),
       .make =
           [this](uint64_t number, PublishUpdateRequest& request) {
             // A sequence that goes through the groups without an order.
             const uint64_t group = load::Mix(number) % Groups();
             request = DuePost(GroupName(group), owners_[group], NextRequestId(),
                               std::chrono::steady_clock::now());
           },
       .call =
           [](Load::Stub& stub, grpc::ClientContext* context, const PublishUpdateRequest* request,
              PublishUpdateResponse* response, std::function<void(grpc::Status)> done) {
             stub.async()->PublishUpdate(context, request, response, std::move(done));
           }});
  KLATCH_RETURN_IF_ERROR(node_->AwaitFlushed());
  const auto begun = std::chrono::steady_clock::now();
  const CallResult result =
      load.Run(std::min<std::chrono::duration<double>>(kPeakMax, lab_.options().Slice()));
  // A peak that can last: until all is written.
  KLATCH_RETURN_IF_ERROR(node_->AwaitFlushed());
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun;
  peak_ = static_cast<double>(result.calls) / passed.count();
  SayProgress(fmt::format("peak: {:.0f} posts/s to groups of {}", peak_, kGroupSize));
  return peak_ > 0 ? absl::OkStatus()
                   : base::Error(absl::StatusCode::kInternal, result.first_failure);
}

void LastMember::Post(OpenCalls& calls, const std::string& group, const std::string& author,
                      SteadyTime due, Slice& slice) {
  slice.posts.fetch_add(1, std::memory_order_relaxed);
  calls.Publish(DuePost(group, author, NextRequestId(), due), [&slice](const grpc::Status& status) {
    if (!status.ok() && slice.refused.fetch_add(1, std::memory_order_relaxed) == 0) {
      slice.reason = status.error_message();
    }
  });
}

absl::Status LastMember::RunSlice(Slice& slice) {
  arrivals_.Begin(slice.last);
  large_arrivals_.Begin(slice.large);
  const uint64_t gaps_before = watches_->gaps();
  const uint64_t large_gaps_before = WantsLarge() ? large_watches_->gaps() : 0;
  const std::chrono::duration<double> time = lab_.options().Slice();
  OpenCalls posts(node_->target(), 4);
  OpenCalls large_posts(node_->target(), 1);
  OpenCalls probes(peer_listen_, 1);
  std::thread probing([&] {
    Paced(kProbeRate, time, [&](uint64_t, SteadyTime due) {
      probes.Publish({}, [&slice, due](const grpc::Status&) {
        slice.empty.Record(std::chrono::steady_clock::now() - due);
      });
    });
  });
  std::thread posting_large([&] {
    if (WantsLarge()) {
      Paced(kLargeRate, time,
            [&](uint64_t, SteadyTime due) { Post(large_posts, kLarge, CrowdName(0), due, slice); });
    }
  });
  Paced(peak_ / 2, time, [&](uint64_t, SteadyTime due) {
    const uint64_t group = random_.Below(Groups());
    Post(posts, GroupName(group), owners_[group], due, slice);
  });
  probing.join();
  posting_large.join();
  posts.AwaitAll();
  large_posts.AwaitAll();
  probes.AwaitAll();
  AwaitArrivals();
  if (slice.refused.load() * 100 > slice.posts.load()) {
    return base::Error(absl::StatusCode::kInternal,
                       fmt::format("of {} posts {} were refused: {}", slice.posts.load(),
                                   slice.refused.load(), slice.reason));
  }
  KLATCH_RETURN_IF_ERROR(CheckWatches(*watches_, gaps_before, slice.last));
  return WantsLarge() ? CheckWatches(*large_watches_, large_gaps_before, slice.large)
                      : absl::OkStatus();
}

void LastMember::AwaitArrivals() const {
  for (uint64_t told = watches_->told() + 1; told != watches_->told();) {
    told = watches_->told();
    std::this_thread::sleep_for(kStill);
  }
}

std::vector<Figure> LastMember::Figures(const std::vector<double>& last,
                                        const std::vector<double>& large,
                                        const std::vector<double>& empty) const {
  std::vector<Figure> figures;
  const auto add = [&](std::string_view key, std::string what, const std::vector<double>& times) {
    figures.push_back(RatioFigure(key, {std::move(what), 0, "µs"}, times,
                                  {"p99 of an empty call meanwhile", 0, "µs"}, empty,
                                  lab_.options().Timed().count()));
    figures.back().notes.push_back(
        fmt::format("meanwhile {:.0f} posts/s to groups of {}, half of what the node took",
                    peak_ / 2, kGroupSize));
  };
  if (lab_.options().Wants("last_member_ratio")) {
    add("last_member_ratio", fmt::format("p99 to the last of {} members", kGroupSize), last);
  }
  if (WantsLarge()) {
    add("million_group_ratio",
        fmt::format("p99 to the last of {} who are watched of a group of {}", kLargeSample,
                    LargeSize()),
        large);
  }
  return figures;
}

}  // namespace

absl::StatusOr<std::vector<Figure>> MeasureLastMember(Lab& lab) {
  return LastMember(lab).Measure();
}

}  // namespace klatch::versus
