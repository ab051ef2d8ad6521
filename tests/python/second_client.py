#!/usr/bin/env python3
"""A second client of version 2, to talk through our relay with ours.

    second_client.py HOST:PORT NAME IDENTITY.pem [--without-kem] [--record FILE] [--letterbox FILE]

Reads JSON lines, {"to","text"[,"id"]} or {"command":"prekey"} (make a new prekey and publish it),
and prints JSON lines by their `event`: registered, message, delivered, failed, gap, warning,
closed. With `--letterbox` it takes letters, confirms them by letters, and keeps in FILE what it
needs for that; {"to","text","id","letter":true} leaves one, and it also prints stored and
letterbox_empty. At the end of its input it waits for what is unconfirmed and ends with 0. `--without-kem`:
its prekeys have no ML-KEM key. `--record` writes what its registration and its sessions were made
of, secrets and all: see check_vectors.py.

For tests: it trusts whom it meets first and keeps that in memory, and does nothing by the clock (no
resending, no new session or prekey by age).
"""

import argparse
import codecs
import json
import os
import pathlib
import selectors
import socket
import struct
import sys
import time

from sealwax2 import identity
from sealwax2.letterbox import Letterbox
from sealwax2.message import RECEIPT, TEXT, Sealed
from sealwax2.notation import Refused, b64, refuse_unless, sign, unb64
from sealwax2.peer import KeyWanted, Peer, Tokens

TICK_SECONDS = 1
TIMEOUT_SECONDS = 60
HELD_FRAMES, HELD_MS, ASK_MS = 64, 5000, 5000


def now():
    return int(time.time() * 1000)


def tell(event, **members):
    print(json.dumps({"event": event, **members}), flush=True)


