"""The known answers of docs/protocol.md, section 8.

    known_answers.py RECORD…    print docs/vectors.json

The RECORDs are what two users' `second_client.py --record` wrote while they talked, one for each;
they become the member `handshake`, by name, and each is given a letter key and a letter to the
other. check_vectors.py checks it all.
"""

import hashlib
import json
import os
import pathlib
import sys
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwax2 import letter
from sealwax2.identity import (
    Secrets, fingerprint, load, raw, safety_number, tbs_challenge, tbs_proof,
)
from sealwax2.message import MID, TEXT, seal, step
from sealwax2.notation import H, b64, refuse_unless
from sealwax2.session import first_chain_key

ROOT = pathlib.Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "vectors.json"


def section_8():
    names, fps = ("alice", "bob"), (H(b"A"), H(b"B"))
    th, s, x25519 = H(b"th"), b"\1" * 32, b"\2" * 32
    sid, mid = bytes(range(16)), b"\3" * 16
    ck_0 = first_chain_key(th, s, x25519)
    mk_0, _ = step(ck_0)
    return {
        "inputs": {
            "name_A": names[0],
            "name_B": names[1],
            "fp_A": fps[0].hex(),
            "fp_B": fps[1].hex(),
            "th": th.hex(),
            "s": s.hex(),
            "x25519": x25519.hex(),
            "sid": sid.hex(),
            "type": TEXT,
            "n": 0,
            "mid": mid.hex(),
            "text": "hi",
        },
        "ck_0": ck_0.hex(),
        "mk_0": mk_0.hex(),
        "content": seal(mk_0, names, fps, TEXT, sid, 0, mid + b"hi"),
        "safety_number": safety_number(*zip(names, fps)),
    }


def bound_registration():
    """What is signed in a registration that is bound to its TLS connection."""
    name, fp = "alice", H(b"A")
    secret, nonce, cnonce, cb = (bytes([byte]) * 32 for byte in (4, 5, 6, 7))
    key = Ed25519PrivateKey.from_private_bytes(secret)
    relay = raw(key.public_key())
    prekey = {"id": 1, "created": 2, "expires": 3, "x25519": b64(b"\2" * 32)}
    challenge = tbs_challenge(relay, cnonce, nonce, fp, cb)
    return {
        "inputs": {
            "name": name,
            "fp": fp.hex(),
            "relay_secret": secret.hex(),
            "nonce": nonce.hex(),
            "cnonce": cnonce.hex(),
            "cb": cb.hex(),
            "prekey": prekey,
        },
        "relay": relay.hex(),
        "challenge": challenge.hex(),
        "relay_sig": b64(key.sign(challenge)),
        "proof": tbs_proof(relay, nonce, cnonce, name, fp, prekey, cb).hex(),
    }


def kem_secret(m, public):
    """What `ML-KEM.Encaps_internal` makes of `m` (FIPS 203, algorithm 17)."""
    return hashlib.sha3_512(m + hashlib.sha3_256(public).digest()).digest()[:32]


def suite_2(kem_ct):
    """The first key of a session of suite 2, and a letter's, of the values of section 8.

    `kem_ct` is what ML-KEM encapsulates from `m`. The package `cryptography` takes no `m`, so the
    ciphertext is handed in: only that of `m` decapsulates to the secret that is derived from `m`.
    """
    names, fps = ("alice", "bob"), (H(b"A"), H(b"B"))
    th, s, x25519 = H(b"th"), b"\1" * 32, b"\2" * 32
    seed, m = b"\5" * 32 + b"\6" * 32, b"\7" * 32
    secrets = Secrets(b"\4" * 32, seed)
    public = raw(secrets.kem.public_key())
    kem = secrets.kem.decapsulate(kem_ct)
    refuse_unless(kem == kem_secret(m, public), "bad_vector", "kem_ct is not the one of m")
    mid, created, key_id = b"\3" * MID, 1750000000000, 4
    hdr = letter.header(TEXT, mid, created, fps, key_id, raw(secrets.x25519.public_key()))
    k = letter.letter_key(th, s, x25519, kem)
    return {
        "inputs": {
            "kem_seed": seed.hex(),
            "kem_m": m.hex(),
            "kem_ct": kem_ct.hex(),
            "letter_ephemeral_secret": (b"\4" * 32).hex(),
            "letter_created": created,
            "letter_key_id": key_id,
        },
        "mlkem": b64(public),
        "kem": kem.hex(),
        "ck_0": first_chain_key(th, s, x25519, kem).hex(),
        "letter_hdr": hdr.hex(),
        "letter_oaep_label": letter.label(hdr).hex(),
        "letter_k": k.hex(),
        "letter_sealed": letter.seal_body(k, names, hdr, b"hi").hex(),
    }


def add_letters(one, other):
    """A letter key of each, and a letter of each to the other."""
    now, keys = int(time.time() * 1000), {}
    for user in (one, other):
        identity = load(ROOT / user["identity"])
        secrets, published = letter.new_letter_key(user["name"], identity, now)
        user["letter_keys"] = [secrets.recorded() | {"published": published}]
        keys[user["name"]] = (identity, published)
    for a, b in ((one, other), (other, one)):
        names = (a["name"], b["name"])
        (identity, _), (public, key) = keys[names[0]], keys[names[1]]
        public = public.public_key()
        fps = (fingerprint(identity.public_key()), fingerprint(public))
        said = (TEXT, os.urandom(MID), f"a letter to {b['name']}".encode())
        _, made = letter.seal(names, fps, identity, public, key, now, *said)
        a["letters"] = [made]


def main(*records):
    recorded = [json.loads(pathlib.Path(record).read_text()) for record in records]
    add_letters(*recorded)
    handshake = {record["name"]: record for record in recorded}
    kem_ct = json.loads(PUBLISHED.read_text())["suite_2"]["inputs"]["kem_ct"]
    answers = section_8() | {
        "suite_2": suite_2(bytes.fromhex(kem_ct)),
        "bound_registration": bound_registration(),
    }
    json.dump(answers | {"handshake": handshake}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
