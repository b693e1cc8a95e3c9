#pragma once
// A reply of Redis. ReplyView looks at a reply that somebody else owns; Reply owns one.
// A view is valid as long as its Reply. Accessors of the wrong type return the empty value, never
// crash: replies are outside input.

#include <hiredis/hiredis.h>

#include <cstdint>
#include <memory>
#include <string_view>

namespace klatch::redis {

class ReplyView {
 public:
  ReplyView() = default;
  explicit ReplyView(const redisReply* reply) : reply_(reply) {}

  bool is_nil() const { return reply_ == nullptr || reply_->type == REDIS_REPLY_NIL; }
  bool is_error() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_ERROR; }
  bool is_string() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_STRING; }
  bool is_status() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_STATUS; }
  bool is_integer() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_INTEGER; }
  bool is_array() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_ARRAY; }

  // The bytes of a string, status or error; empty otherwise.
  std::string_view text() const {
    return is_string() || is_status() || is_error() ? std::string_view(reply_->str, reply_->len)
                                                    : std::string_view();
  }
  int64_t integer() const { return is_integer() ? reply_->integer : 0; }
  // Elements of an array; 0 otherwise.
  size_t size() const { return is_array() ? reply_->elements : 0; }
  // A nil view beyond the end.
  ReplyView operator[](size_t i) const {
    return i < size() ? ReplyView(reply_->element[i]) : ReplyView();
  }

 private:
  const redisReply* reply_ = nullptr;
};

class Reply {
 public:
  Reply() = default;
  explicit Reply(redisReply* reply) : reply_(reply) {}

  ReplyView view() const { return ReplyView(reply_.get()); }
  ReplyView operator[](size_t i) const { return view()[i]; }
  bool is_nil() const { return view().is_nil(); }
  bool is_error() const { return view().is_error(); }
  std::string_view text() const { return view().text(); }
  int64_t integer() const { return view().integer(); }
  size_t size() const { return view().size(); }

 private:
  struct Free {
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
  };
  std::unique_ptr<redisReply, Free> reply_;
};

}  // namespace klatch::redis
