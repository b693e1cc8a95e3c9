#pragma once
// A log on a private redis-server, for tests: an appender on a pipeline, a plain connection to look
// at what it left, and the short words that tests of the log are written in.
//
// Thread safety: one thread at a time, but Await from any.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/base/task.h"
#include "common/redis/pipeline.h"
#include "services/log/redis_appender.h"
#include "services/log/redis_log_reader.h"
#include "services/model/keys.h"
#include "tests/integration/redis_server_fixture.h"

namespace klatch::testing {

// Runs `task` and waits for its value.
template <typename T>
T Await(base::Task<T> task) {
  auto promise = std::make_shared<std::promise<T>>();
  std::future<T> future = promise->get_future();
  base::Spawn([](base::Task<T> inner, std::shared_ptr<std::promise<T>> out) -> base::Task<void> {
    T value = co_await std::move(inner);
    out->set_value(std::move(value));
  }(std::move(task), std::move(promise)));
  return future.get();
}

inline std::string FieldOf(const absl::Status& status) {
  auto violation = base::FieldViolationOf(status);
  return violation ? violation->field : "";
}

// Matches a failed StatusOr by its code and the field at fault.
MATCHER_P2(FailsWith, code, field, "") {
  *result_listener << arg.status().ToString();
  return arg.status().code() == code && FieldOf(arg.status()) == std::string(field);
}
MATCHER(IsOk, "") {
  *result_listener << arg.status().ToString();
  return arg.ok();
}

class LogRedisTest : public RedisTest {
 protected:
  LogRedisTest() { layout_.shard_count = 4; }

  void SetUp() override {
    pipeline_ =
        std::make_unique<redis::SocketPipeline>(server_.address(), redis::Pipeline::Options());
    while (!pipeline_->connected()) {
      std::this_thread::yield();
    }
    appender_ =
        std::make_unique<RedisAppender>(*pipeline_, layout_, log_clock_, RedisAppender::Options());
    connection_ = Connect();
  }

  static std::string Digest(std::string_view payload) { return base::PayloadDigest(payload); }

  static std::string BodyOf(const PersonId& author, const GroupId& group, std::string_view text,
                            uint32_t revision = 0,
                            AudienceRule audience = AudienceRule::kGroupDefault) {
    klatch::v1::Update update;
    update.set_text(std::string(text));
    return EncodeBody({audience, revision, author, group}, update.SerializeAsString());
  }

  static PublishCommand Post(const char* actor, const char* group, std::string request_id,
                             std::string_view text = "hi") {
    return {PersonId(actor), GroupId(group), std::move(request_id), Digest(text),
            BodyOf(PersonId(actor), GroupId(group), text)};
  }

  absl::StatusOr<Appended> Publish(PublishCommand command) {
    std::vector<PublishCommand> commands;
    commands.push_back(std::move(command));
    auto results = Await(appender_->Publish(std::move(commands)));
    EXPECT_EQ(results.size(), 1u);
    return results.front();
  }

  absl::StatusOr<Appended> Import(PublishCommand command) {
    std::vector<PublishCommand> commands;
    commands.push_back(std::move(command));
    auto results = Await(appender_->Import(std::move(commands)));
    EXPECT_EQ(results.size(), 1u);
    return results.front();
  }

  static CreateGroupCommand NewGroup(const char* owner, const char* group,
                                     History history = History::kNone) {
    CreateGroupCommand command;
    command.actor = PersonId(owner);
    command.group = {GroupId(group), "A name", "What it is", history,
                     AudienceRule::kMembersAtPosting};
    command.request_id = "create";
    command.payload_digest = Digest(group);
    return command;
  }

  Position MakeGroup(const char* owner, const char* group, History history = History::kNone) {
    auto made = Await(appender_->CreateGroup(NewGroup(owner, group, history)));
    EXPECT_THAT(made, IsOk());
    return made.ok() ? made->position : Position();
  }

