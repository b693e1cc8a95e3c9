#include "common/obs/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace klatch::obs {
namespace {

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// A field of /proc/self/stat by its number in proc(5), from 3 on: those behind the command's name.
double StatField(int number) {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream rest(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::string field;
  for (int i = 3; i <= number; ++i) {
    rest >> field;
  }
  return field.empty() ? 0 : std::strtod(field.c_str(), nullptr);
}

double ResidentBytes() {
  constexpr int kResidentPages = 24;
  return StatField(kResidentPages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double Threads() {
  constexpr int kThreads = 20;
  return StatField(kThreads);
}

double OpenFiles() {
  std::error_code error;
  const std::filesystem::directory_iterator files("/proc/self/fd", error);
  // The one that lists them is open too.
  return error ? 0 : static_cast<double>(std::distance(begin(files), end(files)) - 1);
}

// Seconds since 1970.
double StartTime() {
  constexpr int kStartTicks = 22;
  std::ifstream file("/proc/stat");
  std::string word;
  double booted = 0;
  while (file >> word && word != "btime") {
  }
  file >> booted;
  return booted + StatField(kStartTicks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

void RegisterProcessMetrics(MetricsRegistry& metrics) {
  metrics.AddSecondsCounter("process_cpu_seconds_total", "CPU time of this process.", {},
                            CpuSeconds);
  metrics.AddGauge("process_resident_memory_bytes", "Memory of this process that is not swapped.",
                   {}, ResidentBytes);
  metrics.AddGauge("process_open_fds", "Files and connections that are open.", {}, OpenFiles);
  metrics.AddGauge("process_threads", "Threads of this process.", {}, Threads);
  metrics.AddGauge("process_start_time_seconds", "When this process began, since 1970.", {},
                   [start = StartTime()] { return start; });
}

}  // namespace klatch::obs
