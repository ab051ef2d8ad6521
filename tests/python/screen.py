"""A terminal as a person would see it, by pyte.

Each line of standard input is a command; `show` is answered with one line of JSON:

    feed HEX        what the program has written
    size COLS ROWS
    show
"""

import codecs
import json
import sys

import pyte

from seat import CELLLESS


def main():
    columns, rows = int(sys.argv[1]), int(sys.argv[2])
    screen = pyte.HistoryScreen(columns, rows, history=1000, ratio=0.5)
    stream = pyte.Stream(screen)
    decoder = codecs.getincrementaldecoder("utf-8")()
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "feed":
            text = decoder.decode(bytes.fromhex(arguments[0]))
            stream.feed(text.translate(CELLLESS))
        elif command == "size":
            screen.resize(columns=int(arguments[0]), lines=int(arguments[1]))
        elif command == "show":
            above = ["".join(row[at].data for at in range(screen.columns)).rstrip()
                     for row in screen.history.top]
            shown = {
                "above": above,
                "rows": [row.rstrip() for row in screen.display],
                "cursor": [screen.cursor.x, screen.cursor.y],
            }
            print(json.dumps(shown), flush=True)


main()
