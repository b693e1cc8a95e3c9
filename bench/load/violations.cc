#include "bench/load/violations.h"

#include <fmt/format.h>

#include "bench/load/random.h"

namespace klatch::load {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"lost", "duplicated", "leaked"};

}  // namespace

void Violations::Add(Violation kind, PersonNumber person, uint64_t update, std::string_view where) {
  std::lock_guard lock(mutex_);
  Pairs& pairs = pairs_[static_cast<size_t>(kind)];
  uint64_t pair = Mix(update) ^ person;
  if (pairs.seen.size() < kPairsMax && !pairs.seen.insert(pair).second) {
    return;
  }
  ++pairs.count;
  AddExample(fmt::format("{}: update {} for {} ({})", kNames[static_cast<size_t>(kind)], update,
                         graph_.person(person), where));
}

void Violations::AddOther(std::string what) {
  std::lock_guard lock(mutex_);
  ++other_count_;
  AddExample(std::move(what));
}

void Violations::AddExample(std::string text) {
  if (examples_.size() < kExamplesMax) {
    examples_.push_back(std::move(text));
  }
}

uint64_t Violations::Count(Violation kind) const {
  std::lock_guard lock(mutex_);
  return pairs_[static_cast<size_t>(kind)].count;
}

uint64_t Violations::other_count() const {
  std::lock_guard lock(mutex_);
  return other_count_;
}

std::vector<std::string> Violations::Examples() const {
  std::lock_guard lock(mutex_);
  return examples_;
}

}  // namespace klatch::load
