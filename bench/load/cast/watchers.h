#pragma once
// Those who watch while others post: a number of persons over a few gateways' streams, a few with a
// stream of their own. Every other stream is dropped now and then and goes on from its last token.
// Behind every gap the persons whom it may concern read a page.
//
// Use: Begin, before the first post; Drops() while the load lasts; AwaitCaughtUp and Judge when it is
// drained; Stop ends the streams. One thread; its own threads read the streams and the pages.
// Bound: as many persons as asked for; pages behind gaps wait in a queue of those.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/load/cast/player.h"
#include "bench/load/cast/watch_stream.h"
#include "bench/load/oracle/watch_judge.h"
#include "common/base/status.h"

namespace klatch::load {

class Watchers {
 public:
  struct Options {
    Client::Options client;
    // All members of so many seeded groups, but for the quiet; of them it can be said when a post has
    // reached the last.
    uint32_t groups = 0;
    // And so many besides: the persons of quarrels first, then seeded ones.
    uint32_t persons = 0;
    uint32_t gateways = 4;
    uint64_t seed = 0;
  };

  Watchers(const Stage& stage, const Options& options);
  ~Watchers();
  Watchers(const Watchers&) = delete;
  Watchers& operator=(const Watchers&) = delete;

  // DEADLINE_EXCEEDED: somebody is not watched within `timeout`.
  absl::Status Begin(std::chrono::milliseconds timeout);

  // How often a stream is to be dropped over the load.
  uint64_t drops() const { return dropped_.size() * kDropsPerStream; }
  // By a thread of its own: a task of `pace` is one drop.
  void Drop(Pace& pace);

  // Breaks every connection at once.
  void DropAll();

  // After the drain: until nothing is missing, or `timeout`. Then tells what went wrong.
  WatchResult Judge(const Model& model, std::chrono::milliseconds timeout);
  void Stop();

 private:
  static constexpr uint64_t kDropsPerStream = 3;

  struct PageToRead {
    WatchStream* stream = nullptr;
    PersonNumber person = 0;
    uint64_t since = 0;
    std::chrono::steady_clock::time_point due = {};  // not before
  };

  static std::vector<PersonNumber> Choose(const Stage& stage, const Options& options);
  void AddStream(WatchStream::Kind kind, std::vector<PersonNumber> persons);
  void ReadPages();
  // Whether it has told all: a page may say that it has a hole, which is being mended.
  bool ReadPage(const PageToRead& page);
  bool AwaitPages(std::chrono::milliseconds timeout);
  std::vector<WatchLog> Logs() const;

  const Stage stage_;
  const Options options_;
  Client client_;  // of ReadPages, and of Begin before that
  std::vector<std::unique_ptr<WatchStream>> streams_;
  std::vector<WatchStream*> dropped_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::deque<PageToRead> pages_;
  bool reading_ = false;
  bool stopping_ = false;

  std::vector<std::thread> threads_;
};

}  // namespace klatch::load
