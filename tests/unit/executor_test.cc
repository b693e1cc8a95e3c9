#include "common/base/executor.h"

#include <gtest/gtest.h>

#include <string>

namespace klatch::base {
namespace {

TEST(ExecutorTest, WithoutThreadsTasksWaitForWhoeverRunsThem) {
  Executor executor(0, "test");
  std::string done;
  executor.Post([&] {
    done += "a";
    executor.Post([&] { done += "c"; });
  });
  executor.Post([&] { done += "b"; });
  EXPECT_EQ(done, "");
  EXPECT_EQ(executor.RunQueued(), 2u);
  EXPECT_EQ(done, "ab") << "what comes meanwhile waits";
  EXPECT_EQ(executor.RunQueued(), 1u);
  EXPECT_EQ(executor.RunQueued(), 0u);
  EXPECT_EQ(done, "abc");
}

}  // namespace
}  // namespace klatch::base
