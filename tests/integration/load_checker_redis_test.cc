// klatch-load against a Klatch with one fault each: whatever is lost, shown twice, leaked, refused
// or answered wrongly, the run must end with exit code 1 and count it as what it is.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>

#include "bench/load/play.h"
#include "services/model/position.h"
#include "tests/integration/faulty_proxy.h"
#include "tests/integration/klatchd_process.h"

namespace klatch::testing {
namespace {

using load::ExitCode;
using ::testing::Combine;
using ::testing::Ge;
using ::testing::Values;

// When a fault shows: to those who look while others post, or only to the check at the end.
enum class When { kUnderLoad, kAtTheEnd };

class LoadCheckerRedisTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    klatchd_ = new Klatchd({.arguments = {"--flush-interval", "50ms"}});
  }
  static void TearDownTestSuite() {
    delete klatchd_;
    klatchd_ = nullptr;
  }

  LoadCheckerRedisTest() {
    static uint64_t seed = 100;
    options_.target = "unix:" + (directory_.path() / "proxy.sock").string();
    options_.metrics = "127.0.0.1:" + std::to_string(klatchd_->metrics_port());
    options_.redis = "unix://" + (klatchd_->data_dir() / "redis.sock").string();
    options_.persons = 60;
    // Another seed makes groups of its own on the same data.
    options_.seed = ++seed;
    options_.arrivals = load::ArrivalKind::kClosedLoop;
    options_.updates = 300;
    options_.connections = 2;
    options_.probers = 1;
    options_.batch = 5;
    options_.churn = 60;
    options_.revisions = 40;
    // LoadCheckerWholeRedisTest plays these.
    options_.several = 0;
    options_.watched = 0;
    options_.quarrels = 0;
    options_.show_timelines = 0;
    options_.retry_for = std::chrono::milliseconds(500);
  }

  void Run(Faults faults) {
    const FaultyProxy proxy(klatchd_->Channel(), options_.target, std::move(faults));
    auto graph = load::LoadGraph(options_);
    ASSERT_TRUE(graph.ok()) << graph.status();
    load::Play play(options_, **graph, interrupted_);
    exit_ = play.Run();
    summary_ = play.summary();
    more_ = play.circumstances();
  }

  // Whether the fault may show in this call. Reads of a single update a page are those that wait
  // for tokens: after the load's they say that nobody posts or moves any more.
  bool Shows(When when, const ReadCall& call) {
    drained_ = drained_ || (playing_ && call.path == Path::kHome && call.page_size == 1);
    playing_ = playing_ || call.page_size > 1;
    return call.page_size != 1 && (when == When::kAtTheEnd) == drained_;
  }

  static Klatchd* klatchd_;
  TemporaryDirectory directory_;
  load::LoadOptions options_;
  std::atomic<bool> interrupted_{false};
  bool playing_ = false;
  bool drained_ = false;
  ExitCode exit_ = ExitCode::kUsage;
  load::Summary summary_;
  load::Circumstances more_;
};

Klatchd* LoadCheckerRedisTest::klatchd_ = nullptr;

TEST_F(LoadCheckerRedisTest, FindsNothingWhereNothingIsWrong) {
  Run({});
  EXPECT_EQ(exit_, ExitCode::kGood) << ::testing::PrintToString(more_.examples);
  EXPECT_EQ(summary_.lost + summary_.duplicated + summary_.leaked + summary_.unknown, 0u);
  EXPECT_GE(summary_.published, 300u);
  EXPECT_GE(more_.departures, 8u);
  EXPECT_GE(more_.returns, 4u);
  EXPECT_GE(more_.revisions, 6u);
  EXPECT_TRUE(more_.flushed);
  EXPECT_EQ(more_.home_timelines.read, 60u);
  EXPECT_EQ(more_.departed.read, more_.departed.all);
}

TEST_F(LoadCheckerRedisTest, FindsNothingInASecondRunOnTheSameGroups) {
  Run({});
  EXPECT_EQ(exit_, ExitCode::kGood) << ::testing::PrintToString(more_.examples);
  Run({});
  EXPECT_EQ(exit_, ExitCode::kGood) << ::testing::PrintToString(more_.examples);
}

class LoadCheckerPathRedisTest : public LoadCheckerRedisTest,
                                 public ::testing::WithParamInterface<std::tuple<Path, When>> {};

