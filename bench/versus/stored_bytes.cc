#include "bench/versus/stored_bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bench/load/oracle/redis_checker.h"

namespace klatch::versus {
namespace {

constexpr uint64_t kSampleEvery = 20;
constexpr std::string_view kBodies = "update";
constexpr std::string_view kTimelines = "timeline";

struct Kind {
  uint64_t keys = 0;
  uint64_t sampled = 0;
  double sampled_bytes = 0;

  double bytes() const {
    return sampled == 0 ? 0
                        : sampled_bytes / static_cast<double>(sampled) * static_cast<double>(keys);
  }
};

using Kinds = std::map<std::string, Kind, std::less<>>;

// Calls `look` with each page of keys.
absl::Status ForEachPage(redis::Connection& connection,
                         const std::function<absl::Status(redis::ReplyView keys)>& look) {
  std::string cursor = "0";
  do {
    KLATCH_ASSIGN_OR_RETURN(const redis::Reply page,
                            connection.Call({"SCAN", cursor, "COUNT", "1000"}));
    cursor = page[0].text();
    KLATCH_RETURN_IF_ERROR(look(page[1]));
  } while (cursor != "0");
  return absl::OkStatus();
}

absl::Status Sample(redis::Connection& connection, redis::ReplyView keys, Kinds& kinds) {
  std::vector<redis::Command> commands;
  std::vector<Kind*> sampled;
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string_view key = keys[i].text();
    Kind& kind = kinds[std::string(KindOfKey(key))];
    if (kind.keys++ % kSampleEvery == 0) {
      commands.push_back({"MEMORY", "USAGE", std::string(key)});
      sampled.push_back(&kind);
    }
  }
  KLATCH_ASSIGN_OR_RETURN(const auto replies, connection.CallAll(commands));
  for (size_t i = 0; i < replies.size(); ++i) {
    ++sampled[i]->sampled;
    sampled[i]->sampled_bytes += static_cast<double>(replies[i].integer());
  }
  return absl::OkStatus();
}

absl::StatusOr<Kinds> Walk(redis::Connection& connection) {
  Kinds kinds;
  KLATCH_RETURN_IF_ERROR(ForEachPage(
      connection, [&](redis::ReplyView keys) { return Sample(connection, keys, kinds); }));
  return kinds;
}

std::string LargestKinds(const Kinds& kinds, double entries) {
  std::vector<std::pair<double, std::string>> sizes;
  for (const auto& [name, kind] : kinds) {
    if (name != kBodies) {
      sizes.emplace_back(kind.bytes() / entries, name);
    }
  }
  std::ranges::sort(sizes, std::greater<>());
  std::string text = "of these";
  for (size_t i = 0; i < std::min<size_t>(8, sizes.size()); ++i) {
    text += fmt::format("{} {} {:.2f}", i == 0 ? "" : ",", sizes[i].second, sizes[i].first);
  }
  return text;
}

}  // namespace

std::string_view KindOfKey(std::string_view key) {
  const size_t tag = key.find("}:");
  if (tag == std::string_view::npos) {
    return "";
  }
  const std::string_view rest = key.substr(tag + 2);
  return rest.substr(0, rest.find(':'));
}

absl::Status CheckFull(const RedisHost& redis, uint64_t persons, uint32_t cap) {
  KLATCH_ASSIGN_OR_RETURN(const auto connection, redis.Connect());
  uint64_t timelines = 0;
  size_t fewest = SIZE_MAX;
  KLATCH_RETURN_IF_ERROR(ForEachPage(*connection, [&](redis::ReplyView keys) -> absl::Status {
    std::vector<redis::Command> commands;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (KindOfKey(keys[i].text()) == kTimelines && timelines++ % kSampleEvery == 0) {
        commands.push_back({"GET", std::string(keys[i].text())});
      }
    }
    KLATCH_ASSIGN_OR_RETURN(const auto rings, connection->CallAll(commands));
    for (const redis::Reply& ring : rings) {
      fewest = std::min(fewest, load::IdsOfRing(ring.text()).size());
    }
    return absl::OkStatus();
  }));
  return timelines == persons && fewest >= cap
             ? absl::OkStatus()
             : base::Error(absl::StatusCode::kInternal,
                           fmt::format("{} of {} timelines are stored, the shortest seen has {} of "
                                       "{} entries",
                                       timelines, persons, timelines == 0 ? 0 : fewest, cap));
}

absl::StatusOr<Figure> StoredBytesPerEntry(const RedisHost& redis, uint64_t entries) {
  KLATCH_ASSIGN_OR_RETURN(const auto connection, redis.Connect());
  KLATCH_ASSIGN_OR_RETURN(const double used, redis.Info("memory", "used_memory"));
  KLATCH_ASSIGN_OR_RETURN(const double at_start, redis.Info("memory", "used_memory_startup"));
  KLATCH_ASSIGN_OR_RETURN(const Kinds kinds, Walk(*connection));
  const auto bodies = kinds.find(kBodies);
  const double body_bytes = bodies == kinds.end() ? 0 : bodies->second.bytes();
  Figure figure;
  figure.key = "redis_bytes_per_entry";
  figure.value = (used - at_start - body_bytes) / static_cast<double>(entries);
  figure.sides = {{"Redis's memory", used - at_start, "bytes"},
                  {"of it bodies", body_bytes, "bytes"},
                  {"entries of full timelines", static_cast<double>(entries), "entries"}};
  figure.notes = {LargestKinds(kinds, static_cast<double>(entries))};
  return figure;
}

}  // namespace klatch::versus
