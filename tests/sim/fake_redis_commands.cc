#include "tests/sim/fake_redis_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace klatch::sim {
namespace {

using Kind = CommandSpec::Kind;

constexpr unsigned kRead = 0;
constexpr unsigned kGrow = kWrite | kMayTakeMemory;
constexpr unsigned kOfConnection = kNotInScripts | kWhileLoading;

// Arities and flags are those of Redis 7.0.
constexpr auto kCommands = std::to_array<CommandSpec>({
    {"GET", 2, kRead, commands::Get},
    {"SET", -3, kGrow, commands::Set},
    {"SETRANGE", 4, kGrow, commands::SetRange},
    {"GETRANGE", 4, kRead, commands::GetRange},
    {"STRLEN", 2, kRead, commands::StrLen},
    {"MGET", -2, kRead, commands::MGet},
    {"DEL", -2, kWrite, commands::Del},
    {"UNLINK", -2, kWrite, commands::Del},
    {"EXISTS", -2, kRead, commands::Exists},
    {"PERSIST", 2, kWrite, commands::Persist},
    {"PEXPIRE", -3, kWrite, commands::PExpire},
    {"PTTL", 2, kRead, commands::PTtl},
    {"TYPE", 2, kRead, commands::Type},
    {"KEYS", 2, kRead, commands::Keys},

    {"HSET", -4, kGrow, commands::HSet},
    {"HSETNX", 4, kGrow, commands::HSetNx},
    {"HDEL", -3, kWrite, commands::HDel},
    {"HGET", 3, kRead, commands::HGet},
    {"HMGET", -3, kRead, commands::HMGet},
    {"HGETALL", 2, kRead, commands::HGetAll},
    {"HKEYS", 2, kRead, commands::HKeys},
    {"HLEN", 2, kRead, commands::HLen},
    {"HEXISTS", 3, kRead, commands::HExists},
    {"HSCAN", -3, kRead, commands::HScan},

    {"SADD", -3, kGrow, commands::SAdd},
    {"SREM", -3, kWrite, commands::SRem},
    {"SISMEMBER", 3, kRead, commands::SIsMember},
    {"SMISMEMBER", -3, kRead, commands::SMIsMember},
    {"SCARD", 2, kRead, commands::SCard},
    {"SMEMBERS", 2, kRead, commands::SMembers},
    {"SSCAN", -3, kRead, commands::SScan},

    {"ZADD", -4, kGrow, commands::ZAdd},
    {"ZREM", -3, kWrite, commands::ZRem},
    {"ZCARD", 2, kRead, commands::ZCard},
    {"ZSCORE", 3, kRead, commands::ZScore},
    {"ZRANGEBYSCORE", -4, kRead, commands::ZRangeByScore},

    {"XADD", -5, kGrow, commands::XAdd},
    {"XDEL", -3, kWrite, commands::XDel},
    {"XTRIM", -4, kWrite, commands::XTrim},
    {"XLEN", 2, kRead, commands::XLen},
    {"XRANGE", -4, kRead, commands::XRange},
    {"XREVRANGE", -4, kRead, commands::XRevRange},
    {"XREAD", -4, kRead, commands::XRead},
    {"XINFO", -2, kRead, nullptr, Kind::kContainer},
    {"XINFO STREAM", -3, kRead, commands::XInfoStream},

    {"PING", -1, kRead, commands::Ping},
    {"TIME", 1, kWhileLoading, commands::Time},
    {"INFO", -1, kWhileLoading, commands::Info},
    {"CONFIG", -2, kRead, nullptr, Kind::kContainer},
    {"CONFIG GET", -3, kOfConnection, commands::ConfigGet},
    {"WAIT", 3, kNotInScripts, commands::Wait},
    {"MEMORY", -2, kRead, nullptr, Kind::kContainer},
    {"MEMORY USAGE", -3, kRead, commands::MemoryUsage},

    {"MULTI", 1, kOfConnection, nullptr, Kind::kMulti},
    {"EXEC", 1, kOfConnection, nullptr, Kind::kExec},
    {"DISCARD", 1, kOfConnection, nullptr, Kind::kDiscard},
    {"WATCH", -2, kOfConnection, nullptr, Kind::kWatch},
    {"UNWATCH", 1, kOfConnection, nullptr, Kind::kUnwatch},
    {"EVAL", -3, kNotInScripts, nullptr, Kind::kEval},
    {"EVALSHA", -3, kNotInScripts, nullptr, Kind::kEvalSha},
    {"SCRIPT", -2, kRead, nullptr, Kind::kContainer},
    {"SCRIPT FLUSH", -2, kNotInScripts, nullptr, Kind::kScriptFlush},
    {"SCRIPT LOAD", 3, kNotInScripts, nullptr, Kind::kScriptLoad},
    {"SCRIPT EXISTS", -3, kNotInScripts, nullptr, Kind::kScriptExists},
});

const CommandSpec* FindName(std::string_view name) {
  const auto* const found = std::ranges::find(kCommands, name, &CommandSpec::name);
  return found == kCommands.end() ? nullptr : found;
}

std::string InLowerCase(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  return lower;
}

}  // namespace

