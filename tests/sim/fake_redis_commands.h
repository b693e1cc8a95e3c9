#pragma once
// The commands of a FakeRedis: their table, and what they are written with.
//
// Thread safety: one thread at a time. Errors: error replies.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tests/sim/fake_redis.h"
#include "tests/sim/fake_redis_keyspace.h"
#include "tests/sim/fake_redis_wire.h"

namespace klatch::sim {

inline constexpr std::string_view kSyntaxError = "ERR syntax error";
inline constexpr std::string_view kNoIntegerError = "ERR value is not an integer or out of range";
inline constexpr std::string_view kWrongTypeError =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
inline constexpr std::string_view kReadOnlyError =
    "READONLY You can't write against a read only replica.";
inline constexpr std::string_view kOutOfMemoryError =
    "OOM command not allowed when used memory > 'maxmemory'.";
inline constexpr std::string_view kLoadingError = "LOADING Redis is loading the dataset in memory";

// A running command.
struct Call {
  // What a key must hold.
  template <typename T>
  struct Found {
    // Null if the key is not there.
    T* value = nullptr;
    // False: it holds another type, and that was answered.
    bool is_right = true;
  };

  const std::string& arg(size_t i) const { return args[i]; }
  // The key, of most commands.
  const std::string& key() const { return args[1]; }
  // Whether the argument is this word, which is in upper case.
  bool Is(size_t i, std::string_view word) const;

  template <typename T>
  Found<T> Find(const std::string& name) {
    Entry* const entry = keys.Find(name);
    if (entry == nullptr) {
      return {};
    }
    T* const value = std::get_if<T>(&entry->value);
    if (value == nullptr) {
      out.Error(kWrongTypeError);
    }
    return {value, value != nullptr};
  }
  // What was found at the key, or a new value there.
  template <typename T>
  T& Make(const Found<T>& found) {
    return found.value != nullptr ? *found.value : std::get<T>(keys.Add(key(), T()).value);
  }
  // Answers how many elements were removed. Redis has no empty hashes, sets and sorted sets.
  template <typename T>
  void Removed(const Found<T>& found, int64_t count) {
    if (count > 0 && found.value->empty()) {
      keys.Remove(key());
    } else if (count > 0) {
      keys.Touch(key());
    }
    out.Integer(count);
  }

  // Nothing: it was no such number, and that was answered.
  std::optional<int64_t> Integer(size_t i, std::string_view error = kNoIntegerError);

  const std::vector<std::string>& args;
  const FakeRedis::Facts& facts;
  int64_t now_us;
  Keyspace& keys;
  RespWriter& out;
  bool is_in_script = false;
};

enum CommandFlag : unsigned {
  kWrite = 1,
  kMayTakeMemory = 2,
  kNotInScripts = 4,
  kWhileLoading = 8,
};

struct CommandSpec {
  // Those that are about the connection or about scripts run in FakeRedis itself.
  enum class Kind {
    kData,
    kMulti,
    kExec,
    kDiscard,
    kWatch,
    kUnwatch,
    kEval,
    kEvalSha,
    kScriptFlush,
    kScriptLoad,
    kScriptExists,
    // XINFO and the like without the word behind it.
    kContainer,
  };

  // In upper case; a subcommand's is "XINFO STREAM".
  std::string_view name;
  // How many words; at least so many if it is negative.
  int arity;
  unsigned flags;
  void (*run)(Call& call) = nullptr;
  Kind kind = Kind::kData;
};

// Null if there is none, or `args` is empty.
const CommandSpec* FindCommand(const std::vector<std::string>& args);
bool HasRightArity(const CommandSpec& spec, size_t words);
// What Redis answers to a command that it does not have.
std::string UnknownCommandError(const std::vector<std::string>& args);
std::string WrongArityError(const CommandSpec& spec);

// As Redis reads integers: no space, no plus, no zeros in front.
std::optional<int64_t> ParseInteger(std::string_view text);
std::string InUpperCase(std::string_view text);

// A page of SSCAN or HSCAN: where the next one begins, 0 if there is none, and what is in it.
struct ScanPage {
  uint64_t next = 0;
  std::vector<std::string_view> names;
};
// The page that the command asks for from `cursor` on; the views are those of `names`. Nothing: it
// asks wrongly, and that was answered.
std::optional<ScanPage> Scan(Call& call, uint64_t cursor,
                             const std::vector<std::string_view>& names);
// Nothing: the call has no cursor, and that was answered.
std::optional<uint64_t> ScanCursor(Call& call);
void AnswerEmptyScan(Call& call);

namespace commands {

// fake_redis_strings.cc: strings, and keys of any type.
void Get(Call& call);
void Set(Call& call);
void SetRange(Call& call);
void GetRange(Call& call);
void StrLen(Call& call);
void MGet(Call& call);
void Del(Call& call);
void Exists(Call& call);
void Persist(Call& call);
void PExpire(Call& call);
void PTtl(Call& call);
void Type(Call& call);
void Keys(Call& call);

// fake_redis_hashes.cc
void HSet(Call& call);
void HSetNx(Call& call);
void HDel(Call& call);
void HGet(Call& call);
void HMGet(Call& call);
void HGetAll(Call& call);
void HKeys(Call& call);
void HLen(Call& call);
void HExists(Call& call);
void HScan(Call& call);

// fake_redis_sets.cc
void SAdd(Call& call);
void SRem(Call& call);
void SIsMember(Call& call);
void SMIsMember(Call& call);
void SCard(Call& call);
void SMembers(Call& call);
void SScan(Call& call);
void ZAdd(Call& call);
void ZRem(Call& call);
void ZCard(Call& call);
void ZScore(Call& call);
void ZRangeByScore(Call& call);

// fake_redis_streams.cc
void XAdd(Call& call);
void XDel(Call& call);
void XTrim(Call& call);
void XLen(Call& call);
void XRange(Call& call);
void XRevRange(Call& call);
void XRead(Call& call);
void XInfoStream(Call& call);

// fake_redis_server.cc
void Ping(Call& call);
void Time(Call& call);
void Info(Call& call);
void ConfigGet(Call& call);
void Wait(Call& call);
void MemoryUsage(Call& call);

}  // namespace commands

}  // namespace klatch::sim
