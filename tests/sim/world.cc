#include "tests/sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/hash.h"
#include "common/base/task.h"
#include "services/model/body.h"

namespace klatch::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr size_t kClients = 3;
constexpr size_t kPersons = 36;
constexpr size_t kTimelineMax = 800;
constexpr seconds kLife{15};             // while things befall them
constexpr seconds kSettleMax{180};       // until everybody is well again
constexpr milliseconds kLogKept{1'000};  // where nodes trim
constexpr int64_t kRatePpmMax = 50'000;

Layout SmallLayout() {
  Layout layout;
  layout.name = "sim";
  layout.shard_count = 3;
  layout.partition_count = 4;
  return layout;
}

std::string PersonName(uint64_t number) { return fmt::format("person-{}", number); }
std::string BodyOf(std::string_view author, const GroupId& group, std::string_view text) {
  klatch::v1::Update update;
  update.set_text(std::string(text));
  update.add_groups(group.value());
  BodyHeader header;
  header.author = PersonId(author);
  header.group = group;
  return EncodeBody(header, update.SerializeAsString());
}

}  // namespace

bool Promises::may_lose() const {
  if (fails_over && ack == AckClass::kLocal) {
    return true;
  }
  return restarts && disk != SimRedis::Disk::kAlways;
}

bool World::IsLastWord(const absl::Status& status, std::string_view of) {
  if (absl::IsUnavailable(status)) {
    return false;
  }
  if (!promises_.may_lose() || !(absl::IsNotFound(status) || absl::IsPermissionDenied(status) ||
                                 absl::IsFailedPrecondition(status))) {
    Violate(fmt::format("{}: {}", of, status.ToString()));
  }
  has_lost_groups_ = has_lost_groups_ || absl::IsNotFound(status);
  return true;
}

std::string Promises::ToString() const {
  return fmt::format("disk {}, answers {}{}{}",
                     disk == SimRedis::Disk::kAlways ? "always" : "every second",
                     ack == AckClass::kLocal        ? "local"
                     : ack == AckClass::kReplicated ? "replicated"
                                                    : "strict",
                     fails_over ? ", fails over" : "", restarts ? ", restarts" : "");
}

std::string Rates::ToString() const {
  return redis == 0 && nodes[0] == 0
             ? ""
             : fmt::format(", clocks {:+} {:+} {:+} ppm", redis, nodes[0], nodes[1]);
}

std::string World::GroupName(uint64_t number) { return fmt::format("group-{}", number); }

World::World(uint64_t seed)
    : scheduler_(seed),
      promises_(ChoosePromises()),
      rates_(ChooseRates()),
      posts_to_several_(ChooseOneIn(2)),
      trims_(ChooseTrims()),
      redis_clock_(scheduler_.clock(), rates_.redis),
      node_clocks_{MachineClock(scheduler_.clock(), rates_.nodes[0]),
                   MachineClock(scheduler_.clock(), rates_.nodes[1])},
      terms_(ChooseTerms()),
      layout_(SmallLayout()),
      keys_(layout_),
      redis_(scheduler_, redis_clock_, promises_.disk) {
  redis_.on_trim = [this](const Data& data, const std::string& log, StreamId last) {
    CheckTrim(data, log, last);
  };
}

World::~World() { scheduler_.Finish(); }

Promises World::ChoosePromises() {
  constexpr auto kAlways = SimRedis::Disk::kAlways;
  constexpr auto kEverySecond = SimRedis::Disk::kEverySecond;
  switch (scheduler_.random().Below(5)) {
    case 0:
      return {.disk = kAlways, .ack = AckClass::kLocal, .restarts = true};
    case 1:
      return {.disk = kEverySecond, .ack = AckClass::kLocal, .restarts = true};
    case 2:
      return {.disk = kEverySecond, .ack = AckClass::kReplicated, .fails_over = true};
    case 3:
      return {.disk = kEverySecond, .ack = AckClass::kLocal, .fails_over = true, .restarts = true};
    default:
      return {.disk = kAlways, .ack = AckClass::kStrict, .fails_over = true, .restarts = true};
  }
}

