// The `klatch` command without a Klatch: its text and tables, what it understands of a command
// line, and, against a fake server in this process, its calls and retries.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "services/klatch/command_line.h"
#include "services/klatch/import_file.h"
#include "services/klatch/print.h"
#include "services/klatch/table.h"
#include "services/klatch/text.h"

namespace klatch::cli {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(TextTest, WidthCountsWideTwiceAndCombiningNever) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("für"), 3);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1);
  EXPECT_EQ(DisplayWidth("日本"), 4);
  EXPECT_EQ(DisplayWidth("\xF0\x9F\x8F\x94"), 2);
  EXPECT_EQ(DisplayWidth("\xFF\xC3"), 2);
}

TEST(TextTest, CleanTakesAwayWhatSteersATerminal) {
  EXPECT_EQ(Clean("a\x1b[2Jb"), "a\xEF\xBF\xBD[2Jb");
  EXPECT_EQ(Clean("a\xC2\x9B"), "a\xEF\xBF\xBD");
  EXPECT_EQ(Clean("\xE2\x80\xAE"
                  "evil"),
            "\xEF\xBF\xBD"
            "evil");
  EXPECT_EQ(Clean("a\r\nb\tc"), "a\nb c");
  EXPECT_EQ(Clean("\xC3"), "\xEF\xBF\xBD");
  EXPECT_EQ(CleanLine("a\nb"), "a b");
}

TEST(TextTest, WrapBreaksAtSpacesAndInsideLongWords) {
  EXPECT_THAT(Wrap("up to the hut", 7), ElementsAre("up to", "the hut"));
  EXPECT_THAT(Wrap("abcdefghij", 4), ElementsAre("abcd", "efgh", "ij"));
  EXPECT_THAT(Wrap("a\n\nb", 4), ElementsAre("a", "", "b"));
  EXPECT_THAT(Wrap("", 4), ElementsAre(""));
  EXPECT_THAT(Wrap("日本語", 4), ElementsAre("日本", "語"));
}

TEST(TextTest, ShortenKeepsWhatFits) {
  EXPECT_EQ(Shorten("hiking", 6), "hiking");
  EXPECT_EQ(Shorten("hiking", 4), "hik…");
  EXPECT_EQ(Shorten("hiking", 1), "…");
}

