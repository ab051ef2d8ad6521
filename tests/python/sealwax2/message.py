"""Section 6: a chain of keys, each of which seals one message."""

import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .notation import Refused, T, b64, cut, number, refuse_unless, u32, u64, unb64

TEXT, RECEIPT = 0, 1
HEAD, TAG, MID = 26, 16, 16
BUCKETS = (256, 1024, 4096, 16384)
SKIP_MAX = 1000


def step(ck):
    """The key of this message, and the chain's next."""
    return hmac.digest(ck, b"\1", "sha256"), hmac.digest(ck, b"\2", "sha256")


def bucket(length):
    """The size that `length` bytes of data and their length are padded to, if any holds them."""
    return next((size for size in BUCKETS if 4 + length <= size), None)


def head(kind, sid, n):
    return bytes([2, kind]) + sid + u64(n)


def nonce(n):
    return bytes(4) + u64(n)


def aad(names, fps, head):
    return T("sealwax/v2/message", *names, *fps, head)


def seal(mk, names, fps, kind, sid, n, data):
    size = bucket(len(data))
    refuse_unless(size, "too_long", "the text is too long")
    front = head(kind, sid, n)
    plain = (u32(len(data)) + data).ljust(size, b"\0")
    return b64(front + AESGCM(mk).encrypt(nonce(n), plain, aad(names, fps, front)))


@dataclass
class Sealed:
    """What `message` carries."""

    head: bytes
    sealed: bytes

    @classmethod
    def parse(cls, text):
        data = unb64(text)
        refuse_unless(len(data) >= HEAD + TAG, "bad_form", "a message that is too short")
        refuse_unless(data[0] == 2, "bad_form", "a message of another version")
        return cls(data[:HEAD], data[HEAD:])

    kind = property(lambda self: self.head[1])
    sid = property(lambda self: self.head[2:18])
    n = property(lambda self: number(self.head[18:]))

    def unseal(self, mk, names, fps):
        try:
            return AESGCM(mk).decrypt(nonce(self.n), self.sealed, aad(names, fps, self.head))
        except InvalidTag:
            raise Refused("bad_message", "its tag does not hold") from None


def unpad(plain):
    data, zeros = cut(plain, 4)
    refuse_unless(len(plain) == bucket(len(data)), "bad_message", "another bucket")
    refuse_unless(zeros.strip(b"\0") == b"", "bad_message", "padding that is not zero")
    return data


class Chain:
    """One direction of one session, from either side."""

    def __init__(self, names, fps, sid, ck):
        self.names, self.fps, self.sid, self.ck, self.n = names, fps, sid, ck, 0

    def seal(self, kind, data):
        """The content, and what it was made of."""
        mk, ck = step(self.ck)
        content = seal(mk, self.names, self.fps, kind, self.sid, self.n, data)
        record = {"type": kind, "n": self.n, "data": data.hex(), "mk": mk.hex(), "content": content}
        self.ck, self.n = ck, self.n + 1
        return content, record

    def open(self, message):
        """Its data, and how many are missing before it; the chain moves only when the tag holds."""
        missing = message.n - self.n
        refuse_unless(missing >= 0, "replay", "a message that came before")
        refuse_unless(missing <= SKIP_MAX, "too_far_ahead", f"{missing} messages are missing")
        ck = self.ck
        for _ in range(missing + 1):
            mk, ck = step(ck)
        plain = message.unseal(mk, self.names, self.fps)
        self.ck, self.n = ck, message.n + 1
        return unpad(plain), missing