// As far apart as leases bear (a tenth of their duration), in half of the worlds.
Rates World::ChooseRates() {
  Random& random = scheduler_.random();
  if (random.OneIn(2)) {
    return {};
  }
  const int64_t first = random.OneIn(2) ? kRatePpmMax : -kRatePpmMax;
  return {.redis = random.Between(-2 * kRatePpmMax, 2 * kRatePpmMax), .nodes = {first, -first}};
}

Trims World::ChooseTrims() {
  switch (scheduler_.random().Below(4)) {
    case 0:
      return Trims::kJanitor;
    case 1:
      return Trims::kCuts;
    default:
      return Trims::kNever;
  }
}

std::map<std::string, World::Terms> World::ChooseTerms() {
  constexpr uint32_t kLast = 5;
  constexpr Terms kChoices[] = {
      {History::kNone, 0, AudienceRule::kMembersAtPosting},
      {History::kAll, 0, AudienceRule::kMembersNow},
      {History::kLast, kLast, AudienceRule::kMembersNow},
      {History::kAll, 0, AudienceRule::kMembersAtPosting},
  };
  std::map<std::string, Terms> terms;
  for (uint64_t i = 0; i < kGroups; ++i) {
    terms[GroupName(i)] = kChoices[scheduler_.random().Below(std::size(kChoices))];
  }
  return terms;
}

void World::Violate(std::string what) {
  if (verdict_.violations.size() < Verdict::kViolationsMax) {
    verdict_.violations.push_back(std::move(what));
  }
}

std::shared_ptr<NodeMemory> World::NewMemory() const {
  auto memory = std::make_shared<NodeMemory>(layout_);
  memory->has_seen_replicas = true;  // there is one, as Sentinels would say
  return memory;
}

void World::StartProcess(size_t which) {
  auto process = std::make_unique<Process>();
  process->name = which == 0 ? "a" : "b";
  process->clock = &node_clocks_[which];
  process->memory = NewMemory();
  Process& started = *process;
  processes_.push_back(std::move(process));
  started.actor =
      scheduler_.Spawn("process " + started.name, [this, &started] { RunProcess(started); });
}

void World::RunProcess(Process& process) {
  while (!scheduler_.finishing()) {
    Core::Options options{.ack = promises_.ack, .janitor = std::nullopt};
    if (trims_ != Trims::kNever) {
      options.janitor = Janitor::Options{.kept = kLogKept, .pause = kLogKept};
    }
    process.core = std::make_shared<Core>(scheduler_, *process.clock, redis_, layout_, process.name,
                                          std::move(options), process.memory);
    cores_.push_back(process.core);
    absl::Status status = process.core->Start();
    if (status.ok()) {
      ++verdict_.loads;
      scheduler_.Note("serves");
      process.serving = process.core;
      while (status.ok() && !scheduler_.finishing()) {
        scheduler_.SleepFor(milliseconds(200));
        status = process.core->health();
      }
      process.serving = nullptr;
    }
    process.core->Stop();
    // As a node is taken apart only when its threads have ended.
    scheduler_.WaitUntil([&] { return process.core->HasStopped(); }, kSettleMax, milliseconds(5));
    if (!status.ok() && !absl::IsUnavailable(status) && !absl::IsAborted(status)) {
      Violate(fmt::format("{} ended: {}", process.name, status.ToString()));
      process.is_dead = true;
      return;
    }
    // One that has lost its lease ends, and its supervisor starts it again, without its memory.
    if (absl::IsAborted(status)) {
      process.memory = NewMemory();
    }
    scheduler_.SleepFor(milliseconds(300));
  }
}

void World::SetFrozen(Process& process, bool is_frozen) {
  process.is_frozen = is_frozen;
  std::vector<Scheduler::Id> actors =
      process.core ? process.core->actors() : std::vector<Scheduler::Id>();
  actors.push_back(process.actor);
  for (const Scheduler::Id actor : actors) {
    is_frozen ? scheduler_.Freeze(actor) : scheduler_.Thaw(actor);
  }
}

