"""A person at a terminal: a program on a pseudo-terminal of a given size, and what its screen shows.

The screen is read by pyte, a terminal in memory. So what is looked at is what a person would see, not
the bytes that the program wrote.
"""

import codecs
import fcntl
import os
import select
import signal
import struct
import termios
import time

import pyte

import children

# How long something is waited for before it counts as missing, in seconds.
PATIENCE = 60
# pyte stops at characters that take no cell; a terminal shows nothing of these.
CELLLESS = dict.fromkeys(map(ord, "\u200c\u200d\u2068\u2069"))
# What has scrolled away and can still be looked at, in lines.
SCROLLBACK = 2000


class Seat:
    """`with Seat(command, columns, rows) as seat: seat.until("words"); seat.type("hello\\r")`."""

    def __init__(self, command, columns, rows, environment=()):
        self.screen = pyte.HistoryScreen(columns, rows, history=SCROLLBACK)
        self.stream = pyte.Stream(self.screen)
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.master, theirs = os.openpty()
        self.resize(columns, rows)
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **dict(environment)}
        ask = children.with_parent()
        self.child = os.fork()
        if self.child == 0:
            ask()
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
            for stream in range(3):
                os.dup2(theirs, stream)
            os.closerange(3, max(theirs, self.master) + 1)
            os.execvpe(command[0], command, environment)
        os.close(theirs)
        self.status = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def resize(self, columns, rows):
        """As a person does it with the window; the kernel sends SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def type(self, keys):
        data = keys.encode() if isinstance(keys, str) else keys
        while data:
            data = data[os.write(self.master, data):]
        return self

    def read(self, seconds):
        """Reads what comes within this time; whether the terminal still is there."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            shown = os.read(self.master, 65536)
        except OSError:  # EIO: nobody holds the other side any more
            return False
        self.stream.feed(self.decoder.decode(shown).translate(CELLLESS))
        return bool(shown)

    def until(self, words):
        """Reads until the screen shows these words, or `words(self)` holds."""
        is_there = words if callable(words) else lambda seat: any(words in line for line in seat.lines())
        deadline = time.monotonic() + PATIENCE
        while not is_there(self):
            if not self.read(0.1) or time.monotonic() > deadline:
                if is_there(self):
                    break
                raise AssertionError(f"never shown: {words!r}\n" + "\n".join(self.lines()))
        return self

    def until_it_ends(self):
        """Reads all that the program shows until it has ended."""
        deadline = time.monotonic() + PATIENCE
        while self.read(0.1):
            if time.monotonic() > deadline:
                raise AssertionError("it does not end\n" + "\n".join(self.lines()))
        return self

    def lines(self):
        """The lines of the screen, without the spaces at their ends."""
        return [line.rstrip() for line in self.screen.display]

    def scrolled(self):
        """The lines that have scrolled away at the top, the oldest first."""
        columns = range(self.screen.columns)
        return ["".join(line[at].data for at in columns).rstrip() for line in self.screen.history.top]

    def end(self):
        """Closes the terminal, as closing its window does, and waits for the program."""
        if self.status is None:
            os.close(self.master)
            deadline = time.monotonic() + PATIENCE
            while (waited := os.waitpid(self.child, os.WNOHANG))[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(self.child, signal.SIGKILL)
                    deadline = float("inf")
                time.sleep(0.01)
            self.status = os.waitstatus_to_exitcode(waited[1])
        return self.status
