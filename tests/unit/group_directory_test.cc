#include "services/persons/group_directory.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace klatch {
namespace {

using ::testing::HasSubstr;

std::vector<std::string_view> Views(const std::vector<std::string>& names) {
  return {names.begin(), names.end()};
}

TEST(GroupDirectoryTest, ManyAtOnceAreFoundAsEachAlone) {
  GroupDirectory groups(Layout{}, 10'000);
  ASSERT_EQ(*groups.FindOrAdd("before"), GroupIndex(0));
  std::vector<std::string> names;
  for (int i = 0; i < 5'000; ++i) {
    names.push_back("group-with-a-long-name-" + std::to_string(i));
  }
  names.insert(names.begin() + 2'000, {"before", names[0], ""});  // known, again, and empty
  const auto indexes = groups.FindOrAddAll(Views(names));
  ASSERT_TRUE(indexes.ok()) << indexes.status();
  ASSERT_EQ(indexes->size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(groups.At((*indexes)[i]).key(), names[i]);
    EXPECT_EQ(groups.Find(GroupId(names[i]))->index, (*indexes)[i]);
    EXPECT_EQ(*groups.FindOrAdd(names[i]), (*indexes)[i]);
  }
  EXPECT_EQ(groups.size(), 5'002);
}

TEST(GroupDirectoryTest, AFullOneSaysWhatToRaise) {
  GroupDirectory groups(Layout{}, 2);
  const auto indexes = groups.FindOrAddAll(Views({"a", "b", "a", "c"}));
  EXPECT_EQ(indexes.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(indexes.status().message(), HasSubstr("--groups-max"));
  // What was found before the bound stays found.
  ASSERT_TRUE(groups.FindOrAddAll(Views({"b", "a"})).ok());
  EXPECT_EQ(groups.size(), 2);
}

}  // namespace
}  // namespace klatch