void World::Kill(Process& process) {
  process.is_dead = true;
  process.serving = nullptr;
  SetFrozen(process, true);
}

void World::Replace(Process& process) {
  if (!process.is_dead) {
    Kill(process);
    StartProcess(process.name == "a" ? 0 : 1);
  }
}

std::shared_ptr<Core> World::Serving() const {
  for (const auto& process : processes_) {
    if (!process->is_dead && !process->is_frozen && process->serving &&
        process->serving->HoldsAll()) {
      return process->serving;
    }
  }
  return nullptr;
}

void World::WatchHolders() {
  // The lost end of a Redis can be a lease.
  if (promises_.fails_over || promises_.may_lose_removals()) {
    return;
  }
  while (!scheduler_.finishing()) {
    for (uint32_t i = 0; i < layout_.partition_count; ++i) {
      const auto holders = std::ranges::count_if(processes_, [&](const auto& process) {
        return !process->is_dead && !process->is_frozen && process->core &&
               process->core->Holds(PartitionIndex(i));
      });
      if (holders > 1) {
        Violate(fmt::format("{} processes hold partition {}", holders, i));
        return;
      }
    }
    scheduler_.SleepFor(milliseconds(20));
  }
}

std::shared_ptr<Core> World::AwaitServing() {
  scheduler_.WaitUntil([this] { return Serving() != nullptr; }, kSettleMax, milliseconds(10));
  return Serving();
}

void World::MakeGroups() {
  for (const auto& [group, terms] : terms_) {
    while (true) {
      const auto core = AwaitServing();
      if (core == nullptr) {
        Violate("a group can't be made");
        return;
      }
      CreateGroupCommand command;
      command.actor = PersonId(kOwner);
      command.group.id = GroupId(group);
      command.group.history = terms.history;
      command.group.history_count = terms.history_count;
      command.group.default_audience = terms.audience;
      command.request_id = "create";
      command.payload_digest = base::PayloadDigest(group);
      const auto made = Await(core->appender().CreateGroup(std::move(command)));
      if (made && (made->ok() || absl::IsAlreadyExists(made->status()))) {
        break;
      }
      scheduler_.SleepFor(milliseconds(50));
    }
  }
}

void World::RunClient(size_t client) {
  Random& random = scheduler_.random();
  while (!is_over_ && !scheduler_.finishing()) {
    scheduler_.SleepFor(milliseconds(random.Between(1, 400)));
    if (std::exchange(has_lost_groups_, false)) {
      MakeGroups();
    }
    const uint64_t what = random.Below(25);
    if (what < 3 && posts_to_several_) {
      PostToSeveral(client);
    } else if (what < 12) {
      PostOnce(client);
    } else if (what < 19) {
      JoinOrLeave(client);
    } else if (what < 20) {
      DeleteOne();
    } else {
      ReadHome(PersonOf(client));
    }
  }
  --clients_busy_;
}

void World::PostOnce(size_t client) {
  Random& random = scheduler_.random();
  const GroupId group(GroupName(random.Below(kGroups)));
  std::vector<std::string> keys;
  for (uint64_t i = 0; i <= random.Below(4); ++i) {
    keys.push_back(fmt::format("{}-{}", client, next_key_++));
    posts_[keys.back()].group = group.value();
  }
  while (!keys.empty() && !scheduler_.finishing()) {
    const auto core = AwaitServing();
    if (core == nullptr) {
      return;
    }
    std::vector<PublishCommand> commands;
    for (const std::string& key : keys) {
      commands.push_back(
          {PersonId(kOwner), group, key, base::PayloadDigest(key), BodyOf(kOwner, group, key)});
    }
    const auto results = Await(core->appender().Publish(std::move(commands)));
    std::vector<std::string> left;
    std::set<uint64_t> answered;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (results && (*results)[i].ok()) {
        answered.insert((*results)[i]->position.value());
        posts_[keys[i]].ids.insert((*results)[i]->position.value());
      } else if (!results || !IsLastWord((*results)[i].status(), keys[i])) {
        left.push_back(keys[i]);
      }
    }
    keys = std::move(left);
    if (!answered.empty()) {
      CheckDelivered(core, client, group, answered);
    }
    scheduler_.SleepFor(milliseconds(random.Between(1, 60)));
  }
}

