#include <string>

#include "tests/sim/fake_redis_commands.h"

namespace klatch::sim::commands {
namespace {

void AnswerField(const Hash* hash, const std::string& field, RespWriter& out) {
  if (hash != nullptr) {
    if (const auto value = hash->find(field); value != hash->end()) {
      out.Bulk(value->second);
      return;
    }
  }
  out.Nil();
}

}  // namespace

void HSet(Call& call) {
  if (call.args.size() % 2 != 0) {
    call.out.Error("ERR wrong number of arguments for 'hset' command");
    return;
  }
  const auto found = call.Find<Hash>(call.key());
  if (!found.is_right) {
    return;
  }
  Hash& hash = call.Make(found);
  int64_t added = 0;
  for (size_t i = 2; i < call.args.size(); i += 2) {
    added += hash.insert_or_assign(call.arg(i), call.arg(i + 1)).second ? 1 : 0;
  }
  call.keys.Touch(call.key());
  call.out.Integer(added);
}

void HSetNx(Call& call) {
  const auto found = call.Find<Hash>(call.key());
  if (!found.is_right) {
    return;
  }
  const bool is_new = call.Make(found).try_emplace(call.arg(2), call.arg(3)).second;
  if (is_new) {
    call.keys.Touch(call.key());
  }
  call.out.Integer(is_new ? 1 : 0);
}

void HDel(Call& call) {
  const auto found = call.Find<Hash>(call.key());
  if (!found.is_right) {
    return;
  }
  int64_t removed = 0;
  for (size_t i = 2; found.value != nullptr && i < call.args.size(); ++i) {
    removed += static_cast<int64_t>(found.value->erase(call.arg(i)));
  }
  call.Removed(found, removed);
}

void HGet(Call& call) {
  const auto found = call.Find<Hash>(call.key());
  if (found.is_right) {
    AnswerField(found.value, call.arg(2), call.out);
  }
}

void HMGet(Call& call) {
  const auto found = call.Find<Hash>(call.key());
  if (!found.is_right) {
    return;
  }
  call.out.Array(call.args.size() - 2);
  for (size_t i = 2; i < call.args.size(); ++i) {
    AnswerField(found.value, call.arg(i), call.out);
  }
}

void HGetAll(Call& call) {
  const auto found = call.Find<Hash>(call.key());
  if (!found.is_right) {
    return;
  }
  call.out.Array(found.value != nullptr ? 2 * found.value->size() : 0);
  if (found.value != nullptr) {
    for (const auto& [field, value] : *found.value) {
      call.out.Bulk(field);
      call.out.Bulk(value);
    }
  }
}

void HKeys(Call& call) {
  const auto found = call.Find<Hash>(call.key());
  if (!found.is_right) {
    return;
  }
  call.out.Array(found.value != nullptr ? found.value->size() : 0);
  if (found.value != nullptr) {
    for (const auto& [field, value] : *found.value) {
      call.out.Bulk(field);
    }
  }
}

void HLen(Call& call) {
  const auto found = call.Find<Hash>(call.key());
  if (found.is_right) {
    call.out.Integer(found.value != nullptr ? static_cast<int64_t>(found.value->size()) : 0);
  }
}

void HExists(Call& call) {
  const auto found = call.Find<Hash>(call.key());
  if (found.is_right) {
    call.out.Integer(found.value != nullptr && found.value->contains(call.arg(2)) ? 1 : 0);
  }
}

void HScan(Call& call) {
  const std::optional<uint64_t> cursor = ScanCursor(call);
  if (!cursor) {
    return;
  }
  const auto found = call.Find<Hash>(call.key());
  if (found.value == nullptr) {
    if (found.is_right) {
      AnswerEmptyScan(call);
    }
    return;
  }
  std::vector<std::string_view> names;
  for (const auto& [field, value] : *found.value) {
    names.push_back(field);
  }
  const std::optional<ScanPage> page = Scan(call, *cursor, names);
  if (!page) {
    return;
  }
  call.out.Array(2);
  call.out.Bulk(std::to_string(page->next));
  call.out.Array(2 * page->names.size());
  for (const std::string_view name : page->names) {
    call.out.Bulk(name);
    call.out.Bulk(found.value->at(std::string(name)));
  }
}

}  // namespace klatch::sim::commands
