#pragma once
// What a Redis holds, as far as calls of clients can change it: to show that a refused call has
// changed nothing, and that a killed node has lost nothing.
//
// Thread safety: functions without state.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/redis/connection.h"
#include "klatch/v1/log_record.pb.h"

namespace klatch::testing {

// Key → DUMP, or, of a log, its records. Left out is what moves by itself: leases, checkpoints,
// ticks.
using Contents = std::map<std::string, std::string>;

inline std::vector<std::string> KeysOf(redis::Connection& redis) {
  std::vector<std::string> keys;
  const auto reply = redis.Call({"KEYS", "*"});
  EXPECT_TRUE(reply.ok()) << reply.status();
  for (size_t i = 0; reply.ok() && i < reply->size(); ++i) {
    keys.emplace_back((*reply)[i].text());
  }
  return keys;
}

// Every record but ticks, each with its position.
inline std::string RecordsOf(redis::ReplyView entries) {
  std::string records;
  for (size_t i = 0; i < entries.size(); ++i) {
    v1::LogRecord record;
    const std::string_view bytes = entries[i][1][1].text();
    if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
        !record.has_tick()) {
      records.append(entries[i][0].text()).append(bytes);
    }
  }
  return records;
}

inline Contents ContentsOf(redis::Connection& redis) {
  std::vector<std::string> keys;
  std::vector<redis::Command> commands;
  for (std::string& key : KeysOf(redis)) {
    if (key.ends_with(":checkpoint") || key.ends_with(":lease")) {
      continue;
    }
    if (key.ends_with(":log")) {
      commands.push_back({"XRANGE", key, "-", "+"});
    } else {
      commands.push_back({"DUMP", key});
    }
    keys.push_back(std::move(key));
  }
  const auto replies = redis.CallAll(commands);
  EXPECT_TRUE(replies.ok()) << replies.status();
  Contents contents;
  for (size_t i = 0; replies.ok() && i < keys.size(); ++i) {
    const redis::ReplyView reply = (*replies)[i].view();
    contents[keys[i]] = reply.is_array() ? RecordsOf(reply) : std::string(reply.text());
  }
  // A log that holds nothing but ticks is as good as none.
  std::erase_if(contents, [](const auto& item) { return item.second.empty(); });
  return contents;
}

// The keys in which two differ; empty: they are the same.
inline std::vector<std::string> Differences(const Contents& one, const Contents& other) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : one) {
    const auto found = other.find(key);
    if (found == other.end() || found->second != value) {
      keys.push_back(key);
    }
  }
  for (const auto& [key, value] : other) {
    if (!one.contains(key)) {
      keys.push_back(key);
    }
  }
  return keys;
}

}  // namespace klatch::testing
