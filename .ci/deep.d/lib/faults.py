"""Faults of the operating system against the example echo server."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time

from server import EXAMPLES, Server, Trace, echo, main, measured


asked = set()  # streams that have sent their byte


def served(streams, seconds):
    """The streams among those that a byte comes back from within the time.

    A stream that is still connecting sends its byte once it is connected.
    """
    answered, end = [], time.monotonic() + seconds
    waiting = {stream.fileno(): stream for stream in streams}
    poll = select.poll()
    for number, stream in waiting.items():
        poll.register(number, select.POLLIN if stream in asked else select.POLLOUT)
    while waiting and time.monotonic() < end:
        for number, _ in poll.poll(200):
            if waiting[number] not in asked:
                waiting[number].send(b"?")
                asked.add(waiting[number])
                poll.modify(number, select.POLLIN)
                continue
            poll.unregister(number)
            stream = waiting.pop(number)
            if stream.recv(100):
                answered.append(stream)
    return answered


def emfile_by_limit():
    """64 descriptors, 200 clients: some served, the others as those leave."""
    with Server("echo_server", prefix=["prlimit", "--nofile=64:64"]) as server:
        base = server.fds()
        streams = [server.connect_later() for _ in range(200)]
        first = served(streams, 2)
        assert 20 <= len(first) <= 64 - base, f"{len(first)} served with {64 - base} descriptors left"
        idle = server.assert_quiet()
        slowest = max(echo(stream, b"still alive", 5) for stream in first)
        assert slowest < 0.25, f"a live client waited {slowest:.3f} s"
        # those whose connect was put off try again after 1, 3, 7, 15 s
        waiting, end, leaving = set(streams), time.monotonic() + 60, first
        while waiting:
            for stream in leaving:
                waiting.remove(stream)
                stream.close()
            assert time.monotonic() < end, f"{200 - len(waiting)} of 200 served after 60 s"
            leaving = served(waiting, 0.3)
        server.wait_fds(base, 5)
        measured(f"{len(first)} of 200 at once, all in turn, {idle:.2f} s CPU in 3 s, live echo at most {slowest * 1000:.0f} ms")


def accept_backs_off(error, when):
    """accept fails for want of a resource: retried by a timer, live clients served."""
    trace = Trace(f"accept4:error={error}:when={when}")
    with Server("echo_server", prefix=trace.prefix) as server:
        live = server.connect()
        echo(live, b"first")
        late = [server.connect() for _ in range(10)]
        worst, got, end = 0.0, [], time.monotonic() + 60
        while len(got) < len(late):
            assert time.monotonic() < end, f"{len(got)} of {len(late)} served 60 s after {error}"
            worst = max(worst, echo(live, b"bystander", 5))
            waiting = [stream for stream in late if stream not in got]
            got += served(waiting, 0.05)
        for stream in late:
            echo(stream, b"again")
        server.assert_quiet(1)
        times = trace.injected()
        assert times, "nothing was injected"
        took = times[-1] - times[0]
        # a retry at once would be over in a few ms
        assert len(times) < 3 or took / (len(times) - 1) > 0.001, f"{len(times)} retries in {took * 1000:.1f} ms: no back-off"
        assert worst < 0.5, f"the live client waited {worst:.3f} s"
        measured(f"{len(times)} failures over {took:.2f} s, live echo at most {worst * 1000:.0f} ms")


def accept_goes_on(error):
    """accept fails for one connection: the next is taken at once, not after a pause."""
    trace = Trace(f"accept4:error={error}:when=1+2")
    with Server("echo_server", prefix=trace.prefix) as server:
        slowest = 0.0
        streams = []
        for number in range(30):
            began = time.monotonic()
            streams.append(server.connect())
            echo(streams[-1], b"%d" % number)
            slowest = max(slowest, time.monotonic() - began)
        streams += [server.connect() for _ in range(30)]
        slowest = max([slowest] + [echo(stream, b"together") for stream in streams])
        times = trace.injected()
        assert len(times) >= 10, f"only {len(times)} failures injected"
        assert slowest < 0.25, f"a client waited {slowest:.3f} s"
        measured(f"{len(times)} failures, slowest client {slowest * 1000:.0f} ms")


def interrupted():
    """Every second call of the loop's ends with EINTR: invisible to clients."""
    calls = "epoll_wait,?epoll_pwait,?epoll_pwait2,accept4,read,write,recvfrom,sendto,?readv,?writev"
    trace = Trace(f"{calls}:error=EINTR:when=30+2")
    with Server("echo_server", prefix=trace.prefix) as server:
        streams = [server.connect() for _ in range(20)]
        for turn in range(30):
            for number, stream in enumerate(streams):
                echo(stream, b"%d:%d " % (turn, number) * 20)
        late = server.connect()
        echo(late, os.urandom(100_000))
        count = len(trace.injected())
        assert count >= 100, f"only {count} interruptions injected"
        server.assert_quiet(1)
        measured(f"{count} interruptions, 600 echoes exact")


