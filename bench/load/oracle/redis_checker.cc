#include "bench/load/oracle/redis_checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <set>
#include <span>
#include <thread>

#include "bench/load/oracle/check_tasks.h"
#include "bench/load/oracle/compare.h"
#include "common/base/bytes.h"
#include "common/redis/connection.h"
#include "services/model/keys.h"

namespace klatch::load {
namespace {

constexpr uint32_t kRingsPerPipeline = 128;
constexpr std::chrono::milliseconds kSettlePause{100};
constexpr std::chrono::milliseconds kHolePoll{20};

// One ring to look at: a person's home timeline or posts, or a group's feed.
enum class RingKind : uint8_t { kTimeline, kPosts, kFeed };

struct Ring {
  RingKind kind = RingKind::kTimeline;
  uint32_t number = 0;
};

std::string_view NameOf(RingKind kind) {
  switch (kind) {
    case RingKind::kTimeline:
      return "stored timeline";
    case RingKind::kPosts:
      return "stored posts";
    case RingKind::kFeed:
      break;
  }
  return "stored feed";
}

// The rings to look at, numbered: two for each person who is chosen, then one for each group.
class Rings {
 public:
  Rings(const Graph& graph, uint64_t seed)
      : persons_(Choose(graph.person_count(),
                        graph.person_count() > RedisCheckOptions::kPersonsMax
                            ? RedisCheckOptions::kPersonsSampled
                            : graph.person_count(),
                        seed)),
        groups_(graph.group_count()) {}

  uint64_t persons() const { return persons_.size(); }
  uint64_t count() const { return 2 * persons_.size() + groups_; }
  Ring At(uint64_t index) const {
    if (index >= 2 * persons_.size()) {
      return {RingKind::kFeed, static_cast<uint32_t>(index - 2 * persons_.size())};
    }
    return {index % 2 == 0 ? RingKind::kTimeline : RingKind::kPosts, persons_[index / 2]};
  }

 private:
  const std::vector<PersonNumber> persons_;
  const uint64_t groups_;
};

bool IsOrMayBeDeleted(const PostRecord& post) {
  return post.fate == Fate::kDeleted || post.fate == Fate::kMaybeDeleted;
}

// One connection's work.
class RedisChecker {
 public:
  // `pulled`: the groups whose posts need not have been copied.
  RedisChecker(const Graph& graph, const Model& model, const RedisCheckOptions& options,
               const std::set<GroupNumber>& pulled, std::unique_ptr<redis::Connection> connection,
               const Layout& layout)
      : graph_(graph),
        model_(model),
        options_(options),
        pulled_(pulled),
        connection_(std::move(connection)),
        keys_(layout) {}

  // Looks at all of `rings`; returns those that are not what they must be, which are told to
  // `violations` if it is not null.
  absl::StatusOr<std::vector<Ring>> Check(std::span<const Ring> rings, Violations* violations);

 private:
  std::string KeyOf(const Ring& ring) const;
  std::vector<DueUpdate> DueIn(const Ring& ring) const;
  bool IsCopied(const PostRecord& post) const;
  bool Judge(const Ring& ring, std::string_view content, Violations* violations) const;
  // Whether a copy may lie there that was not due for certain.
  bool MayLieThere(const Ring& ring, uint64_t id) const;
  // Whether it is a post to several groups that all of them have refused: its author's, for as long as they had not.
  bool WasRefused(const Ring& ring, uint64_t id) const;
  void Tell(const Ring& ring, const Differences& comparison, const std::vector<uint64_t>& strays,
            Violations& violations) const;

