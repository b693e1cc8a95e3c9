#include "services/klatch/commands_feed.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/base/option_value.h"
#include "common/base/status.h"
#include "services/klatch/print.h"
#include "services/klatch/text.h"
#include "services/model/limits.h"
#include "services/model/position.h"

namespace klatch::cli {
namespace {

using Feed = v1::FeedService::Stub;

// Reads pages until `limit` updates are there or the timeline ends, into one response: its token
// and completeness are the last page's, but what any page says to be missing stays said.
template <typename Request, typename Response>
absl::StatusOr<Response> ReadPages(const Session& session,
                                   grpc::Status (Feed::*method)(grpc::ClientContext*,
                                                                const Request&, Response*),
                                   Request request, const TimelineOptions& options) {
  for (const uint64_t position : options.after) {
    v1::Token* token = request.add_tokens();
    token->set_shard(Position(position).shard().value());
    token->set_position(position);
  }
  Response all;
  while (true) {
    request.set_page_size(std::min(options.limit - all.updates_size(), limits::kPageSizeMax));
    KLATCH_ASSIGN_OR_RETURN(Response page,
                            session.client.Call(session.client.feed(), method, request));
    const uint64_t hole_since = all.completeness().hole_since();
    const bool expired = all.completeness().expired() || page.completeness().expired();
    for (auto& update : *page.mutable_updates()) {
      *all.add_updates() = std::move(update);
    }
    *all.mutable_next_page_token() = page.next_page_token();
    *all.mutable_completeness() = page.completeness();
    all.mutable_completeness()->set_expired(expired);
    if (hole_since != 0) {
      all.mutable_completeness()->set_hole_since(hole_since);
    }
    if (all.updates_size() >= options.limit || page.next_page_token().empty()) {
      return all;
    }
    request.set_page_token(page.next_page_token());
  }
}

template <typename Response>
std::string PrintTimeline(const Session& session, const Response& response,
                          const std::string& title) {
  if (session.format == Format::kJson) {
    return ToJson(response);
  }
  std::string text = Bold(CleanLine(title), session.screen) + "\n";
  text += response.updates_size() == 0 ? "Nothing here yet.\n"
                                       : PrintUpdates(response.updates(), session);
  if (!response.next_page_token().empty()) {
    text += Dim(fmt::format("There is more: --limit {}.", response.updates_size() * 2 + 20),
                session.screen) +
            "\n";
  }
  return text + PrintCompleteness(response.completeness(), session);
}

// What became of a post in each of several groups.
std::string PrintPosted(const v1::PublishUpdateResponse& response) {
  std::string to;
  std::string refused;
  for (const v1::GroupResult& group : response.groups()) {
    if (group.has_error()) {
      refused += fmt::format("Not to {}: {}.\n", CleanLine(group.group()),
                             CleanLine(group.error().message()));
    } else {
      to += (to.empty() ? "" : ", ") + CleanLine(group.group());
    }
  }
  return fmt::format("Posted {} to {}.\n{}", response.update_id(), to, refused);
}

absl::Status SetExpiry(const PostOptions& options, std::chrono::system_clock::time_point now,
                       v1::Update& update) {
  using google::protobuf::util::TimeUtil;
  if (!options.expire_in.empty()) {
    KLATCH_ASSIGN_OR_RETURN(const auto ahead, base::ParseDuration(options.expire_in));
    const auto since_1970 = std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch());
    *update.mutable_expire_time() = TimeUtil::MillisecondsToTimestamp((since_1970 + ahead).count());
  } else if (!options.expire_at.empty() &&
             !TimeUtil::FromString(options.expire_at, update.mutable_expire_time())) {
    return base::Error(absl::StatusCode::kInvalidArgument, "--expire-at is no time");
  }
  return absl::OkStatus();
}

// After these errors the update may stand or not. The same key finds out without posting twice.
absl::Status AdviseOnUnknown(const absl::Status& status, const std::string& request_id) {
  const bool unknown = status.code() == absl::StatusCode::kUnavailable ||
                       status.code() == absl::StatusCode::kDeadlineExceeded;
  return unknown ? base::Annotate(status, fmt::format("not known to be posted (to find out, repeat "
                                                      "the command with --request-id {})",
                                                      request_id))
                 : status;
}

}  // namespace

v1::Audience AudienceOf(std::string_view name) {
  if (name.empty()) {
    return v1::AUDIENCE_UNSPECIFIED;
  }
  return name == "now" ? v1::AUDIENCE_MEMBERS_NOW : v1::AUDIENCE_MEMBERS_AT_POSTING;
}

