#pragma once
// A table for people: aligned columns, the last of which wraps.
//
//   WHEN       WHO    TEXT
//   3 min ago  alice  Up to the hut on Saturday? There is still
//                     room for two.
//
// Pure; any thread. Cells must be clean (text.h). Trailing spaces are never written.

#include <string>
#include <vector>

namespace klatch::cli {

enum class Align { kLeft, kRight };
enum class Colour { kOff, kOn };

// Where the output goes.
struct Screen {
  // Columns that a line may take; at least 20.
  int width = 100;
  Colour colour = Colour::kOff;
};

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

// The table with its titles, a line feed after each line. Only the last column wraps; it gets what
// the others leave, but at least 20 columns, so that a line is longer than the screen rather than
// unreadable. REQUIRES: each row has as many cells as there are columns.
std::string RenderTable(const std::vector<Column>& columns,
                        const std::vector<std::vector<std::string>>& rows, const Screen& screen);

// `text` in the colour of what matters less, or as it is.
std::string Dim(const std::string& text, const Screen& screen);
std::string Bold(const std::string& text, const Screen& screen);

}  // namespace klatch::cli