// A person is one client's, so that nobody undoes what it looks at.
PersonId World::PersonOf(size_t client) {
  Random& random = scheduler_.random();
  // Some come and go often.
  const uint64_t of = random.OneIn(2) ? 2 : kPersons / kClients;
  return PersonId(PersonName(random.Below(of) * kClients + client));
}

void World::JoinOrLeave(size_t client) {
  Random& random = scheduler_.random();
  const PersonId person = PersonOf(client);
  const GroupId group(GroupName(random.Below(kGroups)));
  const bool joins = random.OneIn(2);
  const std::string request_id = fmt::format("m{}-{}", client, next_key_++);
  const std::pair key(person.value(), group.value());
  while (!scheduler_.finishing()) {
    const auto core = AwaitServing();
    if (core == nullptr) {
      return;
    }
    std::optional<absl::StatusOr<MembersAppended>> done;
    if (joins) {
      AddMembersCommand command;
      command.actor = PersonId(kOwner);
      command.group = group;
      command.request_id = request_id;
      command.payload_digest = base::PayloadDigest(person.value());
      command.members = {{person, Role::kMember}};
      done = Await(core->appender().AddMembers(std::move(command)));
    } else {
      RemoveMembersCommand command;
      command.actor = PersonId(kOwner);
      command.group = group;
      command.request_id = request_id;
      command.payload_digest = base::PayloadDigest(person.value());
      command.persons = {person};
      done = Await(core->appender().RemoveMembers(std::move(command)));
    }
    if (done && done->ok()) {
      if ((*done)->changed != 0) {
        changes_[key] = {joins, (*done)->position.value()};
      }
      if (!joins && (*done)->changed != 0) {
        CheckInForce(core, person, group, (*done)->position);
      }
      if (random.OneIn(2)) {
        ReadHome(person);
      }
      return;
    }
    if (done && IsLastWord(done->status(), request_id)) {
      changes_.erase(key);
      return;
    }
    scheduler_.SleepFor(milliseconds(random.Between(1, 60)));
  }
}

// A removal that is applied is seen by whoever reads from then on.
void World::CheckInForce(const std::shared_ptr<Core>& core, const PersonId& person,
                         const GroupId& group, Position position) {
  if (!scheduler_.WaitUntil([&] { return core->Applied(position) || !core->health().ok(); },
                            kCallMax) ||
      !core->health().ok() || !core->HoldsAll()) {
    return;
  }
  const auto view = core->Find(person);
  if (!view) {
    return;
  }
  const lockfree::EpochReclaimer::Guard guard(core->epochs());
  const MembershipList* list = view->person->memberships.Load(guard);
  for (const Membership& membership : list ? list->items() : std::span<const Membership>()) {
    if (core->groups().At(membership.group).id == group && membership.stay.role != Role::kNone &&
        membership.position <= position) {
      Violate(fmt::format("{} left {} at {} and is a member still", person.value(), group.value(),
                          position.value()));
    }
  }
}

