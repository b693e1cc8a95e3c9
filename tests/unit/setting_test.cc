// Numbers of tests from the environment: what is none is told, and not taken for 0.

#include "tests/lib/setting.h"

#include <gtest/gtest.h>

namespace klatch::setting {
namespace {

using ::testing::ExitedWithCode;

uint64_t SettingOf(const char* text) {
  setenv("KLATCH_OF_THIS_TEST", text, 1);
  return Number("KLATCH_OF_THIS_TEST", 7, 1, 100);
}

TEST(SettingTest, IsWhatTheEnvironmentSays) {
  unsetenv("KLATCH_OF_THIS_TEST");
  EXPECT_EQ(Number("KLATCH_OF_THIS_TEST", 7, 1, 100), 7u);
  EXPECT_EQ(SettingOf("1"), 1u);
  EXPECT_EQ(SettingOf("100"), 100u);
  setenv("KLATCH_OF_THIS_TEST", "18446744073709551615", 1);
  EXPECT_EQ(Number("KLATCH_OF_THIS_TEST", 7, 0, UINT64_MAX), UINT64_MAX);
}

TEST(SettingDeathTest, WhatIsNoneEndsTheProgram) {
  for (const char* text : {"", "abc", "0", "-1", "101", "5s", " 5", "5 ", "1e1", "0x5",
                           "18446744073709551616", "99999999999999999999"}) {
    EXPECT_EXIT(SettingOf(text), ExitedWithCode(2),
                "KLATCH_OF_THIS_TEST is \".*\", wants a whole number from 1 to 100\n")
        << text;
  }
}

}  // namespace
}  // namespace klatch::setting