bool Call::Is(size_t i, std::string_view word) const { return InUpperCase(args[i]) == word; }

std::optional<int64_t> Call::Integer(size_t i, std::string_view error) {
  const std::optional<int64_t> number = ParseInteger(args[i]);
  if (!number) {
    out.Error(error);
  }
  return number;
}

const CommandSpec* FindCommand(const std::vector<std::string>& args) {
  if (args.empty()) {
    return nullptr;
  }
  const std::string name = InUpperCase(args[0]);
  if (name.find(' ') != std::string::npos) {
    return nullptr;
  }
  const CommandSpec* const spec = FindName(name);
  if (spec == nullptr || spec->kind != Kind::kContainer || args.size() == 1) {
    return spec;
  }
  return FindName(name + " " + InUpperCase(args[1]));
}

bool HasRightArity(const CommandSpec& spec, size_t words) {
  const int count = static_cast<int>(words);
  return spec.arity >= 0 ? count == spec.arity : count >= -spec.arity;
}

std::string UnknownCommandError(const std::vector<std::string>& args) {
  constexpr size_t kShownMax = 128;
  // Redis shows words up to their first zero byte.
  const auto beginning = [](const std::string& word, size_t size_max) {
    return std::string(word.c_str()).substr(0, size_max);
  };
  const std::string name = args.empty() ? std::string() : beginning(args[0], kShownMax);
  if (args.size() > 1 && FindName(InUpperCase(name)) != nullptr) {
    return fmt::format("ERR unknown subcommand '{}'. Try {} HELP.", beginning(args[1], kShownMax),
                       InUpperCase(name));
  }
  std::string shown;
  for (size_t i = 1; i < args.size() && shown.size() < kShownMax; ++i) {
    shown += fmt::format("'{}' ", beginning(args[i], kShownMax - shown.size()));
  }
  return fmt::format("ERR unknown command '{}', with args beginning with: {}", name, shown);
}

std::string WrongArityError(const CommandSpec& spec) {
  std::string name = InLowerCase(spec.name);
  std::ranges::replace(name, ' ', '|');
  return fmt::format("ERR wrong number of arguments for '{}' command", name);
}

std::optional<int64_t> ParseInteger(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_whole = error == std::errc() && end == text.data() + text.size();
  // from_chars takes "007" and "-0".
  return is_whole && text == fmt::format_int(number).c_str() ? std::optional(number) : std::nullopt;
}

std::string InUpperCase(std::string_view text) {
  std::string upper(text);
  std::ranges::transform(upper, upper.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c; });
  return upper;
}

}  // namespace klatch::sim
