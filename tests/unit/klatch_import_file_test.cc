// The files of `klatch import`: what is understood, and what is said of the others.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/status.h"
#include "services/klatch/import_file.h"

namespace klatch::cli {
namespace {

using testing::HasSubstr;

TEST(ImportFileTest, EdgesMakeFriendsGroupsOfBoth) {
  ImportGroups groups;
  ASSERT_TRUE(ParseImport("# people\n0 1\n0\t2\r\n", ImportFormat::kEdges, "", groups).ok());
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups["friends:0"].owner, "0");
  EXPECT_EQ(groups["friends:0"].members.size(), 3u);
  EXPECT_EQ(groups["friends:1"].members["0"], v1::ROLE_MEMBER);
  EXPECT_EQ(groups["friends:1"].members["1"], v1::ROLE_OWNER);
}

TEST(ImportFileTest, CirclesBelongToTheirEgo) {
  ImportGroups groups;
  ASSERT_TRUE(ParseImport("circle0\t71\t215\n", ImportFormat::kCircles, "107", groups).ok());
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups["circle:107:circle0"].owner, "107");
  EXPECT_EQ(groups["circle:107:circle0"].members.size(), 3u);
}

TEST(ImportFileTest, CsvTakesRolesAndTheFirstOwner) {
  ImportGroups groups;
  ASSERT_TRUE(ParseImport("hiking,bob\nhiking, alice ,owner\nchess,dora,moderator\n",
                          ImportFormat::kCsv, "", groups)
                  .ok());
  EXPECT_EQ(groups["hiking"].owner, "alice");
  EXPECT_EQ(groups["hiking"].members["bob"], v1::ROLE_MEMBER);
  EXPECT_EQ(groups["chess"].owner, "dora");
  EXPECT_EQ(groups["chess"].members["dora"], v1::ROLE_OWNER);
}

TEST(ImportFileTest, LinesOfBlanksSayNothing) {
  ImportGroups groups;
  for (const ImportFormat format :
       {ImportFormat::kEdges, ImportFormat::kCircles, ImportFormat::kCsv}) {
    EXPECT_TRUE(ParseImport("\r\t\n \v\n\f\r\r\n\n", format, "ego", groups).ok());
  }
  EXPECT_TRUE(groups.empty());
}

TEST(ImportFileTest, NamesTheLineAtFault) {
  std::string long_id = "g,a\n";
  long_id.append(129, 'g').append(",b\n");
  const std::pair<ImportFormat, std::string> faults[] = {{ImportFormat::kEdges, "0 1\n0 1 2\n"},
                                                         {ImportFormat::kCsv, "g,a\ng,b,king\n"},
                                                         {ImportFormat::kCsv, "g,a\n,b\n"},
                                                         {ImportFormat::kCsv, long_id}};
  for (const auto& [format, text] : faults) {
    ImportGroups groups;
    const absl::Status status = ParseImport(text, format, "", groups);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(base::MessageOf(status), HasSubstr("line 2: "));
  }
}

class ReadImportFileTest : public testing::Test {
 protected:
  ~ReadImportFileTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) const {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static std::string MessageFor(const std::string& path) {
    ImportGroups groups;
    const absl::Status status = ReadImportFile(path, groups);
    EXPECT_FALSE(status.ok());
    return base::MessageOf(status);
  }

  const std::filesystem::path folder_ = [] {
    std::string name = testing::TempDir() + "klatch_cli_test.XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    return name;
  }();
};

TEST_F(ReadImportFileTest, NamesFileAndLineAtFault) {
  const std::string edges = Write("edges.txt", "# people\n1 2\n\n3\n");
  EXPECT_EQ(MessageFor(edges), edges + ": line 4: two persons are expected, 1 words found");
  const std::string staff = Write("staff.csv", "hiking,ann\r\nhiking,bob,king\r\n");
  EXPECT_EQ(MessageFor(staff),
            staff + ": line 2: 'king' is none of reader, member, moderator, owner");
}

TEST_F(ReadImportFileTest, TakesTheEgoOfCirclesFromTheName) {
  ImportGroups groups;
  ASSERT_TRUE(ReadImportFile(Write("107.circles", "circle0\t1\t2"), groups).ok());
  EXPECT_EQ(groups["circle:107:circle0"].owner, "107");
  EXPECT_EQ(groups["circle:107:circle0"].members.size(), 3u);
}

TEST_F(ReadImportFileTest, EmptyFileNamesNoGroups) {
  ImportGroups groups;
  EXPECT_TRUE(ReadImportFile(Write("empty.csv", ""), groups).ok());
  EXPECT_TRUE(groups.empty());
}

TEST_F(ReadImportFileTest, SaysWhyAFileCannotBeRead) {
  const std::string missing = folder_ / "missing.csv";
  EXPECT_EQ(MessageFor(missing), missing + ": No such file or directory");
  EXPECT_EQ(MessageFor(folder_), folder_.string() + ": is a folder, name the files");
  // Readable by name only: an error that shows when it is read.
  EXPECT_THAT(MessageFor("/proc/self/mem"), HasSubstr("/proc/self/mem: can't be read: "));
}

TEST_F(ReadImportFileTest, FileThatIsTooLargeIsRefusedUnread) {
  // A hole: it takes no room.
  const std::string path = Write("huge.csv", "hiking,ann\n");
  std::filesystem::resize_file(path, (uintmax_t{1} << 30) + 1);
  EXPECT_EQ(MessageFor(path), path + ": larger than 1 GiB");
}

TEST(ImportFileTest, TellsFormatsByName) {
  EXPECT_EQ(FormatOf("a/0.circles"), ImportFormat::kCircles);
  EXPECT_EQ(FormatOf("a/staff.csv"), ImportFormat::kCsv);
  EXPECT_EQ(FormatOf("a/facebook_combined.txt"), ImportFormat::kEdges);
}

}  // namespace
}  // namespace klatch::cli
