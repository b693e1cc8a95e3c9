"""Row 24: strangers abuse a node's port, and honest callers go on."""

import json
import pathlib
import resource
import subprocess
import time

from honest import Fared, Honest, Target
from lab import Unfit, Violation, free_port

ABUSE = pathlib.Path(__file__).resolve().parent / "abuse"
SERVED_MIN, AGAIN_MAX = 0.99, 5.0
# By column: how long each attack lasts, and which there are.
SECONDS = {"test": 1.5, "gate": 10.0, "release": 60.0}
ATTACKS = {"test": "resets,headers,pings,connections"}
ALL = "spin,resets,reset-calls,headers,pings,slow-headers,half-calls,unread,connections,churn,languages,bombs"
FEW_DESCRIPTORS = 512
NO_DESCRIPTORS = 4  # numbers of new files; all of them are taken
CALM = 1.0


def play(lab):
    """All attacks on a node; those on descriptors on one that has few."""
    seconds = SECONDS[lab.column]
    redis = lab.redis(fsync="everysec")
    node = lab.node(redis.address, listen=f"127.0.0.1:{free_port()}")
    exhaust(lab, node, seconds)
    abuse(lab, node, seconds, ATTACKS.get(lab.column, ALL))
    node.stop()
    few = lab.node(redis.address, name="few", listen=f"127.0.0.1:{free_port()}",
                   prefix=("prlimit", f"--nofile={FEW_DESCRIPTORS}:{FEW_DESCRIPTORS}"))
    abuse(lab, few, seconds, "descriptors")


def abuse(lab, node, seconds, attacks):
    done = subprocess.run([ABUSE, "--target", node.target, "--http", node.http, "--metrics", node.metrics, "--json",
                           "--seconds", str(seconds), "--attack", attacks], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        fared = json.loads(line)
        lab.note(f"{fared['attack']} served", fared["served"])
        if fared["again"] is not None:
            lab.note("accepts again after s", fared["again"])
    if done.returncode != 0 or not node.running():
        raise Violation(f"tests/fault/abuse ended with {done.returncode}:\n{done.stdout}{done.stderr}{node.tail()}")


def exhaust(lab, node, seconds):
    """The node may open nothing more for so long: who is there is served, and who comes afterwards."""
    honest = Honest(Target(node.target))
    time.sleep(CALM)
    before = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    begin = time.monotonic()
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (NO_DESCRIPTORS, before[1]))
    time.sleep(seconds)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, before)
    end = time.monotonic()
    honest.await_newcomer(end, AGAIN_MAX + 1.0)
    calls = honest.end()
    fared = Fared.of(calls, begin, end)
    # Who came meanwhile was reset, or waits; with a short fault less long than honest callers do.
    early = [call for call in calls if call.newcomer and call.due >= begin and call.latency and call.due + call.latency < end]
    if early:
        raise Unfit(f"{len(early)} newcomers were served meanwhile: it had descriptors")
    lab.note("exhausted served", fared.staying_served)
    if fared.again is not None:
        lab.note("accepts again after s", fared.again)
    if fared.staying_served < SERVED_MIN or fared.again is None or fared.again > AGAIN_MAX:
        raise Violation(f"without descriptors {fared.staying_served:.1%} of the calls on connections that there were are served, "
                        f"and newcomers after {fared.again} s (None: never)")
