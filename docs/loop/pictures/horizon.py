"""Chapter 9: a stop of the process, and which deadlines pass.

What happens in it comes from a test on the kernel in memory (tests/reactor/waits.rs compares
horizon.json with a run). What a loop without the horizon would do follows from the clock of the
same run; the planted fault `clock-for-horizon` is such a loop.
"""

from drawing import Drawing, table

LEFT, SCALE = 150, 8  # pixels: where the time line begins, and a second


def told(ticks, due, bar):
    """Whose deadlines each tick tells, where one passes once `bar` of a tick has reached it."""
    running, lists = {}, []
    for tick in ticks:
        for name, _ in tick["reads"]:
            if name in running:
                del running[name]  # the rest of the frame
            else:
                running[name] = due
        lists.append([name for name, at in running.items() if at <= bar(tick)])
        running = {name: at for name, at in running.items() if name not in lists[-1]}
        if not running:
            return lists  # nobody is left
    return lists


def horizon(run):
    ticks, due, (begins, ends) = run["ticks"], run["length"], run["stopped"]
    first, interrupted, last = ticks
    seen = 0
    for tick in ticks:  # `Horizon::looked`, which an interrupted wait does not call
        seen = tick["seen"] = seen if tick["events"] is None else tick["asked"]
    by_clock = told(ticks, due, lambda tick: tick["clock"])
    by_horizon = told(ticks, due, lambda tick: tick["seen"])
    assert by_horizon == [tick["timed_out"] for tick in ticks], "the run follows the rule"
    assert interrupted["events"] is None and first["due"] == due < ends == last["clock"]
    [early], names = last["open"], first["open"]
    [late] = [name for name in names if name != early]
    assert by_clock == [[], names] and by_horizon == [[], [], [late]]
    half, rest = (dict(tick["reads"])[early] for tick in (first, last))
    sent = max(at for name, at in run["sent"] if name == early)
    drawing = Drawing(
        "Deadlines that pass while the process is stopped",
        f"{early} and {late} have sent half a frame; both deadlines are due at {due} s. The process is "
        f"stopped from {begins} s to {ends} s, and {early} sends the rest at {sent} s. A loop that asks "
        f"the clock would tell both deadlines. With the horizon only that of {late} is told.", 552)
    at = lambda second: LEFT + second * SCALE  # noqa: E731

    drawing.text(20, 30, f"A stop of {ends - begins} s in the middle of two frames", "bold")
    for second in range(0, ends + 1, 10):
        drawing.text(at(second), 58, f"{second} s", "small faint", 60, "middle")
        drawing.line((at(second), 64), (at(second), 70))
    drawing.line((at(0), 70), (at(ends) + 60, 70))
    drawing.text(20, 97, "the process", "small", 120)
    drawing.box(at(0), 78, at(begins) - at(0), 28, "plain", "sleeps")
    drawing.box(at(begins), 78, at(ends) - at(begins), 28, "gone")
    drawing.box(at(ends), 78, 60, 28, "plain", "runs")
    drawing.text(at(0), 122, "tick 1", "small faint", 60)
    drawing.text(at(ends), 122, "ticks 2, 3", "small faint", 90)
    drawing.text((at(begins) + at(ends)) / 2, 122, "stopped: it makes no call", "small faint", 300, "middle")
    for row, name in enumerate(names):
        y = 136 + row * 58
        drawing.text(20, y + 19, name, "small", 120)
        drawing.box(at(0), y, 84, 28, name, f"{half} bytes")
        drawing.line((at(0), y + 36), (at(due), y + 36), (at(due), y + 31), (at(due), y + 41))
        drawing.text(at(due) + 8, y + 40, f"deadline: {due} s", "small", 150)
        if name == early:
            drawing.box(at(sent), y, 78, 28, name, f"{rest} bytes")
            drawing.text(at(sent) + 86, y + 19, "the rest, which waits in the kernel", "small", 250)
        else:
            drawing.text(at(sent), y + 19, "no more comes", "small", 220)
    columns = (20, 64, 190, 334, 540)

    def panel(y, heading, rule, rows):
        drawing.line((20, y), (660, y))
        drawing.text(20, y + 24, heading, "bold")
        for x, words in zip(columns, ("tick", "epoll_wait", "read", rule, "timed_out")):
            drawing.text(x, y + 48, words, "small faint")
        for row, (number, tick, bar, names_told) in enumerate(rows):
            low = y + 58 + row * 36
            events = "= EINTR" if tick["events"] is None else f"= {tick['events']}: {early}"
            drawing.text(columns[0], low + 18, str(number), "code", 36)
            drawing.text(columns[1], low + 18, events, "code", 120)
            for place, (name, count) in enumerate(tick["reads"]):
                drawing.box(columns[2] + place * 70, low, 64, 26, name, str(count), "code")
            if not tick["reads"]:
                drawing.text(columns[2], low + 18, "none", "small faint")
            drawing.text(columns[3], low + 18, f"{bar} s {'≥' if bar >= due else '<'} {due} s", "code", 200)
            for place, name in enumerate(names_told):
                drawing.box(columns[4] + place * 62, low, 56, 26, name, name)
            if not names_told:
                drawing.text(columns[4], low + 18, "nobody", "small faint")

    panel(262, "Without the horizon: the clock decides", "the clock",
          [(2, interrupted, interrupted["clock"], by_clock[1])])
    drawing.text(20, 374, f"The handler is told of {early}, though all of her frame was there {due - sent} s "
                 "before the deadline.", "small")
    panel(392, "With the horizon: first what was ready is dispatched", "all seen up to",
          [(number, tick, tick["seen"], tick["timed_out"]) for number, tick in ((2, interrupted), (3, last))])
    drawing.text(20, 536, f"In tick 3 {early}’s frame is whole, so her deadline ends before deadlines are told.", "small")
    reads = lambda tick: ", ".join(f"{name} {count}" for name, count in tick["reads"]) or "none"  # noqa: E731
    waits = lambda tick: "`EINTR`" if tick["events"] is None else f"{tick['events']} events"  # noqa: E731
    listed = lambda names: ", ".join(names) or "nobody"  # noqa: E731
    rows = [[number, waits(tick).replace("1 events", "1 event"), reads(tick), f"{tick['clock']} s", f"{tick['seen']} s",
             listed(by_clock[number - 1]) if number <= len(by_clock) else "(nobody is left)", listed(tick["timed_out"])]
            for number, tick in enumerate(ticks, 1)]
    words = f"""At 0 s {' and '.join(names)} have each sent {half} bytes, half a frame. The loop reads them in tick 1, so both `Frame` deadlines are due at {due} s. The process is
stopped from {begins} s to {ends} s. At {sent} s {early} sends the rest, {rest} bytes, which wait in the kernel; {late} sends nothing more. At {ends} s the process goes on.

{table(["tick", "`epoll_wait`", "`read`, bytes", "the clock then", "all seen up to", "`timed_out` without the horizon", "`timed_out` with it"], *rows)}

Without the horizon the loop compares a deadline with the clock. In tick 2 the wait was interrupted and has looked at no source, but the clock says {ends} s: the handler
is told of both, of {early} too, though her frame was whole {due - sent} s before the deadline. With the horizon the loop compares it with the instant up to which all has been
seen: {interrupted['seen']} s in tick 2. Tick 3 does not sleep, and asks the kernel at {last['asked']} s: it returns {early}, whose frame is whole, and then the handler is told of {late} only.

The numbers are those of `the_stop_of_the_picture_is_a_real_one` in `tests/reactor/waits.rs`. `tests/faults/clock-for-horizon.patch` makes the loop one without the
horizon, and that test fails."""
    return drawing, words