TEST(TextTest, RelativeTimeSaysItAsPeopleDo) {
  const system_clock::time_point now(seconds(1'800'000'000));
  const auto ago = [now](int64_t s) { return RelativeTime(now - seconds(s), now); };
  EXPECT_EQ(ago(0), "just now");
  EXPECT_EQ(ago(-30), "just now");
  EXPECT_EQ(ago(42), "42 s ago");
  EXPECT_EQ(ago(200), "3 min ago");
  EXPECT_EQ(ago(2 * 3600), "2 h ago");
  EXPECT_EQ(ago(25 * 3600), "1 day ago");
  EXPECT_EQ(ago(5 * 86400), "5 days ago");
  EXPECT_EQ(ago(86400 * 40), "2026-12-06");
}

TEST(TextTest, NearestNamesOnlyWhatIsAlike) {
  const std::vector<std::string> commands = {"post", "timeline", "group"};
  EXPECT_EQ(Nearest("pots", commands), "post");
  EXPECT_EQ(Nearest("tmeline", commands), "timeline");
  EXPECT_EQ(Nearest("zzzzzz", commands), "");
}

TEST(TextTest, NumbersReadEasily) {
  EXPECT_EQ(WithThousands(0), "0");
  EXPECT_EQ(WithThousands(1'234'567), "1,234,567");
  EXPECT_EQ(Counted(1, "member", "members"), "1 member");
  EXPECT_EQ(Counted(1'200, "member", "members"), "1,200 members");
}

TEST(TableTest, AlignsColumnsAndWrapsTheLast) {
  const std::string table = RenderTable(
      {{"WHO"}, {"N", Align::kRight}, {"TEXT"}},
      {{"alice", "7", "one two three four five six"}, {"日本", "1234", "x"}}, Screen{.width = 34});
  EXPECT_EQ(table,
            "WHO       N  TEXT\n"
            "alice     7  one two three four\n"
            "             five six\n"
            "日本   1234  x\n");
}

TEST(TableTest, ColoursOnlyWhereTheyAreWanted) {
  EXPECT_EQ(Dim("x", Screen{}), "x");
  EXPECT_EQ(Dim("x", Screen{.width = 80, .colour = Colour::kOn}), "\x1b[2mx\x1b[0m");
}

// A command line with an environment of the test's.
class CommandLineTest : public testing::Test {
 protected:
  std::optional<CommandResult> Parse(const std::vector<std::string>& arguments) {
    line_ = std::make_unique<CommandLine>(interrupted_, [this](const char* name) -> const char* {
      const auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : found->second.c_str();
    });
    return line_->Parse(arguments);
  }

  std::atomic<bool> interrupted_{false};
  std::map<std::string, std::string> environment_;
  std::unique_ptr<CommandLine> line_;
};

TEST_F(CommandLineTest, UsageErrorsNameTheNearestAndExitTwo) {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{}, "name a command: klatch post|timeline|"},
      {{"group"}, "name a command: klatch group create|update|"},
      {{"pots"}, "did you mean post?"},
      {{"group", "ad", "hiking"}, "did you mean add?"},
      {{"post", "--audiance", "now", "--as", "a", "--to", "g", "x"}, "did you mean --audience?"},
      {{"timeline", "alice", "--limit", "0"}, "--limit"},
      {{"timeline", "alice", "--group", "g", "--profile", "p"}, "excludes"},
      {{"get", "abc", "--as", "x"}, "id"},
      {{"post", "--as", "a", "hello"}, "--all-my-groups"},
      {{"post", "--as", "a", "--to", "g", "--all-my-groups", "hello"}, "excludes"},
      {{"watch"}, "--as"},
      {{"watch", "bob", "--count", "0"}, "--count"},
      {{"admin"}, "name a command: klatch admin status|rebuild|scrub|archive; --help"},
      {{"import"}, "which files? See klatch help import"},
      {{"import", "updates"}, "file is required; see klatch help import updates"},
      {{"group", "members"}, "group is required; see klatch help group members"},
      {{"help", "grup"}, "unknown command 'grup'; did you mean group?"},
      {{"help", "group", "ad"}, "unknown command 'ad'; did you mean add?"},
      {{"help", "post", "text"}, "unknown argument 'text'"},
      {{"group", "help"}, "did you mean --help?"},
      {{"version"}, "did you mean --version?"},
      {{"admin", "scrub"}, "of whom?"},
      {{"admin", "stats"}, "did you mean status?"},
      {{"admin", "archive"}, "--dir"},
      {{"admin", "rebuild"}, "person"},
      {{"admin", "scrub", "ann", "--partition", "3"}, "excludes"},
      {{"admin", "scrub", "--partition", "4096"}, "--partition"},
      {{"admin", "archive", "--dir", "d", "--file-max", "0"}, "--file-max"},
      {{"post", "--to", "hiking", "hello"}, "--as"}};
  for (const auto& [arguments, message] : cases) {
    const auto result = Parse(arguments);
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->exit_code, kExitUsage);
    EXPECT_EQ(result->out, "");
    EXPECT_THAT(result->err, HasSubstr(message));
  }
}

TEST_F(CommandLineTest, EveryCommandExplainsItselfWithExamples) {
  const std::vector<std::vector<std::string>> commands = {{},
                                                          {"post"},
                                                          {"timeline"},
                                                          {"get"},
                                                          {"edit"},
                                                          {"delete"},
                                                          {"import"},
                                                          {"import", "updates"},
                                                          {"block"},
                                                          {"unblock"},
                                                          {"blocks"},
                                                          {"mute"},
                                                          {"unmute"},
                                                          {"mutes"},
                                                          {"hide"},
                                                          {"unhide"},
                                                          {"hidden"},
                                                          {"markers"},
                                                          {"profile"},
                                                          {"watch"},
                                                          {"admin", "status"},
                                                          {"admin", "rebuild"},
                                                          {"admin", "scrub"},
                                                          {"admin", "archive"},
                                                          {"help"},
                                                          {"completion"},
                                                          {"manual"},
                                                          {"group", "create"},
                                                          {"group", "sync"},
                                                          {"group", "update"},
                                                          {"group", "show"},
                                                          {"group", "delete"},
                                                          {"group", "add"},
                                                          {"group", "remove"},
                                                          {"group", "role"},
                                                          {"group", "members"},
                                                          {"group", "list"}};
  for (std::vector<std::string> arguments : commands) {
    arguments.push_back("--help");
    const auto result = Parse(arguments);
    ASSERT_TRUE(result.has_value());
    EXPECT_EQ(result->exit_code, kExitGood);
    EXPECT_THAT(result->out, HasSubstr("Examples:\n  "));
    EXPECT_THAT(result->out, HasSubstr("--target"));
  }
}

TEST_F(CommandLineTest, HelpOfACommandIsWhatItsFlagPrints) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{},
                                             {"post"},
                                             {"group"},
                                             {"group", "add"},
                                             {"import"},
                                             {"import", "updates"},
                                             {"help"}}) {
    std::vector<std::string> with_flag = command;
    with_flag.push_back("--help");
    std::vector<std::string> with_word = command;
    with_word.insert(with_word.begin(), "help");
    const auto flag = Parse(with_flag);
    const auto word = Parse(with_word);
    ASSERT_TRUE(flag.has_value());
    ASSERT_TRUE(word.has_value());
    EXPECT_EQ(word->exit_code, kExitGood) << word->err;
    EXPECT_EQ(word->out, flag->out);
  }
}

