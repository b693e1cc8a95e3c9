// Answers to the adds of gateways: as many as there are, in parts that a client takes, and no more
// of them in the node's memory than it may hold.

#include <gmock/gmock.h>

#include <atomic>
#include <set>
#include <thread>

#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {
namespace {

// Longer than what is not stopped takes to be written.
constexpr std::chrono::seconds kStalled{3};

v1::WatchHomeTimelinesRequest Adding(const std::string& person, int count) {
  v1::WatchHomeTimelinesRequest request;
  for (int i = 0; i < count; ++i) {
    request.mutable_add()->add_persons(person);
  }
  return request;
}

TEST(KlatchdWatchAnswersTest, GatewayThatDoesNotReadIsStoppedAndGetsAllItsAnswersWhenItDoes) {
  constexpr size_t kAdds = 300;
  constexpr int kPersons = 5'000;
  Klatchd klatchd({.arguments = {"--shards", "4", "--partitions", "4", "--workers", "1",
                                 "--watch-stall-max", "10m"}});
  Gateway gateway(klatchd.Channel(), Gateway::Begin::kHeldBack);
  const std::string bob(128, 'b');
  ASSERT_TRUE(gateway.Send(Adding(bob, 1)));
  // All of them are refused: he is watched already. 190 MB of requests, more of answers.
  const v1::WatchHomeTimelinesRequest again = Adding(bob, kPersons);
  std::atomic<size_t> written{0};
  std::thread writer([&] {
    while (written.load() < kAdds && gateway.Send(again)) {
      written.fetch_add(1);
    }
  });
  // Were it read on, all would be taken at once, however slow the machine is to do so.
  size_t seen = 0;
  do {
    seen = written.load();
    std::this_thread::sleep_for(kStalled);
  } while (written.load() != seen);
  EXPECT_LT(seen, kAdds / 2);
  gateway.Read();
  EXPECT_TRUE(gateway.AwaitAnswers(1 + kAdds));
  gateway.Cancel();
  writer.join();
  const std::vector<v1::WatchAdded> answers = gateway.answers();
  ASSERT_EQ(answers.size(), 1 + kAdds);
  // Answers come in the order of completion: what is refused at once may overtake the first add,
  // which goes through the worker.
  int watched = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    watched += answers[i].persons() == 1 ? 1 : 0;
    EXPECT_EQ(answers[i].refused_size(), answers[i].persons() == 1 ? 0 : kPersons) << i;
  }
  EXPECT_EQ(watched, 1);
}

TEST(KlatchdWatchAnswersTest, AnswerThatRefusesHundredThousandComesInPartsThatADefaultClientTakes) {
  constexpr int kPersons = 100'000;
  Klatchd klatchd({.arguments = {"--shards", "4", "--partitions", "4", "--workers", "1",
                                 "--watched-persons-max", "1"}});
  v1::WatchHomeTimelinesRequest request;
  for (int i = 0; i < kPersons; ++i) {
    request.mutable_add()->add_persons(std::to_string(i));
  }
  Gateway gateway(klatchd.Channel());
  ASSERT_TRUE(gateway.Send(request));
  ASSERT_TRUE(gateway.AwaitAnswersOrEnd(1));
  ASSERT_EQ(gateway.answers().size(), 1u) << gateway.status().error_message();
  const v1::WatchAdded answer = gateway.answers()[0];
  EXPECT_EQ(answer.persons(), 1u);
  std::set<std::string> refused;
  for (const v1::WatchRefused& one : answer.refused()) {
    EXPECT_EQ(one.error().code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    refused.insert(one.person());
  }
  EXPECT_EQ(refused.size(), size_t{kPersons} - 1);
  EXPECT_EQ(answer.refused_size(), kPersons - 1);
  // Behind all parts the stream goes on, and may be resumed.
  EXPECT_TRUE(gateway.AwaitAnyToken());
}

}  // namespace
}  // namespace klatch::testing
