#include "services/klatch/table.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "services/klatch/text.h"

namespace klatch::cli {
namespace {

constexpr int kGap = 2;
constexpr int kLastWidthMin = 20;

std::vector<int> ColumnWidths(const std::vector<Column>& columns,
                              const std::vector<std::vector<std::string>>& rows, int screen_width) {
  std::vector<int> widths;
  for (size_t i = 0; i < columns.size(); ++i) {
    int width = DisplayWidth(columns[i].title);
    for (const auto& row : rows) {
      width = std::max(width, DisplayWidth(row[i]));
    }
    widths.push_back(width);
  }
  const int others = std::accumulate(widths.begin(), widths.end() - 1, 0) +
                     kGap * static_cast<int>(widths.size() - 1);
  widths.back() = std::min(widths.back(), std::max(screen_width - others, kLastWidthMin));
  return widths;
}

std::string Padded(const std::string& text, int width, Align align) {
  const std::string padding(static_cast<size_t>(std::max(0, width - DisplayWidth(text))), ' ');
  return align == Align::kLeft ? text + padding : padding + text;
}

// One row, over as many lines as its last cell takes.
std::string RenderRow(const std::vector<Column>& columns, const std::vector<int>& widths,
                      const std::vector<std::string>& cells) {
  std::string text;
  const std::vector<std::string> wrapped = Wrap(cells.back(), std::max(widths.back(), 2));
  for (size_t line = 0; line < wrapped.size(); ++line) {
    std::string row;
    for (size_t i = 0; i + 1 < cells.size(); ++i) {
      row += Padded(line == 0 ? cells[i] : "", widths[i], columns[i].align);
      row.append(kGap, ' ');
    }
    row += columns.back().align == Align::kLeft
               ? wrapped[line]
               : Padded(wrapped[line], widths.back(), Align::kRight);
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  }
  return text;
}

std::string Styled(const char* code, const std::string& text, const Screen& screen) {
  return screen.colour == Colour::kOn ? code + text + "\x1b[0m" : text;
}

}  // namespace

std::string RenderTable(const std::vector<Column>& columns,
                        const std::vector<std::vector<std::string>>& rows, const Screen& screen) {
  const std::vector<int> widths = ColumnWidths(columns, rows, screen.width);
  std::vector<std::string> titles;
  for (const Column& column : columns) {
    titles.push_back(column.title);
  }
  std::string head = RenderRow(columns, widths, titles);
  head.pop_back();
  std::string text = Dim(head, screen) + "\n";
  for (const auto& row : rows) {
    text += RenderRow(columns, widths, row);
  }
  return text;
}

std::string Dim(const std::string& text, const Screen& screen) {
  return Styled("\x1b[2m", text, screen);
}

std::string Bold(const std::string& text, const Screen& screen) {
  return Styled("\x1b[1m", text, screen);
}

}  // namespace klatch::cli
