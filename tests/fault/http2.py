"""HTTP/2 by hand, for those who abuse it and for those who are held against them: frames, and heads as HPACK literals.

Only what tests/fault/abuse needs: it can say things that no library would say. Nothing here waits.
"""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
INITIAL_WINDOW_SIZE = 4  # of SETTINGS
WINDOW_MAX = 2**31 - 1
STREAM_MAX = 2**31 - 1
HEAD_BYTES = 9


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    """values: INITIAL_WINDOW_SIZE by its name."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", globals()[name], value) for name, value in values.items()))


def window(stream, more):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", more))


def integer(value, bits, first):
    """An HPACK integer with a prefix of so many bits, behind the others of `first`."""
    top = (1 << bits) - 1
    if value < top:
        return bytes([first | value])
    out, value = [first | top], value - top
    while value >= 0x80:
        out.append(value % 0x80 | 0x80)
        value //= 0x80
    return bytes(out + [value])


def text(value):
    return integer(len(value), 7, 0) + value


def field(name, value, keep=False):
    """A literal; `keep`: the table has it from then on."""
    return (b"\x40" if keep else b"\x00") + text(name) + text(value)


def request_head(path, authority, *more, keep=False):
    """The head of a gRPC call. With `keep` the next ones on this connection may be REPEATED_HEAD."""
    fields = [(b":path", path.encode()), (b":authority", authority.encode()), (b"content-type", b"application/grpc"),
              (b"te", b"trailers")]
    return b"\x83\x86" + b"".join(field(name, value, keep) for name, value in fields) + b"".join(
        field(name, value) for name, value in more)


# POST, http, and the four fields above by where the table has them, the oldest last.
REPEATED_HEAD = b"\x83\x86\xc1\xc0\xbf\xbe"


def message(payload, compressed=False):
    return struct.pack(">BI", compressed, len(payload)) + payload


def proto_text(number, value):
    """A field of a protobuf message."""
    return bytes([number << 3 | 2, len(value)]) + value.encode()


class Frames:
    """What has been received, cut into frames."""

    def __init__(self):
        self._bytes = bytearray()

    def feed(self, data):
        """Yields (kind, flags, stream, payload) of each frame that is whole."""
        self._bytes += data
        at = 0
        while len(self._bytes) - at >= HEAD_BYTES:
            size = int.from_bytes(self._bytes[at:at + 3], "big")
            if len(self._bytes) - at - HEAD_BYTES < size:
                break
            kind, flags, stream = struct.unpack_from(">BBI", self._bytes, at + 3)
            yield kind, flags, stream & STREAM_MAX, bytes(self._bytes[at + HEAD_BYTES:at + HEAD_BYTES + size])
            at += HEAD_BYTES + size
        del self._bytes[:at]
