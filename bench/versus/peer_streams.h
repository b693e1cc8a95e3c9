#pragma once
// The commands by which others bring one post to its audience, one timeline per follower, as their
// published behaviour has them; and the pipeline that sends them as fast as one Redis takes them.
// docs/PERFORMANCE.md lists each stream.
//
// Thread safety: one thread at a time.
// Bound: a pipeline keeps kPostsAhead posts under way, so that Redis never waits for its client.
// Errors: UNAVAILABLE if the connection breaks, INTERNAL if Redis answers with an error.

#include <hiredis/hiredis.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/redis/reply.h"

namespace klatch::versus {

// A hand-rolled pipeline on hiredis: what is appended goes out with Send, answers come with Take.
class PeerPipeline {
 public:
  static absl::StatusOr<std::unique_ptr<PeerPipeline>> Connect(const std::string& socket_path);

  // One command, its words already in Redis's protocol: "$4\r\nLPUSH\r\n" and so on.
  void Append(std::span<const std::string_view> encoded_words);
  absl::Status Send();
  // The next `count` answers in the order of their commands.
  absl::Status Take(size_t count, const std::function<void(size_t, redis::ReplyView)>& take);

 private:
  struct Free {
    void operator()(redisContext* context) const { redisFree(context); }
  };
  explicit PeerPipeline(redisContext* context) : context_(context) {}

  std::unique_ptr<redisContext, Free> context_;
  std::string buffer_;  // kept for its memory
};

// A word as Redis's protocol has it.
std::string EncodeWord(std::string_view word);

// One kind of timeline in Redis. Ids are numbers that grow.
class PeerStream {
 public:
  PeerStream() = default;
  virtual ~PeerStream() = default;
  PeerStream(const PeerStream&) = delete;
  PeerStream& operator=(const PeerStream&) = delete;

  // Fills one timeline with its `cap` newest ids below `next_id`; returns how many answers come.
  virtual size_t Fill(uint32_t person, uint64_t next_id, PeerPipeline& out) = 0;
  // Brings one post to all of them; returns how many answers come.
  virtual size_t Post(std::span<const uint32_t> members, uint64_t id, PeerPipeline& out) = 0;
  // What follows from the answers to a post, of which `take` gives one after the other: further
  // commands, whose answers are counted. Must take `answers` of them.
  virtual absl::StatusOr<size_t> Follow(std::span<const uint32_t> members, size_t answers,
                                        PeerPipeline& pipeline);
};

std::unique_ptr<PeerStream> MakeListStream(uint32_t persons);       // LPUSH, LTRIM 0 799
std::unique_ptr<PeerStream> MakeSortedSetStream(uint32_t persons);  // ZADD, ZREMRANGEBYRANK to 400
// On the timelines of the sorted sets.
std::unique_ptr<PeerStream> MakeMastodonStream(uint32_t persons);
std::unique_ptr<PeerStream> MakeMisskeyStream(uint32_t persons, uint64_t seed);

// Drives one stream against one Redis.
class PeerDriver {
 public:
  // `groups` are those that are posted to; they outlive it.
  PeerDriver(std::unique_ptr<PeerPipeline> pipeline, std::unique_ptr<PeerStream> stream,
             std::span<const std::span<const uint32_t>> groups, uint64_t seed);

  // Fills the timelines of persons [0, persons).
  absl::Status Fill(uint32_t persons);
  // Posts to groups at random for so long; deliveries per second, the last answer inside the clock.
  absl::StatusOr<double> Run(std::chrono::duration<double> time);

 private:
  static constexpr size_t kPostsAhead = 2;
  struct UnderWay;

  // Takes the answers to the oldest; what follows from them is under way behind the others.
  absl::Status FinishOldest(std::deque<UnderWay>& under_way);

  const std::unique_ptr<PeerPipeline> pipeline_;
  const std::unique_ptr<PeerStream> stream_;
  const std::span<const std::span<const uint32_t>> groups_;
  uint64_t random_;
  uint64_t next_id_;
};

}  // namespace klatch::versus
