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

from known_answers import PUBLISHED, ROOT, bound_registration, section_8, suite_2
from sealwax2 import identity, letter, session
from sealwax2.message import Chain, Sealed
from sealwax2.notation import Refused, b64, unb64, verify


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
        self.letter_keys = {it["published"]["id"]: it for it in record["letter_keys"]}


def secrets(made):
    seed = made.get("seed")
    return identity.Secrets(bytes.fromhex(made["secret"]), seed and bytes.fromhex(seed))


def check_section_8(compare, vectors):
    for what, value in section_8().items():
        compare.same(f"section 8: {what}", value, vectors[what])
    kem_ct = bytes.fromhex(vectors["suite_2"]["inputs"]["kem_ct"])
    for what, value in suite_2(kem_ct).items():
        compare.same(f"section 8: suite 2, {what}", value, vectors["suite_2"][what])
    for what, value in bound_registration().items():
        recorded = vectors["bound_registration"][what]
        compare.same(f"section 8: bound registration, {what}", value, recorded)


def check_registration(compare, user):
    compare.same(f"{user.name}: fp", user.fp.hex(), user.record["fp"])
    for prekey_id, prekey in user.prekeys.items():
        published, what = prekey["published"], f"{user.name}: prekey {prekey_id}"
        check_halves(compare, what, prekey)
        arguments = (user.name, user.public, published, published["created"])
        compare.holds(f"{what}: signature", identity.check_prekey, *arguments)
    for key_id, key in user.letter_keys.items():
        what = f"{user.name}: letter key {key_id}"
        check_halves(compare, what, key)
        arguments = (user.name, user.public, key["published"])
        compare.holds(f"{what}: signature", letter.check_letter_key, *arguments)
    steps = user.record["registration"]
    order = ("relay", "nonce", "cnonce", "relay_sig", "proof")
    relay, nonce, cnonce, relay_sig, proof = (unb64(steps[step]) for step in order)
    shown = identity.tbs_challenge(relay, cnonce, nonce, user.fp)
    compare.holds(f"{user.name}: challenge", identity.check_challenge, relay, relay_sig, shown)
    first = user.record["prekeys"][0]["published"]
    proven = identity.tbs_proof(relay, nonce, cnonce, user.name, user.fp, first)
    compare.holds(f"{user.name}: proof", verify, user.public, proof, proven, "the proof")


def check_halves(compare, what, made):
    published, of_secrets = made["published"], secrets(made).published(0, 0)
    for half in ("x25519", "mlkem"):
        compare.same(f"{what}: {half}", of_secrets.get(half), published.get(half))


def check_session(compare, number, a, b, recorded):
    """From both sides: what A derives from its inputs, and what B opens with its own."""
    names, fps, what = (a.name, b.name), (a.fp, b.fp), f"session {number} {a.name} > {b.name}"
    inputs = ("sid", "s", "rsa_ct", "kem_ct", "kem", "sig")
    values = {name: bytes.fromhex(recorded[name]) for name in inputs}
    ephemeral = X25519PrivateKey.from_private_bytes(bytes.fromhex(recorded["ephemeral_secret"]))
    prekey = b.prekeys[recorded["prekey_id"]]
    held, published = secrets(prekey), prekey["published"]

    suite = session.SUITE_2 if values["kem_ct"] else session.SUITE_1
    hdr = session.header(
        suite, values["sid"], recorded["created"], fps, published["id"], ephemeral.public_key()
    )
    made = session.Offer(hdr, values["rsa_ct"], values["kem_ct"], values["sig"])
    th = session.transcript(made.tbs(names, published))
    x25519 = session.agree(ephemeral, identity.raw(held.x25519.public_key()))
    ck_0 = session.first_chain_key(th, values["s"], x25519, values["kem"])
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
    compare.holds(f"{what}: signature", offered.verify, names, a.public, published)
    s = b.key.decrypt(offered.rsa_ct, session.oaep(session.label(offered.hdr)))
    compare.same(f"{what}: s, unwrapped by {b.name}", s.hex(), recorded["s"])
    if held.kem:
        kem = held.kem.decapsulate(offered.kem_ct)
        compare.same(f"{what}: kem, decapsulated by {b.name}", kem.hex(), recorded["kem"])
    opened = offered.open(names, b.key, held, published)
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


def check_letter(compare, number, a, b, recorded):
    """From both sides: what A derives from its inputs, and what B opens with its own."""
    names, fps, what = (a.name, b.name), (a.fp, b.fp), f"letter {number} {a.name} > {b.name}"
    inputs = ("mid", "data", "s", "rsa_ct", "kem_ct", "kem", "sig")
    values = {name: bytes.fromhex(recorded[name]) for name in inputs}
    ephemeral = X25519PrivateKey.from_private_bytes(bytes.fromhex(recorded["ephemeral_secret"]))
    key = b.letter_keys[recorded["key_id"]]
    held, published = secrets(key), key["published"]

    front = (recorded["type"], values["mid"], recorded["created"], fps, published["id"])
    hdr = letter.header(*front, identity.raw(ephemeral.public_key()))
    made = letter.Letter(hdr, values["rsa_ct"], values["kem_ct"], values["sig"], b"")
    th = letter.transcript(made.tbs(names, published))
    x25519 = letter.agree(ephemeral, identity.raw(held.x25519.public_key()))
    k = letter.letter_key(th, values["s"], x25519, values["kem"])
    made.sealed = letter.seal_body(k, names, hdr, values["data"])
    derived = {"hdr": hdr, "oaep_label": letter.label(hdr), "th": th, "x25519": x25519, "k": k}
    for name, value in derived.items():
        compare.same(f"{what}: {name}", value.hex(), recorded[name])
    compare.same(f"{what}: content", made.encode(), recorded["content"])

    came = letter.Letter.parse(recorded["content"])
    compare.holds(f"{what}: signature", came.verify, names, a.public, published)
    data = came.open(names, b.key, held, published)
    compare.same(f"{what}: opened by {b.name}", data.hex(), recorded["data"])


def main(file=PUBLISHED):
    vectors = json.loads(pathlib.Path(file).read_text())
    compare = Comparison()
    check_section_8(compare, vectors)
    users = {name: User(record) for name, record in vectors["handshake"].items()}
    for user in users.values():
        check_registration(compare, user)
        for number, recorded in enumerate(user.record["sessions"]):
            check_session(compare, number, user, users[recorded["to"]], recorded)
        for number, recorded in enumerate(user.record["letters"]):
            check_letter(compare, number, user, users[recorded["to"]], recorded)
    print(f"{compare.count} values compared, {compare.differences} differ")
    sys.exit(1 if compare.differences else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
