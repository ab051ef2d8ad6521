"""Children that end with us, however we end: `subprocess`, with the kernel's help.

A script that is killed with SIGKILL runs nothing any more. So the kernel is told beforehand to kill
the child when its parent ends (prctl(2), PR_SET_PDEATHSIG). The parent is the thread that starts it.
"""

import ctypes
import os
import signal
import subprocess

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None, use_errno=True)


def with_parent():
    """What the child does between fork and exec."""
    parent = os.getpid()

    def ask():
        if LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != parent:  # it had ended before: the signal would never come
            os._exit(1)

    return ask


def start(command, **options):
    """As subprocess.Popen."""
    return subprocess.Popen(command, preexec_fn=with_parent(), **options)


def run(command, **options):
    """As subprocess.run."""
    return subprocess.run(command, preexec_fn=with_parent(), **options)
