#include "bench/load/cast/cast.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace klatch::load {
namespace {

// A few more than the thousand that are wanted: some fall behind the end of a load of few batches.
constexpr uint64_t kVisibleSamplesMin = 1'050;
constexpr uint64_t kVisibleSamplesMax = 5'000;
constexpr uint64_t kDeparturesMax = 500;
constexpr uint64_t kRevisionsMax = 120;
constexpr uint32_t kChurnThreads = 6;
constexpr std::chrono::milliseconds kKillTimeout{10'000};
constexpr uint64_t kArrivalSalt = 0x6172726976616cULL;

Target MakeTarget(const LoadOptions& options) {
  if (options.updates != 0 || options.deliveries != 0) {
    // Sizes of groups move while people come and go; a little more than asked for is surely enough.
    return {options.updates, options.deliveries + options.deliveries / 500};
  }
  return {options.graph.empty() ? uint64_t{10'000} : uint64_t{20'000}, 0};
}

// How long a schedule lasts that brings so many posts.
std::chrono::nanoseconds DurationFor(uint64_t posts, const ArrivalPlan& plan,
                                     const OperationMix& mix) {
  ArrivalPlan second = plan;
  second.duration = std::chrono::seconds(1);
  const double per_second = second.Count() * mix.ShareOf(Operation::kPost);
  return std::chrono::nanoseconds(
      static_cast<int64_t>(1e9 * static_cast<double>(posts) / per_second));
}

// How many memberships may end, counted up to `enough`.
uint64_t CountLeavers(const Graph& graph, const Plan& plan, uint64_t enough) {
  uint64_t leavers = 0;
  for (GroupNumber group = 0; group < graph.group_count() && leavers < enough; ++group) {
    for (PersonNumber person : graph.group(group).members) {
      leavers += plan.MayLeave(group, person) ? 1 : 0;
    }
  }
  return std::min(leavers, enough);
}

// The clock ends an open loop, however far it has come.
void SetSchedule(const LoadOptions& options, Programme& programme) {
  ArrivalPlan& arrivals = programme.arrivals;
  arrivals = {.kind = options.arrivals,
              .rate = static_cast<double>(options.rate),
              .rate_end = static_cast<double>(options.rate_end),
              .burst = options.burst,
              .duration = options.duration};
  if (options.duration.count() == 0) {
    arrivals.duration = DurationFor(programme.posts, arrivals, programme.mix);
  }
  programme.target = {.duration = arrivals.duration};
  programme.posts = std::max<uint64_t>(
      1, static_cast<uint64_t>(arrivals.Count() * programme.mix.ShareOf(Operation::kPost)));
}

uint64_t PerThousand(uint64_t posts, uint64_t share, uint64_t most) {
  return share == 0 ? 0 : std::clamp<uint64_t>(posts * share / 1'000, 1, most);
}

}  // namespace

Programme MakeProgramme(const LoadOptions& options, const OperationMix& mix, const Graph& graph,
                        const Plan& plan, const Quarrels& quarrels) {
  Programme programme{.target = MakeTarget(options), .mix = mix};
  uint64_t per_post = std::max<uint64_t>(1, graph.membership_count() / graph.group_count());
  programme.posts = std::max<uint64_t>(
      1, std::max(programme.target.updates, programme.target.deliveries / per_post));
  if (options.arrivals != ArrivalKind::kClosedLoop) {
    SetSchedule(options, programme);
  }
  // Of a small load half at most are samples: the other half is what they are measured under.
  uint64_t samples = std::clamp(programme.posts / 20, kVisibleSamplesMin, kVisibleSamplesMax);
  programme.samples = options.probers == 0 ? 0 : std::min(samples, programme.posts / 2);
  programme.departures = PerThousand(programme.posts, options.churn, kDeparturesMax);
  programme.revisions = PerThousand(programme.posts, options.revisions, kRevisionsMax);
  // Each is some posts and forty reads: a small load has few.
  programme.quarrels =
      std::min<uint64_t>(quarrels.all().size(), std::max<uint64_t>(1, programme.posts / 20));
  // Half: draws may find nobody in a while, and some return when the load is over.
  programme.departures_min = CountLeavers(graph, plan, programme.departures) / 2;
  programme.returns_min = programme.departures_min / 2;
  return programme;
}

Cast::Cast(const LoadOptions& options, const Client::Options& client, const Stage& stage,
           const Programme& programme, Watchers* watchers)
    : options_(options),
      client_(client),
      stage_(stage),
      programme_(programme),
      watchers_(watchers) {
  auto& companions = stage_.state.companions;
  if (programme_.samples != 0) {
    Pace& pace = *companions.emplace_back(std::make_unique<Pace>(programme_.samples));
    for (uint32_t i = 0; i < options_.probers; ++i) {
      probers_.push_back(
          std::make_unique<Prober>(stage_, client_, options_.seed, pace, next_sample_));
    }
  }
  MakeChurns();
  if (programme_.revisions != 0) {
    Pace& pace = *companions.emplace_back(std::make_unique<Pace>(programme_.revisions));
    reviser_ =
        std::make_unique<Reviser>(stage_, client_, Mix(options_.seed ^ 0x72657669736fULL), pace);
  }
  MakeQuarreller();
  MakeFlipper();
  if (watchers_ != nullptr && watchers_->drops() != 0) {
    drop_pace_ = companions.emplace_back(std::make_unique<Pace>(watchers_->drops())).get();
  }
}

void Cast::MakeQuarreller() {
  if (programme_.quarrels != 0) {
    Pace& pace = *stage_.state.companions.emplace_back(std::make_unique<Pace>(programme_.quarrels));
    quarreller_ = std::make_unique<Quarreller>(stage_, client_, pace);
  }
}

void Cast::MakeFlipper() {
  std::vector<GroupNumber> groups =
      ChooseToFlip(stage_.graph, options_.flip_groups, options_.flip_above);
  if (!groups.empty()) {
    Pace& pace = *stage_.state.companions.emplace_back(
        std::make_unique<Pace>(groups.size() * Flipper::kCrossingsPerGroup));
    flipper_ =
        std::make_unique<Flipper>(stage_, client_, std::move(groups), options_.flip_above, pace);
  }
}

uint64_t Cast::ArrivalSeed(const LoadOptions& options) { return Mix(options.seed ^ kArrivalSalt); }

absl::Status Cast::ClearLeftovers() {
  return quarreller_ == nullptr ? absl::OkStatus() : quarreller_->ClearLeftovers();
}

void Cast::MakeChurns() {
  const auto threads =
      static_cast<uint32_t>(std::min<uint64_t>(kChurnThreads, programme_.departures));
  for (uint32_t i = 0; i < threads; ++i) {
    // A departure and a return are a task each.
    Pace& pace = *stage_.state.companions.emplace_back(
        std::make_unique<Pace>(2 * programme_.departures / threads));
    churns_.push_back(
        std::make_unique<Churn>(stage_,
                                Churn::Options{.client = client_,
                                               .index = i,
                                               .threads = threads,
                                               .seed = Mix(options_.seed ^ 0x636875726eULL) + i},
                                pace));
  }
}

bool Cast::AwaitPart(const std::string& percent) const {
  const absl::StatusOr<double> part = ParsePercent(percent);
  if (percent.empty() || !part.ok()) {
    return false;
  }
  while (programme_.target.Fraction(stage_.state) < *part && !stage_.state.MustStop()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return !stage_.state.MustStop();
}

NodeDrillOptions Cast::Node() const {
  return {.pid = static_cast<pid_t>(options_.node_pid),
          .pid_file = options_.node_pid_file,
          .restart_command =
              SplitCommand(options_.node_restart_command).value_or(std::vector<std::string>())};
}

void Cast::Kill() {
  if (!AwaitPart(options_.kill_node_at)) {
    return;
  }
  if (auto pid = KillAndRestart(Node(), kKillTimeout); !pid.ok()) {
    stage_.violations.AddOther(fmt::format("the node was not killed and started again: {}",
                                           base::MessageOf(pid.status())));
    return;
  }
  ++node_kills_;
}

void Cast::Pause() {
  const auto time = ParseFault(options_.fault);
  if (!time.ok() || !AwaitPart(options_.fault_at)) {
    return;
  }
  if (absl::Status paused = PauseNode(Node(), *time); !paused.ok()) {
    stage_.violations.AddOther(fmt::format("the node was not paused: {}", base::MessageOf(paused)));
  }
}

void Cast::Storm() {
  if (watchers_ != nullptr && AwaitPart(options_.watch_storm_at)) {
    watchers_->DropAll();
  }
}

void Cast::PublishInClosedLoop() {
  std::vector<std::thread> publishing;
  for (uint32_t i = 0; i < options_.connections; ++i) {
    Publisher& publisher = *publishers_.emplace_back(std::make_unique<Publisher>(
        stage_, Publisher::Options{.client = client_, .batch = options_.batch}));
    publishing.emplace_back([&publisher] { publisher.Run(); });
  }
  for (std::thread& thread : publishing) {
    thread.join();
  }
}

void Cast::Run() {
  std::vector<std::thread> others;
  others.emplace_back([this] { Kill(); });
  others.emplace_back([this] { Pause(); });
  others.emplace_back([this] { Storm(); });
  for (const auto& churn : churns_) {
    others.emplace_back([&churn] { churn->Run(); });
  }
  for (const auto& prober : probers_) {
    others.emplace_back([&prober] { prober->Run(); });
  }
  if (reviser_ != nullptr) {
    others.emplace_back([this] { reviser_->Run(); });
  }
  if (quarreller_ != nullptr) {
    others.emplace_back([this] { quarreller_->Run(); });
  }
  if (flipper_ != nullptr) {
    others.emplace_back([this] { flipper_->Run(); });
  }
  if (drop_pace_ != nullptr) {
    others.emplace_back([this] { watchers_->Drop(*drop_pace_); });
  }
  if (programme_.arrivals.kind == ArrivalKind::kClosedLoop) {
    PublishInClosedLoop();
  } else {
    Client::Options client = client_;
    client.sheds = options_.shed;
    open_loop_ =
        std::make_unique<OpenLoop>(stage_, OpenLoop::Options{.client = client,
                                                             .connections = options_.connections,
                                                             .batch = options_.batch,
                                                             .linger = options_.linger,
                                                             .in_flight = options_.in_flight,
                                                             .arrivals = programme_.arrivals,
                                                             .mix = programme_.mix,
                                                             .seed = ArrivalSeed(options_),
                                                             .start = stage_.state.start});
    open_loop_->Run();
  }
  publishing_seconds_ =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - stage_.state.start).count();
  stage_.state.publishing_done.store(true, std::memory_order_relaxed);
  for (std::thread& thread : others) {
    thread.join();
  }
}

void Cast::ForEachHistory(const std::function<void(const History&)>& take) const {
  for (const auto& prober : probers_) {
    take(prober->history());
  }
  for (const auto& churn : churns_) {
    take(churn->history());
  }
  if (reviser_ != nullptr) {
    take(reviser_->history());
  }
  if (quarreller_ != nullptr) {
    take(quarreller_->history());
  }
  for (const auto& publisher : publishers_) {
    take(publisher->history());
  }
  if (open_loop_ != nullptr) {
    open_loop_->ForEachHistory(take);
  }
}

}  // namespace klatch::load