TEST_F(CommandLineTest, FlagsWinOverTheEnvironment) {
  environment_ = {{"KLATCH_TARGET", "unix:/a"}, {"KLATCH_AS", "alice"}};
  EXPECT_FALSE(Parse({"timeline"}).has_value());
  EXPECT_EQ(line_->client_options().target, "unix:/a");
  EXPECT_EQ(line_->actor(), "alice");
  EXPECT_FALSE(Parse({"--json", "timeline", "bob", "--target", "unix:/b"}).has_value());
  EXPECT_EQ(line_->client_options().target, "unix:/b");
  EXPECT_EQ(line_->actor(), "bob");
  EXPECT_EQ(line_->format(), Format::kJson);
}

TEST_F(CommandLineTest, AddressesThatAreNoneAreNamedBeforeAnybodyIsCalled) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"", R"("", has no port; wants host:port or unix:/path)"},
      {"localhost", R"("localhost", has no port; wants host:port or unix:/path)"},
      {":7420", R"(":7420", has no host; wants host:port, such as 127.0.0.1:7420)"},
      {"127.0.0.1:-1", R"("127.0.0.1:-1", has the port "-1"; wants a number from 0 to 65535)"},
      {"127.0.0.1:65536",
       R"("127.0.0.1:65536", has the port "65536"; wants a number from 0 to 65535)"},
      {"127.0.0.1:abc", R"("127.0.0.1:abc", has the port "abc"; wants a number from 0 to 65535)"},
      {"unix:", R"("unix:", names no path; wants unix:/path)"},
      {"dns:///h:1", R"("dns:///h:1", has colons in its host; wants an IPv6 address in brackets, )"
                     R"(as in [::1]:7420)"}};
  for (const auto& [target, says] : mistakes) {
    const auto flag = Parse({"timeline", "bob", "--target", target});
    ASSERT_TRUE(flag.has_value()) << target;
    EXPECT_EQ(flag->exit_code, kExitUsage);
    EXPECT_EQ(flag->err, std::string("klatch: --target is ") + says + "\n");
  }
  environment_ = {{"KLATCH_TARGET", "127.0.0.1:65536"}};
  const auto variable = Parse({"timeline", "bob"});
  ASSERT_TRUE(variable.has_value());
  EXPECT_EQ(variable->exit_code, kExitUsage);
  EXPECT_THAT(variable->err, HasSubstr("klatch: KLATCH_TARGET is \"127.0.0.1:65536\", has the "));
  // What wins is right, and what calls nobody needs none.
  EXPECT_FALSE(Parse({"timeline", "bob", "--target", "[::1]:7420"}).has_value());
  EXPECT_EQ(Parse({"completion", "bash"})->exit_code, kExitGood);
}

