#include "common/obs/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cmath>
#include <utility>

#include "common/base/utf8.h"

namespace klatch::obs {
namespace {

// Room for the ends of a line that was cut.
constexpr std::string_view kTruncatedEnd = R"(,"truncated":true})";
constexpr size_t kContentBytesMax = kLogLineBytesMax - kTruncatedEnd.size() - 1;
constexpr size_t kComponentBytesMax = 64;
constexpr size_t kMessageBytesMax = 2048;

struct ProcessLog {
  DescriptorSink standard_error{STDERR_FILENO};
  // Release/acquire: publishes the sink that a test made before it.
  std::atomic<LogSink*> sink{&standard_error};
  // Relaxed: a level publishes nothing; a thread may see a change a little later.
  std::atomic<Level> level{Level::kInfo};
};

ProcessLog& TheLog() {
  // Never destroyed: threads may log while the process ends.
  static ProcessLog& log = *new ProcessLog;
  return log;
}

std::string EscapedControl(char c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
  }
}

bool NeedsEscape(char c) {
  return c == '"' || c == '\\' || c == '\x7f' || static_cast<unsigned char>(c) < 0x20;
}

// Appends well-formed `text` until `end_max`; false if it does not fit.
bool AppendEscaped(std::string& out, std::string_view text, size_t end_max) {
  while (!text.empty()) {
    const bool escape = NeedsEscape(text.front());
    size_t length = 1;
    if (!escape) {
      // A whole character, so that a cut never splits one.
      while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) {
        ++length;
      }
    }
    const std::string piece =
        escape ? EscapedControl(text.front()) : std::string(text.substr(0, length));
    if (out.size() + piece.size() > end_max) {
      return false;
    }
    out.append(piece);
    text.remove_prefix(length);
  }
  return true;
}

// While it exists, a write to a closed pipe fails with EPIPE instead of ending the process.
class ScopedBrokenPipeBlock {
 public:
  ScopedBrokenPipeBlock() {
    sigemptyset(&broken_pipe_);
    sigaddset(&broken_pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe_, &before_);
  }
  ~ScopedBrokenPipeBlock() {
    if (raised_ && !sigismember(&before_, SIGPIPE)) {
      // Take the pending signal away before it can be delivered.
      const timespec no_wait{};
      while (sigtimedwait(&broken_pipe_, nullptr, &no_wait) == -1 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  ScopedBrokenPipeBlock(const ScopedBrokenPipeBlock&) = delete;
  ScopedBrokenPipeBlock& operator=(const ScopedBrokenPipeBlock&) = delete;

  void NoteRaised() { raised_ = true; }

 private:
  sigset_t broken_pipe_{};
  sigset_t before_{};
  bool raised_ = false;
};

std::string FormatTime(base::WallTime now) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(now);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(milliseconds);
  const std::time_t time = std::chrono::system_clock::to_time_t(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", parts, (milliseconds - seconds).count());
}

}  // namespace

std::string_view LevelName(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarn:
      return "warn";
    case Level::kError:
      break;
  }
  return "error";
}

bool AppendJsonString(std::string& out, std::string_view text, size_t bytes_max) {
  // One byte stays for the closing quote.
  const size_t end_max = out.size() + bytes_max - 1;
  out.push_back('"');
  bool complete = true;
  while (complete && !text.empty()) {
    const std::string_view valid = base::Utf8Prefix(text, text.size());
    complete = AppendEscaped(out, valid, end_max);
    text.remove_prefix(valid.size());
    if (complete && !text.empty()) {
      constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
      complete = AppendEscaped(out, kReplacement, end_max);
      text.remove_prefix(1);
    }
  }
  out.push_back('"');
  return complete;
}

bool FieldValue::AppendJson(std::string& out, size_t bytes_max) const {
  if (const auto* text = std::get_if<std::string_view>(&value_)) {
    return AppendJsonString(out, *text, bytes_max);
  }
  std::string printed;
  if (const auto* flag = std::get_if<bool>(&value_)) {
    printed = *flag ? "true" : "false";
  } else if (const auto* number = std::get_if<int64_t>(&value_)) {
    printed = fmt::format("{}", *number);
  } else if (const auto* count = std::get_if<uint64_t>(&value_)) {
    printed = fmt::format("{}", *count);
  } else {
    const double real = std::get<double>(value_);
    // JSON has neither infinities nor NaN.
    printed = std::isfinite(real) ? fmt::format("{}", real) : "null";
  }
  out.append(printed);
  return true;
}

std::string FormatLogLine(base::WallTime now, Level level, std::string_view component,
                          std::string_view message, Fields fields) {
  std::string line =
      fmt::format(R"({{"ts":"{}","level":"{}","component":)", FormatTime(now), LevelName(level));
  bool complete = AppendJsonString(line, component, kComponentBytesMax);
  line.append(R"(,"msg":)");
  complete &= AppendJsonString(line, message, kMessageBytesMax);
  for (const Field& field : fields) {
    // The shortest value that says anything, or a number, needs this much after its key.
    constexpr size_t kValueBytesMin = 32;
    std::string key = ",";
    complete &= AppendJsonString(key, field.key, kComponentBytesMax);
    if (line.size() + key.size() + 1 + kValueBytesMin > kContentBytesMax) {
      complete = false;
      break;
    }
    line.append(key).push_back(':');
    complete &= field.value.AppendJson(line, kContentBytesMax - line.size());
  }
  line.append(complete ? "}" : kTruncatedEnd).push_back('\n');
  return line;
}

void Log(Level level, std::string_view component, std::string_view message, Fields fields) {
  if (!LogsAt(level)) {
    return;
  }
  const std::string line =
      FormatLogLine(std::chrono::system_clock::now(), level, component, message, fields);
  TheLog().sink.load(std::memory_order_acquire)->Write(line);
}

void SetLogLevel(Level level) { TheLog().level.store(level, std::memory_order_relaxed); }

bool LogsAt(Level level) { return level >= TheLog().level.load(std::memory_order_relaxed); }

void DescriptorSink::Write(std::string_view line) {
  ScopedBrokenPipeBlock block;
  ssize_t written = 0;
  do {
    written = ::write(descriptor_, line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  // Whatever else went wrong, the line is lost: there is nowhere to say so.
  if (written < 0 && errno == EPIPE) {
    block.NoteRaised();
  }
}

ScopedLogSink::ScopedLogSink(LogSink& sink)
    : previous_(TheLog().sink.exchange(&sink, std::memory_order_acq_rel)) {}

ScopedLogSink::~ScopedLogSink() { TheLog().sink.store(previous_, std::memory_order_release); }

void CapturingSink::Write(std::string_view line) {
  std::lock_guard lock(mutex_);
  lines_.emplace_back(line);
}

std::vector<std::string> CapturingSink::lines() const {
  std::lock_guard lock(mutex_);
  return lines_;
}

std::optional<uint64_t> LogLimiter::Admit(base::MonotonicTime now) {
  std::lock_guard lock(mutex_);
  if (!window_start_ || now - *window_start_ >= std::chrono::seconds(1)) {
    window_start_ = now;
    admitted_ = 0;
  }
  if (admitted_ >= lines_per_second_) {
    ++suppressed_;
    return std::nullopt;
  }
  ++admitted_;
  return std::exchange(suppressed_, 0);
}

}  // namespace klatch::obs
