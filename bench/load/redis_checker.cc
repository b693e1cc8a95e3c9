#include "bench/load/redis_checker.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <span>
#include <thread>

#include "bench/load/compare.h"
#include "common/base/bytes.h"
#include "common/redis/connection.h"
#include "services/model/keys.h"

namespace klatch::load {
namespace {

constexpr size_t kPersonsPerPipeline = 64;
constexpr std::chrono::milliseconds kSettlePause{100};

class RedisChecker {
 public:
  RedisChecker(const Graph& graph, const Model& model, const RedisCheckOptions& options,
               std::unique_ptr<redis::Connection> connection, const Layout& layout)
      : graph_(graph),
        model_(model),
        options_(options),
        connection_(std::move(connection)),
        keys_(layout) {}

  // Looks at all of `persons`; returns those whose timelines are not what they must be, which are
  // told to `violations` if it is not null.
  absl::StatusOr<std::vector<PersonNumber>> Check(std::span<const PersonNumber> persons,
                                                  Violations* violations);

 private:
  bool Judge(PersonNumber person, std::string_view path, const std::vector<DueUpdate>& due,
             std::string_view ring, Violations* violations) const;

  const Graph& graph_;
  const Model& model_;
  const RedisCheckOptions& options_;
  std::unique_ptr<redis::Connection> connection_;
  const Keys keys_;
};

bool RedisChecker::Judge(PersonNumber person, std::string_view path,
                         const std::vector<DueUpdate>& due, std::string_view ring,
                         Violations* violations) const {
  std::vector<uint64_t> ids = IdsOfRing(ring);
  // A ring is bounded and says nothing of it; what is older than the cap is trimmed.
  Comparison comparison =
      Compare(due, {ids, true}, options_.cap, [](uint64_t) { return Stray::kForeign; });
  if (violations != nullptr) {
    for (uint64_t id : comparison.lost) {
      violations->Add(Violation::kLost, person, id, path);
    }
    for (uint64_t id : comparison.duplicated) {
      violations->Add(Violation::kDuplicated, person, id, path);
    }
  }
  return comparison.lost.empty() && comparison.duplicated.empty();
}

absl::StatusOr<std::vector<PersonNumber>> RedisChecker::Check(std::span<const PersonNumber> persons,
                                                              Violations* violations) {
  std::vector<redis::Command> commands;
  for (PersonNumber person : persons) {
    PersonId id(graph_.person(person));
    commands.push_back(redis::Command{"GET", keys_.Timeline(id)});
    commands.push_back(redis::Command{"GET", keys_.Posts(id)});
  }
  KLATCH_ASSIGN_OR_RETURN(std::vector<redis::Reply> replies, connection_->CallAll(commands));
  std::vector<PersonNumber> wrong;
  for (size_t i = 0; i < persons.size(); ++i) {
    for (const redis::Reply* reply : {&replies[2 * i], &replies[2 * i + 1]}) {
      KLATCH_RETURN_IF_ERROR(redis::ToStatus(reply->view()));
    }
    std::vector<DueUpdate> posts = model_.ProfileSeenBy(persons[i], persons[i]);
    for (DueUpdate& post : posts) {
      post.access = Access::kVisible;  // of what somebody posted the copy is due whoever may see it
    }
    bool home_right = Judge(persons[i], "stored timeline", model_.HomeOf(persons[i]),
                            replies[2 * i].text(), violations);
    bool posts_right =
        Judge(persons[i], "stored posts", posts, replies[2 * i + 1].text(), violations);
    if (!home_right || !posts_right) {
      wrong.push_back(persons[i]);
    }
  }
  return wrong;
}

// Counts that a namespace was made with; the defaults where Redis says nothing.
absl::StatusOr<Layout> ReadLayout(redis::Connection& connection) {
  Layout layout;
  Keys keys(layout);
  auto read = [&](const char* field, uint32_t& value) -> absl::Status {
    KLATCH_ASSIGN_OR_RETURN(redis::Reply reply,
                            connection.Call(redis::Command{"HGET", keys.Namespace(), field}));
    std::string_view text = reply.text();
    uint32_t number = 0;
    auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec == std::errc() && number != 0) {
      value = number;
    }
    return absl::OkStatus();
  };
  KLATCH_RETURN_IF_ERROR(read("shards", layout.shard_count));
  KLATCH_RETURN_IF_ERROR(read("partitions", layout.partition_count));
  return layout;
}

}  // namespace

std::vector<uint64_t> IdsOfRing(std::string_view ring) {
  std::vector<uint64_t> ids;
  for (size_t offset = 0; offset + sizeof(uint64_t) <= ring.size(); offset += sizeof(uint64_t)) {
    auto id = base::LoadLittleEndian<uint64_t>(ring, offset);
    if (id != 0) {
      ids.push_back(id);
    }
  }
  std::sort(ids.begin(), ids.end(), std::greater<>());
  return ids;
}

absl::StatusOr<RedisCheckResult> CheckRedis(const Graph& graph, const Model& model,
                                            const RedisCheckOptions& options,
                                            const std::vector<PersonNumber>& persons,
                                            RunState& state, Violations& violations,
                                            std::atomic<uint64_t>& timelines_read) {
  KLATCH_ASSIGN_OR_RETURN(redis::Address address, redis::Address::Parse(options.uri));
  KLATCH_ASSIGN_OR_RETURN(std::unique_ptr<redis::Connection> connection,
                          redis::Connection::Connect(address, {}));
  KLATCH_ASSIGN_OR_RETURN(Layout layout, ReadLayout(*connection));
  RedisChecker checker(graph, model, options, std::move(connection), layout);
  auto end = std::chrono::steady_clock::now() + options.settle_timeout;
  RedisCheckResult result;
  for (size_t begin = 0; begin < persons.size() && !state.MustStop();
       begin += kPersonsPerPipeline) {
    size_t count = std::min(kPersonsPerPipeline, persons.size() - begin);
    std::span<const PersonNumber> some = std::span(persons).subspan(begin, count);
    KLATCH_ASSIGN_OR_RETURN(std::vector<PersonNumber> wrong, checker.Check(some, nullptr));
    while (!wrong.empty() && std::chrono::steady_clock::now() < end && !state.MustStop()) {
      std::this_thread::sleep_for(kSettlePause);
      KLATCH_ASSIGN_OR_RETURN(wrong, checker.Check(std::vector(wrong), nullptr));
    }
    if (!wrong.empty()) {
      KLATCH_RETURN_IF_ERROR(checker.Check(wrong, &violations).status());
    }
    result.timelines += count;
    result.posts += count;
    timelines_read.fetch_add(count, std::memory_order_relaxed);
  }
  return result;
}

}  // namespace klatch::load
