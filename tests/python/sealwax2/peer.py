"""What a client remembers of one other user: the key, a session each way, what waits for a receipt.

Everything that is refused is raised as `Refused`; time is handed in, in milliseconds.
"""

import os
from collections import deque

from cryptography.hazmat.primitives import serialization

from .identity import AHEAD, MINUTE, check_prekey, fingerprint
from .message import BUCKETS, MID, RECEIPT, TEXT, bucket
from .notation import refuse_unless
from .session import Offer, offer

PREVIOUS_LIFE = MINUTE
WINDOW_FIRST, WINDOW = 32, 256
SHOWN = 1024
MIDS_A_RECEIPT = (BUCKETS[-1] - 4) // MID


class KeyWanted(Exception):
    """Nothing can be said before the relay has told this user's key."""


class Tokens:
    """So many a second, and a burst after a rest."""

    def __init__(self, rate, burst):
        self.rate, self.burst, self.left, self.since = rate, burst, burst, 0

    def take(self, now):
        rested = (now - self.since) / 1000 * self.rate
        self.left, self.since = min(self.burst, self.left + rested), now
        refuse_unless(self.left >= 1, "too_many_sessions", "more sessions than we compute")
        self.left -= 1


class Peer:
    def __init__(self, name, own, all_tokens):
        self.name, self.own = name, own
        self.public = self.fp = self.prekey = None
        self.pinned = self.changed = False  # pinned once a signature by that key held
        self.asks, self.asked_at = False, 0  # whether the relay is to tell the key
        self.held, self.held_since = [], 0  # frames that wait for it
        # Sending.
        self.chain = self.session = None  # the keys, and the record of what they were made of
        self.sent_created = 0
        self.receipt_came = False
        self.waiting, self.unconfirmed, self.to_confirm = {}, {}, []  # mid: (text, id), in order
        # Receiving.
        self.mark = 0
        self.receiving = self.previous = None
        self.previous_until = 0
        self.shown = deque(maxlen=SHOWN)
        self.tokens, self.all_tokens = Tokens(1, 4), all_tokens

    # --- the key ---

    def learn_key(self, frame):
        """The answer to get_pubkey: unsigned, it pins nothing; but a pinned key must be the same."""
        refuse_unless(frame.get("v") == 2, "downgrade", f"{self.name} is not of version 2")
        public = serialization.load_pem_public_key(frame["pubkey"].encode())
        self.changed = self.pinned and fingerprint(public) != self.fp
        self.refuse_changed()
        self.public, self.fp = public, fingerprint(public)

    def learn_prekey(self, prekey, now):
        """Takes up a newer one with a new session."""
        check_prekey(self.name, self.public, prekey, now)
        self.pinned = True
        seen = self.prekey["created"] if self.prekey else 0
        refuse_unless(prekey["created"] >= seen, "old_prekey", f"{self.name} has a newer prekey")
        if prekey["created"] > seen:
            self.prekey, self.chain = prekey, None

    def forget_unless_pinned(self):
        if not self.pinned:
            self.public = self.fp = None

    def refuse_changed(self):
        refuse_unless(not self.changed, "changed_key", f"{self.name} has another key than before")

    # --- receiving ---

    def take_offer(self, text, now):
        """Section 5's order: what costs nothing first, the signature before any decryption."""
        made, names = Offer.parse(text), (self.name, self.own.name)
        refuse_unless(made.fps[1] == self.own.fp, "not_ours", "a session for another key than ours")
        if self.public is None:
            raise KeyWanted
        self.refuse_changed()
        refuse_unless(made.fps[0] == self.fp, "changed_key", f"a session by another {self.name}")
        refuse_unless(made.created > self.mark, "replay", "a session that came before")
        refuse_unless(made.created <= now + AHEAD, "clock_skew", "a session of the future")
        secrets, prekey = self.own.held_prekey(made.prekey_id, now)
        made.verify(names, self.public, prekey)
        self.pinned = True
        self.tokens.take(now)
        self.all_tokens.take(now)
        chain = made.open(names, self.own.key, secrets, prekey)
        self.mark = made.created
        self.previous, self.previous_until = self.receiving, now + PREVIOUS_LIFE
        self.receiving = chain

    def open(self, message, now):
        self.refuse_changed()
        live = [self.receiving, self.previous if now < self.previous_until else None]
        chain = next((chain for chain in live if chain and chain.sid == message.sid), None)
        refuse_unless(chain, "unknown_session", "a message of no session that is open")
        return chain.open(message)

    # --- sending ---

    def say(self, text, text_id):
        refuse_unless(bucket(MID + len(text.encode())), "too_long", "the text is too long")
        self.waiting[os.urandom(MID)] = (text, text_id)

    def has_more(self):
        return bool(self.waiting or self.unconfirmed or self.to_confirm)

    def open_session(self, now):
        """The offer, and what it was made of. What is unconfirmed is to be sealed again."""
        self.sent_created = max(now, self.sent_created + 1)
        names, fps = (self.own.name, self.name), (self.own.fp, self.fp)
        made, self.chain, record = offer(
            names, fps, self.own.key, self.public, self.prekey, self.sent_created
        )
        self.receipt_came = False
        self.waiting, self.unconfirmed = self.unconfirmed | self.waiting, {}
        return made.encode(), record

    def seal_what_may_go(self):
        """Texts as far as the window reaches, and the receipts that have gathered."""
        window = WINDOW if self.receipt_came else WINDOW_FIRST
        while self.waiting and len(self.unconfirmed) < window:
            mid = next(iter(self.waiting))
            self.unconfirmed[mid] = self.waiting.pop(mid)
            yield self.chain.seal(TEXT, mid + self.unconfirmed[mid][0].encode())
        while self.to_confirm:
            mids = self.to_confirm[:MIDS_A_RECEIPT]
            del self.to_confirm[:MIDS_A_RECEIPT]
            yield self.chain.seal(RECEIPT, b"".join(mids))

    def confirmed(self, data):
        """What a receipt names: the ids of texts that are delivered now."""
        refuse_unless(data and len(data) % MID == 0, "bad_message", "a receipt of another size")
        self.receipt_came = True
        for at in range(0, len(data), MID):
            mid = data[at : at + MID]
            said = self.unconfirmed.pop(mid, None) or self.waiting.pop(mid, None)
            if said:
                yield said[1]

    def new_text(self, data):
        """Its mid, and the text unless it was shown already."""
        refuse_unless(len(data) >= MID, "bad_message", "a text without its mid")
        mid, text = data[:MID], data[MID:].decode()
        if mid in self.shown:
            return mid, None
        self.shown.append(mid)
        return mid, text

    def give_up(self):
        """Forgets what is not confirmed; tells the ids."""
        ids = [text_id for _, text_id in (self.unconfirmed | self.waiting).values()]
        self.waiting, self.unconfirmed, self.to_confirm = {}, {}, []
        return ids
