"""Runs a command on a terminal of its own, waits for words and types answers.

Usage: terminal.py '[["what to wait for", "what to type"], ...]' COMMAND...
Prints all that the terminal showed, and ends with the command's exit code.
"""

import fcntl
import json
import os
import select
import sys
import termios

import children

# Nothing that a command shows; written behind all that it has shown.
END = b"\0end of the screen\0"


def start(command):
    """The command on its terminal: its process, our end of the terminal, and the command's."""
    ours, theirs = os.openpty()
    ask = children.with_parent()
    child = os.fork()
    if child == 0:
        ask()
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        for stream in range(3):
            os.dup2(theirs, stream)
        os.closerange(3, theirs + 1)
        os.execv(command[0], command)
    return child, ours, theirs


def main():
    dialogue = [(words.encode(), answer.encode()) for words, answer in json.loads(sys.argv[1])]
    child, ours, theirs = start(sys.argv[2:])
    # The kernel passes on what was written to a terminal in its own time, and what has not got through
    # when the last descriptor on the other side is closed may be lost. So we hold one until we have seen
    # the end of it.
    ended = os.pidfd_open(child)
    shown, looked_at, status = b"", 0, None
    while END not in shown:
        ready, _, _ = select.select([ours] if status is not None else [ours, ended], [], [])
        if ended in ready:
            _, status = os.waitpid(child, 0)
            os.write(theirs, END)
        if ours not in ready:
            continue
        shown += os.read(ours, 4096)
        while dialogue and (place := shown.find(dialogue[0][0], looked_at)) >= 0:
            words, answer = dialogue.pop(0)
            looked_at = place + len(words)
            os.write(ours, answer)
    sys.stdout.buffer.write(shown.removesuffix(END))
    sys.stdout.flush()
    sys.exit(os.waitstatus_to_exitcode(status))


main()
