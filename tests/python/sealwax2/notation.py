"""Section 3: how values are joined, hashed, signed and written."""

import base64
import hashlib
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

SHA256 = hashes.SHA256()
PSS = padding.PSS(mgf=padding.MGF1(SHA256), salt_length=32)


class Refused(Exception):
    """What came breaks a rule: the reason, in a word and in a sentence."""

    def __init__(self, code, detail):
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


def refuse_unless(condition, code, detail):
    if not condition:
        raise Refused(code, detail)


def T(*parts):
    parts = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(u32(len(part)) + part for part in parts)


def H(data):
    return hashlib.sha256(data).digest()


def u16(number):
    return struct.pack(">H", number)


def u32(number):
    return struct.pack(">I", number)


def u64(number):
    return struct.pack(">Q", number)


def number(data):
    return int.from_bytes(data, "big")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text, length=None):
    """Canonical only: Python's decoder is lenient, so what it read must be written the same again."""
    refuse_unless(isinstance(text, str), "bad_form", "not a string")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise Refused("bad_form", f"not base64url: {error}") from None
    refuse_unless(b64(data) == text, "bad_form", "not canonical base64url")
    refuse_unless(length in (None, len(data)), "bad_form", f"{len(data)} bytes, not {length}")
    return data


def cut(data, width):
    """What stands behind its length of `width` bytes, and the rest."""
    end = width + number(data[:width])
    refuse_unless(width <= len(data) >= end, "bad_form", "shorter than it says")
    return data[width:end], data[end:]


def sign(key, tbs):
    return key.sign(tbs, PSS, SHA256)


def verify(public, sig, tbs, what):
    try:
        public.verify(sig, tbs, PSS, SHA256)
    except InvalidSignature:
        raise Refused("bad_signature", f"the signature of {what} does not hold") from None
