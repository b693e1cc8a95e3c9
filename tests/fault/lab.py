"""Real processes for a fault: redis-server, klatchd, the load with its checks, and a proxy between.

    with Lab(build, seed) as lab:
        redis = lab.redis(fsync="always")
        node = lab.node(redis)
        with lab.load(node, redis, seconds=20) as load:
            node.kill(); node.start()
        load.verdict()             # raises Violation if a promise was broken
        lab.scrub(node)            # the same of what is stored

Everything listens on loopback or Unix sockets in a temporary folder, and ends with the Lab, by its process id.
Thread rules: one thread drives a Lab; proxies have threads of their own.
"""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from proxy import Proxy

# A load is real from here on (QUALITY: a run counts only then).
PUBLISHES_PER_SECOND_MIN = 500
# The longest that anything which has to happen is waited for.
WAIT_MAX = 60.0
LOOK_EVERY = 0.02


class Violation(Exception):
    """A promise was broken."""


class Unfit(Exception):
    """The run doesn't count: what it needs wasn't there."""

KLATCHD = "services/klatchd/klatchd"

def await_true(what, look, limit=WAIT_MAX):
    """Looks again and again; returns the seconds that it took, or raises Violation."""
    start = time.monotonic()
    while True:
        if look():
            return time.monotonic() - start
        if time.monotonic() - start > limit:
            raise Violation(f"{what}: not within {limit:g} s")
        time.sleep(LOOK_EVERY)


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Process:
    """A program that is started, killed and started again under one name; its output goes to a file."""

    def __init__(self, name, command, folder, environment=None):
        self.name, self.command = name, [str(word) for word in command]
        self.output = folder / f"{name}.log"
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.cores = None  # which it may use; all, or those of a set from its next start on

    def start(self):
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                            env=self.environment)
        if self.cores is not None:
            os.sched_setaffinity(self.process.pid, self.cores)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL, and waits until it is gone."""
        if self.running():
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def stop(self, limit=WAIT_MAX):
        """SIGTERM; SIGKILL if it doesn't end."""
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(timeout=limit)
            except subprocess.TimeoutExpired:
                self.kill()

    def tail(self, lines=15):
        text = self.output.read_text(encoding="utf-8", errors="replace") if self.output.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


class Shim:
    """What shim.cc changes for the programs that it is preloaded into."""

    def __init__(self, build, folder, name):
        self._file = folder / f"{name}.shim"
        self._file.write_bytes(bytes(24))
        self.environment = {"LD_PRELOAD": str(build / "tests/fault/libklatch_fault_shim.so"),
                            "FAULT_SHIM": str(self._file)}

    def _set(self, at, data):
        with open(self._file, "r+b") as file:
            file.seek(at)
            file.write(data)

    def set_clock_ahead(self, seconds):
        self._set(0, struct.pack("<q", seconds))

    def set_disk(self, how):
        """ "good", "full" or "unsynced": the append-only file can't be written, or not be synced."""
        self._set(8, bytes([("good", "full", "unsynced").index(how)]))


    def synced_bytes(self):
        """How much of the append-only file was there when its last sync began."""
        return struct.unpack_from("<q", self._file.read_bytes(), 16)[0]


class Failpoint:
    """Where a build with named points is killed."""

    BYTES = 64  # as in common/base/failpoint.h

    def __init__(self, folder, name):
        self._file = folder / f"{name}.failpoint"
        self.disarm()
        self.environment = {"FAILPOINT_FILE": str(self._file)}

    def arm(self, point):
        with open(self._file, "r+b") as file:  # in place: it is mapped
            file.write(point.encode().ljust(self.BYTES, b"\0"))

    def disarm(self):
        with open(self._file, "r+b" if self._file.exists() else "wb") as file:
            file.write(bytes(self.BYTES))


class Redis(Process):
    """redis-server with an append-only file, on a Unix socket and a port of loopback."""

    def __init__(self, name, folder, fsync="always", options=(), environment=None, files=None):
        self.folder = folder / name
        self.folder.mkdir()
        if files is not None:  # an append-only file to begin with
            shutil.copytree(files, self.folder / "appendonlydir")
        self.port = free_port()
        self.socket = self.folder / "redis.sock"
        super().__init__(name, ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--unixsocket", self.socket,
                                "--dir", self.folder, "--save", "", "--appendonly", "yes", "--appendfsync", fsync,
                                "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction",
                                "--repl-diskless-sync-delay", "0", *options],
                         folder, environment)

    @property
    def address(self):
        return f"unix://{self.socket}"

    def start(self):
        super().start()
        await_true(f"{self.name} answers", lambda: self.answers("PONG", "PING"))

    def cli(self, *words, check=True):
        done = subprocess.run(["redis-cli", "-s", str(self.socket), *map(str, words)], capture_output=True, text=True,
                              timeout=WAIT_MAX, check=False)
        if check and (done.returncode != 0 or done.stdout.startswith("ERR")):
            raise Unfit(f"redis-cli {' '.join(map(str, words))}: {done.stdout}{done.stderr}")
        return done.stdout.rstrip("\n")

    def answers(self, expected, *words):
        return self.cli(*words, check=False) == expected

    def lose_power(self, shim):
        """SIGKILL, and what was not synced is gone from the append-only file. Returns the bytes that are."""
        self.kill()
        file = max((self.folder / "appendonlydir").glob("*.incr.aof"))
        kept = shim.synced_bytes()
        gone = file.stat().st_size - kept
        os.truncate(file, kept)
        return gone


