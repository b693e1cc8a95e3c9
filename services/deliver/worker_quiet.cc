// Persons who read no more get no copies: what of it they still want when they are back is in the
// feeds of their groups.
//
//   copies ──(has not read for quiet_after)──▶ none: quiet_since = now, reads ask all feeds
//     ▲                                          │ (reads, or is watched)
//     └──(rebuilt from the feeds)── copies, but reads ask the feeds still ◀┘
//
// The worker decides all of it, between two records. quiet_since is set before the first copy is left
// out, and taken back when everything that was left out is stored.

#include <algorithm>

#include "services/deliver/worker.h"

namespace klatch {
namespace {

// Persons looked at in one step (each a cache miss), and how long after it the next one is due.
constexpr uint32_t kLooksPerStep = 1'024;
constexpr std::chrono::milliseconds kStepGap{10};
// The longest between two looks at all persons.
constexpr std::chrono::milliseconds kPassGap{600'000};

int64_t Nanoseconds(base::MonotonicTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

}  // namespace

void Worker::NoteSeen(const Person& person) {
  person.seen_ns.store(Nanoseconds(d_.clock.Monotonic()), std::memory_order_relaxed);
}

void Worker::SetQuiet(uint32_t person, bool is_quiet) {
  if (IsQuiet(person) == is_quiet) {
    return;
  }
  if (person / 64 >= quiet_bits_.size()) {
    quiet_bits_.resize(person / 64 + 1);
  }
  quiet_bits_[person / 64] ^= uint64_t{1} << person % 64;
  quiet_count_ += is_quiet ? 1 : -1;
  quiet_.store(quiet_count_, std::memory_order_relaxed);
}

void Worker::RestoreQuiet(std::string_view id, uint64_t since) {
  Person* person = persons_.Find(id);
  if (person != nullptr) {
    person->quiet_since.store(since, std::memory_order_release);
    SetQuiet(person->index, true);
  }
}

void Worker::FallQuiet(Person& person) {
  // To the millisecond: ids of all shards from here on may lack.
  uint64_t since = UINT64_MAX;
  for (const Position position : applied_) {
    since = std::min(since, Position(position.ms(), ShardIndex(0), 0).value());
  }
  // Not rebuilt yet since the last time: older ones may lack.
  const uint64_t before = person.quiet_since.load(std::memory_order_relaxed);
  since = std::max<uint64_t>(before == 0 ? since : std::min(before, since), 1);
  person.is_woken.store(false, std::memory_order_relaxed);
  // Release, and the Progress of the first record that is not copied behind it: who has noted that
  // record as applied sees this.
  person.quiet_since.store(since, std::memory_order_release);
  SetQuiet(person.index, true);
  dirty_.quiet.push_back({person.index, since});
}

void Worker::WakeUp(uint32_t index) {
  Person& person = persons_.At(index);
  NoteSeen(person);
  if (!IsQuiet(index)) {
    return;
  }
  SetQuiet(index, false);
  const uint64_t since = person.quiet_since.load(std::memory_order_relaxed);
  // Memory lacks what was left out: once it is stored, pages ask there.
  person.home->RaiseFloor(left_out_max_);
  AskForRebuild(index, since);
  dirty_.quiet.push_back({index, 0});
}

void Worker::LookForQuiet() {
  if (d_.quiet_after == std::chrono::milliseconds(0)) {
    return;
  }
  const base::MonotonicTime now = d_.clock.Monotonic();
  if (now < look_due_) {
    return;
  }
  const int64_t limit = Nanoseconds(now - d_.quiet_after);
  const uint32_t end = std::min(next_look_ + kLooksPerStep, persons_.size());
  for (uint32_t index = next_look_; index < end; ++index) {
    Person& person = persons_.At(index);
    if (tap_.IsWatched(index)) {
      NoteSeen(person);
    } else if (person.seen_ns.load(std::memory_order_relaxed) <= limit && !IsQuiet(index)) {
      FallQuiet(person);
    }
  }
  const bool is_over = end == persons_.size();
  next_look_ = is_over ? 0 : end;
  look_due_ = now + (is_over ? std::clamp(d_.quiet_after / 8, kStepGap, kPassGap) : kStepGap);
}

}  // namespace klatch
