"""Chapter 10: the states of a connection, and what leads from each to the next.

Each arrow names the functions of src/reactor that make the change. `source` finds every function
that does so, and every state: one that is not drawn, or is drawn and is not there, is an error.
"""

import re
from pathlib import Path

from drawing import Drawing, table

REACTOR = Path(__file__).resolve().parent.parent.parent.parent / "src/reactor"
# What changes a state: one is assigned, or given to a new connection, or `die`, `abort` or `close` is called.
CHANGES = re.compile(r"\.state = |State::\w+, (?:self\.context\.trigger|Asked)|\bdie\(|\babort\(|\bcontext\.close\(")
# (from, to, what brings it about, the functions that do it)
ARROWS = [
    ("", "Connecting", "the handler calls `connect`", ["connect"]),
    ("", "Open", "`accept4` returned a connection; or the handler calls `listen` or `open`",
     ["accept_one", "listen", "open"]),
    ("Connecting", "Open", "an event came, and `getsockopt(SO_ERROR)` tells no error", ["establish"]),
    ("Connecting", "Dead", "`SO_ERROR` tells an error, or `connect` failed at once; or the handler calls `close`",
     ["establish", "open_asked", "close"]),
    ("Open", "Closing", "the handler calls `close`; or an input of the process (no socket) has ended", ["close", "end"]),
    ("Closing", "Lingering", "all is written; then `shutdown(SHUT_WR)`", ["finish_if_flushed"]),
    ("Closing", "Dead", "all is written, and there is nothing to linger for: the other end has ended already, it is no "
     "socket, it was not opened yet, or `shutdown` failed", ["finish_if_flushed", "open_asked"]),
    ("Closing", "Dead", "the `Finish` deadline has passed, {finish} s after `close`", ["tell_deadlines"]),
    ("Lingering", "Dead", "`read` = 0: the other end has closed", ["end"]),
    ("Lingering", "Dead", "the `Finish` deadline has passed, {finish} s after `close`", ["tell_deadlines"]),
    ("any", "Dead", "the handler calls `abort`", ["abort"]),
    ("any", "Dead", "a call for it has failed: `read`, `writev`, `epoll_ctl`; or it showed a hang-up and is not to be read",
     ["read", "read_wire", "flush", "write_sealed", "install", "rearm", "ask_if_broken"]),
]


def source(_program):
    """The states, the functions that change one, and how long `Finish` is, as the source has them."""
    changing = set()
    for file in sorted(REACTOR.glob("*.rs")):
        function = None
        for line in file.read_text(encoding="utf-8").split("#[cfg(test)]\nmod ")[0].splitlines():
            code = line.split("//")[0]
            if found := re.match(r" *(?:pub(?:\([a-z]+\))? )?(?:const )?fn (\w+)", code):
                function = found[1]
                code = code[found.end():]
                code = code if "{" in code else ""
            if CHANGES.search(code):
                changing.add(function)
    connection = (REACTOR / "connection.rs").read_text(encoding="utf-8")
    states = re.findall(r"^    (\w+)", re.search(r"enum State \{\n(.*?)\n\}", connection, re.S)[1], re.M)
    limits = (REACTOR / "limits.rs").read_text(encoding="utf-8")
    finish = re.search(r"FINISH_TIMEOUT: Duration = Duration::from_secs\((\d+)\)", limits)[1]
    return {"states": states, "changing": changing - {"die"}, "finish": finish}


def states(found):
    drawn = {name for *_, functions in ARROWS for name in functions}
    assert drawn == found["changing"], f"drawn or in the source: {sorted(drawn ^ found['changing'])}"
    ends = {state for arrow in ARROWS for state in arrow[:2]} - {"", "any"}
    assert ends == set(found["states"]), f"drawn or in the source: {ends ^ set(found['states'])}"
    finish = found["finish"]
    drawing = Drawing(
        "The states of a connection, from Open to Dead",
        "A connection is Open until the handler closes it; Closing until all is written; Lingering until the "
        "other end has closed; and Dead until the end of the tick. From each state a shorter way leads to Dead.",
        596)
    left, wide, high, dead, step = 150, 126, 44, 560, 130
    rows = {state: 24 + step * place for place, state in enumerate(found["states"][:-1])}
    last = found["states"][-1]
    looks = {"Connecting": "plain", "Open": "carol", "Closing": "bob", "Lingering": "alice"}
    for state, y in rows.items():
        drawing.box(left, y, wide, high, looks[state], state, "bold")
    below = rows["Lingering"] + high
    drawing.box(dead, rows["Connecting"], 96, below - rows["Connecting"], "empty", last, "bold")

    shown = set()

    def enters(state, *lines):
        shown.add(("", state))
        y = rows[state] + high / 2
        drawing.arrow((118, y), (left - 3, y))
        for place, words in enumerate(lines):
            drawing.text(20, y + 5 + 18 * (place - (len(lines) - 1) / 2), words, "code", 96)

    def down(state, *lines):
        shown.add((state, found["states"][found["states"].index(state) + 1]))
        x, y = left + wide / 2, rows[state] + high
        drawing.arrow((x, y), (x, y + step - high - 3))
        for place, (words, look) in enumerate(lines):
            drawing.text(x + 10, y + 30 + 18 * place, words, look, 260)

    def dies(state, above, under):
        shown.add((state, last))
        y = rows[state] + high / 2
        drawing.arrow((left + wide, y), (dead - 3, y))
        drawing.text(left + wide + 10, y - 8, above, "small", dead - left - wide - 20)
        drawing.text(left + wide + 10, y + 20, under, "small", dead - left - wide - 20)

    enters("Connecting", "connect")
    enters("Open", "accept4,", "listen, open")
    dies("Connecting", "SO_ERROR tells an error", "the handler calls close")
    down("Connecting", ("an event, and no error:", "small"), ("getsockopt(SO_ERROR) = 0", "code"))
    dies("Open", "a call failed: read, writev, epoll_ctl", "the handler calls abort")
    down("Open", ("the handler calls close", "small"), (f"(the Finish deadline begins: {finish} s)", "small faint"))
    dies("Closing", "all is written, nothing to linger for", f"Finish has passed: {finish} s after close")
    down("Closing", ("all is written:", "small"), ("shutdown(SHUT_WR)", "code"))
    dies("Lingering", "read = 0: the other end has closed", f"Finish has passed: {finish} s after close")
    # From `Open` only that leads to `Dead` which leads there from any state.
    assert shown == {("Open" if of == "any" else of, to) for of, to, *_ in ARROWS}
    drawing.arrow((dead + 48, below), (dead + 48, below + 30))
    drawing.text(656, below + 46, "end of the tick: close(2), and the handler is told (closed)", "small", 520, "end")
    drawing.text(20, below + 86, "A failed call and abort lead to Dead from each other state too.", "small")
    drawing.text(20, below + 106, "When a read returns 0, a socket stays Open: the handler is told (ended) and decides.",
                 "small")
    rows = [[f"`{of}`" if of[:1].isupper() else of or "(new)", f"`{to}`", why.format(finish=finish),
             ", ".join(f"`{name}`" for name in functions)] for of, to, why, functions in ARROWS]
    words = f"""{table(["from", "to", "what brings it about", "function"], *rows)}

`Dead` lasts until the end of the tick, when `reap` calls `close(2)` and tells the handler (`closed`). When a `read` returns 0, a socket stays `Open`:
the handler is told (`ended`) and decides. The table has every function in `src/reactor` that changes a state, itself or by `die`. `after_flush` chooses between
`Lingering` and `Dead`."""
    return drawing, words