  const Graph& graph_;
  const Model& model_;
  const RedisCheckOptions& options_;
  const std::set<GroupNumber>& pulled_;
  std::unique_ptr<redis::Connection> connection_;
  const Keys keys_;
};

std::string RedisChecker::KeyOf(const Ring& ring) const {
  switch (ring.kind) {
    case RingKind::kTimeline:
      return keys_.Timeline(PersonId(graph_.person(ring.number)));
    case RingKind::kPosts:
      return keys_.Posts(PersonId(graph_.person(ring.number)));
    case RingKind::kFeed:
      break;
  }
  return keys_.Feed(GroupId(graph_.group(ring.number).id));
}

std::vector<DueUpdate> RedisChecker::DueIn(const Ring& ring) const {
  if (ring.kind == RingKind::kTimeline) {
    std::vector<DueUpdate> due = model_.HomeOf(ring.number);
    for (DueUpdate& update : due) {
      if (update.access == Access::kVisible && !IsCopied(*model_.Find(update.id))) {
        update.access = Access::kUncertain;
      }
    }
    return due;
  }
  std::vector<DueUpdate> due =
      ring.kind == RingKind::kPosts
          ? model_.ProfileSeenBy(ring.number, ring.number)
          : model_.GroupSeenBy(graph_.group(ring.number).owner, ring.number);
  for (DueUpdate& update : due) {
    // Of these a copy is due whoever may see it. But nobody can tell any more who had posted what was deleted, if
    // its record was trimmed before it was written.
    const bool is_gone = ring.kind == RingKind::kPosts && IsOrMayBeDeleted(*model_.Find(update.id));
    update.access = is_gone ? Access::kUncertain : Access::kVisible;
  }
  return due;
}

// Whether its readers have copies of it, for certain.
bool RedisChecker::IsCopied(const PostRecord& post) const {
  bool copied = !options_.somebody_is_quiet;
  post.ForEachPlace([&](const Place& place) { copied = copied && !pulled_.contains(place.group); });
  return copied;
}

bool RedisChecker::MayLieThere(const Ring& ring, uint64_t id) const {
  const PostRecord* post = model_.Find(id);
  if (post == nullptr) {
    // Without its body nobody can tell an undecided post; a run that has some fails anyway.
    return model_.IsForeign(id) || !model_.unknown_posts().empty();
  }
  if (ring.kind != RingKind::kTimeline) {
    return false;
  }
  bool may = post->elsewhere;
  post->ForEachPlace([&](const Place& place) {
    may =
        may || model_.MembershipAt(place.group, ring.number, place.position) == Access::kUncertain;
  });
  return may;
}

// Nobody was told its id, and its body is empty, so that it shows nothing.
bool RedisChecker::WasRefused(const Ring& ring, uint64_t id) const {
  if (ring.kind != RingKind::kPosts || model_.Find(id) != nullptr) {
    return false;
  }
  const absl::StatusOr<redis::Reply> body = connection_->Call({"GET", keys_.Update(UpdateId(id))});
  return body.ok() && body->text().empty();
}

bool RedisChecker::Judge(const Ring& ring, std::string_view content, Violations* violations) const {
  std::vector<uint64_t> ids = IdsOfRing(content);
  std::vector<uint64_t> strays;
  auto classify = [&](uint64_t id) {
    if (!MayLieThere(ring, id) && !WasRefused(ring, id)) {
      strays.push_back(id);
    }
    return Stray::kForeign;
  };
  // A ring is bounded and says nothing of it; what is older than the cap is trimmed.
  Differences comparison = Compare(DueIn(ring), {ids, true}, options_.cap, classify);
  // A copy that another of its groups brought is known as one only while the first is in memory.
  std::erase_if(comparison.duplicated, [this](uint64_t id) {
    const PostRecord* post = model_.Find(id);
    return post != nullptr && post->is_several();
  });
  bool right = comparison.lost.empty() && comparison.duplicated.empty() && strays.empty();
  if (!right && violations != nullptr) {
    Tell(ring, comparison, strays, *violations);
  }
  return right;
}

void RedisChecker::Tell(const Ring& ring, const Differences& comparison,
                        const std::vector<uint64_t>& strays, Violations& violations) const {
  const bool is_feed = ring.kind == RingKind::kFeed;
  PersonNumber person = is_feed ? graph_.group(ring.number).owner : ring.number;
  for (uint64_t id : comparison.lost) {
    violations.Add(Violation::kLost, Surface::kStored, person, id, NameOf(ring.kind));
  }
  for (uint64_t id : comparison.duplicated) {
    violations.Add(Violation::kDuplicated, Surface::kStored, person, id, NameOf(ring.kind));
  }
  for (uint64_t id : strays) {
    violations.AddOther(
        fmt::format("{} of {} holds update {}, which was never due there", NameOf(ring.kind),
                    is_feed ? graph_.group(ring.number).id : graph_.person(ring.number), id));
  }
}

absl::StatusOr<std::vector<Ring>> RedisChecker::Check(std::span<const Ring> rings,
                                                      Violations* violations) {
  std::vector<redis::Command> commands;
  for (const Ring& ring : rings) {
    commands.push_back(redis::Command{"GET", KeyOf(ring)});
  }
  KLATCH_ASSIGN_OR_RETURN(std::vector<redis::Reply> replies, connection_->CallAll(commands));
  std::vector<Ring> wrong;
  for (size_t i = 0; i < rings.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(base::Annotate(redis::ToStatus(replies[i].view()), commands[i].args[1]));
    if (!Judge(rings[i], replies[i].text(), violations)) {
      wrong.push_back(rings[i]);
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

absl::StatusOr<std::unique_ptr<redis::Connection>> Connect(const std::string& uri) {
  KLATCH_ASSIGN_OR_RETURN(redis::Address address, redis::Address::Parse(uri));
  return redis::Connection::Connect(address, {});
}

// Whose feeds may hold posts that were not copied: there is an entry for as long as one does.
absl::StatusOr<std::set<GroupNumber>> ReadPulled(const Graph& graph, const std::string& uri) {
  KLATCH_ASSIGN_OR_RETURN(std::unique_ptr<redis::Connection> connection, Connect(uri));
  KLATCH_ASSIGN_OR_RETURN(const Layout layout, ReadLayout(*connection));
  const Keys keys(layout);
  std::vector<redis::Command> commands;
  for (uint32_t shard = 0; shard < layout.shard_count; ++shard) {
    commands.push_back(redis::Command{"HKEYS", keys.Pulled(ShardIndex(shard))});
  }
  KLATCH_ASSIGN_OR_RETURN(std::vector<redis::Reply> replies, connection->CallAll(commands));
  std::set<GroupNumber> pulled;
  for (const redis::Reply& reply : replies) {
    KLATCH_RETURN_IF_ERROR(redis::ToStatus(reply.view()));
    for (size_t i = 0; i < reply.size(); ++i) {
      if (auto group = graph.FindGroup(reply[i].text()); group.has_value()) {
        pulled.insert(*group);
      }
    }
  }
  return pulled;
}

// Checks pipelines of rings, numbered by `next`, until there are no more.
class RingWalk {
 public:
  RingWalk(const Graph& graph, const Model& model, const RedisCheckOptions& options,
           std::set<GroupNumber> pulled, RunState& state, Violations& violations,
           std::atomic<uint64_t>& done)
      : graph_(graph),
        model_(model),
        options_(options),
        pulled_(std::move(pulled)),
        state_(state),
        violations_(violations),
        done_(done),
        rings_(graph, options.seed),
        end_(std::chrono::steady_clock::now() + options.settle_timeout) {}

  uint64_t persons() const { return rings_.persons(); }

  // One thread's share.
  absl::Status Run() {
    KLATCH_ASSIGN_OR_RETURN(std::unique_ptr<redis::Connection> connection, Connect(options_.uri));
    KLATCH_ASSIGN_OR_RETURN(Layout layout, ReadLayout(*connection));
    RedisChecker checker(graph_, model_, options_, pulled_, std::move(connection), layout);
    std::vector<Ring> some;
    for (;;) {
      // A ticket; publishes nothing.
      uint64_t begin = next_.fetch_add(kRingsPerPipeline, std::memory_order_relaxed);
      if (begin >= rings_.count() || state_.MustStop()) {
        return absl::OkStatus();
      }
      some.clear();
      for (uint64_t i = begin; i < std::min(begin + kRingsPerPipeline, rings_.count()); ++i) {
        some.push_back(rings_.At(i));
      }
      KLATCH_RETURN_IF_ERROR(CheckSome(checker, some));
      done_.fetch_add(some.size(), std::memory_order_relaxed);
    }
  }

 private:
  absl::Status CheckSome(RedisChecker& checker, const std::vector<Ring>& some) {
    KLATCH_ASSIGN_OR_RETURN(std::vector<Ring> wrong, checker.Check(some, nullptr));
    while (!wrong.empty() && std::chrono::steady_clock::now() < end_ && !state_.MustStop()) {
      std::this_thread::sleep_for(kSettlePause);
      KLATCH_ASSIGN_OR_RETURN(wrong, checker.Check(std::vector(wrong), nullptr));
    }
    return wrong.empty() ? absl::OkStatus() : checker.Check(wrong, &violations_).status();
  }

  const Graph& graph_;
  const Model& model_;
  const RedisCheckOptions& options_;
  const std::set<GroupNumber> pulled_;
  RunState& state_;
  Violations& violations_;
  std::atomic<uint64_t>& done_;
  const Rings rings_;
  const std::chrono::steady_clock::time_point end_;
  std::atomic<uint64_t> next_{0};
};

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
                                            const RedisCheckOptions& options, RunState& state,
                                            Violations& violations, std::atomic<uint64_t>& done) {
  KLATCH_ASSIGN_OR_RETURN(std::set<GroupNumber> pulled, ReadPulled(graph, options.uri));
  RingWalk walk(graph, model, options, std::move(pulled), state, violations, done);
  std::vector<absl::Status> ended(options.connections);
  std::vector<std::thread> threads;
  for (absl::Status& status : ended) {
    threads.emplace_back([&walk, &status] { status = walk.Run(); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const absl::Status& status : ended) {
    KLATCH_RETURN_IF_ERROR(status);
  }
  return RedisCheckResult{
      .timelines = walk.persons(), .posts = walk.persons(), .feeds = graph.group_count()};
}

absl::Status WaitNoHoles(const std::string& uri, RunState& state,
                         std::chrono::milliseconds timeout) {
  KLATCH_ASSIGN_OR_RETURN(std::unique_ptr<redis::Connection> connection, Connect(uri));
  KLATCH_ASSIGN_OR_RETURN(Layout layout, ReadLayout(*connection));
  Keys keys(layout);
  std::vector<redis::Command> commands;
  for (uint32_t partition = 0; partition < layout.partition_count; ++partition) {
    commands.push_back(redis::Command{"HLEN", keys.Holes(PartitionIndex(partition))});
  }
  auto end = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    KLATCH_ASSIGN_OR_RETURN(std::vector<redis::Reply> replies, connection->CallAll(commands));
    int64_t holes = 0;
    for (const redis::Reply& reply : replies) {
      KLATCH_RETURN_IF_ERROR(redis::ToStatus(reply.view()));
      holes += reply.integer();
    }
    if (holes == 0) {
      return absl::OkStatus();
    }
    if (state.MustStop() || std::chrono::steady_clock::now() >= end) {
      return base::Error(absl::StatusCode::kDeadlineExceeded,
                         fmt::format("{} timelines have holes still", holes));
    }
    std::this_thread::sleep_for(kHolePoll);
  }
}

}  // namespace klatch::load
