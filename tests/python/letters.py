#!/usr/bin/env python3
"""Seals a letter as ours does, or opens one of ours: for tests/second_implementation.rs.

    letters.py seal < {"names":[A,B],"sender":PEM,"public":PEM,"key":{…},"created","type","data"}
    letters.py open < {"names":[A,B],"sender":PEM,"recipient":PEM,"stored","key":{…},"content"}

The PEMs are paths: identities, but for `public`, which is the text of the recipient's public key.
`stored` are the secrets of the letter key, as ours keeps them; bytes are base64url. Prints
{"content"}, or {"mid","data"}.
"""

import json
import os
import sys

from cryptography.hazmat.primitives.serialization import load_pem_public_key

from sealwax2 import identity, letter
from sealwax2.message import MID
from sealwax2.notation import b64, unb64


def seal(names, sender, public, key, created, type, data):
    sender, public = identity.load(sender), load_pem_public_key(public.encode())
    letter.check_letter_key(names[1], public, key)
    fps = tuple(identity.fingerprint(half) for half in (sender.public_key(), public))
    said = (type, os.urandom(MID), unb64(data))
    made, _ = letter.seal(names, fps, sender, public, key, created, *said)
    return {"content": made.encode()}


def open_(names, sender, recipient, stored, key, content):
    sender, recipient = identity.load(sender).public_key(), identity.load(recipient)
    stored, came = unb64(stored), letter.Letter.parse(content)
    letter.check_letter_key(names[1], recipient.public_key(), key)
    came.verify(names, sender, key)
    data = came.open(names, recipient, identity.Secrets(stored[:32], stored[32:]), key)
    return {"mid": b64(came.mid), "data": b64(data)}


def main(what):
    done = {"seal": seal, "open": open_}[what](**json.loads(sys.stdin.readline()))
    print(json.dumps(done))


if __name__ == "__main__":
    main(*sys.argv[1:])
