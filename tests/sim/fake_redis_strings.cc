// Strings, and keys of any type.

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <optional>
#include <string>

#include "tests/sim/fake_redis_commands.h"

namespace klatch::sim::commands {
namespace {

constexpr int64_t kStringBytesMax = 512 << 20;

struct SetOptions {
  bool only_new = false;
  bool only_there = false;
  bool keeps_expiry = false;
  std::optional<int64_t> expires_ms;
};

// When a duration from now ends. Nothing, and an answer, if it can't be counted, or must be above
// zero and isn't.
std::optional<int64_t> ExpiryOf(Call& call, size_t i, int64_t unit_ms, bool must_be_later) {
  const std::optional<int64_t> duration = call.Integer(i);
  if (!duration) {
    return std::nullopt;
  }
  int64_t ms = 0;
  int64_t expires_ms = 0;
  if ((must_be_later && *duration <= 0) || __builtin_mul_overflow(*duration, unit_ms, &ms) ||
      __builtin_add_overflow(ms, call.keys.now_ms(), &expires_ms)) {
    call.out.Error(fmt::format("ERR invalid expire time in '{}' command",
                               call.Is(0, "SET") ? "set" : "pexpire"));
    return std::nullopt;
  }
  return expires_ms;
}

std::optional<SetOptions> ReadSetOptions(Call& call) {
  SetOptions options;
  size_t duration_at = 0;
  int64_t unit_ms = 1;
  for (size_t i = 3; i < call.args.size(); ++i) {
    const bool is_ms = call.Is(i, "PX");
    if (call.Is(i, "NX") && !options.only_there) {
      options.only_new = true;
    } else if (call.Is(i, "XX") && !options.only_new) {
      options.only_there = true;
    } else if (call.Is(i, "KEEPTTL") && duration_at == 0) {
      options.keeps_expiry = true;
    } else if ((is_ms || call.Is(i, "EX")) && duration_at == 0 && !options.keeps_expiry &&
               i + 1 < call.args.size()) {
      duration_at = ++i;
      unit_ms = is_ms ? 1 : 1'000;
    } else {
      call.out.Error(kSyntaxError);
      return std::nullopt;
    }
  }
  if (duration_at != 0) {
    options.expires_ms = ExpiryOf(call, duration_at, unit_ms, true);
    return options.expires_ms ? std::optional(options) : std::nullopt;
  }
  return options;
}

}  // namespace

void Get(Call& call) {
  const auto found = call.Find<std::string>(call.key());
  if (found.value != nullptr) {
    call.out.Bulk(*found.value);
  } else if (found.is_right) {
    call.out.Nil();
  }
}

void Set(Call& call) {
  const std::optional<SetOptions> options = ReadSetOptions(call);
  if (!options) {
    return;
  }
  Entry* entry = call.keys.Find(call.key());
  if ((options->only_new && entry != nullptr) || (options->only_there && entry == nullptr)) {
    call.out.Nil();
    return;
  }
  if (entry == nullptr) {
    entry = &call.keys.Add(call.key(), std::string());
  }
  entry->value = call.arg(2);
  if (!options->keeps_expiry) {
    entry->expires_ms = options->expires_ms;
  }
  call.keys.Touch(call.key());
  call.out.Status("OK");
}

void SetRange(Call& call) {
  const std::optional<int64_t> offset = call.Integer(2);
  if (!offset) {
    return;
  }
  if (*offset < 0) {
    call.out.Error("ERR offset is out of range");
    return;
  }
  const auto found = call.Find<std::string>(call.key());
  if (!found.is_right) {
    return;
  }
  const std::string& piece = call.arg(3);
  if (piece.empty()) {
    call.out.Integer(found.value != nullptr ? static_cast<int64_t>(found.value->size()) : 0);
    return;
  }
  if (*offset > kStringBytesMax - static_cast<int64_t>(piece.size())) {
    call.out.Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return;
  }
  std::string& value = call.Make(found);
  const auto begin = static_cast<size_t>(*offset);
  value.resize(std::max(value.size(), begin + piece.size()));
  value.replace(begin, piece.size(), piece);
  call.keys.Touch(call.key());
  call.out.Integer(static_cast<int64_t>(value.size()));
}

void GetRange(Call& call) {
  const std::optional<int64_t> first = call.Integer(2);
  const std::optional<int64_t> last = first ? call.Integer(3) : std::nullopt;
  if (!last) {
    return;
  }
  const auto found = call.Find<std::string>(call.key());
  if (!found.is_right) {
    return;
  }
  if (found.value == nullptr || (*first < 0 && *last < 0 && *first > *last)) {
    call.out.Bulk("");
    return;
  }
  const auto size = static_cast<int64_t>(found.value->size());
  const int64_t begin = std::max<int64_t>(*first < 0 ? size + *first : *first, 0);
  const int64_t end =
      std::min(std::max<int64_t>(*last < 0 ? size + *last : *last, 0), size - 1) + 1;
  call.out.Bulk(begin < end
                    ? std::string_view(*found.value)
                          .substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin))
                    : std::string_view());
}

