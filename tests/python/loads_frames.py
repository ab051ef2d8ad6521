#!/usr/bin/env python3
"""Reads frames as an original client does, and says of each whether that went well.

Standard input has one frame a line, as a JSON string. For each one line is printed: `ok`, or what was raised. What an
original client does with a frame: `json.loads` of the text or of the bytes, and showing what is in it, which must be
possible in UTF-8.
"""

import json
import sys


def show(value):
    if isinstance(value, dict):
        for name, member in value.items():
            name.encode()
            show(member)
    elif isinstance(value, list):
        for element in value:
            show(element)
    else:
        str(value).encode()


for line in sys.stdin:
    frame = json.loads(line)
    try:
        for read in json.loads(frame), json.loads(frame.encode()), json.JSONDecoder().raw_decode(frame)[0]:
            show(read)
            json.dumps(read)
        print("ok", flush=True)
    except Exception as error:  # whatever it is, an original client would have died of it
        print(f"{type(error).__name__}: {error}", flush=True)
