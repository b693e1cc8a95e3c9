#include "bench/versus/restart.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "bench/versus/app.h"
#include "bench/versus/arithmetic.h"
#include "bench/versus/call_load.h"
#include "common/base/hash.h"

namespace klatch::versus {
namespace {

using klatch::v1::BatchPublishUpdatesRequest;
using klatch::v1::BatchPublishUpdatesResponse;

constexpr uint32_t kGroupSize = 400;
constexpr uint32_t kPersons = 1'000'000;
constexpr uint32_t kPersonsQuick = 100'000;
constexpr uint32_t kGroupsPerPerson = 10;
constexpr int kRestarts = 3;
constexpr std::chrono::milliseconds kLookAgain{5};

// So many posts to each group, that is entries of each timeline; from twice as many on a node would
// write them before their time.
constexpr uint32_t kReplayGroups = 250;
constexpr uint64_t kReplayPostsPerGroup = 60;
constexpr int kBatch = 100;
constexpr size_t kTextBytes = 200;
// Nothing is written, so all of it is replayed.
const std::vector<std::string> kNeverFlush = {
    "--flush-interval", "50s", "--lease-duration", "60s", "--admission-flush-age", "10m"};

std::string Member(uint64_t group, uint64_t number) {
  return fmt::format("member-{}-{}", group, number);
}

void Kill(NodeHost& node) {
  node.process().Signal(SIGKILL);
  while (!node.process().Ended().has_value()) {
    std::this_thread::sleep_for(kLookAgain);
  }
}

class Restart {
 public:
  explicit Restart(Lab& lab) : lab_(lab) {}

  absl::StatusOr<Figure> Replay();
  absl::StatusOr<Figure> UntilItServes();

 private:
  absl::Status MakeReplayGroups(const RedisHost& redis);
  absl::Status PostToReplay(const std::string& target);

