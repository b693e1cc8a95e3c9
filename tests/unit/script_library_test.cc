// What a script takes along of a library.

#include "services/log/script_library.h"

#include <gtest/gtest.h>

#include "services/log/scripts.h"

namespace klatch {
namespace {

constexpr char kLibrary[] = R"(-- A library.
local log = KEYS[1]
local NAMES = {'A', 'B'}
local NUMBERS = {}
for number, name in ipairs(NAMES) do
  NUMBERS[name] = number
end

-- What the time is.
local now, last
local function read_clock()
  now = redis.call('TIME')
end
local function append(record)
  read_clock()
  last = redis.call('XADD', log, now, record)
end
local function append_all(records)
  -- read_clock and append
end
)";

TEST(ScriptLibraryTest, ScriptWithoutUseStaysAlone) {
  EXPECT_EQ(WithLibrary(kLibrary, "return 1\n"), "return 1\n");
  EXPECT_EQ(WithLibrary("", "return log\n"), "return log\n");
}

TEST(ScriptLibraryTest, TakesWhatIsUsedByWhatIsUsed) {
  EXPECT_EQ(WithLibrary(kLibrary, "append(ARGV[1])\n"), R"(local log = KEYS[1]
local now, last
local function read_clock()
  now = redis.call('TIME')
end
local function append(record)
  read_clock()
  last = redis.call('XADD', log, now, record)
end
append(ARGV[1])
)");
}

TEST(ScriptLibraryTest, StatementsStayWithTheDefinitionBeforeThem) {
  EXPECT_EQ(WithLibrary(kLibrary, "return NUMBERS.B\n"), R"(local NAMES = {'A', 'B'}
local NUMBERS = {}
for number, name in ipairs(NAMES) do
  NUMBERS[name] = number
end
return NUMBERS.B
)");
}

TEST(ScriptLibraryTest, NamesAreWholeWords) {
  EXPECT_EQ(WithLibrary(kLibrary, "return appended + my_log + now_ms\n"),
            "return appended + my_log + now_ms\n");
  EXPECT_EQ(WithLibrary(kLibrary, "return last"), "local now, last\nreturn last\n");
}

TEST(ScriptLibraryTest, CommentsUseNothing) {
  EXPECT_EQ(WithLibrary(kLibrary, "-- log\nreturn 1\n"), "return 1\n");
}

TEST(ScriptLibraryTest, PostsTakeNothingAlongForRemovals) {
  const std::string& source = scripts::Publish().source();
  EXPECT_NE(source.find("local function look_at_group("), std::string::npos);
  EXPECT_NE(source.find("local function append_unread("), std::string::npos);
  EXPECT_EQ(source.find("delete_body"), std::string::npos);
  EXPECT_EQ(source.find("targets_of"), std::string::npos);
}

}  // namespace
}  // namespace klatch
