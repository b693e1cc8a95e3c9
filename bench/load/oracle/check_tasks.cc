#include "bench/load/oracle/check_tasks.h"

#include <numeric>

#include "bench/load/plan/random.h"

namespace klatch::load {
namespace {

PersonNumber AnyMember(const GroupSpec& spec, Random& random) {
  return spec.members[random.Below(spec.members.size())];
}

class Planner {
 public:
  Planner(const Graph& graph, const Model& model, const CheckBounds& bounds, uint64_t seed)
      : graph_(graph),
        model_(model),
        bounds_(bounds),
        seed_(seed),
        random_(Mix(seed)),
        home_planned_(graph.person_count(), false) {}

  CheckPlan Plan() {
    AddHomes();
    AddGroups();
    AddProfiles();
    AddSingles();
    AddDepartures();
    return std::move(plan_);
  }

 private:
  void Add(CheckPath path, PersonNumber viewer, uint32_t subject) {
    plan_.tasks.push_back({path, viewer, subject});
  }

  void AddHomes() {
    uint32_t all = graph_.person_count();
    for (PersonNumber person : Choose(all, bounds_.TimelinesOf(all), seed_ ^ 1)) {
      AddHome(person);
    }
  }

  void AddHome(PersonNumber person) {
    if (!home_planned_[person]) {
      home_planned_[person] = true;
      Add(CheckPath::kHome, person, 0);
    }
  }

  void AddGroups() {
    uint32_t all = graph_.group_count();
    for (GroupNumber group : Choose(all, bounds_.TimelinesOf(all), seed_ ^ 2)) {
      PersonNumber viewer = AnyMember(graph_.group(group), random_);
      Add(CheckPath::kGroup, model_.IsMember(group, viewer) ? viewer : graph_.group(group).owner,
          group);
    }
  }

  // Each author as a member of a group that they posted to sees them.
  void AddProfiles() {
    std::vector<uint32_t> last_post(graph_.person_count(), UINT32_MAX);
    std::vector<PersonNumber> authors;
    for (uint32_t i = 0; i < model_.posts().size(); ++i) {
      PersonNumber author = model_.posts()[i].author;
      if (last_post[author] == UINT32_MAX) {
        authors.push_back(author);
      }
      last_post[author] = i;
    }
    plan_.authors = authors.size();
    auto all = static_cast<uint32_t>(authors.size());
    for (uint32_t index : Choose(all, bounds_.TimelinesOf(all), seed_ ^ 3)) {
      const PostRecord& post = model_.posts()[last_post[authors[index]]];
      Add(CheckPath::kProfile, AnyMember(graph_.group(post.group), random_), post.author);
    }
  }

  // By a member in every other case, by anybody in the rest.
  void AddSingles() {
    auto all = static_cast<uint32_t>(model_.posts().size());
    for (uint32_t index : Choose(all, bounds_.single_updates, seed_ ^ 4)) {
      const GroupSpec& spec = graph_.group(model_.posts()[index].group);
      PersonNumber viewer = random_.Below(2) == 0
                                ? AnyMember(spec, random_)
                                : static_cast<PersonNumber>(random_.Below(graph_.person_count()));
      Add(CheckPath::kSingle, viewer, index);
    }
  }

  void AddDepartures() {
    std::vector<Model::Departure> departures = model_.Departures();
    plan_.departures = departures.size();
    for (uint32_t index :
         Choose(static_cast<uint32_t>(departures.size()), bounds_.departures, seed_ ^ 5)) {
      ++plan_.departures_checked;
      AddDeparture(departures[index]);
    }
  }

  // What they must not see of the group any more, newest first, by all paths.
  void AddDeparture(const Model::Departure& departure) {
    AddHome(departure.person);
    Add(CheckPath::kGroup, departure.person, departure.group);
    std::vector<PersonNumber> authors;
    size_t posts = 0;
    for (const DueUpdate& update : model_.GroupSeenBy(departure.person, departure.group)) {
      if (update.access != Access::kPast && update.access != Access::kNone) {
        continue;
      }
      if (posts++ == bounds_.posts_per_departure) {
        break;
      }
      const PostRecord* post = model_.Find(update.id);
      Add(CheckPath::kSingle, departure.person,
          static_cast<uint32_t>(post - model_.posts().data()));
      bool known = std::find(authors.begin(), authors.end(), post->author) != authors.end();
      if (!known && authors.size() < bounds_.profiles_per_departure) {
        authors.push_back(post->author);
        Add(CheckPath::kProfile, departure.person, post->author);
      }
    }
  }

  const Graph& graph_;
  const Model& model_;
  const CheckBounds& bounds_;
  const uint64_t seed_;
  Random random_;
  CheckPlan plan_;
  std::vector<bool> home_planned_;
};

}  // namespace

std::vector<uint32_t> Choose(uint32_t all, size_t count, uint64_t seed) {
  std::vector<uint32_t> chosen(all);
  std::iota(chosen.begin(), chosen.end(), 0);
  if (count < chosen.size()) {
    Random random(seed);
    random.Shuffle(chosen);
    chosen.resize(count);
    std::sort(chosen.begin(), chosen.end());
  }
  return chosen;
}

CheckPlan PlanChecks(const Graph& graph, const Model& model, const CheckBounds& bounds,
                     uint64_t seed) {
  return Planner(graph, model, bounds, seed).Plan();
}

}  // namespace klatch::load
