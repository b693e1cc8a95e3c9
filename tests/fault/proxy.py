"""A TCP proxy in front of a server on loopback that delays, cuts, or swallows what passes.

    with Proxy(redis.port) as proxy:
        proxy.delay(0.05)          # each piece, both ways
        proxy.swallow("answers")   # half open: the connection stands, nothing comes back
        proxy.cut()                # closes all connections, and takes no new ones
        proxy.heal()               # what was swallowed is gone: those connections are closed

Thread rules: the methods from one thread; what passes is moved by a thread of the proxy's own.
"""

import asyncio
import threading

PIECE_BYTES = 1 << 16
WAYS = {"none": frozenset(), "requests": frozenset({"requests"}), "answers": frozenset({"answers"}),
        "both": frozenset({"requests", "answers"})}


class Proxy:
    def __init__(self, port):
        self._to = port
        self._delay = 0.0
        self._swallowed = WAYS["none"]
        self._is_cut = False
        self._writers = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._run(self._close_all())
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def address(self):
        return f"redis://127.0.0.1:{self.port}"

    def delay(self, seconds):
        self._delay = seconds

    def swallow(self, ways):
        """Which ways nothing passes: "requests", "answers" or "both"."""
        self._swallowed = WAYS[ways]

    def cut(self):
        self._is_cut = True
        self._run(self._close_all())

    def point_to(self, port):
        """Another server from now on: all connections are closed."""
        self._to = port
        self._run(self._close_all())

    def heal(self):
        had_swallowed = bool(self._swallowed)
        self._delay, self._swallowed, self._is_cut = 0.0, WAYS["none"], False
        if had_swallowed:
            self._run(self._close_all())

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _close_all(self):
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, client, to_client):
        if self._is_cut:
            to_client.transport.abort()
            return
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            to_client.transport.abort()
            return
        self._writers |= {to_client, to_server}
        try:
            await asyncio.gather(self._move("requests", client, to_server), self._move("answers", server, to_client))
        except OSError:
            pass
        finally:
            for writer in (to_client, to_server):
                self._writers.discard(writer)
                writer.transport.abort()

    async def _move(self, way, source, to):
        while piece := await source.read(PIECE_BYTES):
            if self._delay:
                await asyncio.sleep(self._delay)
            if way not in self._swallowed:
                to.write(piece)
                await to.drain()
        to.transport.abort()
