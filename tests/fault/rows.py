"""The rows of the table of faults: what befalls which process, how often, and what must hold beyond the load's verdict."""

import dataclasses
import itertools
import json
import operator
import os
import pathlib
import re
import signal
import statistics
import subprocess
import time
from typing import Callable, NamedTuple

import strangers
from lab import PUBLISHES_PER_SECOND_MIN, Lab, Unfit, Violation, await_true
from ledger import Ledger, Repeater
from points import ENDING, POINTS, STARTING

COLUMNS = ("test", "gate", "release")
SHARDS = 64
POINT_REACHED_WITHIN = 15.0
BACKUP = pathlib.Path(__file__).resolve().parent.parent.parent / "deploy/backup"
PROGRAMS = ("services/klatchd/klatchd", "services/klatch/klatch", "bench/load/klatch-load",
            "tests/fault/libklatch_fault_shim.so", "tests/integration/log_faults_redis_test",
            "tests/integration/klatchd_privacy_redis_test", "tests/integration/klatchd_stalled_watches_redis_test")


@dataclasses.dataclass(frozen=True)
class Row:
    number: int
    name: str
    what: str
    times: dict  # injections by column
    batch: int  # how many of them one load takes
    run: Callable  # (lab, times)


ROWS = []


def row(number, what, gate, release, batch=1, test=1):
    def add(function):
        ROWS.append(Row(number, function.__name__, what, dict(zip(COLUMNS, (test, gate, release))), batch, function))
        return function
    return add


def under_load(lab, node, redis, times, spacing, inject, rest=3.0, **options):
    """Injects so many times, `spacing` seconds apart, while the load has `rest` seconds left at least, and holds the checker's
    verdict and the scrub against it."""
    with lab.load(node, redis, 4 + times * spacing + rest, **options) as load:
        for _ in range(times):
            begun = time.monotonic()
            inject()
            time.sleep(max(0.0, spacing - (time.monotonic() - begun)))
    lab.note("publish p99 s", load.verdict()["publish_p99_us"] / 1e6)
    node.await_ready()
    lab.scrub(node)


def in_turn(lab, kinds):
    """Endless: each of them once, in an order of the lab's, and again."""
    return itertools.cycle(lab.random.sample(kinds, len(kinds)))


def took_back(lab, node, limit):
    """Notes when posts were taken again, and holds it against the bound."""
    took = node.await_publishes()
    lab.note("posts again after s", took)
    if took > limit:
        raise Violation(f"posts were taken again after {took:.1f} s only")


@row(1, "SIGKILL of a node under load", gate=50, release=1_000, batch=10)
def kill_node(lab, times):
    redis = lab.redis()
    node = lab.node(redis.address)

    def inject():
        time.sleep(lab.random.uniform(0, 0.3))
        node.kill()
        node.start()
        took_back(lab, node, 5.0)
    under_load(lab, node, redis, times, 3.0, inject)


@row(2, "killed at each of the named points", gate=len(POINTS), release=20 * len(POINTS), batch=len(POINTS), test=4)
def kill_at_points(lab, times):
    redis = lab.redis()
    failpoint = lab.failpoint("klatchd")
    node = lab.node(redis.address, environment=failpoint.environment, program=lab.program_with_points())
    points = in_turn(lab, list(POINTS))

    def inject():
        point = next(points)
        if POINTS[point] == STARTING:
            node.kill()
        failpoint.arm(point)
        if POINTS[point] == STARTING:
            node.start()
        elif POINTS[point] == ENDING:
            node.signal(signal.SIGTERM)
        try:
            node.process.wait(timeout=POINT_REACHED_WITHIN)
        except subprocess.TimeoutExpired:
            raise Unfit(f"{point} was not reached") from None
        failpoint.disarm()
        if node.process.returncode != -signal.SIGKILL:
            raise Violation(f"it ended with {node.process.returncode} before {point}:\n{node.tail()}")
        node.start()
        took_back(lab, node, 5.0)
    # The last may be one that comes to few calls, such as a removal's.
    under_load(lab, node, redis, times, 6.0, inject, rest=POINT_REACHED_WITHIN, quarrels=100)


