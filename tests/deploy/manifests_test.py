"""Whether deploy/k8s/base and deploy/docker fit each other and klatchd.

Usage: manifests_test.py --klatchd PROGRAM --deploy FOLDER. Exit code: 0 good, 1 not.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import manifests


def ask(address, path):
    """The status of a GET."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


class Node:
    """A klatchd at ports of its own, with a Redis of its own unless told otherwise. Ends with the `with`."""

    def __init__(self, klatchd, *options):
        self.folder = tempfile.TemporaryDirectory()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KLATCH_")}
        self.process = subprocess.Popen(
            [klatchd, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data-dir", self.folder.name,
             *options], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        # Said before it looks for Redis. What follows in the log fits into the pipe.
        for line in self.process.stderr:
            if json.loads(line)["msg"] == "starting":
                self.metrics = json.loads(line)["metrics"]
                return self
        self.__exit__()
        raise AssertionError("klatchd ended without a word of where its metrics are")

    def end(self):
        """The exit code after a SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def __exit__(self, *_):
        # Drains, so that its Redis ends too.
        if self.process.poll() is None and self.end() != 0:
            self.process.kill()
        self.process.stderr.close()
        self.folder.cleanup()


def set_container(*path, value):
    def change(world):
        at = world.container
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
    return change


def set_pod(key, value):
    return lambda world: world.pod.update({key: value})


def replace(field, old, new):
    def change(world):
        text = getattr(world, field)
        assert old in text, f"{field} has no {old!r}"
        setattr(world, field, text.replace(old, new))
    return change


# A mistake, and what must be said of it.
MISTAKES = [
    ("a file left out", lambda world: world.kustomization["resources"].remove("network.yaml"),
     "leaves network.yaml out"),
    ("an option mistyped", replace("config", "workers =", "wrokers ="), "did you mean"),
    ("an option out of range", replace("config", "workers = 2", "workers = 999"), "klatchd --check-config ends with 2"),
    ("a flag mistyped", set_container("args", 0, value="--confg"), "klatchd --check-config ends with 2"),
    ("a variable mistyped", lambda world: world.container["env"].append({"name": "KLATCH_REDDIS", "value": "x"}),
     "knows no KLATCH_REDDIS"),
    ("a Secret that nobody makes", set_container("env", 0, "valueFrom", "secretKeyRef", "key", value="uri"), "key uri"),
    ("plain text not allowed", replace("config", "insecure = true", ""), "say --insecure"),
    ("loopback", replace("config", "0.0.0.0:7420", "127.0.0.1:7420"), "can't be reached"),
    ("another port", replace("config", "0.0.0.0:7421", "0.0.0.0:7431"), "port metrics is 7421"),
    ("HTTP left out", replace("config", 'http-listen = "0.0.0.0:7422"', ""), "can't be reached"),
    ("another port of HTTP", replace("config", "0.0.0.0:7422", "0.0.0.0:7423"), "port http is 7422"),
    ("a port of the image", replace("dockerfile", "EXPOSE 7420 7421", "EXPOSE 7420"), "the image exposes"),
    ("a Service astray", lambda world: world.one("Service")["spec"]["ports"][0].update(targetPort="http"),
     "Service klatch leads 7420 to http"),
    ("a port closed", lambda world: world.one("NetworkPolicy")["spec"]["ingress"].pop(), "lets in ['grpc', 'http']"),
    ("a selector astray", lambda world: world.one("PodDisruptionBudget")["spec"].update(
        selector={"matchLabels": {"app": "klatch"}}), "the PodDisruptionBudget selects"),
    ("a writable root", set_container("securityContext", "readOnlyRootFilesystem", value=False),
     "readOnlyRootFilesystem"),
    ("a capability", set_container("securityContext", "capabilities", value={}), "capabilities"),
    ("root", lambda world: world.pod["securityContext"].update(runAsUser=0), "it runs as 0"),
    ("an image of root", replace("dockerfile", "USER 10420:10420", "USER klatch"), "USER klatch is not a number"),
    ("another signal", replace("dockerfile", "STOPSIGNAL SIGTERM", "STOPSIGNAL SIGINT"), "STOPSIGNAL"),
    ("a token of the cluster", set_pod("automountServiceAccountToken", True), "automountServiceAccountToken"),
    ("no time to drain", set_pod("terminationGracePeriodSeconds", 12), "is too short for drain-timeout 10s"),
    ("a second node", lambda world: world.deployment.update(replicas=2), "replicas is 2"),
    ("a rolling update", lambda world: world.deployment.update(strategy={"type": "RollingUpdate"}), "strategy is"),
    ("no memory left", replace("config", '"1GiB"', '"2GiB"'), "leave too little of 3Gi"),
    ("no limit", lambda world: world.container["resources"]["limits"].pop("memory"), "limits name no memory"),
    ("more threads than cores", replace("config", "workers = 2", "workers = 8"), "workers is 8"),
    ("data on the root", replace("config", "/var/lib/klatch", "/srv/klatch"), "data-dir /srv/klatch is not writable"),
    ("a probe astray", set_container("readinessProbe", "httpGet", "path", value="/healthz"), "asks /healthz"),
]


class ManifestsTest(unittest.TestCase):
    world = None
    klatchd = None  # The program.
    deploy = None  # The folder.

    def test_manifests_image_and_klatchd_fit_each_other(self):
        self.assertEqual([], manifests.complaints(self.world))

    def test_each_mistake_is_told(self):
        for name, change, expected in MISTAKES:
            with self.subTest(name):
                world = self.world.copy()
                change(world)
                self.assertIn(expected, "\n".join(manifests.complaints(world)))

    def test_every_probe_is_answered_while_klatchd_waits_for_redis(self):
        """As in a cluster whose Redis comes late: alive, not ready, and ended by SIGTERM at once."""
        paths = {self.world.container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")}
        scraped = self.world.one("Service", "klatch-metrics")["metadata"]["annotations"]["prometheus.io/path"]
        with Node(self.klatchd, "--redis", "redis://127.0.0.1:1") as node:
            self.assertEqual({"/livez": 200, "/readyz": 503}, {path: ask(node.metrics, path) for path in paths})
            self.assertEqual(200, ask(node.metrics, scraped))
            self.assertEqual(404, ask(node.metrics, "/healthz"))
            self.assertEqual(0, node.end())

    def healthy(self, metrics):
        """What the image's health check says of it: exit code and words."""
        environment = {"PATH": os.environ["PATH"], "KLATCH_METRICS_LISTEN": metrics}
        script = pathlib.Path(self.deploy, "docker", "klatch-healthy")
        run = subprocess.run([script], env=environment, capture_output=True, text=True, timeout=30, check=False)
        return run.returncode, run.stdout

    def test_health_check_of_the_image_says_why_klatchd_is_not_ready(self):
        with Node(self.klatchd, "--redis", "redis://127.0.0.1:1") as node:
            code, words = self.healthy(node.metrics)
            self.assertEqual(1, code)
            self.assertRegex(words, r"\Anot ready\n(starting|waiting)")

    def test_health_check_of_the_image_is_good_once_klatchd_is_ready_and_not_after(self):
        with Node(self.klatchd) as node:
            deadline = time.monotonic() + 60
            while self.healthy(node.metrics)[0] != 0:
                self.assertLess(time.monotonic(), deadline, "klatchd is not ready")
            self.assertEqual(200, ask(node.metrics, "/readyz"))
            self.assertEqual(0, node.end())
            self.assertEqual(1, self.healthy(node.metrics)[0])

    def test_image_is_made_of_files_that_are_there(self):
        root = pathlib.Path(self.deploy).parent
        named = [line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")]
        self.assertEqual([], [name for name in named if not (root / name).exists()])
        copied = re.findall(r"^COPY (deploy/\S+) ", self.world.dockerfile, re.MULTILINE)
        self.assertEqual([], [name for name in copied if name not in named])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--klatchd", required=True)
    parser.add_argument("--deploy", required=True)
    arguments, rest = parser.parse_known_args()
    ManifestsTest.klatchd = arguments.klatchd
    ManifestsTest.deploy = arguments.deploy
    ManifestsTest.world = manifests.World(arguments.deploy, arguments.klatchd)
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
