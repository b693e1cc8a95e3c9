"""The manifests of deploy/k8s/base and the Dockerfile as data, and what must hold between them and klatchd.

`complaints(world)` is a list of sentences, empty when all is well. No cluster and no containers: klatchd itself, run
with the options that the manifests give it, says what they mean.
"""
import copy
import functools
import os
import pathlib
import re
import subprocess
import tempfile
import tomllib

import yaml

# Where an environment variable comes from a Secret that the operator makes.
SECRETS = {("klatch-redis", "url"): "redis://klatch:password@redis.example:6379"}
# docs/OPERATIONS.md: how much longer than --drain-timeout whoever sends SIGKILL waits.
KILL_SLACK_SECONDS = 3
# What klatchd takes beside timelines and bodies: tables, buffers of calls, stacks; at least so much is left for it.
MEMORY_BESIDE_BYTES = 1 << 30


class World:
    """What is judged. Tests change it and see what is said."""

    def __init__(self, deploy, klatchd):
        self.klatchd = klatchd
        base = pathlib.Path(deploy) / "k8s" / "base"
        self.kustomization = yaml.safe_load((base / "kustomization.yaml").read_text())
        self.files = {path.name: path.read_text() for path in base.iterdir()}
        self.resources = [document for name in self.kustomization["resources"]
                          for document in yaml.safe_load_all((base / name).read_text())]
        self.config = (base / "klatchd.toml").read_text()
        self.dockerfile = (pathlib.Path(deploy) / "docker" / "Dockerfile").read_text()

    def copy(self):
        return copy.deepcopy(self)

    def one(self, kind, name="klatch"):
        found = [each for each in self.resources if each["kind"] == kind and each["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} {kind} named {name}"
        return found[0]

    @property
    def deployment(self):
        return self.one("Deployment")["spec"]

    @property
    def pod(self):
        return self.deployment["template"]["spec"]

    @property
    def container(self):
        [container] = self.pod["containers"]
        return container

    def instruction(self, word):
        """The last line of the Dockerfile that begins so, without the word."""
        joined = self.dockerfile.replace("\\\n", " ")
        lines = re.findall(rf"^{word} +(.*)$", joined, re.MULTILINE)
        return lines[-1] if lines else ""


def environment_of(world):
    """The variables of the container: the image's, then the manifest's."""
    variables = dict(pair.split("=", 1) for pair in re.findall(r"^ENV (KLATCH_\S+)$", world.dockerfile, re.MULTILINE))
    for entry in world.container.get("env", []):
        source = entry.get("valueFrom", {}).get("secretKeyRef")
        variables[entry["name"]] = SECRETS.get((source["name"], source["key"]), "") if source else entry["value"]
    return variables


def run_klatchd(world, *arguments):
    """klatchd with the container's options, and its file where it is mounted, as far as this machine can."""
    mounted = next(mount["mountPath"] for mount in world.container["volumeMounts"] if mount["name"] == "config")
    given = tuple(world.container.get("args", [])) + arguments
    return run_with_file(world.klatchd, given, f"{mounted}/klatchd.toml", world.config,
                         tuple(sorted(environment_of(world).items())))


# Most mistakes are of other things, and klatchd says the same again.
@functools.cache
def run_with_file(klatchd, arguments, file, text, variables):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "klatchd.toml"
        path.write_text(text)
        given = [argument.replace(file, str(path)) for argument in arguments]
        environment = {"PATH": os.environ.get("PATH", ""), **dict(variables)}
        return subprocess.run([klatchd, *given], env=environment, capture_output=True, text=True, timeout=60,
                              check=False)


def seconds(text):
    amount, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(amount) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def size(text):
    """Bytes of "3Gi" (Kubernetes) and "1GiB" (klatchd)."""
    amount, unit = re.fullmatch(r"(\d+)([KMGT]i)?B?", text).groups()
    return int(amount) << (10 * (" KMGT".index(unit[0]) if unit else 0))


def port_of(address):
    return int(address.rpartition(":")[2])


def complaints(world):
    found = []
    for check in (files, options, container_rights, probes, ports, selectors, bounds, image):
        found += [f"{check.__name__}: {words}" for words in check(world)]
    return found


def files(world):
    generated = [name for generator in world.kustomization["configMapGenerator"] for name in generator["files"]]
    for name in set(world.files) - {"kustomization.yaml"} - set(world.kustomization["resources"]) - set(generated):
        yield f"kustomization.yaml leaves {name} out"
    for each in world.resources:
        for field in ("apiVersion", "kind", "metadata"):
            if field not in each:
                yield f"a resource has no {field}"
    names = {generator["name"] for generator in world.kustomization["configMapGenerator"]}
    for volume in world.pod["volumes"]:
        if "configMap" in volume and volume["configMap"]["name"] not in names:
            yield f"there is no ConfigMap {volume['configMap']['name']}"


def options(world):
    """All that is said to klatchd is something that it knows and takes."""
    known = set(re.findall(r"\bKLATCH_\w+", run_with_file(world.klatchd, ("--help",), "no file", "", ()).stdout))
    for name in sorted(set(environment_of(world)) - known):
        yield f"klatchd --help knows no {name}"
    for entry in world.container.get("env", []):
        source = entry.get("valueFrom", {}).get("secretKeyRef")
        if source and (source["name"], source["key"]) not in SECRETS:
            yield f"{entry['name']} comes from Secret {source['name']}, key {source['key']}: no page says to make it"
    answer = run_klatchd(world, "--check-config")
    if answer.returncode != 0 or answer.stderr:
        yield f"klatchd --check-config ends with {answer.returncode}: {answer.stderr.strip()}"


def effective(world):
    """The options in force, by name; empty if klatchd refuses them, which `options` tells."""
    answer = run_klatchd(world, "--print-config")
    return tomllib.loads(answer.stdout) if answer.returncode == 0 else {}


def container_rights(world):
    pod, container = world.pod.get("securityContext", {}), world.container.get("securityContext", {})
    wanted = [
        ("runAsNonRoot", pod.get("runAsNonRoot"), True),
        ("seccompProfile", pod.get("seccompProfile"), {"type": "RuntimeDefault"}),
        ("allowPrivilegeEscalation", container.get("allowPrivilegeEscalation"), False),
        ("readOnlyRootFilesystem", container.get("readOnlyRootFilesystem"), True),
        ("capabilities", container.get("capabilities"), {"drop": ["ALL"]}),
        ("automountServiceAccountToken", world.pod.get("automountServiceAccountToken"), False),
        ("enableServiceLinks", world.pod.get("enableServiceLinks"), False),
        ("replicas", world.deployment.get("replicas"), 1),
        ("strategy", world.deployment.get("strategy"), {"type": "Recreate"}),
    ]
    for name, actual, expected in wanted:
        if actual != expected:
            yield f"{name} is {actual}, not {expected}"
    user = f"{pod.get('runAsUser')}:{pod.get('runAsGroup')}"
    if user != world.instruction("USER") or pod.get("fsGroup") != pod.get("runAsGroup"):
        yield f"it runs as {user}, the image as {world.instruction('USER')}"
    data = effective(world).get("data-dir")
    writable = [mount["mountPath"] for mount in world.container["volumeMounts"] if not mount.get("readOnly")]
    if data is not None and data not in writable:
        yield f"data-dir {data} is not writable"


def probes(world):
    paths = {"livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for name, path in paths.items():
        request = world.container.get(name, {}).get("httpGet", {})
        if request.get("path") != path or request.get("port") != "metrics":
            yield f"{name} asks {request.get('path')} at {request.get('port')}, not {path} at metrics"


def ports(world):
    config = effective(world)
    opened = {port["name"]: port["containerPort"] for port in world.container["ports"]}
    for name, option in (("grpc", "listen"), ("metrics", "metrics-listen"), ("http", "http-listen")):
        if option in config and not config[option].startswith(("0.0.0.0:", "[::]:")):
            yield f"{option} {config[option]} can't be reached from outside of the pod"
        elif option in config and opened.get(name) != port_of(config[option]):
            yield f"port {name} is {opened.get(name)}, {option} is {config[option]}"
    exposed = world.instruction("EXPOSE").split()
    if sorted(exposed) != sorted(str(port) for port in opened.values()):
        yield f"the image exposes {exposed}, the pod {opened}"
    for each in world.resources:
        if each["kind"] == "Service":
            for port in each["spec"]["ports"]:
                if opened.get(port["targetPort"]) != port["port"]:
                    yield f"Service {each['metadata']['name']} leads {port['port']} to {port['targetPort']}"
    allowed = [port["port"] for rule in world.one("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    if sorted(allowed) != sorted(opened):
        yield f"the NetworkPolicy lets in {allowed}"


def selectors(world):
    labels = world.deployment["template"]["metadata"]["labels"]
    found = {
        "Deployment": world.deployment["selector"]["matchLabels"],
        "Service": world.one("Service")["spec"]["selector"],
        "Service for metrics": world.one("Service", "klatch-metrics")["spec"]["selector"],
        "PodDisruptionBudget": world.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": world.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    }
    for name, selector in found.items():
        if not selector or not selector.items() <= labels.items():
            yield f"the {name} selects {selector}, the pod is {labels}"
    if world.kustomization["labels"][0].get("includeSelectors"):
        yield "labels go into selectors, also those of Klatch's clients"


def bounds(world):
    config, resources = effective(world), world.container.get("resources", {})
    for kind in ("requests", "limits"):
        for what in ("cpu", "memory"):
            if what not in resources.get(kind, {}):
                yield f"{kind} name no {what}"
                return
    if not config:
        return
    grace = world.pod.get("terminationGracePeriodSeconds", 30)
    if grace < seconds(config["drain-timeout"]) + KILL_SLACK_SECONDS:
        yield f"terminationGracePeriodSeconds {grace} is too short for drain-timeout {config['drain-timeout']}"
    taken = size(config["timeline-memory"]) + size(config["body-cache"])
    if taken + MEMORY_BESIDE_BYTES > size(resources["limits"]["memory"]):
        yield f"timeline-memory and body-cache leave too little of {resources['limits']['memory']}"
    if not 1 <= config["workers"] <= int(resources["limits"]["cpu"]):
        yield f"workers is {config['workers']}, limits.cpu {resources['limits']['cpu']}"


def image(world):
    if world.instruction("STOPSIGNAL") != "SIGTERM":
        yield "STOPSIGNAL is not SIGTERM"
    if not re.fullmatch(r"[1-9]\d{4,}:[1-9]\d{4,}", world.instruction("USER")):
        yield f"USER {world.instruction('USER')} is not a number of its own"
    if "klatch-healthy" not in world.instruction("HEALTHCHECK"):
        yield "there is no HEALTHCHECK"
    if not world.kustomization["images"][0].get("newTag"):
        yield "the image has no tag"
