#include "bench/load/progress_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <string_view>

#include "common/base/standard_streams.h"

namespace klatch::load {
namespace {

constexpr std::chrono::milliseconds kRefresh{200};

void Say(std::string_view text) { static_cast<void>(base::WriteAll(STDERR_FILENO, text)); }

}  // namespace

ProgressLine::ProgressLine(std::function<std::string()> text)
    : text_(std::move(text)), terminal_(isatty(STDERR_FILENO) == 1), thread_([this] { Run(); }) {}

ProgressLine::~ProgressLine() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_one();
  thread_.join();
  Say(fmt::format("{}{}\n", terminal_ ? "\r\x1b[K" : "", text_()));
}

void ProgressLine::Run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kRefresh, [this] { return ended_; })) {
    if (terminal_) {
      Say(fmt::format("\r\x1b[K{}", text_()));
    }
  }
}

}  // namespace klatch::load
