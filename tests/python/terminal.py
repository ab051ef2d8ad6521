"""Runs a command on a terminal of its own, waits for words and types answers.

Usage: terminal.py '[["what to wait for", "what to type"], ...]' COMMAND...
Prints all that the terminal showed, and ends with the command's exit code.
"""

import json
import os
import pty
import sys


def main():
    dialogue = [(words.encode(), answer.encode()) for words, answer in json.loads(sys.argv[1])]
    command = sys.argv[2:]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], command)
    shown, looked_at = b"", 0
    while True:
        try:
            some = os.read(terminal, 4096)
        except OSError:  # EIO: the other side is gone (pty(7))
            break
        shown += some
        while dialogue and (place := shown.find(dialogue[0][0], looked_at)) >= 0:
            words, answer = dialogue.pop(0)
            looked_at = place + len(words)
            os.write(terminal, answer)
    sys.stdout.buffer.write(shown)
    sys.stdout.flush()
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


main()