@row(3, "SIGKILL of Redis, restart; append-only file synced at each write", gate=20, release=200, batch=5)
def kill_redis(lab, times):
    redis = lab.redis(fsync="always")
    node = lab.node(redis.address)

    def inject():
        time.sleep(lab.random.uniform(0, 0.3))
        redis.kill()
        time.sleep(lab.random.uniform(0, 1.0))
        redis.start()
        took_back(lab, node, 10.0)
    under_load(lab, node, redis, times, 5.0, inject)


def under_ledger(lab, room, node, name, fault, may_lose, ack="ACK_UNSPECIFIED"):
    """Injects once while posts are made whose answers are kept: those that are gone then are counted, or there are none."""
    ledger = Ledger(node.http, lab.seed, ack)
    ledger.begin()
    try:
        time.sleep(room.random.uniform(3.0, 5.0))
        before = len(ledger.acknowledged)
        fault()
        time.sleep(room.random.uniform(3.0, 5.0))
    finally:
        ledger.end()
    node.await_ready()
    gone = ledger.missing()
    counted = node.metric("klatch_log_lost_records_total")
    lab.note(f"{name}: acknowledged", len(ledger.acknowledged))
    lab.note(f"{name}: lost", len(gone))
    lab.note(f"{name}: counted", counted)
    if before < 3 * PUBLISHES_PER_SECOND_MIN:
        raise Unfit(f"only {before} posts before the fault")
    if gone and not may_lose:
        raise Violation(f"{len(gone)} acknowledged posts are gone")
    if len(gone) > counted:
        raise Violation(f"{len(gone)} acknowledged posts are gone and {counted:.0f} records are counted as lost")
    if shown := set(gone) & set(ledger.shown()):
        raise Violation(f"a timeline shows what is gone: {sorted(shown)[:3]}")
    if ledger.undecided:
        raise Violation(f"{ledger.undecided} posts were never decided")
    if ledger.refused:
        raise Violation(f"{len(ledger.refused)} posts were refused for good, such as {ledger.refused[0]}")
    room.scrub(node)


@row(4, "power loss: the append-only file cut at its last sync; synced at each write, and every second", gate=5, release=100)
def lose_power(lab, times):
    for fsync in ("always", "everysec"):
        with Lab(lab.build, lab.seed) as room:
            shim = room.shim("redis")
            redis = room.redis(fsync=fsync, environment=shim.environment)

            def fault():
                redis.lose_power(shim)
                time.sleep(0.2)
                redis.start()
            lossless = fsync == "always"
            under_ledger(lab, room, room.node(redis.address), fsync, fault, may_lose=not lossless,
                         ack="ACK_STRICT" if lossless else "ACK_LOCAL")


def fail_over(lab, times, what, ack, fault):
    """A master with two replicas loses its place to one of them; nothing that was acknowledged is gone."""
    for _ in range(times):
        with Lab(lab.build, lab.random.randrange(2**31)) as room:
            servers, sentinels, address = room.guarded()
            node = room.node(address, options=("--ack", "replicated"))

            def inject():
                fault(room, servers[0], sentinels, node)
                await_true("the Sentinels agree", lambda: len({sentinel.master_port() for sentinel in sentinels}) == 1
                           and sentinels[0].master_port() != servers[0].port)
            under_ledger(lab, room, node, what, inject, may_lose=False, ack=ack)


def followed(lab, master, sentinels, node, limit):
    """Notes how long Sentinels took to name another master, and posts to be taken there. The whole is held against the
    bound, unless an election of theirs came to nothing, which they repeat after seconds; our part in any case."""
    named = await_true("a Sentinel names another master",
                       lambda: any(sentinel.master_port() != master.port for sentinel in sentinels))
    lab.note("named after s", named)
    took = node.await_publishes()
    lab.note("posts there after s", took)
    was_split = any("-failover-abort" in sentinel.output.read_text() for sentinel in sentinels)
    if took > limit / 2 or (named + took > limit and not was_split):
        raise Violation(f"named after {named:.1f} s, posts were taken after {took:.1f} s more only")


@row(6, "master stopped until ten seconds past the failover, then continued", gate=3, release=100)
def stop_master(lab, times):
    def fault(room, master, sentinels, node):
        master.signal(signal.SIGSTOP)
        followed(lab, master, sentinels, node, 10.0)
        time.sleep(10.0)
        master.signal(signal.SIGCONT)
        await_true("it follows", lambda: "role:slave" in master.cli("INFO", "replication"))
    fail_over(lab, times, "stopped", "ACK_REPLICATED", fault)


