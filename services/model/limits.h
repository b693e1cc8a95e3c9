#pragma once
// Every fixed bound of the service in one place, with its unit. What an operator may change is an
// option (klatchd/options.cc) whose default stands here.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace klatch::limits {

// Requests.
constexpr size_t kRequestIdBytesMax = 256;
constexpr size_t kTextBytesMax = 10'000;
constexpr size_t kAttachmentsMax = 16;
constexpr size_t kUriBytesMax = 2'048;
constexpr size_t kMediaTypeBytesMax = 127;
constexpr size_t kAltTextBytesMax = 1'000;
constexpr size_t kPlaceLabelBytesMax = 200;
constexpr size_t kDisplayNameBytesMax = 200;
constexpr size_t kDescriptionBytesMax = 2'000;
constexpr size_t kBatchUpdatesMax = 100;
constexpr size_t kGroupsPerUpdateMax = 100;
// Over all updates of a batch that go to several groups; one to all of the actor's groups counts as
// kGroupsPerUpdateMax.
constexpr size_t kBatchGroupsMax = 1'000;
// Groups of a person that are looked at to find those where they may post.
constexpr size_t kGroupsLookedAtMax = 1'000;
constexpr size_t kMembersPerCallMax = 10'000;
constexpr size_t kMembersPerScript = 200;
constexpr size_t kImportUpdatesMax = 100;
// How far an imported update's time may be ahead of the node's clock, since clocks differ.
constexpr std::chrono::minutes kImportAheadMax{1};
// Of a list of members that comes in parts: persons, bytes of all its messages, and lists that a node
// takes at once. Members read of Redis at once, to compare.
constexpr size_t kSyncMembersMax = 1'000'000;
constexpr size_t kSyncBytesMax = 64 << 20;
constexpr size_t kSyncsMax = 2;
constexpr size_t kSyncScanned = 1'000;
// Whom the answer names of those who joined, changed their role or left.
constexpr size_t kSyncNamedMax = 10'000;
constexpr size_t kSyncNamedBytesMax = 512 << 10;
// A post to several groups returns one per shard that it touched: at most one more than groups.
constexpr size_t kTokensMax = 128;
constexpr size_t kMessageBytesMax = 1 << 20;
// How far ahead an update's expiry may be, and how near; a group's past is kept as long at least.
constexpr std::chrono::minutes kExpireMin{1};
constexpr std::chrono::hours kExpireMax{24 * 366};

// Pages.
constexpr int kPageSizeDefault = 20;
constexpr int kPageSizeMax = 200;
constexpr int kMembersPageDefault = 100;
constexpr int kMembersPageMax = 1'000;
constexpr size_t kExaminedMax = 1'000;
// Updates of one page as they are sent; many clients take no message above 4 MiB.
constexpr size_t kPageBytesMax = 1 << 20;
constexpr size_t kPageTokenBytesMax = 512;

// Personal state, each of one person.
constexpr size_t kBlocksMax = 10'000;
// By how many others a person can be blocked; far above any bound on a group.
constexpr size_t kBlockedByMax = 1'000'000;
constexpr size_t kMutesMax = 1'000;  // persons and groups together
constexpr size_t kHiddenMax = 10'000;
constexpr size_t kReadMarkersMax = 10'000;
constexpr size_t kProfileFieldsMax = 16;
constexpr size_t kProfileFieldNameBytesMax = 64;
constexpr size_t kProfileFieldValueBytesMax = 1'000;
// Timelines that one call asks about, besides home; ids examined of one, and of all together.
constexpr size_t kUnreadGroupsMax = 100;
constexpr size_t kUnreadExaminedMax = 1'000;
constexpr size_t kUnreadExaminedOfAllMax = 10'000;

// Timelines.
constexpr uint32_t kTimelineCap = 800;
constexpr uint32_t kStoredSlotsMax = 880;  // the cap and a tenth
// A post to several groups reaches a group usually within ms of its id, later if the node that took
// it died. What looks for such posts in a feed looks no further back.
constexpr std::chrono::minutes kCarriedLaterMax{10};

// Who has not read for so long gets no copies, by default.
constexpr std::chrono::hours kQuietAfter{24 * 30};

// Groups that are read from their feeds: of more members than this, by default.
constexpr uint32_t kPullAbove = 10'000;
// Feeds that are asked for a home timeline, and of these how many at once: 7 KiB each.
constexpr size_t kPulledFeedsMax = 1'024;
constexpr size_t kPulledFeedsPerRead = 64;

