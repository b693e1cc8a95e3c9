#include "tests/interleave/world.h"

#include <cassert>
#include <cstdio>
#include <memory>
#include <utility>

namespace klatch::interleave {
namespace {

constexpr size_t kStackBytes = size_t{256} << 10;

// Stacks and locations outlive the worlds, of which there are many.
char* StackOf(size_t thread) {
  static const auto stacks = std::make_unique<char[]>(kThreads * kStackBytes);
  return stacks.get() + thread * kStackBytes;
}

Locations& TheLocations() {
  static Locations locations;
  return locations;
}

const char* NameOf(std::memory_order order) {
  switch (order) {
    case std::memory_order_relaxed:
      return "relaxed";
    case std::memory_order_acquire:
      return "acquire";
    case std::memory_order_release:
      return "release";
    case std::memory_order_acq_rel:
      return "acq_rel";
    default:
      return "seq_cst";
  }
}

}  // namespace

void World::PrepareContext(ucontext_t& context, char* stack) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = kStackBytes;
  context.uc_link = nullptr;
  makecontext(&context, &World::RunFiber, 0);
}

World::World(Schedule& schedule, bool is_told)
    : schedule_(schedule), is_told_(is_told), memory_(schedule, TheLocations()) {
  assert(now_ == nullptr);
  now_ = this;
  memory_.clock(0).Tick(0);
}

World::~World() { now_ = nullptr; }

void World::Together(std::vector<std::function<void()>> threads) {
  assert(IsMain() && threads.size() < kThreads);
  for (size_t i = 1; i <= threads.size(); ++i) {
    Fiber& fiber = fibers_[i];
    fiber.function = std::move(threads[i - 1]);
    fiber.state = State::kReady;
    memory_.clock(i).Join(memory_.clock(0));
    memory_.clock(i).Tick(i);
    PrepareContext(fiber.context, StackOf(i));
  }
  memory_.clock(0).Tick(0);
  Switch();
  if (IsOver()) {
    if (is_told_) {
      std::printf("found: %s\n", finding().c_str());
    }
    throw Found();
  }
  for (size_t i = 1; i <= threads.size(); ++i) {
    memory_.clock(0).Join(memory_.clock(i));
  }
}

void World::RunFiber() {
  World& world = Now();
  Fiber& fiber = world.fibers_[world.current_];
  fiber.function();
  fiber.function = nullptr;
  fiber.state = State::kEnded;
  world.Switch();
}

void World::Check(bool holds, const char* what) {
  if (!holds && !IsOver()) {
    memory_.Find(what);
    LeaveIfFound();
  }
}

void World::Switch() {
  ready_.clear();
  bool has_sleeper = false;
  for (size_t i = 1; i < kThreads; ++i) {
    if (fibers_[i].state == State::kReady) {
      ready_.push_back(i);
    }
    has_sleeper = has_sleeper || fibers_[i].state == State::kSleeps;
  }
  if (ready_.empty() && has_sleeper) {
    memory_.Find("somebody sleeps and nobody is left to wake them");
  }
  SwitchTo(ready_.empty() || IsOver() ? 0 : schedule_.NextThread(ready_, current_));
}

void World::SwitchTo(size_t thread) {
  if (thread != current_) {
    ucontext_t& from = fibers_[current_].context;
    current_ = thread;
    swapcontext(&from, &fibers_[thread].context);
  }
}

void World::LeaveIfFound() {
  if (IsOver() && !IsMain()) {
    SwitchTo(0);
  }
}

void World::TakeTurn() {
  if (IsMain()) {
    return;
  }
  fibers_[current_].reads_untouched = false;
  if (++steps_ > kStepsMax) {
    memory_.Find("it doesn't come to an end");
  }
  Switch();
}

void World::SleepAt(const void* at) {
  // The scenario's function acts alone: nobody could wake it.
  if (IsMain()) {
    memory_.Find("the scenario's function sleeps");
    return;
  }
  fibers_[current_].state = State::kSleeps;
  fibers_[current_].sleeps_at = at;
  Switch();
}

