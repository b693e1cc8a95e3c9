"""A thin client of Klatch: retries, reads that see one's writes, pages and watches, on top of gRPC.

    with klatch_client.Client("127.0.0.1:7420") as client:
        alice = client.person("alice")
        alice.PublishUpdate(update={"groups": ["club"], "text": "Knights at eight?"})
        for update in alice.items("ListHomeTimeline"):
            print(update.author, update.text)

It needs grpcio, and the modules that protoc makes of the API (docs/API.md). Any threads may use a Client and its
persons, one at a time a Watch. Every call has a timeout. Watches and then client closed, nothing is left running.
"""
import collections
import contextlib
import importlib
import itertools
import pkgutil
import random
import threading
import time
import uuid

import grpc
import klatch.v1.resources_pb2
from google.rpc import error_details_pb2, status_pb2

TIMEOUT_SECONDS = 10.0  # Of a call with all its tries, unless said otherwise.
TRY_SECONDS_MAX = 10.0  # The server waits no longer.
PAUSE_SECONDS_FIRST = 0.1  # Before the second try, where the server names no time; doubles up to the maximum.
PAUSE_SECONDS_MAX = 2.0
TOKENS_MAX = 128  # The server takes no more.
WATCH_EVENTS_MAX = 65536  # How many events a watch remembers from one resume token to the next.

_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000))
_Method = collections.namedtuple("_Method", "path request response")


def _find_methods():
    methods = {}
    for found in pkgutil.iter_modules(klatch.v1.__path__):
        if found.name.endswith("_service_pb2"):
            module = importlib.import_module(f"klatch.v1.{found.name}")
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    methods[method.name] = _Method(
                        f"/{service.full_name}/{method.name}",
                        getattr(module, method.input_type.name), getattr(module, method.output_type.name))
    return methods


_METHODS = _find_methods()


