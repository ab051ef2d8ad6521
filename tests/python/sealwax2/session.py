"""Section 5: a session is offered in `send_key` and gives both sides the first key of a chain."""

import os
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .identity import raw
from .message import Chain
from .notation import (
    SHA256, H, Refused, T, b64, cut, number, refuse_unless, sign, u16, u32, u64, unb64, verify,
)

MAGIC_AND_SUITE = b"SW\2\1"
HDR_LENGTH = 128
OFFER_MAX = 4096


def oaep(label):
    return padding.OAEP(padding.MGF1(SHA256), SHA256, label=label)


def header(sid, created, fps, prekey_id, ephemeral):
    return b"".join((MAGIC_AND_SUITE, sid, u64(created), *fps, u32(prekey_id), raw(ephemeral)))


def label(hdr):
    return H(T("sealwax/v2/oaep", hdr))


def transcript(tbs):
    return H(T("sealwax/v2/transcript", tbs))


def agree(secret, public):
    try:
        return secret.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # the package refuses an all-zero result itself
        raise Refused("bad_ephemeral", "X25519 gives zero") from None


def first_chain_key(th, s, x25519):
    ikm = T(s, x25519, "", "")
    return HKDF(algorithm=SHA256, length=32, salt=th, info=b"sealwax/v2/chain").derive(ikm)


@dataclass
class Offer:
    """What `send_key` carries."""

    hdr: bytes
    rsa_ct: bytes
    sig: bytes

    @classmethod
    def parse(cls, text):
        data = unb64(text)
        refuse_unless(HDR_LENGTH < len(data) <= OFFER_MAX, "bad_form", "an offer of another size")
        hdr, rest = data[:HDR_LENGTH], data[HDR_LENGTH:]
        refuse_unless(hdr.startswith(MAGIC_AND_SUITE), "bad_form", "an offer of another suite")
        rsa_ct, rest = cut(rest, 2)
        sig, rest = cut(rest, 2)
        refuse_unless(rest == b"", "bad_form", "an offer with something behind it")
        return cls(hdr, rsa_ct, sig)

    def encode(self):
        parts = (self.hdr, u16(len(self.rsa_ct)), self.rsa_ct, u16(len(self.sig)), self.sig)
        return b64(b"".join(parts))

    sid = property(lambda self: self.hdr[4:20])
    created = property(lambda self: number(self.hdr[20:28]))
    fps = property(lambda self: (self.hdr[28:60], self.hdr[60:92]))
    prekey_id = property(lambda self: number(self.hdr[92:96]))
    ephemeral = property(lambda self: self.hdr[96:])

    def tbs(self, names):
        return T("sealwax/v2/send_key", *names, self.hdr, self.rsa_ct)

    def verify(self, names, public):
        verify(public, self.sig, self.tbs(names), f"{names[0]}'s session")

    def open(self, names, key, prekey_secret):
        """The receiver's side, after `verify`."""
        try:
            s = key.decrypt(self.rsa_ct, oaep(label(self.hdr)))
        except ValueError:
            s = b""
        if len(s) != 32:
            s = os.urandom(32)  # nobody is told; the first message will not open
        x25519 = agree(prekey_secret, self.ephemeral)
        ck_0 = first_chain_key(transcript(self.tbs(names)), s, x25519)
        return Chain(names, self.fps, self.sid, ck_0)


def offer(names, fps, key, public, prekey, created):
    """The sender's side: an offer, its chain, and all that it was made of."""
    sid, s, ephemeral = os.urandom(16), os.urandom(32), X25519PrivateKey.generate()
    hdr = header(sid, created, fps, prekey["id"], ephemeral.public_key())
    made = Offer(hdr, public.encrypt(s, oaep(label(hdr))), b"")
    tbs = made.tbs(names)
    made.sig = sign(key, tbs)
    x25519 = agree(ephemeral, unb64(prekey["x25519"], 32))
    th = transcript(tbs)
    ck_0 = first_chain_key(th, s, x25519)
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
        "sig": made.sig.hex(),
        "th": th.hex(),
        "x25519": x25519.hex(),
        "ck_0": ck_0.hex(),
        "key": made.encode(),
        "messages": [],
    }
    return made, Chain(names, fps, sid, ck_0), record
