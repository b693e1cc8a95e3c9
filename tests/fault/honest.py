"""Honest callers of a node, by a schedule that doesn't wait: small calls on connections that stay, and newcomers with a
connection of their own for one call.

    caller = Honest(target)          # runs in a process of its own
    ...
    caller.await_newcomer(time.monotonic(), 5.0)
    for call in caller.end():        # [Call]
"""

import multiprocessing
import os
import re
import selectors
import socket
import time
from typing import NamedTuple

import http2

CALLS_PER_SECOND = 200
NEWCOMERS_PER_SECOND = 10
CONNECTIONS = 8
# What isn't answered after this is not served.
PATIENCE = 2.0
RECONNECT_PAUSE = 0.1
SECONDS_MAX = 600
PORT_MAX = 65_535
SOCKET_PATH_MAX = 107
PATH = "/klatch.v1.FeedService/ListHomeTimeline"
REQUEST = http2.message(http2.proto_text(2, "honest"))
READ_BYTES = 1 << 16


class Call(NamedTuple):
    due: float  # by the monotonic clock
    latency: float  # s from when it was due; None: not served
    newcomer: bool


class Fared(NamedTuple):
    """How the calls fared that were due in [begin, end)."""
    calls: int
    served: float  # of all
    staying_served: float  # of those on connections that were there before
    newcomers_served: float
    p99: float  # s, of the served; None: nobody was
    again: float  # s from `end` to when a newcomer is served who came then; None: nobody was

    @classmethod
    def of(cls, calls, begin, end):
        def share(some):
            return sum(call.latency is not None for call in some) / max(1, len(some))
        meanwhile = [call for call in calls if begin <= call.due < end]
        served = sorted(call.latency for call in meanwhile if call.latency is not None)
        return cls(len(meanwhile), share(meanwhile), share([call for call in meanwhile if not call.newcomer]),
                   share([call for call in meanwhile if call.newcomer]), served[int(len(served) * 0.99)] if served else None,
                   min((call.due + call.latency - end for call in calls
                        if call.newcomer and call.latency is not None and call.due >= end), default=None))


class Target:
    """HOST:PORT or unix:PATH; ValueError if it is neither, OSError if nobody knows the host."""

    def __init__(self, name):
        self.name = name
        self.path = name.removeprefix("unix:") if name.startswith("unix:") else None
        host, _, port = name.rpartition(":")
        self.host = host.strip("[]")
        if self.path is None:
            self.port = int(port) if re.fullmatch("[0-9]{1,5}", port) else 0
            if not self.host or not 1 <= self.port <= PORT_MAX:
                raise ValueError(f"'{name}' is neither host:port, with a port from 1 to {PORT_MAX}, nor unix:path")
        else:
            self.port = 0
            if not 0 < len(os.fsencode(self.path)) <= SOCKET_PATH_MAX or "\0" in self.path:
                raise ValueError(f"'{name}' names no socket: its path has 1 to {SOCKET_PATH_MAX} bytes")
        if self.path is None:
            self.family, _, _, _, self.address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
        else:
            self.family, self.address = socket.AF_UNIX, self.path

    @property
    def is_ours(self):
        return self.path is not None or self.address[0].startswith("127.") or self.address[0] == "::1"

    @property
    def authority(self):
        return "localhost" if self.path is not None else self.name

    def connect(self, source=None):
        """A socket that is about to be connected, and doesn't block."""
        connecting = socket.socket(self.family, socket.SOCK_STREAM)
        connecting.setblocking(False)
        if self.family != socket.AF_UNIX:
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None and self.family == socket.AF_INET:
            connecting.bind((source, 0))
        try:
            connecting.connect(self.address)
        except BlockingIOError:
            pass
        except OSError:
            connecting.close()
            raise
        return connecting

    @property
    def honest_source(self):
        """Another host's address, as far as the node can tell."""
        return "127.0.0.2" if self.family == socket.AF_INET and self.address[0].startswith("127.") else None


