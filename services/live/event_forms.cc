#include "services/live/event_forms.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "services/accept/update_message.h"

namespace klatch {

EventForm& EventForms::Of(const WatchedEvent& event) {
  const Key key(event.position.value(), event.kind, event.update.value(), event.group.value());
  const auto [found, is_new] = forms_.try_emplace(key);
  if (is_new) {
    LookUp(event, found->second);
  }
  return found->second;
}

void EventForms::LookUp(const WatchedEvent& event, EventForm& form) const {
  std::optional<std::shared_ptr<const Body>> body = shelf_.Find(event.update);
  if (!body || (*body != nullptr && IsOlderThan(event, **body))) {
    return;
  }
  form.body = *std::move(body);
  // Workers don't tell of imported ones; of a timeline that is read for a resume they are a part.
  const bool is_silent =
      form.body == nullptr ? event.kind != WatchedEvent::Kind::kTakenOut
                           : event.kind == WatchedEvent::Kind::kPublished && IsImported(*form.body);
  form.state = is_silent ? EventForm::State::kSilent : EventForm::State::kSaid;
}

bool EventForms::IsOlderThan(const WatchedEvent& event, const Body& body) const {
  if (event.kind != WatchedEvent::Kind::kPublished || event.position == event.update) {
    return false;
  }
  const std::vector<Target>& targets = body.header().targets;
  const auto target = std::ranges::find(targets, groups_.At(event.group).id, &Target::group);
  return target != targets.end() && !target->carry.is_decided();
}

}  // namespace klatch
