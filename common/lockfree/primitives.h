#pragma once
// What the structures of this folder are made of: the standard's atomics, a mutex and plain fields
// that an atomic publishes.
//
// Each is only a name. tests/interleave puts a file of this name in front, in which they are those
// of a model of memory, and so runs the very sources of this folder under schedules and old values
// that it chooses. Whatever two threads touch goes by these names; what one thread has for itself
// doesn't need them.

#include <atomic>
#include <mutex>

namespace klatch::lockfree {

template <typename T>
using Atomic = std::atomic<T>;

// A field without an order of its own: whoever reads it has acquired what was released after it was
// written.
template <typename T>
using Plain = T;

using Mutex = std::mutex;

}  // namespace klatch::lockfree
