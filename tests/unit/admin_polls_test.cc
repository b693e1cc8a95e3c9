#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <utility>

#include "services/admin/polls.h"
#include "services/model/limits.h"

namespace klatch {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PollsTest : public ::testing::Test {
 protected:
  ~PollsTest() override {
    polls_.Stop();
    executor_.Stop();
  }

  static base::Task<void> Await(base::Task<absl::Status> waiting,
                                std::shared_ptr<std::promise<absl::Status>> promise) {
    absl::Status status = co_await std::move(waiting);
    promise->set_value(std::move(status));
  }
  std::future<absl::Status> Until(std::function<bool()> done, milliseconds limit) {
    auto promise = std::make_shared<std::promise<absl::Status>>();
    std::future<absl::Status> future = promise->get_future();
    base::Spawn(
        Await(polls_.Until(std::move(done), clock_.Monotonic() + limit), std::move(promise)));
    return future;
  }

  const base::SystemClock clock_;
  base::Executor executor_{1, "test"};
  Polls polls_{executor_, clock_};
};

TEST_F(PollsTest, EndsOnceItIsDoneOrTheDeadlineHasCome) {
  std::atomic<bool> done{false};
  auto waiting = Until([&] { return done.load(); }, seconds(60));
  EXPECT_EQ(waiting.wait_for(milliseconds(20)), std::future_status::timeout);
  done.store(true);
  EXPECT_TRUE(waiting.get().ok());
  EXPECT_TRUE(Until([] { return true; }, milliseconds(0)).get().ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(Until([] { return false; }, milliseconds(10)).get()));
}

TEST_F(PollsTest, StopEndsWhoWaitsAndWhoComesLater) {
  auto waiting = Until([] { return false; }, seconds(60));
  polls_.Stop();
  EXPECT_TRUE(absl::IsUnavailable(waiting.get()));
  EXPECT_TRUE(absl::IsUnavailable(Until([] { return true; }, seconds(60)).get()));
}

TEST_F(PollsTest, OneTooManyIsRefused) {
  std::vector<std::future<absl::Status>> waiting;
  for (size_t i = 0; i < limits::kAdminWaitsMax; ++i) {
    waiting.push_back(Until([] { return false; }, seconds(60)));
  }
  EXPECT_TRUE(absl::IsResourceExhausted(Until([] { return true; }, seconds(60)).get()));
  polls_.Stop();
  for (auto& one : waiting) {
    EXPECT_TRUE(absl::IsUnavailable(one.get()));
  }
}

}  // namespace
}  // namespace klatch
