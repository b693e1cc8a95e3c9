// Pages of members over batches as Redis makes them: too large, too small, changing meanwhile.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>

#include "accept_fakes.h"
#include "services/groups/member_pages.h"

namespace klatch {
namespace {

using testing::Await;

// A hash of so many buckets, scanned bucket by bucket until the count is reached.
class FakeScan final : public GroupReader {
 public:
  base::Task<absl::StatusOr<StoredGroup>> ReadGroup(GroupId) override { co_return StoredGroup(); }
  base::Task<absl::StatusOr<Stay>> ReadStay(GroupId, PersonId) override { co_return Stay(); }
  base::Task<absl::StatusOr<MemberScan>> ScanMembers(GroupId, uint64_t cursor,
                                                     size_t count) override {
    ++scans;
    MemberScan scan;
    size_t looked_at = 0;
    do {
      for (const std::string& person : buckets[cursor]) {
        scan.members.push_back({PersonId(person), Stay{Role::kMember, Position(7), Position()}});
      }
      cursor = (cursor + 1) % buckets.size();
    } while (cursor != 0 && scan.members.size() < count && ++looked_at < buckets_per_scan);
    scan.next_cursor = cursor;
    co_return scan;
  }

  std::vector<std::vector<std::string>> buckets;
  size_t buckets_per_scan = 1'000;
  size_t scans = 0;
};

std::vector<std::string> NamesOf(const MemberPage& page) {
  std::vector<std::string> names;
  for (const StoredMember& member : page.members) {
    names.push_back(member.person.value());
  }
  return names;
}

MemberPage Page(FakeScan& scan, const MemberCursor& cursor, size_t size) {
  const auto page = Await(ReadMemberPage(scan, GroupId("g"), cursor, size));
  EXPECT_TRUE(page.ok());
  EXPECT_LE(page->members.size(), size);
  return *page;
}

TEST(MemberPagesTest, EveryPageSizeShowsEachMemberOnceAndFillsItsPages) {
  for (const size_t bucket_count : {1, 7, 64}) {
    FakeScan scan;
    scan.buckets.resize(bucket_count);
    for (size_t i = 0; i < 100; ++i) {
      scan.buckets[i * i % bucket_count].push_back("person " + std::to_string(i));
    }
    for (const size_t size : {1, 2, 3, 10, 99, 100, 1'000}) {
      std::multiset<std::string> seen;
      std::optional<MemberCursor> cursor = MemberCursor();
      size_t pages = 0;
      while (cursor) {
        const MemberPage page = Page(scan, *cursor, size);
        for (const std::string& name : NamesOf(page)) {
          seen.insert(name);
        }
        cursor = page.next;
        ASSERT_LE(++pages, 200u) << "it does not come to an end";
      }
      EXPECT_EQ(seen.size(), 100u) << size << " of " << bucket_count;
      EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 100u);
    }
  }
}

TEST(MemberPagesTest, WhoStaysIsNeverMissingThoughOthersComeAndGo) {
  const uint64_t seed = std::random_device()();
  std::mt19937_64 random(seed);
  for (int round = 0; round < 300; ++round) {
    FakeScan scan;
    scan.buckets.resize(8);
    std::set<std::string> stay;
    for (int i = 0; i < 40; ++i) {
      const std::string name = std::to_string(random());
      scan.buckets[random() % 8].push_back(name);
      if (i % 2 == 0) {
        stay.insert(name);
      }
    }
    std::set<std::string> seen;
    std::optional<MemberCursor> cursor = MemberCursor();
    while (cursor) {
      const MemberPage page = Page(scan, *cursor, 1 + random() % 6);
      for (const std::string& name : NamesOf(page)) {
        seen.insert(name);
      }
      cursor = page.next;
      // Somebody leaves, somebody joins.
      auto& bucket = scan.buckets[random() % 8];
      std::erase_if(bucket, [&](const std::string& name) {
        return !stay.contains(name) && random() % 2 == 0;
      });
      bucket.push_back("joiner " + std::to_string(random()));
      if (seen.size() > 500) {
        break;  // Joiners come faster than they are listed.
      }
    }
    for (const std::string& name : stay) {
      ASSERT_TRUE(seen.contains(name)) << name << " in round " << round << " of seed " << seed;
    }
  }
}

TEST(MemberPagesTest, ABatchThatEndsElsewhereIsShownFromItsBeginning) {
  FakeScan scan;
  scan.buckets = {{"ann", "bob", "cat", "dan"}};
  const MemberPage first = Page(scan, MemberCursor(), 3);
  EXPECT_EQ(NamesOf(first), (std::vector<std::string>{"ann", "bob", "cat"}));
  ASSERT_TRUE(first.next);
  scan.buckets = {{"dan", "ann", "cat"}, {"aaron", "bob"}};
  const MemberPage second = Page(scan, *first.next, 3);
  EXPECT_EQ(NamesOf(second), (std::vector<std::string>{"ann", "cat", "dan"}));
  ASSERT_TRUE(second.next);
  EXPECT_EQ(NamesOf(Page(scan, *second.next, 3)), (std::vector<std::string>{"aaron", "bob"}));
}

TEST(MemberPagesTest, ASparseGroupIsAskedABoundedNumberOfTimesPerPage) {
  FakeScan scan;
  scan.buckets.resize(40);
  scan.buckets[39] = {"last"};
  scan.buckets_per_scan = 1;
  const MemberPage first = Page(scan, MemberCursor(), 10);
  EXPECT_TRUE(first.members.empty());
  EXPECT_EQ(scan.scans, static_cast<size_t>(kMemberScansMax));
  ASSERT_TRUE(first.next);
  const MemberPage second = Page(scan, *first.next, 10);
  ASSERT_TRUE(second.next);
  const MemberPage third = Page(scan, *second.next, 10);
  EXPECT_EQ(NamesOf(third), std::vector<std::string>{"last"});
  EXPECT_FALSE(third.next);
}

TEST(MemberPagesTest, CursorsSurviveTheirEncoding) {
  for (const MemberCursor& cursor :
       {MemberCursor(), MemberCursor{.scan = ~uint64_t{0}},
        MemberCursor{1, 2, 1'000, std::string(128, 'x')}, MemberCursor{0, 0, 7, "a"}}) {
    EXPECT_EQ(DecodeMemberCursor(EncodeMemberCursor(cursor)), cursor);
  }
  EXPECT_FALSE(DecodeMemberCursor(std::string(19, 'x')));
}

}  // namespace
}  // namespace klatch
