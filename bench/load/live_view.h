#pragma once
// What the last seconds of a load were like, for whoever looks at a terminal meanwhile: rates, latencies,
// lags, CPU and memory, with a curve of the last minute where that tells something.
//
// Thread safety: any thread.

#include <optional>
#include <span>
#include <string>

#include "bench/load/sampler.h"

namespace klatch::load {

// Lines behind one another, each but the last with its line feed; empty before the first second is over.
std::string LiveView(const Sampler& sampler);

// One character for each point, from ▁ for 0 to █ for the highest; a blank where none is known.
std::string Sparkline(std::span<const std::optional<double>> points);

}  // namespace klatch::load
