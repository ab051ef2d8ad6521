"""A terminal as a person would see it, by pyte.

Each line of standard input is a command; `show` is answered with one line of JSON:

    feed HEX        what the program has written
    size COLS ROWS  the rows are cut, as xterm does it
    wrap COLS       the rows are wrapped anew, as tmux does it
    show
"""

import codecs
import json
import sys

import pyte

from seat import CELLLESS


def wrap(screen, columns):
    """Gives the screen other columns: a row that is too long goes on in rows below it, and what finds
    no place goes to the lines above. Rows that were wrapped before stay so, and so do lines above."""
    rows, at = [], (0, 0)
    used = max([screen.cursor.y, *(y for y in screen.buffer if any(
        cell.data != " " or cell.reverse for cell in screen.buffer[y].values()))])
    for y in range(used + 1):
        cells = screen.buffer[y]
        written = [x for x in cells if cells[x].data != " " or cells[x].reverse]
        width = max([0, *(x + 1 for x in written)])
        for start in range(0, max(width, 1), columns):
            row = pyte.screens.StaticDefaultDict(screen.default_char)
            row.update({x - start: cells[x] for x in cells if start <= x < start + columns})
            if y == screen.cursor.y and start <= screen.cursor.x:
                at = (len(rows), min(screen.cursor.x - start, columns - 1))
            rows.append(row)
    gone = max(0, len(rows) - screen.lines)
    screen.history.top.extend(rows[:gone])
    screen.resize(columns=columns)
    screen.buffer.clear()
    screen.buffer.update(enumerate(rows[gone:]))
    screen.cursor.y, screen.cursor.x = at[0] - gone, at[1]


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
        elif command == "wrap":
            wrap(screen, int(arguments[0]))
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
