#include "bench/load/oracle/violations.h"

#include <fmt/format.h>

#include "bench/load/plan/random.h"

namespace klatch::load {
namespace {

constexpr std::array<std::string_view, kViolationKinds> kNames = {"lost", "duplicated", "leaked"};
constexpr std::array<std::string_view, kSurfaces> kSurfaceNames = {
    "home timeline", "group timeline", "profile timeline", "single update",   "watch",
    "resumed watch", "Redis",          "home over HTTP",   "answer to a post"};

}  // namespace

std::string_view NameOf(Surface surface) { return kSurfaceNames[static_cast<size_t>(surface)]; }

bool Violations::Pairs::Take(uint64_t pair) {
  if (seen.size() < kPairsMax && !seen.insert(pair).second) {
    return false;
  }
  ++count;
  return true;
}

void Violations::Add(Violation kind, Surface surface, PersonNumber person, uint64_t update,
                     std::string_view when) {
  std::lock_guard lock(mutex_);
  const auto index = static_cast<size_t>(kind);
  const uint64_t pair = Mix(update) ^ person;
  by_surface_[index][static_cast<size_t>(surface)].Take(pair);
  if (pairs_[index].Take(pair)) {
    AddExample(fmt::format("{}: update {} for {} ({}{}{})", kNames[index], update,
                           graph_.person(person), NameOf(surface), when.empty() ? "" : " ", when));
  }
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

uint64_t Violations::Count(Violation kind, Surface surface) const {
  std::lock_guard lock(mutex_);
  return by_surface_[static_cast<size_t>(kind)][static_cast<size_t>(surface)].count;
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
