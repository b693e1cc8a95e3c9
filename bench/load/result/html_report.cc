#include "bench/load/result/html_report.h"

#include <fmt/format.h>

#include <string_view>

#include "bench/load/result/html_assets.h"
#include "bench/load/result/report.h"
#include "bench/load/result/report_figures.h"
#include "bench/load/result/svg_plot.h"
#include "bench/load/result/value_text.h"

namespace klatch::load {
namespace {

// Tables of more rows are folded.
constexpr size_t kOpenRowsMax = 15;

std::string Paragraph(std::string_view css_class, std::string_view text) {
  return text.empty() ? "" : fmt::format("<p class=\"{}\">{}</p>\n", css_class, Escaped(text));
}

std::string RowHtml(const Table::Row& row, size_t text_column) {
  std::string text =
      row.at < 0 ? std::string("<tr>") : fmt::format("<tr data-x=\"{:.4f}\">", row.at);
  for (size_t i = 0; i < row.cells.size(); ++i) {
    text += i == 0 ? fmt::format("<th scope=\"row\">{}</th>", Escaped(row.cells[i]))
                   : fmt::format("<td{}>{}</td>", i == text_column ? " class=\"text\"" : "",
                                 Escaped(row.cells[i]));
  }
  return text + "</tr>\n";
}

std::string TableHtml(const Table& table) {
  if (table.rows.empty()) {
    return "";
  }
  // What can be scrolled can be reached by keys.
  std::string text = fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table><caption>{}"
      "</caption><thead><tr>",
      Escaped(table.caption), Escaped(table.caption));
  for (const std::string& head : table.head) {
    text += head.empty() ? "<td></td>" : fmt::format("<th scope=\"col\">{}</th>", Escaped(head));
  }
  text += "</tr></thead><tbody>\n";
  for (const Table::Row& row : table.rows) {
    text += RowHtml(row, table.text_column);
  }
  return text + "</tbody></table></div>\n";
}

std::string FoldedTableHtml(const Table& table) {
  if (table.rows.size() <= kOpenRowsMax) {
    return TableHtml(table);
  }
  return fmt::format("<details><summary>{}: {} rows</summary>{}</details>\n",
                     Escaped(table.caption), WithThousands(table.rows.size()), TableHtml(table));
}

std::string FigureHtml(const Figure& figure, std::string_view id, int level) {
  return fmt::format(
      "<section "
      "class=\"figure\"><h{0}>{1}</h{0}>\n<figure><div>{2}{3}\n{4}\n<output></output></div>\n"
      "<figcaption>{5}{6}</figcaption></figure></section>\n",
      level, Escaped(figure.heading), Paragraph("remark", figure.remark), LegendHtml(figure.plot),
      PlotHtml(figure.plot, id), TableHtml(figure.summary), FoldedTableHtml(figure.numbers));
}

class Facts {
 public:
  void Add(std::string_view name, std::string_view value) {
    if (!value.empty()) {
      text_ += fmt::format("<dt>{}</dt><dd>{}</dd>\n", Escaped(name), Escaped(value));
    }
  }
  void Add(const std::map<std::string, std::string>& facts) {
    for (const auto& [name, value] : facts) {
      Add(name, value);
    }
  }
  std::string Html() const {
    return text_.empty() ? "" : fmt::format("<dl class=\"facts\">\n{}</dl>\n", text_);
  }

