#pragma once
// Every way by which an update reaches somebody, every reason for which it must not, and which of them
// meet: what klatchd_privacy_redis_test plays, cell by cell.
//
// Neither list can be forgotten. A Visibility without a reason here does not compile. A method of the
// API whose answer can hold an update and which is not in kMethods fails the build
// (privacy_registry_check.cc).
//
// Thread safety: constants.

#include <array>
#include <string_view>

#include "services/read/may_see.h"

namespace klatch::testing {

enum class Path {
  kHome,
  kHomeNextPage,  // by a page token from before the reason
  kGroup,
  kGroupNextPage,
  kProfile,
  kProfileNextPage,
  kSingle,
  kWatch,  // resumed by a token from before the update
  kGateway,
  kHttpHome,
  kHttpWatch,
  kReply,  // of a post of the viewer: refused as if the update were not there
  kReshare,
};
inline constexpr std::array kPaths = {
    Path::kHome,    Path::kHomeNextPage,    Path::kGroup,     Path::kGroupNextPage,
    Path::kProfile, Path::kProfileNextPage, Path::kSingle,    Path::kWatch,
    Path::kGateway, Path::kHttpHome,        Path::kHttpWatch, Path::kReply,
    Path::kReshare};

static_assert(kPaths.size() == static_cast<size_t>(Path::kReshare) + 1);

constexpr std::string_view NameOf(Path path) {
  switch (path) {
    case Path::kHome:
      return "home";
    case Path::kHomeNextPage:
      return "home, next page";
    case Path::kGroup:
      return "group";
    case Path::kGroupNextPage:
      return "group, next page";
    case Path::kProfile:
      return "profile";
    case Path::kProfileNextPage:
      return "profile, next page";
    case Path::kSingle:
      return "single";
    case Path::kWatch:
      return "watch";
    case Path::kGateway:
      return "gateway";
    case Path::kHttpHome:
      return "HTTP home";
    case Path::kHttpWatch:
      return "HTTP watch";
    case Path::kReply:
      return "reply to it";
    case Path::kReshare:
      return "reshare of it";
  }
  return "?";
}

// A method whose answer can hold updates, and where it is tried.
struct Method {
  std::string_view name;
  std::string_view tried;
};
inline constexpr std::array kMethods = {
    Method{"klatch.v1.FeedService.GetUpdate", "Path::kSingle"},
    Method{"klatch.v1.FeedService.ListHomeTimeline", "Path::kHome, kHomeNextPage, kHttpHome"},
    Method{"klatch.v1.FeedService.ListGroupTimeline", "Path::kGroup, kGroupNextPage"},
    Method{"klatch.v1.FeedService.ListProfileTimeline", "Path::kProfile, kProfileNextPage"},
    Method{"klatch.v1.FeedService.WatchHomeTimeline", "Path::kWatch, kHttpWatch"},
    Method{"klatch.v1.FeedService.WatchHomeTimelines", "Path::kGateway"},
    // PersonService.GetUnreadCounts holds none: it counts what the pages show, which is tried beside them.
    Method{"klatch.v1.FeedService.EditUpdate", "answers its author, with what the call says"},
    Method{"klatch.v1.AdminService.ReadLog", "answers operators, who may read all of Redis"},
};

enum class Reason {
  kDeleted,             // by its author
  kDeletedByModerator,  // of the group through which the viewer would see it
  kGroupDeleted,
  kEdited,    // it is shown, but not with its former text
  kAudience,  // edited to members at posting; the viewer has joined later
  kExpired,
  kBeyondCount,             // of what the group keeps
  kLeft,                    // was removed
  kJoinedAgain,             // and it is for members at posting
  kJoinedAgainWithoutPast,  // and it is for members now
  kBlocks,                  // the author
  kIsBlocked,               // by the author
  kMutesAuthor,
  kMutesGroup,
  kHides,
};
inline constexpr std::array kReasons = {Reason::kDeleted,      Reason::kDeletedByModerator,
                                        Reason::kGroupDeleted, Reason::kEdited,
                                        Reason::kAudience,     Reason::kExpired,
                                        Reason::kBeyondCount,  Reason::kLeft,
                                        Reason::kJoinedAgain,  Reason::kJoinedAgainWithoutPast,
                                        Reason::kBlocks,       Reason::kIsBlocked,
                                        Reason::kMutesAuthor,  Reason::kMutesGroup,
                                        Reason::kHides};

static_assert(kReasons.size() == static_cast<size_t>(Reason::kHides) + 1);

constexpr std::string_view NameOf(Reason reason) {
  switch (reason) {
    case Reason::kDeleted:
      return "deleted";
    case Reason::kDeletedByModerator:
      return "moderated";
    case Reason::kGroupDeleted:
      return "group-deleted";
    case Reason::kEdited:
      return "edited";
    case Reason::kAudience:
      return "audience";
    case Reason::kExpired:
      return "expired";
    case Reason::kBeyondCount:
      return "beyond-count";
    case Reason::kLeft:
      return "left";
    case Reason::kJoinedAgain:
      return "again";
    case Reason::kJoinedAgainWithoutPast:
      return "again-no-past";
    case Reason::kBlocks:
      return "blocks";
    case Reason::kIsBlocked:
      return "blocked";
    case Reason::kMutesAuthor:
      return "mutes-author";
    case Reason::kMutesGroup:
      return "mutes-group";
    case Reason::kHides:
      return "hides";
  }
  return "?";
}

// The reason of this matrix under which the core says so.
constexpr Reason ReasonOf(Visibility visibility) {
  switch (visibility) {
    case Visibility::kVisible:
    case Visibility::kNotThere:
      return Reason::kDeletedByModerator;
    case Visibility::kExpired:
      return Reason::kExpired;
    case Visibility::kNotMember:
      return Reason::kLeft;
    case Visibility::kBeforeJoin:
      return Reason::kJoinedAgain;
    case Visibility::kBeforeVisible:
      return Reason::kJoinedAgainWithoutPast;
    case Visibility::kBlocked:
      return Reason::kBlocks;
    case Visibility::kMuted:
      return Reason::kMutesAuthor;
    case Visibility::kHidden:
      return Reason::kHides;
  }
  return Reason::kDeleted;
}

constexpr bool IsWatch(Path path) {
  return path == Path::kWatch || path == Path::kGateway || path == Path::kHttpWatch;
}
constexpr bool ComesHome(Path path) {
  return path == Path::kHome || path == Path::kHomeNextPage || path == Path::kHttpHome ||
         IsWatch(path);
}
constexpr bool IsAsked(Path path) {
  return path == Path::kSingle || path == Path::kReply || path == Path::kReshare;
}

// Whether the viewer is shown the update by this path before there is a reason, and so something is
// tried at all.
constexpr bool Meets(Reason reason, Path path) {
  // What was posted before somebody joined does not come home to them; they find it in the group.
  return !(reason == Reason::kAudience && ComesHome(path));
}

// Whether the path shows it in spite of the reason: the rule of services/read/may_see.h, written down
// a second time.
constexpr bool ShowsInSpite(Reason reason, Path path) {
  switch (reason) {
    case Reason::kMutesAuthor:
    case Reason::kMutesGroup:
      return !ComesHome(path);
    case Reason::kHides:
      return IsAsked(path);
    case Reason::kEdited:
      // A reply is to the update, whatever it says.
      return path == Path::kReply || path == Path::kReshare;
    case Reason::kDeleted:
    case Reason::kDeletedByModerator:
    case Reason::kGroupDeleted:
    case Reason::kAudience:
    case Reason::kExpired:
    case Reason::kBeyondCount:
    case Reason::kLeft:
    case Reason::kJoinedAgain:
    case Reason::kJoinedAgainWithoutPast:
    case Reason::kBlocks:
    case Reason::kIsBlocked:
      return false;
  }
  return true;
}

// Whether the reason is about one of the groups that a post went to: who is in another of them, too, is shown
// it through that.
constexpr bool IsOfOneGroup(Reason reason) {
  switch (reason) {
    case Reason::kDeletedByModerator:
    case Reason::kGroupDeleted:
    case Reason::kBeyondCount:
    case Reason::kLeft:
    case Reason::kJoinedAgain:
    case Reason::kJoinedAgainWithoutPast:
    case Reason::kMutesGroup:
      return true;
    case Reason::kDeleted:
    case Reason::kEdited:
    case Reason::kAudience:  // the update's
    case Reason::kExpired:
    case Reason::kBlocks:
    case Reason::kIsBlocked:
    case Reason::kMutesAuthor:
    case Reason::kHides:
      return false;
  }
  return false;
}

// Whether the path shows it to them in spite of the reason.
constexpr bool ShowsInBoth(Reason reason, Path path) {
  const bool is_of_the_group = path == Path::kGroup || path == Path::kGroupNextPage;
  return !is_of_the_group || ShowsInSpite(reason, path);
}

// Whether somebody for whom there is no reason sees it still: a member of the group from the start, and,
// of a post to several groups, of the other one.
constexpr bool OthersSee(Reason reason, bool is_to_several) {
  switch (reason) {
    case Reason::kDeleted:
    case Reason::kEdited:
    case Reason::kExpired:
      return false;
    case Reason::kDeletedByModerator:
    case Reason::kGroupDeleted:
    case Reason::kBeyondCount:
      return is_to_several;
    case Reason::kAudience:
    case Reason::kLeft:
    case Reason::kJoinedAgain:
    case Reason::kJoinedAgainWithoutPast:
    case Reason::kBlocks:
    case Reason::kIsBlocked:
    case Reason::kMutesAuthor:
    case Reason::kMutesGroup:
    case Reason::kHides:
      return true;
  }
  return false;
}

}  // namespace klatch::testing
