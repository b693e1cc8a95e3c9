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
import threading
import time

from lab import Violation

POSTERS = 4
BATCH = 20
PAUSE = 0.06
MEMBERS = 40
CALL_MAX = 5.0
DECIDED_WITHIN = 60.0


class Ledger:
    def __init__(self, address, seed):
        self._address, self._seed = address, seed
        self._stopping = threading.Event()
        self._threads = []
        self._lock = threading.Lock()
        self.acknowledged = {}  # id → key, which is the text, too
        self.undecided = 0

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
            posts = [{"actor": "ann", "requestId": key, "update": {"groups": ["ledger"], "text": key}} for key in keys]
            status, answer = self.call("FeedService/BatchPublishUpdates", {"requests": posts}, connection)
            results = answer.get("results", []) if status == 200 else []
            decided = set()
            with self._lock:
                for key, result in zip(keys, results):
                    if "published" in result:
                        self.acknowledged[result["published"]["updateId"]] = key
                        decided.add(key)
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
