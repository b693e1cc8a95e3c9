#pragma once
// What a phase of the run is doing, on stderr: on a terminal a line that lives until the phase
// ends, or several, else one line when it has ended. One phase at a time.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace klatch::load {

class ProgressLine {
 public:
  // `text` is asked from a thread of the line's own, several times a second. Where it has several
  // lines, those behind the first are for terminals only.
  explicit ProgressLine(std::function<std::string()> text);
  // Prints the last state.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

 private:
  void Run();
  // Puts `text` where the last one stands.
  void Draw(const std::string& text);

  const std::function<std::string()> text_;
  const bool terminal_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ended_ = false;  // guarded by mutex_
  size_t drawn_lines_ = 0;
  std::thread thread_;
};

}  // namespace klatch::load
