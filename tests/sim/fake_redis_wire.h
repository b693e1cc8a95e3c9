#pragma once
// Writes replies as RESP2. An array's elements are written behind its header.
//
// Thread safety: one thread at a time. Errors: none.

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace klatch::sim {

class RespWriter {
 public:
  void Status(std::string_view text) { Line('+', text); }
  // Begins with the error's code: "ERR no such key".
  void Error(std::string_view text) { Line('-', text); }
  void Integer(int64_t value) { fmt::format_to(std::back_inserter(bytes_), ":{}\r\n", value); }
  void Bulk(std::string_view bytes) {
    fmt::format_to(std::back_inserter(bytes_), "${}\r\n", bytes.size());
    bytes_.append(bytes).append("\r\n");
  }
  // As many digits as it takes, and no more than 17.
  void Double(double value) {
    if (std::isinf(value)) {
      Bulk(value > 0 ? "inf" : "-inf");
    } else {
      Bulk(fmt::format("{:.17g}", value));
    }
  }
  void Nil() { bytes_ += "$-1\r\n"; }
  void NilArray() { bytes_ += "*-1\r\n"; }
  void Array(size_t size) { fmt::format_to(std::back_inserter(bytes_), "*{}\r\n", size); }
  // Replies that were written elsewhere.
  void Append(const RespWriter& other) { bytes_ += other.bytes_; }

  const std::string& bytes() const { return bytes_; }
  std::string TakeBytes() { return std::exchange(bytes_, {}); }

 private:
  // A line must stay one.
  void Line(char type, std::string_view text) {
    bytes_.push_back(type);
    for (const char c : text) {
      bytes_.push_back(c == '\r' || c == '\n' ? ' ' : c);
    }
    bytes_ += "\r\n";
  }

  std::string bytes_;
};

}  // namespace klatch::sim
