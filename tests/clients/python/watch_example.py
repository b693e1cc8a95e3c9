"""Bob watches what Alice posts. Usage: watch_example.py TARGET COUNT [HEARTBEAT_SECONDS]"""
import contextlib
import sys
import threading

import klatch_client


def post(alice, count):
    for number in range(1, count + 1):
        alice.PublishUpdate(update={"groups": ["club"], "text": f"Move {number}"}, timeout=60)


def main():
    count, heartbeat_seconds = int(sys.argv[2]), int((sys.argv + [10])[3])
    with klatch_client.Client(sys.argv[1]) as client:
        alice, bob = client.person("alice"), client.person("bob")
        alice.CreateGroup(group={"id": "club"})
        bob.see(alice.AddMembers(group="club", members=[{"person": "bob"}]).tokens)
        # A watch that begins where a page ends shows all that comes after it.
        page = bob.ListHomeTimeline()
        poster = threading.Thread(target=post, args=(alice, count))
        poster.start()
        with contextlib.closing(bob.watch(page.watch_token, heartbeat_seconds)) as watch:
            for event in watch:
                if event.WhichOneof("event") == "published":
                    print(event.published.text, flush=True)
                    if event.published.text == f"Move {count}":
                        break
        poster.join()


if __name__ == "__main__":
    main()
