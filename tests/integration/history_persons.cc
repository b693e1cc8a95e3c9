// The part of HistoryWorld about what persons decide for themselves.

#include "tests/integration/history_world.h"

namespace klatch::testing {

using grpc::StatusCode;

void HistoryWorld::Block() {
  const PersonNumber actor = AnyPerson();
  const PersonNumber person = AnyPerson();
  v1::BlockPersonRequest request;
  SetActor(request, actor);
  request.set_person(names_.Of(person));
  const auto answer = caller_.Call(&v1::PersonService::Stub::BlockPerson, request);
  if (Check(fmt::format("p{} blocks p{}", IndexOf(actor), IndexOf(person)), answer.status,
            actor == person ? StatusCode::INVALID_ARGUMENT : StatusCode::OK)) {
    is_in_force_ = true;
    model_.At(actor).blocked.set(IndexOf(person));
  }
}

void HistoryWorld::Unblock() {
  const PersonNumber actor = AnyPerson();
  PersonNumber person = AnyPerson();
  for (size_t i = 0; i < model_.person_count(); ++i) {
    if (model_.At(actor).blocked[i] && random_.Chance(70)) {
      person = PersonNumber(i);
    }
  }
  if (actor == person) {
    return Unhide();
  }
  v1::UnblockPersonRequest request;
  SetActor(request, actor);
  request.set_person(names_.Of(person));
  const auto answer = caller_.Call(&v1::PersonService::Stub::UnblockPerson, request);
  if (Check(fmt::format("p{} unblocks p{}", IndexOf(actor), IndexOf(person)), answer.status,
            StatusCode::OK)) {
    model_.At(actor).blocked.reset(IndexOf(person));
  }
}

// Or takes it back, if it stands.
void HistoryWorld::MutePerson() {
  const PersonNumber actor = AnyPerson();
  const PersonNumber person = AnyPerson();
  if (actor == person) {
    return MuteGroup();
  }
  auto& muted = model_.At(actor).muted_persons;
  const bool mutes = !muted[IndexOf(person)];
  v1::MutePersonRequest mute;
  SetActor(mute, actor);
  mute.set_person(names_.Of(person));
  v1::UnmutePersonRequest unmute;
  SetActor(unmute, actor);
  unmute.set_person(names_.Of(person));
  const grpc::Status status =
      mutes ? caller_.Call(&v1::PersonService::Stub::MutePerson, mute).status
            : caller_.Call(&v1::PersonService::Stub::UnmutePerson, unmute).status;
  if (Check(fmt::format("p{} {}mutes p{}", IndexOf(actor), mutes ? "" : "un", IndexOf(person)),
            status, StatusCode::OK)) {
    is_in_force_ = true;
    muted.set(IndexOf(person), mutes);
  }
}

void HistoryWorld::MuteGroup() {
  const PersonNumber actor = AnyPerson();
  const GroupNumber group = AnyGroup();
  auto& muted = model_.At(actor).muted_groups;
  const bool mutes = !muted[IndexOf(group)];
  v1::MuteGroupRequest mute;
  SetActor(mute, actor);
  mute.set_group(names_.Of(group));
  v1::UnmuteGroupRequest unmute;
  SetActor(unmute, actor);
  unmute.set_group(names_.Of(group));
  const grpc::Status status =
      mutes ? caller_.Call(&v1::PersonService::Stub::MuteGroup, mute).status
            : caller_.Call(&v1::PersonService::Stub::UnmuteGroup, unmute).status;
  if (Check(fmt::format("p{} {}mutes g{}", IndexOf(actor), mutes ? "" : "un", IndexOf(group)),
            status, StatusCode::OK)) {
    is_in_force_ = true;
    muted.set(IndexOf(group), mutes);
  }
}

void HistoryWorld::Hide() {
  const uint64_t id = AnyUpdate();
  if (id == 0) {
    return MuteGroup();
  }
  const PersonNumber actor = AnyPerson();
  v1::HideUpdateRequest request;
  SetActor(request, actor);
  request.set_update_id(id);
  const StatusCode expected = model_.WhyNotHide(actor, id);
  const auto answer = caller_.Call(&v1::PersonService::Stub::HideUpdate, request);
  if (Check(fmt::format("p{} hides {}", IndexOf(actor), id), answer.status, expected)) {
    is_in_force_ = true;
    model_.At(actor).hidden.insert(id);
  }
}

void HistoryWorld::Unhide() {
  const PersonNumber actor = AnyPerson();
  auto& hidden = model_.At(actor).hidden;
  if (hidden.empty()) {
    return Hide();
  }
  const uint64_t id =
      *std::next(hidden.begin(), static_cast<ptrdiff_t>(random_.Below(hidden.size())));
  v1::UnhideUpdateRequest request;
  SetActor(request, actor);
  request.set_update_id(id);
  const auto answer = caller_.Call(&v1::PersonService::Stub::UnhideUpdate, request);
  if (Check(fmt::format("p{} unhides {}", IndexOf(actor), id), answer.status, StatusCode::OK)) {
    hidden.erase(id);
  }
}

void HistoryWorld::SetMarker() {
  const PersonNumber actor = AnyPerson();
  const std::vector<GroupNumber> groups = GroupsOf(actor, v1::ROLE_READER);
  const bool is_home = groups.empty() || random_.Chance(60);
  const GroupNumber group = is_home ? GroupNumber(0) : random_.Pick(groups);
  const bool is_now = random_.Chance(40);
  const uint64_t id = AnyUpdate();
  if (!is_now && id == 0) {
    return MuteGroup();
  }
  v1::SetReadMarkerRequest request;
  SetActor(request, actor);
  is_home ? request.set_home(true) : request.set_group(names_.Of(group));
  is_now ? request.set_now(true) : request.set_update_id(id);
  *request.mutable_tokens() = tokens_.Get();
  const auto answer = caller_.Call(&v1::PersonService::Stub::SetReadMarker, request);
  const std::string what = fmt::format("p{} reads {} up to {}", IndexOf(actor),
                                       is_home ? "home" : fmt::format("g{}", IndexOf(group)),
                                       is_now ? "now" : std::to_string(id));
  if (!Check(what, answer.status, StatusCode::OK)) {
    return;
  }
  const uint64_t marker = answer.response.marker().update_id();
  ModelPerson& person = model_.At(actor);
  uint64_t& known = is_home ? person.read_home : person.read_groups[IndexOf(group)];
  uint64_t lowest = std::max(known, id);
  if (is_now) {
    // Of what is on the timeline, be it visible or not, the newest. A joiner's past may not be there yet.
    lowest = known;
    const auto sights = is_home ? model_.Home(actor) : model_.GroupPage(actor, group);
    for (const Sight& sight : sights) {
      lowest = std::max(lowest, sight.was_member ? sight.update->id : 0);
    }
  }
  const uint64_t highest =
      is_now && !model_.updates().empty() ? model_.updates().rbegin()->first : lowest;
  if (marker < lowest || marker > std::max(highest, known)) {
    findings_.Report(fmt::format("{}: the marker is {}, not {} to {}", what, marker, lowest,
                                 std::max(highest, known)));
  }
  if (!model_.Has(Fault::kForgetsMarkers)) {
    known = marker;
  }
}

void HistoryWorld::ChangeProfile() {
  const PersonNumber actor = AnyPerson();
  v1::UpdateProfileRequest request;
  SetActor(request, actor);
  if (random_.Chance(70)) {
    request.mutable_profile()->set_display_name(fmt::format("n{}", random_.Below(100)));
    request.mutable_update_mask()->add_paths("display_name");
  }
  if (request.update_mask().paths().empty() || random_.Chance(40)) {
    request.mutable_profile()->set_bio(fmt::format("b{}", random_.Below(100)));
    request.mutable_update_mask()->add_paths("bio");
  }
  const auto answer = caller_.Call(&v1::PersonService::Stub::UpdateProfile, request);
  if (!Check(fmt::format("p{} is {}", IndexOf(actor), request.profile().ShortDebugString()),
             answer.status, StatusCode::OK)) {
    return;
  }
  ModelPerson& person = model_.At(actor);
  person.has_profile = true;
  for (const std::string& path : request.update_mask().paths()) {
    (path == "bio" ? person.bio : person.display_name) =
        path == "bio" ? request.profile().bio() : request.profile().display_name();
  }
}

}  // namespace klatch::testing
