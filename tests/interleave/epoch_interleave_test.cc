// Deferred deletion and published pointers under forced interleavings. Objects are plain, and end
// when they are deleted: who still looks, or is not ordered before, is found.

// Its source, so that each execution can begin with the same hint of a free slot.
#include <gtest/gtest.h>

#include <memory>

#include "common/lockfree/epoch.cc"  // NOLINT
#include "common/lockfree/primitives.h"
#include "common/lockfree/published_pointer.h"
#include "tests/interleave/explore.h"

namespace klatch::lockfree {
namespace {

using interleave::Explore;
using interleave::World;

struct Node {
  explicit Node(uint64_t number) : value(number) {}

  Plain<uint64_t> value;
};

// A reclaimer, and a list of one node that its writers exchange as epoch.h says.
struct Shelf {
  Shelf() { SlotHint() = 0; }
  ~Shelf() { epochs.Retire(node.load(std::memory_order_relaxed)); }

  void Exchange(uint64_t number) {
    epochs.Retire(node.exchange(new Node(number), std::memory_order_acq_rel));
  }
  uint64_t Read() {
    const EpochReclaimer::Guard guard(epochs);
    return node.load(std::memory_order_acquire)->value;
  }

  EpochReclaimer epochs;
  Atomic<const Node*> node{new Node(0)};
};

TEST(EpochInterleaveTest, NothingIsDeletedUnderAReader) {
  Explore({.steps = 300, .is_small = true}, [](World& world) {
    Shelf shelf;
    world.Together({[&] {
                      shelf.Exchange(1);
                      shelf.epochs.TryReclaim();
                    },
                    [&] { world.Check(shelf.Read() <= 1, "a reader sees no node"); }});
    world.Check(shelf.epochs.TryReclaim() <= 1 && shelf.epochs.retired() == 0,
                "what nobody sees is kept");
  });
}

TEST(EpochInterleaveTest, NothingIsDeletedUnderReadersThatTakeEachOthersSlots) {
  Explore({.steps = 600}, [](World& world) {
    Shelf shelf;
    const auto read = [&] {
      for (int i = 0; i < 2; ++i) {
        world.Check(shelf.Read() <= 2, "a reader sees no node");
      }
    };
    world.Together({[&] {
                      for (uint64_t number = 1; number <= 2; ++number) {
                        shelf.Exchange(number);
                        shelf.epochs.TryReclaim();
                      }
                    },
                    read, read});
  });
}

TEST(EpochInterleaveTest, AThirdThreadReclaimsWhatWritersRetire) {
  Explore({.steps = 600}, [](World& world) {
    Shelf shelf;
    world.Together({[&] {
                      shelf.Exchange(1);
                      shelf.Exchange(2);
                    },
                    [&] { world.Check(shelf.Read() <= 2, "a reader sees no node"); },
                    [&] {
                      shelf.epochs.TryReclaim();
                      shelf.epochs.TryReclaim();
                    }});
  });
}

TEST(PublishedPointerInterleaveTest, ReadersSeeWholeObjectsThatStay) {
  Explore({.steps = 600}, [](World& world) {
    SlotHint() = 0;
    EpochReclaimer epochs;
    PublishedPointer<Node> pointer;
    const auto read = [&] {
      const EpochReclaimer::Guard guard(epochs);
      const Node* const first = pointer.Load(guard);
      const Node* const second = pointer.Load(guard);
      world.Check(second != nullptr || first == nullptr, "a pointer went back");
      world.Check(first == nullptr || first->value <= second->value, "an older object came back");
    };
    world.Together({[&] {
                      for (uint64_t number = 1; number <= 2; ++number) {
                        pointer.Replace(std::make_unique<const Node>(number), epochs);
                        epochs.TryReclaim();
                      }
                    },
                    read, read});
    world.Check(pointer.Own()->value == 2, "the last object is not there");
  });
}

TEST(PublishedPointerInterleaveTest, TheFirstObjectIsWholeForWhoSeesIt) {
  Explore({.steps = 30, .is_small = true}, [](World& world) {
    SlotHint() = 0;
    EpochReclaimer epochs;
    PublishedPointer<Node> pointer;
    world.Together({[&] { pointer.Replace(std::make_unique<const Node>(1), epochs); },
                    [&] {
                      const EpochReclaimer::Guard guard(epochs);
                      const Node* const node = pointer.Load(guard);
                      world.Check(node == nullptr || node->value == 1, "an object is not whole");
                    }});
  });
}

}  // namespace
}  // namespace klatch::lockfree
