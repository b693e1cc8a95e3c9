#include "bench/load/result/report.h"

#include <fmt/format.h>

namespace klatch::load {
namespace {

constexpr size_t kColumns = 96;
constexpr size_t kIndent = 15;
constexpr std::array<std::string_view, kSurfaces> kPathKeys = {
    "home", "group", "profile", "single", "watch", "resumed_watch", "redis", "http", "publish"};

std::string PostsText(const Summary& summary, const Circumstances& more) {
  std::string text = fmt::format("{} published over {} connections",
                                 WithThousands(summary.published), more.connections);
  if (more.several != 0) {
    text += fmt::format(", {} of them to several groups", WithThousands(more.several));
  }
  if (more.refused_rightly != 0) {
    text += fmt::format(", {} refused as their author had just left",
                        WithThousands(more.refused_rightly));
  }
  if (more.shed != 0) {
    text += fmt::format(", {} operations refused by a node that had too much to do",
                        WithThousands(more.shed));
  }
  if (summary.unknown != 0) {
    text += fmt::format(", {} calls undecided", WithThousands(summary.unknown));
  }
  return text;
}

std::string MeanwhileText(const Circumstances& more) {
  std::string text = fmt::format("{} departures and {} returns, {} edits and deletions",
                                 WithThousands(more.departures), WithThousands(more.returns),
                                 WithThousands(more.revisions));
  if (more.quarrels != 0) {
    text += fmt::format(", {} quarrels", WithThousands(more.quarrels));
  }
  if (more.groups_to_flip != 0) {
    text += more.flips == 0 ? ", not flipped: the node pulled no group"
                            : fmt::format(", groups flipped {} times", WithThousands(more.flips));
  }
  if (more.quiet != 0) {
    text += fmt::format(", {} people were quiet", WithThousands(more.quiet));
  }
  return text + (more.node_kills == 0 ? "" : ", the node killed once");
}

std::string WatchText(const Summary& summary, const Circumstances& more) {
  std::string text = fmt::format("{} people, who were shown {} updates; {} resumes, {} gaps",
                                 WithThousands(more.watched), WithThousands(more.watch_shown),
                                 WithThousands(summary.resumes), WithThousands(summary.gaps));
  if (more.watch_paged != 0) {
    text += fmt::format(", behind which pages showed {} more", WithThousands(more.watch_paged));
  }
  return text;
}

// What each path showed wrongly; the verdict counts a pair once, on however many.
std::string PathsText(const Summary& summary) {
  std::string text =
      Row("by path", fmt::format("{:<18}{:>8}{:>12}{:>8}", "", "lost", "duplicated", "leaked"));
  for (size_t i = 0; i < kSurfaces; ++i) {
    const PathCounts& path = summary.paths[i];
    text += Row("", fmt::format("{:<18}{:>8}{:>12}{:>8}", NameOf(static_cast<Surface>(i)),
                                WithThousands(path.lost), WithThousands(path.duplicated),
                                WithThousands(path.leaked)));
  }
  return text;
}

std::string PathsJson(const Summary& summary) {
  std::string text;
  for (size_t i = 0; i < kSurfaces; ++i) {
    const PathCounts& path = summary.paths[i];
    text +=
        fmt::format("{}\"{}\":{{\"lost\":{},\"duplicated\":{},\"leaked\":{}}}", i == 0 ? "" : ",",
                    KeyOf(static_cast<Surface>(i)), path.lost, path.duplicated, path.leaked);
  }
  return text;
}

std::string ShareText(const Circumstances::Share& share, std::string_view what) {
  return share.read >= share.all ? fmt::format("all {} {}", WithThousands(share.all), what)
                                 : fmt::format("{} of {} {}", WithThousands(share.read),
                                               WithThousands(share.all), what);
}

std::string CheckedText(const Circumstances& more) {
  std::string text = fmt::format("{}, {}, {}, {}", ShareText(more.home_timelines, "home timelines"),
                                 ShareText(more.group_timelines, "group timelines"),
                                 ShareText(more.profiles, "profiles"),
                                 ShareText(more.single_updates, "single updates"));
  if (more.departed.all != 0) {
    text += ", " + ShareText(more.departed, "who left a group");
  }
  if (more.stored_rings.all != 0) {
    text += "; in Redis " + ShareText(more.stored_rings, "rings");
  }
  if (more.http_pages != 0) {
    text += fmt::format("; over HTTP {} home timelines", WithThousands(more.http_pages));
  }
  return text;
}

// Which timelines the verdict does not speak of, as only a sample of them was read.
std::string SampleText(const Circumstances& more) {
  std::string text;
  auto add = [&text](const Circumstances::Share& share, std::string_view what) {
    if (share.read < share.all) {
      text += (text.empty() ? " in a sample of " : ", ") + ShareText(share, what);
    }
  };
  add(more.home_timelines, "home timelines");
  add(more.group_timelines, "group timelines");
  add(more.profiles, "profiles");
  if (!text.empty() && more.stored_rings.all != 0) {
    text += ", and in " + ShareText(more.stored_rings, "rings in Redis");
  }
  return text;
}

}  // namespace

std::string Row(std::string_view name, std::string_view text) {
  std::string row = fmt::format("  {:<12} ", name);
  while (kIndent + text.size() > kColumns) {
    const size_t end = text.rfind(' ', kColumns - kIndent);
    if (end == std::string_view::npos || end == 0) {
      break;
    }
    row += fmt::format("{}\n{:{}}", text.substr(0, end), "", kIndent);
    text.remove_prefix(end + 1);
  }
  return fmt::format("{}{}\n", row, text);
}

std::string VerdictSentence(const Summary& summary, const Circumstances& more) {
  if (!more.checked) {
    return "Not checked: the run was cut short.";
  }
  std::string text = fmt::format("{} lost, {} duplicated, {} leaked", WithThousands(summary.lost),
                                 WithThousands(summary.duplicated), WithThousands(summary.leaked));
  if (more.other_violations != 0) {
    text += fmt::format(", {} other faults", WithThousands(more.other_violations));
  }
  if (summary.unknown != 0) {
    text += fmt::format(", {} undecided", WithThousands(summary.unknown));
  }
  return text + SampleText(more);
}

std::string_view KeyOf(Surface surface) { return kPathKeys[static_cast<size_t>(surface)]; }

std::string ToJson(const Summary& s) {
  return fmt::format(
      "{{\"persons\":{},\"groups\":{},\"published\":{},\"unknown\":{},\"trimmed\":{},"
      "\"deliveries\":{},\"lost\":{},\"duplicated\":{},\"leaked\":{},\"publish_p50_us\":{},"
      "\"publish_p99_us\":{},\"visible_p50_us\":{},\"visible_p99_us\":{},"
      "\"deliveries_per_second\":{:.0f},\"seconds\":{:.3f},\"gaps\":{},\"resumes\":{},"
      "\"paths\":{{{}}}}}",
      s.persons, s.groups, s.published, s.unknown, s.trimmed, s.deliveries, s.lost, s.duplicated,
      s.leaked, s.publish_p50_us, s.publish_p99_us, s.visible_p50_us, s.visible_p99_us,
      s.DeliveriesPerSecond(), s.seconds, s.gaps, s.resumes, PathsJson(s));
}

std::string WithThousands(uint64_t number) {
  std::string digits = std::to_string(number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i != 0 && (digits.size() - i) % 3 == 0) {
      text += ',';
    }
    text += digits[i];
  }
  return text;
}

