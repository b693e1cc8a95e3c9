#include "bench/load/checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <unordered_map>

namespace klatch::load {
namespace {

using klatch::v1::Update;

constexpr std::chrono::milliseconds kHoleTimeout{10'000};
constexpr std::chrono::milliseconds kHolePause{100};

std::vector<uint64_t> IdsOf(const TimelineRead& read) {
  std::vector<uint64_t> ids;
  ids.reserve(read.updates.size());
  for (const Update& update : read.updates) {
    ids.push_back(update.id());
  }
  return ids;
}

}  // namespace

std::vector<PersonNumber> ChoosePersons(const Graph& graph, size_t sample, uint64_t seed) {
  std::vector<PersonNumber> persons(graph.person_count());
  for (PersonNumber i = 0; i < persons.size(); ++i) {
    persons[i] = i;
  }
  if (sample < persons.size()) {
    Random random(seed);
    random.Shuffle(persons);
    persons.resize(sample);
    std::sort(persons.begin(), persons.end());
  }
  return persons;
}

bool Checker::IsPost(const Update& update, uint64_t number) const {
  PlannedPost post = plan_.At(number);
  return update.author() == graph_.person(post.author) && update.groups_size() == 1 &&
         update.groups(0) == graph_.group(post.group).id && update.text() == plan_.TextOf(number);
}

bool Checker::SameAsPosted(const Update& update, const PostRecord& post) const {
  return IsPost(update, post.number);
}

Stray Checker::Classify(PersonNumber viewer, uint64_t id, const Update* update) const {
  if (const PostRecord* post = model_.Find(id); post != nullptr) {
    // Known, and not due: unless nobody can say whether it is.
    return model_.AccessTo(viewer, *post) == Access::kUncertain ? Stray::kForeign : Stray::kLeak;
  }
  if (update == nullptr || update->groups_size() == 0) {
    return Stray::kForeign;
  }
  auto group = graph_.FindGroup(update->groups(0));
  if (!group.has_value() || id <= model_.FloorOf(*group)) {
    return Stray::kForeign;
  }
  for (uint64_t number : model_.unknown_posts()) {
    if (IsPost(*update, number)) {
      return Stray::kForeign;
    }
  }
  auto author = graph_.FindPerson(update->author());
  if (!author.has_value()) {
    return Stray::kForeign;
  }
  // In a group of ours, by a person of ours, and no answer named it: either a second copy of a post
  // or one that was refused.
  for (const DueUpdate& due : model_.ProfileSeenBy(viewer, *author)) {
    if (IsPost(*update, model_.Find(due.id)->number)) {
      return Stray::kDuplicate;
    }
  }
  return Stray::kLeak;
}

class Checker::Reader {
 public:
  explicit Reader(const Checker& checker)
      : checker_(checker), client_(checker.options_.client, checker.state_) {}

  void CheckHome(PersonNumber person) {
    ++result_.home_timelines;
    Judge(person, "home timeline", checker_.model_.HomeOf(person),
          [&] { return client_.ReadHome(checker_.graph_.person(person), {}, {}); });
  }

  void CheckGroup(Random& random) {
    auto group = static_cast<GroupNumber>(random.Below(checker_.graph_.group_count()));
    const GroupSpec& spec = checker_.graph_.group(group);
    PersonNumber viewer = spec.members[random.Below(spec.members.size())];
    if (!checker_.model_.IsMember(group, viewer)) {
      viewer = spec.owner;
    }
    ++result_.group_timelines;
    Judge(viewer, "group timeline", checker_.model_.GroupSeenBy(viewer, group),
          [&] { return client_.ReadGroup(checker_.graph_.person(viewer), spec.id, {}, {}); });
  }

  void CheckProfile(Random& random) {
    std::span<const PostRecord> posts = checker_.model_.posts();
    const PostRecord& post = posts[random.Below(posts.size())];
    const GroupSpec& spec = checker_.graph_.group(post.group);
    PersonNumber viewer = spec.members[random.Below(spec.members.size())];
    ++result_.profiles;
    Judge(viewer, "profile timeline", checker_.model_.ProfileSeenBy(viewer, post.author), [&] {
      return client_.ReadProfile(checker_.graph_.person(viewer),
                                 checker_.graph_.person(post.author), {}, {});
    });
  }

  // By a member in every other case, by anybody in the rest.
  void CheckSingle(Random& random) {
    std::span<const PostRecord> posts = checker_.model_.posts();
    const PostRecord& post = posts[random.Below(posts.size())];
    const GroupSpec& spec = checker_.graph_.group(post.group);
    PersonNumber viewer =
        random.Below(2) == 0
            ? spec.members[random.Below(spec.members.size())]
            : static_cast<PersonNumber>(random.Below(checker_.graph_.person_count()));
    ++result_.single_updates;
    klatch::v1::GetUpdateRequest request;
    request.set_actor(checker_.graph_.person(viewer));
    request.set_update_id(post.id);
    auto outcome = client_.GetUpdate(request);
    Access access = checker_.model_.AccessTo(viewer, post);
    if (!outcome.done() && outcome.status.error_code() != grpc::StatusCode::NOT_FOUND) {
      ++result_.unread;
    } else if (access == Access::kVisible && !outcome.done()) {
      checker_.violations_.Add(Violation::kLost, viewer, post.id, "single update");
    } else if (outcome.done() && (access == Access::kNone || access == Access::kPast)) {
      checker_.violations_.Add(Violation::kLeaked, viewer, post.id, "single update");
    } else if (outcome.done() && !checker_.SameAsPosted(outcome.response.update(), post)) {
      checker_.violations_.AddOther(fmt::format("update {} is not as it was posted", post.id));
    }
  }

