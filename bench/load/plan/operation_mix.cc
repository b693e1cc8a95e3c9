#include "bench/load/plan/operation_mix.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

namespace klatch::load {
namespace {

constexpr std::array<std::string_view, kOperations> kNames = {"post", "home", "profile", "group"};
constexpr uint64_t kWeightMax = 1'000'000;

absl::Status Wrong(std::string_view part, std::string_view what) {
  return base::Error(absl::StatusCode::kInvalidArgument, fmt::format("\"{}\": {}", part, what));
}

std::optional<uint64_t> ParseWeight(std::string_view text) {
  uint64_t weight = 0;
  const auto end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, weight);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == end;
  return whole && weight <= kWeightMax ? std::optional(weight) : std::nullopt;
}

}  // namespace

absl::StatusOr<OperationMix> OperationMix::Parse(std::string_view text) {
  OperationMix mix;
  mix.weights_ = {};
  std::array<bool, kOperations> given{};
  for (size_t begin = 0; begin <= text.size();) {
    const std::string_view part = text.substr(begin, text.find(',', begin) - begin);
    begin += part.size() + 1;
    const size_t equals = std::min(part.find('='), part.size());
    const auto name = std::find(kNames.begin(), kNames.end(), part.substr(0, equals));
    if (name == kNames.end()) {
      return Wrong(part, fmt::format("begins with none of {}", fmt::join(kNames, ", ")));
    }
    const auto kind = static_cast<size_t>(name - kNames.begin());
    const auto weight = equals == part.size() ? std::nullopt : ParseWeight(part.substr(equals + 1));
    if (!weight.has_value()) {
      return Wrong(part, fmt::format("needs a weight from 0 to {}", kWeightMax));
    }
    if (given[kind]) {
      return Wrong(part, "is given twice");
    }
    given[kind] = true;
    mix.weights_[kind] = *weight;
  }
  if (mix.Total() == 0) {
    return Wrong(text, "all weights are 0");
  }
  return mix;
}

uint64_t OperationMix::Total() const {
  return std::accumulate(weights_.begin(), weights_.end(), uint64_t{0});
}

Operation OperationMix::Draw(Random& random) const {
  uint64_t left = random.Below(Total());
  size_t kind = 0;
  for (; left >= weights_[kind]; ++kind) {
    left -= weights_[kind];
  }
  return static_cast<Operation>(kind);
}

double OperationMix::ShareOf(Operation operation) const {
  return static_cast<double>(weights_[static_cast<size_t>(operation)]) /
         static_cast<double>(Total());
}

}  // namespace klatch::load
