"""Makes pictures of the program's screens, each from a real run on a terminal in memory.

    pictures.py SEALWAX [--check] [PICTURE…]

A picture is an SVG with the text of the screen in it, so that it can be searched, copied and read
aloud. With --check nothing is written: what the pictures say is compared with what the program shows
now. Numbers, units, times, keys, the order and the spaces between columns may differ.
"""

import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from html import escape
from pathlib import Path

import children
from seat import Seat

PICTURES_IN = Path(__file__).resolve().parent.parent.parent / "docs/pictures"
# A cell of the screen, in pixels.
WIDTH, HEIGHT, SIZE = 8.4, 18, 14
MARGIN = 14
BACK, FRONT = "#16181d", "#d8dee4"
COLOURS = {"black": "#3b4048", "red": "#f07178", "green": "#8bd49c", "brown": "#e6c07b", "blue": "#6cb6ff",
           "magenta": "#d2a6ff", "cyan": "#73d0d0", "white": "#e6e6e6", "brightblack": "#7d8590",
           "brightred": "#ff8b92", "brightgreen": "#a6e3b4", "brightbrown": "#ffd98e",
           "brightyellow": "#ffd98e", "brightblue": "#94caff", "brightmagenta": "#e2c5ff",
           "brightcyan": "#95e6e6", "brightwhite": "#ffffff"}


def colour(name, otherwise):
    if name == "default":
        return otherwise
    return COLOURS.get(name, f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else otherwise)


def runs(line, columns):
    """Cells side by side that look the same: (column, cells, text, front, back, bold)."""
    found = []
    for column in range(columns):
        cell = line[column]
        front, back = colour(cell.fg, FRONT), colour(cell.bg, BACK)
        if cell.reverse:
            front, back = back, front
        look = (front, back, cell.bold)
        if found and found[-1][3:] == look:
            at, cells, text = found[-1][:3]
            found[-1] = (at, cells + 1, text + cell.data, *look)
        else:
            found.append((column, 1, cell.data, *look))
    return found


def svg(seat, title):
    screen = seat.screen
    width, height = screen.columns * WIDTH + 2 * MARGIN, screen.lines * HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACK}"/>',
        f'<g font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" '
        f'font-size="{SIZE}" xml:space="preserve">',
    ]
    for row in range(screen.lines):
        top = MARGIN + row * HEIGHT
        for column, cells, text, front, back, bold in runs(screen.buffer[row], screen.columns):
            left = MARGIN + column * WIDTH
            if back != BACK:
                parts.append(f'<rect x="{left:.1f}" y="{top}" width="{cells * WIDTH:.1f}" '
                             f'height="{HEIGHT}" fill="{back}"/>')
            if text.strip():
                weight = ' font-weight="bold"' if bold else ""
                parts.append(f'<text x="{left:.1f}" y="{top + SIZE}" textLength="{cells * WIDTH:.1f}" '
                             f'fill="{front}"{weight}>{escape(text)}</text>')
    return "\n".join([*parts, "</g>", "</svg>", ""])


def words(picture):
    """What a picture says, without what differs from run to run, in any order."""
    said = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", picture))
    said = re.sub(r"SHA256:[A-Za-z0-9_-]+…?|[A-Za-z0-9_-]{20,}…?", "KEY", said)
    said = re.sub(r"[▁▂▃▄▅▆▇█]+", "", said)
    said = re.sub(r"\d+([.,:]\d+)*", "0", said)
    said = re.sub(r"\b[KMGT]iB\b", "B", said)  # a unit is a part of its number
    return sorted(said.split())


@contextmanager
def relay(sealwax, home):
    """A relay with a home; its address."""
    command = [sealwax, "serve", "--listen", "127.0.0.1:0", "--home", str(home)]
    process = children.start(command, stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr.readline, "")
        listening = (re.search(r"listening on (\S+)", line) for line in lines)
        yield next(found[1] for found in listening if found)
    finally:
        process.kill()
        process.wait()