TEST_P(LoadCheckerPathRedisTest, FindsADeliveryThatOnePathDoesNotShow) {
  auto [path, when] = GetParam();
  std::optional<std::pair<std::string, uint64_t>> dropped;
  Faults faults;
  faults.read = [&, path = path, when = when](const ReadCall& call, grpc::Status& status,
                                              Updates& updates) {
    if (!Shows(when, call) || call.path != path || updates.empty()) {
      return;
    }
    // Under load every page lacks its newest: somebody looks for it. At the end one pair does.
    if (when == When::kAtTheEnd && !dropped) {
      dropped = {call.actor, updates.Get(0).id()};
    }
    for (int i = 0; i < updates.size(); ++i) {
      const bool this_one = when == When::kAtTheEnd ? call.actor == dropped->first &&
                                                          updates.Get(i).id() == dropped->second
                                                    : i == 0;
      if (this_one) {
        updates.DeleteSubrange(i, 1);
        break;
      }
    }
    if (path == Path::kSingle && updates.empty()) {
      status = grpc::Status(grpc::StatusCode::NOT_FOUND, "not there");
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  if (when == When::kAtTheEnd) {
    EXPECT_EQ(summary_.lost, 1u);
  } else {
    EXPECT_GE(summary_.lost, 1u);
  }
  EXPECT_EQ(summary_.duplicated + summary_.leaked, 0u);
}

TEST_P(LoadCheckerPathRedisTest, FindsAPostThatSomebodySeesAfterLeaving) {
  auto [path, when] = GetParam();
  std::map<std::string, std::map<std::string, v1::Update>> by_group_and_author;
  std::map<uint64_t, v1::Update> by_id;
  std::set<std::pair<std::string, std::string>> left;
  Faults faults;
  faults.removed = [&](const v1::RemoveMembersRequest& request) {
    left.insert({request.persons(0), request.group()});
  };
  faults.added = [&](const v1::AddMembersRequest& request) {
    for (const v1::Member& member : request.members()) {
      left.erase({member.person(), request.group()});
    }
  };
  faults.read = [&, path = path, when = when](const ReadCall& call, grpc::Status& status,
                                              Updates& updates) {
    for (const v1::Update& update : updates) {
      by_group_and_author[update.groups(0)][update.author()] = update;
      by_id[update.id()] = update;
    }
    if (!Shows(when, call) || call.path != path || !call.first_page) {
      return;
    }
    auto show = [&](const v1::Update& update) {
      status = grpc::Status::OK;
      int at = 0;
      while (at < updates.size() && updates.Get(at).id() > update.id()) {
        ++at;
      }
      *updates.Add() = update;
      for (int i = updates.size() - 1; i > at; --i) {
        updates.SwapElements(i, i - 1);
      }
    };
    for (const auto& [person, group] : left) {
      if (person != call.actor) {
        continue;
      }
      const auto& authors = by_group_and_author[group];
      if (path == Path::kSingle) {
        auto known = by_id.find(call.update);
        if (known != by_id.end() && known->second.groups(0) == group) {
          show(known->second);
        }
      } else if (path == Path::kProfile
                     ? authors.contains(call.subject)
                     : !authors.empty() && (path == Path::kHome || call.subject == group)) {
        show(path == Path::kProfile ? authors.at(call.subject) : authors.begin()->second);
      }
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(summary_.leaked, 1u);
  EXPECT_EQ(summary_.lost + summary_.duplicated, 0u);
}

INSTANTIATE_TEST_SUITE_P(Paths, LoadCheckerPathRedisTest,
                         Combine(Values(Path::kHome, Path::kGroup, Path::kProfile, Path::kSingle),
                                 Values(When::kUnderLoad, When::kAtTheEnd)));

class LoadCheckerPageRedisTest : public LoadCheckerRedisTest,
                                 public ::testing::WithParamInterface<Path> {};

TEST_P(LoadCheckerPageRedisTest, FindsAPostThatAPageShowsTwice) {
  bool done = false;
  Faults faults;
  faults.read = [&](const ReadCall& call, grpc::Status&, Updates& updates) {
    if (Shows(When::kAtTheEnd, call) && call.path == GetParam() && !done && !updates.empty()) {
      *updates.Add() = updates.Get(updates.size() - 1);
      done = true;
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_EQ(summary_.duplicated, 1u);
  EXPECT_EQ(summary_.lost + summary_.leaked, 0u);
}

TEST_P(LoadCheckerPageRedisTest, FindsPagesThatCannotBeRead) {
  Faults faults;
  faults.read = [&](const ReadCall& call, grpc::Status& status, Updates& updates) {
    if (Shows(When::kAtTheEnd, call) && call.path == GetParam()) {
      status = grpc::Status(grpc::StatusCode::NOT_FOUND, "no such thing");
      updates.Clear();
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(more_.other_violations, 1u);
}

INSTANTIATE_TEST_SUITE_P(Pages, LoadCheckerPageRedisTest,
                         Values(Path::kHome, Path::kGroup, Path::kProfile));

TEST_F(LoadCheckerRedisTest, FindsThatSingleUpdatesAreAlwaysRefused) {
  Faults faults;
  faults.read = [](const ReadCall& call, grpc::Status& status, Updates&) {
    if (call.path == Path::kSingle) {
      status = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no");
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(more_.other_violations, 300u);
}

// What an answer that says OK may be wrong about.
struct BadAnswer {
  std::string name;
  std::function<void(v1::BatchPublishResult&, const v1::BatchPublishResult&)> spoil;
  uint64_t unknown = 0;
};

class LoadCheckerAnswerRedisTest : public LoadCheckerRedisTest,
                                   public ::testing::WithParamInterface<BadAnswer> {};

TEST_P(LoadCheckerAnswerRedisTest, FindsAnOkThatCannotBeTrue) {
  std::optional<v1::BatchPublishResult> earlier;
  bool done = false;
  Faults faults;
  faults.batch_result = [&](const v1::PublishUpdateRequest&, v1::BatchPublishResult& result) {
    if (!result.has_published() || done) {
      return;
    }
    if (earlier) {
      GetParam().spoil(result, *earlier);
      done = true;
    } else {
      earlier = result;
    }
  };
  Run(std::move(faults));
  EXPECT_TRUE(done);
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(more_.other_violations, 1u);
  EXPECT_EQ(summary_.unknown, GetParam().unknown);
}

INSTANTIATE_TEST_SUITE_P(
    Answers, LoadCheckerAnswerRedisTest,
    Values(BadAnswer{"Empty", [](auto& result, const auto&) { result.Clear(); }, 1},
           BadAnswer{
               "NoId",
               [](auto& result, const auto&) { result.mutable_published()->set_update_id(0); }, 1},
           BadAnswer{"NoToken",
                     [](auto& result, const auto&) { result.mutable_published()->clear_tokens(); },
                     1},
           BadAnswer{"TokenOfAnotherShard",
                     [](auto& result, const auto&) {
                       v1::Token* token = result.mutable_published()->mutable_tokens(0);
                       token->set_shard(token->shard() + 1);
                     },
                     1},
           BadAnswer{"RepeatedId", [](auto& result, const auto& earlier) { result = earlier; }, 0}),
    [](const auto& answer) { return answer.param.name; });

TEST_F(LoadCheckerRedisTest, FindsARefusalWithoutReason) {
  bool done = false;
  Faults faults;
  faults.batch_result = [&](const v1::PublishUpdateRequest&, v1::BatchPublishResult& result) {
    if (!done) {
      result.mutable_error()->set_code(static_cast<int>(grpc::StatusCode::PERMISSION_DENIED));
      done = true;
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
}

TEST_F(LoadCheckerRedisTest, FindsADeletionThatDidNotHappen) {
  Faults faults;
  faults.pretend_delete = [](const auto&) { return true; };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(summary_.leaked, 1u);
}

TEST_F(LoadCheckerRedisTest, FindsAnEditThatDidNotHappen) {
  Faults faults;
  faults.pretend_edit = [](const auto&) { return true; };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(more_.other_violations, 1u);
  EXPECT_EQ(summary_.lost + summary_.duplicated + summary_.leaked, 0u);
}

TEST_F(LoadCheckerRedisTest, FindsARepetitionThatPostsASecondTime) {
  std::map<std::string, std::string> texts;
  Faults faults;
  faults.before_publish = [&](v1::PublishUpdateRequest& request) {
    auto [known, first] = texts.emplace(request.request_id(), request.update().text());
    if (!first && known->second == request.update().text()) {
      request.set_request_id(request.request_id() + "-again");
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(summary_.duplicated, 1u);
  EXPECT_EQ(summary_.lost + summary_.leaked, 0u);
}

TEST_F(LoadCheckerRedisTest, FindsThatAUsedKeyIsTakenForAnotherText) {
  std::map<std::string, v1::PublishUpdateResponse> answers;
  Faults faults;
  faults.publish = [&](const v1::PublishUpdateRequest& request, grpc::Status& status,
                       v1::PublishUpdateResponse& response) {
    if (status.ok()) {
      answers[request.request_id()] = response;
    } else if (status.error_code() == grpc::StatusCode::ALREADY_EXISTS) {
      status = grpc::Status::OK;
      response = answers[request.request_id()];
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(more_.other_violations, 1u);
  EXPECT_EQ(summary_.lost + summary_.duplicated + summary_.leaked, 0u);
}

TEST_F(LoadCheckerRedisTest, APostThatStaysUndecidedFailsTheRunAndIsJudgedLikeOthers) {
  std::string lost_answer;
  Faults faults;
  faults.publish = [&](const v1::PublishUpdateRequest& request, grpc::Status& status,
                       v1::PublishUpdateResponse& response) {
    lost_answer = lost_answer.empty() && status.ok() ? request.request_id() : lost_answer;
    if (request.request_id() == lost_answer) {
      status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken");
      response.Clear();
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_EQ(summary_.unknown, 1u);
  EXPECT_EQ(summary_.lost + summary_.duplicated + summary_.leaked, 0u);
}

TEST_F(LoadCheckerRedisTest, AnUndecidedPostThatStandsTwiceIsDuplicated) {
  std::string lost_answer;
  int tries = 0;
  Faults faults;
  faults.before_publish = [&](v1::PublishUpdateRequest& request) {
    if (request.request_id() == lost_answer) {
      request.set_request_id(request.request_id() + "-try-" + std::to_string(++tries));
    }
  };
  faults.publish = [&](const v1::PublishUpdateRequest& request, grpc::Status& status,
                       v1::PublishUpdateResponse& response) {
    lost_answer = lost_answer.empty() && status.ok() ? request.request_id() : lost_answer;
    if (request.request_id() == lost_answer) {
      status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken");
      response.Clear();
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_EQ(summary_.unknown, 1u);
  EXPECT_GE(summary_.duplicated, 1u);
}

// Everything at once: posts to several groups, watches that drop and resume, quarrels.
class LoadCheckerWholeRedisTest : public LoadCheckerRedisTest {
 protected:
  LoadCheckerWholeRedisTest() {
    options_.persons = 120;
    options_.several = 150;
    options_.watched = 60;
    options_.quarrels = 5;
  }

  uint64_t CountOnWatches(uint64_t load::PathCounts::*kind) const {
    return summary_.paths[static_cast<size_t>(load::Surface::kWatch)].*kind +
           summary_.paths[static_cast<size_t>(load::Surface::kResumedWatch)].*kind;
  }
  uint64_t CountOn(load::Surface surface, uint64_t load::PathCounts::*kind) const {
    return summary_.paths[static_cast<size_t>(surface)].*kind;
  }
};

TEST_F(LoadCheckerWholeRedisTest, FindsNothingWhereNothingIsWrong) {
  Run({});
  EXPECT_EQ(exit_, ExitCode::kGood) << ::testing::PrintToString(more_.examples);
  EXPECT_EQ(summary_.lost + summary_.duplicated + summary_.leaked + summary_.unknown, 0u);
  EXPECT_GE(more_.several, 10u);
  EXPECT_GE(more_.quarrels, 3u);
  EXPECT_EQ(more_.watched, 60u);
  EXPECT_GE(more_.watch_shown, 1'000u);
  EXPECT_GE(summary_.resumes, 4u);
  EXPECT_EQ(summary_.gaps, 0u);
}

TEST_F(LoadCheckerWholeRedisTest, FindsUpdatesThatAWatchDoesNotShow) {
  Faults faults;
  faults.watched = [](WatchEvents& events) {
    for (int i = events.size() - 1; i >= 0; --i) {
      // Some of them, and never: also when the watch goes on.
      if (events.Get(i).has_published() && events.Get(i).published().id() / 4096 % 4 == 0) {
        events.DeleteSubrange(i, 1);
      }
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(CountOnWatches(&load::PathCounts::lost), 1u);
  EXPECT_EQ(CountOn(load::Surface::kHome, &load::PathCounts::lost), 0u);
  EXPECT_EQ(summary_.duplicated + summary_.leaked, 0u);
}

TEST_F(LoadCheckerWholeRedisTest, FindsUpdatesThatAWatchShowsTwice) {
  bool done = false;
  Faults faults;
  faults.watched = [&](WatchEvents& events) {
    for (int i = 0; i < events.size() && !done; ++i) {
      if (events.Get(i).has_published()) {
        *events.Add() = v1::WatchEvent(events.Get(i));
        done = true;
      }
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(CountOnWatches(&load::PathCounts::duplicated), 1u);
  EXPECT_EQ(summary_.lost + summary_.leaked, 0u);
}

TEST_F(LoadCheckerWholeRedisTest, FindsWhatAWatchShowsBehindTheWordThatSomebodyLeft) {
  std::map<std::string, v1::Update> of_group;
  Faults faults;
  faults.watched = [&](WatchEvents& events) {
    std::vector<v1::WatchEvent> leaks;
    for (const v1::WatchEvent& event : events) {
      if (event.has_published() && event.published().groups_size() == 1) {
        of_group[event.published().groups(0)] = event.published();
      } else if (of_group.contains(event.left_group())) {
        v1::WatchEvent& leak = leaks.emplace_back(event);
        *leak.mutable_edited() = of_group.at(event.left_group());
      }
    }
    for (const v1::WatchEvent& leak : leaks) {
      *events.Add() = leak;
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(CountOnWatches(&load::PathCounts::leaked), 1u);
  EXPECT_EQ(summary_.lost + summary_.duplicated, 0u);
}

TEST_F(LoadCheckerWholeRedisTest, AGapIsNoLossIfThePageBehindItShowsWhatWasMissing) {
  Faults faults;
  faults.watched = [](WatchEvents& events) {
    for (v1::WatchEvent& event : events) {
      if (event.has_published() && event.published().id() / 4096 % 4 == 0) {
        v1::Gap gap;
        gap.set_reason(v1::GAP_REASON_SLOW_READER);
        gap.mutable_since()->set_seconds(event.published().create_time().seconds() - 1);
        *event.mutable_gap() = gap;
      }
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kGood) << ::testing::PrintToString(more_.examples);
  EXPECT_GE(summary_.gaps, 1u);
  EXPECT_GE(more_.watch_paged, 1u);
}

TEST_F(LoadCheckerWholeRedisTest, FindsThatAPostToSeveralGroupsNamesTooFew) {
  Faults faults;
  faults.read = [](const ReadCall& call, grpc::Status&, Updates& updates) {
    for (v1::Update& update : updates) {
      if (call.path == Path::kHome && update.groups_size() > 1) {
        update.mutable_groups()->RemoveLast();
      }
    }
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(more_.other_violations, 1u);
}

TEST_F(LoadCheckerWholeRedisTest, FindsAnUndoneBlockThatStandsAndTheNextRunTakesItBack) {
  Faults faults;
  faults.pretend_personal = [](const google::protobuf::Message& request) {
    return request.GetDescriptor()->name() == "UnblockPersonRequest";
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(summary_.lost, 1u);
  EXPECT_EQ(summary_.leaked, 0u);
  Run({});
  EXPECT_EQ(exit_, ExitCode::kGood) << ::testing::PrintToString(more_.examples);
}

class LoadCheckerQuarrelRedisTest : public LoadCheckerWholeRedisTest,
                                    public ::testing::WithParamInterface<std::string> {};

TEST_P(LoadCheckerQuarrelRedisTest, FindsThatItIsIgnored) {
  Faults faults;
  faults.pretend_personal = [](const google::protobuf::Message& request) {
    return request.GetDescriptor()->name() == GetParam();
  };
  Run(std::move(faults));
  EXPECT_EQ(exit_, ExitCode::kPromiseMissed);
  EXPECT_GE(CountOn(load::Surface::kHome, &load::PathCounts::leaked), 1u);
  EXPECT_EQ(summary_.lost + summary_.duplicated, 0u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, LoadCheckerQuarrelRedisTest,
                         Values("BlockPersonRequest", "MutePersonRequest", "MuteGroupRequest",
                                "HideUpdateRequest"),
                         [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace klatch::testing
