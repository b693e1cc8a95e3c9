#pragma once
// What all holders of published_pointer_bench are measured with: a list that is read by several
// threads and replaced now and then. Reads while nobody replaces, and while a writer does
// (paced_writer.h); then the cost of replacing.
//
// A Holder has
//   class Reader             what a reading thread makes before its first read
//   void Replace(List)       the writer's
//   uint64_t Read()          the sum of the list

#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "bench/micro/paced_writer.h"

namespace klatch::lockfree {

using List = std::vector<uint64_t>;

// Whoever reads another sum has seen a list that was not whole, or not there any more.
constexpr uint64_t kSum = 10;
inline List NewList() { return List(kSum, 1); }
inline uint64_t SumOf(const List& list) {
  return std::accumulate(list.begin(), list.end(), uint64_t{0});
}

struct NoReader {};

template <typename Holder>
void Read(benchmark::State& state) {
  // Set by the first thread before all begin, for all.
  static std::unique_ptr<Holder> holder;
  static std::optional<PacedWriter> writer;
  if (state.thread_index() == 0) {
    holder = std::make_unique<Holder>();
    holder->Replace(NewList());
    if (state.range(0) != 0) {
      writer.emplace([] {
        holder->Replace(NewList());
        return true;
      });
    }
  }
  bool is_right = true;
  {
    [[maybe_unused]] const typename Holder::Reader reader;
    for (auto _ : state) {
      is_right &= holder->Read() == kSum;
    }
  }
  if (!is_right) {
    state.SkipWithError("read a list that was not whole");
  }
  state.SetItemsProcessed(state.iterations());
  if (state.thread_index() == 0) {
    writer.reset();
    holder.reset();
  }
}

template <typename Holder>
void Replace(benchmark::State& state) {
  [[maybe_unused]] const typename Holder::Reader reader;
  Holder holder;
  for (auto _ : state) {
    holder.Replace(NewList());
  }
  if (holder.Read() != kSum) {
    state.SkipWithError("read a list that was not whole");
  }
  state.SetItemsProcessed(state.iterations());
}

#define KLATCH_BENCH_POINTER(read, replace)                                                  \
  BENCHMARK(read)->ArgName("writer")->Arg(0)->Arg(1)->Threads(1)->Threads(2)->UseRealTime(); \
  BENCHMARK(replace)->UseRealTime()

}  // namespace klatch::lockfree
