#include "tests/sim/fake_redis_lua.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <lua.hpp>
#include <string_view>
#include <utility>

#include "common/redis/command.h"
#include "tests/sim/fake_redis_commands.h"

// Lua's errors jump over frames without destroying what is in them. So no function here raises one
// while it holds anything that has a destructor.

namespace klatch::sim {
namespace {

constexpr char kChunkName[] = "@user_script";

void PushText(lua_State* lua, std::string_view text) {
  lua_pushlstring(lua, text.data(), text.size());
}

// A table with one field.
void PushTable(lua_State* lua, const char* field, std::string_view text) {
  lua_newtable(lua);
  PushText(lua, text);
  lua_setfield(lua, -2, field);
}

std::string_view TakeLine(std::string_view& bytes) {
  const size_t end = bytes.find("\r\n");
  const std::string_view line = bytes.substr(0, end);
  bytes.remove_prefix(end + 2);
  return line;
}

int64_t NumberOf(std::string_view digits) {
  int64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

// The next reply of `bytes` as a value of Lua. REQUIRES: RespWriter has written them.
void PushReply(lua_State* lua, std::string_view& bytes) {
  constexpr int kSlots = 8;
  lua_checkstack(lua, kSlots);
  const std::string_view line = TakeLine(bytes);
  const std::string_view text = line.substr(1);
  switch (line.front()) {
    case '+':
      PushTable(lua, "ok", text);
      break;
    case '-':
      PushTable(lua, "err", text);
      break;
    case ':':
      lua_pushnumber(lua, static_cast<lua_Number>(NumberOf(text)));
      break;
    case '$':
      if (const int64_t size = NumberOf(text); size >= 0) {
        PushText(lua, bytes.substr(0, static_cast<size_t>(size)));
        bytes.remove_prefix(static_cast<size_t>(size) + 2);
      } else {
        lua_pushboolean(lua, 0);
      }
      break;
    default:
      if (const int64_t size = NumberOf(text); size >= 0) {
        lua_createtable(lua, static_cast<int>(size), 0);
        for (int i = 1; i <= size; ++i) {
          PushReply(lua, bytes);
          lua_rawseti(lua, -2, i);
        }
      } else {
        lua_pushboolean(lua, 0);
      }
  }
}

// The field of the table on top if it is a string, up to its first zero byte, as Redis takes it.
std::optional<std::string> TextField(lua_State* lua, const char* field) {
  lua_pushstring(lua, field);
  lua_rawget(lua, -2);
  std::optional<std::string> text;
  if (lua_isstring(lua, -1) != 0) {
    text = lua_tostring(lua, -1);
  }
  lua_pop(lua, 1);
  return text;
}

// Answers the value on top, and takes it off.
void AnswerValue(lua_State* lua, RespWriter& out) {
  constexpr int kSlots = 4;
  if (lua_checkstack(lua, kSlots) == 0) {
    out.Error("ERR reached lua stack limit");
    lua_pop(lua, 1);
    return;
  }
  switch (lua_type(lua, -1)) {
    case LUA_TSTRING: {
      size_t size = 0;
      const char* const bytes = lua_tolstring(lua, -1, &size);
      out.Bulk({bytes, size});
      break;
    }
    case LUA_TNUMBER:
      out.Integer(static_cast<int64_t>(lua_tonumber(lua, -1)));
      break;
    case LUA_TBOOLEAN:
      if (lua_toboolean(lua, -1) != 0) {
        out.Integer(1);
      } else {
        out.Nil();
      }
      break;
    case LUA_TTABLE: {
      if (const auto error = TextField(lua, "err")) {
        out.Error(*error);
      } else if (const auto status = TextField(lua, "ok")) {
        out.Status(*status);
      } else {
        RespWriter elements;
        size_t size = 0;
        for (lua_rawgeti(lua, -1, 1); lua_isnil(lua, -1) == 0;
             lua_rawgeti(lua, -1, static_cast<int>(size) + 1)) {
          AnswerValue(lua, elements);
          ++size;
        }
        lua_pop(lua, 1);
        out.Array(size);
        out.Append(elements);
      }
      break;
    }
    default:
      out.Nil();
  }
  lua_pop(lua, 1);
}

// Makes of whatever was raised a table that says where.
int DescribeError(lua_State* lua) {
  if (lua_type(lua, 1) != LUA_TTABLE) {
    lua_getglobal(lua, "tostring");
    lua_pushvalue(lua, 1);
    lua_call(lua, 1, 1);
    lua_pushliteral(lua, "ERR ");
    lua_insert(lua, -2);
    lua_concat(lua, 2);
    lua_newtable(lua);
    lua_insert(lua, -2);
    lua_setfield(lua, -2, "err");
    lua_replace(lua, 1);
  }
  lua_settop(lua, 1);
  lua_Debug place;
  bool has_place = lua_getstack(lua, 1, &place) != 0 && lua_getinfo(lua, "nSl", &place) != 0;
  // `error` and redis.call are functions of C; where they were called says more.
  if (has_place && std::string_view(place.what) == "C") {
    has_place = lua_getstack(lua, 2, &place) != 0 && lua_getinfo(lua, "nSl", &place) != 0;
  }
  if (has_place) {
    lua_pushstring(lua, place.source);
    lua_setfield(lua, 1, "source");
    lua_pushinteger(lua, place.currentline);
    lua_setfield(lua, 1, "line");
  }
  return 1;
}

// Redis's pcall gives the text of an error that is a table.
int ProtectedCall(lua_State* lua) {
  luaL_checkany(lua, 1);
  const int arguments = lua_gettop(lua) - 1;
  lua_pushboolean(lua, 1);
  lua_insert(lua, 1);
  if (lua_pcall(lua, arguments, LUA_MULTRET, 0) != 0) {
    if (lua_istable(lua, -1)) {
      lua_getfield(lua, -1, "err");
      if (lua_isstring(lua, -1) != 0) {
        lua_replace(lua, -2);
      } else {
        lua_pop(lua, 1);
      }
    }
    lua_pushboolean(lua, 0);
    lua_replace(lua, 1);
  }
  return lua_gettop(lua);
}

int RefuseUnknownGlobal(lua_State* lua) {
  return luaL_error(lua, "Script attempted to access nonexistent global variable '%s'",
                    lua_tostring(lua, 2));
}

int RefuseNewGlobal(lua_State* lua) {
  return luaL_error(lua, "Attempt to modify a readonly table");
}

int PushReplyTable(lua_State* lua, const char* field) {
  if (lua_gettop(lua) != 1 || lua_type(lua, 1) != LUA_TSTRING) {
    PushTable(lua, "err", "ERR wrong number or type of arguments");
    return 1;
  }
  lua_newtable(lua);
  lua_pushvalue(lua, 1);
  lua_setfield(lua, -2, field);
  return 1;
}

// A single word is no code.
int ErrorReply(lua_State* lua) {
  if (lua_gettop(lua) == 1 && lua_type(lua, 1) == LUA_TSTRING) {
    std::string_view text = lua_tostring(lua, 1);
    text.remove_prefix(text.starts_with('-') ? 1 : 0);
    lua_pushstring(lua, text.find(' ') == std::string_view::npos ? "ERR " : "");
    PushText(lua, text);
    lua_concat(lua, 2);
    lua_replace(lua, 1);
  }
  return PushReplyTable(lua, "err");
}

int StatusReply(lua_State* lua) { return PushReplyTable(lua, "ok"); }

void Forbid(lua_State* lua, int table, const char* name) {
  lua_pushnil(lua);
  lua_setfield(lua, table, name);
}

void OpenLibrary(lua_State* lua, const char* name, lua_CFunction open) {
  lua_pushcfunction(lua, open);
  lua_pushstring(lua, name);
  lua_call(lua, 1, 0);
}

void OpenLibraries(lua_State* lua) {
  OpenLibrary(lua, "", luaopen_base);
  OpenLibrary(lua, LUA_TABLIBNAME, luaopen_table);
  OpenLibrary(lua, LUA_STRLIBNAME, luaopen_string);
  OpenLibrary(lua, LUA_MATHLIBNAME, luaopen_math);
  OpenLuaStruct(lua);
  for (const char* const name : {"dofile", "loadfile", "print"}) {
    Forbid(lua, LUA_GLOBALSINDEX, name);
  }
  lua_getglobal(lua, "math");
  Forbid(lua, lua_gettop(lua), "random");
  Forbid(lua, lua_gettop(lua), "randomseed");
  lua_pop(lua, 1);
  lua_pushcfunction(lua, ProtectedCall);
  lua_setglobal(lua, "pcall");
}

void ProtectGlobals(lua_State* lua) {
  lua_newtable(lua);
  lua_pushcfunction(lua, RefuseUnknownGlobal);
  lua_setfield(lua, -2, "__index");
  lua_pushcfunction(lua, RefuseNewGlobal);
  lua_setfield(lua, -2, "__newindex");
  lua_setmetatable(lua, LUA_GLOBALSINDEX);
}

void SetGlobalTexts(lua_State* lua, const char* name, const std::vector<std::string>& texts) {
  lua_pushstring(lua, name);
  lua_createtable(lua, static_cast<int>(texts.size()), 0);
  for (size_t i = 0; i < texts.size(); ++i) {
    PushText(lua, texts[i]);
    lua_rawseti(lua, -2, static_cast<int>(i) + 1);
  }
  lua_rawset(lua, LUA_GLOBALSINDEX);
}

// The words of a command; nothing, and an error on the stack, if they are none.
std::optional<std::vector<std::string>> TakeWords(lua_State* lua) {
  std::vector<std::string> words;
  for (int i = 1; i <= lua_gettop(lua); ++i) {
    if (lua_type(lua, i) == LUA_TNUMBER) {
      words.push_back(fmt::format("{:.17g}", lua_tonumber(lua, i)));
    } else if (lua_type(lua, i) == LUA_TSTRING) {
      size_t size = 0;
      const char* const bytes = lua_tolstring(lua, i, &size);
      words.emplace_back(bytes, size);
    } else {
      PushTable(lua, "err", "ERR Lua redis lib command arguments must be strings or integers");
      return std::nullopt;
    }
  }
  if (words.empty()) {
    PushTable(lua, "err", "ERR Please specify at least one argument for this redis lib call");
    return std::nullopt;
  }
  lua_settop(lua, 0);
  return words;
}

// Pushes whether there is such a command. False: an error.
bool CheckCommand(lua_State* lua) {
  const std::optional<std::vector<std::string>> words = TakeWords(lua);
  if (words && FindCommand(*words) == nullptr) {
    PushTable(lua, "err", "ERR Invalid command passed to redis.acl_check_cmd()");
    return false;
  }
  if (words) {
    lua_pushboolean(lua, 1);
  }
  return words.has_value();
}

}  // namespace

void LuaScripts::Close::operator()(lua_State* state) const { lua_close(state); }

LuaScripts::LuaScripts(RunCommand run_command) : run_command_(std::move(run_command)) { Open(); }

LuaScripts::~LuaScripts() = default;

void LuaScripts::Open() {
  lua_.reset(luaL_newstate());
  OpenLibraries(lua_.get());
  RegisterRedis();
  ProtectGlobals(lua_.get());
}

void LuaScripts::RegisterRedis() {
  lua_State* const lua = lua_.get();
  constexpr std::array<std::pair<const char*, lua_CFunction>, 5> kFunctions = {{
      {"call", RedisCall},
      {"pcall", RedisPcall},
      {"acl_check_cmd", RedisAclCheckCmd},
      {"error_reply", ErrorReply},
      {"status_reply", StatusReply},
  }};
  lua_newtable(lua);
  for (const auto& [name, function] : kFunctions) {
    lua_pushlightuserdata(lua, this);
    lua_pushcclosure(lua, function, 1);
    lua_setfield(lua, -2, name);
  }
  lua_setglobal(lua, "redis");
}

void LuaScripts::Forget() {
  compiled_.clear();
  Open();
}

LuaScripts& LuaScripts::Self(lua_State* lua) {
  return *static_cast<LuaScripts*>(lua_touserdata(lua, lua_upvalueindex(1)));
}

bool LuaScripts::CallCommand(lua_State* lua) {
  const std::optional<std::vector<std::string>> words = TakeWords(lua);
  if (!words) {
    return false;
  }
  RespWriter reply;
  run_command_(*words, has_written_, reply);
  std::string_view bytes = reply.bytes();
  const bool is_right = !bytes.starts_with('-');
  PushReply(lua, bytes);
  return is_right;
}

int LuaScripts::RedisCall(lua_State* lua) {
  return Self(lua).CallCommand(lua) ? 1 : lua_error(lua);
}

int LuaScripts::RedisPcall(lua_State* lua) {
  Self(lua).CallCommand(lua);
  return 1;
}

int LuaScripts::RedisAclCheckCmd(lua_State* lua) { return CheckCommand(lua) ? 1 : lua_error(lua); }

std::optional<std::string> LuaScripts::Load(const std::string& source, RespWriter& out) {
  const std::string sha1_hex = redis::Script(std::string(), source).sha1_hex();
  if (Knows(sha1_hex)) {
    return sha1_hex;
  }
  lua_State* const lua = lua_.get();
  if (luaL_loadbuffer(lua, source.data(), source.size(), kChunkName) != 0) {
    out.Error(fmt::format("ERR Error compiling script (new function): {}", lua_tostring(lua, -1)));
    lua_pop(lua, 1);
    return std::nullopt;
  }
  compiled_[sha1_hex] = luaL_ref(lua, LUA_REGISTRYINDEX);
  return sha1_hex;
}

void LuaScripts::Run(const std::string& sha1_hex, const std::vector<std::string>& keys,
                     const std::vector<std::string>& arguments, RespWriter& out) {
  lua_State* const lua = lua_.get();
  has_written_ = false;
  SetGlobalTexts(lua, "KEYS", keys);
  SetGlobalTexts(lua, "ARGV", arguments);
  lua_pushcfunction(lua, DescribeError);
  lua_rawgeti(lua, LUA_REGISTRYINDEX, compiled_.at(sha1_hex));
  if (lua_pcall(lua, 0, 1, -2) == 0) {
    AnswerValue(lua, out);
  } else {
    AnswerFailure(sha1_hex, out);
  }
  lua_settop(lua, 0);
}

void LuaScripts::AnswerFailure(const std::string& sha1_hex, RespWriter& out) {
  lua_State* const lua = lua_.get();
  if (lua_istable(lua, -1) == 0) {
    // Such as out of memory, or an error while it was described.
    const char* const text = lua_tostring(lua, -1);
    out.Error(fmt::format("ERR Error running script {}, {:.100}", sha1_hex,
                          text != nullptr ? text : "execution failure"));
    return;
  }
  std::string message = TextField(lua, "err").value_or("ERR unknown error");
  const std::optional<std::string> source = TextField(lua, "source");
  const std::optional<std::string> line = TextField(lua, "line");
  if (source && line) {
    message += fmt::format(" script: {}, on {}:{}.", sha1_hex, *source, *line);
  }
  out.Error(message);
}

}  // namespace klatch::sim
