#pragma once
// Structured log: one JSON object per line on stderr,
//   {"ts":"2026-05-04T10:11:12.345Z","level":"info","component":"tailer","msg":"caught
//   up","shards":64}
//
//   obs::Log(obs::Level::kInfo, "tailer", "caught up", {{"shards", shard_count}});
//
// Thread safety: everything from any thread. A line is one write(2), so lines never interleave.
// Bounds: a line has at most kLogLineBytesMax bytes (what a pipe takes whole); longer texts are
// cut, further fields left out, and the line says "truncated":true. Errors: a sink that takes
// nothing (closed or full pipe) loses the line, never the process. Never log bodies, tokens or
// passwords.
//
// There is one log per process because there is one stderr; tests put a sink in its place.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/clock.h"

namespace klatch::obs {

constexpr size_t kLogLineBytesMax = 4096;

enum class Level { kDebug, kInfo, kWarn, kError };
std::string_view LevelName(Level level);

// A value lives for the call only.
class FieldValue {
 public:
  FieldValue(bool value) : value_(value) {}
  template <std::signed_integral T>
  FieldValue(T value) : value_(static_cast<int64_t>(value)) {}
  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) FieldValue(T value) : value_(static_cast<uint64_t>(value)) {}
  FieldValue(double value) : value_(value) {}
  FieldValue(const char* value) : value_(std::string_view(value)) {}
  FieldValue(std::string_view value) : value_(value) {}
  FieldValue(const std::string& value) : value_(std::string_view(value)) {}

  // Appends it as JSON, at most bytes_max bytes; false if it had to be cut.
  bool AppendJson(std::string& out, size_t bytes_max) const;

 private:
  std::variant<bool, int64_t, uint64_t, double, std::string_view> value_;
};

struct Field {
  std::string_view key;
  FieldValue value;
};
using Fields = std::initializer_list<Field>;

// Writes the line if `level` is at least the level in force.
void Log(Level level, std::string_view component, std::string_view message, Fields fields = {});

void SetLogLevel(Level level);
bool LogsAt(Level level);

// Where lines go, each ending in '\n'.
class LogSink {
 public:
  virtual ~LogSink() = default;
  // From any thread.
  virtual void Write(std::string_view line) = 0;
};

// A descriptor that somebody else owns.
class DescriptorSink final : public LogSink {
 public:
  explicit DescriptorSink(int descriptor) : descriptor_(descriptor) {}
  void Write(std::string_view line) override;

 private:
  const int descriptor_;
};

// While it exists, lines go to `sink`. For tests: one at a time, and no thread logs any more when
// it ends.
class ScopedLogSink {
 public:
  explicit ScopedLogSink(LogSink& sink);
  ~ScopedLogSink();
  ScopedLogSink(const ScopedLogSink&) = delete;
  ScopedLogSink& operator=(const ScopedLogSink&) = delete;

 private:
  LogSink* const previous_;
};

// Keeps the lines of a test.
class CapturingSink final : public LogSink {
 public:
  void Write(std::string_view line) override;
  std::vector<std::string> lines() const;

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<std::string> lines_;
};

// The line that Log writes, with its '\n'.
std::string FormatLogLine(base::WallTime now, Level level, std::string_view component,
                          std::string_view message, Fields fields);

// Appends `text` as a JSON string of at most bytes_max bytes, quotes included; ill-formed UTF-8
// becomes U+FFFD. False if it was cut. REQUIRES: bytes_max >= 2.
bool AppendJsonString(std::string& out, std::string_view text, size_t bytes_max);

// At most `lines_per_second` lines of one call site:
//
//   if (auto suppressed = flush_errors_.Admit(clock.Monotonic())) {
//     obs::Log(obs::Level::kWarn, "flusher", "write failed", {{"suppressed", *suppressed}});
//   }
//
// Thread safety: any thread.
class LogLimiter {
 public:
  explicit LogLimiter(uint32_t lines_per_second) : lines_per_second_(lines_per_second) {}

  // How many were suppressed since the last admitted one; nothing if this one is suppressed too.
  std::optional<uint64_t> Admit(base::MonotonicTime now);

 private:
  const uint32_t lines_per_second_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::optional<base::MonotonicTime> window_start_;
  uint32_t admitted_ = 0;
  uint64_t suppressed_ = 0;
};

}  // namespace klatch::obs
