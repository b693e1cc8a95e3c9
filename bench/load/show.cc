#include "bench/load/show.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace klatch::load {
namespace {

std::string Clean(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      c = '?';
    }
  }
  return text;
}

}  // namespace

std::string TimelineText(const std::string& person,
                         const std::vector<klatch::v1::Update>& updates) {
  std::string text = fmt::format("\n{}'s timeline\n", Clean(person));
  if (updates.empty()) {
    return text + "  (nothing yet)\n";
  }
  for (const klatch::v1::Update& update : updates) {
    auto seconds = static_cast<time_t>(update.create_time().seconds());
    text += fmt::format(
        "  {:%H:%M:%S}  {} to {}\n            {}\n", fmt::gmtime(seconds), Clean(update.author()),
        update.groups_size() == 0 ? "nobody" : Clean(update.groups(0)), Clean(update.text()));
  }
  return text;
}

}  // namespace klatch::load