// Watches.
constexpr size_t kWatchTokenBytesMax = 16'384;
constexpr size_t kWatchTokenShownMax = 256;  // ids above the floor
constexpr size_t kWatchPersonsPerStreamMax = 100'000;
constexpr size_t kWatchItemsMax = 262'144;       // between one worker and the live thread
constexpr size_t kWatchPendingMax = 262'144;     // of one worker, waiting for the others
constexpr size_t kWatchHistoryMax = 65'536;      // edits, deletions and leaves kept for resumes
constexpr size_t kWatchOutboxEventsMax = 4'096;  // of one stream
constexpr size_t kWatchOutboxRecipientsMax = 1'000'000;
// Posts to several groups that a watch remembers to have sent, per person: as many may come to one of
// the person's groups before the first of them comes to another.
constexpr size_t kWatchSeveralMax = 512;
// How long a token of a watch or page names such a post of which it is not known what its groups have
// decided; the sweeper comes after kPendingAge.
constexpr std::chrono::milliseconds kWatchSeveralOpenMax{60'000};
// Posts to several groups of which a watch remembers to have said that a group has them no longer.
constexpr size_t kWatchRemovalsToldMax = 64;
constexpr size_t kWatchMessageEventsMax = 500;
constexpr size_t kWatchMessageBytesMax = 1 << 20;
constexpr size_t kWatchPersonsBytesMax = 512 << 10;  // of one event in one message
constexpr size_t kWatchAnswerPartBytesMax = 256 << 10;
constexpr size_t kWatchAnswersBytesMax = 1 << 20;  // of one stream, waiting: it is read no further
constexpr size_t kWatchReadsMax = 64;              // timelines read at once for resumes
constexpr size_t kWatchBodiesPerFetch = 256;
constexpr int kWatchHeartbeatSecondsDefault = 10;
constexpr int kWatchHeartbeatSecondsMax = 60;
constexpr std::chrono::milliseconds kWatchStallMax{10'000};  // that a client takes nothing
constexpr uint32_t kWatchesMax = 10'000;                     // streams on a node
constexpr uint32_t kWatchedPersonsMax = 1'000'000;           // on a node
constexpr std::chrono::milliseconds kWatchPatience{
    2'000};  // for a token from the future, for bodies

// gRPC's connections. What an operator may change stands in klatchd/options.cc.
constexpr uint32_t kConnectionsMax = 10'000;
// Descriptors that connections leave to everything else: HTTP's own bound, and so many.
constexpr uint32_t kDescriptorsKept = 512;
constexpr int kMetadataBytesMax = 8 * 1024;
// From the connection to the client's first settings; TLS too.
constexpr std::chrono::milliseconds kHandshakeTime{10'000};
// A client that has been silent is asked whether it is there, and is gone if it doesn't answer.
constexpr std::chrono::milliseconds kSilenceMax{30'000};
constexpr std::chrono::milliseconds kAliveAnswerTime{20'000};
// How often clients may ask, with or without calls; who asks more often three times is sent away.
constexpr std::chrono::milliseconds kClientPingsApart{5'000};
constexpr int kClientPingsTooSoonMax = 2;
// Without calls.
constexpr std::chrono::milliseconds kConnectionIdleMax{300'000};
constexpr std::chrono::hours kConnectionAge{24};
// For calls that are under way when a connection is as old as it may be.
constexpr std::chrono::milliseconds kConnectionAgeGrace{60'000};

// HTTP. A head has room for two tokens of a watch: in the address, and in Last-Event-ID.
constexpr uint32_t kHttpHeadBytesMax = 8'192 + 2 * kWatchTokenBytesMax;
constexpr uint32_t kHttpConnectionsMax = 1'000;
// Connections above the bound that are told so, at once; more are closed without a word.
constexpr size_t kHttpRefusalsMax = 64;
constexpr uint64_t kHttpTimeoutMsMax = 600'000;
constexpr std::chrono::milliseconds kHttpHeadTime{
    10'000};  // from its first byte, or the connection
constexpr std::chrono::milliseconds kHttpBodyTime{30'000};
constexpr std::chrono::milliseconds kHttpIdleTime{30'000};   // between two requests
constexpr std::chrono::milliseconds kHttpWriteTime{30'000};  // of an answer
constexpr std::chrono::milliseconds kHttpLingerTime{1'000};  // for the last answer to be taken

// Waits.
constexpr std::chrono::milliseconds kCallDeadlineDefault{10'000};
constexpr std::chrono::milliseconds kLeaseDuration{3'000};
constexpr std::chrono::hours kOnceRetention{24};
// A group's refusal of a post to several is remembered for so long by the group; the body of the
// post, where it counts in the end, has it within seconds.
constexpr std::chrono::hours kRefusalRetention{1};
// A post to several groups that is not decided after this is finished by the sweeper.
constexpr std::chrono::milliseconds kPendingAge{5'000};
// How many of a shard's it takes on at once.
constexpr size_t kSweptPerShard = 4;
constexpr std::chrono::hours kBodyRetention{24 * 90};

// Administration.
constexpr size_t kRebuildPersonsMax = 1'000;  // of one call
constexpr size_t kScrubPersonsMax = 100;      // of one call
constexpr size_t kScrubGroupsMax = 1'000;     // whose members or feeds one call looks at
constexpr int kLogPageDefault = 100;
constexpr int kLogPageMax = 1'000;
constexpr size_t kLogPageBytesMax = 1 << 20;
constexpr size_t kAdminWaitsMax = 64;  // of calls that wait for flushes and rebuilds

// A group's past, as its owners may bound it.
constexpr std::chrono::hours kKeepAgeMax{24 * 3'650};
constexpr uint32_t kKeepCountMax = kTimelineCap;
constexpr uint64_t kKeepBytesMin = 1 << 10;
// How often groups are looked at for what they keep no longer; how many are scanned per shard, and how
// many of all are dealt with, at once; how many bodies one command deletes.
constexpr std::chrono::milliseconds kKeeperPause{2'000};
constexpr size_t kKeeperScan = 100;
constexpr size_t kKeeperGroupsPerPass = 200;
constexpr size_t kKeeperBodiesPerCommand = 200;

// The log of a shard.
constexpr std::chrono::minutes kLogKept{10};
constexpr int64_t kLogShardBytesMax = 64 << 20;

}  // namespace klatch::limits
