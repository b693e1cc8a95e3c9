"""A klatchd of a test's own, and a proxy that puts faults on the way to it."""
import concurrent.futures
import os
import subprocess
import tempfile
import threading
import time

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from klatch.v1 import feed_service_pb2

WAIT_SECONDS_MAX = 60  # The longest that a test waits for another process. Never a pause.
RETRY_SECONDS = 0.2  # What the proxy asks for when it says RESOURCE_EXHAUSTED.


class Klatchd:
    """A klatchd on a Unix socket, with a redis-server of its own; ends with the `with`, or with this process."""

    def __init__(self, program):
        self._program = program
        self._folder = tempfile.TemporaryDirectory(prefix="klatch-clients-")
        self._process = None
        self.socket = os.path.join(self._folder.name, "klatchd.sock")
        self.target = f"unix:{self.socket}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            if self._process is not None and self.stop() != 0:
                raise AssertionError("klatchd did not end well:\n" + self._log())
        finally:
            # klatchd takes its own along; one that was killed has left it.
            subprocess.run(["redis-cli", "-s", os.path.join(self._folder.name, "data", "redis.sock"), "shutdown",
                            "nosave"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            self._folder.cleanup()

    def start(self):
        """Again, too, on the same data. Returns when it serves."""
        arguments = ["setpriv", "--pdeathsig", "TERM", self._program, "--listen", self.target,
                     "--metrics-listen", "127.0.0.1:0", "--data-dir", os.path.join(self._folder.name, "data")]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KLATCH_")}
        with open(os.path.join(self._folder.name, "log"), "wb") as log:
            self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             env=environment)
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while '"msg":"serving"' not in self._log():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("klatchd does not serve:\n" + self._log())
            time.sleep(0.01)  # Looking again: it is another process.
        return self

    def kill(self):
        self._process.kill()
        self._process.wait(WAIT_SECONDS_MAX)

    def stop(self):
        self._process.terminate()
        return self._process.wait(WAIT_SECONDS_MAX)

    def _log(self):
        with open(os.path.join(self._folder.name, "log"), encoding="utf-8", errors="replace") as log:
            return log.read()


class Attempt:
    """One call as it reached the proxy: its request, its response (if there was one), and when."""

    def __init__(self, method, request, seconds_left):
        self.method, self.request, self.seconds_left = method, request, seconds_left
        self.begin, self.end = time.monotonic(), None
        self.response = None


class FaultyProxy(grpc.GenericRpcHandler):
    """Forwards calls to a klatchd, but for the first ones of a method that `faults` lists:

    lose         klatchd does it, the caller is told UNAVAILABLE
    unavailable  UNAVAILABLE; klatchd knows nothing of it
    exhausted    RESOURCE_EXHAUSTED, again after RETRY_SECONDS
    too_large    RESOURCE_EXHAUSTED for good
    silent       no answer

    Of a watch there are two, after its first event, which comes without a resume token:

    cut          UNAVAILABLE
    silent       nothing any more
    """

    def __init__(self, target, faults):
        self._channel = grpc.insecure_channel(target)
        self._faults = {method: list(listed) for method, listed in faults.items()}
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
        self._server.add_generic_rpc_handlers((self,))
        self.attempts = []
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(grace=None).wait()
        self._channel.close()

    def of(self, method):
        return [attempt for attempt in self.attempts if attempt.method == method]

    def service(self, handler_call_details):
        path = handler_call_details.method
        if path.endswith("/WatchHomeTimeline"):
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: self._watch(path, request, context))
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._answer(path, request, context))

    def _begin(self, path, request, context):
        attempt = Attempt(path.rsplit("/", 1)[1], request, context.time_remaining())
        self.attempts.append(attempt)
        listed = self._faults.get(attempt.method)
        return attempt, listed.pop(0) if listed else None

    def _answer(self, path, request, context):
        attempt, fault = self._begin(path, request, context)
        try:
            if fault == "unavailable":
                context.abort(grpc.StatusCode.UNAVAILABLE, "the proxy lets nothing through")
            if fault == "too_large":
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the proxy finds it too large")
            if fault == "exhausted":
                self._ask_to_wait(context)
            if fault == "silent":
                self._await_end(context)
            attempt.response = self._forward(path, request, context)
            if fault == "lose":
                context.abort(grpc.StatusCode.UNAVAILABLE, "the proxy has lost the answer")
            return attempt.response
        finally:
            attempt.end = time.monotonic()

    def _watch(self, path, request, context):
        _, fault = self._begin(path, request, context)
        stream = self._channel.unary_stream(path)(request)
        context.add_callback(stream.cancel)
        try:
            for message in stream:
                response = feed_service_pb2.WatchHomeTimelineResponse.FromString(message)
                if not fault or not response.events:
                    yield message
                    continue
                response.ClearField("resume_token")
                del response.events[1:]
                yield response.SerializeToString()
                if fault == "cut":
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the proxy cuts the watch")
                self._await_end(context)
                return
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        finally:
            stream.cancel()

    def _await_end(self, context):
        gone = threading.Event()
        if context.add_callback(gone.set):
            gone.wait(WAIT_SECONDS_MAX)

    def _ask_to_wait(self, context):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(RETRY_SECONDS * 1000))
        detail = any_pb2.Any()
        detail.Pack(retry)
        status = status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the proxy is behind")

    def _forward(self, path, request, context):
        try:
            return self._channel.unary_unary(path)(request, timeout=WAIT_SECONDS_MAX)
        except grpc.RpcError as error:
            context.set_trailing_metadata(tuple(
                (key, value) for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"))
            context.abort(error.code(), error.details())
