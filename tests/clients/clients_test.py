"""Runs the examples of one language's client: against a klatchd, one behind faults, one that comes late.

Usage: clients_test.py LANGUAGE --klatchd PROGRAM --build FOLDER --node-modules FOLDER. Exit code: 0 good, 1 not,
77 left out.
"""
import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

import languages

# What example.* prints, in every language, whatever stood in its way.
EXPECTED = """\
home: Move 5, Move 4, Move 3, Move 2, Move 1
batch: published, error
group: Check, Move 5, corrected
bob: PERMISSION_DENIED
INVALID_ARGUMENT: update.text is empty and there is no attachment
"""


# Each file of a client's library, and how many lines it may have.
FILES = {"python": ["python/klatch_client.py"], "node": ["node/klatch_client.js"],
         "cpp": ["cpp/include/klatch/client.h", "cpp/include/klatch/watch.h"]}
LINES_MAX = 300


def text_of(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def number_after(name, text):
    return int(re.search(f"(?:{name}) = ([0-9]+)", text).group(1))


def moves(count):
    """What watch_example.* prints."""
    return "".join(f"Move {number}\n" for number in range(1, count + 1))


class ExampleTest(unittest.TestCase):
    client = None  # One of languages.LANGUAGES, made.
    klatchd = None  # The program.
    language = None

    def start(self, example, *arguments):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KLATCH_")}
        return subprocess.Popen([*self.client.command(example), *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**environment, **self.client.variables})

    def end_of(self, process):
        """Exit code, output and errors; whatever the client left running would keep it from ending."""
        try:
            output, errors = process.communicate(timeout=servers.WAIT_SECONDS_MAX)
        finally:
            process.kill()
        return process.returncode, output, errors

    def play_behind(self, faults, *arguments, example="example"):
        """The end of the example behind a proxy with faults, and the proxy, which tells what it saw."""
        with servers.Klatchd(self.klatchd).start() as klatchd:
            with servers.FaultyProxy(klatchd.target, faults) as proxy:
                return self.end_of(self.start(example, proxy.target, *arguments)), proxy

    def test_is_thin(self):
        for name in FILES[self.language]:
            self.assertLessEqual(text_of(languages.CLIENTS, name).count("\n"), LINES_MAX, name)

    def test_keeps_as_many_tokens_as_the_server_takes(self):
        """A post to 100 groups may have one of each of 100 shards; with fewer kept, reads would miss it."""
        limits = text_of(languages.ROOT, "services", "model", "limits.h")
        client = text_of(languages.CLIENTS, FILES[self.language][0])
        self.assertEqual(number_after("kTokensMax|TOKENS_MAX", client), number_after("kTokensMax", limits))

    def test_plays(self):
        with servers.Klatchd(self.klatchd).start() as klatchd:
            self.assertEqual(self.end_of(self.start("example", klatchd.target)), (0, EXPECTED, ""))

    def test_repeats_the_same_request_until_it_is_answered(self):
        faults = {
            "CreateGroup": ["lose"],
            "AddMembers": ["exhausted"],
            "PublishUpdate": ["lose", "unavailable", "exhausted"],
            "ListHomeTimeline": ["unavailable"],
            "EditUpdate": ["unavailable", "lose"],
            "BatchPublishUpdates": ["lose"],
            "RemoveMembers": ["lose", "exhausted"],
        }
        end, proxy = self.play_behind(faults, "60")
        self.assertEqual(end, (0, EXPECTED, ""))
        for method, listed in faults.items():
            attempts = proxy.of(method)[:len(listed) + 1]
            self.assertEqual(len({attempt.request for attempt in attempts}), 1, method)
            for attempt, following, fault in zip(attempts, attempts[1:], listed):
                if fault == "exhausted":
                    self.assertGreaterEqual(following.begin - attempt.end, servers.RETRY_SECONDS, method)
        publishes = [attempt.request for attempt in proxy.of("PublishUpdate")]
        self.assertEqual(len(publishes), 3 + 6)
        self.assertEqual(len(set(publishes)), 6)

    def test_reads_carry_the_highest_token_of_what_was_written(self):
        end, proxy = self.play_behind({})
        self.assertEqual(end, (0, EXPECTED, ""))
        responses = {
            "CreateGroup": group_service_pb2.CreateGroupResponse, "AddMembers": group_service_pb2.AddMembersResponse,
            "PublishUpdate": feed_service_pb2.PublishUpdateResponse, "EditUpdate": feed_service_pb2.EditUpdateResponse,
            "BatchPublishUpdates": feed_service_pb2.BatchPublishUpdatesResponse,
            "RemoveMembers": group_service_pb2.RemoveMembersResponse}
        requests = {"ListHomeTimeline": feed_service_pb2.ListHomeTimelineRequest,
                    "ListGroupTimeline": feed_service_pb2.ListGroupTimelineRequest}
        written, reads = {}, 0
        for attempt in proxy.attempts:
            if attempt.method in responses and attempt.response is not None:
                response = responses[attempt.method].FromString(attempt.response)
                tokens = list(getattr(response, "tokens", ()))
                for result in getattr(response, "results", ()):
                    tokens += result.published.tokens
                written.update((token.shard, token.position) for token in tokens)  # A shard's never go back.
            request = requests[attempt.method].FromString(attempt.request) if attempt.method in requests else None
            # Bob was told of what Alice wrote before his first page, and not of what she wrote later.
            if attempt.method == "ListHomeTimeline" or (request and request.actor == "alice"):
                self.assertEqual({token.shard: token.position for token in request.tokens}, written)
                reads += 1
        self.assertEqual(reads, 3 + 1)

    def test_does_not_repeat_what_no_repetition_helps(self):
        (code, output, errors), proxy = self.play_behind({"CreateGroup": ["too_large"]})
        self.assertEqual((code, output), (1, ""))
        self.assertIn("RESOURCE_EXHAUSTED: the proxy finds it too large", errors)
        self.assertEqual(len(proxy.attempts), 1)

    def test_gives_up_at_the_deadline_of_the_call(self):
        (code, output, errors), proxy = self.play_behind({"CreateGroup": ["unavailable"] * 1000}, "1")
        self.assertEqual((code, output), (1, ""))
        self.assertIn("UNAVAILABLE: the proxy lets nothing through", errors)
        left = [attempt.seconds_left for attempt in proxy.attempts]
        self.assertGreater(len(left), 2)
        # Each try has what is left of the one second, told to the millisecond.
        self.assertLessEqual(left[0], 1.001)
        self.assertEqual(left, sorted(left, reverse=True))

    def test_waits_no_longer_than_its_timeout_for_a_silent_server(self):
        (code, output, errors), proxy = self.play_behind({"CreateGroup": ["silent"]}, "1")
        self.assertEqual((code, output), (1, ""))
        self.assertIn("DEADLINE_EXCEEDED", errors)
        self.assertLessEqual(proxy.attempts[0].seconds_left, 1.001)

    def test_reaches_a_server_that_comes_late(self):
        with servers.Klatchd(self.klatchd) as klatchd:
            with socket.socket(socket.AF_UNIX) as door:
                door.bind(klatchd.socket)
                door.listen()
                door.settimeout(servers.WAIT_SECONDS_MAX)
                process = self.start("example", klatchd.target, "60")
                door.accept()[0].close()  # It has knocked.
            os.unlink(klatchd.socket)
            klatchd.start()
            self.assertEqual(self.end_of(process), (0, EXPECTED, ""))

    def test_a_watch_goes_on_when_it_is_cut_or_falls_silent(self):
        faults = {"WatchHomeTimeline": ["cut", "silent", "cut"]}
        end, proxy = self.play_behind(faults, "300", "1", example="watch_example")
        self.assertEqual(end, (0, moves(300), ""))
        self.assertGreaterEqual(len(proxy.of("WatchHomeTimeline")), 4)

    def test_a_watch_goes_on_over_a_restart(self):
        with servers.Klatchd(self.klatchd).start() as klatchd:
            process = self.start("watch_example", klatchd.target, "300")
            output = process.stdout.readline()
            klatchd.kill()
            klatchd.start()
            # communicate() would lose what readline() has read ahead.
            output += process.stdout.read()
            code, _, errors = self.end_of(process)
        self.assertEqual((code, output, errors), (0, moves(300), ""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("language", choices=languages.LANGUAGES)
    parser.add_argument("--klatchd", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--node-modules", required=True)
    options, rest = parser.parse_known_args()
    scratch = tempfile.mkdtemp(prefix="klatch-clients-")
    try:
        languages.generate_python(os.path.join(scratch, "python"))
        sys.path.append(os.path.join(scratch, "python"))
        # They need the modules that have just been made.
        global servers, feed_service_pb2, group_service_pb2
        import servers
        from klatch.v1 import feed_service_pb2, group_service_pb2
        ExampleTest.client = languages.LANGUAGES[options.language](scratch, options)
        ExampleTest.klatchd = options.klatchd
        ExampleTest.language = options.language
        unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