std::string LatencyText(uint64_t microseconds) {
  auto value = static_cast<double>(microseconds);
  if (microseconds < 1'000) {
    return fmt::format("{} µs", microseconds);
  }
  return microseconds < 1'000'000 ? fmt::format("{:.2f} ms", value / 1e3)
                                  : fmt::format("{:.2f} s", value / 1e6);
}

std::string ForPeople(const Summary& summary, const Circumstances& more,
                      std::string_view measured) {
  std::string text = "\nWhat was played\n";
  text += Row("people", fmt::format("{} in {} groups, {} memberships, seed {}",
                                    WithThousands(summary.persons), WithThousands(summary.groups),
                                    WithThousands(more.memberships), more.seed));
  text += Row("posts", PostsText(summary, more));
  text += Row("meanwhile", MeanwhileText(more));
  if (more.watched != 0) {
    text += Row("watched", WatchText(summary, more));
  }
  text += Row("delivered",
              fmt::format("{} in {:.2f} s: {} per second{}", WithThousands(summary.deliveries),
                          summary.seconds,
                          WithThousands(static_cast<uint64_t>(summary.DeliveriesPerSecond())),
                          more.flushed ? ", drained into Redis" : ""));
  text += measured;
  if (more.checked) {
    text += Row("checked", CheckedText(more));
    text += PathsText(summary);
  }
  if (summary.trimmed != 0) {
    text += Row("trimmed", fmt::format("{} older than the newest that a timeline keeps",
                                       WithThousands(summary.trimmed)));
  }
  text += VerdictSentence(summary, more) + "\n";
  for (const std::string& example : more.examples) {
    text += fmt::format("  {}\n", example);
  }
  return text;
}

}  // namespace klatch::load
