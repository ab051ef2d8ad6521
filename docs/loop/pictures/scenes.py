"""What the pictures of the tour show, each taken from a run of the relay.

A picture shows the same numbers at each run. So a scene never depends on time: the relay is stopped
(SIGSTOP), the clients do what they do, and the relay goes on (SIGCONT). It then finds all of it at
once. Every wait is for something that happens.
"""

import fcntl
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/python"))
import children  # noqa: E402

PATIENCE = 120  # seconds for one thing to happen; a scene in which it takes longer has failed
STATES = {1: "ESTABLISHED", 2: "SYN-SENT"}  # include/net/tcp_states.h


def until(happens, what):
    """Waits until `happens` returns something, and returns that."""
    ends = time.monotonic() + PATIENCE
    while not (found := happens()):
        if time.monotonic() > ends:
            sys.exit(f"this did not happen within {PATIENCE} s: {what}")
        time.sleep(0.005)
    return found


def arrived(mine):
    """Waits until the other kernel has all that was sent: nothing is unacknowledged (tcp(7), SIOCOUTQ)."""
    unsent = lambda: int.from_bytes(fcntl.ioctl(mine, termios.TIOCOUTQ, bytes(4)), sys.byteorder)  # noqa: E731
    until(lambda: unsent() == 0, "what was sent arrives")


