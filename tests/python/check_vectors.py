#!/usr/bin/env python3
"""Checks docs/vectors.json: derives every value from the inputs alone, and opens what was recorded.

    check_vectors.py [FILE]

Prints what it compared, a line each; ends with 1 where anything differs. Only what a key signs or
wraps with randomness of its own (RSA-PSS, RSA-OAEP) cannot be derived: that is verified and opened.
"""

import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from known_answers import bound_registration, section_8
from sealwax2 import identity, session
from sealwax2.message import Chain, Sealed
from sealwax2.notation import Refused, b64, unb64, verify

ROOT = pathlib.Path(__file__).parents[2]


class Comparison:
    def __init__(self):
        self.count = self.differences = 0

    def same(self, what, derived, recorded):
        self.count += 1
        good = derived == recorded
        self.differences += not good
        print("same   " if good else "DIFFERS", what)
        if not good:
            print(f"  derived  {derived}\n  recorded {recorded}")

    def holds(self, what, check, *arguments):
        try:
            check(*arguments)
            self.same(what, "holds", "holds")
        except Refused as refused:
            self.same(what, str(refused), "holds")


class User:
    """One side of the recording: its inputs as keys."""

    def __init__(self, record):
        self.name, self.record = record["name"], record
        self.key = identity.load(ROOT / record["identity"])
        self.public = self.key.public_key()
        self.fp = identity.fingerprint(self.public)
        self.prekeys = {it["published"]["id"]: it for it in record["prekeys"]}

    def prekey_secret(self, prekey_id):
        return X25519PrivateKey.from_private_bytes(bytes.fromhex(self.prekeys[prekey_id]["secret"]))


def check_section_8(compare, vectors):
    for what, value in section_8().items():
        compare.same(f"section 8: {what}", value, vectors[what])
    for what, value in bound_registration().items():
        recorded = vectors["bound_registration"][what]
        compare.same(f"section 8: bound registration, {what}", value, recorded)


def check_registration(compare, user):
    compare.same(f"{user.name}: fp", user.fp.hex(), user.record["fp"])
    for prekey_id, prekey in user.prekeys.items():
        public = b64(identity.raw(user.prekey_secret(prekey_id).public_key()))
        published, what = prekey["published"], f"{user.name}: prekey {prekey_id}"
        compare.same(f"{what}: public half", public, published["x25519"])
        arguments = (user.name, user.public, published, published["created"])
        compare.holds(f"{what}: signature", identity.check_prekey, *arguments)
    steps = user.record["registration"]
    order = ("relay", "nonce", "cnonce", "relay_sig", "proof")
    relay, nonce, cnonce, relay_sig, proof = (unb64(steps[step]) for step in order)
    shown = identity.tbs_challenge(relay, cnonce, nonce, user.fp)
    compare.holds(f"{user.name}: challenge", identity.check_challenge, relay, relay_sig, shown)
    first = user.record["prekeys"][0]["published"]
    proven = identity.tbs_proof(relay, nonce, cnonce, user.name, user.fp, first)
    compare.holds(f"{user.name}: proof", verify, user.public, proof, proven, "the proof")


def check_session(compare, number, a, b, recorded):
    """From both sides: what A derives from its inputs, and what B opens with its own."""
    names, fps, what = (a.name, b.name), (a.fp, b.fp), f"session {number} {a.name} > {b.name}"
    values = {name: bytes.fromhex(recorded[name]) for name in ("sid", "s", "rsa_ct", "sig")}
    ephemeral = X25519PrivateKey.from_private_bytes(bytes.fromhex(recorded["ephemeral_secret"]))
    prekey_secret = b.prekey_secret(recorded["prekey_id"])

    hdr = session.header(
        values["sid"], recorded["created"], fps, recorded["prekey_id"], ephemeral.public_key()
    )
    made = session.Offer(hdr, values["rsa_ct"], values["sig"])
    th = session.transcript(made.tbs(names))
    x25519 = session.agree(ephemeral, identity.raw(prekey_secret.public_key()))
    ck_0 = session.first_chain_key(th, values["s"], x25519)
    derived = {
        "hdr": hdr,
        "oaep_label": session.label(hdr),
        "th": th,
        "x25519": x25519,
        "ck_0": ck_0,
    }
    for name, value in derived.items():
        compare.same(f"{what}: {name}", value.hex(), recorded[name])
    compare.same(f"{what}: key", made.encode(), recorded["key"])

    offered = session.Offer.parse(recorded["key"])
    compare.holds(f"{what}: signature", offered.verify, names, a.public)
    s = b.key.decrypt(offered.rsa_ct, session.oaep(session.label(offered.hdr)))
    compare.same(f"{what}: s, unwrapped by {b.name}", s.hex(), recorded["s"])
    opened = offered.open(names, b.key, prekey_secret)
    compare.same(f"{what}: ck_0, derived by {b.name}", opened.ck.hex(), recorded["ck_0"])

    sending = Chain(names, fps, values["sid"], ck_0)
    for it in recorded["messages"]:
        content, made = sending.seal(it["type"], bytes.fromhex(it["data"]))
        compare.same(f"{what}: message {it['n']}, sealed", made, it)
        sealed = Sealed.parse(it["content"])
        data, missing = opened.open(sealed)
        read = (sealed.kind, sealed.n, missing, data.hex())
        written = (it["type"], it["n"], 0, it["data"])
        compare.same(f"{what}: message {it['n']}, opened by {b.name}", read, written)


def main(file=ROOT / "docs" / "vectors.json"):
    vectors = json.loads(pathlib.Path(file).read_text())
    compare = Comparison()
    check_section_8(compare, vectors)
    users = {name: User(record) for name, record in vectors["handshake"].items()}
    for user in users.values():
        check_registration(compare, user)
        for number, recorded in enumerate(user.record["sessions"]):
            check_session(compare, number, user, users[recorded["to"]], recorded)
    print(f"{compare.count} values compared, {compare.differences} differ")
    sys.exit(1 if compare.differences else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
