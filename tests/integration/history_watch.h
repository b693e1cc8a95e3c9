#pragma once
// One watch of a history: what it shows, held against what the model says that it must and may show.
//
//   HistoryWatch watch(desk, person);  // reads the home timeline and goes on from its token
//   …an operation… watch.AfterOperation();
//   watch.Check();                     // waits for all that is due by now, and judges what has come
//   watch.Resume();                    // breaks the stream off and goes on from the last token
//
// What is due: the publication of what the person sees from its posting to the check; the last edit of
// what they see all the time; that something is gone which the watch had shown; their groups. What may be shown:
// what they saw at the end of some operation since the last check, each publication once. What is taken
// away and given back between two checks may be shown or not. A gap, as after a restart, excuses what
// is missing, and the watch begins anew from a page, as an app would.
//
// Thread safety: one thread; the stream has one of its own. Bound: a check takes 30 s at most.

#include <set>

#include "tests/integration/history_calls.h"
#include "tests/integration/klatchd_watch_client.h"

namespace klatch::testing {

struct WatchCounts {
  int64_t begins = 0;
  int64_t resumes = 0;
  int64_t published = 0;
  int64_t edited = 0;
  int64_t deleted = 0;
  int64_t groups = 0;
  int64_t gaps = 0;

  void Add(const WatchCounts& other);
};

class HistoryWatch {
 public:
  HistoryWatch(const HistoryDesk& desk, PersonNumber person);

  // Looks at what has changed for the person.
  void AfterOperation();
  void Check();
  void Resume();
  // Another watch, from a page.
  void Begin(PersonNumber person);

  const WatchCounts& counts() const { return counts_; }

 private:
  // What the person could see of an update between two checks.
  struct Window {
    bool was_ever = false;
    std::set<GroupNumber> through;
    // At its beginning, and told in it.
    uint32_t revision = 0;
    int removals = 0;
    int edits_told = 0;
  };
  struct Trace {
    bool is_visible = false;
    // At the end of each operation since the last check; of one that was posted since, from then on.
    bool was_always = false;
    int removals = 0;
    Window now;
    // Since the check before the last: what gRPC had taken by then may come after it.
    Window lately;
  };
  // What the stream has told of an update that is still there.
  struct Known {
    uint32_t revision = 0;
    std::vector<std::string> groups;
  };

  HistoryDesk desk_;
  PersonNumber person_{};
  std::unique_ptr<Watcher> watcher_;
  // Events of the stream that were judged.
  size_t judged_ = 0;
  size_t journal_read_ = 0;
  std::map<uint64_t, Trace> traces_;
  // Were there when the watch began.
  std::set<uint64_t> before_;
  // Were out of sight for a while, so that what happened then need not have been told.
  std::set<uint64_t> excused_;
  std::map<uint64_t, Known> known_;
  std::set<uint64_t> published_;
  std::map<uint64_t, int> gone_;
  // The person must be told that they are gone, if they are known.
  std::set<uint64_t> owed_gone_;
  std::set<std::string> groups_;
  bool has_gap_ = false;
  // For faults.
  int losses_ = 0;
  WatchCounts counts_;

  std::string Where() const;
  void ReadHome(std::string& token);
  void Connect(const std::string& token);
  // Whether it was there before: what is new must be told.
  enum class Age { kNew, kKnown };
  void LookAt(const ModelUpdate& update, Age age);
  void LookAtAll(Age age);
  void ForgetUntilNow();

  void Judge(const Events& events);
  void JudgeEvent(const v1::WatchEvent& event);
  void JudgePublished(const v1::Update& update);
  void JudgeEdited(const v1::Update& update);
  void JudgeGone(uint64_t id);
  // Whether it may be shown like that; what it is known as then.
  bool JudgeContent(const char* what, const v1::Update& update);
  // What is due and has not come; empty if all has.
  std::string Missing() const;
  std::set<std::string> GroupsByModel() const;
};

}  // namespace klatch::testing