class Error(Exception):
    """Why a call failed, after all its tries.

    code: a grpc.StatusCode. reason: of google.rpc.ErrorInfo, or "". fields: what is wrong with which field of
    the request. retry_after: seconds, if the server named them. tries: how many there were. unknown: whether
    the call may have had its effect all the same; then repeat it with the same request_id.
    """

    def __init__(self, error, tries=1, before=None):
        self.code, self.message, self.tries = error.code(), error.details() or "", tries
        self.reason, self.fields, self.retry_after = "", {}, None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                self._read_details(status_pb2.Status.FromString(value))
        self.unknown = bool(before and before.unknown) or (
            self.reason != "NOT_SENT" and self.code.name in (
                "UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "DATA_LOSS", "UNKNOWN", "CANCELLED"))
        text = f"{self.code.name}: {self.message}"
        if tries > 1:
            text += f" (try {tries}, after {before.code.name}: {before.message})"
        super().__init__(text)

    def _read_details(self, status):
        for detail in status.details:
            bad_request, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(bad_request):
                self.fields.update((each.field, each.description) for each in bad_request.field_violations)
            elif detail.Unpack(info):
                self.reason = info.reason
            elif detail.Unpack(retry):
                self.retry_after = retry.retry_delay.ToTimedelta().total_seconds()

    def pause(self, growing):
        """Seconds to wait before the next try; None if none would help. Random, so that clients spread."""
        if self.retry_after is not None:
            return self.retry_after + random.uniform(0, growing)
        # OK and CANCELLED are the ends of a watch's stream; a call doesn't fail with them by itself.
        again = self.code.name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "OK", "CANCELLED")
        return random.uniform(growing / 2, growing) if again else None


class Client(contextlib.AbstractContextManager):
    """A channel to one Klatch, and one of its namespaces; empty is the server's first."""

    def __init__(self, target="127.0.0.1:7420", namespace="", timeout=TIMEOUT_SECONDS, credentials=None):
        self._channel = (grpc.secure_channel(target, credentials, _OPTIONS) if credentials
                         else grpc.insecure_channel(target, _OPTIONS))
        self._timeout, self.namespace = timeout, namespace

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._channel.close()

    def person(self, actor, tokens=()):
        """Calls in the name of a person, who sees what those tokens stand for."""
        return Person(self, actor, tokens)

    def call(self, name, request, timeout=None):
        """The response to a whole request, sent as it is, as often as it helps within the timeout."""
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        send, growing, failed = self._method(self._channel.unary_unary, name), PAUSE_SECONDS_FIRST, None
        for tries in itertools.count(1):
            left = min(max(deadline - time.monotonic(), 0), TRY_SECONDS_MAX)
            try:
                # A lost connection is made again only while somebody waits for it.
                return send(request, timeout=left, wait_for_ready=tries > 1)
            except grpc.RpcError as error:
                failed = Error(error, tries, failed)
            pause = failed.pause(growing)
            if pause is None or time.monotonic() + pause >= deadline:
                raise failed from None
            time.sleep(pause)
            growing = min(growing * 2, PAUSE_SECONDS_MAX)

    def stream(self, name):
        return self._method(self._channel.unary_stream, name)

    def _method(self, make, name):
        method = _METHODS[name]
        return make(method.path, method.request.SerializeToString, method.response.FromString)


class Person:
    """One who acts. Every call of the API is a method: alice.GetUpdate(update_id=7).

    Keeps the tokens of what was written through it, the highest of each shard, and sends them with its reads:
    they see it. Hand them on (to a person's next request, to another person) by `tokens` and see().
    """

    def __init__(self, client, actor, tokens=()):
        self.client, self.actor = client, actor
        self._lock, self._positions = threading.Lock(), {}
        self.see(tokens)

    def __getattr__(self, name):
        if name not in _METHODS:
            raise AttributeError(f"the API has no call {name}")
        return lambda timeout=None, **fields: self._call(name, fields, timeout)

    def see(self, tokens):
        """From now on reads see what these tokens stand for, too."""
        with self._lock:
            for token in tokens:
                self._positions[token.shard] = max(token.position, self._positions.get(token.shard, 0))
            # Those that were written longest ago have been applied long since.
            self._positions = dict(sorted(self._positions.items(), key=lambda each: each[1])[-TOKENS_MAX:])

    @property
    def tokens(self):
        with self._lock:
            return [klatch.v1.resources_pb2.Token(shard=shard, position=position)
                    for shard, position in self._positions.items()]

    def pages(self, name, timeout=None, **fields):
        """The responses of a List call, page after page; the timeout is for each."""
        while True:
            page = self._call(name, fields, timeout)
            yield page
            if not page.next_page_token:
                return
            fields["page_token"] = page.next_page_token

    def items(self, name, timeout=None, **fields):
        """What a List call lists, over all pages."""
        for page in self.pages(name, timeout, **fields):
            values = (getattr(page, field.name) for field in page.DESCRIPTOR.fields)
            yield from next(value for value in values if hasattr(value, "add"))

    def watch(self, resume_token="", heartbeat_seconds=10, patience_seconds=60.0):
        """From a page's watch_token on, or a Watch's resume_token; from now on if it is empty."""
        return Watch(self, resume_token, heartbeat_seconds, patience_seconds)

    def request(self, name, fields):
        """The request of a call with what is filled in by itself."""
        request = _METHODS[name].request(**fields)
        if hasattr(request, "namespace") and not request.namespace:
            request.namespace = self.client.namespace
        if hasattr(request, "tokens"):
            self.see(request.tokens)
            del request.tokens[:]
            request.tokens.extend(self.tokens)
        for item in [request, *getattr(request, "requests", ())]:  # Those of a batch.
            if hasattr(item, "actor") and not item.actor:
                item.actor = self.actor
            if hasattr(item, "request_id") and not item.request_id:
                item.request_id = uuid.uuid4().hex
        return request

    def _call(self, name, fields, timeout):
        response = self.client.call(name, self.request(name, fields), timeout)
        self.see(getattr(response, "tokens", ()))
        if name == "BatchPublishUpdates":
            for result in response.results:
                self.see(result.published.tokens)
        if name == "ImportUpdates":
            for result in response.results:
                self.see(result.imported.tokens)
        return response


class Watch:
    """The events of a person's home timeline, as they come; for ever, unless closed or failed.

    A connection that breaks, or is silent for three heartbeats, is made again, and the watch goes on where it
    was: no event twice (but for joined_group and left_group), none left out but for what a `gap` says. It raises
    Error when the server refuses, or is not heard again for patience_seconds. resume_token is where to go on
    behind the events that were taken: keep it to go on in another process.
    """

    def __init__(self, person, resume_token, heartbeat_seconds, patience_seconds):
        self._person, self.resume_token = person, resume_token
        self._heartbeat_seconds, self._patience_seconds = heartbeat_seconds, patience_seconds
        self._tries, self._taken, self._events = 0, set(), self._run()

    def __iter__(self):
        return self._events

    def close(self):
        self._events.close()

    def _run(self):
        # With a token from the start, nothing is lost when the first connection breaks early.
        self.resume_token = self.resume_token or self._person.ListHomeTimeline(page_size=1).watch_token
        lost = failed = None
        while True:
            request = self._person.request("WatchHomeTimeline", {
                "resume_token": self.resume_token, "heartbeat_seconds": self._heartbeat_seconds})
            call = self._person.client.stream("WatchHomeTimeline")(request, wait_for_ready=self._tries > 0)
            messages = _messages(call, 3 * self._heartbeat_seconds)
            with contextlib.suppress(grpc.RpcError), contextlib.closing(messages):
                yield from self._take(messages)
            lost = lost if self._tries else time.monotonic()
            self._tries += 1
            failed = Error(call, self._tries, failed)
            pause = failed.pause(min(PAUSE_SECONDS_FIRST * 2 ** min(self._tries, 9), PAUSE_SECONDS_MAX))
            if pause is None or time.monotonic() + pause > lost + self._patience_seconds:
                raise failed
            time.sleep(pause)

    def _take(self, messages):
        for response in messages:
            self._tries = 0
            for event in response.events:
                if self._is_new(event):
                    yield event
            if response.resume_token:
                self.resume_token = response.resume_token
                self._taken.clear()

    def _is_new(self, event):
        """Whether it was not taken since the last token, behind which a resumed stream begins."""
        kind = event.WhichOneof("event")
        if kind not in ("published", "edited", "deleted"):
            return True
        key = (kind, event.deleted, event.published.id, event.edited.id, event.edited.revision)
        known = key in self._taken
        if len(self._taken) < WATCH_EVENTS_MAX:
            self._taken.add(key)
        return not known


def _messages(call, seconds):
    """The messages of a call, which is cancelled when one doesn't come within some seconds, or at the end."""
    until, over = float("inf"), threading.Event()

    def look():
        while not over.wait(seconds / 6):
            if time.monotonic() > until:
                call.cancel()

    silence = threading.Thread(target=look, name="klatch-watch", daemon=True)
    silence.start()
    try:
        while True:
            until = time.monotonic() + seconds
            message = next(call, None)
            until = float("inf")  # The consumer takes its time.
            if message is None:
                return
            yield message
    finally:
        over.set()
        call.cancel()
        silence.join()
