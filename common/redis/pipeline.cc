#include "common/redis/pipeline.h"

#include <utility>

#include "common/redis/pipeline_loop.h"

namespace klatch::redis {

Pipeline::Pipeline(Address address, Options options)
    : loop_(std::make_unique<Loop>(std::move(address), std::move(options), connected_)) {}

Pipeline::~Pipeline() = default;

void Pipeline::Submit(std::vector<Command> commands, Callback done) {
  loop_->Submit(std::move(commands), std::move(done));
}

std::chrono::nanoseconds Pipeline::OldestAge() const { return loop_->OldestAge(); }

}  // namespace klatch::redis
