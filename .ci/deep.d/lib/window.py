"""A window of examples/bridges under Xvfb: shows what comes by TCP, sleeps when nothing does, ends."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time


def wait_for(what, seconds, condition):
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise SystemExit(f"no {what} after {seconds} s")
        time.sleep(0.05)
    return found


def start_server():
    """Starts Xvfb on a display that is free, and returns it with the display's name."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as told:
        return server, ":" + told.readline().strip()


def screenshot():
    return subprocess.run(["xwd", "-root", "-silent"], check=True, capture_output=True).stdout


def changed(before, after):
    return sum(a != b for a, b in zip(before, after))


def system_calls(process, seconds):
    """Lists what the process asks of the system in some seconds."""
    with tempfile.NamedTemporaryFile() as log:
        command = ["timeout", str(seconds), "strace", "-f", "-o", log.name, "-p", str(process.pid)]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
        return log.read().decode().splitlines()


def idle(process, seconds):
    calls = system_calls(process, seconds)
    # The one that it sleeps in from before strace came until after it left.
    assert len(calls) == 1 and re.search(r"epoll_p?wait2?\(.*<detached", calls[0]), calls


def run(window):
    black = screenshot()
    process = subprocess.Popen([window], stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        wait_for("window", 10, lambda: changed(black, screenshot()) > 100000)
        time.sleep(0.3)
        empty = screenshot()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"".join(b"line %d: seen by whoever looks\n" % n for n in range(20)))
            wait_for("line on the screen", 10, lambda: changed(empty, screenshot()) > 3000)
            time.sleep(0.3)
            full = screenshot()
            seconds = 3
            idle(process, seconds)
            assert screenshot() == full
        wait_for("client leaving", 10, lambda: screenshot() != full)
        subprocess.run(["xdotool", "key", "c"], check=True)
        wait_for("cleared screen", 10, lambda: changed(empty, screenshot()) < 500)
        subprocess.run(["xdotool", "key", "q"], check=True)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
    print(f"measured: {changed(empty, full)} bytes of the screen changed, no system call in {seconds} s")


def main():
    server, os.environ["DISPLAY"] = start_server()
    try:
        run(sys.argv[1])
    finally:
        server.terminate()
        server.wait()


main()
