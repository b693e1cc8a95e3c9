#pragma once
// People who watch their home timelines, and what they are told: over one stream of a gateway, or each
// over a connection of their own.
//
//   auto watches = WatchOneByOne(target, persons);
//   watches->AwaitBegun(…);  … posts …  watches->told()
//
// Thread safety: told, gaps and failed from any thread; everything else by one. Listeners are called
// from the threads that read. Destroying ends the watches.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "klatch/v1/feed_service.pb.h"

namespace klatch::versus {

class Watches {
 public:
  // Called with each published update and to how many of the watched it came.
  using Listener = std::function<void(const klatch::v1::Update&, uint64_t persons)>;

  virtual ~Watches() = default;
  Watches(const Watches&) = delete;
  Watches& operator=(const Watches&) = delete;

  // False: not everybody is watched within `limit`.
  bool AwaitBegun(std::chrono::milliseconds limit) const;

  // Pairs of a person and an update that have been shown.
  uint64_t told() const { return told_.load(std::memory_order_relaxed); }
  // Places where something may be missing.
  uint64_t gaps() const { return gaps_.load(std::memory_order_relaxed); }
  // A stream has ended.
  bool failed() const { return failed_.load(std::memory_order_relaxed); }

 protected:
  Watches(uint64_t expected, Listener listener)
      : expected_(expected), listener_(std::move(listener)) {}
  // One event, which came to so many of the watched.
  void Take(const klatch::v1::WatchEvent& event, uint64_t persons);

  const uint64_t expected_;
  const Listener listener_;  // may be empty
  // Counters; they publish nothing, relaxed.
  std::atomic<uint64_t> begun_{0};
  std::atomic<uint64_t> told_{0};
  std::atomic<uint64_t> gaps_{0};
  std::atomic<bool> failed_{false};
};

// All on one stream, WatchHomeTimelines.
std::unique_ptr<Watches> WatchOnOneStream(const std::string& target,
                                          const std::vector<std::string>& persons,
                                          Watches::Listener listener = nullptr);
// WatchHomeTimeline on a connection each.
std::unique_ptr<Watches> WatchOneByOne(const std::string& target,
                                       const std::vector<std::string>& persons);

}  // namespace klatch::versus
