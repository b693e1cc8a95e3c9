#pragma once
// What a node says of itself under /metrics.
//
// Thread safety: one thread at a time.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace httplib {
class Client;
}

namespace klatch::load {

// The sum over all series of one metric in a Prometheus exposition; nothing if there is none.
std::optional<double> MetricValue(std::string_view exposition, std::string_view name);

class Scraper {
 public:
  // INVALID_ARGUMENT: no endpoint.
  static absl::StatusOr<std::unique_ptr<Scraper>> Make(const std::string& endpoint);
  ~Scraper();
  Scraper(const Scraper&) = delete;
  Scraper& operator=(const Scraper&) = delete;

  // The exposition; nothing if the node does not answer within seconds.
  std::optional<std::string> Scrape();

 private:
  explicit Scraper(std::unique_ptr<httplib::Client> client);

  const std::unique_ptr<httplib::Client> client_;
};

}  // namespace klatch::load