  const CheckResult& result() const { return result_; }

 private:
  template <typename Read>
  void Judge(PersonNumber viewer, std::string_view path, const std::vector<DueUpdate>& due,
             const Read& read_all);
  void JudgeContent(PersonNumber viewer, std::string_view path, const TimelineRead& read);
  // A page that says "hole" is being completed; it has a while for that.
  template <typename Read>
  TimelineRead ReadWhole(const Read& read_all);

  const Checker& checker_;
  Client client_;
  CheckResult result_;
};

template <typename Read>
TimelineRead Checker::Reader::ReadWhole(const Read& read_all) {
  auto end = std::chrono::steady_clock::now() + kHoleTimeout;
  TimelineRead read = read_all();
  while (read.ok() && read.hole_since != 0 && std::chrono::steady_clock::now() < end &&
         !checker_.state_.MustStop()) {
    std::this_thread::sleep_for(kHolePause);
    read = read_all();
  }
  return read;
}

template <typename Read>
void Checker::Reader::Judge(PersonNumber viewer, std::string_view path,
                            const std::vector<DueUpdate>& due, const Read& read_all) {
  TimelineRead read = ReadWhole(read_all);
  if (!read.ok()) {
    ++result_.unread;
    if (!checker_.state_.MustStop()) {
      checker_.violations_.AddOther(fmt::format("{} of {} could not be read: {}", path,
                                                checker_.graph_.person(viewer),
                                                read.status.error_message()));
    }
    return;
  }
  std::unordered_map<uint64_t, const Update*> by_id;
  for (const Update& update : read.updates) {
    by_id.emplace(update.id(), &update);
  }
  std::vector<uint64_t> ids = IdsOf(read);
  Comparison comparison =
      Compare(due, {ids, read.trimmed}, checker_.options_.cap,
              [&](uint64_t id) { return checker_.Classify(viewer, id, by_id.at(id)); });
  for (uint64_t id : comparison.lost) {
    checker_.violations_.Add(Violation::kLost, viewer, id, path);
  }
  for (uint64_t id : comparison.duplicated) {
    checker_.violations_.Add(Violation::kDuplicated, viewer, id, path);
  }
  for (uint64_t id : comparison.leaked) {
    checker_.violations_.Add(Violation::kLeaked, viewer, id, path);
  }
  if (path == "home timeline") {
    result_.trimmed += comparison.trimmed;
  }
  if (comparison.out_of_order || read.endless) {
    checker_.violations_.AddOther(fmt::format("{} of {} {}", path, checker_.graph_.person(viewer),
                                              read.endless ? "never ends" : "is not in order"));
  }
  JudgeContent(viewer, path, read);
}

void Checker::Reader::JudgeContent(PersonNumber viewer, std::string_view path,
                                   const TimelineRead& read) {
  for (const Update& update : read.updates) {
    const PostRecord* post = checker_.model_.Find(update.id());
    if (post != nullptr && !checker_.SameAsPosted(update, *post)) {
      checker_.violations_.AddOther(fmt::format("update {} is not as it was posted ({} of {})",
                                                update.id(), path, checker_.graph_.person(viewer)));
    }
  }
}

CheckResult Checker::Run(const std::vector<PersonNumber>& persons,
                         std::atomic<uint64_t>& homes_read) {
  // Tickets: they publish nothing.
  std::atomic<size_t> next{0};
  const bool posted = !model_.posts().empty();
  const size_t homes = persons.size();
  const size_t groups = homes + options_.group_timelines;
  const size_t profiles = groups + (posted ? options_.profiles : 0);
  const size_t total = profiles + (posted ? options_.single_updates : 0);
  std::vector<std::unique_ptr<Reader>> readers;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < options_.connections; ++i) {
    Reader& reader = *readers.emplace_back(std::make_unique<Reader>(*this));
    threads.emplace_back([&, this] {
      for (size_t task = next.fetch_add(1, std::memory_order_relaxed);
           task < total && !state_.MustStop();
           task = next.fetch_add(1, std::memory_order_relaxed)) {
        // Each task draws from its own numbers, so that the choice does not depend on the threads.
        Random random(Mix(options_.seed) ^ task);
        if (task < homes) {
          reader.CheckHome(persons[task]);
          homes_read.fetch_add(1, std::memory_order_relaxed);
        } else if (task < groups) {
          reader.CheckGroup(random);
        } else if (task < profiles) {
          reader.CheckProfile(random);
        } else {
          reader.CheckSingle(random);
        }
      }
    });
  }
  CheckResult sum;
  for (size_t i = 0; i < threads.size(); ++i) {
    threads[i].join();
    const CheckResult& part = readers[i]->result();
    sum.home_timelines += part.home_timelines;
    sum.group_timelines += part.group_timelines;
    sum.profiles += part.profiles;
    sum.single_updates += part.single_updates;
    sum.trimmed += part.trimmed;
    sum.unread += part.unread;
  }
  return sum;
}

}  // namespace klatch::load
