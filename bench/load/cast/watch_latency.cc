#include "bench/load/cast/watch_latency.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <unordered_set>

namespace klatch::load {
namespace {

struct Arrival {
  uint64_t update = 0;
  PersonNumber person = 0;
  std::chrono::steady_clock::time_point moment;
};

// Of each pair the first, by update.
std::vector<Arrival> FirstArrivals(const std::vector<WatchLog>& logs) {
  std::vector<Arrival> arrivals;
  for (const WatchLog& log : logs) {
    for (const WatchNote& note : log.notes) {
      if (note.kind == WatchNote::Kind::kPublished) {
        arrivals.push_back({note.update, note.person, note.arrived});
      }
    }
  }
  std::sort(arrivals.begin(), arrivals.end(), [](const Arrival& a, const Arrival& b) {
    return std::tie(a.update, a.person, a.moment) < std::tie(b.update, b.person, b.moment);
  });
  const auto same_pair = [](const Arrival& a, const Arrival& b) {
    return a.update == b.update && a.person == b.person;
  };
  arrivals.erase(std::unique(arrivals.begin(), arrivals.end(), same_pair), arrivals.end());
  return arrivals;
}

// By group: whether each of its members is watched.
std::vector<bool> WhollyWatched(const Graph& graph, const std::vector<WatchLog>& logs) {
  std::unordered_set<PersonNumber> watched;
  for (const WatchLog& log : logs) {
    watched.insert(log.persons.begin(), log.persons.end());
  }
  std::vector<bool> wholly(graph.group_count());
  for (GroupNumber group = 0; group < graph.group_count(); ++group) {
    const auto& members = graph.group(group).members;
    wholly[group] = std::all_of(members.begin(), members.end(),
                                [&](PersonNumber member) { return watched.contains(member); });
  }
  return wholly;
}

}  // namespace

void MeasureWatches(const Graph& graph, const Model& model, const std::vector<WatchLog>& logs,
                    Latencies& latencies) {
  const std::vector<Arrival> arrivals = FirstArrivals(logs);
  const std::vector<bool> wholly = WhollyWatched(graph, logs);
  for (size_t begin = 0, end = 0; begin < arrivals.size(); begin = end) {
    const PostRecord* post = model.Find(arrivals[begin].update);
    auto last = arrivals[begin].moment;
    for (end = begin; end < arrivals.size() && arrivals[end].update == arrivals[begin].update;
         ++end) {
      last = std::max(last, arrivals[end].moment);
      if (post != nullptr) {
        latencies.watch.Record(arrivals[end].moment - post->sent);
      }
    }
    if (post != nullptr && !post->is_several() && wholly[post->group]) {
      latencies.last_member.Record(last - post->sent);
    }
  }
  for (const WatchLog& log : logs) {
    for (const std::chrono::nanoseconds time : log.resume_times) {
      latencies.resume.Record(time);
    }
  }
}

}  // namespace klatch::load
