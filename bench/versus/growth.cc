#include "bench/versus/growth.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bench/versus/arithmetic.h"

namespace klatch::versus {
namespace {

// Sizes of groups and how many posts each load has. The largest come first: they reach everybody, so
// that what a first entry costs is paid before the others.
struct Load {
  uint32_t group_size;
  uint64_t posts;
};
constexpr std::array<Load, 3> kLoads = {{{10'000, 1'000}, {400, 10'000}, {10, 40'000}}};
constexpr std::array<uint32_t, 3> kPersons = {10'000, 100'000, 1'000'000};
constexpr uint64_t kQuickPart = 4;

class Growth {
 public:
  explicit Growth(Lab& lab) : lab_(lab) {}

  absl::StatusOr<std::vector<Figure>> Measure() {
    std::vector<Line> lines;
    for (const uint32_t persons : Persons()) {
      KLATCH_ASSIGN_OR_RETURN(lines.emplace_back(), LineAmong(persons));
      SayProgress(fmt::format("{} persons: {:.1f} µs a post and {:.3f} µs a delivery", persons,
                              lines.back().per_post, lines.back().per_delivery));
    }
    return Figures(lines);
  }

 private:
  std::vector<uint32_t> Persons() const {
    std::vector<uint32_t> persons(kPersons.begin(), kPersons.end());
    if (lab_.options().quick) {
      persons.pop_back();
    }
    return persons;
  }
  absl::StatusOr<Line> LineAmong(uint32_t persons);
  absl::StatusOr<PlayResult> Play(const NodeHost& node, const RedisHost& redis, uint32_t persons,
                                  uint32_t group_size, uint64_t posts);
  std::vector<Figure> Figures(const std::vector<Line>& lines) const;

  Lab& lab_;
};

absl::StatusOr<PlayResult> Growth::Play(const NodeHost& node, const RedisHost& redis,
                                        uint32_t persons, uint32_t group_size, uint64_t posts) {
  return lab_.Play(node, redis,
                   {"--persons", std::to_string(persons), "--group-size",
                    std::to_string(group_size), "--groups-per-person", "1", "--updates",
                    std::to_string(posts), "--batch", "100", "--check-timelines", "100"});
}

absl::StatusOr<Line> Growth::LineAmong(uint32_t persons) {
  const std::string name = fmt::format("growth-{}", persons);
  KLATCH_ASSIGN_OR_RETURN(const auto redis, lab_.StartRedis(name + "-redis"));
  KLATCH_ASSIGN_OR_RETURN(const auto node, lab_.StartNode(name, *redis));
  // Everybody's first entries, not timed.
  const uint64_t first_posts = 10 * (persons / kLoads[0].group_size);
  KLATCH_RETURN_IF_ERROR(Play(*node, *redis, persons, kLoads[0].group_size, first_posts).status());
  std::vector<Point> points;
  for (const Load& load : kLoads) {
    const uint64_t posts = load.posts / (lab_.options().quick ? kQuickPart : 1);
    KLATCH_ASSIGN_OR_RETURN(const PlayResult played,
                            Play(*node, *redis, persons, load.group_size, posts));
    points.push_back({static_cast<double>(load.group_size),
                      1e6 * played.seconds / std::max(1.0, played.published)});
    SayProgress(fmt::format("{} persons, groups of {}: {:.1f} µs a post", persons, load.group_size,
                            points.back().cost));
  }
  return FitCost(points);
}

std::vector<Figure> Growth::Figures(const std::vector<Line>& lines) const {
  std::vector<Figure> figures;
  const std::vector<uint32_t> persons = Persons();
  if (lab_.options().Wants("growth_ratio")) {
    figures.push_back(RatioFigure(
        "growth_ratio", {fmt::format("among {} persons", persons.back()), 0, "µs a delivery"},
        std::vector<double>{lines.back().per_delivery},
        {fmt::format("among {} persons", persons.front()), 0, "µs a delivery"},
        std::vector<double>{lines.front().per_delivery}, 0));
    if (persons.size() < kPersons.size()) {
      figures.back().notes = {"not among a million, as --quick has it"};
    }
  }
  if (lab_.options().Wants("post_cost_us")) {
    Figure figure;
    figure.key = "post_cost_us";
    figure.value = lines.front().per_post;
    for (size_t i = 0; i < lines.size(); ++i) {
      figure.sides.push_back(
          {fmt::format("among {} persons", persons[i]), lines[i].per_post, "µs a post"});
    }
    figure.notes = {"batches of 100; the value is that among the fewest persons"};
    figures.push_back(std::move(figure));
  }
  return figures;
}

}  // namespace

absl::StatusOr<std::vector<Figure>> MeasureGrowth(Lab& lab) { return Growth(lab).Measure(); }

}  // namespace klatch::versus
