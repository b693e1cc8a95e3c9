#include "bench/versus/stored_bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace klatch::versus {
namespace {

constexpr uint64_t kSampleEvery = 20;
constexpr std::string_view kBodies = "update";

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

absl::Status Sample(redis::Connection& connection, const redis::Reply& page, Kinds& kinds) {
  std::vector<redis::Command> commands;
  std::vector<Kind*> sampled;
  for (size_t i = 0; i < page[1].size(); ++i) {
    const std::string_view key = page[1][i].text();
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
  std::string cursor = "0";
  do {
    KLATCH_ASSIGN_OR_RETURN(const redis::Reply page,
                            connection.Call({"SCAN", cursor, "COUNT", "1000"}));
    cursor = page[0].text();
    KLATCH_RETURN_IF_ERROR(Sample(connection, page, kinds));
  } while (cursor != "0");
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
  for (size_t i = 0; i < std::min<size_t>(4, sizes.size()); ++i) {
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
