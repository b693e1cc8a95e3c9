#pragma once
// Makes the Result of a run from what its parts have counted.
//
// Thread safety: any thread.

#include <map>
#include <string>

#include "bench/load/cast/player.h"
#include "bench/load/options.h"
#include "bench/load/result/result.h"
#include "bench/load/sampler.h"

namespace klatch::load {

// What a run knows beside its summary when it has ended.
struct RunFacts {
  std::string started;  // RFC 3339
  std::string verdict;  // as of Result
  uint64_t answered = 0;
  uint64_t sent_late = 0;
  double offered_per_second = 0;  // 0 of a closed loop
  double achieved_per_second = 0;
  Sampler::Cpu cpu;
};

// "2026-11-29T10:28:00Z".
std::string NowAsText();

// `given`: the options that are not at their defaults.
Result MakeResult(const LoadOptions& options, const std::map<std::string, std::string>& given,
                  const RunFacts& facts, const Summary& summary, const Circumstances& more,
                  const Latencies& latencies, std::vector<Series> series);

// The rates and latencies for people, lines of ForPeople.
std::string MeasuredText(const Result& result, uint64_t sent_late);

}  // namespace klatch::load
