#include "bench/load/scrape.h"

#include <httplib.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "common/base/endpoint.h"

namespace klatch::load {
namespace {

// The value at the end of one line of the exposition, if the line is about `name`.
std::optional<double> ValueOfLine(std::string_view line, std::string_view name) {
  if (line.substr(0, name.size()) != name || line.size() == name.size()) {
    return std::nullopt;
  }
  size_t value_begin = name.size();
  if (line[value_begin] == '{') {
    value_begin = line.rfind('}');
    if (value_begin == std::string_view::npos) {
      return std::nullopt;
    }
    ++value_begin;
  }
  if (value_begin >= line.size() || line[value_begin] != ' ') {
    return std::nullopt;
  }
  std::string_view text = line.substr(value_begin + 1);
  double value = 0;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() ? std::optional(value) : std::nullopt;
}

}  // namespace

std::optional<double> MetricValue(std::string_view exposition, std::string_view name) {
  std::optional<double> sum;
  while (!exposition.empty()) {
    size_t end = std::min(exposition.find('\n'), exposition.size());
    if (auto value = ValueOfLine(exposition.substr(0, end), name); value.has_value()) {
      sum = sum.value_or(0) + *value;
    }
    exposition.remove_prefix(std::min(end + 1, exposition.size()));
  }
  return sum;
}

absl::StatusOr<std::unique_ptr<Scraper>> Scraper::Make(const std::string& endpoint) {
  KLATCH_ASSIGN_OR_RETURN(base::Endpoint address, base::Endpoint::Parse(endpoint));
  auto client = std::make_unique<httplib::Client>(address.host, address.port);
  client->set_keep_alive(true);
  client->set_connection_timeout(std::chrono::seconds(1));
  client->set_read_timeout(std::chrono::seconds(5));
  return std::unique_ptr<Scraper>(new Scraper(std::move(client)));
}

Scraper::Scraper(std::unique_ptr<httplib::Client> client) : client_(std::move(client)) {}

Scraper::~Scraper() = default;

std::optional<std::string> Scraper::Scrape() {
  httplib::Result result = client_->Get("/metrics");
  if (!result || result->status != 200) {
    return std::nullopt;
  }
  return std::move(result->body);
}

}  // namespace klatch::load
