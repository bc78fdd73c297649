"""One system call of a scenario fails, each in its turn: an answer that is right, or an error that says so.

The scenario (probes/src/bin/scenario) runs three times in one process: what fails in the first run, or,
where that was cut short, in the second, must leave the third whole. Which calls the first run makes is
counted first, between two calls of getppid.
"""

import collections
import os
import re
import subprocess
import sys
import tempfile
import time

from server import main, measured, skip

SCENARIO = os.environ.get("SCENARIO", "target/probes/release/scenario")
PORTION = int(os.environ.get("SYSCALL_PORTION", "40"))  # of one kind at most so many are failed

# What each may fail with; nothing that the kernel never says. `close` is left out: an injected failure
# leaves the descriptor open, which no kernel does.
KINDS = {
    "epoll_create1": ["EMFILE"], "eventfd2": ["EMFILE"], "epoll_ctl": ["ENOSPC"],
    "epoll_wait": ["EINTR"], "epoll_pwait2": ["EINTR", "ENOSYS"],
    "socket": ["EMFILE"], "socketpair": ["EMFILE"], "bind": ["EADDRINUSE"], "listen": ["EADDRINUSE"],
    "accept4": ["EMFILE", "ECONNABORTED", "EINTR"], "connect": ["ECONNREFUSED", "EINTR"],
    "getsockname": ["ENOBUFS"], "getpeername": ["ENOBUFS"], "setsockopt": ["ENOPROTOOPT"],
    "getsockopt": ["ENOBUFS"], "sendto": ["ECONNRESET", "EINTR"], "recvfrom": ["ECONNRESET", "EINTR"],
    "sendmsg": ["ECONNRESET"], "recvmsg": ["ECONNRESET"], "shutdown": ["ENOBUFS"],
    # EAGAIN: of an eventfd, that it is full
    "read": ["EIO", "EINTR"], "write": ["EAGAIN"], "readv": ["EIO"], "writev": ["EIO"],
    "pwritev2": ["EPIPE", "EOPNOTSUPP"], "openat": ["EMFILE", "ENFILE"], "statx": ["EACCES"], "unlink": ["EACCES"],
    "pipe2": ["EMFILE"], "clone3": ["EAGAIN"], "pidfd_open": ["EMFILE", "ENOSYS"], "waitid": ["ECHILD"],
    "pidfd_send_signal": ["EPERM"], "timerfd_create": ["EMFILE"], "fcntl": ["EINVAL"], "ioctl": ["ENOTTY"],
    "rt_sigaction": ["EINVAL"],
}
# Made in the place of another one, where the system says that it does not know that.
INSTEAD_OF = {"writev": "pwritev2"}
# A step whose error does not carry the number: what it says instead.
IN_WORDS = re.compile("thread|cancel|closed|status|gone|broken pipe", re.I)


def counted():
    """How many of each kind the scenario's own thread makes before, and in, its first run."""
    with tempfile.NamedTemporaryFile("r") as file:
        kinds = ",".join("?" + kind for kind in KINDS)
        done = subprocess.run(["strace", "-f", "-qq", "-o", file.name, "-e", f"trace={kinds},getppid", SCENARIO],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        lines = [line.split(None, 1) for line in file.read().splitlines()]
    own, phase = lines[0][0], 0
    before, within = collections.Counter(), collections.Counter()
    elsewhere = collections.Counter()
    for pid, call in lines:
        kind = re.match(r"(\w+)\(", call)
        if kind is None:
            continue
        if kind[1] == "getppid":
            phase += 1
        elif pid != own:
            elsewhere[kind[1]] += 1
        elif phase < 2:
            (within if phase == 1 else before)[kind[1]] += 1
    for kind, unknown in INSTEAD_OF.items():
        before[kind], within[kind] = before[unknown], within[unknown]
    return before, within, elsewhere


def run(kind, error, when):
    """Runs the scenario with one failure. Returns what it says, or why that is wrong."""
    began = time.monotonic()
    with tempfile.NamedTemporaryFile("r") as trace:
        unknown = INSTEAD_OF.get(kind)
        command = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", trace.name,
                   "-e", f"trace={kind}" + (f",{unknown}" if unknown else ""),
                   "-e", f"inject={kind}:error={error}:when={when}"]
        command += ["-e", f"inject={unknown}:error=EOPNOTSUPP"] if unknown else []
        command += [SCENARIO, "3"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        except subprocess.TimeoutExpired:
            return None, "hangs"
        own = re.compile(rf"\b{kind}\b.*\(INJECTED\)")
        injected = sum(own.search(line) is not None for line in trace.read().splitlines())
    errors = [line for line in done.stdout.splitlines() if ": error " in line]
    if "panicked" in done.stderr:
        return None, f"panics: {done.stderr[-600:]}"
    if done.returncode not in (0, 10):
        return None, f"exit {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}"
    # strace counts for each thread and child apart, so one rule may strike several of them
    if [line for line in errors if line.startswith("3 ")] and injected <= 1:
        return None, f"the third run is not whole: {errors}"
    number = str(getattr(__import__("errno"), error))
    for line in errors:
        if f"Some({number})" not in line and f"os error {number}" not in line and not IN_WORDS.search(line):
            return None, f"does not name {error}: {line}"
    return (injected, len(errors), time.monotonic() - began), None


def sweep(kinds, seconds):
    """Fails each call of these kinds once; `seconds` bounds it all."""
    before, within, elsewhere = counted()
    wrong, runs, errors, injected, skipped = [], 0, 0, 0, []
    end = time.monotonic() + seconds
    plan = []
    for kind, names in kinds.items():
        numbers = list(range(before[kind] + 1, before[kind] + within[kind] + 1))
        if not numbers and elsewhere[kind]:
            numbers = [1]  # only threads or children make it
        if not numbers:
            skipped.append(kind)
            continue
        step = max(1, -(-len(numbers) // PORTION))
        plan += [(kind, name, number) for name in names for number in numbers[::step]]
    for kind, name, number in plan:
        if time.monotonic() > end:
            wrong.append(f"{runs} of {len(plan)} runs in {seconds} s")
            break
        result, why = run(kind, name, number)
        runs += 1
        if why:
            wrong.append(f"{kind} {name} when={number}: {why}")
            print(wrong[-1], flush=True)
        else:
            injected += result[0]
            errors += result[1] > 0
    assert not wrong, f"{len(wrong)} of {runs} runs are wrong: " + "; ".join(wrong[:5])
    assert injected >= runs * 0.9, f"only {injected} failures in {runs} runs"
    said = f"{runs} runs, {errors} with an error told, {runs - errors} that went on unharmed"
    measured(said + (f"; never called: {', '.join(skipped)}" if skipped else ""))


def constructors():
    """EMFILE in every call that makes a descriptor of a loop, a pipe, a child: an error, all closed."""
    sweep({kind: KINDS[kind] for kind in ("epoll_create1", "eventfd2", "pipe2", "timerfd_create", "pidfd_open")}, 120)


def registrations():
    """No room in the poller: the registration is rolled back, and the next try works."""
    sweep({"epoll_ctl": ["ENOSPC", "ENOMEM"]}, 120)


def each_call():
    """The n-th call fails, for each n and each kind."""
    rest = {kind: names for kind, names in KINDS.items() if kind not in ("epoll_create1", "eventfd2", "epoll_ctl")}
    sweep(rest, 240)


if __name__ == "__main__":
    main([constructors, registrations, each_call], deadline=280)
