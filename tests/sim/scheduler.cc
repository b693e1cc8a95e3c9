#include "tests/sim/scheduler.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/base/hash.h"

namespace klatch::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

// What a turn takes.
constexpr int64_t kTurnUsMax = 60;
// More turns than any run needs: something goes round in circles.
constexpr uint64_t kTurnsMax = 50'000'000;

}  // namespace

Scheduler::Scheduler(uint64_t seed) : random_(seed) {
  actors_.push_back(std::make_unique<Actor>());
  actors_.front()->name = "main";
  living_.push_back(kMain);
}

Scheduler::~Scheduler() {
  if (!is_finishing_) {
    Finish();
  }
}

Scheduler::Id Scheduler::Spawn(std::string name, std::function<void()> body) {
  const Id id = actors_.size();
  actors_.push_back(std::make_unique<Actor>());
  living_.push_back(id);
  Actor& actor = *actors_.back();
  actor.name = std::move(name);
  actor.body = std::move(body);
  actor.thread = std::thread([this, &actor] {
    actor.turn.Await();
    actor.body();
    actor.has_ended = true;
    HandOver(Choose());
  });
  return id;
}

void Scheduler::SleepFor(nanoseconds time) {
  const Id self = current_;
  clock_.Advance(microseconds(random_.Between(1, kTurnUsMax)));
  actors_[self]->wakes = clock_.now() + (is_finishing_ ? nanoseconds(0) : time);
  const Id next = Choose();
  if (next != self) {
    Actor& own = *actors_[self];  // others may be added as soon as it is another's turn
    HandOver(next);
    own.turn.Await();
  }
}

bool Scheduler::WaitUntil(const std::function<bool()>& holds, nanoseconds limit,
                          nanoseconds between) {
  const nanoseconds end = clock_.now() + limit;
  while (!holds()) {
    if (clock_.now() >= end || is_finishing_) {
      return false;
    }
    SleepFor(between);
  }
  return true;
}

Scheduler::Id Scheduler::Choose() {
  if (++turns_ > kTurnsMax) {
    std::fputs("sim: too many turns\n", stderr);
    std::abort();
  }
  nanoseconds first = nanoseconds::max();
  awake_.clear();
  std::erase_if(living_, [this](Id id) { return actors_[id]->has_ended; });
  for (const Id id : living_) {
    const Actor& actor = *actors_[id];
    if (actor.is_frozen) {
      continue;
    }
    first = std::min(first, actor.wakes);
    if (actor.wakes <= clock_.now()) {
      awake_.push_back(id);
    }
  }
  if (awake_.empty()) {
    clock_.Advance(first - clock_.now());
    for (const Id id : living_) {
      const Actor& actor = *actors_[id];
      if (!actor.is_frozen && actor.wakes <= clock_.now()) {
        awake_.push_back(id);
      }
    }
  }
  return awake_[random_.Below(awake_.size())];
}

void Scheduler::HandOver(Id next) {
  current_ = next;
  actors_[next]->turn.Give();
}

void Scheduler::Finish() {
  is_finishing_ = true;
  for (const auto& actor : actors_) {
    actor->is_frozen = false;
  }
  const auto have_ended = [this] {
    return std::ranges::all_of(actors_.begin() + 1, actors_.end(),
                               [](const auto& actor) { return actor->has_ended; });
  };
  while (!have_ended()) {
    Yield();
  }
  for (const auto& actor : actors_) {
    if (actor->thread.joinable()) {
      actor->thread.join();
    }
  }
}

void Scheduler::Note(std::string_view what) {
  trace_ = trace_ * 0x9e3779b97f4a7c15 + base::StableHash64(what);
}

}  // namespace klatch::sim
