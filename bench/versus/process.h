#pragma once
// A program that versus starts: its output and its log go to files, and it ends with this object,
// and with this process even when that crashes.
//
// Thread safety: one thread at a time; the thread that starts a process lives as long as it does.
// Bound: stopping takes kStopTime, then SIGKILL ends it.

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace klatch::versus {

// The program's path: as it is if it has a slash; else where PATH or /usr/sbin has it. NOT_FOUND with
// `hint` if nobody has.
absl::StatusOr<std::string> FindProgram(const std::string& program, std::string_view hint);

// CPU that a process has taken since it started, user and system; 0 if there is no such process.
double CpuSecondsOf(pid_t pid);
// What of a process's memory is resident; 0 if there is no such process.
uint64_t ResidentBytesOf(pid_t pid);

// What this machine can still give, by the kernel's estimate.
uint64_t AvailableMemoryBytes();

class Process {
 public:
  static constexpr std::chrono::seconds kStopTime{20};

  // Starts argv[0], a path, with outputs in <folder>/<name>.out and .log. Variables of the
  // environment that start with KLATCH_ are left out. INTERNAL if it can't be started.
  static absl::StatusOr<std::unique_ptr<Process>> Start(std::vector<std::string> argv,
                                                        const std::filesystem::path& folder,
                                                        const std::string& name);
  // Stop.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  // Its exit code if it has ended, 128 + n if signal n ended it; nothing while it runs.
  std::optional<int> Ended();
  void Signal(int signal) const;
  // SIGTERM, then SIGKILL. Idempotent.
  void Stop();

  std::string Output() const;
  std::string Log() const;
  // The last line of its log that is not empty.
  std::string LastLogLine() const;

 private:
  Process(std::filesystem::path output, std::filesystem::path log)
      : output_(std::move(output)), log_(std::move(log)) {}

  const std::filesystem::path output_;
  const std::filesystem::path log_;
  pid_t pid_ = 0;
  std::optional<int> ended_;
};

}  // namespace klatch::versus