// A post that is applied is in the timelines of the members, once. Looked at are those whom this client alone
// adds and removes: nothing of theirs is under way.
void World::CheckDelivered(const std::shared_ptr<Core>& core, size_t client, const GroupId& group,
                           const std::set<uint64_t>& ids) {
  const Position last(*ids.rbegin());
  // What a cut log lacks is found in the groups' feeds, later.
  if (promises_.may_lose() || trims_ == Trims::kCuts ||
      !scheduler_.WaitUntil([&] { return core->Applied(last) || !core->health().ok(); },
                            kCallMax) ||
      !core->health().ok() || !core->HoldsAll()) {
    return;
  }
  for (uint64_t i = client; i < kPersons; i += kClients) {
    const PersonId person(PersonName(i));
    const auto change = changes_.find({person.value(), group.value()});
    const auto view = core->Find(person);
    if (change == changes_.end() || !change->second.joined || !view) {
      continue;
    }
    std::vector<lockfree::TimelineEntry> entries;
    uint64_t floor = 0;
    static_cast<void>(view->home->CopyNewest(*view->arena, entries, kTimelineMax, &floor));
    for (const uint64_t id : ids) {
      const auto times = std::ranges::count(entries, id, &lockfree::TimelineEntry::id);
      if (id > change->second.position && id > floor && times != 1) {
        Violate(fmt::format("{} is applied, and {} has it {} times", id, person.value(), times));
      }
    }
  }
}

void World::DeleteOne() {
  std::vector<std::string> keys;
  for (const auto& [key, post] : posts_) {
    if (!post.ids.empty() && !post.is_deleted) {
      keys.push_back(key);
    }
  }
  if (keys.empty()) {
    return;
  }
  Post& post = posts_[keys[scheduler_.random().Below(keys.size())]];
  post.is_deleted = true;
  while (!scheduler_.finishing()) {
    const auto core = AwaitServing();
    if (core == nullptr) {
      return;
    }
    const PersonId owner(kOwner);
    const UpdateId id(*post.ids.rbegin());
    const auto done = post.groups.empty()
                          ? Await(core->appender().Delete({owner, id, GroupId(post.group), owner}))
                          : Await(core->appender().DeleteSeveral(owner, id, post.groups));
    if (done && done->ok()) {
      post.was_answered_deleted = true;
      return;
    }
    if (done && IsLastWord(done->status(), "delete")) {
      return;
    }
    scheduler_.SleepFor(milliseconds(50));
  }
}

Verdict World::Run() {
  verdict_.promises = promises_;
  verdict_.rates = rates_;
  redis_.set_break_one_in(3'000);
  StartProcess(0);
  StartProcess(1);
  MakeGroups();
  for (size_t client = 0; client < kClients; ++client) {
    ++clients_busy_;
    scheduler_.Spawn(fmt::format("client {}", client), [this, client] { RunClient(client); });
  }
  scheduler_.Spawn("chaos", [this] { RunChaos(); });
  scheduler_.Spawn("holders", [this] { WatchHolders(); });
  scheduler_.SleepFor(kLife);
  Settle();
  if (verdict_.violations.empty()) {
    Check();
  }
  verdict_.trace = scheduler_.trace();
  verdict_.turns = scheduler_.turns();
  scheduler_.Finish();
  return verdict_;
}

void World::Settle() {
  is_calm_ = true;
  scheduler_.SleepFor(seconds(8));  // what has begun ends
  redis_.Heal();
  for (const auto& process : processes_) {
    if (!process->is_dead && process->is_frozen) {
      SetFrozen(*process, false);
    }
  }
  is_over_ = true;
  if (!scheduler_.WaitUntil([this] { return clients_busy_ == 0; }, kSettleMax, milliseconds(5))) {
    Violate("clients do not come to an end");
    return;
  }
  if (!scheduler_.WaitUntil([this] { return !HasPending(); }, kSettleMax, milliseconds(100))) {
    Violate("a post to several groups waits for ever");
  }
  // Twice, since what is rebuilt is written by the pass behind.
  for (int pass = 0; pass < 2; ++pass) {
    const auto core = AwaitServing();
    if (core == nullptr) {
      Violate("nobody serves");
      return;
    }
    const auto tickets = core->AskDrain();
    if (!scheduler_.WaitUntil([&] { return core->Drained(tickets) && !core->HasHoles(); },
                              kSettleMax, milliseconds(5))) {
      Violate("what is in memory is not written");
    }
  }
}

}  // namespace klatch::sim
