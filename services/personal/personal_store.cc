#include "services/personal/personal_store.h"

#include <utility>

namespace klatch {

const PersonalState* PersonalStore::Find(std::string_view person,
                                         const lockfree::EpochReclaimer::Guard& guard) const {
  const Entry* entry = table_.Find(person);
  return entry == nullptr ? nullptr : entry->state.Load(guard);
}

const PersonalState* PersonalStore::Find(std::string_view person, Place& place,
                                         const lockfree::EpochReclaimer::Guard& guard) const {
  if (place.entry_ == nullptr) {
    // Before the search, which finds what was added until then.
    const uint32_t size = table_.size();
    if (place.absent_among_ == size) {
      return nullptr;
    }
    place.entry_ = table_.Find(person);
    place.absent_among_ = size;
  }
  return place.entry_ == nullptr ? nullptr : place.entry_->state.Load(guard);
}

bool PersonalStore::IsBlockedBetween(const PersonId& viewer, const PersonId& other) const {
  const lockfree::EpochReclaimer::Guard guard(epochs_);
  const PersonalState* state = Find(viewer.value(), guard);
  return state != nullptr && state->HasBlockWith(other.value());
}

bool PersonalStore::Admit(const PersonId& person) {
  const std::lock_guard lock(mutex_);
  return table_.Find(person.value()) != nullptr ||
         table_.Insert(std::make_unique<Entry>(person.value())) != nullptr;
}

PersonalState PersonalStore::Current(const PersonId& person) const {
  const Entry* entry = table_.Find(person.value());
  const PersonalState* state = entry == nullptr ? nullptr : entry->state.Own();
  return state == nullptr ? PersonalState() : *state;
}

void PersonalStore::Publish(const PersonId& person, PersonalState state) {
  Entry* entry = table_.Find(person.value());
  if (entry == nullptr) {
    return;
  }
  if (!state.empty()) {
    entry->state.Replace(std::make_unique<const PersonalState>(std::move(state)), epochs_);
  } else if (entry->state.Own() != nullptr) {
    entry->state.Replace(nullptr, epochs_);
  }
  // States can be large, and the reclaimer looks by itself only after a thousand.
  epochs_.TryReclaim();
}

}  // namespace klatch
