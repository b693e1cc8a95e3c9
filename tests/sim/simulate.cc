// Plays worlds, each under a seed, and says which of them broke a rule.
//
//   tests/sim/klatch_sim --seeds 200            # 1 to 200
//   tests/sim/klatch_sim --first 17 --seeds 1   # the same world again, to the last turn
//   tests/sim/klatch_sim --seeds 5 --twice      # each twice: the same must happen
//
// Exit codes: 0 all rules held, 1 one was broken, 2 usage.

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <mutex>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "common/obs/log.h"
#include "tests/sim/world.h"

namespace klatch::sim {
namespace {

// What befalls nodes here they say thousands of times.
class NoLines final : public obs::LogSink {
 public:
  void Write(std::string_view) override {}
};

struct Options {
  uint64_t first = 1;
  uint64_t seeds = 200;
  uint64_t jobs = std::max(1U, std::thread::hardware_concurrency());  // worlds at the same time
  bool twice = false;
  bool is_told = false;  // each world's numbers, and the log lines of its nodes
};

bool ReadNumber(std::string_view text, uint64_t& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

bool ReadOptions(std::span<char*> arguments, Options& options) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view name = arguments[i];
    if (name == "--twice") {
      options.twice = true;
    } else if (name == "--verbose") {
      options.is_told = true;
    } else if ((name == "--first" || name == "--seeds" || name == "--jobs") &&
               i + 1 < arguments.size()) {
      uint64_t& number = name == "--first"   ? options.first
                         : name == "--seeds" ? options.seeds
                                             : options.jobs;
      if (!ReadNumber(arguments[++i], number)) {
        return false;
      }
    } else {
      return false;
    }
  }
  return true;
}

// Keeps the thread, and all that it will start, on one of the processors that it may use: the actors of a world
// take turns, and to hand a turn to another processor costs twice as much.
void StayOnOneProcessor(uint64_t which) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
    return;
  }
  std::vector<int> processors;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &allowed)) {
      processors.push_back(i);
    }
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processors[which % processors.size()], &one);
  static_cast<void>(sched_setaffinity(0, sizeof(one), &one));  // it is slower without, no more
}

// What all worlds came to.
struct Total {
  std::mutex mutex;
  // Guarded by mutex.
  uint64_t broken = 0;
  Verdict sum;
};

void Play(uint64_t seed, const Options& options, Total& total) {
  Verdict verdict = World(seed).Run();
  if (options.twice && World(seed).Run().trace != verdict.trace) {
    verdict.violations.push_back("played again, something else happened");
  }
  std::lock_guard lock(total.mutex);
  if (options.is_told || !verdict.violations.empty()) {
    fmt::print("seed {}: {}{}; {} acknowledged, {} lost, {} faults, {} loads, {} turns\n", seed,
               verdict.promises.ToString(), verdict.rates.ToString(), verdict.acknowledged,
               verdict.lost, verdict.faults, verdict.loads, verdict.turns);
  }
  for (const std::string& violation : verdict.violations) {
    fmt::print("  {}\n", violation);
  }
  std::fflush(stdout);
  total.broken += verdict.violations.empty() ? 0 : 1;
  total.sum.acknowledged += verdict.acknowledged;
  total.sum.lost += verdict.lost;
  total.sum.pages += verdict.pages;
  total.sum.faults += verdict.faults;
  total.sum.loads += verdict.loads;
  total.sum.turns += verdict.turns;
}

int Simulate(const Options& options) {
  Total total;
  std::atomic<uint64_t> next{options.first};
  std::vector<std::thread> players;
  for (uint64_t i = 0; i < std::max<uint64_t>(1, options.jobs); ++i) {
    players.emplace_back([&, i] {
      StayOnOneProcessor(i);
      for (uint64_t seed = next++; seed < options.first + options.seeds; seed = next++) {
        Play(seed, options, total);
      }
    });
  }
  for (std::thread& player : players) {
    player.join();
  }
  fmt::print(
      "{} worlds, {} broken: {} posts acknowledged, {} lost where they may be, {} pages read, "
      "{} faults, {} loads, {} turns\n",
      options.seeds, total.broken, total.sum.acknowledged, total.sum.lost, total.sum.pages,
      total.sum.faults, total.sum.loads, total.sum.turns);
  return total.broken == 0 ? 0 : 1;
}

}  // namespace
}  // namespace klatch::sim

int main(int argc, char** argv) {
  klatch::sim::Options options;
  if (!klatch::sim::ReadOptions(std::span(argv + 1, static_cast<size_t>(argc - 1)), options)) {
    fmt::print(stderr,
               "usage: klatch_sim [--first N] [--seeds N] [--jobs N] [--twice] [--verbose]\n");
    return 2;
  }
  if (options.is_told) {
    return klatch::sim::Simulate(options);
  }
  klatch::sim::NoLines silent;
  const klatch::obs::ScopedLogSink sink(silent);
  return klatch::sim::Simulate(options);
}
