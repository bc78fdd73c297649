"""An example program under test: started, measured and ended here and nowhere else.

Every address is on the loopback, every port is the system's choice, every loop
has an end. A check is a function; `main` runs the one named by the command line
and gives it a deadline. It passes by returning, fails by an exception, and exits
77 by `skip` where it cannot run.
"""

import ctypes
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERTZ = os.sysconf("SC_CLK_TCK")
EXAMPLES = os.environ.get("EXAMPLES_DIR", "target/release/examples")


def skip(why):
    print(why, flush=True)
    sys.exit(77)


def measured(text):
    """The check's own words for its row."""
    print(f"measured: {text}", flush=True)


def raise_fd_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """A running example; `prefix` is a command that execs it (prlimit, strace -D)."""

    def __init__(self, name, *arguments, prefix=(), env=None, own_pid=True):
        self.errors = tempfile.TemporaryFile("w+")
        arguments = arguments or ("127.0.0.1:0",)
        self.process = subprocess.Popen(
            [*prefix, os.path.join(EXAMPLES, name), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
            env={**os.environ, **(env or {})}, preexec_fn=die_with_parent)
        self.name = name
        try:
            self.address = self._address()
            # under a wrapper that forks, the example is its child
            self.pid = self.process.pid if own_pid else self._child()
        except BaseException:
            self.end()
            raise

    def _address(self):
        line, end = b"", time.monotonic() + 30
        out = self.process.stdout
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([out], [], [], max(0, end - time.monotonic()))
            part = os.read(out.fileno(), 1) if ready else b""
            if not part:
                raise AssertionError(f"{self.name} printed no address, only {line!r}; {self.stderr()!r}")
            line += part
        path = re.match(rb"listening on ([/@].*)\n", line)
        if path:
            return path[1].decode()
        found = re.search(rb"listening on (?:\w+://)?([0-9.]+):([0-9]+)", line)
        assert found, f"unexpected first line {line!r}"
        return found[1].decode(), int(found[2])

    def _child(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            return int(file.read().split()[0])

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        died = self.process.poll()
        self.end()
        text = self.stderr()
        if text:
            print(f"stderr of {self.name}: {text}")
        if kind is None:
            assert died is None, f"{self.name} ended by itself with {died}"
            assert "panicked" not in text, f"{self.name} panicked"

    def end(self):
        for pid in {getattr(self, "pid", None), self.process.pid} - {None}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process.stdout.close()

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def sockets(self):
        """The sockets it holds, by what the kernel calls them: not used again, as numbers of descriptors are."""
        held = set()
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                held.add(os.readlink(f"/proc/{self.pid}/fd/{fd}"))
            except FileNotFoundError:
                pass  # closed meanwhile
        return {name for name in held if name.startswith("socket:")}

    def cpu(self):
        """CPU seconds used so far, of user and system together."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / HERTZ

    def rss(self):
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def assert_quiet(self, seconds=3.0, share=0.05):
        """No spin: under five per cent of a core while nothing can proceed."""
        before = self.cpu()
        time.sleep(seconds)
        used = self.cpu() - before
        print(f"cpu {used:.2f} s of {seconds:.1f} s")
        assert used <= share * seconds + 2 / HERTZ, f"spins: {used:.2f} s CPU in {seconds:.1f} s"
        return used

    def wait_rest(self, seconds):
        """Waits until it has used next to no CPU for 0.3 s: what it was asked for is done."""
        end = time.monotonic() + seconds
        while True:
            before = self.cpu()
            time.sleep(0.3)
            used = self.cpu() - before
            if used < 2 / HERTZ:
                return
            assert time.monotonic() < end, f"no rest: {used:.2f} s CPU in 0.3 s, after {seconds} s"

    def wait_fds(self, wanted, seconds):
        """Waits until the server holds at most `wanted` descriptors."""
        end = time.monotonic() + seconds
        while self.fds() > wanted:
            assert time.monotonic() < end, f"{self.fds()} descriptors after {seconds} s, expected {wanted}"
            time.sleep(0.02)

    def connect(self, timeout=10):
        stream = socket.create_connection(self.address, timeout)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def connect_later(self):
        """A stream that may still be connecting: the queue of the listener may be full."""
        stream = socket.socket()
        stream.setblocking(False)
        stream.connect_ex(self.address)
        return stream


def echo(stream, text, timeout=10):
    """One message there and back; the seconds it took."""
    began = time.monotonic()
    stream.settimeout(timeout)
    stream.sendall(text)
    got = b""
    while len(got) < len(text):
        part = stream.recv(65536)
        assert part, f"closed after {len(got)} of {len(text)} bytes"
        got += part
    assert got == text, f"{got[:80]!r} came back for {text[:80]!r}"
    return time.monotonic() - began


class Trace:
    """strace as a prefix: it stays outside (-D), so the example keeps its process id."""

    def __init__(self, injection):
        self.file = tempfile.NamedTemporaryFile("r", suffix=".strace")
        calls = injection.split(":")[0]
        self.prefix = ["strace", "-D", "-f", "-qq", "-ttt", "-o", self.file.name,
                       "-e", f"trace={calls}", "-e", f"inject={injection}"]

    def injected(self):
        """The times of the injected failures."""
        with open(self.file.name) as file:
            return [float(line.split()[1]) for line in file if "(INJECTED)" in line]


def main(checks, deadline=120):
    name = sys.argv[1]
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError(f"{name}: no end in time")))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(deadline)
    raise_fd_limit()
    {check.__name__: check for check in checks}[name](*sys.argv[2:])
