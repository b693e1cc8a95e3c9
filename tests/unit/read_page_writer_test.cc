// Pages as bytes, checked by reading them with the generated classes.

#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <numeric>

#include "klatch/v1/feed_service.pb.h"
#include "services/read/page_writer.h"
#include "tests/unit/read_world.h"

namespace klatch {
namespace {

std::shared_ptr<const Body> BodyWithText(const std::string& text, uint32_t revision = 0) {
  klatch::v1::Update update;
  update.set_author("al");
  update.add_groups("g");
  update.set_text(text);
  update.set_reply_to(77);
  update.add_attachments()->set_uri("s3://media/1");
  BodyHeader header;
  header.audience = AudienceRule::kMembersNow;
  header.revision = revision;
  header.author = PersonId("al");
  header.group = GroupId("g");
  return std::make_shared<const Body>(
      *Body::Decode(EncodeBody(header, update.SerializeAsString())));
}

PageEntry EntryWithText(uint64_t ms, const std::string& text, uint32_t revision = 0) {
  return PageEntry{UpdateId(ms, ShardIndex(3), 9), BodyWithText(text, revision)};
}

template <typename Response>
void ExpectRoundTrip() {
  std::vector<PageEntry> entries;
  // Sizes on both sides of the bound for copying, and of the lengths of varints.
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{100}, kCopiedBytesMax - 60, kCopiedBytesMax - 1,
                       kCopiedBytesMax, kCopiedBytesMax + 1, size_t{10'000}}) {
    entries.push_back(EntryWithText(5'000'123 + bytes, std::string(bytes, 'x'), bytes % 3));
  }
  klatch::v1::Completeness completeness;
  completeness.set_trimmed(true);
  completeness.add_stale_shards(4);
  completeness.mutable_complete_until()->set_seconds(99);

  Response page;
  ASSERT_TRUE(page.ParseFromString(ReadWorld::Flatten(WritePage(entries, "next", completeness))));

  ASSERT_EQ(page.updates_size(), static_cast<int>(entries.size()));
  for (size_t i = 0; i < entries.size(); ++i) {
    const klatch::v1::Update& update = page.updates(static_cast<int>(i));
    EXPECT_EQ(update.id(), entries[i].id.value());
    EXPECT_EQ(update.create_time().seconds(), entries[i].id.unix_ms() / 1000);
    EXPECT_EQ(update.create_time().nanos(), entries[i].id.unix_ms() % 1000 * 1'000'000);
    EXPECT_EQ(update.audience(), klatch::v1::AUDIENCE_MEMBERS_NOW);
    EXPECT_EQ(update.revision(), entries[i].body->header().revision);
    EXPECT_EQ(update.author(), "al");
    ASSERT_EQ(update.groups_size(), 1);
    EXPECT_EQ(update.groups(0), "g");
    EXPECT_EQ(update.reply_to(), 77);
    EXPECT_EQ(update.attachments(0).uri(), "s3://media/1");
    klatch::v1::ListHomeTimelineResponse alone;
    *alone.add_updates() = update;
    EXPECT_GE(BytesOnPage(entries[i]), alone.ByteSizeLong());
    klatch::v1::Update single;
    ASSERT_TRUE(ToUpdate(entries[i], single));
    EXPECT_EQ(single.SerializeAsString(), update.SerializeAsString());
  }
  EXPECT_EQ(page.next_page_token(), "next");
  EXPECT_EQ(page.completeness().SerializeAsString(), completeness.SerializeAsString());
}

TEST(PageWriterTest, IsReadByTheClassOfEachKindOfPage) {
  ExpectRoundTrip<klatch::v1::ListHomeTimelineResponse>();
  ExpectRoundTrip<klatch::v1::ListGroupTimelineResponse>();
  ExpectRoundTrip<klatch::v1::ListProfileTimelineResponse>();
}

TEST(PageWriterTest, NamesOfSeveralGroupsOnlyThoseThroughWhichItIsSeen) {
  klatch::v1::Update content;
  content.set_author("al");
  content.set_text("to all");
  BodyHeader header;
  header.author = PersonId("al");
  for (int i = 0; i < 100; ++i) {
    const GroupId group(std::string(120, 'g') + std::to_string(i));
    const auto audience = i == 7 ? AudienceRule::kMembersNow : AudienceRule::kMembersAtPosting;
    header.targets.push_back(
        {group, Carry{Position(10, ShardIndex(1), 0), audience, CarryRefusal::kNone}});
  }
  PageEntry entry{
      UpdateId(5, ShardIndex(2), 1),
      std::make_shared<const Body>(*Body::Decode(EncodeBody(header, content.SerializeAsString())))};
  const auto written = [&] {
    klatch::v1::ListHomeTimelineResponse page;
    EXPECT_TRUE(page.ParseFromString(
        ReadWorld::Flatten(WritePage(std::span(&entry, 1), "", klatch::v1::Completeness()))));
    klatch::v1::ListHomeTimelineResponse alone;
    *alone.add_updates() = page.updates(0);
    EXPECT_GE(BytesOnPage(entry), alone.ByteSizeLong());
    return page.updates(0);
  };
  entry.through = {3, 9};
  EXPECT_EQ(written().groups_size(), 2);
  EXPECT_EQ(written().groups(1), header.targets[9].group.value());
  EXPECT_EQ(written().text(), "to all");
  EXPECT_EQ(written().audience(), klatch::v1::AUDIENCE_MEMBERS_AT_POSTING);
  entry.through = {3, 7};
  EXPECT_EQ(written().audience(), klatch::v1::AUDIENCE_UNSPECIFIED);
  entry.through.resize(100);
  std::iota(entry.through.begin(), entry.through.end(), uint8_t{0});
  EXPECT_EQ(written().groups_size(), 100);
}

TEST(PageWriterTest, WritesAnEmptyPage) {
  klatch::v1::ListHomeTimelineResponse page;
  ASSERT_TRUE(
      page.ParseFromString(ReadWorld::Flatten(WritePage({}, "", klatch::v1::Completeness()))));
  EXPECT_EQ(page.updates_size(), 0);
  EXPECT_TRUE(page.next_page_token().empty());
  EXPECT_TRUE(page.has_completeness());
}

TEST(PageWriterTest, KeepsLargeBodiesAliveUntilTheBytesAreGone) {
  std::weak_ptr<const Body> watched;
  grpc::ByteBuffer bytes;
  {
    std::vector<PageEntry> entries{EntryWithText(1, std::string(5'000, 'y'))};
    watched = entries[0].body;
    bytes = WritePage(entries, "", klatch::v1::Completeness());
  }
  EXPECT_FALSE(watched.expired());
  klatch::v1::ListHomeTimelineResponse page;
  ASSERT_TRUE(page.ParseFromString(ReadWorld::Flatten(bytes)));
  EXPECT_EQ(page.updates(0).text(), std::string(5'000, 'y'));
  bytes.Clear();
  EXPECT_TRUE(watched.expired());
}

TEST(PageWriterTest, SendsAPageOfSmallUpdatesAsOnePiece) {
  std::vector<PageEntry> entries;
  for (uint64_t ms = 0; ms < 20; ++ms) {
    entries.push_back(EntryWithText(ms, "short"));
  }
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(WritePage(entries, "next", klatch::v1::Completeness()).Dump(&slices).ok());
  EXPECT_EQ(slices.size(), 1u);
}

}  // namespace
}  // namespace klatch
