"""Section 10, the client: letters that are left for others, and those that are taken.

What has to outlive the process stands in one file, unsealed: this is for tests.
"""

import json
import os
import time

from cryptography.hazmat.primitives.serialization import load_pem_public_key

from . import letter
from .identity import AHEAD, Secrets, fingerprint
from .message import MID, RECEIPT, TEXT
from .notation import b64, refuse_unless, unb64

LETTER_AGE = 15 * letter.DAY


class Letterbox:
    """Ours. `send` sends a frame to the relay, `tell` prints an event."""

    def __init__(self, own, path, send, tell):
        self.own, self.path, self.send, self.tell = own, path, send, tell
        self.waiting = {}  # name: what is done once the relay has told its keys
        self.unanswered = set()  # letters of ours that the relay has not answered
        self.fps, self.shown = {}, set()
        if path.exists():
            kept = json.loads(path.read_text())
            self.secrets = Secrets(bytes.fromhex(kept["secret"]), bytes.fromhex(kept["seed"]))
            self.key, self.left = kept["key"], kept["left"]
        else:
            self.secrets, self.key = letter.new_letter_key(own.name, own.key, now())
            self.left = {}  # texts that are not confirmed, by mid
            self.keep()

    def keep(self):
        kept = self.secrets.recorded() | {"key": self.key, "left": self.left}
        self.path.write_text(json.dumps(kept))

    def has_more(self):
        return bool(self.waiting or self.unanswered)

    def publish(self):
        self.send("letterbox", v=2, key=self.key)

    def with_keys(self, name, then):
        """Does something with the keys of a user, which the relay is asked for."""
        if name not in self.waiting:
            self.send("get_pubkey", target=name, letters=True)
        self.waiting.setdefault(name, []).append(then)

    def take_keys(self, frame):
        name, public = frame["from"], load_pem_public_key(frame["pubkey"].encode())
        waiting = self.waiting.pop(name)
        known = self.fps.setdefault(name, fingerprint(public))
        refuse_unless(known == fingerprint(public), "changed_key", f"{name} has another key")
        key = frame.get("letter_key")
        if key:
            letter.check_letter_key(name, public, key)
        for then in waiting:
            then(public, key)

    def say(self, to, text, text_id):
        mid = os.urandom(MID)
        self.left[b64(mid)] = text_id
        self.keep()
        self.with_keys(to, lambda *keys: self.leave(to, TEXT, mid, text.encode(), *keys))

    def leave(self, to, kind, mid, data, public, key):
        refuse_unless(key, "no_letterbox", f"{to} has left no key for letters")
        names, fps = (self.own.name, to), (self.own.fp, fingerprint(public))
        made, _ = letter.seal(names, fps, self.own.key, public, key, now(), kind, mid, data)
        self.unanswered.add(b64(mid))
        self.send("letter", v=2, to=to, id=b64(mid), kind=kind, key_id=key["id"],
                  content=made.encode())

    def is_for(self, frame):
        if frame["action"] == "pubkey":
            return frame["from"] in self.waiting
        return frame["action"] in ("letterbox", "letter", "letterbox_empty", "stored")

    def take_frame(self, frame):
        action = frame["action"]
        if action == "letterbox":
            self.send("letters", v=2, take="all")
        elif action == "pubkey":
            self.take_keys(frame)
        elif action == "letterbox_empty":
            self.tell("letterbox_empty")
        elif action == "stored":
            self.unanswered.discard(frame["id"])
            if frame["id"] in self.left:
                self.tell("stored", id=self.left[frame["id"]], to=frame["to"])
        else:
            self.with_keys(frame["from"], lambda *keys: self.take_letter(frame, *keys))

    def take_letter(self, frame, public, key):
        came, sender = letter.Letter.parse(frame["content"]), frame["from"]
        head = (unb64(frame["id"]), frame["kind"], frame["key_id"])
        refuse_unless(head == (came.mid, came.kind, came.key_id), "bad_form", "two heads that differ")
        fps = (fingerprint(public), self.own.fp)
        refuse_unless(came.fps == fps, "not_ours", "a letter between other keys")
        refuse_unless(came.created <= now() + AHEAD, "clock_skew", "a letter of the future")
        refuse_unless(came.created >= now() - LETTER_AGE, "stale", "a letter that is too old")
        refuse_unless(came.key_id == self.key["id"], "unknown_key", "a letter to another key")
        names = (sender, self.own.name)
        came.verify(names, public, self.key)
        data = came.open(names, self.own.key, self.secrets, self.key)
        if came.kind == TEXT:
            if came.mid not in self.shown:
                self.shown.add(came.mid)
                self.tell("message", **{"from": sender, "text": data.decode(), "letter": True})
            self.leave(sender, RECEIPT, os.urandom(MID), came.mid, public, key)
        else:
            for at in range(0, len(data), MID):
                confirmed = self.left.pop(b64(data[at : at + MID]), None)
                if confirmed is not None:
                    self.tell("delivered", id=confirmed, to=sender)
            self.keep()
        self.send("ack", v=2, box=frame["box"])


def now():
    return int(time.time() * 1000)
