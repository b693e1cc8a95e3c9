// The part of HistoryWorld about updates.

#include <algorithm>
#include <set>
#include <utility>

#include "tests/integration/history_world.h"

namespace klatch::testing {
namespace {

using grpc::StatusCode;

constexpr size_t kAcceptedMax = 60;

v1::Audience SomeAudience(Random& random) { return static_cast<v1::Audience>(random.Below(3)); }

}  // namespace

HistoryWorld::Draft HistoryWorld::NewDraft(PersonNumber author, std::vector<GroupNumber> groups) {
  Draft draft;
  draft.author = author;
  draft.groups = std::move(groups);
  draft.request.set_request_id(NewRequestId());
  SetActor(draft.request, author);
  v1::Update& update = *draft.request.mutable_update();
  update.set_text(fmt::format("t{}", ++texts_));
  update.set_audience(SomeAudience(random_));
  for (const GroupNumber group : draft.groups) {
    update.add_groups(names_.Of(group));
  }
  return draft;
}

// Now and then it answers something, which its author may see or not.
void HistoryWorld::MayAnswer(Draft& draft) {
  if (random_.Chance(15)) {
    draft.request.mutable_update()->set_reply_to(AnyUpdate());
  }
}

void HistoryWorld::FindOutcome(Draft& draft) const {
  const uint64_t answered = draft.request.update().reply_to();
  if (answered != 0 && !model_.See(draft.author, *model_.Find(answered), Surface::kSingle)) {
    draft.expected = StatusCode::NOT_FOUND;
    return;
  }
  if (draft.groups.empty()) {
    draft.expected = StatusCode::FAILED_PRECONDITION;
    return;
  }
  draft.expected = model_.WhyNotPost(draft.author, draft.groups.front());
  for (const GroupNumber group : draft.groups) {
    if (model_.WhyNotPost(draft.author, group) == StatusCode::OK) {
      draft.expected = StatusCode::OK;
    }
  }
}

std::vector<GroupNumber> HistoryWorld::SomeGroupsToPost(PersonNumber author, size_t count_max) {
  const std::vector<GroupNumber> able = model_.WherePosts(author);
  std::vector<GroupNumber> groups;
  const size_t count = 1 + random_.Below(count_max);
  for (size_t i = 0; i < count; ++i) {
    const GroupNumber group = able.empty() || random_.Chance(15) ? AnyGroup() : random_.Pick(able);
    if (std::ranges::count(groups, group) == 0) {
      groups.push_back(group);
    }
  }
  return groups;
}

std::string HistoryWorld::Describe(const Draft& draft) const {
  std::string groups;
  for (const GroupNumber group : draft.groups) {
    groups += fmt::format(" g{}", IndexOf(group));
  }
  return fmt::format("p{} posts {} to{}{}, audience {}", IndexOf(draft.author),
                     draft.request.update().text(), draft.request.all_my_groups() ? " all:" : "",
                     groups, static_cast<int>(draft.request.update().audience()));
}

void HistoryWorld::Send(const Draft& draft) {
  ++posts_;
  const auto answer = caller_.Call(&v1::FeedService::Stub::PublishUpdate, draft.request);
  if (Check(Describe(draft), answer.status, draft.expected)) {
    Settle(draft, answer.response);
  }
}

void HistoryWorld::Settle(const Draft& draft, const v1::PublishUpdateResponse& response) {
  std::vector<Taking> takings;
  NotePost(draft, response, takings);
  Take(std::move(takings));
  const uint64_t dice = random_.Below(100);
  if (dice < 6) {
    Repeat({draft.request, response.update_id()});
  } else if (dice < 9) {
    RepeatOtherwise({draft.request, response.update_id()});
  }
}

void HistoryWorld::NotePost(const Draft& draft, const v1::PublishUpdateResponse& response,
                            std::vector<Taking>& takings) {
  tokens_.Add(response.tokens());
  findings_.Note(fmt::format("  is {}", response.update_id()));
  if (model_.Find(response.update_id()) != nullptr) {
    findings_.Report(fmt::format("two posts are {}", response.update_id()));
    return;
  }
  const v1::Update& update = draft.request.update();
  model_.Post({.id = response.update_id(),
               .author = draft.author,
               .is_several = draft.is_several(),
               .texts = {update.text()},
               .reply_to = update.reply_to(),
               .carries = {},
               .removed = {}});
  if (!draft.is_several()) {
    takings.push_back(
        {response.update_id(), response.update_id(), draft.groups.front(), update.audience()});
  } else {
    CompareResults(draft, response);
    // Where their number differs, that is reported.
    const size_t results =
        std::min(draft.groups.size(), static_cast<size_t>(response.groups_size()));
    for (size_t i = 0; i < results; ++i) {
      const v1::GroupResult& result = response.groups(static_cast<int>(i));
      if (!result.has_error()) {
        takings.push_back(
            {result.position(), response.update_id(), draft.groups[i], update.audience()});
      }
    }
  }
  accepted_.push_back({draft.request, response.update_id()});
  if (accepted_.size() > kAcceptedMax) {
    accepted_.erase(accepted_.begin());
  }
}

// Updates of one batch may come to a group in any order: that of their positions there.
void HistoryWorld::Take(std::vector<Taking> takings) {
  std::ranges::sort(takings, {}, &Taking::position);
  for (const Taking& taking : takings) {
    model_.Take(taking.id, taking.group, taking.asked);
  }
}

void HistoryWorld::CompareResults(const Draft& draft, const v1::PublishUpdateResponse& response) {
  if (response.groups_size() != static_cast<int>(draft.groups.size())) {
    findings_.Report(fmt::format("{} has {} results", Describe(draft), response.groups_size()));
    return;
  }
  for (size_t i = 0; i < draft.groups.size(); ++i) {
    const v1::GroupResult& result = response.groups(static_cast<int>(i));
    const StatusCode expected = model_.WhyNotPost(draft.author, draft.groups[i]);
    if (result.group() != names_.Of(draft.groups[i]) || result.error().code() != expected ||
        (result.position() == 0) == (expected == StatusCode::OK)) {
      findings_.Report(fmt::format("{}: g{} answers {}, not {}", Describe(draft),
                                   IndexOf(draft.groups[i]), result.ShortDebugString(),
                                   CodeName(expected)));
    }
  }
}

void HistoryWorld::Repeat(const Accepted& accepted) {
  const auto answer = caller_.Call(&v1::FeedService::Stub::PublishUpdate, accepted.request);
  const std::string what = fmt::format("repeats {}", accepted.id);
  if (Check(what, answer.status, StatusCode::OK) && answer.response.update_id() != accepted.id) {
    findings_.Report(fmt::format("{}: is {}", what, answer.response.update_id()));
  }
}

void HistoryWorld::RepeatOtherwise(const Accepted& accepted) {
  v1::PublishUpdateRequest request = accepted.request;
  request.mutable_update()->set_text(request.update().text() + "'");
  const auto answer = caller_.Call(&v1::FeedService::Stub::PublishUpdate, request);
  Check(fmt::format("repeats {} with another text", accepted.id), answer.status,
        StatusCode::ALREADY_EXISTS);
}

void HistoryWorld::Post() {
  const PersonNumber author = AnyPerson();
  Draft draft = NewDraft(author, SomeGroupsToPost(author, 1));
  MayAnswer(draft);
  FindOutcome(draft);
  Send(draft);
}

void HistoryWorld::PostToSeveral() {
  const PersonNumber author = AnyPerson();
  Draft draft = NewDraft(author, SomeGroupsToPost(author, 5));
  MayAnswer(draft);
  FindOutcome(draft);
  Send(draft);
}

void HistoryWorld::PostToAll() {
  const PersonNumber author = AnyPerson();
  Draft draft = NewDraft(author, {});
  draft.request.set_all_my_groups(true);
  draft.groups = model_.WherePosts(author);
  std::ranges::sort(draft.groups, {}, [this](GroupNumber group) { return names_.Of(group); });
  FindOutcome(draft);
  Send(draft);
}

void HistoryWorld::PostBatch() {
  std::vector<Draft> drafts(2 + random_.Below(4));
  v1::BatchPublishUpdatesRequest request;
  std::string what = "a batch:";
  for (Draft& draft : drafts) {
    const PersonNumber author = AnyPerson();
    draft = NewDraft(author, SomeGroupsToPost(author, random_.Chance(70) ? 1 : 3));
    MayAnswer(draft);
    FindOutcome(draft);
    *request.add_requests() = draft.request;
    what += " " + Describe(draft) + ";";
  }
  posts_ += drafts.size();
  // What is unknown of some is found out by all of it again.
  Answer<v1::BatchPublishUpdatesResponse> answer;
  bool is_undecided = false;
  do {
    answer = caller_.Call(&v1::FeedService::Stub::BatchPublishUpdates, request);
    is_undecided = std::ranges::any_of(answer.response.results(), [](const auto& result) {
      return Caller::IsUndecided(
          grpc::Status(static_cast<StatusCode>(result.error().code()), result.error().message()));
    });
  } while (answer.ok() && is_undecided);
  if (Check(what, answer.status, StatusCode::OK)) {
    SettleAll(drafts, answer.response);
  }
}

void HistoryWorld::SettleAll(const std::vector<Draft>& drafts,
                             const v1::BatchPublishUpdatesResponse& response) {
  std::vector<Taking> takings;
  for (size_t i = 0; i < drafts.size(); ++i) {
    const v1::BatchPublishResult& result = response.results(static_cast<int>(i));
    const auto code = static_cast<StatusCode>(result.error().code());
    if (code != drafts[i].expected) {
      findings_.Report(fmt::format("{}: {}, expected {}", Describe(drafts[i]), CodeName(code),
                                   CodeName(drafts[i].expected)));
    } else if (result.has_published()) {
      NotePost(drafts[i], result.published(), takings);
    } else {
      ++counts_.refused;
    }
  }
  Take(std::move(takings));
}

void HistoryWorld::RepeatEarlier() {
  if (accepted_.empty()) {
    return Post();
  }
  const Accepted accepted = random_.Pick(accepted_);
  if (random_.Chance(70)) {
    Repeat(accepted);
  } else {
    RepeatOtherwise(accepted);
  }
}

void HistoryWorld::Edit() {
  const uint64_t id = AnyUpdate();
  if (id == 0) {
    return Post();
  }
  const ModelUpdate& update = *model_.Find(id);
  const PersonNumber actor = random_.Chance(85) ? update.author : AnyPerson();
  v1::EditUpdateRequest request;
  SetActor(request, actor);
  request.set_update_id(id);
  const bool changes_audience = random_.Chance(30);
  if (changes_audience) {
    request.mutable_update()->set_audience(static_cast<v1::Audience>(1 + random_.Below(2)));
  }
  if (!changes_audience || random_.Chance(50)) {
    request.mutable_update()->set_text(fmt::format("t{}", ++texts_));
  }
  const StatusCode expected = model_.WhyNotEdit(actor, id);
  const auto answer = caller_.Call(&v1::FeedService::Stub::EditUpdate, request);
  const std::string what =
      fmt::format("p{} edits {}: \"{}\", audience {}", IndexOf(actor), id, request.update().text(),
                  static_cast<int>(request.update().audience()));
  if (!Check(what, answer.status, expected)) {
    return;
  }
  is_in_force_ = true;
  tokens_.Add(answer.response.tokens());
  const uint32_t revision = answer.response.update().revision();
  // Of an edit that was sent twice both may have happened.
  const uint32_t revision_max = update.revision() + static_cast<uint32_t>(caller_.tries());
  if (!model_.Has(Fault::kForgetsEdits) &&
      (revision <= update.revision() || revision > revision_max)) {
    findings_.Report(fmt::format("{}: revision {} behind {}", what, revision, update.revision()));
    return;
  }
  model_.Edit(id, request.update().text(), request.update().audience(), revision);
}

void HistoryWorld::Delete() {
  const uint64_t id = AnyUpdate();
  if (id == 0) {
    return Post();
  }
  const PersonNumber author = model_.Find(id)->author;
  const PersonNumber actor = random_.Chance(50) ? author : AnyPerson();
  v1::DeleteUpdateRequest request;
  SetActor(request, actor);
  request.set_update_id(id);
  const StatusCode expected = model_.WhyNotDelete(actor, id);
  auto answer = caller_.Call(&v1::FeedService::Stub::DeleteUpdate, request);
  const std::string what =
      fmt::format("p{} deletes {} of p{}", IndexOf(actor), id, IndexOf(author));
  if (expected == StatusCode::OK && caller_.was_repeated() &&
      answer.status.error_code() == StatusCode::NOT_FOUND) {
    answer.status = grpc::Status::OK;  // an earlier try has done it
  }
  if (Check(what, answer.status, expected)) {
    is_in_force_ = true;
    tokens_.Add(answer.response.tokens());
    model_.Delete(actor, id);
  }
}

}  // namespace klatch::testing
