#pragma once
// A real Redis and a FakeRedis that get the same commands, and whose replies must be the same. The
// fake one's clock is the system's.
//
// Not compared, but for its type: what TIME, INFO, MEMORY USAGE, SSCAN and HSCAN say, and the shape
// of a stream's tree in XINFO. The order of sets, hashes and KEYS is not looked at. Times may differ by
// kSlackMs: integers, alone or as text, that have as many digits as times of today.
//
// Thread safety: one thread at a time. Errors: differences, as text; a broken connection ends the
// process.

#include <hiredis/hiredis.h>

#include <memory>
#include <string>
#include <vector>

#include "common/redis/address.h"
#include "common/redis/reply.h"
#include "tests/sim/fake_redis.h"

namespace klatch::testing {

inline constexpr int64_t kSlackMs = 30'000;

// How a command's replies compare.
enum class Comparison { kExact, kAsSet, kAsPairs, kTypes, kStreamFacts };

class RedisTwins {
 public:
  using Args = std::vector<std::string>;

  // A connection to each.
  class Link {
   public:
    explicit Link(const redis::Address& address);
    ~Link() { redisFree(context_); }
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

   private:
    friend class RedisTwins;
    redisContext* const context_;
    sim::FakeRedis::Session session_;
    // Of what is queued in a transaction.
    std::vector<Comparison> queued_;
  };

  // REQUIRES: `address` is a socket's path.
  explicit RedisTwins(redis::Address address);

  // Whether the real one is a Redis 7.0: others word refusals in other ways.
  bool is_comparable();

  std::unique_ptr<Link> Connect() { return std::make_unique<Link>(address_); }
  sim::FakeRedis& fake() { return fake_; }

  // The real one's reply.
  redis::Reply Call(Link& link, const Args& args);
  // Of one of them alone.
  redis::Reply CallReal(Link& link, const Args& args);
  redis::Reply CallFake(Link& link, const Args& args);

  // All keys with their values and expiries, and whole scans of sets and hashes.
  void CompareContents(Link& link);

  const std::vector<std::string>& differences() const { return differences_; }
  size_t calls() const { return calls_; }

 private:
  void Compare(Comparison how, redis::ReplyView real, redis::ReplyView fake, const Args& args);
  void CompareScans(Link& link, const std::string& command, const std::string& key);

  const redis::Address address_;
  sim::FakeRedis fake_;
  std::vector<std::string> differences_;
  size_t calls_ = 0;
};

// For messages.
std::string Shown(redis::ReplyView reply);
std::string Shown(const std::vector<std::string>& args);

}  // namespace klatch::testing
