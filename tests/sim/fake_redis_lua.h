#pragma once
// The scripts of a FakeRedis, in one Lua state that they share, as in Redis. Nothing stays between
// two calls but what was compiled: globals can't be written.
//
// Thread safety: one thread at a time; not from within a script.
// Errors: error replies, worded as Redis 7.0 words them, with the script's name and line.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/fake_redis_wire.h"

struct lua_State;

namespace klatch::sim {

class LuaScripts {
 public:
  // Runs a command for a script; `has_written` lives as long as the script's call.
  using RunCommand =
      std::function<void(const std::vector<std::string>& args, bool& has_written, RespWriter& out)>;

  explicit LuaScripts(RunCommand run_command);
  ~LuaScripts();
  LuaScripts(const LuaScripts&) = delete;
  LuaScripts& operator=(const LuaScripts&) = delete;

  bool Knows(const std::string& sha1_hex) const { return compiled_.contains(sha1_hex); }
  // The script's name from now on; nothing if it does not compile, which was answered.
  std::optional<std::string> Load(const std::string& source, RespWriter& out);
  // REQUIRES: Knows(sha1_hex).
  void Run(const std::string& sha1_hex, const std::vector<std::string>& keys,
           const std::vector<std::string>& arguments, RespWriter& out);
  void Forget();

 private:
  struct Close {
    void operator()(lua_State* state) const;
  };

  static int RedisCall(lua_State* lua);
  static int RedisPcall(lua_State* lua);
  static int RedisAclCheckCmd(lua_State* lua);
  static LuaScripts& Self(lua_State* lua);

  void Open();
  void RegisterRedis();
  void AnswerFailure(const std::string& sha1_hex, RespWriter& out);
  // Leaves its result on the stack. False: it is an error.
  bool CallCommand(lua_State* lua);

  const RunCommand run_command_;
  std::unique_ptr<lua_State, Close> lua_;
  // Their places in the state's registry.
  std::map<std::string, int> compiled_;
  bool has_written_ = false;
};

// Adds the library `struct`, as far as it packs integers.
void OpenLuaStruct(lua_State* lua);

}  // namespace klatch::sim
