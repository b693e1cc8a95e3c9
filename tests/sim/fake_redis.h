#pragma once
// A Redis 7.0 within the process, for tests that decide themselves what time it is, what gets lost
// and when: no sockets, no threads, no clock, no randomness. The same calls always yield the same
// replies.
//
//   FakeRedis redis;
//   FakeRedis::Session session;
//   redis.now_us = 1'700'000'000'000'000;
//   redis::Reply reply = redis.Execute(session, {"XADD", "log", "7-*", "r", "x"});
//   Data snapshot = redis.data();
//   …
//   redis.Restore(snapshot);  // a tail is lost
//
// It knows the commands that Klatch uses, in the forms in which Klatch uses them, and a few for
// tests (KEYS, TYPE, SMEMBERS, XRANGE); anything else is refused as what Redis doesn't know.
// Scripts run in Lua 5.1, as in Redis. fake_redis_redis_test compares it with a real one. It differs
// from that in this:
//
//   Nothing blocks     XREAD BLOCK and WAIT answer at once with what is there.
//   Orders             Hashes, sets and KEYS answer in the order of bytes.
//   Scans              Pages of COUNT elements even of small hashes and sets, in the order of a
//                      hash of them. As in Redis, what is there from a scan's beginning to its
//                      end is found.
//   XTRIM ~            is exact.
//   MEMORY USAGE       is the sum of the bytes plus something for each element.
//   Out of memory      is a fact that is set; what is stored doesn't matter.
//   A replica          does not copy anything: its data is what was last restored.
//   Lua                no cjson, no cmsgpack, no bit, no math.random; of struct only integers.
//   Limits             Strings of 512 MiB, as in Redis. A script that never ends never ends.
//
// Thread safety: one thread at a time.
// Errors: error replies, worded as Redis words them.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "common/redis/command.h"
#include "common/redis/reply.h"
#include "tests/sim/fake_data.h"

namespace klatch::sim {

class Keyspace;
class LuaScripts;
class RespWriter;
struct CommandSpec;
struct WatchedKeys;

class FakeRedis {
 public:
  enum class Role { kMaster, kReplica };

  // What the world around it makes of it. Settable at any time, from outside of Execute.
  struct Facts {
    std::string run_id = "0000000000000000000000000000000000000001";
    std::string version = "7.0.15";
    Role role = Role::kMaster;
    // A replica's master, for INFO.
    std::string master_host = "127.0.0.1";
    int master_port = 6379;
    // Replicas that follow: what WAIT answers and INFO lists.
    uint32_t in_sync_replicas = 0;
    // Commands that may take memory are refused, and INFO shows more in use than there may be.
    bool is_out_of_memory = false;
    uint64_t maxmemory_bytes = 0;
    std::string maxmemory_policy = "noeviction";
    bool is_loading = false;
    bool is_append_only = false;
    std::string append_fsync = "everysec";
    std::string directory = "/var/lib/redis";
  };

  // A connection's side in the server: what it watches, and a transaction's queue. A new one is a
  // connection made anew. May outlive the FakeRedis.
  class Session {
   public:
    bool is_in_transaction() const { return is_in_transaction_; }

   private:
    friend class FakeRedis;
    // Null: nothing is watched. The server's table of watched keys must not keep it alive.
    std::shared_ptr<WatchedKeys> watched_;
    std::vector<std::vector<std::string>> queue_;
    bool is_in_transaction_ = false;
    // A command could not be queued.
    bool must_abort_ = false;
  };

  FakeRedis();
  ~FakeRedis();
  FakeRedis(const FakeRedis&) = delete;
  FakeRedis& operator=(const FakeRedis&) = delete;

  // A script's first use runs as EVAL, as a connection sends it: NOSCRIPT is for who asks for
  // EVALSHA by hand.
  redis::Reply Execute(Session& session, const redis::Command& command);
  redis::Reply Execute(Session& session, const std::vector<std::string>& args);
  redis::Reply Execute(Session& session, std::initializer_list<std::string> args) {
    return Execute(session, std::vector<std::string>(args));
  }
  // The same as the bytes on the wire (RESP2).
  std::string ExecuteToWire(Session& session, const std::vector<std::string>& args);

  // Includes what has expired and has not been looked at since.
  const Data& data() const;
  // Whoever watches anything sees it changed.
  void Restore(Data data);
  // The process begins anew under another run id, with the data as it is: scripts are forgotten.
  // Sessions don't end by that; their connections must.
  void Restart(std::string run_id);

  // How many changes there were: grows with every key that a command has changed. Restore doesn't
  // set it back.
  uint64_t changes() const;

  // The server's clock, in µs since 1970. Must not be before 1970.
  int64_t now_us = 0;
  Facts facts;
  // Called with the name of each key that a command changes or removes, after that command; never
  // for Restore. For a simulator that keeps replicas. Must not call back.
  std::function<void(const std::string& key)> on_change;

 private:
  using Args = std::vector<std::string>;

  // A whole command outside of scripts.
  void Run(Session& session, const Args& args, RespWriter& out);
  // Why it may not run or be queued now; empty: it may.
  std::string Refusal(const Session& session, const CommandSpec& spec) const;
  void RunNow(Session& session, const CommandSpec& spec, const Args& args, RespWriter& out);
  void RunInScript(const Args& args, bool& has_written, RespWriter& out);
  void RunOfScripts(const CommandSpec& spec, const Args& args, RespWriter& out);
  void Evaluate(const CommandSpec& spec, const Args& args, RespWriter& out);
  void Multi(Session& session, RespWriter& out);
  void Watch(Session& session, const Args& args, RespWriter& out);
  void Exec(Session& session, RespWriter& out);
  void ReportChanges();

  const std::unique_ptr<Keyspace> keyspace_;
  const std::unique_ptr<LuaScripts> scripts_;
};

}  // namespace klatch::sim
