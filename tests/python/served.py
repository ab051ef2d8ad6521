"""A server of ours on a processor of its own, for whoever measures it."""

import os
import re
import resource
import subprocess
from pathlib import Path

import children

# Processors: the target's and everybody else's.
TARGET, OWN = (sorted(os.sched_getaffinity(0)) * 2)[:2]


class Server:
    """A process of ours that listens, on the target's processor; ended at the end."""

    def __init__(self, *command):
        os.sched_setaffinity(0, {TARGET})
        self.process = children.start(command, stderr=subprocess.PIPE, text=True)
        os.sched_setaffinity(0, {OWN})
        self.pid = self.process.pid
        for line in self.process.stderr:
            if found := re.match(r"listening on (\S+)", line):
                self.address = found[1]
                return
        raise SystemExit(f"{command} does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def cpu(self):
        """Seconds of processor time so far."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def memory(self):
        """The most resident memory that it has had, in bytes (proc(5))."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def be_nice(value):
    """Gives us, and what we start, this nice value below 0, or the one 20 above it where that is not allowed: in a
    session of our own, for the kernel shares processors between sessions first (sched(7), autogroup)."""
    try:
        os.setsid()
    except PermissionError:
        pass  # we lead a group already
    for nice in [value, value + 20]:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, nice)
            return Path("/proc/self/autogroup").write_text(str(nice))
        except OSError:
            pass


def raise_limit(wanted=0):
    """As many descriptors as this process, and what it starts, may have: `wanted` where root may go beyond the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in [max(hard, wanted), hard]:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
        except (PermissionError, ValueError):
            pass
    return hard
