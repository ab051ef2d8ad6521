"""The known answers of docs/protocol.md, section 8, by an implementation of its own.

    known_answers.py            print a new recording, in the form of docs/vectors.json
    known_answers.py FILE       check one: recompute what is determined, open and verify the rest

Written from the protocol alone, with PyPI's `cryptography`, so that it can disagree with ours.
"""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import struct
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DATA = pathlib.Path(__file__).parent.parent / "data"
SHA256 = hashes.SHA256()
PSS = padding.PSS(mgf=padding.MGF1(SHA256), salt_length=32)
BUCKETS = (256, 1024, 4096, 16384)


# --- Section 3: notation ---


def T(*parts):
    parts = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def H(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def u16(number):
    return struct.pack(">H", number)


def u32(number):
    return struct.pack(">I", number)


def u64(number):
    return struct.pack(">Q", number)


def cut(data, width):
    """What stands behind its length of `width` bytes, and the rest."""
    end = width + int.from_bytes(data[:width], "big")
    return data[width:end], data[end:]


# --- Sections 2 and 4: keys, registration, prekey, safety number ---


def private_key(name):
    return serialization.load_pem_private_key((DATA / f"{name}.pem").read_bytes(), None)


def fingerprint(key):
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return H(key.public_key().public_bytes(serialization.Encoding.DER, info))


def raw(public):
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def tbs_prekey(name, fp, prekey):
    numbers = (u32(prekey["id"]), u64(prekey["created"]), u64(prekey["expires"]))
    return T("sealwax/v2/prekey", name, fp, *numbers, unb64(prekey["x25519"]), "")


def relay_challenge(relay, cnonce, nonce, fp):
    return T("sealwax/v2/relay", relay, cnonce, nonce, fp)


def register_proof(relay, nonce, cnonce, name, fp, prekey):
    tbs = tbs_prekey(name, fp, prekey)
    return T("sealwax/v2/register", H(relay), nonce, cnonce, name, fp, H(tbs))


def safety_number(*users):
    halves = []
    for name, fp in users:
        d = H(T("sealwax/v2/safety", name, fp))
        groups = (int.from_bytes(d[at : at + 5], "big") % 100000 for at in range(0, 30, 5))
        halves.append(" ".join(f"{group:05}" for group in groups))
    return " ".join(sorted(halves))


# --- Section 5: session ---


def oaep(hdr):
    return padding.OAEP(padding.MGF1(SHA256), SHA256, label=H(T("sealwax/v2/oaep", hdr)))


def chain_0(th, s, x25519):
    ikm = T(s, x25519, "", "")
    return HKDF(algorithm=SHA256, length=32, salt=th, info=b"sealwax/v2/chain").derive(ikm)


# --- Section 6: message ---


def step(ck):
    return hmac.digest(ck, b"\1", "sha256"), hmac.digest(ck, b"\2", "sha256")


def aad(names, fps, head):
    return T("sealwax/v2/message", *names, *fps, head)


def seal(mk, names, fps, kind, sid, n, data):
    bucket = next(bucket for bucket in BUCKETS if len(data) + 4 <= bucket)
    plain = (u32(len(data)) + data).ljust(bucket, b"\0")
    head = bytes([2, kind]) + sid + u64(n)
    return b64(head + AESGCM(mk).encrypt(bytes(4) + u64(n), plain, aad(names, fps, head)))


def unseal(mk, names, fps, content):
    content = unb64(content)
    head, sealed = content[:26], content[26:]
    plain = AESGCM(mk).decrypt(bytes(4) + head[18:26], sealed, aad(names, fps, head))
    data, zeros = cut(plain, 4)
    assert zeros.strip(b"\0") == b"", "padding"
    return {"type": head[1], "n": int.from_bytes(head[18:26], "big"), "data": data.hex()}


# --- The recording ---


def section_8():
    names, fps = ("alice", "bob"), (H(b"A"), H(b"B"))
    th, s, x25519 = H(b"th"), b"\1" * 32, b"\2" * 32
    sid, mid = bytes(range(16)), b"\3" * 16
    ck_0 = chain_0(th, s, x25519)
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
            "type": 0,
            "n": 0,
            "mid": mid.hex(),
            "text": "hi",
        },
        "ck_0": ck_0.hex(),
        "mk_0": mk_0.hex(),
        "content": seal(mk_0, names, fps, 0, sid, 0, mid + b"hi"),
        "safety_number": safety_number(*zip(names, fps)),
    }


def users():
    names = ("alice", "bob")
    keys = tuple(map(private_key, names))
    return names, keys, tuple(map(fingerprint, keys))