def person(sealwax, name, address, columns, rows, *arguments):
    """Somebody in `chat`, once the relay has let them in."""
    command = [sealwax, "chat", "--name", name, "--home", name, "--relay", address]
    seat = Seat([*command, *arguments], columns, rows)
    return seat.until(lambda seat: any("connected" in line for line in seat.lines()))


def demo(sealwax, home):
    """sealwax demo: two users talk, and what their relay reads and could see"""
    del home
    with Seat([sealwax, "demo", "--fast"], 110, 44) as seat:
        # Not until the first words of its last line: the terminal can be read in the middle of a line.
        seat.until_it_ends()
        return svg(seat, demo.__doc__)


def chat(sealwax, home):
    """sealwax chat: lines that scroll, and below them a status and the line that is being written"""
    with relay(sealwax, home / "relay") as address:
        with person(sealwax, "bob", address, 108, 18) as bob, \
             person(sealwax, "alice", address, 80, 20, "bob") as alice:
            alice.type("are you there?\r")
            bob.until("are you there?").type("\r")
            bob.until("to alice").type("Yes. Only you can read this.\r")
            bob.until("✓ → alice")
            alice.until("Only you").type("سلام، می‌خواهم 👨‍👩‍👧\r")
            bob.type("and while I am writing this")
            bob.until("writing this")
            alice.type("a message comes in above your line\r")
            bob.until("above your line")
            return svg(bob, chat.__doc__)


def screen(sealwax, home):
    """sealwax chat --screen: who is here, one conversation at a time, the status, the line"""
    with relay(sealwax, home / "relay") as address:
        with person(sealwax, "alice", address, 100, 20, "--screen") as alice, \
             person(sealwax, "bob", address, 80, 20, "alice") as bob, \
             person(sealwax, "carol", address, 80, 20, "alice") as carol:
            bob.type("lunch at one?\r")
            alice.until("1 unread").type("\r").until("lunch")
            alice.until("to bob").type("One is good.\r")
            alice.until("One is good.")
            bob.until("One is good.")
            carol.type("did you see the figures?\r")
            carol.until("✓").type("they are in the usual place\r")
            carol.until(lambda seat: sum("✓" in line for line in seat.lines()) == 2)
            bob.type("see you there\r")
            alice.until("see you there").until(lambda seat: any("carol" in line and "2" in line for line in seat.lines()))
            return svg(alice, screen.__doc__)


def top(sealwax, home):
    """sealwax top: the rates of a relay, its loop, its users and its log"""
    with relay(sealwax, home / "relay") as address:
        with person(sealwax, "bob", address, 80, 20) as bob, \
             person(sealwax, "alice", address, 80, 20, "bob") as alice, \
             Seat([sealwax, "top", "--home", str(home / "relay")], 120, 32) as seat:
            seat.until("alice").until("bob")
            for number in range(5):
                alice.type(f"number {number}\r")
                bob.until(f"number {number}")
            seat.until("12 so far")  # five texts, their receipts, two keys of sessions
            return svg(seat, top.__doc__)


PICTURES = {"demo": demo, "chat": chat, "screen": screen, "top": top}


def main():
    sealwax, *arguments = sys.argv[1:]
    sealwax = str(Path(sealwax).resolve())
    checks = "--check" in arguments
    chosen = [name for name in arguments if name != "--check"] or list(PICTURES)
    outdated = []
    for name in chosen:
        file = PICTURES_IN / f"{name}.svg"
        with tempfile.TemporaryDirectory() as home:
            os.chdir(home)  # homes are shown by their names
            made = PICTURES[name](sealwax, Path(home))
        if not checks:
            file.write_text(made)
            print(f"{file.name}: made", file=sys.stderr)
        elif not file.exists() or words(file.read_text()) != words(made):
            outdated.append(file.name)
    if outdated:
        print(f"out of date: {', '.join(outdated)}; make them with docs/pictures/run", file=sys.stderr)
    sys.exit(1 if outdated else 0)


if __name__ == "__main__":
    main()