void World::WakeThoseAt(const void* at) {
  for (Fiber& fiber : fibers_) {
    if (fiber.state == State::kSleeps && fiber.sleeps_at == at) {
      fiber.state = State::kReady;
    }
  }
}

void World::Tell(const char* what, const void* at, uint64_t value, std::memory_order order) const {
  if (is_told_) {
    std::printf("%6zu thread %zu %s %s #%zu: %#llx\n", steps_, current_, what, NameOf(order),
                memory_.NumberOf(at), static_cast<unsigned long long>(value));
  }
}

void World::BeginAtomic(const void* at, uint64_t value) {
  if (!IsOver()) {
    memory_.BeginAtomic(current_, at, value);
  }
}

void World::BeginPlain(const void* at) {
  if (!IsOver()) {
    memory_.BeginPlain(current_, at);
  }
}

void World::End(const void* at) {
  if (!IsOver()) {
    memory_.End(current_, at);
    LeaveIfFound();
  }
}

uint64_t World::Load(const void* at, uint64_t newest, std::memory_order order) {
  if (IsOver()) {
    return newest;
  }
  bool& reads_untouched = fibers_[current_].reads_untouched;
  if (!schedule_.SkipsUntouched() || !reads_untouched || !memory_.IsUntouched(at)) {
    TakeTurn();
    reads_untouched = memory_.IsUntouched(at);
  }
  // Behind the turn: `newest` counts only for what nobody has touched yet.
  const uint64_t value = memory_.Load(current_, at, newest, order);
  Tell("load", at, value, order);
  LeaveIfFound();
  return value;
}

void World::Store(const void* at, uint64_t newest, uint64_t value, std::memory_order order) {
  if (!IsOver()) {
    TakeTurn();
    memory_.Store(current_, at, newest, value, order);
    Tell("store", at, value, order);
    LeaveIfFound();
  }
}

bool World::CompareExchange(const void* at, uint64_t newest, uint64_t& expected, uint64_t desired,
                            std::memory_order success, std::memory_order failure) {
  if (IsOver()) {
    return true;
  }
  TakeTurn();
  const bool has_exchanged =
      memory_.CompareExchange(current_, at, newest, expected, desired, success, failure);
  Tell(has_exchanged ? "exchange" : "no exchange", at, has_exchanged ? desired : expected,
       has_exchanged ? success : failure);
  LeaveIfFound();
  return has_exchanged;
}

void World::ReadPlain(const void* at) {
  if (!IsOver()) {
    memory_.ReadPlain(current_, at);
    LeaveIfFound();
  }
}

void World::WritePlain(const void* at) {
  if (!IsOver()) {
    memory_.WritePlain(current_, at);
    LeaveIfFound();
  }
}

void World::Lock(const void* mutex) {
  if (IsOver()) {
    return;
  }
  TakeTurn();
  while (mutexes_[mutex].is_held) {
    SleepAt(mutex);
    if (IsOver()) {
      return;
    }
  }
  MutexState& state = mutexes_[mutex];
  state.is_held = true;
  memory_.clock(current_).Join(state.released);
}

void World::Unlock(const void* mutex) {
  if (IsOver()) {
    return;
  }
  TakeTurn();
  MutexState& state = mutexes_[mutex];
  state.is_held = false;
  state.released = memory_.clock(current_);
  WakeThoseAt(mutex);
}

void World::Wait(const void* word, uint64_t newest, uint64_t expected) {
  if (IsOver()) {
    return;
  }
  TakeTurn();
  if (memory_.LoadKnowing(wakes_[word], current_, word, newest) == expected) {
    Tell("sleep", word, expected, std::memory_order_relaxed);
    SleepAt(word);
  }
}

void World::WakeAll(const void* word) {
  if (!IsOver()) {
    TakeTurn();
    wakes_[word].Join(memory_.clock(current_));
    WakeThoseAt(word);
  }
}

}  // namespace klatch::interleave
