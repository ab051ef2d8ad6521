"""Section 10: letters, and the keys that they are sealed to."""

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .identity import MINUTE, Secrets, fingerprint, kem_key, raw
from .message import BUCKETS, TAG, bucket, unpad
from .notation import (
    H, Refused, T, b64, cut, number, refuse_unless, sign, u16, u32, u64, unb64, verify,
)
from .session import KEM_CT, agree, derive, encapsulate, oaep, transcript, unwrap

MAGIC_AND_SUITE = b"SL\2\2"
HDR_LENGTH = 129
DAY = 24 * 60 * MINUTE
KEY_LIFE = 90 * DAY
NONCE = bytes(12)


def tbs_letter_key(name, fp, key):
    numbers = (u32(key["id"]), u64(key["created"]), u64(key["expires"]))
    parts = (unb64(key["x25519"], 32), kem_key(key))
    return T("sealwax/v2/letterkey", name, fp, *numbers, *parts)


def new_letter_key(name, key, now):
    """The secrets, and what is published of them."""
    secrets = Secrets(os.urandom(32), os.urandom(64))
    published = secrets.published(now - now % DAY, KEY_LIFE)
    tbs = tbs_letter_key(name, fingerprint(key.public_key()), published)
    return secrets, published | {"sig": b64(sign(key, tbs))}


def check_letter_key(name, public, key):
    tbs = tbs_letter_key(name, fingerprint(public), key)
    verify(public, unb64(key["sig"]), tbs, f"{name}'s letter key")


def header(kind, mid, created, fps, key_id, ephemeral):
    front = (MAGIC_AND_SUITE, bytes([kind]), mid, u64(created), *fps)
    return b"".join((*front, u32(key_id), ephemeral))


def label(hdr):
    return H(T("sealwax/v2/letter-oaep", hdr))


def letter_key(*secrets):
    return derive(b"sealwax/v2/letter-key", *secrets)


def aad(names, hdr):
    return T("sealwax/v2/letter-aad", *names, hdr)


def seal_body(k, names, hdr, data):
    size = bucket(len(data))
    refuse_unless(size, "too_long", "the text is too long")
    plain = (u32(len(data)) + data).ljust(size, b"\0")
    return AESGCM(k).encrypt(NONCE, plain, aad(names, hdr))


@dataclass
class Letter:
    """The content of `letter`."""

    hdr: bytes
    rsa_ct: bytes
    kem_ct: bytes
    sig: bytes
    sealed: bytes

    @classmethod
    def parse(cls, text):
        data = unb64(text)
        refuse_unless(len(data) > HDR_LENGTH, "bad_form", "a letter that is too short")
        hdr, rest = data[:HDR_LENGTH], data[HDR_LENGTH:]
        refuse_unless(hdr.startswith(MAGIC_AND_SUITE), "bad_form", "a letter of another suite")
        rsa_ct, rest = cut(rest, 2)
        kem_ct, rest = cut(rest, 2)
        sig, sealed = cut(rest, 2)
        of_size = len(kem_ct) == KEM_CT and len(sealed) - TAG in BUCKETS
        refuse_unless(of_size, "bad_form", "a letter of another size")
        return cls(hdr, rsa_ct, kem_ct, sig, sealed)

    def encode(self):
        parts = (self.rsa_ct, self.kem_ct, self.sig)
        return b64(self.hdr + b"".join(u16(len(part)) + part for part in parts) + self.sealed)

    kind = property(lambda self: self.hdr[4])
    mid = property(lambda self: self.hdr[5:21])
    created = property(lambda self: number(self.hdr[21:29]))
    fps = property(lambda self: (self.hdr[29:61], self.hdr[61:93]))
    key_id = property(lambda self: number(self.hdr[93:97]))
    ephemeral = property(lambda self: self.hdr[97:])

    def tbs(self, names, key):
        """`key` is the published letter key of the receiver, which is signed whole."""
        hashed = H(tbs_letter_key(names[1], self.fps[1], key))
        return T("sealwax/v2/letter", *names, self.hdr, self.rsa_ct, self.kem_ct, hashed)

    def verify(self, names, public, key):
        verify(public, self.sig, self.tbs(names, key), f"{names[0]}'s letter")

    def open(self, names, identity, secrets, key):
        """The receiver's side, after `verify`: the data."""
        s = unwrap(identity, self.rsa_ct, label(self.hdr))
        x25519 = agree(secrets.x25519, self.ephemeral)
        kem = secrets.kem.decapsulate(self.kem_ct)
        k = letter_key(transcript(self.tbs(names, key)), s, x25519, kem)
        try:
            return unpad(AESGCM(k).decrypt(NONCE, self.sealed, aad(names, self.hdr)))
        except InvalidTag:
            raise Refused("bad_message", "its tag does not hold") from None


def seal(names, fps, identity, public, key, created, kind, mid, data):
    """The sender's side: a letter, and all that it was made of."""
    s, ephemeral = os.urandom(32), X25519PrivateKey.generate()
    kem, kem_ct = encapsulate(kem_key(key))
    hdr = header(kind, mid, created, fps, key["id"], raw(ephemeral.public_key()))
    made = Letter(hdr, public.encrypt(s, oaep(label(hdr))), kem_ct, b"", b"")
    tbs = made.tbs(names, key)
    made.sig = sign(identity, tbs)
    x25519, th = agree(ephemeral, unb64(key["x25519"], 32)), transcript(tbs)
    k = letter_key(th, s, x25519, kem)
    made.sealed = seal_body(k, names, hdr, data)
    record = {
        "to": names[1],
        "key_id": key["id"],
        "created": created,
        "type": kind,
        "mid": mid.hex(),
        "data": data.hex(),
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
        "k": k.hex(),
        "content": made.encode(),
    }
    return made, record