class _Connection:
    """One connection with calls under way. A newcomer's ends with its call."""

    def __init__(self, client, newcomer=False):
        self.client, self.newcomer = client, newcomer
        self.calls = {}  # stream → [due, whether a message has come]
        self.next_stream = 1
        self.frames = http2.Frames()
        self.out = bytearray(http2.PREFACE + http2.settings(INITIAL_WINDOW_SIZE=http2.WINDOW_MAX) + http2.window(0, 2**30))
        self.socket = client.target.connect(client.target.honest_source)
        client.selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def call(self, due):
        self.calls[self.next_stream] = [due, False]
        self.out += http2.frame(http2.HEADERS, http2.END_HEADERS, self.next_stream, self.client.head)
        self.out += http2.frame(http2.DATA, http2.END_STREAM, self.next_stream, REQUEST)
        self.next_stream += 2
        self._want()

    def _want(self):
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.out else 0)
        self.client.selector.modify(self.socket, events, self)

    def ready(self, events):
        try:
            if events & selectors.EVENT_READ:
                data = self.socket.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError
                for received in self.frames.feed(data):
                    self._take(*received)
            if self.out:
                del self.out[:self.socket.send(self.out)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self.socket.fileno() >= 0:
            self._want()

    def _take(self, kind, flags, stream, payload):
        if kind in (http2.SETTINGS, http2.PING) and not flags & http2.ACK:
            self.out += http2.frame(kind, http2.ACK, 0, payload if kind == http2.PING else b"")
        elif kind == http2.DATA and stream in self.calls:
            self.calls[stream][1] = True
        elif kind == http2.GOAWAY:
            raise ConnectionResetError
        elif kind == http2.RST_STREAM and stream in self.calls:
            self._ended(stream, False)
        # An answer that is no error has a message before its trailers, an error has none.
        if kind == http2.HEADERS and flags & http2.END_STREAM and stream in self.calls:
            self._ended(stream, self.calls[stream][1])

    def _ended(self, stream, served):
        due, _ = self.calls.pop(stream)
        self.client.record(due, served, self.newcomer)
        if self.newcomer:
            raise ConnectionResetError

    def give_up(self, before):
        """Calls that were due before have been waited for in vain."""
        for stream in [stream for stream, (due, _) in self.calls.items() if due < before]:
            self.client.record(self.calls.pop(stream)[0], False, self.newcomer)
        if self.newcomer and not self.calls:
            self.close()

    def close(self):
        if self.socket.fileno() < 0:
            return
        for due, _ in self.calls.values():
            self.client.record(due, False, self.newcomer)
        self.calls.clear()
        self.client.selector.unregister(self.socket)
        self.socket.close()
        self.client.forget(self)


class _Client:
    def __init__(self, target, newest):
        self.target, self.newest = target, newest
        self.head = http2.request_head(PATH, target.authority)
        self.selector = selectors.DefaultSelector()
        self.staying = [None] * CONNECTIONS
        self.newcomers = set()
        self.calls = []
        self.retry_at = 0.0

    def record(self, due, served, newcomer):
        self.calls.append(Call(due, time.monotonic() - due if served else None, newcomer))
        if served and newcomer:
            self.newest.value = max(self.newest.value, due)

    def forget(self, connection):
        self.newcomers.discard(connection)
        self.staying = [None if one is connection else one for one in self.staying]

    def _connect_missing(self, now):
        if now < self.retry_at:
            return
        for i, connection in enumerate(self.staying):
            if connection is None:
                self.retry_at = now + RECONNECT_PAUSE
                try:
                    self.staying[i] = _Connection(self)
                except OSError:
                    return

    def _send(self, due, number):
        connection = self.staying[number % CONNECTIONS]
        if connection is None:
            self.record(due, False, False)
        else:
            connection.call(due)

    def _come_new(self, due):
        try:
            connection = _Connection(self, newcomer=True)
        except OSError:
            self.record(due, False, True)
            return
        self.newcomers.add(connection)
        connection.call(due)

    def run(self, is_over):
        begin = time.monotonic()
        sent = come = 0
        while not is_over() and time.monotonic() - begin < SECONDS_MAX:
            now = time.monotonic()
            self._connect_missing(now)
            while begin + sent / CALLS_PER_SECOND <= now:
                self._send(begin + sent / CALLS_PER_SECOND, sent)
                sent += 1
            while begin + come / NEWCOMERS_PER_SECOND <= now:
                self._come_new(begin + come / NEWCOMERS_PER_SECOND)
                come += 1
            for connection in [*filter(None, self.staying), *self.newcomers]:
                connection.give_up(now - PATIENCE)
            for key, events in self.selector.select(max(0.0, begin + sent / CALLS_PER_SECOND - time.monotonic())):
                key.data.ready(events)
        for connection in [*filter(None, self.staying), *self.newcomers]:
            connection.calls.clear()  # nobody waits for these any more
            connection.close()
        return self.calls


def _main(target, newest, over, results):
    results.send(_Client(target, newest).run(over.is_set))


class Honest:
    """Calls from now on, until end()."""

    def __init__(self, target):
        self._over = multiprocessing.Event()
        self._newest = multiprocessing.Value("d", 0.0)  # when the newest newcomer was due who was served
        self._results, sending = multiprocessing.Pipe(duplex=False)
        self._process = multiprocessing.Process(target=_main, args=(target, self._newest, self._over, sending), daemon=True)
        self._process.start()
        sending.close()

    def await_newcomer(self, since, limit):
        """Back when one is served who was due since then, or when it is too late."""
        while self._newest.value < since and time.monotonic() < since + limit:
            time.sleep(0.02)

    def end(self):
        self._over.set()
        calls = self._results.recv()
        self._process.join()
        return calls
