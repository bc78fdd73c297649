"""Writes the report: verdicts and tables as Markdown; the same with plots as one HTML page."""

import os
import statistics

import cases
import limits
import plots
import programs
from collect import spread
from programs import OURS


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def number(value):
    return f"{value:.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def head(results):
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    gone = "".join(f"\n{peer} is not in it: {why}." for peer, why in programs.missing().items())
    return (
        f"{machine['date']}, commit {machine['commit']}, {results.get('mode', '')}. {machine['cpu']}, Linux "
        f"{machine['kernel']}, {machine['libc']}, {machine['rustc']}; load {machine['load']} when it ended.\n\n"
        f"{versions}.{gone}\n"
    )


def verdicts(results):
    rows = []
    for limit, text, verdict in limits.verdicts(results):
        against = limit.against or "-"
        if limit.unit == "more ns":
            against = "mio by hand"
        bound = f"{limit.limit:g} {limit.unit}".strip()
        mark = f"**{verdict}**" if verdict.startswith("missed") else verdict
        rows.append([limit.row, against, bound, text, mark])
    return table(["figure", "against", "limit", "measured", "verdict"], rows)


def cell(results, kind, case, peer, column):
    values = results.values(kind, case, peer, column)
    if not values:
        return "-"
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} ({number(min(values))}, {100 * spread(values):.0f} %)"


def times(results):
    """One row a case, one column a peer."""
    measured = results.get("time", {})
    peers = []
    for case in cases.TIME:
        peers += [peer for peer in measured.get(case, {}) if peer not in peers]
    order = ["floor", OURS, "loopline-callback", "loopline-task", *cases.TOKIO, "smol", "monoio", "compio", "glommio",
             "calloop", "mio", "libuv"]
    peers.sort(key=lambda peer: order.index(peer) if peer in order else len(order))
    rows = []
    for name, case in cases.TIME.items():
        for column, part in enumerate(case.columns or [""]):
            if name in measured:
                text = f"{case.text}{': ' * bool(part)}{part}"
                rows.append([text, *(cell(results, "time", name, peer, column) for peer in peers)])
    return table(["case", *peers], rows)


def simple(results, kind, rows_of, column=0):
    """One row a peer, one column a case."""
    measured = results.get(kind, {})
    found = [case for case in rows_of if case in measured]
    peers = []
    for case in found:
        peers += [peer for peer in measured[case] if peer not in peers]
    rows = [[peer, *(cell(results, kind, case, peer, column) for case in found)] for peer in peers]
    return table(["peer", *(rows_of[case] for case in found)], rows) if found else "not measured\n"


def ratios(results):
    rows = []
    for name, shape in cases.ECHO.items():
        raw = results.values("echo", name, "raw")
        for peer in cases.SERVERS:
            mine = results.values("echo", name, peer)
            if raw and mine:
                rows.append([shape.text, peer, f"{statistics.median(mine) / statistics.median(raw):.3f}",
                             f"{min(mine) / min(raw):.3f}"])
    return table(["case", "server", "median to raw epoll's", "minimum to raw epoll's"], rows)


def parts(results):
    counted = {name: cases.TIME[name].text for name in cases.COUNTED}
    echo = {name: shape.text for name, shape in cases.ECHO.items()}
    yield "Against the figures to reach", (
        "A figure is judged by the middle half of the ratios of interleaved rounds; where that reaches over the "
        "limit, by the minima of 10 rounds; where those are within 2 % of it, or rounds are too few, no "
        "conclusion is drawn: hidden by the spread.\n\n" + verdicts(results))
    yield "CPU time", (
        "ns of CPU per operation of the thread that is asked about: median (minimum, and how far the middle half "
        "reaches, in % of the median).\n\n" + times(results))
    yield "Echo and HTTP servers", (
        "ns of the server's CPU per request.\n\n"
        + simple(results, "echo", {**echo, "hyper hello": "hyper hello"}) + "\n" + ratios(results))
    yield "Instructions", (
        "User space, per operation, by callgrind: two runs of different length, subtracted. In a server per request, "
        "in the last column per connection.\n\n"
        + simple(results, "instructions", counted) + "\n"
        + simple(results, "instructions", {**echo, "hyper hello": "hyper hello"}))
    yield "System calls", (
        "Per request, the client pausing 1.5 ms after each round of answers; `churn` per connection, and of those "
        "`epoll_ctl`.\n\n"
        + simple(results, "syscalls", {**echo, "hyper hello": "hyper hello"}) + "\n"
        + simple(results, "syscalls", {"echo:churn": "epoll_ctl per connection"}, 1))
    yield "Callback and task on our own loop", (
        "From queued to user code, ns (minimum) and instructions; `signal` is what making the event known costs, "
        "`hand` a boxed closure by token.\n\n"
        + simple(results, "dispatch", {n: f"{n} sources" for n in ("16", "1000", "10000")}, 1) + "\n"
        + simple(results, "dispatch-instructions", {n: f"{n} sources" for n in ("16", "1000", "10000")}))
    yield "Memory", (
        "Bytes. A parked task beyond its future of 152 bytes: resident, and as the allocator counts. An idle connection "
        "beyond its buffer: resident.\n\n"
        + simple(results, "memory", {"parked": "parked task, resident", "idle": "idle connection"}) + "\n"
        + simple(results, "memory", {"parked": "parked task, allocated"}, 1))
    feet = results.get("footprint", {}).get("echo server")
    if feet:
        rows = [[peer, *(number(n) for n in found[-1][0])] for peer, found in feet.items()]
        yield "Footprint", (
            "A minimal echo server: outside crates, CPU seconds of a clean release build, KiB stripped.\n\n"
            + table(["server", "crates", "build", "size"], rows))
    grown = results.get("growth")
    if grown:
        yield "How cost grows", growth(results)


def growth(results):
    text = ""
    shapes = {name: (g.text, g.numbers, g.peers) for name, g in cases.GROWTH.items()}
    shapes["connections"] = ("echo request, N connections", cases.CONNECTIONS, cases.CONNECTION_SERVERS)
    for name, (title, numbers, peers) in shapes.items():
        rows = []
        for peer in peers:
            row = [results.values("growth", f"{name}:{n}", peer) for n in numbers]
            if any(row):
                rows.append([peer, *(number(min(values)) if values else "-" for values in row)])
        if rows:
            text += f"\n{title}: ns of CPU, minimum.\n\n" + table(["peer", *(f"{n:,}" for n in numbers)], rows)
    return text.lstrip()


def write(results, folder):
    markdown = f"# Loopline beside its peers\n\n{head(results)}"
    for title, body in parts(results):
        markdown += f"\n## {title}\n\n{body}"
    path = os.path.join(folder, "report.md")
    with open(path, "w") as file:
        file.write(markdown)
    print(markdown)
    print(f"written: {path}")
    page = plots.write(results, folder, head(results), limits.verdicts(results))
    print(f"written: {page}" if page else "no plots")
