#include "bench/load/result/result_file.h"

#include <fmt/format.h>

#include <cmath>
#include <concepts>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "common/base/decimal.h"
#include "common/base/option_value.h"
#include "common/base/whole_file.h"
#include "common/obs/hgrm.h"

namespace klatch::load {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kSchemaKey[] = "klatch_load_result";
constexpr int kOneLine = -1;
// Up to here a double, which is what many a reader makes of a number, holds every whole number.
constexpr uint64_t kExactMax = uint64_t{1} << 53;

absl::Status Invalid(std::string_view message) {
  return base::Error(absl::StatusCode::kInvalidArgument, message);
}

template <typename Fields, typename Struct>
concept Of = std::same_as<std::remove_const_t<Fields>, Struct>;

// The fields of each struct by name, once for both directions.

void Visit(Of<PathCounts> auto& path, auto&& field) {
  field("lost", path.lost);
  field("duplicated", path.duplicated);
  field("leaked", path.leaked);
}

// By name, not by place.
template <typename Array>
struct ByPath {
  Array& paths;
};
template <typename Array>
void Visit(const ByPath<Array>& by_path, auto&& field) {
  for (size_t i = 0; i < kSurfaces; ++i) {
    field(std::string(KeyOf(static_cast<Surface>(i))), by_path.paths[i]);
  }
}

void Visit(Of<Summary> auto& summary, auto&& field) {
  field("persons", summary.persons);
  field("groups", summary.groups);
  field("published", summary.published);
  field("unknown", summary.unknown);
  field("trimmed", summary.trimmed);
  field("deliveries", summary.deliveries);
  field("lost", summary.lost);
  field("duplicated", summary.duplicated);
  field("leaked", summary.leaked);
  field("publish_p50_us", summary.publish_p50_us);
  field("publish_p99_us", summary.publish_p99_us);
  field("visible_p50_us", summary.visible_p50_us);
  field("visible_p99_us", summary.visible_p99_us);
  field("seconds", summary.seconds);
  field("gaps", summary.gaps);
  field("resumes", summary.resumes);
  ByPath<std::remove_reference_t<decltype((summary.paths))>> paths{summary.paths};
  field("paths", paths);
}

void Visit(Of<Circumstances::Share> auto& share, auto&& field) {
  field("read", share.read);
  field("all", share.all);
}

void Visit(Of<Circumstances> auto& more, auto&& field) {
  field("memberships", more.memberships);
  field("seed", more.seed);
  field("connections", more.connections);
  field("departures", more.departures);
  field("returns", more.returns);
  field("revisions", more.revisions);
  field("refused_rightly", more.refused_rightly);
  field("retries", more.retries);
  field("shed", more.shed);
  field("node_kills", more.node_kills);
  field("several", more.several);
  field("quarrels", more.quarrels);
  field("quiet", more.quiet);
  field("groups_to_flip", more.groups_to_flip);
  field("flips", more.flips);
  field("watched", more.watched);
  field("watch_shown", more.watch_shown);
  field("watch_paged", more.watch_paged);
  field("visible_samples", more.visible_samples);
  field("flushed", more.flushed);
  field("checked", more.checked);
  field("home_timelines", more.home_timelines);
  field("group_timelines", more.group_timelines);
  field("profiles", more.profiles);
  field("single_updates", more.single_updates);
  field("departed", more.departed);
  field("stored_rings", more.stored_rings);
  field("http_pages", more.http_pages);
  field("other_violations", more.other_violations);
  field("examples", more.examples);
}

void Visit(Of<Spectrum> auto& spectrum, auto&& field) {
  field("name", spectrum.name);
  field("what", spectrum.what);
  field("count", spectrum.count);
  field("p50", spectrum.p50);
  field("p90", spectrum.p90);
  field("p99", spectrum.p99);
  field("p999", spectrum.p999);
  field("max", spectrum.max);
  field("mean", spectrum.mean);
  field("buckets", spectrum.buckets);
}

void Visit(Of<Series> auto& series, auto&& field) {
  field("name", series.name);
  field("panel", series.panel);
  field("unit", series.unit);
  field("points", series.points);
}

void Visit(Of<Cost> auto& cost, auto&& field) {
  field("name", cost.name);
  field("unit", cost.unit);
  field("value", cost.value);
}

void Visit(Of<Result> auto& result, auto&& field) {
  field("name", result.name);
  field("started", result.started);
  field("verdict", result.verdict);
  field("sentence", result.sentence);
  field("command", result.command);
  field("machine", result.machine);
  field("options", result.options);
  field("arrivals", result.arrivals);
  field("offered_per_second", result.offered_per_second);
  field("achieved_per_second", result.achieved_per_second);
  field("summary", result.summary);
  field("more", result.more);
  field("latencies", result.latencies);
  field("series", result.series);
  field("costs", result.costs);
}

// ---- out

Json Encode(bool value) { return value; }
Json Encode(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json Encode(const std::string& text) { return text; }
Json Encode(const std::map<std::string, std::string>& texts) { return texts; }
Json Encode(const std::optional<double>& point) { return point ? Encode(*point) : Json(nullptr); }
Json Encode(std::unsigned_integral auto number) {
  return number <= kExactMax ? Json(number) : Json(std::to_string(number));
}
Json Encode(const std::pair<uint64_t, uint64_t>& bucket) {
  return Json::array({Encode(bucket.first), Encode(bucket.second)});
}
template <typename Item>
Json Encode(const std::vector<Item>& items);
template <typename Fields>
Json Encode(const Fields& fields) requires requires {
  Visit(fields, [](const auto&, const auto&) {});
}
{
  Json object = Json::object();
  Visit(fields, [&object](const auto& name, const auto& value) { object[name] = Encode(value); });
  return object;
}
template <typename Item>
Json Encode(const std::vector<Item>& items) {
  Json array = Json::array();
  for (const Item& item : items) {
    array.push_back(Encode(item));
  }
  return array;
}

// ---- in

absl::Status Wanted(const std::string& path, std::string_view what, const Json& json) {
  return Invalid(
      fmt::format("{} wants {}, not {}", path, what,
                  json.is_null() ? "null" : fmt::format("a value of type {}", json.type_name())));
}

absl::Status Decode(const Json& json, const std::string& path, bool& value) {
  if (!json.is_boolean()) {
    return Wanted(path, "true or false", json);
  }
  value = json.get<bool>();
  return absl::OkStatus();
}

absl::Status Decode(const Json& json, const std::string& path, double& value) {
  if (!json.is_number() && !json.is_null()) {
    return Wanted(path, "a number", json);
  }
  value = json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
  return absl::OkStatus();
}

absl::Status Decode(const Json& json, const std::string& path, std::optional<double>& point) {
  if (json.is_null()) {
    point.reset();
    return absl::OkStatus();
  }
  return Decode(json, path, point.emplace());
}

absl::Status Decode(const Json& json, const std::string& path, std::string& text) {
  if (!json.is_string()) {
    return Wanted(path, "a string", json);
  }
  text = json.get<std::string>();
  return absl::OkStatus();
}

template <std::unsigned_integral Number>
absl::Status Decode(const Json& json, const std::string& path, Number& number) {
  std::optional<uint64_t> read;
  if (json.is_number_unsigned()) {
    read = json.get<uint64_t>();
  } else if (json.is_string()) {
    read = base::ParseDecimal(json.get<std::string>());
  }
  if (!read || *read > std::numeric_limits<Number>::max()) {
    return Wanted(path, fmt::format("a whole number of {} bits", 8 * sizeof(Number)), json);
  }
  number = static_cast<Number>(*read);
  return absl::OkStatus();
}

absl::Status Decode(const Json& json, const std::string& path,
                    std::pair<uint64_t, uint64_t>& bucket) {
  if (!json.is_array() || json.size() != 2) {
    return Wanted(path, "a value and a count", json);
  }
  KLATCH_RETURN_IF_ERROR(Decode(json[0], path, bucket.first));
  return Decode(json[1], path, bucket.second);
}

absl::Status Decode(const Json& json, const std::string& path,
                    std::map<std::string, std::string>& texts) {
  if (!json.is_object()) {
    return Wanted(path, "an object", json);
  }
  for (const auto& [name, text] : json.items()) {
    KLATCH_RETURN_IF_ERROR(
        Decode(text, fmt::format("{}[{}]", path, base::QuoteForMessage(name)), texts[name]));
  }
  return absl::OkStatus();
}

template <typename Item>
size_t CountMax(const std::vector<Item>&) {
  return Result::kListMax;
}
size_t CountMax(const std::vector<std::optional<double>>&) { return Result::kSeriesSecondsMax; }
size_t CountMax(const std::vector<std::pair<uint64_t, uint64_t>>&) {
  return obs::LatencyHistogram::kBucketCount;
}

template <typename Item>
absl::Status Decode(const Json& json, const std::string& path, std::vector<Item>& items);
template <typename Fields>
absl::Status Decode(const Json& json, const std::string& path, Fields& fields) requires requires {
  Visit(fields, [](const auto&, auto&) {});
}
{
  if (!json.is_object()) {
    return Wanted(path, "an object", json);
  }
  absl::Status status;
  Visit(fields, [&](const auto& name, auto& value) {
    const std::string inner = path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
    const auto member = json.find(name);
    if (status.ok()) {
      status =
          member == json.end() ? Invalid(inner + " is missing") : Decode(*member, inner, value);
    }
  });
  return status;
}
template <typename Item>
absl::Status Decode(const Json& json, const std::string& path, std::vector<Item>& items) {
  if (!json.is_array()) {
    return Wanted(path, "an array", json);
  }
  if (json.size() > CountMax(items)) {
    return Invalid(fmt::format("{} has {} items; at most {}", path, json.size(), CountMax(items)));
  }
  items.resize(json.size());
  for (size_t i = 0; i < items.size(); ++i) {
    KLATCH_RETURN_IF_ERROR(Decode(json[i], fmt::format("{}[{}]", path, i), items[i]));
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> Parse(std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    const bool at_end = error.byte > text.size();
    return Invalid(at_end ? "is cut off: its JSON has no end"
                          : fmt::format("is no JSON: wrong at byte {}", error.byte));
  } catch (const Json::exception&) {
    return Invalid("has a number that nobody can hold");
  }
}

absl::Status CheckSchema(const Json& json) {
  const auto schema = json.is_object() ? json.find(kSchemaKey) : json.end();
  if (!json.is_object() || schema == json.end()) {
    return Invalid("is no result of klatch-load");
  }
  if (!schema->is_number_integer() || *schema != Result::kSchema) {
    return Invalid(fmt::format("is a result of schema {}; this klatch-load reads {}",
                               base::QuoteForMessage(schema->dump()), Result::kSchema));
  }
  return absl::OkStatus();
}

// Whoever walks through the buckets relies on it.
absl::Status CheckBuckets(const Result& result) {
  for (const Spectrum& spectrum : result.latencies) {
    uint64_t count = 0;
    for (size_t i = 0; i < spectrum.buckets.size(); ++i) {
      const bool rises = i == 0 || spectrum.buckets[i - 1].first < spectrum.buckets[i].first;
      if (!rises || spectrum.buckets[i].second == 0) {
        return Invalid(fmt::format("the buckets of latency {} don't rise, or are empty",
                                   base::QuoteForMessage(spectrum.name)));
      }
      if (__builtin_add_overflow(count, spectrum.buckets[i].second, &count)) {
        return Invalid("counts of buckets are more than 64 bits hold");
      }
    }
    if (count != spectrum.count) {
      return Invalid(fmt::format("the buckets of latency {} hold {} values, not {}",
                                 base::QuoteForMessage(spectrum.name), count, spectrum.count));
    }
  }
  return absl::OkStatus();
}

// A name as a file's: what is no letter, digit, dash or underscore would lead elsewhere.
std::string FileName(const std::string& name) {
  std::string safe;
  for (const char c : name) {
    safe += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' ? c : '_';
  }
  return safe + ".hgrm";
}

}  // namespace

std::string EncodeResult(const Result& result) {
  Json json = Json::object();
  json[kSchemaKey] = Result::kSchema;
  json.update(Encode(result));
  return json.dump(kOneLine, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<Result> DecodeResult(std::string_view text) {
  KLATCH_ASSIGN_OR_RETURN(const Json json, Parse(text));
  KLATCH_RETURN_IF_ERROR(CheckSchema(json));
  Result result;
  KLATCH_RETURN_IF_ERROR(Decode(json, "", result));
  KLATCH_RETURN_IF_ERROR(CheckBuckets(result));
  return result;
}

absl::Status WriteResultFile(const std::string& path, const Result& result) {
  return base::ReplaceFile(path, EncodeResult(result));
}

absl::StatusOr<Result> ReadResultFile(const std::string& path) {
  KLATCH_ASSIGN_OR_RETURN(const std::string text, base::ReadWholeFile(path, Result::kBytesMax));
  absl::StatusOr<Result> result = DecodeResult(text);
  if (!result.ok()) {
    return base::Annotate(result.status(), path);
  }
  return result;
}

absl::Status MakeHgrmFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return base::Error(absl::StatusCode::kInternal,
                       fmt::format("{}: can't be made: {}", folder, error.message()));
  }
  return absl::OkStatus();
}

absl::Status WriteHgrmFiles(const std::string& folder, const Result& result) {
  KLATCH_RETURN_IF_ERROR(MakeHgrmFolder(folder));
  for (const Spectrum& spectrum : result.latencies) {
    KLATCH_RETURN_IF_ERROR(
        base::ReplaceFile(fmt::format("{}/{}", folder, FileName(spectrum.name)),
                          obs::HgrmText(spectrum.buckets, spectrum.mean, spectrum.max)));
  }
  return absl::OkStatus();
}

}  // namespace klatch::load
