#pragma once
// Numbers with their units, short enough for a table or an axis.
//
// Pure; any thread.

#include <string>
#include <string_view>

namespace klatch::load {

// Three digits that count, at a fitting scale: 0.62 µs, 28.1 ms, 2,480/s, 992 k/s, 5.30 kB, 0.5
// cores. Units are those of a Series; of any other the name follows. "–" for what is no number.
std::string ValueText(double value, std::string_view unit);

// Whether ValueText fits the unit to the value, as of times and bytes.
bool IsScaled(std::string_view unit);

// Without a value's unit where that is said elsewhere: 2,480; 992 k.
std::string NumberText(double value);

// "+12.3 %", "−4.0 %"; of a ratio.
std::string ChangeText(double ratio);

}  // namespace klatch::load
