#include "bench/versus/figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "bench/versus/arithmetic.h"

namespace klatch::versus {
namespace {

constexpr std::string_view kTimes = "times";

constexpr auto kKeys = std::to_array<KeySpec>({
    {"list_ratio", Family::kRedisPeers, Needs::kKlatchd, kTimes,
     "deliveries/s in batches of 100 posts ÷ LPUSH + LTRIM 0 799"},
    {"list_ratio_unary", Family::kRedisPeers, Needs::kKlatchd, kTimes,
     "deliveries/s with one post per call ÷ LPUSH + LTRIM 0 799"},
    {"zset_ratio", Family::kRedisPeers, Needs::kKlatchd, kTimes,
     "deliveries/s in batches ÷ ZADD + ZREMRANGEBYRANK to 400"},
    {"mastodon_ratio", Family::kRedisPeers, Needs::kKlatchd, kTimes,
     "deliveries/s in batches ÷ Mastodon's commands"},
    {"misskey_ratio", Family::kRedisPeers, Needs::kKlatchd, kTimes,
     "deliveries/s in batches ÷ Misskey's commands"},
    {"core_ratio", Family::kCore, Needs::kNothing, kTimes,
     "deliveries/s of one worker ÷ random writes of 16 bytes/s"},
    {"publish_cpu_ratio", Family::kCalls, Needs::kKlatchd, kTimes,
     "klatchd's CPU per PublishUpdate to a group of one ÷ a server's per empty call", true},
    {"read_ratio", Family::kCalls, Needs::kKlatchd, kTimes,
     "ListHomeTimeline of 20 updates, calls/s ÷ a server with the page ready"},
    {"live_gateway_ratio", Family::kLive, Needs::kNats, kTimes,
     "recipients told/s over one WatchHomeTimelines ÷ nats-server, one connection"},
    {"live_streams_ratio", Family::kLive, Needs::kNats, kTimes,
     "events/s over 1,000 connections ÷ nats-server, 1,000 connections"},
    {"last_member_ratio", Family::kLastMember, Needs::kKlatchd, kTimes,
     "p99 from publishing to the last of 400 members ÷ p99 of an empty call", true},
    {"million_group_ratio", Family::kLastMember, Needs::kKlatchd, kTimes,
     "p99 from publishing to the last of 1,000,000 members ÷ p99 of an empty call", true},
    {"redis_bytes_per_entry", Family::kRedisPeers, Needs::kKlatchd, "bytes",
     "Redis's memory without bodies ÷ entries of full timelines", true},
    {"memory_bytes_per_entry", Family::kCore, Needs::kNothing, "bytes",
     "memory of a worker's persons, rings and rosters ÷ entries of full rings", true},
    {"growth_ratio", Family::kGrowth, Needs::kKlatchd, kTimes,
     "cost per delivery among 1,000,000 persons ÷ among 10,000", true},
    {"post_cost_us", Family::kGrowth, Needs::kKlatchd, "µs", "cost of a post before its deliveries",
     true},
    {"replay_per_second", Family::kRestart, Needs::kKlatchd, "deliveries/s",
     "deliveries replayed after a crash"},
    {"restart_seconds", Family::kRestart, Needs::kKlatchd, "s",
     "1,000,000 persons with 10,000,000 memberships: start until it serves", true},
});

// 1,234,567, 178.2, 0.0432: three digits at least.
std::string NumberText(double value) {
  if (std::abs(value) >= 1'000) {
    std::string digits = fmt::format("{:.0f}", value);
    for (size_t at = digits.size(); at > 3 && digits[at - 4] != '-';) {
      digits.insert(at -= 3, ",");
    }
    return digits;
  }
  return fmt::format("{:.3g}", value);
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
    }
    quoted += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return quoted + "\"";
}

// JSON has no word for what is not finite.
std::string JsonNumber(double value) {
  return std::isfinite(value) ? fmt::format("{:.6g}", value) : "null";
}

template <typename Items, typename Print>
std::string JsonArray(const Items& items, const Print& print) {
  std::string text = "[";
  for (const auto& item : items) {
    text += (text.size() == 1 ? "" : ",") + print(item);
  }
  return text + "]";
}

std::string DetailsJson(const Figure& figure) {
  if (!figure.value.has_value()) {
    return fmt::format("{{\"not_measured\":{}}}", Quoted(figure.reason));
  }
  return fmt::format(
      "{{\"seconds\":{},\"sides\":{},\"slices\":{},\"notes\":{}}}", JsonNumber(figure.seconds),
      JsonArray(figure.sides,
                [](const Side& side) {
                  return fmt::format("{{\"what\":{},\"value\":{},\"unit\":{}}}", Quoted(side.what),
                                     JsonNumber(side.value), Quoted(side.unit));
                }),
      JsonArray(figure.slices, JsonNumber), JsonArray(figure.notes, Quoted));
}

std::string RowOf(const Figure& figure) {
  const KeySpec* spec = FindKey(figure.key);
  if (!figure.value.has_value()) {
    return fmt::format("  {:<23}not measured: {}\n", figure.key, figure.reason);
  }
  std::string row = fmt::format("  {:<23}{} {}", figure.key, NumberText(*figure.value), spec->unit);
  if (figure.slices.size() > 1) {
    const Spread spread = SpreadOf(figure.slices);
    row += fmt::format(" ({} to {} in {} slices)", NumberText(spread.low), NumberText(spread.high),
                       figure.slices.size());
  }
  row += fmt::format("\n  {:<23}{}\n", "", spec->meaning);
  for (const Side& side : figure.sides) {
    row += fmt::format("  {:<25}{}: {} {}\n", "", side.what, NumberText(side.value), side.unit);
  }
  for (const std::string& note : figure.notes) {
    row += fmt::format("  {:<25}{}\n", "", note);
  }
  return row;
}

}  // namespace

