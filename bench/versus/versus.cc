#include "bench/versus/versus.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "bench/load/play.h"
#include "bench/versus/calls.h"
#include "bench/versus/core.h"
#include "bench/versus/figure.h"
#include "bench/versus/growth.h"
#include "bench/versus/lab.h"
#include "bench/versus/last_member.h"
#include "bench/versus/live.h"
#include "bench/versus/options.h"
#include "bench/versus/peer_server.h"
#include "bench/versus/redis_peers.h"
#include "bench/versus/restart.h"
#include "common/base/standard_streams.h"

namespace klatch::versus {
namespace {

using load::ExitCode;

constexpr char kName[] = "klatch-load";
constexpr uint32_t kPersonsMin = 1'000;
constexpr std::chrono::seconds kBelieved{60};

using Measure = std::function<absl::StatusOr<std::vector<Figure>>(Lab&)>;

Measure MeasureOf(Family family) {
  switch (family) {
    case Family::kRedisPeers:
      return MeasureRedisPeers;
    case Family::kCore:
      return MeasureCore;
    case Family::kCalls:
      return MeasureCalls;
    case Family::kLive:
      return MeasureLive;
    case Family::kLastMember:
      return MeasureLastMember;
    case Family::kRestart:
      return MeasureRestart;
    case Family::kGrowth:
      return MeasureGrowth;
  }
  return nullptr;
}

ExitCode Fail(ExitCode code, std::string_view message) {
  Say(message);
  return code;
}

absl::Status CheckUsage(const VersusOptions& options) {
  const auto error = [](std::string_view message) {
    return base::Error(absl::StatusCode::kInvalidArgument, message);
  };
  if (options.PersonCount() < kPersonsMin) {
    return error(
        fmt::format("--persons is \"{}\", which is less than {}", options.persons, kPersonsMin));
  }
  if (options.serve.empty() != options.listen.empty()) {
    return error("--serve and --listen want each other");
  }
  return absl::OkStatus();
}

// NOT_FOUND: a program that a wanted key needs.
absl::Status CheckPrograms(const VersusOptions& options) {
  for (const KeySpec& spec : AllKeys()) {
    if (!options.Wants(spec.key)) {
      continue;
    }
    if (spec.needs != Needs::kNothing) {
      KLATCH_RETURN_IF_ERROR(FindKlatchd(options).status());
      KLATCH_RETURN_IF_ERROR(FindRedisServer(options).status());
    }
    if (spec.needs == Needs::kNats) {
      KLATCH_RETURN_IF_ERROR(FindNatsServer(options).status());
    }
  }
  return absl::OkStatus();
}

class Versus {
 public:
  Versus(const VersusOptions& options, Lab& lab) : options_(options), lab_(lab) {}

  ExitCode Run() {
    for (const KeySpec& spec : AllKeys()) {
      if (options_.Wants(spec.key) && std::ranges::find(taken_, spec.family) == taken_.end()) {
        Take(spec.family);
      }
    }
    Complete();
    if (!Report()) {
      code_ = ExitCode::kPromiseMissed;
    }
    return lab_.interrupted() ? ExitCode::kInterrupted : code_;
  }

 private:
  // Those that are wanted.
  std::string KeysOf(Family family) const {
    std::vector<std::string_view> keys;
    for (const KeySpec& spec : AllKeys()) {
      if (spec.family == family && options_.Wants(spec.key)) {
        keys.push_back(spec.key);
      }
    }
    return fmt::format("{}", fmt::join(keys, ", "));
  }

  void Take(Family family) {
    taken_.push_back(family);
    if (lab_.interrupted()) {
      return;
    }
    SayProgress(fmt::format("measuring {}", KeysOf(family)));
    absl::StatusOr<std::vector<Figure>> figures = MeasureOf(family)(lab_);
    if (figures.ok()) {
      std::ranges::move(*figures, std::back_inserter(figures_));
      return;
    }
    const std::string reason = base::MessageOf(figures.status());
    Say(reason);
    for (const KeySpec& spec : AllKeys()) {
      if (spec.family == family) {
        figures_.push_back(NotMeasured(spec.key, reason));
      }
    }
    green_ = green_ && !absl::IsDataLoss(figures.status());
    code_ = ExitCode::kPromiseMissed;
  }

  // The wanted keys in the order of the table, those without a figure too.
  void Complete() {
    std::vector<Figure> all;
    for (const KeySpec& spec : AllKeys()) {
      if (!options_.Wants(spec.key)) {
        continue;
      }
      const auto found = std::ranges::find(figures_, spec.key, &Figure::key);
      all.push_back(found != figures_.end() ? *found : NotMeasured(spec.key, "interrupted"));
    }
    figures_ = std::move(all);
  }

  bool Report() const {
    const RunFacts facts{.quick = options_.quick,
                         .is_short = options_.Timed() < kBelieved,
                         .seed = options_.seed,
                         .persons = options_.PersonCount(),
                         .green = green_};
    return base::PrintResult(kName, ForPeople(facts, figures_)) &&
           (!options_.json || base::PrintResult(kName, ToJson(facts, figures_) + "\n"));
  }

  const VersusOptions& options_;
  Lab& lab_;
  std::vector<Family> taken_;
  std::vector<Figure> figures_;
  bool green_ = true;
  ExitCode code_ = ExitCode::kGood;
};

ExitCode Measured(const VersusOptions& options, const std::atomic<bool>& interrupted) {
  if (absl::Status programs = CheckPrograms(options); !programs.ok()) {
    return Fail(ExitCode::kPrerequisiteMissing, base::MessageOf(programs));
  }
  absl::StatusOr<std::unique_ptr<Lab>> lab = Lab::Open(options, interrupted);
  if (!lab.ok()) {
    return Fail(
        absl::IsInvalidArgument(lab.status()) ? ExitCode::kUsage : ExitCode::kPrerequisiteMissing,
        base::MessageOf(lab.status()));
  }
  return Versus(options, **lab).Run();
}

}  // namespace

ExitCode RunVersus(const VersusOptions& options, const std::atomic<bool>& interrupted) {
  if (absl::Status usage = CheckUsage(options); !usage.ok()) {
    return Fail(ExitCode::kUsage, base::MessageOf(usage));
  }
  if (!options.serve.empty()) {
    const absl::Status served = ServePeer(options.serve, options.listen, interrupted);
    return served.ok() ? ExitCode::kGood
                       : Fail(absl::IsInvalidArgument(served) ? ExitCode::kUsage
                                                              : ExitCode::kPrerequisiteMissing,
                              base::MessageOf(served));
  }
  return Measured(options, interrupted);
}

}  // namespace klatch::versus