TEST_F(CommandLineTest, WhatCanBeNoFolderIsNoPlaceForAnArchive) {
  for (const char* none : {"/dev/null", "/dev/null/below/it", "/proc/self/exe"}) {
    const auto refused = Parse({"admin", "archive", "--dir", none});
    ASSERT_TRUE(refused.has_value()) << none;
    EXPECT_EQ(refused->exit_code, kExitUsage);
    EXPECT_EQ(refused->err,
              fmt::format("klatch: --dir: {} is no folder, and can't be made one\n", none));
  }
  EXPECT_EQ(Parse({"admin", "archive", "--dir", ""})->exit_code, kExitUsage);
  for (const char* folder : {"/tmp", "/tmp/new/one", "new", "."}) {
    EXPECT_FALSE(Parse({"admin", "archive", "--dir", folder}).has_value()) << folder;
  }
}

TEST_F(CommandLineTest, WordsLikeCommandsAreText) {
  EXPECT_FALSE(Parse({"post", "--as", "a", "--to", "g", "timeline", "group"}).has_value());
}

// Remembers what it was asked and answers as the test says.
class FakeFeed final : public v1::FeedService::Service {
 public:
  grpc::Status PublishUpdate(grpc::ServerContext*, const v1::PublishUpdateRequest* request,
                             v1::PublishUpdateResponse* response) override {
    published.push_back(*request);
    if (!errors.empty()) {
      const grpc::Status error = errors.front();
      errors.erase(errors.begin());
      return error;
    }
    response->set_update_id(42);
    for (const std::string& group : answered_groups) {
      response->add_groups()->set_group(group);
    }
    if (!answered_groups.empty()) {
      response->mutable_groups(0)->mutable_error()->set_code(grpc::StatusCode::PERMISSION_DENIED);
      response->mutable_groups(0)->mutable_error()->set_message("actor is not\na member");
    }
    return grpc::Status::OK;
  }

  // A stream for each call: its messages, and then it breaks off.
  grpc::Status WatchHomeTimeline(
      grpc::ServerContext*, const v1::WatchHomeTimelineRequest* request,
      grpc::ServerWriter<v1::WatchHomeTimelineResponse>* writer) override {
    watched_from.push_back(request->resume_token());
    if (!streams.empty()) {
      for (const v1::WatchHomeTimelineResponse& message : streams.front()) {
        writer->Write(message);
      }
      streams.erase(streams.begin());
    }
    return {grpc::StatusCode::UNAVAILABLE, "the node is stopping"};
  }

