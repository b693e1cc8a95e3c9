"""The rows of the table of faults: what befalls which process, how often, and what must hold beyond the load's verdict."""

import dataclasses
import signal
import time
from typing import Callable

from lab import Violation

COLUMNS = ("test", "gate", "release")
PROGRAMS = ("services/klatchd/klatchd", "services/klatch/klatch", "bench/load/klatch-load")


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


def under_load(lab, node, redis, times, spacing, inject, *options):
    """Injects so many times, `spacing` seconds apart, and holds the checker's verdict and the scrub against it."""
    with lab.load(node, redis, 4 + times * spacing + 3, *options) as load:
        for _ in range(times):
            begun = time.monotonic()
            inject()
            time.sleep(max(0.0, spacing - (time.monotonic() - begun)))
    lab.note("publish p99 s", load.verdict()["publish_p99_us"] / 1e6)
    node.await_ready()
    lab.scrub(node)


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
