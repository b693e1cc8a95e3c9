// Files that are read and replaced whole, also where they can't be.

#include "common/base/whole_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace klatch::base {
namespace {

using ::testing::EndsWith;

class WholeFileTest : public ::testing::Test {
 protected:
  WholeFileTest() {
    std::string name = std::filesystem::temp_directory_path() / "klatch-whole-file-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~WholeFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ / name; }
  size_t FilesIn(const std::string& folder) const {
    const std::filesystem::directory_iterator files(folder);
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }

  std::filesystem::path folder_;
};

TEST_F(WholeFileTest, WhatIsWrittenIsReadAndNothingElseIsLeft) {
  for (const std::string& text : {std::string("one\n"), std::string(), std::string(3 << 20, 'x')}) {
    ASSERT_TRUE(ReplaceFile(Path("file"), text).ok());
    const absl::StatusOr<std::string> read = ReadWholeFile(Path("file"), 3 << 20);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, text);
  }
  EXPECT_EQ(FilesIn(folder_), 1u);
}

TEST_F(WholeFileTest, WhetherItCanBeReplacedIsKnownBefore) {
  for (const std::string& path :
       {Path("file"), Path("new"), std::string("/dev/null"), std::string("relative")}) {
    ASSERT_TRUE(path != Path("file") || ReplaceFile(path, "old").ok());
    EXPECT_TRUE(CheckReplaceable(path).ok()) << path;
  }
  EXPECT_EQ(FilesIn(folder_), 1u);
  for (const std::string& path : {folder_.string(), Path("none/file"), Path("file/below")}) {
    const absl::Status known = CheckReplaceable(path);
    const absl::Status found = ReplaceFile(path, "new");
    EXPECT_FALSE(found.ok()) << path;
    EXPECT_FALSE(known.ok()) << path;
    EXPECT_EQ(MessageOf(known), MessageOf(found));
  }
}

TEST_F(WholeFileTest, MoreThanTheBoundIsRefused) {
  ASSERT_TRUE(ReplaceFile(Path("file"), "12345").ok());
  EXPECT_TRUE(ReadWholeFile(Path("file"), 5).ok());
  const absl::Status refused = ReadWholeFile(Path("file"), 4).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(refused), Path("file") + ": has more than 4 bytes");
  // One without an end.
  EXPECT_FALSE(ReadWholeFile("/dev/zero", 5 << 20).ok());
}

TEST_F(WholeFileTest, WhatIsNotThereIsNamed) {
  const absl::Status missing = ReadWholeFile(Path("none"), 4).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(MessageOf(missing), Path("none") + ": can't be read: No such file or directory");
  EXPECT_EQ(MessageOf(ReadWholeFile(folder_, 4).status()),
            folder_.string() + ": can't be read: Is a directory");
  EXPECT_EQ(MessageOf(ReplaceFile(Path("none/file"), "x")),
            Path("none/file") + ": can't be written: No such file or directory");
  EXPECT_FALSE(ReplaceFile(folder_, "x").ok());
}

TEST_F(WholeFileTest, ALinkStaysOne) {
  ASSERT_TRUE(ReplaceFile(Path("file"), "old").ok());
  std::filesystem::create_symlink("file", Path("link"));
  ASSERT_TRUE(ReplaceFile(Path("link"), "new").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(Path("link")));
  EXPECT_EQ(*ReadWholeFile(Path("file"), 3), "new");
}

TEST_F(WholeFileTest, ADeviceIsWrittenIntoAndStays) {
  EXPECT_TRUE(ReplaceFile("/dev/null", "gone").ok());
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  const absl::Status full = ReplaceFile("/dev/full", "x");
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(MessageOf(full), "/dev/full: can't be written: No space left on device");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

TEST_F(WholeFileTest, AFullDiskKeepsTheOldFile) {
  const std::string disk = Path("disk");
  ASSERT_TRUE(std::filesystem::create_directory(disk));
  if (mount("none", disk.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "no disk can be mounted here (" << std::strerror(errno)
                 << "): a full one is not tried";
  }
  const std::string path = disk + "/file";
  EXPECT_TRUE(ReplaceFile(path, "old").ok());
  const absl::Status full = ReplaceFile(path, std::string(1 << 20, 'x'));
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(MessageOf(full), EndsWith("/disk/file: can't be written: No space left on device"));
  const absl::StatusOr<std::string> kept = ReadWholeFile(path, 3);
  EXPECT_TRUE(kept.ok() && *kept == "old") << kept.status();
  EXPECT_EQ(FilesIn(disk), 1u);
  EXPECT_EQ(umount(disk.c_str()), 0);
}

}  // namespace
}  // namespace klatch::base