  Lab& lab_;
};

absl::Status Restart::MakeReplayGroups(const RedisHost& redis) {
  KLATCH_ASSIGN_OR_RETURN(const auto node, lab_.StartNode("replay-klatchd", redis));
  App app(node->target());
  for (uint32_t group = 0; group < kReplayGroups; ++group) {
    std::vector<std::string> members;
    for (uint32_t i = 0; i < kGroupSize; ++i) {
      members.push_back(Member(group, i));
    }
    KLATCH_RETURN_IF_ERROR(app.MakeGroup(fmt::format("replay-{}", group), members));
  }
  return node->AwaitFlushed();
}

absl::Status Restart::PostToReplay(const std::string& target) {
  using Load = CallLoad<BatchPublishUpdatesRequest, BatchPublishUpdatesResponse>;
  const std::string run = fmt::format("replay-{:016x}", base::RandomUint64());
  const uint64_t posts = kReplayGroups * kReplayPostsPerGroup;
  Load load({.target = target,
             .connections = 2,
             .ahead = 2,
             .make =
                 [run](uint64_t number, BatchPublishUpdatesRequest& request) {
                   for (uint64_t i = number * kBatch; i < (number + 1) * kBatch; ++i) {
                     const uint64_t group = i % kReplayGroups;
                     auto& post = *request.add_requests();
                     post.set_actor(Member(group, 0));
                     post.set_request_id(fmt::format("{}-{}", run, i));
                     post.mutable_update()->add_groups(fmt::format("replay-{}", group));
                     post.mutable_update()->set_text(std::string(kTextBytes, 'x'));
                   }
                 },
             .call =
                 [](Load::Stub& stub, grpc::ClientContext* context,
                    const BatchPublishUpdatesRequest* request,
                    BatchPublishUpdatesResponse* response, std::function<void(grpc::Status)> done) {
                   stub.async()->BatchPublishUpdates(context, request, response, std::move(done));
                 },
             .check =
                 [](const BatchPublishUpdatesResponse& response) {
                   return std::ranges::all_of(response.results(), [](const auto& result) {
                     return result.has_published();
                   });
                 }});
  const CallResult result = load.RunCalls(posts / kBatch);
  return result.failed == 0 ? absl::OkStatus()
                            : base::Error(absl::StatusCode::kInternal, result.first_failure);
}

absl::StatusOr<Figure> Restart::Replay() {
  KLATCH_ASSIGN_OR_RETURN(const auto redis, lab_.StartRedis("replay-redis"));
  KLATCH_RETURN_IF_ERROR(MakeReplayGroups(*redis));
  KLATCH_ASSIGN_OR_RETURN(auto node, lab_.StartNode("replay-klatchd", *redis, kNeverFlush));
  KLATCH_RETURN_IF_ERROR(PostToReplay(node->target()));
  const double due = double{kReplayGroups} * kReplayPostsPerGroup * (kGroupSize + 1);
  std::vector<double> rates;
  for (int i = 0; i < kRestarts && !lab_.interrupted(); ++i) {
    Kill(*node);
    node.reset();
    KLATCH_ASSIGN_OR_RETURN(node, lab_.StartNode("replay-klatchd", *redis, kNeverFlush));
    KLATCH_ASSIGN_OR_RETURN(const double seconds, node->LogNumber("caught up", "seconds"));
    KLATCH_ASSIGN_OR_RETURN(const double replayed, node->Metric("klatch_deliveries_total"));
    if (replayed != due || seconds <= 0) {
      return base::Error(
          absl::StatusCode::kDataLoss,
          fmt::format("of {:.0f} deliveries {:.0f} were replayed after a crash", due, replayed));
    }
    rates.push_back(replayed / seconds);
    SayProgress(fmt::format("replay: {:.0f} deliveries in {:.3f} s", replayed, seconds));
  }
  Figure figure;
  figure.key = "replay_per_second";
  figure.value = Median(rates);
  figure.slices = rates;
  figure.sides = {{"replayed", due, "deliveries"}};
  figure.notes = {"groups of 400; what Redis needs to hand out the log is inside"};
  return figure;
}

absl::StatusOr<Figure> Restart::UntilItServes() {
  const uint32_t persons = lab_.options().quick ? kPersonsQuick : kPersons;
  KLATCH_ASSIGN_OR_RETURN(const auto redis, lab_.StartRedis("restart-redis"));
  KLATCH_ASSIGN_OR_RETURN(auto node, lab_.StartNode("restart-klatchd", *redis));
  SayProgress(fmt::format("making {} memberships", uint64_t{persons} * kGroupsPerPerson));
  KLATCH_RETURN_IF_ERROR(
      lab_.Play(*node, *redis,
                {"--persons", std::to_string(persons), "--group-size", std::to_string(kGroupSize),
                 "--groups-per-person", std::to_string(kGroupsPerPerson), "--updates", "1000",
                 "--connections", "8", "--check-timelines", "100"})
          .status());
  std::vector<double> times;
  for (int i = 0; i < kRestarts && !lab_.interrupted(); ++i) {
    Kill(*node);
    node.reset();
    const auto start = std::chrono::steady_clock::now();
    KLATCH_ASSIGN_OR_RETURN(node, lab_.StartNode("restart-klatchd", *redis));
    times.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    KLATCH_ASSIGN_OR_RETURN(const double found, node->LogNumber("loaded", "persons"));
    if (found < persons) {
      return base::Error(absl::StatusCode::kDataLoss,
                         fmt::format("of {} persons {:.0f} came back", persons, found));
    }
    SayProgress(fmt::format("restart: {:.2f} s", times.back()));
  }
  Figure figure;
  figure.key = "restart_seconds";
  figure.value = Median(times);
  figure.slices = times;
  figure.sides = {{"persons", static_cast<double>(persons), "persons"},
                  {"memberships", static_cast<double>(persons) * kGroupsPerPerson, "memberships"}};
  if (persons != kPersons) {
    figure.notes = {"of a tenth of the persons, as --quick has it"};
  }
  return figure;
}

}  // namespace

absl::StatusOr<std::vector<Figure>> MeasureRestart(Lab& lab) {
  std::vector<Figure> figures;
  if (lab.options().Wants("replay_per_second")) {
    KLATCH_ASSIGN_OR_RETURN(figures.emplace_back(), Restart(lab).Replay());
  }
  if (lab.options().Wants("restart_seconds")) {
    KLATCH_ASSIGN_OR_RETURN(figures.emplace_back(), Restart(lab).UntilItServes());
  }
  return figures;
}

}  // namespace klatch::versus
