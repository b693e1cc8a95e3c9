#!/usr/bin/env python3
"""Counts the instructions that redis-server takes for what Klatch asks of it, by callgrind.

  bench/redis_cost.py ids 20 90      so many ids into a full timeline: by a script, by a transaction
                                     behind a WATCH, and without a guard
  bench/redis_cost.py posts 1 2 8    so many posts a script: with the whole library in front of it, and
                                     with what it uses of it; and so many a transaction

Counts don't depend on what else the machine does. Redis is append-only and started on a socket in a
temporary folder, which goes at the end. Exit codes: 0, 2 usage, 3 redis-server or valgrind is missing.
"""

import hashlib
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

SCRIPTS = pathlib.Path(__file__).parent.parent / "services/log/scripts"
END = b"THE-END"
TIMELINES = 3_000
WRITES = 150  # a script or transaction
POSTS = 2_000
GROUPS, SHARDS, MEMBERS = 640, 64, 200
FULL_RING = b"\0" * 7_040

# As flushers did before they wrote transactions.
WRITE_IDS = """
local held = redis.call('HMGET', KEYS[1], 'nonce', 'fence')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 'LOST' end
for i = 2, #KEYS do redis.call('SETRANGE', KEYS[i], ARGV[2 * i - 1], ARGV[2 * i]) end
return 'OK'
"""