class Sentinel(Process):
    """A Sentinel that watches a group called "main"."""

    def __init__(self, name, folder, master, quorum):
        self.port = free_port()
        configuration = folder / f"{name}.conf"
        configuration.write_text(f"sentinel monitor main 127.0.0.1 {master.port} {quorum}\n"
                                 "sentinel down-after-milliseconds main 500\n"
                                 "sentinel failover-timeout main 3000\n", encoding="utf-8")
        super().__init__(name, ["redis-server", configuration, "--sentinel", "--port", self.port, "--bind", "127.0.0.1",
                                "--dir", folder], folder)

    def told(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), "SENTINEL", *words, "main"], capture_output=True, text=True,
                              timeout=WAIT_MAX, check=False)
        return done.stdout.split()

    def knows(self, replicas, sentinels):
        state = self.told("MASTER")
        known = dict(zip(state[::2], state[1::2]))
        return (known.get("num-slaves"), known.get("num-other-sentinels")) == (str(replicas), str(sentinels))

    def master_port(self):
        return int(self.told("GET-MASTER-ADDR-BY-NAME")[1])


class Node(Process):
    """klatchd on a Unix socket, or where `listen` says, with /metrics on a port of loopback."""

    def __init__(self, name, build, redis_address, folder, options=(), environment=None, flush_interval="250ms",
                 program=None, listen=None, prefix=()):
        self.folder = folder / name
        self.folder.mkdir()
        self.socket = self.folder / "klatchd.sock"
        self.metrics, self.http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.build = build
        self.target = listen or f"unix:{self.socket}"
        super().__init__(name, [*prefix, program or build / KLATCHD, "--listen", self.target, "--redis",
                                redis_address, "--data-dir", self.folder / "data", "--metrics-listen", self.metrics,
                                "--http-listen", self.http, "--flush-interval", flush_interval, *options], folder, environment)

    def start_and_wait(self):
        """Returns the seconds until it served."""
        self.start()
        return self.await_ready()

    def await_ready(self, limit=WAIT_MAX):
        def look():
            if not self.running():
                raise Violation(f"{self.name} has ended:\n{self.tail()}")
            return self.is_ready()
        return await_true(f"{self.name} serves", look, limit)

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.metrics}/readyz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def await_publishes(self, limit=WAIT_MAX):
        """Returns the seconds until a post has come into the log from now on."""
        before = self.posts_written() or 0

        def look():
            now = self.posts_written()
            return now is not None and now != before and now > 0
        return await_true(f"{self.name} takes posts", look, limit)

    def posts_written(self):
        """Since the node's start, those that repeat what was written before not counted."""
        return self.metric("klatch_updates_appended_total")

    def metric(self, name, label=""):
        """The sum over those of its labels that have `label`, such as by="script"; None while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=2) as page:
                lines = re.findall(rf"^{name}(\{{[^}}]*\}})? ([0-9.e+-]+)$", page.read().decode(), re.M)
        except (urllib.error.URLError, OSError):
            return None
        return sum(float(value) for labels, value in lines if label in labels)


class Load(Process):
    """klatch-load play: people who post, join, leave, edit, delete, watch and quarrel, all of it checked."""

    def __init__(self, lab, node, redis, seconds, options):
        self.node = node
        self.setup_max = options.pop("setup-max", WAIT_MAX)  # s
        self.summary = None
        options = {"target": node.target, "metrics": node.metrics, "redis": redis.address, "persons": 2_000,
                   "arrivals": "constant", "rate": 1_000, "duration": f"{seconds:.0f}s", "batch": 20,
                   "seed": lab.random.randrange(2**31), "retry-for": "60s", "check-timelines": 300, "show-timelines": 0,
                   "watched": 100, "quarrels": 3, "probers": 0, **options}
        words = [word for name, value in options.items()
                 for word in ((f"--{name}",) if value is True else (f"--{name}", value))]
        super().__init__("load", [lab.build / "bench/load/klatch-load", "play", "--json", *words], lab.folder)

    def __enter__(self):
        """Back when the load is real."""
        self.output.unlink(missing_ok=True)
        self.start()
        self._await_pace()
        return self

    def _await_pace(self):
        seen, last = None, time.monotonic()

        def look():
            nonlocal seen, last
            if not self.running():
                raise Unfit(f"the load has ended early:\n{self.tail()}")
            if time.monotonic() - last < 1.0:
                return False
            now, last = self.node.metric("klatch_updates_appended_total"), time.monotonic()
            real = None not in (seen, now) and now - seen >= PUBLISHES_PER_SECOND_MIN
            seen = now
            return real
        try:
            await_true("the load is real", look, self.setup_max)
        except Violation as late:
            raise Unfit(str(late)) from late

    def __exit__(self, kind, *_):
        if kind is not None:
            self.kill()
            return
        try:
            self.process.wait(timeout=600)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Violation(f"the load doesn't end:\n{self.tail()}") from None

    def told(self, what):
        """The number before these words in what it has printed; 0 if they are not there."""
        found = re.search(rf"([\d,]+) {what}", self.output.read_text(encoding="utf-8", errors="replace"))
        return int(found.group(1).replace(",", "")) if found else 0

    def verdict(self):
        """The summary of a load that found every promise kept; else raises Violation."""
        lines = self.output.read_text(encoding="utf-8", errors="replace").splitlines()
        try:
            self.summary = json.loads(lines[-1])
        except (IndexError, json.JSONDecodeError):
            raise Violation(f"the load ended with {self.process.returncode} and no summary:\n{self.tail()}") from None
        if self.process.returncode != 0:
            raise Violation(f"the load ended with {self.process.returncode}:\n{self.tail(40)}")
        return self.summary


class Lab:
    """A temporary folder with processes in it."""

    def __init__(self, build, seed, column="test"):
        self.build, self.seed = build, seed
        self.column = column  # the runner's
        self.keep = False  # the folder, when it ends
        self.random = random.Random(seed)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="klatch-fault-"))
        self.started = []
        # What a row measured, for the table: name → value.
        self.figures = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.started):
            if isinstance(process, Process) and process.running():
                process.signal(signal.SIGCONT)
            process.stop()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def failpoint(self, name):
        return Failpoint(self.folder, name)

    def program_with_points(self):
        """klatchd of the build beside this one that can be killed at named points."""
        program = self.build.parent / "failpoints" / KLATCHD
        if not program.exists():
            raise Unfit(f"no {program}: cmake --preset failpoints && cmake --build --preset failpoints --target klatchd")
        return program

    def shim(self, name):
        return Shim(self.build, self.folder, name)

    def proxy(self, redis):
        proxy = Proxy(redis.port)
        self.started.append(proxy)
        return proxy

    def redis(self, name="redis", cores=None, **options):
        redis = Redis(name, self.folder, **options)
        redis.cores = cores
        self.started.append(redis)
        redis.start()
        return redis

    def guarded(self, replicas=2, sentinels=3):
        """A master with replicas in sync, and Sentinels that know of each other: (servers, Sentinels, address)."""
        master = self.redis("master")
        servers = [master] + [self.redis(f"replica{i}", options=("--replicaof", "127.0.0.1", master.port))
                              for i in range(replicas)]
        for server in servers[1:]:
            await_true(f"{server.name} has all",
                       lambda server=server: "master_link_status:up" in server.cli("INFO", "replication"))
        watching = [Sentinel(f"sentinel{i}", self.folder, master, sentinels // 2 + 1) for i in range(sentinels)]
        for sentinel in watching:
            self.started.append(sentinel)
            sentinel.start()
        for sentinel in watching:
            await_true(f"{sentinel.name} knows all", lambda sentinel=sentinel: sentinel.knows(replicas, sentinels - 1))
        addresses = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in watching)
        return servers, watching, f"sentinel://{addresses}/main"

    def node(self, redis_address, name="klatchd", cores=None, **options):
        node = Node(name, self.build, redis_address, self.folder, **options)
        node.cores = cores
        self.started.append(node)
        node.start_and_wait()
        return node

    def load(self, node, redis, seconds, cores=None, **options):
        """Options of klatch-load play, with _ for -; True for one that takes no value."""
        load = Load(self, node, redis, seconds, {name.replace("_", "-"): value for name, value in options.items()})
        load.cores = cores
        self.started.append(load)
        return load

    def scrub(self, node):
        """What is stored is what is due, of everybody."""
        done = subprocess.run([self.build / "services/klatch/klatch", "admin", "scrub", "--all", "--as", "harness",
                               "--target", node.target, "--timeout", "120"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Violation(f"scrub ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-1000:]}")

    def note(self, figure, value):
        self.figures.setdefault(figure, []).append(value)
