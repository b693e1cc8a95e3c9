#include "bench/load/play.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "bench/load/drain.h"
#include "bench/load/generated_graph.h"
#include "bench/load/node_drill.h"
#include "bench/load/progress_line.h"
#include "bench/load/redis_checker.h"
#include "bench/load/setup.h"
#include "bench/load/show.h"
#include "bench/load/snap_graph.h"
#include "common/base/hash.h"

namespace klatch::load {
namespace {

constexpr uint64_t kVisibleSamplesMin = 1'000;
constexpr uint64_t kVisibleSamplesMax = 5'000;
constexpr uint32_t kEverybodyMax = 20'000;
constexpr size_t kSampleMin = 2'000;
constexpr std::chrono::milliseconds kKillTimeout{10'000};

void Complain(std::string_view text) { fmt::print(stderr, "klatch-load: {}\n", text); }

// "@3fa1": graphs of other shapes and seeds may stand on the same data without sharing groups.
std::string Suffix(std::string_view shape) {
  return fmt::format("@{:04x}", base::StableHash64(shape) & 0xffff);
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Graph>> LoadGraph(const LoadOptions& options) {
  if (!options.graph.empty()) {
    return ImportSnap(options.graph);
  }
  if (options.group_size != 0) {
    UniformShape shape{.persons = options.persons, .group_size = options.group_size};
    shape.groups_per_person =
        options.groups_per_person != 0 ? options.groups_per_person : shape.groups_per_person;
    shape.group_suffix = Suffix(fmt::format("{}-{}-{}-{}", options.seed, shape.persons,
                                            shape.groups_per_person, shape.group_size));
    return GenerateUniform(shape, options.seed);
  }
  CommunityShape shape{.persons = options.persons};
  shape.groups_per_person =
      options.groups_per_person != 0 ? options.groups_per_person : shape.groups_per_person;
  const CommunityShape usual;
  if (options.seed != LoadOptions().seed || shape.persons != usual.persons ||
      shape.groups_per_person != usual.groups_per_person) {
    shape.group_suffix =
        Suffix(fmt::format("{}-{}-{}", options.seed, shape.persons, shape.groups_per_person));
  }
  return GenerateCommunities(shape, options.seed);
}

Play::Play(const LoadOptions& options, const Graph& graph, const std::atomic<bool>& interrupted)
    : options_(options),
      graph_(graph),
      state_(interrupted, graph),
      plan_(graph, options.seed, fmt::format("load-{:016x}", base::RandomUint64())),
      model_(graph),
      violations_(graph) {
  summary_.persons = graph.person_count();
  summary_.groups = graph.group_count();
  more_.memberships = graph.membership_count();
  more_.seed = options.seed;
  more_.connections = options.connections;
}

Client::Options Play::ClientOptions() const {
  return {.target = options_.target, .retry_for = options_.retry_for};
}

Target Play::MakeTarget() const {
  if (options_.updates != 0 || options_.deliveries != 0) {
    // Sizes of groups move while people come and go; a little more than asked for is surely enough.
    return {options_.updates, options_.deliveries + options_.deliveries / 500};
  }
  return {options_.graph.empty() ? uint64_t{10'000} : uint64_t{20'000}, 0};
}

uint64_t Play::VisibleSamples(const Target& target) const {
  uint64_t per_post = std::max<uint64_t>(1, graph_.membership_count() / graph_.group_count());
  uint64_t posts = std::max(target.updates, target.deliveries / per_post);
  // Of a small load half at most are samples: the other half is what they are measured under.
  uint64_t samples = std::clamp(posts / 20, kVisibleSamplesMin, kVisibleSamplesMax);
  return options_.probers == 0 ? 0 : std::min(samples, std::max<uint64_t>(1, posts / 2));
}

absl::Status Play::Connect() {
  Client client(ClientOptions(), state_);
  if (!client.WaitConnected(options_.connect_timeout)) {
    return base::Error(
        state_.MustStop() ? absl::StatusCode::kCancelled : absl::StatusCode::kUnavailable,
        fmt::format("nobody answers at {}", options_.target));
  }
  return absl::OkStatus();
}

absl::Status Play::SetUp() {
  std::atomic<uint64_t> ready{0};
  ProgressLine line([this, &ready] {
    return fmt::format("Setting up: {} of {} groups",
                       WithThousands(ready.load(std::memory_order_relaxed)),
                       WithThousands(graph_.group_count()));
  });
  SetupOptions setup{
      .client = ClientOptions(), .connections = options_.connections, .run = plan_.run()};
  return SetUpGroups(graph_, setup, state_, model_, ready);
}

std::string Play::PlayText(const Target& target) const {
  return fmt::format(
      "Playing: {:3.0f}%, {} posts, {} deliveries due, {} left, {} came back{}",
      100 * std::min(1.0, target.Fraction(state_)),
      WithThousands(state_.published.load(std::memory_order_relaxed)),
      WithThousands(state_.deliveries_expected.load(std::memory_order_relaxed)),
      WithThousands(state_.departures.load(std::memory_order_relaxed)),
      WithThousands(state_.returns.load(std::memory_order_relaxed)),
      state_.retries.load(std::memory_order_relaxed) == 0
          ? std::string()
          : fmt::format(", {} retries",
                        WithThousands(state_.retries.load(std::memory_order_relaxed))));
}

void Play::StartDrill(std::vector<std::thread>& threads) {
  absl::StatusOr<double> share = ParsePercent(options_.kill_node_at);
  absl::StatusOr<std::vector<std::string>> command = SplitCommand(options_.node_restart_command);
  if (options_.kill_node_at.empty() || !share.ok() || !command.ok()) {
    return;
  }
  NodeDrillOptions drill{.pid = static_cast<pid_t>(options_.node_pid),
                         .pid_file = options_.node_pid_file,
                         .restart_command = std::move(*command)};
  threads.emplace_back([this, drill, at = *share, target = MakeTarget()] {
    while (target.Fraction(state_) < at && !state_.MustStop()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (state_.MustStop()) {
      return;
    }
    absl::StatusOr<pid_t> pid = KillAndRestart(drill, kKillTimeout);
    if (!pid.ok()) {
      violations_.AddOther(fmt::format("the node was not killed and started again: {}",
                                       base::MessageOf(pid.status())));
      return;
    }
    ++node_kills_;
  });
}

void Play::PlayAll() {
  const Target target = MakeTarget();
  const Stage stage{graph_, plan_, state_, latencies_, violations_};
  ProgressLine line([this, &target] { return PlayText(target); });
  first_publish_ = std::chrono::steady_clock::now();

  Churn churn(stage, {.client = ClientOptions(),
                      .turns_per_second = options_.churn,
                      .seed = Mix(options_.seed ^ 0x636875726eULL)});
  std::vector<std::thread> others;
  others.emplace_back([&churn] { churn.Run(); });
  StartDrill(others);

  std::atomic<uint64_t> next_sample{0};
  const uint64_t samples = VisibleSamples(target);
  std::vector<std::unique_ptr<Prober>> probers;
  std::vector<std::thread> prober_threads;
  for (uint32_t i = 0; i < options_.probers; ++i) {
    Prober& prober = *probers.emplace_back(
        std::make_unique<Prober>(stage, ClientOptions(), Mix(options_.seed + i)));
    prober_threads.emplace_back([&] { prober.Run(target, samples, next_sample); });
  }
  Publisher::Options publishing{.client = ClientOptions(),
                                .batch = options_.batch,
                                .rate = options_.rate,
                                .start = first_publish_};
  std::vector<std::unique_ptr<Publisher>> publishers;
  std::vector<std::thread> publisher_threads;
  for (uint32_t i = 0; i < options_.connections; ++i) {
    Publisher& publisher = *publishers.emplace_back(std::make_unique<Publisher>(stage, publishing));
    publisher_threads.emplace_back([&publisher, &target] { publisher.Run(target); });
  }
  for (std::thread& thread : publisher_threads) {
    thread.join();
  }
  state_.publishing_done.store(true, std::memory_order_relaxed);
  for (std::thread& thread : prober_threads) {
    thread.join();
  }
  state_.posting_done.store(true, std::memory_order_relaxed);
  for (std::thread& thread : others) {
    thread.join();
  }
  auto take = [this](const History& history) {
    model_.Add(history);
    more_.refused_rightly += history.refused_rightly;
  };
  take(churn.history());
  for (const auto& prober : probers) {
    take(prober->history());
  }
  for (const auto& publisher : publishers) {
    take(publisher->history());
  }
}

// What setting up left behind would be paid for by the first posts: the clock starts when it is
// written.
absl::Status Play::Settle() {
  ProgressLine line([] { return std::string("Settling"); });
  Client client(ClientOptions(), state_);
  KLATCH_RETURN_IF_ERROR(WaitApplied(client, graph_.person(0), state_, options_.drain_timeout));
  return options_.metrics.empty() ? absl::OkStatus()
                                  : WaitFlushed(options_.metrics, state_, options_.drain_timeout);
}

void Play::Drain() {
  ProgressLine line([this] {
    return fmt::format("Draining: {:.1f} s since the first post", SecondsSince(first_publish_));
  });
  Client client(ClientOptions(), state_);
  absl::Status applied = WaitApplied(client, graph_.person(0), state_, options_.drain_timeout);
  if (!applied.ok()) {
    violations_.AddOther(base::MessageOf(applied));
  }
  if (!options_.metrics.empty()) {
    absl::Status flushed = WaitFlushed(options_.metrics, state_, options_.drain_timeout);
    more_.flushed = flushed.ok();
    if (!flushed.ok()) {
      violations_.AddOther(base::MessageOf(flushed));
    }
  }
}

void Play::CheckStored(const std::vector<PersonNumber>& persons) {
  std::atomic<uint64_t> read{0};
  ProgressLine line([&] {
    return fmt::format("Checking Redis: {} of {} persons",
                       WithThousands(read.load(std::memory_order_relaxed)),
                       WithThousands(persons.size()));
  });
  RedisCheckOptions redis{.uri = options_.redis, .cap = options_.cap};
  absl::StatusOr<RedisCheckResult> stored =
      CheckRedis(graph_, model_, redis, persons, state_, violations_, read);
  if (stored.ok()) {
    more_.stored_timelines = stored->timelines + stored->posts;
  } else {
    violations_.AddOther(
        fmt::format("Redis could not be checked: {}", base::MessageOf(stored.status())));
  }
}

void Play::Check() {
  size_t sample = options_.check_persons != 0             ? options_.check_persons
                  : graph_.person_count() > kEverybodyMax ? kSampleMin
                                                          : graph_.person_count();
  std::vector<PersonNumber> persons = ChoosePersons(graph_, sample, Mix(options_.seed ^ 1));
  {
    std::atomic<uint64_t> read{0};
    ProgressLine line([&] {
      return fmt::format("Checking: {} of {} home timelines",
                         WithThousands(read.load(std::memory_order_relaxed)),
                         WithThousands(persons.size()));
    });
    Checker checker(graph_, plan_, model_,
                    {.client = ClientOptions(),
                     .connections = options_.connections,
                     .seed = options_.seed,
                     .cap = options_.cap},
                    state_, violations_);
    CheckResult result = checker.Run(persons, read);
    summary_.trimmed = result.trimmed;
    more_.home_timelines = result.home_timelines;
    more_.group_timelines = result.group_timelines;
    more_.profiles = result.profiles;
    more_.single_updates = result.single_updates;
  }
  if (!options_.redis.empty() && !state_.MustStop()) {
    CheckStored(persons);
  }
  more_.checked = !state_.MustStop();
}

void Play::ShowTimelines() {
  Client client(ClientOptions(), state_);
  Random random(Mix(options_.seed ^ 2));
  for (uint32_t i = 0; i < options_.show_timelines && !state_.MustStop(); ++i) {
    // Somebody who has something to read: whoever posts belongs to a group.
    PersonNumber person = plan_.At(random.Next()).author;
    TimelineRead read =
        client.ReadHome(graph_.person(person), {}, {.page_size = kShownUpdates, .pages_max = 1});
    fmt::print("{}", TimelineText(graph_.person(person), read.updates));
  }
}

void Play::Report() {
  summary_.published = model_.posts().size();
  summary_.unknown = state_.unknown.load(std::memory_order_relaxed);
  summary_.lost = violations_.Count(Violation::kLost);
  summary_.duplicated = violations_.Count(Violation::kDuplicated);
  summary_.leaked = violations_.Count(Violation::kLeaked);
  summary_.publish_p50_us = latencies_.publish.Percentile(50);
  summary_.publish_p99_us = latencies_.publish.Percentile(99);
  summary_.visible_p50_us = latencies_.visible.Percentile(50);
  summary_.visible_p99_us = latencies_.visible.Percentile(99);
  more_.visible_samples = latencies_.visible.Count();
  more_.departures = state_.departures.load(std::memory_order_relaxed);
  more_.returns = state_.returns.load(std::memory_order_relaxed);
  more_.retries = state_.retries.load(std::memory_order_relaxed);
  more_.node_kills = node_kills_;
  more_.other_violations = violations_.other_count();
  more_.examples = violations_.Examples();
  fmt::print("{}", ForPeople(summary_, more_));
  if (options_.json) {
    fmt::print("{}\n", ToJson(summary_));
  }
  std::fflush(stdout);
}

ExitCode Play::Verdict() const {
  if (state_.interrupted.load(std::memory_order_relaxed)) {
    return ExitCode::kInterrupted;
  }
  if (state_.server_gone.load(std::memory_order_relaxed)) {
    Complain(fmt::format("{} has not answered for {}", options_.target,
                         base::PrintDuration(options_.retry_for)));
    return ExitCode::kUnreachable;
  }
  bool kept = summary_.lost == 0 && summary_.duplicated == 0 && summary_.leaked == 0 &&
              more_.other_violations == 0;
  return kept ? ExitCode::kGood : ExitCode::kPromiseMissed;
}

ExitCode Play::CutShort(const absl::Status& status) {
  if (state_.interrupted.load(std::memory_order_relaxed)) {
    return ExitCode::kInterrupted;
  }
  Complain(base::MessageOf(status));
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
                 state_.server_gone.load(std::memory_order_relaxed)
             ? ExitCode::kUnreachable
             : ExitCode::kPrerequisiteMissing;
}

ExitCode Play::Run() {
  absl::Status ready = Connect();
  if (ready.ok()) {
    ready = SetUp();
  }
  if (ready.ok()) {
    ready = Settle();
  }
  if (!ready.ok()) {
    return CutShort(ready);
  }
  PlayAll();
  if (!state_.MustStop()) {
    Drain();
  }
  summary_.seconds = SecondsSince(first_publish_);
  model_.Finish();
  summary_.deliveries = model_.CountDeliveries();
  if (!state_.MustStop()) {
    Check();
    ShowTimelines();
  }
  Report();
  return Verdict();
}

}  // namespace klatch::load
