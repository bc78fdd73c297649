"""Runs what was asked for, peers interleaved, and fills one dictionary: kind -> case -> peer -> samples.

A sample is one interleaved round's: a list of rows of numbers, as the program printed them."""

import shutil
import statistics
import subprocess
import sys
import time

import cases
import footprint
import limits
import programs
from programs import OURS


class Results(dict):
    """What this run measures takes the place of what an earlier one left."""

    def __init__(self):
        super().__init__()
        self.begun = set()

    def add(self, kind, case, peer, sample):
        if (kind, case, peer) not in self.begun:
            self.begun.add((kind, case, peer))
            self.get(kind, {}).get(case, {}).pop(peer, None)
        self.setdefault(kind, {}).setdefault(case, {}).setdefault(peer, []).append(sample)

    def samples(self, kind, case, peer):
        return self.get(kind, {}).get(case, {}).get(peer, [])

    def values(self, kind, case, peer, column=0):
        """All numbers of that column, of all rounds."""
        return [row[column] for sample in self.samples(kind, case, peer) for row in sample if len(row) > column]


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def times(results, quick, only=None):
    rounds = 10
    for name, case in cases.TIME.items():
        peers = case.peers if not quick or case.quick is None else case.quick
        if only and only not in name or not peers:
            continue
        say(name)
        # Long ones cost seconds a round.
        mine = rounds if case.rounds > 1 else (3 if quick else rounds)
        short = quick and case.rounds > 1 and case.operations > 10_000
        operations = max(case.operations // 5, 10_000) if short else case.operations
        decide = limits.deciding("time", name)
        for round_ in range(mine):
            for peer in peers:
                if round_ % 3 and peer not in decide:
                    continue
                found = programs.measure(peer, name, operations, case.rounds, case.threads)
                if found:
                    results.add("time", name, peer, found)


def memory(results, quick):
    say("memory")
    for _ in range(1 if quick else 3):
        for peer in ["floor", *cases.RUNTIMES]:
            found = programs.measure(peer, "parked", 100_000, 1)
            if found:
                results.add("memory", "parked", peer, found)
        for peer in [OURS, "tokio"] if quick else [p for p in cases.SERVERS if p != "raw"]:
            try:
                grown = programs.idle_memory(peer, 5_000)
            except OSError as error:
                say(f"idle, {peer}: {error}")
                continue
            results.add("memory", "idle", peer, [[grown]])


def echo(results, quick):
    for name in cases.ECHO_QUICK if quick else cases.ECHO:
        say(name)
        shape = cases.ECHO[name]
        requests = shape.requests // 2 if quick else shape.requests
        decide = limits.deciding("echo", name)
        for round_ in range(5 if quick else 10):
            for peer in cases.SERVERS_QUICK if quick else cases.SERVERS:
                if peer in programs.missing() or (round_ % 3 and peer not in decide):
                    continue
                try:
                    cpu = programs.echo_cpu(
                        peer, shape.connections, requests, *shape.options, buffer=shape.buffer)
                except OSError as error:
                    say(f"{name}, {peer}: {error}")
                    continue
                results.add("echo", name, peer, [[cpu]])


def hyper(results, quick):
    say("hyper hello")
    for _ in range(5 if quick else 10):
        for peer in cases.HYPER:
            cpu = programs.echo_cpu(peer, 64, 20_000 if quick else 60_000, http=())
            results.add("echo", "hyper hello", peer, [[cpu]])
    if have("valgrind"):
        for peer in cases.HYPER:
            counted = programs.echo_instructions(peer, 64, 3_200, 9_600, http=())
            results.add("instructions", "hyper hello", peer, [[counted]])
    if have("strace") and not quick:
        for peer in cases.HYPER:
            calls = programs.echo_syscalls(peer, 64, 3_200, 9_600, "pause=1500", http=())
            results.add("syscalls", "hyper hello", peer, [[sum(calls.values())]])


def have(tool):
    if shutil.which(tool):
        return True
    say(f"{tool} is not installed: skipped")
    return False


def instructions(results, quick, only=None):
    if not have("valgrind"):
        return
    for name in cases.COUNTED_QUICK if quick else cases.COUNTED:
        if only and only not in name:
            continue
        say(f"instructions, {name}")
        few, many = cases.COUNTED[name]
        peers = cases.TIME[name].peers
        if quick:
            peers = [p for p in peers if p in (OURS, "loopline-callback", "loopline-task", "tokio", "calloop", "mio")]
        for peer in peers:
            if name.startswith(("descriptors", "pings")) or peer != "calloop":
                counted = programs.instructions(peer, name, few, many)
                if counted is not None:
                    results.add("instructions", name, peer, [[counted]])
    if only:
        return
    for name, (few, many) in cases.ECHO_COUNTED.items():
        say(f"instructions, {name}")
        shape = cases.ECHO[name]
        for peer in cases.SERVERS_QUICK + ["calloop"] if quick else cases.SERVERS:
            if peer in programs.missing() or peer in ("monoio-uring", "compio", "glommio"):
                continue  # valgrind knows no io_uring
            counted = programs.echo_instructions(peer, shape.connections, few, many, *shape.options)
            if counted is not None:
                results.add("instructions", name, peer, [[counted]])


def syscalls(results, quick):
    if not have("strace"):
        return
    for name, (connections, few, many, options) in cases.ECHO_SYSCALLS.items():
        say(f"system calls, {name}")
        for _ in range(2 if quick else 4):
            for peer in cases.SERVERS_QUICK if quick else cases.SERVERS:
                if peer in programs.missing():
                    continue
                calls = programs.echo_syscalls(peer, connections, few, many, *options)
                results.add("syscalls", name, peer, [[sum(calls.values()), calls.get("epoll_ctl", 0)]])


def dispatch(results, quick):
    """The `dispatch` bench of the main workspace, which has its own minimum by hand."""
    say("dispatch")
    bench = dispatch_program()
    for _ in range(3 if quick else 10):
        done = subprocess.run(programs.pinned([programs.LOOP], [bench]), capture_output=True, text=True)
        for line in done.stdout.splitlines():
            fields = line.split()
            if len(fields) == 4 and "/" in fields[0]:
                style, sources = fields[0].split("/")
                results.add("dispatch", sources, style, [[float(fields[1]), float(fields[2])]])
    if not have("valgrind"):
        return
    for sources in ("16", "1000") if quick else ("16", "1000", "10000"):
        for style in ("signal", "hand", "callback", "task"):
            counted = [
                programs.callgrind([bench, "--once", f"{style}/{sources}", str(n)]) for n in (40_000, 120_000)
            ]
            if None not in counted:
                results.add("dispatch-instructions", sources, style, [[(counted[1] - counted[0]) / 80_000]])


def dispatch_program():
    import json

    listed = subprocess.run(
        ["cargo", "bench", "--quiet", "--bench", "dispatch", "--no-run", "--message-format=json"],
        cwd=programs.ROOT, check=True, capture_output=True, text=True,
    ).stdout
    for line in reversed(listed.splitlines()):
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "dispatch":
            return message["executable"]
    raise OSError("the dispatch bench was not built")


def growth(results, _quick):
    for name, grows in cases.GROWTH.items():
        say(f"growth of {name}")
        for number in grows.numbers:
            operations = max(grows.operations, number)
            for _ in range(3):
                for peer in grows.peers:
                    case = grows.case.format(number)
                    found = programs.measure(peer, case, operations, 1 if number > 10_000 else 3, grows.threads)
                    if found:
                        results.add("growth", f"{name}:{number}", peer, found)
    for connections in cases.CONNECTIONS:
        say(f"growth, {connections} connections")
        for _ in range(3):
            for peer in cases.CONNECTION_SERVERS:
                if peer in programs.missing():
                    continue
                try:
                    cpu = programs.echo_cpu(peer, connections, max(60_000, 4 * connections))
                except OSError as error:
                    say(f"{connections} connections, {peer}: {error}")
                    continue
                results.add("growth", f"connections:{connections}", peer, [[cpu]])


def feet(results, _quick):
    say("footprint: clean builds")
    results.pop("footprint", None)
    for peer, found in footprint.measure():
        results.add("footprint", "echo server", peer, [found])


def spread(values):
    """How far the middle half reaches, as a share of the median."""
    if len(values) < 4:
        return float("nan")
    quarters = statistics.quantiles(values, n=4)
    return (quarters[2] - quarters[0]) / quarters[1] if quarters[1] else float("nan")
