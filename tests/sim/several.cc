// Posts to several groups: some callers go away in the midst, and what they leave is finished by the sweeper.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/hash.h"
#include "services/accept/carrier.h"
#include "services/model/body.h"
#include "tests/sim/world.h"

namespace klatch::sim {
namespace {

using std::chrono::milliseconds;
using Carries = absl::StatusOr<std::vector<Carry>>;

std::string BodyOf(std::string_view author, const std::vector<GroupId>& groups,
                   std::string_view text) {
  klatch::v1::Update update;
  update.set_text(std::string(text));
  BodyHeader header;
  header.author = PersonId(author);
  for (const GroupId& group : groups) {
    header.targets.push_back({group, Carry{}});
  }
  return EncodeBody(header, update.SerializeAsString());
}

// As the call does that posts. Keeps the core until it ends.
base::Task<Carries> Finish(std::shared_ptr<Core> core, UpdateId id, BodyHeader header,
                           std::string request_id) {
  Carrier carrier(core->appender());
  SettleCommand settling;
  settling.author = header.author;
  settling.request_id = std::move(request_id);
  auto finishing = carrier.Finish(id, std::move(header), std::move(settling),
                                  Carrier::Ask::kUndecided, AckClass::kUsual);
  co_return co_await std::move(finishing);
}

}  // namespace

void World::PostToSeveral(size_t client) {
  Random& random = scheduler_.random();
  const std::string key = fmt::format("{}-{}", client, next_key_++);
  Post& post = posts_[key];
  const uint64_t first = random.Below(kGroups);
  const uint64_t count = 2 + random.Below(kGroups - 1);
  for (uint64_t i = 0; i < count; ++i) {
    post.groups.emplace_back(GroupName((first + i) % kGroups));
  }
  while (!scheduler_.finishing() && !TryPostToSeveral(key, post)) {
    scheduler_.SleepFor(milliseconds(random.Between(1, 60)));
  }
}

bool World::TryPostToSeveral(const std::string& key, Post& post) {
  constexpr uint64_t kGoesAwayOneIn = 3;
  const auto core = AwaitServing();
  if (core == nullptr) {
    return true;
  }
  PublishSeveralCommand command;
  command.actor = PersonId(kOwner);
  command.request_id = key;
  command.payload_digest = base::PayloadDigest(key);
  command.body = BodyOf(kOwner, post.groups, key);
  std::optional<Body> body = Body::Decode(command.body);
  const auto published = Await(core->appender().PublishSeveral(std::move(command)));
  if (!published || !published->ok()) {
    return published && IsLastWord(published->status(), key);
  }
  if ((*published)->replayed) {
    body = (*published)->stored;
  }
  if (!body || scheduler_.random().OneIn(kGoesAwayOneIn)) {
    return true;
  }
  const UpdateId id = (*published)->id;
  const auto carries = Await(Finish(core, id, body->header(), key));
  if (!carries || !carries->ok()) {
    return carries && IsLastWord(carries->status(), key);
  }
  if (std::ranges::all_of(**carries, &Carry::is_carried)) {
    post.ids.insert(id.value());
    return true;
  }
  return IsLastWord(absl::NotFoundError("a group has not taken it"), key);
}

bool World::HasPending() const {
  for (uint32_t shard = 0; shard < layout_.shard_count; ++shard) {
    const auto found = redis_.fake().data().find(keys_.Pending(ShardIndex(shard)));
    if (found != redis_.fake().data().end()) {
      return true;
    }
  }
  return false;
}

}  // namespace klatch::sim
