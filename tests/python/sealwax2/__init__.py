"""Version 2 of the protocol, a second time: written from docs/protocol.md alone, to disagree.

Read `notation` (section 3), `identity` (2 and 4), `session` (5), `message` (6); none of them knows
a socket or a clock. `peer` holds what a client remembers of one other user; ../second_client.py
brings it to a relay.
"""
