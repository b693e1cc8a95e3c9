#include "bench/load/play.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "bench/load/drain.h"
#include "bench/load/live_view.h"
#include "bench/load/oracle/answers.h"
#include "bench/load/oracle/check_tasks.h"
#include "bench/load/oracle/http_sample.h"
#include "bench/load/oracle/redis_checker.h"
#include "bench/load/plan/generated_graph.h"
#include "bench/load/plan/snap_graph.h"
#include "bench/load/progress_line.h"
#include "bench/load/setup.h"
#include "bench/load/show.h"
#include "common/base/hash.h"
#include "common/base/standard_streams.h"

namespace klatch::load {
namespace {

// Of DESIGN "Contracts": what `visible` is measured on, if the load is large enough for it.
constexpr uint64_t kVisibleSamplesMin = 1'000;
// Where nobody says what is flushed, stored rings have a while to become what they must be.
constexpr std::chrono::milliseconds kSettleTimeout{10'000};
constexpr std::chrono::milliseconds kWatchBeginTimeout{10'000};
// Behind the drain, for what is on its way to those who watch.
constexpr std::chrono::milliseconds kWatchTimeout{15'000};
// Of fewer people too many would quarrel for others to be found who read what they must.
constexpr uint32_t kPersonsPerQuarrel = 20;
constexpr uint64_t kQuarrelSalt = 0x717561727265ULL;
constexpr uint64_t kQuietSalt = 0x7175696574ULL;
constexpr uint64_t kWatchSalt = 0x7761746368ULL;

void Complain(std::string_view text) {
  static_cast<void>(base::WriteAll(STDERR_FILENO, fmt::format("klatch-load: {}\n", text)));
}

std::string NameOf(ExitCode code) {
  switch (code) {
    case ExitCode::kGood:
      return "kept";
    case ExitCode::kInterrupted:
      return "interrupted";
    case ExitCode::kUnreachable:
      return "unreachable";
    default:
      return "missed";
  }
}

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
  CommunityShape shape{.persons = options.persons,
                       .celebrity_members = options.celebrity_members,
                       .busy_persons = options.busy_persons,
                       .busy_groups = options.busy_groups};
  shape.groups_per_person =
      options.groups_per_person != 0 ? options.groups_per_person : shape.groups_per_person;
  const CommunityShape usual;
  if (options.seed != LoadOptions().seed || shape.persons != usual.persons ||
      shape.groups_per_person != usual.groups_per_person || shape.celebrity_members != 0 ||
      shape.busy_persons != 0) {
    shape.group_suffix = Suffix(fmt::format("{}-{}-{}-{}-{}-{}", options.seed, shape.persons,
                                            shape.groups_per_person, shape.celebrity_members,
                                            shape.busy_persons, shape.busy_groups));
  }
  return GenerateCommunities(shape, options.seed);
}

Play::Play(const LoadOptions& options, const Graph& graph, const std::atomic<bool>& interrupted)
    : options_(options),
      graph_(graph),
      state_(interrupted, graph),
      plan_(graph, options.seed, fmt::format("load-{:016x}", base::RandomUint64()),
            options.several),
      quarrels_(graph, plan_, std::min(options.quarrels, graph.person_count() / kPersonsPerQuarrel),
                options.seed ^ kQuarrelSalt),
      quiet_(graph, quarrels_, options.quiet, options.seed ^ kQuietSalt),
      mix_(OperationMix::Parse(options.mix).value_or(OperationMix())),
      programme_(MakeProgramme(options, mix_, graph, plan_, quarrels_)),
      samples_(programme_.samples, programme_.posts, Mix(options.seed ^ 0x73616d706cULL)),
      model_(graph),
      violations_(graph),
      stage_{graph,    plan_,  quarrels_,  quiet_,     programme_.target,
             samples_, state_, latencies_, violations_},
      sampler_({.metrics = options.metrics,
                .redis = options.redis,
                .arrivals = programme_.arrivals,
                .seed = Cast::ArrivalSeed(options)},
               state_, latencies_) {
  summary_.persons = graph.person_count();
  summary_.groups = graph.group_count();
  more_.memberships = graph.membership_count();
  more_.seed = options.seed;
  more_.connections = options.connections;
}

Client::Options Play::ClientOptions() const {
  return {.target = options_.target,
          .retry_for = options_.retry_for,
          .one_per_call = options_.one_per_call};
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
  SetupOptions setup{.client = ClientOptions(), .connections = options_.connections};
  return SetUpGroups(graph_, plan_, setup, state_, model_, ready);
}

std::string Play::PlayText() const {
  return fmt::format(
      "Playing: {:3.0f}%, {} posts, {} deliveries due, {} left, {} came back{}",
      100 * std::min(1.0, programme_.target.Fraction(state_)),
      WithThousands(state_.published.load(std::memory_order_relaxed)),
      WithThousands(state_.deliveries_expected.load(std::memory_order_relaxed)),
      WithThousands(state_.departures.load(std::memory_order_relaxed)),
      WithThousands(state_.returns.load(std::memory_order_relaxed)),
      state_.retries.load(std::memory_order_relaxed) == 0
          ? std::string()
          : fmt::format(", {} retries",
                        WithThousands(state_.retries.load(std::memory_order_relaxed))));
}

void Play::PlayAll() {
  first_publish_ = std::chrono::steady_clock::now();
  facts_.started = NowAsText();
  // Before any other thread looks at it, the line's too.
  state_.start = first_publish_;
  ProgressLine line([this] { return PlayText() + LiveView(sampler_); });
  sampler_.Start();
  cast_->Run();
  MeasureRates();
  cast_->ForEachHistory([this](const History& history) {
    model_.Add(history);
    refusals_.insert(refusals_.end(), history.refusals.begin(), history.refusals.end());
  });
  more_.node_kills = cast_->node_kills();
  more_.flips = cast_->flips();
}

void Play::MeasureRates() {
  facts_.answered = state_.answered.load(std::memory_order_relaxed);
  facts_.sent_late = state_.sent_late.load(std::memory_order_relaxed);
  facts_.achieved_per_second =
      static_cast<double>(facts_.answered) / std::max(cast_->publishing_seconds(), 1e-3);
  const std::chrono::duration<double> duration = programme_.arrivals.duration;
  if (duration.count() > 0) {
    facts_.offered_per_second =
        static_cast<double>(state_.offered.load(std::memory_order_relaxed)) /
        std::min(duration.count(), std::max(cast_->publishing_seconds(), 1e-3));
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

absl::Status Play::Gather() {
  if (options_.watched + options_.watch_groups != 0) {
    watchers_ =
        std::make_unique<Watchers>(stage_, Watchers::Options{.client = ClientOptions(),
                                                             .groups = options_.watch_groups,
                                                             .persons = options_.watched,
                                                             .gateways = options_.watch_gateways,
                                                             .seed = options_.seed ^ kWatchSalt});
  }
  cast_ = std::make_unique<Cast>(options_, ClientOptions(), stage_, programme_, watchers_.get());
  KLATCH_RETURN_IF_ERROR(cast_->ClearLeftovers());
  return watchers_ == nullptr ? absl::OkStatus() : watchers_->Begin(kWatchBeginTimeout);
}

void Play::Drain() {
  ProgressLine line([this] {
    return fmt::format("Draining: {:.1f} s since the first post", SecondsSince(first_publish_));
  });
  auto must = [this](const absl::Status& status) {
    if (!status.ok()) {
      violations_.AddOther(base::MessageOf(status));
    }
    return status.ok();
  };
  Client client(ClientOptions(), state_);
  bool drained = must(WaitApplied(client, graph_.person(0), state_, options_.drain_timeout));
  if (!options_.metrics.empty()) {
    drained &= must(WaitFlushed(options_.metrics, state_, options_.drain_timeout));
    if (!options_.redis.empty()) {
      drained &= must(WaitNoHoles(options_.redis, state_, options_.drain_timeout));
    }
    more_.flushed = drained;
  }
}

// Right after the drain and before anybody reads: what is said to be flushed is there.
void Play::CheckStored() {
  std::atomic<uint64_t> read{0};
  const uint64_t rings = 2 * uint64_t{graph_.person_count()} + graph_.group_count();
  ProgressLine line([&] {
    return fmt::format("Checking Redis: {} of at most {} rings",
                       WithThousands(read.load(std::memory_order_relaxed)), WithThousands(rings));
  });
  RedisCheckOptions redis{.uri = options_.redis,
                          .cap = options_.cap,
                          .seed = Mix(options_.seed ^ 4),
                          .somebody_is_quiet = quiet_.size() != 0};
  if (options_.metrics.empty()) {
    redis.settle_timeout = kSettleTimeout;
  }
  absl::StatusOr<RedisCheckResult> stored =
      CheckRedis(graph_, model_, redis, state_, violations_, read);
  if (stored.ok()) {
    more_.stored_rings = {stored->timelines + stored->posts + stored->feeds,
                          2 * uint64_t{graph_.person_count()} + graph_.group_count()};
  } else {
    violations_.AddOther(
        fmt::format("Redis could not be checked: {}", base::MessageOf(stored.status())));
  }
}

void Play::CheckApi() {
  CheckPlan checks =
      PlanChecks(graph_, model_, {.timelines = options_.check_timelines}, Mix(options_.seed ^ 1));
  std::atomic<uint64_t> done{0};
  ProgressLine line([&] {
    return fmt::format("Checking: {} of {} timelines and updates",
                       WithThousands(done.load(std::memory_order_relaxed)),
                       WithThousands(checks.tasks.size()));
  });
  Checker checker(
      graph_, plan_, model_,
      {.client = ClientOptions(), .connections = options_.connections, .cap = options_.cap}, state_,
      violations_);
  CheckResult result = checker.Run(checks.tasks, done);
  summary_.trimmed = result.trimmed;
  more_.home_timelines = {result.home_timelines, graph_.person_count()};
  more_.group_timelines = {result.group_timelines, graph_.group_count()};
  more_.profiles = {result.profiles, checks.authors};
  more_.single_updates = {result.single_updates, model_.posts().size()};
  more_.departed = {checks.departures_checked, checks.departures};
}

void Play::CheckProgramme() {
  auto at_least = [this](std::string_view what, uint64_t happened, uint64_t wanted) {
    if (happened < wanted) {
      violations_.AddOther(
          fmt::format("only {} of {} {} took place under the load", happened, wanted, what));
    }
  };
  at_least("samples of visibility", latencies_.visible.Count(),
           programme_.samples >= kVisibleSamplesMin ? kVisibleSamplesMin : programme_.samples / 2);
  at_least("departures", state_.departures.load(std::memory_order_relaxed),
           programme_.departures_min);
  at_least("departures of people who had seen posts",
           state_.telling_departures.load(std::memory_order_relaxed),
           programme_.departures_min / 2);
  at_least("returns", state_.returns.load(std::memory_order_relaxed), programme_.returns_min);
  at_least("edits and deletions", state_.revisions.load(std::memory_order_relaxed),
           programme_.revisions / 2);
  at_least("quarrels", state_.quarrels.load(std::memory_order_relaxed), programme_.quarrels / 2);
  at_least("watches that resumed", summary_.resumes,
           watchers_ == nullptr ? 0 : watchers_->drops() / 3);
}

void Play::CheckHttp() {
  ProgressLine line([] { return std::string("Checking over HTTP"); });
  Client client(ClientOptions(), state_);
  const HttpSampleOptions sample{.address = options_.http, .seed = Mix(options_.seed ^ 3)};
  absl::StatusOr<uint64_t> pages = CompareHttp(graph_, client, sample, state_, violations_);
  if (pages.ok()) {
    more_.http_pages = *pages;
  } else {
    violations_.AddOther(base::MessageOf(pages.status()));
  }
}

// Before other checks, while nothing is asked of the node.
void Play::CheckWatches() {
  if (watchers_ == nullptr) {
    return;
  }
  ProgressLine line([] { return std::string("Checking what watches have shown"); });
  const WatchResult result = watchers_->Judge(model_, kWatchTimeout);
  watchers_->Stop();
  summary_.gaps = result.gaps;
  summary_.resumes = result.resumes;
  more_.watched = result.persons;
  more_.watch_shown = result.shown;
  more_.watch_paged = result.paged;
}

void Play::Check() {
  JudgeAnswers(graph_, model_, refusals_, violations_);
  CheckWatches();
  CheckProgramme();
  if (!options_.redis.empty()) {
    CheckStored();
  }
  if (!state_.MustStop()) {
    CheckApi();
  }
  if (!options_.http.empty() && !state_.MustStop()) {
    CheckHttp();
  }
  more_.checked = !state_.MustStop();
}

void Play::Print(std::string_view text) {
  unprinted_ = unprinted_ || !base::PrintResult("klatch-load", text);
}

void Play::ShowTimelines() {
  Client client(ClientOptions(), state_);
  Random random(Mix(options_.seed ^ 2));
  for (uint32_t i = 0; i < options_.show_timelines && !state_.MustStop(); ++i) {
    // Somebody who has something to read: whoever posts belongs to a group.
    PersonNumber person = plan_.At(random.Next()).author;
    TimelineRead read =
        client.ReadHome(graph_.person(person), {}, {.page_size = kShownUpdates, .pages_max = 1});
    Print(TimelineText(graph_.person(person), read.updates));
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
  more_.shed = state_.shed.load(std::memory_order_relaxed);
  more_.quiet = quiet_.size();
  more_.groups_to_flip = options_.flip_groups;
  more_.several = state_.several.load(std::memory_order_relaxed);
  more_.quarrels = state_.quarrels.load(std::memory_order_relaxed);
  for (size_t surface = 0; surface < kSurfaces; ++surface) {
    auto count = [&](Violation kind) {
      return violations_.Count(kind, static_cast<Surface>(surface));
    };
    summary_.paths[surface] = {count(Violation::kLost), count(Violation::kDuplicated),
                               count(Violation::kLeaked)};
  }
  more_.revisions = state_.revisions.load(std::memory_order_relaxed);
  more_.refused_rightly = refusals_.size();
  more_.other_violations = violations_.other_count();
  more_.examples = violations_.Examples();
  Print(ForPeople(summary_, more_, MeasuredText(result({}), facts_.sent_late)));
  if (options_.json) {
    Print(ToJson(summary_) + "\n");
  }
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
              more_.other_violations == 0 && summary_.unknown == 0 && !unprinted_;
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
  if (ready.ok()) {
    ready = Gather();
  }
  if (!ready.ok()) {
    return CutShort(ready);
  }
  PlayAll();
  if (!state_.MustStop()) {
    Drain();
  }
  summary_.seconds = SecondsSince(first_publish_);
  sampler_.Stop();
  facts_.cpu = sampler_.cpu();
  series_ = sampler_.TakeSeries();
  model_.Finish();
  summary_.deliveries = model_.CountDeliveries();
  if (!state_.MustStop()) {
    Check();
    ShowTimelines();
  }
  Report();
  const ExitCode code = Verdict();
  facts_.verdict = NameOf(code);
  return code;
}

Result Play::result(const std::map<std::string, std::string>& given) const {
  return MakeResult(options_, given, facts_, summary_, more_, latencies_, series_);
}

}  // namespace klatch::load