def record_handshake():
    """Bob registers at a relay, Alice opens a session to his prekey and sends."""
    names, keys, fps = users()
    created = 1750000000000

    prekey_secret = X25519PrivateKey.generate()
    prekey = {
        "id": int.from_bytes(os.urandom(4), "big"),
        "created": created,
        "expires": created + 48 * 3600 * 1000,
        "x25519": b64(raw(prekey_secret.public_key())),
    }
    prekey["sig"] = b64(keys[1].sign(tbs_prekey(names[1], fps[1], prekey), PSS, SHA256))

    relay_secret, cnonce, nonce = Ed25519PrivateKey.generate(), os.urandom(32), os.urandom(32)
    relay = raw(relay_secret.public_key())
    proof = register_proof(relay, nonce, cnonce, names[1], fps[1], prekey)
    registration = {
        "cnonce": b64(cnonce),
        "relay": b64(relay),
        "nonce": b64(nonce),
        "relay_sig": b64(relay_secret.sign(relay_challenge(relay, cnonce, nonce, fps[1]))),
        "proof": b64(keys[1].sign(proof, PSS, SHA256)),
    }

    sid, s, ephemeral = os.urandom(16), os.urandom(32), X25519PrivateKey.generate()
    hdr = b"SW\2\1" + sid + u64(created + 1000) + fps[0] + fps[1] + u32(prekey["id"])
    hdr += raw(ephemeral.public_key())
    rsa_ct = keys[1].public_key().encrypt(s, oaep(hdr))
    tbs = T("sealwax/v2/send_key", *names, hdr, rsa_ct)
    sig = keys[0].sign(tbs, PSS, SHA256)
    shared = ephemeral.exchange(prekey_secret.public_key())
    ck = ck_0 = chain_0(H(T("sealwax/v2/transcript", tbs)), s, shared)

    messages = []
    said = [(0, b"\4" * 16 + b"hello"), (1, b"\5" * 32), (0, b"\6" * 16 + b"x" * 500)]
    for n, (kind, data) in enumerate(said):
        mk, ck = step(ck)
        content = seal(mk, names, fps, kind, sid, n, data)
        messages.append({"type": kind, "n": n, "data": data.hex(), "content": content})
    return {
        "identities": {"A": "tests/data/alice.pem", "B": "tests/data/bob.pem"},
        "prekey_secret": prekey_secret.private_bytes_raw().hex(),
        "prekey": prekey,
        "registration": registration,
        "created_ms": created + 1000,
        "sid": sid.hex(),
        "s": s.hex(),
        "key": b64(hdr + u16(len(rsa_ct)) + rsa_ct + u16(len(sig)) + sig),
        "ck_0": ck_0.hex(),
        "messages": messages,
    }


def check_handshake(recording):
    """As the relay and Bob would."""
    names, keys, fps = users()
    publics = [key.public_key() for key in keys]

    prekey = recording["prekey"]
    publics[1].verify(unb64(prekey["sig"]), tbs_prekey(names[1], fps[1], prekey), PSS, SHA256)
    order = ("cnonce", "relay", "nonce", "relay_sig", "proof")
    cnonce, relay, nonce, relay_sig, proof = (unb64(recording["registration"][it]) for it in order)
    challenge = relay_challenge(relay, cnonce, nonce, fps[1])
    Ed25519PublicKey.from_public_bytes(relay).verify(relay_sig, challenge)
    proven = register_proof(relay, nonce, cnonce, names[1], fps[1], prekey)
    publics[1].verify(proof, proven, PSS, SHA256)

    key = unb64(recording["key"])
    hdr, rest = key[:128], key[128:]
    rsa_ct, rest = cut(rest, 2)
    sig, rest = cut(rest, 2)
    assert rest == b"", "trailing bytes"
    assert hdr[:4] == b"SW\2\1" and hdr[4:20].hex() == recording["sid"], "header"
    assert hdr[20:28] == u64(recording["created_ms"]), "created"
    assert (hdr[28:60], hdr[60:92]) == fps, "fingerprints"
    assert hdr[92:96] == u32(prekey["id"]), "prekey"
    tbs = T("sealwax/v2/send_key", *names, hdr, rsa_ct)
    publics[0].verify(sig, tbs, PSS, SHA256)
    s = keys[1].decrypt(rsa_ct, oaep(hdr))
    assert s.hex() == recording["s"], "s"
    secret = X25519PrivateKey.from_private_bytes(bytes.fromhex(recording["prekey_secret"]))
    shared = secret.exchange(X25519PublicKey.from_public_bytes(hdr[96:]))
    ck = chain_0(H(T("sealwax/v2/transcript", tbs)), s, shared)
    assert ck.hex() == recording["ck_0"], "ck_0"
    for message in recording["messages"]:
        mk, ck = step(ck)
        content = message.pop("content")
        assert unseal(mk, names, fps, content) == message, "message"


def main():
    if len(sys.argv) == 1:
        json.dump(section_8() | {"handshake": record_handshake()}, sys.stdout, indent=2)
        print()
        return
    recording = json.loads(pathlib.Path(sys.argv[1]).read_text())
    handshake = recording.pop("handshake")
    assert recording == section_8(), "section 8"
    try:
        check_handshake(handshake)
    except InvalidSignature:
        sys.exit("a signature of the handshake does not hold")
    print("all answers agree")


if __name__ == "__main__":
    main()
