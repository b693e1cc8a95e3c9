#pragma once
// One execution of a scenario: its threads, whose every step waits for its turn, upon a model of
// memory.
//
//   Ring ring(2);                                     // in a scenario's function, see explore.h
//   world.Together({[&] { ring.Append(1); }, [&] { world.Check(ring.IsWhole(), "torn"); }});
//
// Thread safety: all threads of an execution are fibers of one real thread, which take turns where
// they touch an atomic, a mutex or a futex; there is one world at a time in the process, because an
// atomic has no room to name one.
// Bound: kThreads - 1 threads at a time, kStepsMax steps.
// When something is found, the fibers are left where they stand, Together throws, and whatever the
// scenario still does goes past the model; what they hold leaks.

#include <ucontext.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/interleave/memory.h"
#include "tests/interleave/schedule.h"

namespace klatch::interleave {

// What Together throws; World::finding() says what it was.
struct Found {};

class World {
 public:
  static constexpr size_t kStepsMax = 200'000;

  // `is_told`: prints every step.
  explicit World(Schedule& schedule, bool is_told = false);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // The one that lives. REQUIRES: one does.
  static World& Now() { return *now_; }

  // Runs these at once, until all have ended. What was before happens before them, and they happen
  // before what is after. REQUIRES: called by the scenario's function itself; at most kThreads - 1.
  void Together(std::vector<std::function<void()>> threads);

  // What must hold. Any thread; from one of Together's it doesn't return if it doesn't hold.
  void Check(bool holds, const char* what);

  // Empty: nothing was found.
  const std::string& finding() const { return memory_.finding(); }
  size_t steps() const { return steps_; }

  // Below: what the model's atomics, fields, mutexes and futexes do (shadow/).

  void BeginAtomic(const void* at, uint64_t value);
  void BeginPlain(const void* at);
  void End(const void* at);
  // `newest` is the value that was stored last.
  uint64_t Load(const void* at, uint64_t newest, std::memory_order order);
  void Store(const void* at, uint64_t newest, uint64_t value, std::memory_order order);
  bool CompareExchange(const void* at, uint64_t newest, uint64_t& expected, uint64_t desired,
                       std::memory_order success, std::memory_order failure);
  template <typename F>
  uint64_t ReadModifyWrite(const void* at, uint64_t newest, F value, std::memory_order order) {
    if (IsOver()) {
      return newest;
    }
    TakeTurn();
    const uint64_t read = memory_.ReadModifyWrite(current_, at, newest, value, order);
    Tell("read-modify-write", at, value(read), order);
    LeaveIfFound();
    return read;
  }
  void ReadPlain(const void* at);
  void WritePlain(const void* at);

  void Lock(const void* mutex);
  void Unlock(const void* mutex);
  // Sleeps while the word is `expected`, until a wake. The comparison may read as old a value as a
  // relaxed load, but none from before the last wake.
  void Wait(const void* word, uint64_t newest, uint64_t expected);
  void WakeAll(const void* word);

 private:
  enum class State { kReady, kSleeps, kEnded };
  struct Fiber {
    ucontext_t context{};
    std::function<void()> function;
    State state = State::kEnded;
    const void* sleeps_at = nullptr;
    bool reads_untouched = false;  // its last step was a load of what nobody had stored to
  };
  struct MutexState {
    bool is_held = false;
    Clock released;
  };

  static void PrepareContext(ucontext_t& context, char* stack);
  static void RunFiber();

  bool IsOver() const { return !memory_.finding().empty(); }
  bool IsMain() const { return current_ == 0; }
  void TakeTurn();
  void SleepAt(const void* at);
  void WakeThoseAt(const void* at);
  // Hands over to the next that is ready, or to the scenario if all have ended or something was
  // found.
  void Switch();
  void SwitchTo(size_t thread);
  void LeaveIfFound();
  void Tell(const char* what, const void* at, uint64_t value, std::memory_order order) const;

  static inline World* now_ = nullptr;

  Schedule& schedule_;
  const bool is_told_;
  Memory memory_;
  std::array<Fiber, kThreads> fibers_;  // [0] is the scenario's function
  size_t current_ = 0;
  size_t steps_ = 0;
  std::vector<size_t> ready_;
  std::unordered_map<const void*, MutexState> mutexes_;
  std::unordered_map<const void*, Clock> wakes_;
};

}  // namespace klatch::interleave
