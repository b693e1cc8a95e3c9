#pragma once
// A directory that is removed at the end. Its path is short enough for sockets.
//
// Ends the test process if there can be none.

#include <filesystem>

namespace klatch::testing {

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace klatch::testing