  grpc::Status ListHomeTimeline(grpc::ServerContext*, const v1::ListHomeTimelineRequest* request,
                                v1::ListHomeTimelineResponse* response) override {
    const int first = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    for (int i = first; i < std::min(first + request->page_size(), total); ++i) {
      v1::Update* update = response->add_updates();
      update->set_id(static_cast<uint64_t>(1'000 - i));
      update->set_author("bob");
      update->add_groups("hiking");
      update->set_text(fmt::format("number {}", i));
    }
    if (first + request->page_size() < total) {
      response->set_next_page_token(std::to_string(first + request->page_size()));
    }
    if (first == 0) {
      response->mutable_completeness()->set_hole_since(7);
    }
    return grpc::Status::OK;
  }

  std::vector<grpc::Status> errors;
  std::vector<std::vector<v1::WatchHomeTimelineResponse>> streams;
  std::vector<std::string> watched_from;
  std::vector<v1::PublishUpdateRequest> published;
  // Of a post to several; the first of them refuses.
  std::vector<std::string> answered_groups;
  int total = 0;
};

// Keeps groups and members as the real one would.
class FakeGroups final : public v1::GroupService::Service {
 public:
  grpc::Status CreateGroup(grpc::ServerContext*, const v1::CreateGroupRequest* request,
                           v1::CreateGroupResponse*) override {
    std::lock_guard lock(mutex);
    if (request->group().id() == refused) {
      return {grpc::StatusCode::PERMISSION_DENIED, "not you"};
    }
    if (members.count(request->group().id()) != 0) {
      return {grpc::StatusCode::ALREADY_EXISTS, "taken"};
    }
    members[request->group().id()].insert(request->actor());
    return grpc::Status::OK;
  }

  grpc::Status AddMembers(grpc::ServerContext*, const v1::AddMembersRequest* request,
                          v1::AddMembersResponse* response) override {
    std::lock_guard lock(mutex);
    calls_largest = std::max(calls_largest, request->members_size());
    for (const v1::Member& member : request->members()) {
      const bool added = members[request->group()].insert(member.person()).second;
      if (added) {
        response->set_added_count(response->added_count() + 1);
      } else {
        response->set_unchanged_count(response->unchanged_count() + 1);
      }
    }
    return grpc::Status::OK;
  }

  std::mutex mutex;
  // Guarded by mutex.
  std::map<std::string, std::set<std::string>> members;
  std::string refused;
  int calls_largest = 0;
};

grpc::Status DetailedError(grpc::StatusCode code, const google::protobuf::Message& detail) {
  google::rpc::Status status;
  status.set_code(code);
  status.add_details()->PackFrom(detail);
  return {code, "no", status.SerializeAsString()};
}

PostOptions ToHiking(const std::string& text, const std::string& request_id = "") {
  PostOptions options;
  options.groups = {"hiking"};
  options.text = text;
  options.request_id = request_id;
  return options;
}

TimelineOptions AtMost(int limit) {
  TimelineOptions options;
  options.limit = limit;
  return options;
}

ImportOptions InParallel(int parallel) {
  ImportOptions options;
  options.parallel = parallel;
  return options;
}

class FakeServerTest : public testing::Test {
 protected:
  FakeServerTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&feed_);
    builder.RegisterService(&groups_);
    server_ = builder.BuildAndStart();
    ClientOptions options;
    options.timeout = std::chrono::milliseconds(5'000);
    options.first_pause = std::chrono::milliseconds(1);
    client_ = std::make_unique<Client>(options, server_->InProcessChannel({}));
  }
  ~FakeServerTest() override { server_->Shutdown(); }

  Session MakeSession(Format format = Format::kTables) {
    return {*client_, "", "alice", format, Screen{}, system_clock::time_point(seconds(0))};
  }

  FakeFeed feed_;
  FakeGroups groups_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Client> client_;
  const std::atomic<bool> interrupted_{false};
};

TEST_F(FakeServerTest, PostIsRetriedWithTheSameKeyWhileThatHelps) {
  google::rpc::RetryInfo soon;
  soon.mutable_retry_delay()->set_nanos(1'000'000);
  feed_.errors = {{grpc::StatusCode::UNAVAILABLE, "starting"},
                  DetailedError(grpc::StatusCode::RESOURCE_EXHAUSTED, soon)};
  const auto text = Post(MakeSession(), ToHiking("hello"));
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "Posted 42 to hiking.\n");
  ASSERT_EQ(feed_.published.size(), 3u);
  EXPECT_FALSE(feed_.published[0].request_id().empty());
  EXPECT_EQ(feed_.published[0].request_id(), feed_.published[2].request_id());
  EXPECT_EQ(feed_.published[0].actor(), "alice");
}

TEST_F(FakeServerTest, PostToSeveralTellsWhatBecameOfItInEach) {
  feed_.answered_groups = {"chess", "hiking", "book-club"};
  PostOptions options = ToHiking("hello");
  options.groups = {"chess", "hiking", "book-club"};
  const auto text = Post(MakeSession(), options);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "Posted 42 to hiking, book-club.\nNot to chess: actor is not a member.\n");
  EXPECT_EQ(feed_.published[0].update().groups_size(), 3);
  options.groups.clear();
  options.all_my_groups = true;
  ASSERT_TRUE(Post(MakeSession(), options).ok());
  EXPECT_TRUE(feed_.published[1].all_my_groups());
  EXPECT_EQ(feed_.published[1].update().groups_size(), 0);
}