void StrLen(Call& call) {
  const auto found = call.Find<std::string>(call.key());
  if (found.is_right) {
    call.out.Integer(found.value != nullptr ? static_cast<int64_t>(found.value->size()) : 0);
  }
}

void MGet(Call& call) {
  call.out.Array(call.args.size() - 1);
  for (size_t i = 1; i < call.args.size(); ++i) {
    Entry* const entry = call.keys.Find(call.arg(i));
    const std::string* const value =
        entry != nullptr ? std::get_if<std::string>(&entry->value) : nullptr;
    if (value != nullptr) {
      call.out.Bulk(*value);
    } else {
      call.out.Nil();
    }
  }
}

void Del(Call& call) {
  int64_t removed = 0;
  for (size_t i = 1; i < call.args.size(); ++i) {
    removed += call.keys.Remove(call.arg(i)) ? 1 : 0;
  }
  call.out.Integer(removed);
}

void Exists(Call& call) {
  int64_t there = 0;
  for (size_t i = 1; i < call.args.size(); ++i) {
    there += call.keys.Has(call.arg(i)) ? 1 : 0;
  }
  call.out.Integer(there);
}

void Persist(Call& call) {
  Entry* const entry = call.keys.Find(call.key());
  const bool had_expiry = entry != nullptr && entry->expires_ms.has_value();
  if (had_expiry) {
    entry->expires_ms.reset();
    call.keys.Touch(call.key());
  }
  call.out.Integer(had_expiry ? 1 : 0);
}

void PExpire(Call& call) {
  if (call.args.size() > 3) {
    call.out.Error(fmt::format("ERR Unsupported option {}", call.arg(3)));
    return;
  }
  const std::optional<int64_t> expires_ms = ExpiryOf(call, 2, 1, false);
  if (!expires_ms) {
    return;
  }
  Entry* const entry = call.keys.Find(call.key());
  if (entry == nullptr) {
    call.out.Integer(0);
    return;
  }
  if (*expires_ms <= call.keys.now_ms()) {
    call.keys.Remove(call.key());
  } else {
    entry->expires_ms = expires_ms;
    call.keys.Touch(call.key());
  }
  call.out.Integer(1);
}

void PTtl(Call& call) {
  const Entry* const entry = call.keys.Find(call.key());
  if (entry == nullptr) {
    call.out.Integer(-2);
  } else {
    call.out.Integer(entry->expires_ms ? *entry->expires_ms - call.keys.now_ms() : -1);
  }
}

void Type(Call& call) {
  const Entry* const entry = call.keys.Find(call.key());
  call.out.Status(entry != nullptr ? entry->type() : "none");
}

void Keys(Call& call) {
  std::vector<std::string> keys = call.keys.Keys();
  std::erase_if(keys, [&call](const std::string& key) {
    return ::fnmatch(call.arg(1).c_str(), key.c_str(), 0) != 0;
  });
  call.out.Array(keys.size());
  for (const std::string& key : keys) {
    call.out.Bulk(key);
  }
}

}  // namespace klatch::sim::commands
