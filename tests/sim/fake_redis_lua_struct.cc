// struct.pack and struct.unpack for integers: what Redis's library does for "<>=bBhHiIlL", without
// alignment.

#include <cctype>
#include <cstdint>
#include <lua.hpp>

#include "tests/sim/fake_redis_lua.h"

// No C++ objects with destructors here: Lua's errors jump over them.

namespace klatch::sim {
namespace {

constexpr size_t kIntegerBytesMax = 8;

struct Format {
  const char* next;
  bool is_little = true;
};

struct Item {
  size_t bytes = 0;
  bool is_signed = false;
};

size_t ReadSize(lua_State* lua, Format& format, size_t by_default) {
  if (std::isdigit(static_cast<unsigned char>(*format.next)) == 0) {
    return by_default;
  }
  size_t size = 0;
  while (std::isdigit(static_cast<unsigned char>(*format.next)) != 0 && size <= kIntegerBytesMax) {
    size = size * 10 + static_cast<size_t>(*format.next++ - '0');
  }
  if (size == 0 || size > kIntegerBytesMax) {
    luaL_error(lua, "integral size %d is larger than limit of %d", static_cast<int>(size),
               static_cast<int>(kIntegerBytesMax));
  }
  return size;
}

// False at the format's end.
bool ReadItem(lua_State* lua, Format& format, Item& item) {
  while (*format.next != '\0') {
    const char option = *format.next++;
    const bool is_signed = std::islower(static_cast<unsigned char>(option)) != 0;
    switch (option) {
      case '<':
      case '=':
        format.is_little = true;
        break;
      case '>':
        format.is_little = false;
        break;
      case ' ':
        break;
      case 'b':
      case 'B':
        item = {1, is_signed};
        return true;
      case 'h':
      case 'H':
        item = {2, is_signed};
        return true;
      case 'i':
      case 'I':
        item = {ReadSize(lua, format, sizeof(int)), is_signed};
        return true;
      case 'l':
      case 'L':
        item = {8, is_signed};
        return true;
      default:
        luaL_error(lua, "invalid format option '%c'", option);
    }
  }
  return false;
}

int Pack(lua_State* lua) {
  Format format{luaL_checkstring(lua, 1)};
  Item item;
  luaL_Buffer out;
  int argument = 2;
  luaL_buffinit(lua, &out);
  while (ReadItem(lua, format, item)) {
    const lua_Number number = luaL_checknumber(lua, argument++);
    const uint64_t value = number < 0 ? static_cast<uint64_t>(static_cast<int64_t>(number))
                                      : static_cast<uint64_t>(number);
    for (size_t i = 0; i < item.bytes; ++i) {
      const size_t byte = format.is_little ? i : item.bytes - 1 - i;
      luaL_addchar(&out, static_cast<char>(value >> (8 * byte)));
    }
  }
  luaL_pushresult(&out);
  return 1;
}

int Unpack(lua_State* lua) {
  Format format{luaL_checkstring(lua, 1)};
  size_t size = 0;
  const char* const bytes = luaL_checklstring(lua, 2, &size);
  const lua_Integer first = luaL_optinteger(lua, 3, 1);
  luaL_argcheck(lua, first > 0, 3, "offset must be 1 or greater");
  auto at = static_cast<size_t>(first - 1);
  lua_settop(lua, 2);
  int results = 0;
  Item item;
  while (ReadItem(lua, format, item)) {
    luaL_argcheck(lua, at <= size && item.bytes <= size - at, 2, "data string too short");
    luaL_checkstack(lua, 2, "too many results");
    uint64_t value = 0;
    for (size_t i = 0; i < item.bytes; ++i) {
      const size_t byte = format.is_little ? item.bytes - 1 - i : i;
      value = value << 8 | static_cast<unsigned char>(bytes[at + byte]);
    }
    const size_t unused_bits = 64 - 8 * item.bytes;
    const auto with_sign = static_cast<int64_t>(value << unused_bits) >> unused_bits;
    lua_pushnumber(
        lua, item.is_signed ? static_cast<lua_Number>(with_sign) : static_cast<lua_Number>(value));
    at += item.bytes;
    ++results;
  }
  lua_pushinteger(lua, static_cast<lua_Integer>(at + 1));
  return results + 1;
}

}  // namespace

void OpenLuaStruct(lua_State* lua) {
  lua_newtable(lua);
  lua_pushcfunction(lua, Pack);
  lua_setfield(lua, -2, "pack");
  lua_pushcfunction(lua, Unpack);
  lua_setfield(lua, -2, "unpack");
  lua_setglobal(lua, "struct");
}

}  // namespace klatch::sim