TEST_F(FakeServerTest, PostGoesAtATimeOrAWhileFromNow) {
  PostOptions options = ToHiking("hello");
  options.expire_in = "90m";
  ASSERT_TRUE(Post(MakeSession(), options).ok());
  EXPECT_EQ(feed_.published[0].update().expire_time().seconds(), 5'400);
  options.expire_in.clear();
  options.expire_at = "2027-01-15T08:00:00Z";
  ASSERT_TRUE(Post(MakeSession(), options).ok());
  EXPECT_EQ(feed_.published[1].update().expire_time().seconds(), 1'800'000'000);
  options.expire_at.clear();
  ASSERT_TRUE(Post(MakeSession(), options).ok());
  EXPECT_FALSE(feed_.published[2].update().has_expire_time());
}

TEST_F(FakeServerTest, RetriesEndWhenTheServerAsksForMoreTimeThanThereIs) {
  google::rpc::RetryInfo later;
  later.mutable_retry_delay()->set_seconds(60);
  feed_.errors = {DetailedError(grpc::StatusCode::UNAVAILABLE, later)};
  const auto text = Post(MakeSession(), ToHiking("hello", "key-1"));
  EXPECT_EQ(feed_.published.size(), 1u);
  const CommandResult result = Failure(text.status());
  EXPECT_EQ(result.exit_code, kExitRefused);
  EXPECT_THAT(result.err, HasSubstr("--request-id key-1"));
  EXPECT_THAT(result.err, HasSubstr("try again in 60000 ms"));
}

TEST_F(FakeServerTest, RefusalsNameTheField) {
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("update.text");
  violation->set_description("is empty");
  feed_.errors = {DetailedError(grpc::StatusCode::INVALID_ARGUMENT, bad)};
  const auto text = Post(MakeSession(), ToHiking(""));
  const CommandResult result = Failure(text.status());
  EXPECT_EQ(result.exit_code, kExitUsage);
  EXPECT_EQ(result.err, "klatch: INVALID_ARGUMENT: no\n  update.text: is empty\n");
  EXPECT_EQ(feed_.published.size(), 1u);
}

TEST_F(FakeServerTest, TimelineReadsAsManyPagesAsTheLimitNeeds) {
  feed_.total = 500;
  const auto json = Timeline(MakeSession(Format::kJson), AtMost(450));
  ASSERT_TRUE(json.ok());
  EXPECT_THAT(*json, HasSubstr("\"number 449\""));
  EXPECT_THAT(*json, Not(HasSubstr("\"number 450\"")));
  EXPECT_THAT(*json, HasSubstr("\"nextPageToken\":\"450\""));
  // What the first page says to be missing is not forgotten on the last.
  EXPECT_THAT(*json, HasSubstr("\"holeSince\":\"7\""));
}

TEST_F(FakeServerTest, TimelineIsATableForPeople) {
  feed_.total = 2;
  const auto text = Timeline(MakeSession(), AtMost(1));
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, HasSubstr("bob  hiking  1000  number 0\n"));
  EXPECT_THAT(*text, HasSubstr("There is more"));
  EXPECT_THAT(*text, HasSubstr("may be missing"));
}

v1::WatchHomeTimelineResponse Message(const std::vector<std::string>& texts,
                                      const std::string& token) {
  v1::WatchHomeTimelineResponse message;
  for (const std::string& text : texts) {
    v1::Update* update = message.add_events()->mutable_published();
    update->set_id(std::hash<std::string>()(text));
    update->set_text(text);
  }
  message.set_resume_token(token);
  return message;
}

TEST_F(FakeServerTest, WatchGoesOnFromItsLastTokenAndPrintsNothingTwice) {
  feed_.streams = {{Message({"one"}, "behind one"), Message({"two"}, ""), Message({"three"}, "")},
                   {Message({"two"}, ""), Message({"three", "four"}, "behind four")},
                   {Message({"five"}, "behind five")}};
  WatchOptions options;
  options.resume_token = "page";
  options.count = 5;
  std::vector<std::string> printed;
  const WatchEnd end = Watch(MakeSession(), options, std::chrono::milliseconds(5'000), interrupted_,
                             [&](std::string_view text) {
                               const size_t begin = text.find(": ") + 2;
                               printed.emplace_back(text.substr(begin, text.find(" [") - begin));
                               return true;
                             });
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_FALSE(end.interrupted);
  EXPECT_THAT(printed, ElementsAre("one", "two", "three", "four", "five"));
  EXPECT_THAT(feed_.watched_from, ElementsAre("page", "behind one", "behind four"));
}

TEST_F(FakeServerTest, WatchIsGivenUpWhenNobodyAnswersForSoLong) {
  const WatchEnd end = Watch(MakeSession(), {}, std::chrono::milliseconds(100), interrupted_,
                             [](std::string_view) { return true; });
  EXPECT_EQ(end.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_GE(feed_.watched_from.size(), 2u);
}

TEST_F(FakeServerTest, ImportCanBeRepeated) {
  ImportGroups groups;
  std::string edges;
  for (int i = 1; i <= 30; ++i) {
    edges.append("0 ").append(std::to_string(i)).append("\n");
  }
  ASSERT_TRUE(ParseImport(edges, ImportFormat::kEdges, "", groups).ok());
  const ImportSummary first = Import(MakeSession(), groups, InParallel(4), interrupted_);
  EXPECT_EQ(first.created, 31u);
  EXPECT_EQ(first.added, 60u);
  EXPECT_EQ(groups_.members["friends:0"].size(), 31u);
  const ImportSummary second = Import(MakeSession(), groups, InParallel(4), interrupted_);
  EXPECT_EQ(second.existed, 31u);
  EXPECT_EQ(second.added, 0u);
  EXPECT_EQ(second.unchanged, 60u);
  EXPECT_EQ(second.failed, 0u);
}

TEST_F(FakeServerTest, ImportSendsNoMoreMembersThanOneCallTakes) {
  ImportGroups groups;
  groups["crowd"].owner = "p0";
  for (int i = 0; i < 25'000; ++i) {
    groups["crowd"].members[fmt::format("p{}", i)] = v1::ROLE_MEMBER;
  }
  const ImportSummary summary = Import(MakeSession(), groups, InParallel(1), interrupted_);
  EXPECT_EQ(summary.added, 24'999u);
  EXPECT_EQ(groups_.calls_largest, 10'000);
}

TEST_F(FakeServerTest, ImportGoesOnPastARefusedGroupAndSaysSo) {
  ImportGroups groups;
  ASSERT_TRUE(ParseImport("a,x\nb,y\nc,z\n", ImportFormat::kCsv, "", groups).ok());
  groups_.refused = "b";
  const ImportSummary summary = Import(MakeSession(), groups, InParallel(2), interrupted_);
  EXPECT_EQ(summary.created, 2u);
  EXPECT_EQ(summary.failed, 1u);
  EXPECT_THAT(summary.failures, ElementsAre(HasSubstr("b: PERMISSION_DENIED")));
}

TEST_F(FakeServerTest, InterruptedImportSaysWhatIsLeft) {
  ImportGroups groups;
  ASSERT_TRUE(ParseImport("a,x\nb,y\n", ImportFormat::kCsv, "", groups).ok());
  const std::atomic<bool> interrupted{true};
  EXPECT_EQ(Import(MakeSession(), groups, InParallel(2), interrupted).left, 2u);
  EXPECT_TRUE(groups_.members.empty());
}

TEST(ClientTest, ARefusedConnectionIsUnreachableAtOnce) {
  ClientOptions options;
  options.target = "unix:/nonexistent/klatch.sock";
  options.timeout = std::chrono::milliseconds(60'000);
  const auto client = Client::Open(options);
  ASSERT_TRUE(client.ok());
  const absl::Status status = (*client)->Connect();
  EXPECT_TRUE(IsUnreachable(status));
  EXPECT_EQ(Failure(status).exit_code, kExitUnreachable);
  EXPECT_THAT(Failure(status).err, HasSubstr("deploy/up"));
}

}  // namespace
}  // namespace klatch::cli
