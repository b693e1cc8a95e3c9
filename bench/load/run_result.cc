#include "bench/load/run_result.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "common/base/version.h"
#include "common/redis/probe.h"

namespace klatch::load {
namespace {

constexpr double kMicrosecondsPerSecond = 1e6;

// What stands behind "name:" in a file such as /proc/cpuinfo.
std::string FieldOf(const char* path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (std::string_view(line).substr(0, name.size()) == name) {
      const size_t begin = line.find_first_not_of(" \t", line.find(':') + 1);
      return begin == std::string::npos ? "" : line.substr(begin);
    }
  }
  return "";
}

std::string MemoryText() {
  constexpr double kGibibyte = 1 << 30;
  const double bytes =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  return fmt::format("{:.1f} GiB", bytes / kGibibyte);
}

std::map<std::string, std::string> Machine(const LoadOptions& options) {
  std::map<std::string, std::string> machine = {
      {"cpu", FieldOf("/proc/cpuinfo", "model name")},
      {"cores", std::to_string(std::thread::hardware_concurrency())},
      {"memory", MemoryText()},
      {"klatch", base::kVersion},
  };
  if (utsname name{}; uname(&name) == 0) {
    machine["kernel"] = fmt::format("{} {}", name.sysname, name.release);
  }
  if (const auto address = redis::Address::Parse(options.redis);
      !options.redis.empty() && address.ok()) {
    if (const auto facts = redis::Probe(*address, {}); facts.ok()) {
      machine["redis"] = facts->version;
    }
  }
  std::erase_if(machine, [](const auto& entry) { return entry.second.empty(); });
  return machine;
}

std::vector<Spectrum> Spectra(const Latencies& latencies) {
  std::vector<Spectrum> spectra;
  const auto add = [&spectra](std::string name, std::string what,
                              const obs::LatencyHistogram& histogram) {
    if (histogram.Count() != 0) {
      spectra.push_back(MakeSpectrum(std::move(name), std::move(what), histogram));
    }
  };
  add("publish", "from the moment that a post was due to its acknowledgement", latencies.publish);
  add("refused",
      "from the moment that an operation was due to its refusal by a node with too much to do",
      latencies.refused);
  add("visible", "from the moment that a post was due to the page that shows it to a member",
      latencies.visible);
  add("last_member", "from the moment that a post was due to its arrival at the last member",
      latencies.last_member);
  add("watch", "from the moment that a post was due to its arrival at somebody who watches",
      latencies.watch);
  add("home_page", "from the moment that a home page was due to its answer", latencies.home_page);
  add("profile_page", "from the moment that a profile's page was due to its answer",
      latencies.profile_page);
  add("group_page", "from the moment that a group's page was due to its answer",
      latencies.group_page);
  add("resume", "from the break of a watch to its going on", latencies.resume);
  return spectra;
}

// CPU of one operation, where both are known.
void AddCosts(const RunFacts& facts, const Summary& summary, std::vector<Cost>& costs) {
  const auto add = [&](std::string_view whose, std::optional<double> cpu) {
    const auto per = [&](std::string_view what, uint64_t operations) {
      if (cpu.has_value() && operations != 0) {
        costs.push_back({fmt::format("CPU of {} per {}", whose, what), "µs",
                         *cpu * kMicrosecondsPerSecond / static_cast<double>(operations)});
      }
    };
    per("operation", facts.answered);
    per("delivery", summary.deliveries);
  };
  add("klatchd", facts.cpu.klatchd);
  add("Redis", facts.cpu.redis);
}

void AddMemory(const std::vector<Series>& series, std::vector<Cost>& costs) {
  const auto add = [&](std::string_view name, std::string_view whose) {
    for (const Series& known : series) {
      if (known.name == name && !known.points.empty()) {
        double most = 0;
        for (const auto& point : known.points) {
          most = std::max(most, point.value_or(0));
        }
        costs.push_back({fmt::format("memory of {}, at most", whose), "bytes", most});
      }
    }
  };
  add("memory_klatchd", "klatchd");
  add("memory_redis", "Redis");
}

// In single quotes where a shell would read it otherwise.
std::string Quoted(std::string_view word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,%@+";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(word);
  }
  std::string quoted = "'";
  for (const char letter : word) {
    quoted += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  }
  return quoted + "'";
}

