#include "bench/load/progress_line.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string_view>

#include "common/base/standard_streams.h"

namespace klatch::load {
namespace {

constexpr std::chrono::milliseconds kRefresh{200};

// A line that wrapped would not be where it is drawn over.
size_t TerminalColumns() {
  winsize size{};
  constexpr size_t kUsual = 80;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : kUsual;
}

// Each line cut to so many characters of UTF-8.
std::string Cut(std::string_view text, size_t columns) {
  std::string cut;
  size_t column = 0;
  for (const char byte : text) {
    const bool continues = (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
    column = byte == '\n' ? 0 : column + (continues ? 0 : 1);
    if (column <= columns) {
      cut += byte;
    }
  }
  return cut;
}

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
  if (terminal_) {
    Draw(text_());
    Say("\n");
  } else {
    const std::string text = text_();
    Say(text.substr(0, text.find('\n')) + "\n");
  }
}

void ProgressLine::Draw(const std::string& text) {
  const std::string up = drawn_lines_ > 1 ? fmt::format("\x1b[{}A", drawn_lines_ - 1) : "";
  drawn_lines_ = 1 + static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  // The line is cleared from its beginning, and what stood below it.
  Say(fmt::format("{}\r\x1b[J{}", up, Cut(text, TerminalColumns())));
}

void ProgressLine::Run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kRefresh, [this] { return ended_; })) {
    if (terminal_) {
      Draw(text_());
    }
  }
}

}  // namespace klatch::load
