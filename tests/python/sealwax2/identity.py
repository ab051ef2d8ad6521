"""Sections 2 and 4: keys, the proof at registration, prekeys, safety numbers."""

import os
import pathlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from .notation import H, Refused, T, b64, number, refuse_unless, sign, u32, u64, unb64, verify

MINUTE = 60 * 1000  # milliseconds, as every time here
AHEAD = 10 * MINUTE
PREKEY_LIFE = 48 * 60 * MINUTE
PREKEY_GRACE = 10 * MINUTE
KEM_KEY = 1184

SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


def load(path):
    return serialization.load_pem_private_key(pathlib.Path(path).read_bytes(), None)


def pem(public):
    return public.public_bytes(serialization.Encoding.PEM, SPKI).decode()


def fingerprint(public):
    return H(public.public_bytes(serialization.Encoding.DER, SPKI))


def printed(fp):
    return "SHA256:" + b64(fp)


def raw(public):
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def tbs_prekey(name, fp, prekey):
    numbers = (u32(prekey["id"]), u64(prekey["created"]), u64(prekey["expires"]))
    return T("sealwax/v2/prekey", name, fp, *numbers, unb64(prekey["x25519"], 32), kem_key(prekey))


def kem_key(published):
    return unb64(published["mlkem"], KEM_KEY) if "mlkem" in published else b""


class Secrets:
    """The secret halves of a prekey or a letter key; `kem` is None where it has no ML-KEM key."""

    def __init__(self, x25519, kem=None):
        self.x25519 = X25519PrivateKey.from_private_bytes(x25519)
        self.kem = kem and MLKEM768PrivateKey.from_seed_bytes(kem)

    def published(self, created, life):
        published = {
            "id": number(os.urandom(4)),
            "created": created,
            "expires": created + life,
            "x25519": b64(raw(self.x25519.public_key())),
        }
        if self.kem:
            published["mlkem"] = b64(raw(self.kem.public_key()))
        return published

    def recorded(self):
        seed = {"seed": self.kem.private_bytes_raw().hex()} if self.kem else {}
        return {"secret": self.x25519.private_bytes_raw().hex()} | seed


def new_prekey(name, key, now, with_kem=True):
    """The secrets, and what is published of them."""
    secrets = Secrets(os.urandom(32), os.urandom(64) if with_kem else None)
    prekey = secrets.published(now, PREKEY_LIFE)
    tbs = tbs_prekey(name, fingerprint(key.public_key()), prekey)
    return secrets, prekey | {"sig": b64(sign(key, tbs))}


def check_prekey(name, public, prekey, now):
    """What who would seal to it checks."""
    tbs = tbs_prekey(name, fingerprint(public), prekey)
    verify(public, unb64(prekey["sig"]), tbs, f"{name}'s prekey")
    refuse_unless(prekey["expires"] > now, "bad_prekey", f"{name}'s prekey has expired")
    is_past = prekey["created"] <= now + AHEAD
    refuse_unless(is_past, "clock_skew", f"{name}'s prekey is of the future")


class Own:
    """Ourselves: a name, a key, the prekeys that are still good."""

    def __init__(self, name, key, with_kem=True):
        self.name, self.key, self.fp = name, key, fingerprint(key.public_key())
        self.with_kem, self.prekey, self.secrets = with_kem, None, {}

    def renew_prekey(self, now):
        """Makes a new one; the one before is good for ten minutes more."""
        if self.prekey:
            held, _ = self.secrets[self.prekey["id"]]
            self.secrets = {self.prekey["id"]: (held, now + PREKEY_GRACE)}
        secrets, self.prekey = new_prekey(self.name, self.key, now, self.with_kem)
        self.secrets[self.prekey["id"]] = ((secrets, self.prekey), self.prekey["expires"])
        return secrets

    def held_prekey(self, prekey_id, now):
        """Its secrets, and what was published of them."""
        held, until = self.secrets.get(prekey_id, (None, 0))
        refuse_unless(now < until, "unknown_prekey", "a session for a prekey that we do not hold")
        return held


def tbs_challenge(relay, cnonce, nonce, fp, *cb):
    """With `cb`, what both ends of the TLS connection export, the registration is bound to it."""
    return T("sealwax/v2/relay", relay, cnonce, nonce, fp, *cb)


def tbs_proof(relay, nonce, cnonce, name, fp, prekey, *cb):
    hashed = H(tbs_prekey(name, fp, prekey))
    return T("sealwax/v2/register", H(relay), nonce, cnonce, name, fp, hashed, *cb)


def check_challenge(relay, sig, tbs):
    try:
        Ed25519PublicKey.from_public_bytes(relay).verify(sig, tbs)
    except InvalidSignature:
        raise Refused("relay_key", "the relay does not hold the key that it shows") from None


def safety_number(*users):
    halves = []
    for name, fp in users:
        d = H(T("sealwax/v2/safety", name, fp))
        groups = (number(d[at : at + 5]) % 100000 for at in range(0, 30, 5))
        halves.append(" ".join(f"{group:05}" for group in groups))
    return " ".join(sorted(halves))