v1::Ack AckOf(std::string_view name) {
  return name == "local"        ? v1::ACK_LOCAL
         : name == "replicated" ? v1::ACK_REPLICATED
         : name == "strict"     ? v1::ACK_STRICT
                                : v1::ACK_UNSPECIFIED;
}

absl::StatusOr<std::string> Post(const Session& session, const PostOptions& options) {
  auto request = NewRequest<v1::PublishUpdateRequest>(session);
  request.set_request_id(options.request_id.empty() ? NewRequestId() : options.request_id);
  v1::Update& update = *request.mutable_update();
  for (const std::string& group : options.groups) {
    update.add_groups(group);
  }
  request.set_all_my_groups(options.all_my_groups);
  update.set_text(options.text);
  for (const std::string& uri : options.attachments) {
    update.add_attachments()->set_uri(uri);
  }
  if (!options.place.empty()) {
    update.mutable_place()->set_label(options.place);
  }
  update.set_reply_to(options.reply_to);
  update.set_reshare_of(options.reshare_of);
  update.set_audience(AudienceOf(options.audience));
  request.set_ack(AckOf(options.ack));
  KLATCH_RETURN_IF_ERROR(SetExpiry(options, session.now, update));

  auto response = session.client.Call(session.client.feed(), &Feed::PublishUpdate, request);
  if (!response.ok()) {
    return AdviseOnUnknown(response.status(), request.request_id());
  }
  if (session.format == Format::kJson) {
    return ToJson(*response);
  }
  return response->groups().empty()
             ? fmt::format("Posted {} to {}.\n", response->update_id(),
                           CleanLine(options.groups.empty() ? "" : options.groups.front()))
             : PrintPosted(*response);
}

absl::StatusOr<std::string> Timeline(const Session& session, const TimelineOptions& options) {
  if (!options.group.empty()) {
    auto request = NewRequest<v1::ListGroupTimelineRequest>(session);
    request.set_group(options.group);
    KLATCH_ASSIGN_OR_RETURN(
        auto page, ReadPages(session, &Feed::ListGroupTimeline, std::move(request), options));
    return PrintTimeline(session, page,
                         fmt::format("{}, as {} sees it", options.group, session.actor));
  }
  if (!options.profile.empty()) {
    auto request = NewRequest<v1::ListProfileTimelineRequest>(session);
    request.set_person(options.profile);
    KLATCH_ASSIGN_OR_RETURN(
        auto page, ReadPages(session, &Feed::ListProfileTimeline, std::move(request), options));
    return PrintTimeline(
        session, page,
        fmt::format("What {} posted, as {} sees it", options.profile, session.actor));
  }
  KLATCH_ASSIGN_OR_RETURN(auto page,
                          ReadPages(session, &Feed::ListHomeTimeline,
                                    NewRequest<v1::ListHomeTimelineRequest>(session), options));
  return PrintTimeline(session, page, fmt::format("Home of {}", session.actor));
}

absl::StatusOr<std::string> Get(const Session& session, uint64_t update_id) {
  auto request = NewRequest<v1::GetUpdateRequest>(session);
  request.set_update_id(update_id);
  KLATCH_ASSIGN_OR_RETURN(auto response,
                          session.client.Call(session.client.feed(), &Feed::GetUpdate, request));
  if (session.format == Format::kJson) {
    return ToJson(response);
  }
  google::protobuf::RepeatedPtrField<v1::Update> updates;
  *updates.Add() = std::move(*response.mutable_update());
  return PrintUpdates(updates, session);
}

absl::StatusOr<std::string> Edit(const Session& session, uint64_t update_id,
                                 const std::string& text) {
  auto request = NewRequest<v1::EditUpdateRequest>(session);
  request.set_update_id(update_id);
  request.mutable_update()->set_text(text);
  request.mutable_update_mask()->add_paths("text");
  KLATCH_ASSIGN_OR_RETURN(auto response,
                          session.client.Call(session.client.feed(), &Feed::EditUpdate, request));
  if (session.format == Format::kJson) {
    return ToJson(response);
  }
  return fmt::format("Edited {}; no read shows the old text any more.\n", update_id);
}

absl::StatusOr<std::string> Delete(const Session& session, uint64_t update_id) {
  auto request = NewRequest<v1::DeleteUpdateRequest>(session);
  request.set_update_id(update_id);
  KLATCH_ASSIGN_OR_RETURN(auto response,
                          session.client.Call(session.client.feed(), &Feed::DeleteUpdate, request));
  if (session.format == Format::kJson) {
    return ToJson(response);
  }
  return fmt::format("Deleted {}; no read shows it any more.\n", update_id);
}

}  // namespace klatch::cli