 private:
  std::string text_;
};

std::string Tile(std::string_view name, std::string_view value) {
  return fmt::format("<li><b>{}</b><span>{}</span></li>\n", Escaped(value), Escaped(name));
}

std::string LatencyOf(uint64_t microseconds) {
  return ValueText(static_cast<double>(microseconds), "µs");
}

std::string TilesHtml(const Result& result) {
  const Summary& summary = result.summary;
  std::string text = "<ul class=\"tiles\">\n";
  text += Tile("operations per second", NumberText(result.achieved_per_second));
  text += Tile("deliveries per second", NumberText(summary.DeliveriesPerSecond()));
  text += Tile("publish p50", LatencyOf(summary.publish_p50_us));
  text += Tile("publish p99", LatencyOf(summary.publish_p99_us));
  text += Tile("visible p50", LatencyOf(summary.visible_p50_us));
  text += Tile("visible p99", LatencyOf(summary.visible_p99_us));
  for (const Cost& cost : result.costs) {
    text += Tile(cost.name, ValueText(cost.value, cost.unit));
  }
  return text + "</ul>\n";
}

std::string VerdictHtml(const Result& result) {
  const bool kept = result.verdict == "kept";
  return fmt::format("<p class=\"verdict{}\"><b>{} {}</b><br>{}</p>\n", kept ? " kept" : "",
                     kept ? "✓" : "✗", Escaped(result.verdict), Escaped(result.sentence));
}

std::string PlayedHtml(const Result& result, int level) {
  const Summary& summary = result.summary;
  const Circumstances& more = result.more;
  Facts facts;
  facts.Add("started", result.started);
  facts.Add("lasted", fmt::format("{:.1f} s from the first post until all was applied{}",
                                  summary.seconds, more.flushed ? " and in Redis" : ""));
  facts.Add("arrivals", result.offered_per_second > 0
                            ? fmt::format("{}, {} operations offered per second", result.arrivals,
                                          NumberText(result.offered_per_second))
                            : result.arrivals);
  facts.Add("people", fmt::format("{} in {} groups, {} memberships", WithThousands(summary.persons),
                                  WithThousands(summary.groups), WithThousands(more.memberships)));
  facts.Add("posts",
            fmt::format("{} over {} connections, {} deliveries", WithThousands(summary.published),
                        more.connections, WithThousands(summary.deliveries)));
  facts.Add("seed", std::to_string(more.seed));
  facts.Add(result.machine);
  return fmt::format("<h{0}>What ran where</h{0}>\n{1}", level, facts.Html());
}

std::string Share(const Circumstances::Share& share) {
  return share.all == 0
             ? ""
             : fmt::format("{} of {}", WithThousands(share.read), WithThousands(share.all));
}

std::string CountCell(uint64_t count) {
  return fmt::format("<td{}>{}</td>", count == 0 ? "" : " class=\"wrong\"", WithThousands(count));
}

std::string CountsRow(std::string_view name, uint64_t lost, uint64_t duplicated, uint64_t leaked) {
  return fmt::format("<tr><th scope=\"row\">{}</th>{}{}{}</tr>\n", name, CountCell(lost),
                     CountCell(duplicated), CountCell(leaked));
}

std::string ExamplesHtml(const Circumstances& more) {
  std::string text;
  for (const std::string& example : more.examples) {
    text += fmt::format("<li>{}</li>\n", Escaped(example));
  }
  return text.empty() ? "" : fmt::format("<p>Some of what was wrong:</p>\n<ul>\n{}</ul>\n", text);
}

std::string CheckedHtml(const Result& result, int level) {
  const Summary& summary = result.summary;
  const Circumstances& more = result.more;
  std::string text = fmt::format("<h{0}>What everybody saw, against the model</h{0}>\n", level);
  if (!more.checked) {
    return text + "<p>Not checked: the run was cut short.</p>\n";
  }
  Facts facts;
  facts.Add("home timelines read", Share(more.home_timelines));
  facts.Add("group timelines", Share(more.group_timelines));
  facts.Add("profiles", Share(more.profiles));
  facts.Add("single updates", Share(more.single_updates));
  facts.Add("who left a group", Share(more.departed));
  facts.Add("rings in Redis", Share(more.stored_rings));
  facts.Add("watched persons", WithThousands(more.watched));
  facts.Add("other faults", WithThousands(more.other_violations));
  facts.Add("undecided calls", WithThousands(summary.unknown));
  text += facts.Html();
  text +=
      "<div class=\"scroll\"><table><caption>Pairs of a person and an update. The verdict counts a "
      "pair once, on however many paths.</caption><thead><tr><th scope=\"col\">path</th>"
      "<th scope=\"col\">lost</th><th scope=\"col\">duplicated</th><th scope=\"col\">leaked</th>"
      "</tr></thead><tbody>\n";
  for (size_t i = 0; i < kSurfaces; ++i) {
    const PathCounts& path = summary.paths[i];
    text += CountsRow(NameOf(static_cast<Surface>(i)), path.lost, path.duplicated, path.leaked);
  }
  text += CountsRow("verdict", summary.lost, summary.duplicated, summary.leaked);
  return text + "</tbody></table></div>\n" + ExamplesHtml(more);
}

std::string AgainHtml(const Result& result, int level) {
  std::string text;
  if (!result.options.empty()) {
    Facts options;
    options.Add(result.options);
    text += fmt::format("<h{0}>Options that are not at their defaults</h{0}>\n{1}", level,
                        options.Html());
  }
  if (!result.command.empty()) {
    text += fmt::format("<h{0}>To play it again</h{0}>\n<pre><code>{1}</code></pre>\n", level,
                        Escaped(result.command));
  }
  return text;
}

// `number` tells the results of a page apart.
std::string ResultHtml(const Result& result, size_t number, int level) {
  std::string text = VerdictHtml(result) + TilesHtml(result) + PlayedHtml(result, level);
  std::vector<Figure> figures = SeriesFigures(result);
  for (Figure& figure : SpectrumFigures(result)) {
    figures.push_back(std::move(figure));
  }
  for (Figure& figure : CostFigures({result})) {
    figures.push_back(std::move(figure));
  }
  for (size_t i = 0; i < figures.size(); ++i) {
    text += FigureHtml(figures[i], fmt::format("r{}-f{}", number, i), level);
  }
  return text + CheckedHtml(result, level) + AgainHtml(result, level);
}

std::string OverviewHtml(const std::vector<Result>& results) {
  Table table{
      "All results",
      {"", "started", "verdict", "operations/s", "deliveries/s", "publish p99", "visible p99"},
      {}};
  for (size_t i = 0; i < results.size(); ++i) {
    const Result& result = results[i];
    table.rows.push_back(
        {-1,
         {fmt::format("{}. {}", i + 1, result.name), result.started, result.verdict,
          NumberText(result.achieved_per_second), NumberText(result.summary.DeliveriesPerSecond()),
          LatencyOf(result.summary.publish_p99_us), LatencyOf(result.summary.visible_p99_us)}});
  }
  std::string text = TableHtml(table);
  const std::vector<Figure> costs = CostFigures(results);
  for (size_t i = 0; i < costs.size(); ++i) {
    text += FigureHtml(costs[i], fmt::format("all-f{}", i), 2);
  }
  return text;
}

std::string TitleOf(const std::vector<Result>& results) {
  return results.size() == 1 ? fmt::format("Load: {}", results.front().name)
                             : fmt::format("{} loads", results.size());
}

}  // namespace

std::string HtmlReport(const std::vector<Result>& results) {
  const std::string title = Escaped(TitleOf(results));
  std::string body = fmt::format("<h1>{}</h1>\n", title);
  if (results.size() == 1) {
    body += ResultHtml(results.front(), 1, 2);
  } else {
    body += OverviewHtml(results);
    for (size_t i = 0; i < results.size(); ++i) {
      body += fmt::format("<section class=\"result\"><h2>{}. {}</h2>\n{}</section>\n", i + 1,
                          Escaped(results[i].name), ResultHtml(results[i], i + 1, 3));
    }
  }
  // The policy makes sure that nothing is fetched, whatever a result has in it.
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{}</main>\n"
      "<script>\n{}</script>\n</body>\n</html>\n",
      title, kReportStyle, body, kReportScript);
}

}  // namespace klatch::load
