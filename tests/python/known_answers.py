"""The known answers of docs/protocol.md, section 8.

    known_answers.py RECORD…    print docs/vectors.json

The RECORDs are what two users' `second_client.py --record` wrote while they talked, one for each;
they become the member `handshake`, by name. check_vectors.py checks it all.
"""

import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwax2.identity import raw, safety_number, tbs_challenge, tbs_proof
from sealwax2.message import TEXT, seal, step
from sealwax2.notation import H, b64
from sealwax2.session import first_chain_key


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


def main(*records):
    recorded = [json.loads(pathlib.Path(record).read_text()) for record in records]
    handshake = {record["name"]: record for record in recorded}
    answers = section_8() | {"bound_registration": bound_registration()}
    json.dump(answers | {"handshake": handshake}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
