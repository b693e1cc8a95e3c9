"""How the examples of each language are made and started."""
import os
import shutil
import subprocess
import sys

CLIENTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(CLIENTS))
GOOGLEAPIS = "/usr/share/gocode/src/github.com/gogo/googleapis"


def run(*command, cwd=None):
    """Runs a command that must succeed; its output is shown if it doesn't."""
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")


def generate_python(folder):
    """The modules of the API, as docs/API.md says, for the client and for the tests."""
    os.makedirs(folder)
    api = os.path.join(ROOT, "proto", "klatch", "v1")
    protos = [os.path.join(api, name) for name in os.listdir(api) if name.endswith(".proto")]
    protos += [f"{GOOGLEAPIS}/google/rpc/{name}.proto" for name in ("code", "status", "error_details")]
    run(sys.executable, "-m", "grpc_tools.protoc", "-I", os.path.join(ROOT, "proto"), "-I", GOOGLEAPIS,
        "--python_out", folder, *protos)


class Python:
    def __init__(self, scratch, _options):
        folder = os.path.join(CLIENTS, "python")
        self.variables = {"PYTHONPATH": f"{scratch}/python:{folder}", "PYTHONDONTWRITEBYTECODE": "1"}
        self._folder = folder

    def command(self, example):
        return [sys.executable, os.path.join(self._folder, f"{example}.py")]


class Node:
    """In a folder of its own, as in a project that uses the client."""

    def __init__(self, scratch, options):
        if not os.path.isdir(os.path.join(options.node_modules, "@grpc", "grpc-js")):
            if os.environ.get("KLATCH_SKIP_NODE") == "1":
                print("skipped: KLATCH_SKIP_NODE=1")
                sys.exit(77)
            sys.exit(f"no @grpc/grpc-js in {options.node_modules}: tests/run clients installs it")
        self.variables = {}
        self._folder = os.path.join(scratch, "node")
        shutil.copytree(os.path.join(CLIENTS, "node"), self._folder)
        os.symlink(options.node_modules, os.path.join(self._folder, "node_modules"))
        os.symlink(os.path.join(ROOT, "proto"), os.path.join(self._folder, "proto"))

    def command(self, example):
        return ["node", "--trace-warnings", os.path.join(self._folder, f"{example}.js")]


class Cpp:
    """Built outside of the tree, against the installed package."""

    def __init__(self, scratch, options):
        prefix, source = os.path.join(scratch, "prefix"), os.path.join(scratch, "cpp")
        self.variables = {}
        self._build = os.path.join(scratch, "cpp-build")
        run("cmake", "--install", options.build, "--component", "client", "--prefix", prefix)
        shutil.copytree(os.path.join(CLIENTS, "cpp", "example"), source)
        run("cmake", "-G", "Ninja", "-S", source, "-B", self._build, f"-DCMAKE_PREFIX_PATH={prefix}",
            "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
        run("cmake", "--build", self._build)

    def command(self, example):
        return [os.path.join(self._build, example)]


LANGUAGES = {"python": Python, "node": Node, "cpp": Cpp}
