"""Section 5: a session is offered in `send_key` and gives both sides the first key of a chain."""

import os
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .identity import kem_key, raw, tbs_prekey
from .message import Chain
from .notation import (
    SHA256, H, Refused, T, b64, cut, number, refuse_unless, sign, u16, u32, u64, unb64, verify,
)

MAGIC = b"SW\2"
SUITE_1, SUITE_2 = b"\1", b"\2"
HDR_LENGTH = 128
KEM_CT = 1088
OFFER_MAX = 4096


def oaep(label):
    return padding.OAEP(padding.MGF1(SHA256), SHA256, label=label)


def header(suite, sid, created, fps, prekey_id, ephemeral):
    return b"".join((MAGIC, suite, sid, u64(created), *fps, u32(prekey_id), raw(ephemeral)))


def label(hdr):
    return H(T("sealwax/v2/oaep", hdr))


def transcript(tbs):
    return H(T("sealwax/v2/transcript", tbs))


def agree(secret, public):
    try:
        return secret.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # the package refuses an all-zero result itself
        raise Refused("bad_ephemeral", "X25519 gives zero") from None


def unwrap(key, rsa_ct, label):
    try:
        s = key.decrypt(rsa_ct, oaep(label))
    except ValueError:
        s = b""
    # Nobody is told; what was sealed with it will not open.
    return s if len(s) == 32 else os.urandom(32)


def encapsulate(kem_public):
    """The secret and its ciphertext, where the peer has an ML-KEM key."""
    if not kem_public:
        return b"", b""
    try:
        return MLKEM768PublicKey.from_public_bytes(kem_public).encapsulate()
    except ValueError:
        raise Refused("bad_prekey", "its ML-KEM key is invalid") from None


def derive(info, th, s, x25519, kem=b""):
    """The place of what a suite does not have is empty; the last is kept for later suites."""
    ikm = T(s, x25519, kem, "")
    return HKDF(algorithm=SHA256, length=32, salt=th, info=info).derive(ikm)


def first_chain_key(*secrets):
    return derive(b"sealwax/v2/chain", *secrets)


@dataclass
class Offer:
    """What `send_key` carries."""

    hdr: bytes
    rsa_ct: bytes
    kem_ct: bytes  # of suite 2
    sig: bytes

    @classmethod
    def parse(cls, text):
        data = unb64(text)
        refuse_unless(HDR_LENGTH < len(data) <= OFFER_MAX, "bad_form", "an offer of another size")
        hdr, rest = data[:HDR_LENGTH], data[HDR_LENGTH:]
        suite = hdr.removeprefix(MAGIC)[:1]
        is_known = hdr.startswith(MAGIC) and suite in (SUITE_1, SUITE_2)
        refuse_unless(is_known, "bad_form", "an offer of another suite")
        rsa_ct, rest = cut(rest, 2)
        kem_ct, rest = cut(rest, 2) if suite == SUITE_2 else (b"", rest)
        of_size = len(kem_ct) == (KEM_CT if suite == SUITE_2 else 0)
        refuse_unless(of_size, "bad_form", "an ML-KEM ciphertext of another size")
        sig, rest = cut(rest, 2)
        refuse_unless(rest == b"", "bad_form", "an offer with something behind it")
        return cls(hdr, rsa_ct, kem_ct, sig)

    def encode(self):
        parts = [self.rsa_ct, *([self.kem_ct] if self.kem_ct else []), self.sig]
        return b64(self.hdr + b"".join(u16(len(part)) + part for part in parts))

    suite = property(lambda self: self.hdr[3:4])
    sid = property(lambda self: self.hdr[4:20])
    created = property(lambda self: number(self.hdr[20:28]))
    fps = property(lambda self: (self.hdr[28:60], self.hdr[60:92]))
    prekey_id = property(lambda self: number(self.hdr[92:96]))
    ephemeral = property(lambda self: self.hdr[96:])

    def tbs(self, names, prekey):
        """`prekey` is the published one of the receiver, which suite 2 signs whole."""
        suite_2 = (self.kem_ct, H(tbs_prekey(names[1], self.fps[1], prekey)))
        parts = (self.rsa_ct, *(suite_2 if self.suite == SUITE_2 else ()))
        return T("sealwax/v2/send_key", *names, self.hdr, *parts)

    def verify(self, names, public, prekey):
        is_suite = self.suite == (SUITE_2 if kem_key(prekey) else SUITE_1)
        refuse_unless(is_suite, "other_suite", "a session of another suite than the prekey's")
        verify(public, self.sig, self.tbs(names, prekey), f"{names[0]}'s session")

    def open(self, names, key, secrets, prekey):
        """The receiver's side, after `verify`."""
        s = unwrap(key, self.rsa_ct, label(self.hdr))
        x25519 = agree(secrets.x25519, self.ephemeral)
        kem = secrets.kem.decapsulate(self.kem_ct) if secrets.kem else b""
        ck_0 = first_chain_key(transcript(self.tbs(names, prekey)), s, x25519, kem)
        return Chain(names, self.fps, self.sid, ck_0)


def offer(names, fps, key, public, prekey, created):
    """The sender's side: an offer, its chain, and all that it was made of."""
    sid, s, ephemeral = os.urandom(16), os.urandom(32), X25519PrivateKey.generate()
    kem, kem_ct = encapsulate(kem_key(prekey))
    suite = SUITE_2 if kem else SUITE_1
    hdr = header(suite, sid, created, fps, prekey["id"], ephemeral.public_key())
    made = Offer(hdr, public.encrypt(s, oaep(label(hdr))), kem_ct, b"")
    tbs = made.tbs(names, prekey)
    made.sig = sign(key, tbs)
    x25519 = agree(ephemeral, unb64(prekey["x25519"], 32))
    th = transcript(tbs)
    ck_0 = first_chain_key(th, s, x25519, kem)
    record = {
        "to": names[1],
        "prekey_id": prekey["id"],
        "created": created,
        "sid": sid.hex(),
        "s": s.hex(),
        "ephemeral_secret": ephemeral.private_bytes_raw().hex(),
        "hdr": hdr.hex(),
        "oaep_label": label(hdr).hex(),
        "rsa_ct": made.rsa_ct.hex(),
        "kem_ct": kem_ct.hex(),
        "sig": made.sig.hex(),
        "th": th.hex(),
        "x25519": x25519.hex(),
        "kem": kem.hex(),
        "ck_0": ck_0.hex(),
        "key": made.encode(),
        "messages": [],
    }
    return made, Chain(names, fps, sid, ck_0), record