class Relay:
    """`sealwax serve`, which tells each tick as JSON."""

    def __init__(self, program, *options):
        command = [program, "serve", "--ephemeral", "--quiet", "--listen", "127.0.0.1:0",
                   "--register-timeout", "600", "--trace=json", *options]
        self.ticks = []
        self.process = children.start(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      text=True)
        said = []
        for line in self.process.stderr:
            said.append(line)
            if found := re.match(r"listening on .*:(\d+)$", line):
                self.port = int(found[1])
                break
        else:
            sys.exit("the relay does not listen: " + "".join(said))
        threading.Thread(target=self.listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def listen(self):
        for line in self.process.stderr:
            if line.startswith('{"'):
                self.ticks.append(json.loads(line))

    def stop(self):
        """The relay runs no further; its kernel goes on."""
        os.kill(self.process.pid, signal.SIGSTOP)
        threads = Path(f"/proc/{self.process.pid}/task")
        state = lambda thread: (thread / "stat").read_text().rsplit(")", 1)[1].split()[0]  # noqa: E731
        until(lambda: all(state(thread) == "T" for thread in threads.iterdir()), "the relay stops")

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def steps(self, since=0):
        """All calls from the tick with this place on."""
        return [step for tick in list(self.ticks)[since:] for step in tick["steps"]]

    def until_step(self, fits, what, count=1, since=0):
        """Waits until so many steps fit."""
        until(lambda: sum(1 for step in self.steps(since) if fits(step)) >= count, what)

    def connect(self):
        mine = socket.socket()
        mine.connect(("127.0.0.1", self.port))  # the kernel answers, also while the relay is stopped
        mine.settimeout(PATIENCE)
        mine.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return mine

    def join(self, name):
        """A new connection that the relay has accepted: the socket, and the relay's source."""
        mine = self.connect()
        return mine, self.accepted(mine, name)

    def accepted(self, mine, name):
        peer = "{}:{}".format(*mine.getsockname())
        fits = lambda step: step.get("accepted") == peer  # noqa: E731
        self.until_step(fits, f"the relay accepts {name}")
        return next(step["source"] for step in self.steps() if fits(step))

    def interests(self):
        """The kernel's own list: descriptor to the 64 bits that come back with its events."""
        folder = Path(f"/proc/{self.process.pid}")
        for link in (folder / "fd").iterdir():
            if "eventpoll" in os.readlink(link):
                text = (folder / "fdinfo" / link.name).read_text()
                found = re.findall(r"tfd: +(\d+) .*?data: +([0-9a-f]+)", text)
                if len(found) > 2:  # the other instance is asked by the program's own threads
                    return {int(fd): int(data, 16) for fd, data in found}
        sys.exit("the relay has no epoll instance")


    def own(self):
        """The sources that are no connections, in the order of their slots: (name, slot, descriptor)."""
        found = {it["source"]: (it["name"].split(" 127.")[0], it["source"], it["fd"])
                 for tick in list(self.ticks) for it in tick["sources"] if it["kind"] != "socket"}
        return [found[slot] for slot in sorted(found)]


def calls(tick, names):
    """The reads of a tick: who, and how many bytes."""
    return [(names[step["source"]], step["bytes"]) for step in tick["steps"]
            if step.get("call") == "read"]


def ready_list(program):
    """Three clients send at the same time; one sends more than a read takes. Level, then edge."""
    runs = {}
    for trigger in ("level", "edge"):
        with Relay(program, "--trigger", trigger) as relay:
            clients, names = [], {}
            for name in ("alice", "bob", "carol"):
                mine, source = relay.join(name)
                if trigger == "edge":  # its first event tells that it can be written
                    until(lambda: any(event["source"] == source for tick in list(relay.ticks)  # noqa: B023
                                      for event in tick["events"]), f"{name} can be written")
                clients.append(mine)
                names[source] = name
            relay.stop()
            since = len(relay.ticks)
            for mine, bytes_ in zip(clients, (20_000, 200, 200)):
                mine.sendall(b" " * bytes_)  # white space between frames: the relay has no answer
                arrived(mine)
            relay.go_on()
            total = lambda: sum(count for tick in list(relay.ticks)[since:]  # noqa: E731
                                for _, count in calls(tick, names))
            until(lambda: total() == 20_400, "the relay reads all bytes")
            ticks = [tick for tick in list(relay.ticks)[since:] if tick["steps"]]
            runs[trigger] = [{
                "waits": "0" if tick["timeout_ns"] == 0 else "sleeps",
                "returned": [names[event["source"]] for event in tick["events"]],
                "reads": calls(tick, names),
                "own": [names[it["source"]] for it in tick["next"]["ready"]],
            } for tick in ticks]
    return runs


def token(program):
    """Bob leaves, and carol gets his descriptor and his slot, but not his token."""
    with Relay(program) as relay:
        names, found = {}, {}

        def stands(name, source):
            tick = next(tick for tick in reversed(relay.ticks)
                        if any(it["source"] == source and it["state"] == "Open" for it in tick["sources"]))
            it = next(it for it in tick["sources"] if it["source"] == source)
            bits = relay.interests()[it["fd"]]
            assert bits == it["generation"] << 32 | source, "the token's bits are these"
            found[name] = {"fd": it["fd"], "slot": source, "generation": it["generation"], "bits": bits}

        for name in ("alice", "bob"):
            names[name] = relay.join(name)
            stands(name, names[name][1])
        names["bob"][0].close()
        relay.until_step(lambda step: step.get("told") == "closed", "the relay closes bob")
        assert found["bob"]["fd"] not in relay.interests()
        names["carol"] = relay.join("carol")
        stands("carol", names["carol"][1])
        found["own"] = relay.own()
        return found


def queue_of(port):
    """How many connections wait in the backlog of the listener on this port (proc_pid_net(5))."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
                return int(fields[4].split(":")[1], 16)
    return None


def has_file(port, client):
    """Whether a descriptor belongs to the connection from `client`: its row has an inode."""
    def row():
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                fields = line.split()
                if fields[1].endswith(f":{port:04X}") and fields[2].endswith(f":{client:04X}"):
                    return fields
        return None
    fields = until(row, f"a connection from port {client}")
    assert fields[3] == "01", "it is established"
    return fields[9] != "0"


def info(of):
    """(state, connections in the backlog of a listener): tcp(7), TCP_INFO."""
    raw = of.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return raw[0], int.from_bytes(raw[24:28], sys.byteorder)


def backlog(program):
    """Clients of a relay that does not run yet, and a backlog that is full."""
    with Relay(program) as relay:
        relay.stop()
        since = len(relay.ticks)
        clients = [relay.connect() for _ in range(3)]
        clients[0].sendall(b" " * 200)
        arrived(clients[0])
        until(lambda: queue_of(relay.port) == len(clients), "the backlog has all clients")
        ports = [mine.getsockname()[1] for mine in clients]
        waiting = [{"state": STATES[info(mine)[0]], "has_file": has_file(relay.port, port)}
                   for mine, port in zip(clients, ports)]
        relay.go_on()
        relay.until_step(lambda step: step.get("call") == "read" and step["bytes"] == 200,
                         "the relay reads what the first client sent", since=since)
        accepts = [step.get("opened_fd", step.get("errno")) for step in relay.steps(since)
                   if step.get("call") == "accept4"]
        ticks = {tick["tick"] for tick in list(relay.ticks)[since:] for step in tick["steps"]
                 if step.get("call") == "accept4"}
        assert len(ticks) == 1, "all in one tick"
        after, own = queue_of(relay.port), relay.own()
        assert all(has_file(relay.port, port) for port in ports)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(2)]
    until(lambda: info(listener)[1] == 2, "the backlog is full")
    late = socket.socket()
    late.setblocking(False)
    late.connect_ex(listener.getsockname())
    before = STATES[info(late)[0]]
    listener.accept()[0].close()
    select.select([], [late], [], PATIENCE)
    assert STATES[info(late)[0]] == "ESTABLISHED", "it gets in when there is room"
    for mine in (*clients, late, listener):
        mine.close()
    return {"waiting": waiting, "accepts": accepts, "after": after, "own": own, "full": 2,
            "late": before}


class Secured:
    """A client with TLS; nothing of it is a secret, so it checks no certificate."""

    def __init__(self, relay):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        plain = relay.connect()
        self.source = relay.accepted(plain, "a client")
        self.socket = context.wrap_socket(plain)
        self.lines = self.socket.makefile("rb")

    def send(self, frame):
        """One record of TLS."""
        self.socket.sendall(frame if isinstance(frame, bytes) else json.dumps(frame).encode())

    def hear(self, action):
        heard = json.loads(self.lines.readline())
        assert heard["action"] == action, heard


def engine(program):
    """Three records in and one out; and a record of which a read brings a part."""
    pem = (ROOT / "tests/data/public-alice.pem").read_text(encoding="ascii")
    with Relay(program) as relay:
        users = []
        for name in ("alice", "bob"):
            user = Secured(relay)
            user.send({"action": "register", "name": name, "pubkey": pem, "roster": "none"})
            user.send({"action": "ping"})
            user.hear("pong")
            users.append(user)
        stranger = Secured(relay)
        alice, bob = users
        stranger.send(b" ")
        shown = lambda step: (step["shown"] if step.get("told") == "received"  # noqa: E731
                              and step["source"] == stranger.source else 0)
        relay.until_step(lambda step: shown(step) == 1, "the relay opens the stranger's first record")
        relay.stop()
        since = len(relay.ticks)
        for number in range(3):
            alice.send({"action": "message", "to": "bob", "content": f"number {number}"})
        arrived(alice.socket)
        relay.go_on()
        for _ in range(3):
            bob.hear("message")
        relay.until_step(lambda step: step.get("call") == "writev" and step["source"] == bob.source,
                         "the relay writes to bob", since=since)
        together = relay.steps(since)
        relay.stop()
        since = len(relay.ticks)
        stranger.send(b" " * 16_384)
        arrived(stranger.socket)
        relay.go_on()
        until(lambda: sum(map(shown, relay.steps(since))) == 16_384, "all of the record is shown")
        within = [tick for tick in list(relay.ticks)[since:] if tick["steps"]]
        return {"together": together, "within": within, "names": (alice.source, bob.source)}