def encode(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Redis:
    """A redis-server under callgrind."""

    def __init__(self, folder):
        self.out = pathlib.Path(folder) / "callgrind.out"
        address = f"{folder}/redis.sock"
        self.process = subprocess.Popen(
            ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.out}",
             "redis-server", "--port", "0", "--unixsocket", address, "--save", "", "--appendonly", "yes",
             "--auto-aof-rewrite-percentage", "0", "--dir", str(folder), "--hz", "1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 60
        while self.socket.connect_ex(address) != 0:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("redis-server does not start under valgrind")
            time.sleep(0.1)

    def run(self, commands):
        """Sends all, and waits for all answers. An error among them ends the program."""
        sending = threading.Thread(target=self.socket.sendall, args=(b"".join(commands) + encode("ECHO", END),))
        sending.start()
        answers = b""
        while END not in answers[-64:]:
            answers += self.socket.recv(1 << 20)
        sending.join()
        if error := re.search(rb"^-.*$", answers, re.MULTILINE):
            raise RuntimeError(error[0].decode())

    def load(self, script):
        self.run([encode("SCRIPT", "LOAD", script)])
        return hashlib.sha1(script.encode()).hexdigest()

    def count(self, commands):
        for switch in ("--instr=on", None, "--instr=off", "--dump"):
            if switch is None:
                self.run(commands)
            else:
                subprocess.run(["callgrind_control", switch, str(self.process.pid)], check=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        totals = [int(line.split()[1]) for path in self.out.parent.glob("callgrind.out*")
                  for line in path.read_text(errors="replace").splitlines() if line.startswith("totals:")]
        return max(totals)

    def end(self):
        self.process.terminate()
        self.process.wait()


def counted(make):
    """What `make(redis)` asks for, in instructions."""
    with tempfile.TemporaryDirectory() as folder:
        redis = Redis(folder)
        try:
            return redis.count(make(redis))
        finally:
            redis.end()


def write_ids(kind, ids):
    def make(redis):
        keys = [f"{{default:t{i % 256}}}:timeline:person-{i}" for i in range(TIMELINES)]
        value = b"12345678" * ids
        redis.run([encode("HSET", "lease", "nonce", "n", "fence", "f")] + [encode("SET", key, FULL_RING) for key in keys])
        sha = redis.load(WRITE_IDS)
        commands = []
        for first in range(0, TIMELINES, WRITES):
            some = keys[first:first + WRITES]
            writes = [encode("SETRANGE", key, 160, value) for key in some]
            if kind == "script":
                commands.append(encode("EVALSHA", sha, len(some) + 1, "lease", *some, "n", "f", *[160, value] * len(some)))
            elif kind == "transaction":
                commands += [encode("WATCH", "lease"), encode("HMGET", "lease", "nonce", "fence"), encode("MULTI"),
                             *writes, encode("EXEC")]
            else:
                commands += writes
        redis.run(commands)
        return commands
    return counted(make) / TIMELINES


def without_comments(script):
    return "".join(f"{line}\n" for line in script.splitlines() if line.strip() and not line.strip().startswith("--"))


def with_library(library, script):
    """As services/log/script_library.h says."""
    whole = without_comments(script)
    for definition in reversed(re.split(r"(?m)^(?=local )", without_comments(library))[1:]):
        head = definition.splitlines()[0].removeprefix("local ")
        names = [head.removeprefix("function ").split("(")[0]] if head.startswith("function ") else head.split("=")[0].split(",")
        if any(re.search(rf"\b{name.strip()}\b", whole) for name in names):
            whole = definition + whole
    return whole


class Posts:
    """Posts to groups of full feeds, as many as there are in one script or transaction."""

    def __init__(self):
        self.numbers = random.Random(1)

    def fill(self, redis):
        stay = b"\3" + b"\0" * 16
        members = [word for i in range(MEMBERS) for word in (f"person-{i}", stay)]
        for number in range(GROUPS):
            tag = f"{{default:g{number % SHARDS}}}"
            redis.run([encode("HSET", f"{tag}:group:grp-{number}", "s", 1, "a", 1, "f", 900, "p", 2),
                       encode("HSET", f"{tag}:members:grp-{number}", *members),
                       encode("SET", f"{tag}:feed:grp-{number}", FULL_RING)])

    def next(self, shard):
        """Once key, group, members, feed; body, record."""
        tag = f"{{default:g{shard}}}"
        group = f"grp-{self.numbers.randrange(GROUPS // SHARDS) * SHARDS + shard}"
        keys = [f"{tag}:once:person-12:{group}:req-{self.numbers.getrandbits(64):016x}", f"{tag}:group:{group}",
                f"{tag}:members:{group}", f"{tag}:feed:{group}"]
        return keys, b"\1\1\0\0\0\0\x09\6person-12grp-77" + b"x" * 60, b"r" * 60


def by_script(script, posts):
    some = Posts()

    def calls(sha, count):
        commands = []
        for _ in range(0, count, posts):
            shard = some.numbers.randrange(SHARDS)
            tag = f"{{default:g{shard}}}"
            keys, arguments = [f"{tag}:log"], [shard, 86_400_000, 86_400_000, f"{tag}:update:"]
            for _ in range(posts):
                of_post, body, record = some.next(shard)
                keys += of_post
                arguments += ["person-12", b"d" * 16, body, record, "", ""]
            commands.append(encode("EVALSHA", sha, len(keys), *keys, *arguments))
        return commands

    def make(redis):
        some.fill(redis)
        sha = redis.load(script)
        redis.run(calls(sha, POSTS // 2))
        return calls(sha, POSTS)
    return counted(make) / POSTS


def by_transaction(posts):
    """As services/log/publish_transaction.h says, each to a shard at random."""
    some = Posts()
    positions = iter(range(1, 1_000_000))

    def calls(count):
        commands = []
        for _ in range(0, count, posts):
            shards = [some.numbers.randrange(SHARDS) for _ in range(posts)]
            logs = {f"{{default:g{shard}}}:log" for shard in shards}
            asked = [encode("WATCH", *logs), encode("TIME")]
            asked += [encode("XREVRANGE", log, "+", "-", "COUNT", 1) for log in logs]
            written, once_keys = [encode("MULTI")], []
            for shard in shards:
                (once, group, members, feed), body, record = some.next(shard)
                asked += [encode("HMGET", group, "s", "a", "f", "p", "z"), encode("STRLEN", feed),
                          encode("HGET", members, "person-12")]
                once_keys.append(once)
                position = next(positions)
                written += [encode("XADD", f"{{default:g{shard}}}:log", f"{90_000_000_000 + position}-0", "r", record),
                            encode("SET", f"{{default:g{shard}}}:update:{position:016x}", body, "PX", 86_400_000),
                            encode("SET", once, b"d" * 24, "PX", 86_400_000),
                            encode("SETRANGE", feed, 160, b"12345678"), encode("HSET", group, "f", 900 + position)]
            commands += [*asked, encode("EXISTS", *once_keys), *written, encode("EXEC")]
        return commands

    def make(redis):
        some.fill(redis)
        redis.run(calls(POSTS // 2))
        return calls(POSTS)
    return counted(make) / POSTS


def main():
    what, numbers = sys.argv[1:2], sys.argv[2:]
    if what not in (["ids"], ["posts"]) or not numbers or not all(n.isdigit() and 0 < int(n) <= 100 for n in numbers):
        print(__doc__, file=sys.stderr)
        return 2
    for program in ("redis-server", "valgrind"):
        if shutil.which(program) is None:
            print(f"redis_cost.py: {program} is missing", file=sys.stderr)
            return 3
    if what == ["ids"]:
        for kind in ("script", "transaction", "no guard"):
            for ids in map(int, numbers):
                print(f"{ids} ids, {kind}: {write_ids(kind, ids):,.0f} instructions a timeline", flush=True)
        return 0
    library, script = ((SCRIPTS / name).read_text() for name in ("append.lua", "publish.lua"))
    library += (SCRIPTS / "posting.lua").read_text()
    for name, whole in (("whole library", library + script), ("what is used", with_library(library, script))):
        for posts in map(int, numbers):
            print(f"{posts} posts a script, {name}: {by_script(whole, posts):,.0f} instructions a post", flush=True)
    for posts in map(int, numbers):
        print(f"{posts} posts a transaction: {by_transaction(posts):,.0f} instructions a post", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