@row(7, "SIGKILL of a master with two replicas and three Sentinels", gate=3, release=100)
def sentinel_failover(lab, times):
    def fault(room, master, sentinels, node):
        time.sleep(room.random.uniform(0, 0.3))
        master.kill()
        followed(lab, master, sentinels, node, 4.0)
    fail_over(lab, times, "failed over", "ACK_UNSPECIFIED", fault)


@row(8, "replica cut off from its master, then promoted in its place", gate=3, release=50)
def promote_stale_replica(lab, times):
    master = lab.redis("master")
    link, front = lab.proxy(master), lab.proxy(master)
    replica = lab.redis("replica", options=("--replicaof", "127.0.0.1", link.port))
    await_true("the replica has all", lambda: "master_link_status:up" in replica.cli("INFO", "replication"))

    def fault():
        link.cut()
        time.sleep(lab.random.uniform(0.3, 1.5))
        master.kill()
        replica.cli("REPLICAOF", "NO", "ONE")
        front.point_to(replica.port)
    under_ledger(lab, lab, lab.node(front.address), "promoted", fault, may_lose=True)


@row(9, "node cut off from Redis, both ways and one way, and slowed", gate=5, release=100, batch=4)
def cut_off_node(lab, times):
    redis = lab.redis()
    proxy = lab.proxy(redis)
    node = lab.node(proxy.address)
    kinds = in_turn(lab, ["cut", "requests", "answers", "both", "slow"])

    def inject():
        kind = next(kinds)
        if kind == "cut":
            proxy.cut()
        elif kind == "slow":
            proxy.delay(lab.random.uniform(0.02, 0.2))
        else:
            proxy.swallow(kind)
        time.sleep(lab.random.uniform(1.0, 4.5))
        proxy.heal()
        took_back(lab, node, 10.0)
    under_load(lab, node, redis, times, 10.0, inject)


@row(10, "owner stopped longer than its lease, then continued", gate=5, release=100, batch=2)
def stop_owner(lab, times):
    redis = lab.redis()
    node = lab.node(redis.address)

    def inject():
        node.signal(signal.SIGSTOP)
        time.sleep(lab.random.uniform(3.2, 5.0))
        node.signal(signal.SIGCONT)
        took_back(lab, node, 5.0)
    under_load(lab, node, redis, times, 8.0, inject)


@row(12, "disk full, and an append-only file that can't be synced", gate=2, release=20, batch=2)
def full_disk(lab, times):
    shim = lab.shim("redis")
    # Synced at each write Redis would end itself instead, which is row 3.
    redis = lab.redis(fsync="everysec", environment=shim.environment)
    node = lab.node(redis.address)
    kinds = in_turn(lab, ["full", "unsynced"])

    def inject():
        kind = next(kinds)
        shim.set_disk(kind)
        await_true("Redis refuses writes", lambda: "MISCONF" in redis.cli("SET", "x", "1", check=False))
        time.sleep(0.2)  # for what was answered before
        before = node.posts_written()
        time.sleep(lab.random.uniform(1.0, 3.0))
        if node.posts_written() != before:
            raise Violation("posts were answered while Redis took none")
        shim.set_disk("good")
        if kind == "unsynced":
            # Redis 7.0 asks for no other sync when nothing can be written, and refuses writes for ever: it has to
            # be started again, as docs/RELIABILITY.md says.
            redis.kill()
            redis.start()
        took_back(lab, node, 10.0)
    under_load(lab, node, redis, times, 8.0, inject)


@row(13, "Redis out of memory", gate=5, release=50, batch=5)
def full_memory(lab, times):
    redis = lab.redis()
    node = lab.node(redis.address)

    def inject():
        redis.cli("CONFIG", "SET", "maxmemory", "1mb")
        time.sleep(lab.random.uniform(1.0, 3.0))
        before = node.posts_written()
        time.sleep(0.5)
        if node.posts_written() != before:
            raise Violation("posts were answered while Redis had no memory")
        if not node.is_ready() or not node.running():
            raise Violation("the node no longer serves reads")
        redis.cli("CONFIG", "SET", "maxmemory", "0")
        took_back(lab, node, 10.0)
    under_load(lab, node, redis, times, 7.0, inject)


