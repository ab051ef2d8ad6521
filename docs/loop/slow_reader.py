#!/usr/bin/env python3
"""One reader that stands still, and what that does to others: for the exercises.

    docs/loop/slow_reader.py HOST:PORT

Three users register as original clients do (docs/protocol.md, section 0). Bob reads nothing. Alice sends to bob and to
carol in turn until the relay refuses what is for bob; carol reads. Prints what became of it.
"""

import json
import pathlib
import socket
import sys

KEY = pathlib.Path(__file__).resolve().parents[2] / "tests/data/public-alice.pem"
SIZE = 40_000


class User:
    def __init__(self, address, name):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.lines = self.socket.makefile("rb")
        self.ask(action="register", name=name, pubkey=KEY.read_text(), roster="none")
        self.ask(action="ping")
        assert self.hear()["action"] == "pong"

    def ask(self, **frame):
        self.socket.sendall(json.dumps(frame).encode())

    def hear(self):
        return json.loads(self.lines.readline())

    def send(self, to):
        """What the relay says of one message."""
        self.ask(action="message", to=to, id="1", content="x" * SIZE)
        return self.hear()


def main(address):
    alice, bob, carol = (User(address, name) for name in ("alice", "bob", "carol"))
    relayed = 0
    while (answer := alice.send("bob"))["action"] == "relayed":
        relayed += 1
        assert alice.send("carol")["action"] == "relayed"
        assert carol.hear()["action"] == "message"
    print(f"bob, who reads nothing: {relayed} messages of {SIZE} bytes relayed, then {answer['code']}")
    print(f"carol: all {relayed} of hers, each at once")
    bob.socket.close()


if __name__ == "__main__":
    main(sys.argv[1])