class Connection:
    """Objects in both directions; those that come may stand together or be cut anywhere."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS)
        self.utf8, self.pending = codecs.getincrementaldecoder("utf-8")(), ""

    def send(self, action, **members):
        frame = {"action": action, **members}
        self.socket.sendall(json.dumps(frame).encode() + b"\n")

    def receive(self):
        """What one read brought to its end; None when the relay has hung up."""
        data = self.socket.recv(65536)
        if not data:
            return None
        self.pending += self.utf8.decode(data)
        frames = []
        while True:
            self.pending = self.pending.lstrip()
            try:
                frame, end = json.JSONDecoder().raw_decode(self.pending)
            except json.JSONDecodeError:
                return frames
            frames.append(frame)
            self.pending = self.pending[end:]


class Client:
    def __init__(self, address, name, path, with_kem, letterbox=None):
        self.own = identity.Own(name, identity.load(path), with_kem)
        self.connection = Connection(address)
        self.letterbox = letterbox and Letterbox(self.own, letterbox, self.connection.send, tell)
        self.peers, self.tokens = {}, Tokens(10, 10)
        self.input_ended = False
        self.record = {"name": name, "identity": path, "fp": self.own.fp.hex(), "prekeys": []}
        self.record["sessions"] = []

    # --- registration: section 2 ---

    def register(self):
        own, cnonce = self.own, os.urandom(32)
        self.renew_prekey()
        self.connection.send(
            "register", v=2, name=own.name, pubkey=identity.pem(own.key.public_key()),
            cnonce=b64(cnonce), prekey=own.prekey,
        )
        challenge = self.await_frame("challenge")
        relay, nonce = unb64(challenge["relay"], 32), unb64(challenge["nonce"], 32)
        shown = identity.tbs_challenge(relay, cnonce, nonce, own.fp)
        identity.check_challenge(relay, unb64(challenge["sig"], 64), shown)
        proven = identity.tbs_proof(relay, nonce, cnonce, own.name, own.fp, own.prekey)
        proof = b64(sign(own.key, proven))
        self.connection.send("prove", v=2, sig=proof)
        registered = self.await_frame("registered")
        fp = identity.printed(own.fp)
        is_us = (registered["name"], registered["fp"]) == (own.name, fp)
        refuse_unless(is_us, "other_user", "the relay registered somebody else")
        tell("registered", name=own.name, fp=fp)
        self.record["registration"] = {
            "cnonce": b64(cnonce),
            "relay": challenge["relay"],
            "nonce": challenge["nonce"],
            "relay_sig": challenge["sig"],
            "proof": proof,
        }

    def renew_prekey(self):
        made = self.own.renew_prekey(now()).recorded()
        self.record["prekeys"].append(made | {"published": self.own.prekey})

    def await_frame(self, action):
        while True:
            frames = self.connection.receive()
            refuse_unless(frames is not None, "closed", "the relay hung up")
            for frame in frames:
                if frame["action"] == action:
                    return frame
                refuse_unless(frame["action"] != "error", frame.get("code"), frame.get("detail"))

    # --- the loop ---

    def run(self):
        selector = selectors.DefaultSelector()
        selector.register(self.connection.socket, selectors.EVENT_READ)
        selector.register(sys.stdin.buffer, selectors.EVENT_READ)
        line = b""
        while not self.input_ended or self.has_more():
            for key, _ in selector.select(TICK_SECONDS):
                if key.fileobj is self.connection.socket:
                    frames = self.connection.receive()
                    refuse_unless(frames is not None, "closed", "the relay hung up")
                    for frame in frames:
                        self.guard(self.take_frame, frame)
                    continue
                data = os.read(0, 65536)
                *lines, line = (line + data).split(b"\n")
                for said in lines:
                    self.guard(self.take_line, json.loads(said))
                if not data:
                    self.input_ended = True
                    selector.unregister(sys.stdin.buffer)
            for peer in self.peers.values():
                self.advance(peer)

    def has_more(self):
        of_letters = self.letterbox and self.letterbox.has_more()
        return of_letters or any(peer.has_more() for peer in self.peers.values())

    def guard(self, take, thing):
        """What comes from outside is refused with a warning, whatever it is."""
        try:
            take(thing)
        except Refused as refused:
            tell("warning", code=refused.code, detail=refused.detail)
        except (KeyError, ValueError, struct.error) as error:
            tell("warning", code="bad_form", detail=repr(error))

    def peer(self, name):
        if name not in self.peers:
            self.peers[name] = Peer(name, self.own, self.tokens)
        return self.peers[name]

    def take_line(self, line):
        if line.get("command") == "prekey":
            self.renew_prekey()
            self.connection.send("prekey", v=2, prekey=self.own.prekey)
        elif line.get("letter"):
            self.letterbox.say(line["to"], line["text"], line["id"])
        else:
            self.peer(line["to"]).say(line["text"], line.get("id"))

    # --- frames ---

    def take_frame(self, frame):
        action = frame["action"]
        if action in ("send_key", "message"):
            self.from_peer(self.peer(frame["from"]), frame)
        elif self.letterbox and self.letterbox.is_for(frame):
            self.letterbox.take_frame(frame)
        elif action == "pubkey":
            self.take_key(self.peer(frame["from"]), frame)
        elif action == "relayed":
            peer = self.peer(frame["to"])
            if peer.prekey and frame["prekey"] != peer.prekey["id"]:
                peer.asks = True
        elif action == "error":
            self.fail(self.peer(frame.get("to") or frame["target"]), frame["code"], frame["detail"])

    def take_key(self, peer, frame):
        peer.asks = False
        held, peer.held = peer.held, []
        try:
            peer.learn_key(frame)
            for waited in held:
                self.guard(lambda it: self.from_peer(peer, it), waited)
            peer.learn_prekey(frame["prekey"], now())
        except Refused as refused:
            self.fail(peer, refused.code, refused.detail)
            raise
        finally:
            peer.forget_unless_pinned()

    def from_peer(self, peer, frame):
        refuse_unless(frame["v"] == 2, "bad_form", "a frame of another version")
        try:
            if peer.held:
                raise KeyWanted
            if frame["action"] == "send_key":
                peer.take_offer(frame["key"], now())
            else:
                self.take_message(peer, frame["content"])
        except KeyWanted:
            refuse_unless(len(peer.held) < HELD_FRAMES, "unknown_peer", f"too much of {peer.name}")
            peer.held_since = peer.held_since if peer.held else now()
            peer.held.append(frame)
            peer.asks = True

    def take_message(self, peer, content):
        sealed = Sealed.parse(content)
        data, missing = peer.open(sealed, now())
        if missing:
            tell("gap", **{"from": peer.name, "missing": missing})
        if sealed.kind == RECEIPT:
            for text_id in peer.confirmed(data):
                tell("delivered", id=text_id, to=peer.name)
            return
        refuse_unless(sealed.kind == TEXT, "bad_message", f"a message of type {sealed.kind}")
        mid, text = peer.new_text(data)
        if text is not None:
            tell("message", **{"from": peer.name, "text": text, "n": sealed.n})
        peer.to_confirm.append(mid)  # standard output took it, now or before

    def fail(self, peer, code, detail):
        peer.asks, peer.asked_at, peer.held = False, 0, []
        for text_id in peer.give_up():
            tell("failed", id=text_id, to=peer.name, code=code, detail=detail)

    def advance(self, peer):
        """Sends what may be sent to this peer now."""
        if peer.held and now() - peer.held_since > HELD_MS:
            peer.held = []
            tell("warning", code="unknown_peer", detail=f"{peer.name}'s key does not come")
        peer.asks = peer.asks or bool(peer.has_more() and not peer.prekey)
        if peer.asks and now() - peer.asked_at >= ASK_MS:
            peer.asked_at = now()
            self.connection.send("get_pubkey", target=peer.name)
        if peer.prekey and peer.has_more() and not peer.chain:
            key, peer.session = peer.open_session(now())
            self.record["sessions"].append(peer.session)
            self.connection.send("send_key", v=2, to=peer.name, key=key, id="key")
        if peer.chain:
            for content, made in peer.seal_what_may_go():
                peer.session["messages"].append(made)
                self.connection.send("message", v=2, to=peer.name, content=content, id="message")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("name")
    parser.add_argument("identity", metavar="IDENTITY.pem")
    parser.add_argument("--without-kem", dest="with_kem", action="store_false")
    parser.add_argument("--record", metavar="FILE", type=pathlib.Path)
    parser.add_argument("--letterbox", metavar="FILE", type=pathlib.Path)
    options = parser.parse_args()
    client = Client(
        options.address, options.name, options.identity, options.with_kem, options.letterbox
    )
    try:
        client.register()
        if client.letterbox:
            client.letterbox.publish()
        client.run()
    except Refused as refused:
        tell("closed", code=refused.code, detail=refused.detail)
        sys.exit(1)
    if options.record:
        options.record.write_text(json.dumps(client.record, indent=2) + "\n")


if __name__ == "__main__":
    main()