def by_test(lab, program, *arguments, environment=None):
    """A row that a test of one program plays whole."""
    done = subprocess.run([lab.build / "tests/integration" / program, "--gtest_brief=1", *arguments], text=True,
                          capture_output=True, check=False, env=os.environ | (environment or {}))
    if done.returncode != 0:
        raise Violation(f"{program} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4_000:]}")
    if "[  PASSED  ]" not in done.stdout:
        raise Unfit(f"{program} has not said that it passed:\n{done.stdout[-1_000:]}")


@row(14, "a key of another type, or with garbage, in the place of each that a script touches", gate=1, release=1)
def wrong_types(lab, times):
    by_test(lab, "log_faults_redis_test", "--gtest_filter=*WrongType*:*Garbage*")


@row(15, "errors of Redis: scripts flushed, connections closed, BUSY, READONLY, NOREPLICAS, NOAUTH, writes paused",
     gate=7, release=70, batch=7)
def redis_errors(lab, times):
    redis = lab.redis(options=("--busy-reply-threshold", "100"))
    node = lab.node(redis.address)

    def for_a_while():
        time.sleep(lab.random.uniform(0.5, 3.5))

    def flush_scripts():
        redis.cli("SCRIPT", "FLUSH")

    def close_connections():
        redis.cli("CLIENT", "KILL", "TYPE", "normal")

    def be_busy():
        # Nothing is written by it, so it can be killed.
        looping = subprocess.Popen(["redis-cli", "-s", redis.socket, "EVAL", "while true do end", "0"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for_a_while()
        redis.cli("SCRIPT", "KILL")
        looping.wait(timeout=10)

    def be_a_replica():
        redis.cli("REPLICAOF", "127.0.0.1", "1")  # where nobody listens: it keeps what it has
        for_a_while()
        redis.cli("REPLICAOF", "NO", "ONE")

    def lack_replicas():
        redis.cli("CONFIG", "SET", "min-replicas-to-write", "1")
        for_a_while()
        redis.cli("CONFIG", "SET", "min-replicas-to-write", "0")

    def want_a_password():
        redis.cli("CONFIG", "SET", "requirepass", "secret")
        close_connections_as("secret")
        for_a_while()
        subprocess.run(["redis-cli", "-s", redis.socket, "-a", "secret", "--no-auth-warning", "CONFIG", "SET", "requirepass", ""],
                       stdout=subprocess.DEVNULL, check=True)

    def close_connections_as(password):
        subprocess.run(["redis-cli", "-s", redis.socket, "-a", password, "--no-auth-warning", "CLIENT", "KILL", "TYPE", "normal"],
                       stdout=subprocess.DEVNULL, check=True)

    def pause_writes():
        redis.cli("CLIENT", "PAUSE", int(lab.random.uniform(500, 3_500)), "WRITE")

    kinds = in_turn(lab, [flush_scripts, close_connections, be_busy, be_a_replica, lack_replicas, want_a_password,
                          pause_writes])

    def inject():
        next(kinds)()
        took_back(lab, node, 10.0)
    under_load(lab, node, redis, times, 9.0, inject)


@row(16, "clocks of the day jump by an hour either way, of the node and of Redis", gate=5, release=50, batch=3)
def jump_clocks(lab, times):
    of_redis, of_node = lab.shim("redis"), lab.shim("klatchd")
    redis = lab.redis(environment=of_redis.environment)
    node = lab.node(redis.address, environment=of_node.environment)
    jumps = in_turn(lab, [(of_redis, 3_600), (of_redis, -3_600), (of_node, 3_600), (of_node, -3_600)])

    def inject():
        whose, seconds = next(jumps)
        whose.set_clock_ahead(seconds)
        lab.note("redis ahead s" if whose is of_redis else "node ahead s", seconds)
        took_back(lab, node, 5.0)
        time.sleep(lab.random.uniform(0.5, 1.5))
        if whose is of_node and lab.random.random() < 0.5:
            whose.set_clock_ahead(0)
            took_back(lab, node, 5.0)
    under_load(lab, node, redis, times, 4.0, inject)


@row(17, "logs trimmed beyond what a killed node had written", gate=1, release=20)
def trim_logs(lab, times):
    persons = 2_000 if lab.column == "test" else 100_000
    redis = lab.redis()
    node = lab.node(redis.address, flush_interval="2s")  # seconds of records that no timeline has yet

    def inject():
        node.kill()
        gone = sum(int(redis.cli("XTRIM", f"{{default:g{shard}}}:log", "MAXLEN", 1)) for shard in range(SHARDS))
        node.start()
        took_back(lab, node, 10.0)
        lab.note("records trimmed", gone)
        if not node.metric("klatch_log_gaps_total"):
            raise Violation(f"{gone} records were trimmed, and the node noticed nothing")
        lab.note("rebuilt after s", await_true("the timelines are rebuilt",
                                               lambda: node.metric("klatch_holes") == 0, 60.0))
    under_load(lab, node, redis, times, 10.0, inject, persons=persons, setup_max=300.0)


@row(18, "each post sent one to five times, by two at once, while Redis is killed and started again", gate=20_000,
     release=1_000_000, batch=20_000, test=2_000)
def repeat_posts(lab, times):
    redis = lab.redis()
    node = lab.node(redis.address)
    posts = Repeater(node.http, lab.seed, times)
    begun = time.monotonic()
    posts.begin()
    try:
        await_true("half of the posts are decided", lambda: len(posts.ids) >= times / 2, 600)
        rate = posts.sent / (time.monotonic() - begun)
        if rate < PUBLISHES_PER_SECOND_MIN:
            raise Unfit(f"only {rate:.0f} posts a second")
        redis.kill()
        redis.start()
        posts.await_all()
    finally:
        posts.end()
    node.await_ready()
    lab.note("posts", len(posts.ids))
    lab.note("sent", posts.sent)
    lab.note("refused with another text", posts.other_texts)
    if posts.undecided or len(posts.ids) < times:
        raise Violation(f"{posts.undecided} of {times} posts were never decided")
    if twice := {key: ids for key, ids in posts.ids.items() if len(ids) != 1}:
        raise Violation(f"{len(twice)} posts were answered several ids, such as {next(iter(twice.items()))}")
    if posts.wrong:
        raise Violation(f"{len(posts.wrong)} keys were taken with another text, such as {posts.wrong[0]}")
    if posts.other_texts < times / 2:
        raise Unfit(f"only {posts.other_texts} other texts were answered")
    stored = len(redis.cli("--scan", "--pattern", "*:update:*").splitlines())
    if stored != len(posts.ids):
        raise Violation(f"{stored} updates are stored of {len(posts.ids)} posts")
    if gone := posts.missing():
        raise Violation(f"{len(gone)} acknowledged posts are gone")
    lab.scrub(node)


RACING_PERSONS = 10_000
DEPARTURES, QUARRELS = 500, RACING_PERSONS // 20  # as many as klatch-load has of one load


@row(19, "posts race with leaving, being removed, coming back, blocking, muting and hiding", gate=20_000, release=1_000_000,
     batch=DEPARTURES + QUARRELS, test=DEPARTURES + QUARRELS)
def race_removals(lab, times):
    redis = lab.redis()
    node = lab.node(redis.address)
    with lab.load(node, redis, 15, persons=RACING_PERSONS, churn=1_000, quarrels=QUARRELS, watched=400) as load:
        pass
    lab.note("posts", load.verdict()["published"])
    for what in ("departures", "returns", "quarrels"):
        lab.note(what, load.told(what))
    if load.told("departures") + load.told("quarrels") < times / 2:
        raise Unfit("too few have left or quarrelled")
    lab.scrub(node)


@row(20, "each reason to hide an update on each path to it, of copied and pulled groups; killed, rebuilt, failed over",
     gate=100, release=10_000, batch=25, test=2)
def privacy_matrix(lab, times):
    by_test(lab, "klatchd_privacy_redis_test", environment={"KLATCH_PRIVACY_PAIRS": str(times)})


FLIPS_PER_GROUP = 4  # it grows and shrinks, twice
PULLED_ABOVE = 300  # members


@row(21, "groups flip between copies and pages from their feed", gate=100, release=10_000, batch=100, test=20)
def flip_groups(lab, times):
    redis = lab.redis()
    node = lab.node(redis.address, options=("--pull-above", PULLED_ABOVE))
    with lab.load(node, redis, 15, flip_groups=max(1, times // FLIPS_PER_GROUP), flip_above=PULLED_ABOVE) as load:
        pass
    lab.note("posts", load.verdict()["published"])
    found = re.search(r"flipped ([\d,]+)\s+times", load.output.read_text(encoding="utf-8"))
    flips = int(found[1].replace(",", "")) if found else 0
    lab.note("flips", flips)
    if flips < times / 2:
        raise Unfit(f"groups flipped {flips} times only:\n{load.tail(40)}")
    lab.scrub(node)


@row(22, "1,000 watchers that stop reading, among 20 who read", gate=1, release=1)
def stall_watchers(lab, times):
    by_test(lab, "klatchd_stalled_watches_redis_test", environment={"KLATCH_STALLED_WATCHES": "1000"})


OVERLOAD = 5  # times the peak
SURGES = 3  # and a peak before and behind each
THIRD = 10  # seconds of the surge, and of what is before and behind it
POSTS_PER_CALL = 100
PEAK_POSTS = 200_000
LATE_MAX = 0.05  # of the posts, that the load sent late; it was another load then


class Peak(NamedTuple):
    posts: float  # a second
    p99: float  # µs


class Seconds:
    """What a load took down each second; None where nobody could tell, 0 for those."""

    def __init__(self, file):
        self._points = {one["name"]: one["points"] for one in json.loads(file.read_text(encoding="utf-8"))["series"]}

    def of(self, name, begin, end):
        return [point or 0 for point in self._points.get(name, [])[begin:end]]

    def mean(self, name, begin, end):
        points = self.of(name, begin, end)
        return sum(points) / max(1, len(points))

    def mean_of_posts(self, name, begin, end):
        """Each second counts as much as it has posts."""
        posts = self.of("published", begin, end)
        return sum(map(operator.mul, self.of(name, begin, end), posts)) / max(1, sum(posts))


@row(23, "five times as much as can be carried, by a schedule that doesn't wait", gate=1, release=5)
def overload(lab, times):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Unfit("one core is needed for the node and Redis, and another for the load")
    redis = lab.redis(fsync="everysec", cores=cores[:1])
    node = lab.node(redis.address, cores=cores[:1], options=("--admission-queue-time", "50ms"))
    posts_alone = {"persons": 10_000, "group_size": 400, "groups_per_person": 10, "batch": POSTS_PER_CALL, "churn": 0,
                   "revisions": 0, "several": 0, "watched": 0, "quarrels": 0, "cores": cores[1:]}
    file = lab.folder / "load.json"

    def peak():
        with lab.load(node, redis, 0, arrivals="closed", updates=PEAK_POSTS, duration="0s", connections=4, result=file,
                      **posts_alone) as load:
            pass
        load.verdict()
        seconds = Seconds(file)
        # Timelines are full by then, and what is not written yet has grown to what it stays at.
        found = Peak(seconds.mean("published", THIRD, -1), seconds.mean_of_posts("publish_p99", THIRD, -1))
        if found.posts == 0:
            raise Unfit("the peak was over before it was one")
        lab.note("peak posts/s", found.posts)
        lab.note("p99 ms at peak", found.p99 / 1e3)
        return found

    def surge(rate):
        with lab.load(node, redis, 3 * THIRD, arrivals="surge", rate=int(rate / 2), rate_end=int(OVERLOAD * rate),
                      linger="5ms", shed=True, result=file, **posts_alone) as load:
            pass
        load.verdict()
        seconds = Seconds(file)
        offered, late = seconds.mean("offered", THIRD, 2 * THIRD), load.told("were sent late")
        if late > LATE_MAX * offered * THIRD:
            raise Unfit(f"{late} of {offered * THIRD:.0f} posts were sent late")
        return seconds

    # In turn, since the same machine's peak is half or twice as high a minute later.
    peaks, surges = [peak()], []
    for _ in range(SURGES * times):
        surges.append(surge(peaks[-1].posts))
        peaks.append(peak())
    for first in range(0, len(surges), SURGES):
        judge_surges(lab, surges[first:first + SURGES], peaks[first:first + SURGES + 1])
    lab.scrub(node)


def judge_surges(lab, surges, peaks):
    """Each surge against the peaks beside it; of all the medians."""
    goodputs, latenesses = [], []
    for seconds, before, after in zip(surges, peaks, peaks[1:]):
        posts, p99 = (before.posts + after.posts) / 2, (before.p99 + after.p99) / 2
        goodputs.append(seconds.mean("published", THIRD, 2 * THIRD) / posts)
        latenesses.append(seconds.mean_of_posts("publish_p99", THIRD, 2 * THIRD) / p99)
        lab.note("goodput of peak", goodputs[-1])
        lab.note("p99 of that at peak", latenesses[-1])
        lab.note("recovered after s", next(
            (second for second in range(THIRD)
             if not any(seconds.of("shed", 2 * THIRD + second, 3 * THIRD))
             and max(seconds.of("publish_p99", 2 * THIRD + second, 3 * THIRD)) <= 2 * p99), THIRD))
    goodput, lateness = statistics.median(goodputs), statistics.median(latenesses)
    recovered = statistics.median(lab.figures["recovered after s"][-len(surges):])
    if goodput < 0.8 or lateness > 2 or recovered > 5:
        raise Violation(f"{goodput:.0%} of the peak were taken, {lateness:.1f} times as late, and it took {recovered} s to recover")


@row(24, "strangers abuse the port: resets, heads without end, pings, slow ones, connections, descriptors", gate=1, release=1)
def abuse_port(lab, times):
    for _ in range(times):
        strangers.play(lab)


@row(25, "SIGTERM, started again: what is under way is answered, and everything is written", gate=3, release=20, batch=3)
def drain_node(lab, times):
    redis = lab.redis()
    node = lab.node(redis.address)

    def inject():
        begun = time.monotonic()
        node.signal(signal.SIGTERM)
        code = node.process.wait(timeout=30)
        took = time.monotonic() - begun
        lab.note("drained after s", took)
        if code != 0 or took > 10:
            raise Violation(f"it ended with {code} after {took:.1f} s:\n{node.tail()}")
        node.start()
        took_back(lab, node, 5.0)
    under_load(lab, node, redis, times, 5.0, inject)


REWRITE_PERCENTAGE = 90


@row(29, "a copy of Redis's files, made under load by deploy/backup, is put back elsewhere", gate=1, release=5)
def restore_copy(lab, times):
    for _ in range(times):
        with Lab(lab.build, lab.random.randrange(2**31)) as room:
            redis = room.redis(fsync="everysec")
            redis.cli("CONFIG", "SET", "auto-aof-rewrite-percentage", REWRITE_PERCENTAGE)
            node = room.node(redis.address)
            ledger = Ledger(node.http, lab.seed)
            ledger.begin()
            try:
                time.sleep(room.random.uniform(3.0, 5.0))
                due = dict(ledger.acknowledged)
                begun = time.monotonic()
                copied = subprocess.run([BACKUP, "--redis", redis.address, "--to", room.folder / "copy"], text=True,
                                        capture_output=True, check=False)
                lab.note("copied in s", time.monotonic() - begun)
                if copied.returncode != 0:
                    raise Violation(f"deploy/backup ended with {copied.returncode}: {copied.stderr}")
                time.sleep(1.0)
            finally:
                ledger.end()
            if len(due) < 3 * PUBLISHES_PER_SECOND_MIN:
                raise Unfit(f"only {len(due)} posts before the copy")
            if redis.cli("CONFIG", "GET", "auto-aof-rewrite-percentage").split()[-1] != str(REWRITE_PERCENTAGE):
                raise Violation("deploy/backup did not put back how files are rewritten")
            begun = time.monotonic()
            restored = room.redis("restored", fsync="everysec", files=room.folder / "copy")
            again = room.node(restored.address, name="again")
            lab.note("serves again after s", time.monotonic() - begun)
            room.scrub(again)
            ledger.turn_to(again.http)
            ledger.acknowledged = due
            lab.note("posts", len(due))
            if gone := ledger.missing():
                raise Violation(f"{len(gone)} of {len(due)} posts are gone that were acknowledged before the copy")
