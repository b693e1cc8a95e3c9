#!/usr/bin/env python3
"""Says where each microsecond of a post goes: processor time by stage, per post to a group of 400.

  bench/post_cost.py [--build build/release] [--persons 20000] [--seconds 10] [--age 1s] [--svg FILE]

Starts klatchd with its own Redis in a temporary folder, which goes at the end, fills everybody's timeline and
loads it twice with klatch-load, its checks on: batches of 100 posts, and one post per call, 64 calls under way
over 4 connections. The time is that of threads, from /proc, by their names; posts are counted by /metrics.
Prints a table, and draws it with --svg. Exit codes: 0, 1 a load or the node failed, 2 usage.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

GROUP = 400
# klatchd's threads by name, and what they do for a post. The rest of its threads belong to gRPC.
STAGES = [
    ("client", "load generator: makes, sends, retries, checks"),
    ("grpc", "gRPC, and on its threads accept: parse, validate, answer"),
    ("append", "encode commands, read Redis's answers"),
    ("redis", "Redis: posts, ids, the append-only file"),
    ("tailer", "read and decode the log"),
    ("workers", "append to 400 timelines in memory"),
    ("flushers", "collect ids, write them to Redis"),
    ("other", "leases, sweeper, metrics, live"),
]
OURS = {"append": "append", "tailer": "tailer", "worker": "workers", "flusher": "flushers", "live": "other",
        "leases": "other", "klatchd": "other", "sweeper": "other", "janitor": "other", "ticker": "other",
        "metrics": "other", "http": "other", "jemalloc_bg": "other"}
COLOURS = ["#9aa5b1", "#d9480f", "#f08c00", "#c92a2a", "#5f3dc4", "#1971c2", "#2f9e44", "#ced4da"]
LOADS = [("batches of 100", ["--batch", "100"]), ("one post per call", ["--batch", "16", "--one-per-call"])]
POSTS_ALONE = ["--arrivals", "closed", "--group-size", str(GROUP), "--cap", "800", "--churn", "0", "--revisions", "0",
               "--several", "0", "--watched", "0", "--quarrels", "0", "--probers", "0", "--show-timelines", "0",
               "--check-timelines", "100"]


class Failed(Exception):
    pass


class Node:
    """klatchd with an embedded Redis."""

    def __init__(self, build, folder, age):
        self.folder = folder
        self.log = open(folder / "klatchd.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [build / "services/klatchd/klatchd", "--listen", f"unix:{folder}/klatchd.sock", "--data-dir", folder / "data",
             "--metrics-listen", "127.0.0.1:0", "--flush-interval", "250ms", "--admission-flush-age", age],
            stdout=subprocess.DEVNULL, stderr=self.log)
        self.metrics = self._wait_until_it_serves()
        subprocess.run(["redis-cli", "-s", folder / "data/redis.sock", "config", "set", "auto-aof-rewrite-percentage", "0"],
                       check=True, stdout=subprocess.DEVNULL)

    def _wait_until_it_serves(self):
        for _ in range(200):
            for line in (self.folder / "klatchd.log").read_text(encoding="utf-8").splitlines():
                said = json.loads(line)
                if "metrics" in said and "listen" in json.dumps(said):
                    return said["metrics"]
            time.sleep(0.1)
        raise Failed("klatchd doesn't serve: " + (self.folder / "klatchd.log").read_text(encoding="utf-8")[-500:])

    def posts(self):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=5) as page:
            found = re.findall(r"^klatch_updates_appended_total\{[^}]*\} (\d+)", page.read().decode(), re.M)
        return sum(map(int, found))

    def load(self, build, persons, options):
        return subprocess.Popen(
            [build / "bench/load/klatch-load", "play", "--target", f"unix:{self.folder}/klatchd.sock", "--metrics",
             self.metrics, "--redis", f"unix://{self.folder}/data/redis.sock", "--persons", str(persons), *POSTS_ALONE,
             *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def redis_pid(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


def microseconds_by_stage(node, client):
    """Processor time since each process began, in us by stage."""
    tick = 1e6 / os.sysconf("SC_CLK_TCK")
    times = collections.Counter()
    for process, stage in ((node.process.pid, None), (node.redis_pid(), "redis"), (client.pid, "client")):
        for task in pathlib.Path(f"/proc/{process}/task").iterdir():
            try:
                name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue  # has ended
            fields = rest.split()
            times[stage or OURS.get(name.split("-")[0], "grpc")] += (int(fields[11]) + int(fields[12])) * tick
    return times


def measure(node, build, persons, options, seconds):
    """us per post by stage, and posts per second."""
    client = node.load(build, persons, [*options, "--deliveries", str(10**12)])
    try:
        begun = node.posts()
        while node.posts() < begun + 5_000:  # its graph is made
            if client.poll() is not None:
                raise Failed("the load has ended early")
            time.sleep(0.1)
        posts, before, start = node.posts(), microseconds_by_stage(node, client), time.monotonic()
        time.sleep(seconds)
        after, now, took = microseconds_by_stage(node, client), node.posts(), time.monotonic() - start
    finally:
        client.send_signal(signal.SIGINT)
        client.wait(timeout=120)
    return {stage: (after[stage] - before[stage]) / (now - posts) for stage, _ in STAGES}, (now - posts) / took


def draw(path, results):
    """A bar for each load, its stages side by side, to the scale of the longest."""
    left, width, bar, gap = 150, 760, 44, 34
    longest = max(sum(costs.values()) for _, costs, _ in results)
    height = 60 + len(results) * (bar + gap) + len(STAGES) * 22 + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 40} {height}" '
           'font-family="sans-serif" font-size="14">',
           f'<rect width="100%" height="100%" fill="#ffffff"/><text x="20" y="30" font-size="17">Processor time per post '
           f"to a group of {GROUP}, µs</text>"]
    y = 56
    for name, costs, rate in results:
        x = left
        out.append(f'<text x="{left - 12}" y="{y + 20}" text-anchor="end">{name}</text>')
        out.append(f'<text x="{left - 12}" y="{y + 38}" text-anchor="end" fill="#666" font-size="12">{rate:,.0f} posts/s</text>')
        for (stage, _), colour in zip(STAGES, COLOURS):
            wide = costs[stage] / longest * width
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{bar}" fill="{colour}"/>')
            if wide > 30:
                ink = "#000" if colour in ("#9aa5b1", "#ced4da", "#f08c00") else "#fff"
                out.append(f'<text x="{x + wide / 2:.1f}" y="{y + 27}" text-anchor="middle" fill="{ink}">{costs[stage]:.0f}</text>')
            x += wide
        y += bar + gap
    for (stage, what), colour in zip(STAGES, COLOURS):
        out.append(f'<rect x="{left}" y="{y}" width="14" height="14" fill="{colour}"/>'
                   f'<text x="{left + 22}" y="{y + 12}">{stage}: {what}</text>')
        y += 22
    path.write_text("\n".join([*out, "</svg>", ""]), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "build/release")
    parser.add_argument("--persons", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--age", default="1s", help="how old what Redis lacks may be: klatchd's --admission-flush-age")
    parser.add_argument("--svg", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="klatch-post-cost-") as folder:
        node = Node(options.build.resolve(), pathlib.Path(folder), options.age)
        try:
            fill = node.load(options.build.resolve(), options.persons,
                             ["--batch", "100", "--deliveries", str(options.persons * 810)])
            if fill.wait(timeout=600) != 0:
                raise Failed("the load that fills the timelines failed")
            results = [(name, *measure(node, options.build.resolve(), options.persons, how, options.seconds))
                       for name, how in LOADS]
        finally:
            node.stop()
    print("| us of processor time per post | " + " | ".join(name for name, _, _ in results) + " |")
    print("|---" * (len(results) + 1) + "|")
    for stage, what in STAGES:
        print(f"| {stage}: {what} | " + " | ".join(f"{costs[stage]:.1f}" for _, costs, _ in results) + " |")
    print("| all | " + " | ".join(f"{sum(costs.values()):.0f}" for _, costs, _ in results) + " |")
    print("| posts per second | " + " | ".join(f"{rate:,.0f}" for _, _, rate in results) + " |")
    if options.svg:
        draw(options.svg, results)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"post_cost: {failure}")