std::span<const KeySpec> AllKeys() { return kKeys; }

const KeySpec* FindKey(std::string_view key) {
  const auto found = std::ranges::find(kKeys, key, &KeySpec::key);
  return found == kKeys.end() ? nullptr : &*found;
}

Figure NotMeasured(std::string_view key, std::string reason) {
  Figure figure;
  figure.key = key;
  figure.reason = std::move(reason);
  return figure;
}

Figure RatioFigure(std::string_view key, Side numerator, std::span<const double> numerators,
                   Side denominator, std::span<const double> denominators, double seconds) {
  Figure figure;
  figure.key = key;
  figure.slices = RatiosOf(numerators, denominators);
  if (figure.slices.empty()) {
    return NotMeasured(key, fmt::format("{} did nothing", denominator.what));
  }
  figure.value = Median(figure.slices);
  numerator.value = Median({numerators.begin(), numerators.end()});
  denominator.value = Median({denominators.begin(), denominators.end()});
  figure.sides = {std::move(numerator), std::move(denominator)};
  figure.seconds = seconds;
  return figure;
}

std::string ToJson(const RunFacts& facts, std::span<const Figure> figures) {
  std::string values;
  std::string details;
  for (const Figure& figure : figures) {
    values += fmt::format("\"{}\":{},", figure.key,
                          figure.value.has_value() ? JsonNumber(*figure.value) : "null");
    details +=
        fmt::format("{}\"{}\":{}", details.empty() ? "" : ",", figure.key, DetailsJson(figure));
  }
  return fmt::format(
      "{{{}\"quick\":{},\"short\":{},\"green\":{},\"seed\":{},\"persons\":{},\"details\":{{{}}}}}",
      values, facts.quick, facts.is_short, facts.green, facts.seed, facts.persons, details);
}

std::string ForPeople(const RunFacts& facts, std::span<const Figure> figures) {
  std::string text = fmt::format("\nKlatch and its peers on this machine, seed {}\n", facts.seed);
  for (const Figure& figure : figures) {
    text += RowOf(figure);
  }
  if (facts.is_short) {
    text += "Timed for less than a minute a side: too short to be believed.\n";
  }
  if (!facts.green) {
    text += "The checks of a load found faults: see above.\n";
  }
  return text;
}

}  // namespace klatch::versus
