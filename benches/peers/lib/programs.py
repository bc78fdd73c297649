"""The programs that are compared: building, starting, pinning, counting."""

import glob
import os
import platform
import re
import shutil
import subprocess
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(HERE))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "target")))
RELEASE = os.path.join(TARGET, "release")
OUT = os.path.join(TARGET, "measured")

# What measures runs on the last CPU, its client and its other threads on those before.
CPUS = sorted(os.sched_getaffinity(0))
LOOP, OTHERS = CPUS[-1], CPUS[:-1] or CPUS

OURS = "loopline"
# Flavours of one program.
PROGRAM = {
    "loopline-callback": OURS,
    "loopline-task": OURS,
    "tokio-on-loopline": OURS,
    "local-sync-on-loopline": OURS,
    "local-channel-on-loopline": OURS,
    "tokio-localset": "tokio",
    "monoio-uring": "monoio",
}
# Those that have callbacks and no tasks: `timer_random` is `callback_timer_random` there.
CALLBACKS = {"mio", "libuv", "calloop", "loopline-callback"}

_missing = {}  # peer -> why it is not measured


def build():
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=HERE, check=True)
    os.makedirs(OUT, exist_ok=True)
    source = os.path.join(HERE, "src", "bin", "on-libuv.c")
    compiler = shutil.which("cc") or shutil.which("gcc")
    command = [compiler or "cc", "-O3", "-o", os.path.join(RELEASE, "on-libuv"), source, "-luv", "-lpthread"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        _missing["libuv"] = "libuv's headers or a C compiler are not installed (Debian: libuv1-dev)"


def missing():
    return dict(_missing)


def program(peer):
    return os.path.join(RELEASE, f"on-{PROGRAM.get(peer, peer)}")


def command(peer, case, operations=None, *options):
    if case.startswith("timer_") and peer in CALLBACKS:
        case = "callback_" + case
    return [program(peer), peer, case, *([str(operations)] if operations else []), *options]


def pinned(cpus, command):
    """With another thread or process at work the loop gets all CPUs that are listed."""
    if not shutil.which("taskset"):
        return command
    return ["taskset", "-c", ",".join(map(str, cpus)), *command]


def rows(command):
    """Runs a program to its end and returns its lines of numbers; None if it cannot do that."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return None
    return [[float(n) for n in line.split()] for line in done.stdout.splitlines() if line]


def measure(peer, case, operations, rounds, threads=False):
    if peer in _missing:
        return None
    cpus = CPUS if threads else [LOOP]
    return rows(pinned(cpus, command(peer, case, operations, "--rounds", str(rounds))))


def callgrind(command):
    out = os.path.join(OUT, f"callgrind.{os.getpid()}")
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *command],
        capture_output=True, text=True, timeout=300,
    )
    for leftover in glob.glob(out + "*"):
        os.remove(leftover)
    found = re.search(r"Collected : (\d+)", done.stderr)
    return int(found[1]) if found and done.returncode == 0 else None


def instructions(peer, case, few, many):
    """User-space instructions of an operation: two runs of different length, subtracted."""
    if peer in _missing:
        return None
    counted = [callgrind(command(peer, case, n, "--once")) for n in (few, many)]
    return None if None in counted else (counted[1] - counted[0]) / (many - few)


class Server:
    """An echo server, or hyper's hello world, under a tool or not."""

    def __init__(self, peer, *tool, buffer=4096, http=None):
        self.http = http is not None
        serve = [os.path.join(RELEASE, "http"), peer, *http] if self.http else command(peer, f"echo:{buffer}")
        self.process = subprocess.Popen(
            pinned([LOOP], [*tool, *serve]),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        line = self.process.stdout.readline()
        if not line.startswith("listening on"):
            raise OSError(f"{peer} does not serve: {self.process.communicate()[1][-300:]}")
        self.address = line.split()[-1]
        self.pid = self.process.pid

    def load(self, connections, requests, *options):
        """Returns the numbers the client prints: requests, wall ns, the server's CPU ns."""
        client = [os.path.join(RELEASE, "load"), self.address, str(connections), str(requests)]
        client += [*options, f"pid={self.pid}"] + ["http"] * self.http
        done = subprocess.run(pinned(OTHERS, client), capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise OSError(done.stderr.strip())
        return [float(n) for n in done.stdout.split()]

    def settle(self):
        time.sleep(0.2)  # until it has seen the connections close

    def end(self, pid=None):
        os.kill(pid or self.pid, 15)
        return self.process.communicate()[1]


def echo_cpu(peer, connections, requests, *options, buffer=4096, http=None):
    """The server's CPU ns per request."""
    server = Server(peer, buffer=buffer, http=http)
    try:
        return server.load(connections, requests, *options)[2]
    finally:
        server.end()


def echo_instructions(peer, connections, few, many, *options, http=None):
    """The buffers are small: to clear one of 4 KiB counts as 4,096 instructions, and takes the time of 50."""
    counted = []
    for requests in (few, many):
        out = os.path.join(OUT, f"callgrind.{os.getpid()}")
        server = Server(peer, "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", buffer=256, http=http)
        try:
            server.load(connections, requests, *options)
            server.settle()
        finally:
            said = server.end()
        found = re.search(r"Collected : (\d+)", said)
        if not found:
            return None
        counted.append(int(found[1]))
    return (counted[1] - counted[0]) / (many - few)


def echo_syscalls(peer, connections, few, many, *options, http=None):
    """System calls per request, by name."""
    counted = []
    for requests in (few, many):
        out = os.path.join(OUT, f"strace.{os.getpid()}")
        server = Server(peer, "strace", "-c", "-f", "-o", out, http=http)
        with open(f"/proc/{server.pid}/task/{server.pid}/children") as children:
            child = int(children.read().split()[0])
        try:
            server.load(connections, requests, *options)
            server.settle()
        finally:
            server.end(child)
        calls = {}
        with open(out) as lines:
            for line in lines:
                fields = line.split()
                if len(fields) >= 5 and fields[0][0].isdigit() and fields[-1] != "total":
                    calls[fields[-1]] = int(fields[3])
        counted.append(calls)
    few_calls, many_calls = counted
    return {
        name: (many_calls.get(name, 0) - few_calls.get(name, 0)) / (many - few)
        for name in {*few_calls, *many_calls}
    }


def idle_memory(peer, connections):
    """What an idle connection takes of the server's memory, its buffer of 64 bytes taken off."""
    server = Server(peer, buffer=64)
    try:
        return server.load(connections, 0, "idle")[0] - 64
    finally:
        server.end()


def _text(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=HERE).stdout.strip()
    except OSError:
        return "?"


def machine():
    """What was measured on what."""
    model = "?"
    try:
        with open("/proc/cpuinfo") as lines:
            model = next((l.split(":")[1].strip() for l in lines if l.startswith("model name")), "?")
    except OSError:
        pass
    return {
        "cpu": f"{len(CPUS)} x {model}",
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "rustc": _text(["rustc", "--version"]),
        "date": time.strftime("%Y-%m-%d"),
        "commit": _text(["git", "rev-parse", "--short", "HEAD"]),
        "load": f"{os.getloadavg()[0]:.1f}",
        "versions": versions(),
    }


def versions():
    wanted = ["tokio", "async-executor", "async-io", "monoio", "compio", "glommio", "calloop", "mio", "hyper",
              "local-channel", "local-sync", "async-lock", "async-channel", "loopline"]
    # Not `cargo metadata`, which offline wants the packages of other platforms too.
    lines = _text(["cargo", "tree", "--workspace", "--offline", "--prefix", "none"]).splitlines()
    listed = {tuple(line.split()[:2]) for line in lines if line.split(" ")[0] in wanted}
    # Of several the newest: the older ones are others' dependencies.
    newest = sorted(listed, key=lambda pair: [int(n) for n in re.findall(r"\d+", pair[1])])
    found = {name: version.removeprefix("v") for name, version in newest}
    if "libuv" not in _missing:
        found["libuv"] = _text(["pkg-config", "--modversion", "libuv"]) or "?"
    return {name: found[name] for name in [*wanted, "libuv"] if name in found}