  absl::StatusOr<MembersAppended> Add(const char* actor, const char* group,
                                      const std::vector<std::pair<std::string, Role>>& members,
                                      std::string request_id) {
    AddMembersCommand command;
    command.actor = PersonId(actor);
    command.group = GroupId(group);
    command.request_id = std::move(request_id);
    std::string payload;
    for (const auto& [person, role] : members) {
      command.members.push_back({PersonId(person), role});
      payload += person + static_cast<char>('0' + static_cast<int>(role)) + ",";
    }
    command.payload_digest = Digest(payload);
    return Await(appender_->AddMembers(std::move(command)));
  }

  absl::StatusOr<MembersAppended> Remove(const char* actor, const char* group,
                                         const std::vector<std::string>& persons,
                                         std::string request_id) {
    RemoveMembersCommand command;
    command.actor = PersonId(actor);
    command.group = GroupId(group);
    command.request_id = std::move(request_id);
    std::string payload;
    for (const std::string& person : persons) {
      command.persons.push_back(PersonId(person));
      payload += person + ",";
    }
    command.payload_digest = Digest(payload);
    return Await(appender_->RemoveMembers(std::move(command)));
  }

  absl::StatusOr<MemberUpdated> SetRole(const char* actor, const char* group, const char* person,
                                        Role role) {
    return Await(
        appender_->UpdateMember(PersonId(actor), GroupId(group), {PersonId(person), role}));
  }

  redis::Reply Redis(std::vector<std::string> args) {
    auto reply = connection_->Call(redis::Command(std::move(args)));
    EXPECT_THAT(reply, IsOk());
    return reply.ok() ? std::move(*reply) : redis::Reply();
  }

  std::optional<Stay> StayOf(const char* person, const char* group) {
    redis::Reply reply = Redis({"HGET", keys_.Members(GroupId(group)), person});
    return reply.is_nil() ? std::nullopt : DecodeStay(reply.text());
  }

  std::string GroupField(const char* group, const char* field) {
    return std::string(Redis({"HGET", keys_.Group(GroupId(group)), field}).text());
  }

  // Everything that Redis holds, to compare.
  std::map<std::string, std::string> Contents() {
    std::map<std::string, std::string> contents;
    redis::Reply names = Redis({"KEYS", "*"});
    for (size_t i = 0; i < names.size(); ++i) {
      std::string name(names[i].text());
      contents[name] = std::string(Redis({"DUMP", name}).text());
    }
    return contents;
  }

  // All records, those of one shard in order.
  std::vector<LogEntry> AllRecords() {
    RedisLogReader reader(server_.address(), redis::Connection::Options(), layout_, log_clock_);
    std::vector<Position> after(layout_.shard_count);
    std::vector<LogEntry> all;
    std::vector<LogEntry> entries;
    do {
      entries.clear();
      absl::Status status = reader.Read(after, 1000, std::chrono::milliseconds(0), entries);
      EXPECT_TRUE(status.ok()) << status;
      for (LogEntry& entry : entries) {
        after[entry.position.shard().value()] = entry.position;
        all.push_back(std::move(entry));
      }
    } while (!entries.empty());
    return all;
  }

  // All records of a group's shard.
  std::vector<LogEntry> Records(const char* group) {
    std::vector<LogEntry> records = AllRecords();
    const ShardIndex shard = layout_.ShardOf(GroupId(group));
    std::erase_if(records,
                  [shard](const LogEntry& entry) { return entry.position.shard() != shard; });
    return records;
  }

  Layout layout_;
  Keys keys_{[] {
    Layout layout;
    layout.shard_count = 4;
    return layout;
  }()};
  std::unique_ptr<redis::Pipeline> pipeline_;
  const base::SystemClock system_clock_;
  LogClock log_clock_{system_clock_};
  std::unique_ptr<RedisAppender> appender_;
  std::unique_ptr<redis::Connection> connection_;
};

}  // namespace klatch::testing
