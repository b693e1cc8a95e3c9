// klatch-load's client when the node is killed under it.
//
// gRPC's own look at connections that nobody reads, every 5 seconds, is off here: it would hide a
// client that comes back only by it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <future>

#include "bench/load/calls/client.h"
#include "bench/load/plan/graph.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

TEST(LoadReconnectTest, CallsThatFoundNoNodeGoThroughToTheNextOne) {
  // Read by gRPC when its first channel is made.
  ASSERT_EQ(setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "0", /*overwrite=*/1), 0);
  Klatchd klatchd;
  const load::Graph graph{{"ann"}, {{"g", 0, {0}}}, std::nullopt};
  const std::atomic<bool> interrupted{false};
  load::RunState state(interrupted, graph);
  load::Client client({.target = klatchd.address(), .retry_for = kProcessWaitMax}, state);
  ASSERT_TRUE(client.ReadHome("ann", {}, {}).ok());

  klatchd.Kill();
  auto read = std::async(std::launch::async, [&] { return client.ReadHome("ann", {}, {}); });
  // It has failed and been tried again while there was nobody.
  ASSERT_TRUE(Eventually([&] { return state.retries.load(std::memory_order_relaxed) >= 3; }));
  klatchd.Start();
  EXPECT_TRUE(read.get().ok());
}

}  // namespace
}  // namespace klatch::testing
