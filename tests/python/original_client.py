#!/usr/bin/env python3
"""A client of the original system, written from its description, to talk through our relay.

    original_client.py HOST:PORT NAME PEER COUNT

Registers NAME with a fresh RSA-2048 key, waits for PEER in the user list, asks for its key, wraps an AES-256 key
for it (RSA-OAEP, SHA-256) and sends COUNT messages (AES-256-CBC, PKCS#7, IV in front), while PEER does the same.
Each side keeps the AES key that the other wrapped to read what the other writes. Its frames follow each other
without a delimiter, as `json.dumps` prints them. Ends with 0 when COUNT messages from PEER were read, in order and as
they were sent, and prints one JSON object that tells so. What other users send it is read, counted, and passed over.
"""

import codecs
import json
import os
import socket
import sys

from cryptography.hazmat.primitives import hashes, padding as block_padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

TIMEOUT_SECONDS = 60
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def seal(key, text):
    iv = os.urandom(16)
    padder = block_padding.PKCS7(128).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return (iv + encryptor.update(padded) + encryptor.finalize()).hex()


def unseal(key, content):
    raw = bytes.fromhex(content)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(raw[:16])).decryptor()
    padded = decryptor.update(raw[16:]) + decryptor.finalize()
    unpadder = block_padding.PKCS7(128).unpadder()
    return (unpadder.update(padded) + unpadder.finalize()).decode()


class Connection:
    """Objects in both directions; those that come may stand together in one segment or be cut by it."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS)
        self.pending = ""
        self.text = codecs.getincrementaldecoder("utf-8")()  # a character may be cut too

    def say(self, **frame):
        self.socket.sendall(json.dumps(frame).encode())

    def frames(self):
        while True:
            self.pending = self.pending.lstrip()
            try:
                frame, end = json.JSONDecoder().raw_decode(self.pending)
            except json.JSONDecodeError:
                data = self.socket.recv(4096)
                if not data:
                    return
                self.pending += self.text.decode(data)
                continue
            self.pending = self.pending[end:]
            yield frame


def main(address, name, peer, count):
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
    connection = Connection(address)
    connection.say(action="register", name=name, pubkey=pem)

    asked = False
    sent = False
    peer_key = None
    read = []
    others = 0
    for frame in connection.frames():
        action = frame.get("action")
        if action == "userlist" and peer in frame["users"] and not asked:
            asked = True
            connection.say(action="get_pubkey", target=peer, **{"from": name})
        elif action == "pubkey":
            assert frame["from"] == peer, frame
            public = serialization.load_pem_public_key(frame["pubkey"].encode())
            own_key = os.urandom(32)
            wrapped = public.encrypt(own_key, OAEP).hex()
            connection.say(action="send_key", to=peer, key=wrapped, **{"from": name})
            for number in range(count):
                content = seal(own_key, f"{name} says {number}: ça va? \U0001f980")
                connection.say(action="message", to=peer, content=content, **{"from": name})
            sent = True
        elif action in ("send_key", "message") and frame["from"] != peer:
            others += 1  # it was read, and means nothing to this conversation
        elif action == "send_key":
            peer_key = private.decrypt(bytes.fromhex(frame["key"]), OAEP)
        elif action == "message":
            read.append(unseal(peer_key, frame["content"]))
        elif action == "error":
            sys.exit(f"{name}: refused: {frame}")
        # Leave only when our own frames went out as well, so that the peer reads all of them.
        if sent and len(read) == count:
            break
    expected = [f"{peer} says {number}: ça va? \U0001f980" for number in range(count)]
    assert read == expected, f"{name}: read {read!r}"
    print(json.dumps({"name": name, "read": len(read), "others": others}), flush=True)
    sys.stdin.read()  # stay until the test has seen both


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
