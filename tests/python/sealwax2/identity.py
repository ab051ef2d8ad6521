"""Sections 2 and 4: keys, the proof at registration, prekeys, safety numbers."""

import os
import pathlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from .notation import H, Refused, T, b64, number, refuse_unless, sign, u32, u64, unb64, verify

MINUTE = 60 * 1000  # milliseconds, as every time here
AHEAD = 10 * MINUTE
PREKEY_LIFE = 48 * 60 * MINUTE
PREKEY_GRACE = 10 * MINUTE

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
    return T("sealwax/v2/prekey", name, fp, *numbers, unb64(prekey["x25519"], 32), "")


def new_prekey(name, key, now):
    """The secret, and what is published of it."""
    secret = X25519PrivateKey.generate()
    prekey = {
        "id": number(os.urandom(4)),
        "created": now,
        "expires": now + PREKEY_LIFE,
        "x25519": b64(raw(secret.public_key())),
    }
    tbs = tbs_prekey(name, fingerprint(key.public_key()), prekey)
    return secret, prekey | {"sig": b64(sign(key, tbs))}


def check_prekey(name, public, prekey, now):
    """What who would seal to it checks."""
    tbs = tbs_prekey(name, fingerprint(public), prekey)
    verify(public, unb64(prekey["sig"]), tbs, f"{name}'s prekey")
    refuse_unless(prekey["expires"] > now, "bad_prekey", f"{name}'s prekey has expired")
    is_past = prekey["created"] <= now + AHEAD
    refuse_unless(is_past, "clock_skew", f"{name}'s prekey is of the future")


class Own:
    """Ourselves: a name, a key, the prekeys that are still good."""

    def __init__(self, name, key):
        self.name, self.key, self.fp = name, key, fingerprint(key.public_key())
        self.prekey, self.secrets = None, {}

    def renew_prekey(self, now):
        """Makes a new one; the one before is good for ten minutes more."""
        if self.prekey:
            secret, _ = self.secrets[self.prekey["id"]]
            self.secrets = {self.prekey["id"]: (secret, now + PREKEY_GRACE)}
        secret, self.prekey = new_prekey(self.name, self.key, now)
        self.secrets[self.prekey["id"]] = (secret, self.prekey["expires"])
        return secret

    def prekey_secret(self, prekey_id, now):
        secret, until = self.secrets.get(prekey_id, (None, 0))
        refuse_unless(now < until, "unknown_prekey", "a session for a prekey that we do not hold")
        return secret


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