def limit_of_five():
    """Too few descriptors to start: an error in words, exit 1, no panic."""
    command = ["prlimit", "--nofile=5:5", os.path.join(EXAMPLES, "echo_server"), "127.0.0.1:0"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    print(f"exit {done.returncode}, stdout {done.stdout!r}, stderr {done.stderr!r}")
    assert "panicked" not in done.stderr, "panicked"
    assert done.returncode == 1, f"exit {done.returncode}, expected 1"
    assert any(word in done.stderr.lower() for word in ("too many open files", "limit", "os error 24")), "does not name the limit"
    measured(done.stderr.strip().splitlines()[-1])


def limit_of_twenty():
    """Twenty descriptors are enough for a few clients."""
    with Server("echo_server", prefix=["prlimit", "--nofile=20:20"]) as server:
        streams = [server.connect() for _ in range(5)]
        for stream in streams:
            echo(stream, b"enough")
        measured(f"{server.fds()} descriptors with 5 clients")


def stopped():
    """SIGSTOP for five seconds, then SIGCONT: late once, then as before."""
    with Server("echo_server") as server:
        old = [server.connect() for _ in range(20)]
        for stream in old:
            echo(stream, b"before")
        os.kill(server.pid, signal.SIGSTOP)
        new = [server.connect() for _ in range(20)]
        for stream in old + new:
            stream.sendall(b"?")
            asked.add(stream)
        time.sleep(5)
        os.kill(server.pid, signal.SIGCONT)
        began = time.monotonic()
        assert len(served(old + new, 5)) == 40, "not all served after SIGCONT"
        took = time.monotonic() - began
        for stream in old + new:
            echo(stream, b"after")
        server.assert_quiet(2)
        measured(f"40 clients served {took * 1000:.0f} ms after SIGCONT")


def wall_clock(library):
    """The wall clock jumps a day back and forth while accept backs off by a timer."""
    trace = Trace("accept4:error=EMFILE:when=3..12")
    with tempfile.NamedTemporaryFile("w") as clock:
        def jump(offset):
            clock.seek(0)
            clock.write(f"{offset}\n")
            clock.truncate()
            clock.flush()
        jump("+0d")
        env = ["env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={clock.name}", "FAKETIME_NO_CACHE=1",
               "DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
        with Server("echo_server", prefix=[*trace.prefix, *env]) as server:
            streams = [server.connect()]
            echo(streams[0], b"before")
            worst = 0.0
            for offset in ("-1d", "+1d", "-1d", "+0d"):
                jump(offset)
                streams += [server.connect() for _ in range(5)]
                worst = max([worst] + [echo(stream, offset.encode()) for stream in streams])
            server.assert_quiet(2)
            assert trace.injected(), "nothing was injected"
            assert worst < 3, f"a client waited {worst:.2f} s"
            measured(f"4 jumps of a day, slowest echo {worst * 1000:.0f} ms")


def uptime(monotonic, boottime):
    """The system's clocks that far: no overflow, no panic, timers still work."""
    namespace = ["unshare", "--time", "--monotonic", monotonic, "--boottime", boottime, "--fork", "--kill-child"]
    with Server("echo_server", prefix=namespace, own_pid=False) as server:
        streams = [server.connect() for _ in range(20)]
        for stream in streams:
            echo(stream, b"in 95 years")
        server.assert_quiet(2)
    # A timer of each program is met: by its own words, which it prints as time goes by.
    began = time.monotonic()
    done = subprocess.run([*namespace, os.path.join(EXAMPLES, "timers")], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)
    took = time.monotonic() - began
    assert done.returncode == 0 and "panicked" not in done.stderr, done
    assert took < 30, f"timers took {took:.1f} s"
    measured(f"20 clients served; the timers of an example as ever, {took:.1f} s")


def kill_client_of(server, count=200):
    base = server.fds()
    client = subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), "hold", *map(str, server.address), str(count)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert client.stdout.readline() == b"held\n"
        end = time.monotonic() + 10
        while server.fds() < base + count:
            assert time.monotonic() < end, "the server does not take the connections"
            time.sleep(0.02)
    finally:
        client.kill()
        client.wait()
    began = time.monotonic()
    server.wait_fds(base, 10)
    measured(f"{count} descriptors back to {base} in {(time.monotonic() - began) * 1000:.0f} ms")


def hold(host, port, count):
    import socket
    streams = [socket.create_connection((host, int(port)), 10) for _ in range(int(count))]
    for stream in streams[::2]:
        stream.sendall(b"unread\n")
    print("held", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main([emfile_by_limit, accept_backs_off, accept_goes_on, interrupted, limit_of_five, limit_of_twenty,
          stopped, wall_clock, uptime, hold])
