#pragma once
// The figures of a report: plots of a Result's series and distributions, each with its numbers as
// tables.
//
// Pure; any thread.
// Bound: kPointsMax points a curve; longer series are drawn by the mean, and lags and latencies by
// the worst, of as many seconds as it takes.

#include <string>
#include <utility>
#include <vector>

#include "bench/load/result/result.h"
#include "bench/load/result/svg_plot.h"

namespace klatch::load {

struct Table {
  std::string caption;
  std::vector<std::string> head;
  struct Row {
    double at = -1;  // where on the plot's x axis, from 0 to 1; negative: nowhere
    std::vector<std::string> cells;
  };
  std::vector<Row> rows;
  size_t text_column = 0;  // one of sentences, not of numbers; 0: none
};

struct Figure {
  static constexpr size_t kPointsMax = 360;

  std::string heading;
  std::string remark;  // how to read it; may be empty
  Plot plot;
  Table summary;  // of each curve, of all its seconds; may have no rows
  Table numbers;  // what is drawn
};

// Panel after panel, as a reader wants them: rate, deliveries, lag, latency, CPU, memory, the rest.
std::vector<Figure> SeriesFigures(const Result& result);

// All distributions in one; none without any.
std::vector<Figure> SpectrumFigures(const Result& result);

// What a delivery costs against how many there are: of one result by second, of several by result,
// against deliveries per post. None where that was not measured.
std::vector<Figure> CostFigures(const std::vector<Result>& results);

}  // namespace klatch::load
