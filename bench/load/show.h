#pragma once
// A timeline as a person would like to read it.

#include <string>
#include <vector>

#include "klatch/v1/resources.pb.h"

namespace klatch::load {

constexpr int kShownUpdates = 6;

// Several lines. Control characters of texts that came from elsewhere are shown as '?'. Times are
// UTC.
std::string TimelineText(const std::string& person, const std::vector<klatch::v1::Update>& updates);

}  // namespace klatch::load