std::string CommandLine(const std::map<std::string, std::string>& given) {
  std::string line = "klatch-load play";
  for (const auto& [name, value] : given) {
    line += " " + Quoted(fmt::format("--{}={}", name, value));
  }
  return line;
}

}  // namespace

std::string NowAsText() {
  return fmt::format(
      "{:%Y-%m-%dT%H:%M:%SZ}",
      fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

Result MakeResult(const LoadOptions& options, const std::map<std::string, std::string>& given,
                  const RunFacts& facts, const Summary& summary, const Circumstances& more,
                  const Latencies& latencies, std::vector<Series> series) {
  Result result;
  result.name = options.scenario.empty() ? "play" : options.scenario;
  result.started = facts.started;
  result.verdict = facts.verdict;
  result.sentence = VerdictSentence(summary, more);
  result.machine = Machine(options);
  result.options = given;
  result.command = CommandLine(given);
  result.arrivals = options.arrivals == ArrivalKind::kClosedLoop
                        ? "closed loop"
                        : std::string(NameOf(options.arrivals));
  result.offered_per_second = facts.offered_per_second;
  result.achieved_per_second = facts.achieved_per_second;
  result.summary = summary;
  result.more = more;
  result.latencies = Spectra(latencies);
  AddCosts(facts, summary, result.costs);
  AddMemory(series, result.costs);
  result.series = std::move(series);
  return result;
}

std::string MeasuredText(const Result& result, uint64_t sent_late) {
  const auto whole = [](double number) {
    return WithThousands(static_cast<uint64_t>(number + 0.5));
  };
  std::string text;
  if (result.offered_per_second > 0) {
    std::string rate = fmt::format("{} operations per second offered ({}), {} answered",
                                   whole(result.offered_per_second), result.arrivals,
                                   whole(result.achieved_per_second));
    if (sent_late != 0) {
      rate += fmt::format("; {} were sent late, by more than 10 ms", WithThousands(sent_late));
    }
    text += Row("rate", rate);
  }
  if (result.more.watch_shown != 0 && result.summary.seconds > 0) {
    text += Row("", fmt::format("{} deliveries per second to those who watch",
                                whole(static_cast<double>(result.more.watch_shown) /
                                      result.summary.seconds)));
  }
  text += Row("latency", fmt::format("{:<13}{:>10}{:>10}{:>10}{:>10}{:>10}{:>11}", "", "p50", "p90",
                                     "p99", "p99.9", "max", "count"));
  for (const Spectrum& spectrum : result.latencies) {
    // LatencyText has a letter of two bytes, which padding counts as two.
    const auto padded = [](uint64_t microseconds) {
      const std::string latency = LatencyText(microseconds);
      return fmt::format("{:>{}}", latency, microseconds < 1'000 ? 11 : 10);
    };
    text += Row("", fmt::format("{:<13}{}{}{}{}{}{:>11}", spectrum.name, padded(spectrum.p50),
                                padded(spectrum.p90), padded(spectrum.p99), padded(spectrum.p999),
                                padded(spectrum.max), WithThousands(spectrum.count)));
  }
  for (const Cost& cost : result.costs) {
    text +=
        Row(cost.name == result.costs.front().name ? "cost" : "",
            cost.unit == "bytes" ? fmt::format("{}: {:.1f} MiB", cost.name, cost.value / (1 << 20))
                                 : fmt::format("{}: {:.2f} {}", cost.name, cost.value, cost.unit));
  }
  return text;
}

}  // namespace klatch::load
