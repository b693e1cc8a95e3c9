"""Alice and Bob share a group: what klatch_client does for an app. Usage: example.py TARGET [TIMEOUT_SECONDS]"""
import sys

import klatch_client


def play(client):
    alice, bob = client.person("alice"), client.person("bob")
    alice.CreateGroup(group={"id": "club"})
    alice.AddMembers(group="club", members=[{"person": "bob"}])

    posted = [alice.PublishUpdate(update={"groups": ["club"], "text": f"Move {move}"}) for move in range(1, 6)]
    bob.see(alice.tokens)  # What Alice has written, Bob's next reads show.
    print("home:", ", ".join(update.text for update in bob.items("ListHomeTimeline", page_size=2)))

    alice.EditUpdate(update_id=posted[-1].update_id, update={"text": "Move 5, corrected"})
    batch = alice.BatchPublishUpdates(requests=[
        {"update": {"groups": ["club"], "text": "Check"}}, {"update": {"groups": ["chess"], "text": "Mate"}}])
    print("batch:", ", ".join(result.WhichOneof("outcome") for result in batch.results))
    page = alice.ListGroupTimeline(group="club", page_size=2)
    print("group:", ", ".join(update.text for update in page.updates))

    alice.RemoveMembers(group="club", persons=["bob"])
    try:
        bob.ListGroupTimeline(group="club")
    except klatch_client.Error as error:
        print("bob:", error.code.name)
    try:
        alice.PublishUpdate(update={"groups": ["club"]})
    except klatch_client.Error as error:
        for field, what in error.fields.items():
            print(f"{error.code.name}: {field} {what}")


def main():
    timeout = float(sys.argv[2]) if len(sys.argv) > 2 else klatch_client.TIMEOUT_SECONDS
    with klatch_client.Client(sys.argv[1], timeout=timeout) as client:
        try:
            play(client)
        except klatch_client.Error as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
