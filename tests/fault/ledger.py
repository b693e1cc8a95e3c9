"""Posts over the HTTP edge whose answers are kept, to see afterwards which of them are there.

    ledger = Ledger(node.http, seed)
    ledger.begin()                 # a group, and threads that post
    …
    ledger.end()
    gone = ledger.missing()        # ids that were acknowledged and can't be read

For faults in which acknowledged posts may be lost, where klatch-load rightly says that they are. A call that fails is sent again
with its key until it is decided.
Thread rules: begin, end and missing by one thread.
"""

import concurrent.futures
import http.client
import json
import random
import threading
import time

from lab import Violation

POSTERS = 4
BATCH = 20
PAUSE = 0.06
MEMBERS = 40
CALL_MAX = 5.0
DECIDED_WITHIN = 60.0
RETRIED = (4, 8, 14)  # DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE


class Ledger:
    def __init__(self, address, seed, ack="ACK_UNSPECIFIED"):
        self._address, self._seed, self._ack = address, seed, ack
        self._stopping = threading.Event()
        self._threads = []
        self._lock = threading.Lock()
        self.acknowledged = {}  # id → key, which is the text, too
        self.undecided = 0
        self.refused = []  # what a caller would take for the last word

    def call(self, method, request, connection=None):
        """(HTTP status, answer); (0, None) if nothing came."""
        own = connection or http.client.HTTPConnection(self._address, timeout=CALL_MAX)
        try:
            own.request("POST", f"/klatch.v1.{method}", json.dumps(request), {"Content-Type": "application/json"})
            response = own.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            own.close()
            return 0, None
        finally:
            if connection is None:
                own.close()

    def begin(self):
        self._must("GroupService/CreateGroup", {"actor": "ann", "requestId": "g", "group": {"id": "ledger"}})
        members = [{"person": f"member-{i}"} for i in range(MEMBERS)]
        self._must("GroupService/AddMembers", {"actor": "ann", "requestId": "m", "group": "ledger", "members": members})
        self._threads = [threading.Thread(target=self._post, args=(i,)) for i in range(POSTERS)]
        for thread in self._threads:
            thread.start()

    def turn_to(self, address):
        """Asks another node from here on."""
        self._address = address

    def _must(self, method, request):
        status, answer = self.call(method, request)
        if status != 200:
            raise Violation(f"{method}: {status} {answer}")

    def end(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _post(self, poster):
        connection = http.client.HTTPConnection(self._address, timeout=CALL_MAX)
        number = 0
        while not self._stopping.is_set():
            keys = [f"{self._seed}-{poster}-{number + i}" for i in range(BATCH)]
            number += BATCH
            self._post_until_decided(keys, connection)
            time.sleep(PAUSE)
        connection.close()

    def _post_until_decided(self, keys, connection):
        end = time.monotonic() + DECIDED_WITHIN
        while keys and time.monotonic() < end:
            posts = [{"actor": "ann", "requestId": key, "update": {"groups": ["ledger"], "text": key}, "ack": self._ack}
                     for key in keys]
            status, answer = self.call("FeedService/BatchPublishUpdates", {"requests": posts}, connection)
            results = answer.get("results", []) if status == 200 else []
            decided = set()
            with self._lock:
                for key, result in zip(keys, results):
                    if "published" in result:
                        self.acknowledged[result["published"]["updateId"]] = key
                        decided.add(key)
                    elif result["error"]["code"] not in RETRIED:
                        self.refused.append(f"{key}: {result['error']}")
            keys = [key for key in keys if key not in decided]
            if keys:
                time.sleep(PAUSE)
        with self._lock:
            self.undecided += len(keys)

    def missing(self):
        """Those that were acknowledged and can't be read, oldest first."""
        ids = sorted(self.acknowledged, key=int)
        with concurrent.futures.ThreadPoolExecutor(POSTERS) as readers:
            return [gone for part in readers.map(self._missing_of, [ids[i::POSTERS] for i in range(POSTERS)]) for gone in part]

    def _missing_of(self, ids):
        connection = http.client.HTTPConnection(self._address, timeout=CALL_MAX)
        gone = []
        for update in ids:
            status, answer = self.call("FeedService/GetUpdate", {"actor": "member-1", "updateId": update}, connection)
            if status == 404:
                gone.append(update)
            elif status != 200:
                raise Violation(f"GetUpdate {update}: {status} {answer}")
            elif answer["update"]["text"] != self.acknowledged[update]:
                raise Violation(f"update {update} was {self.acknowledged[update]} and is {answer['update']['text']}")
        connection.close()
        return gone

    def shown(self):
        """Ids on the newest page of a member's home timeline."""
        status, answer = self.call("FeedService/ListHomeTimeline", {"actor": "member-1", "pageSize": 100})
        if status != 200:
            raise Violation(f"ListHomeTimeline: {status} {answer}")
        return [update["id"] for update in answer.get("updates", [])]


class Repeater(Ledger):
    """Posts a number of updates, each sent one to five times and by two at once, and then with another text."""

    SENT_MAX = 5
    ALREADY_EXISTS = 6

    def __init__(self, address, seed, posts):
        super().__init__(address, seed)
        self._left = posts
        self._random = random.Random(seed)
        self.ids = {}  # key → the ids that it was answered
        self.sent = 0
        self.other_texts = 0  # that were refused as they must be
        self.wrong = []  # what was answered to the others

    def _post(self, poster):
        first, second = (http.client.HTTPConnection(self._address, timeout=CALL_MAX) for _ in range(2))
        with concurrent.futures.ThreadPoolExecutor(1) as beside:
            number = 0
            while not self._stopping.is_set() and self._take():
                keys = [f"{self._seed}-{poster}-{number + i}" for i in range(BATCH)]
                number += BATCH
                with self._lock:
                    times = {key: self._random.randint(1, self.SENT_MAX) for key in keys}
                for attempt in range(self.SENT_MAX):
                    again = [key for key in keys if times[key] > attempt]
                    if again:
                        other = beside.submit(self._send, again, second) if attempt % 2 == 0 else None
                        self._send(again, first)
                        if other:
                            other.result()
                self._post_until_decided([key for key in keys if key not in self.ids], first)
                self._send_other_texts(keys, first)

    def _take(self):
        with self._lock:
            self._left -= BATCH
            return self._left > -BATCH

    def _send(self, keys, connection):
        posts = [{"actor": "ann", "requestId": key, "update": {"groups": ["ledger"], "text": key}} for key in keys]
        status, answer = self.call("FeedService/BatchPublishUpdates", {"requests": posts}, connection)
        with self._lock:
            self.sent += len(keys)
            for key, result in zip(keys, answer.get("results", []) if status == 200 else []):
                if "published" in result:
                    self.ids.setdefault(key, set()).add(result["published"]["updateId"])
                    self.acknowledged[result["published"]["updateId"]] = key

    def _post_until_decided(self, keys, connection):
        end = time.monotonic() + DECIDED_WITHIN
        while keys and time.monotonic() < end:
            self._send(keys, connection)
            keys = [key for key in keys if key not in self.ids]
            if keys:
                time.sleep(PAUSE)
        with self._lock:
            self.undecided += len(keys)

    def _send_other_texts(self, keys, connection):
        posts = [{"actor": "ann", "requestId": key, "update": {"groups": ["ledger"], "text": key + "!"}} for key in keys]
        status, answer = self.call("FeedService/BatchPublishUpdates", {"requests": posts}, connection)
        with self._lock:
            for key, result in zip(keys, answer.get("results", []) if status == 200 else []):
                code = result.get("error", {}).get("code")
                if code == self.ALREADY_EXISTS:
                    self.other_texts += 1
                elif "published" in result or code in (3, 5, 7, 9):
                    self.wrong.append(f"{key}: {result}")

    def await_all(self):
        for thread in self._threads:
            thread.join()
