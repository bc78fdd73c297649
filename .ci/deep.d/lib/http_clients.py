"""Real HTTP clients against the servers of examples/bridges."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from server import EXAMPLES, Server, main, measured, skip

BIG = 1024 * 16 * 1024
CONNECTIONS = 1000


def needs(program):
    if shutil.which(program) is None:
        skip(f"needs {program}")


class Curl:
    """Counts the requests that came back as they should."""

    def __init__(self, server):
        self.url, self.requests = "http://%s:%d" % server.address, 0

    def __call__(self, path, *options, status=200, stdin=None, requests=1):
        """Runs curl; returns the body and what it says of itself."""
        with tempfile.NamedTemporaryFile() as body:
            wanted = "%{stderr}%{http_code} %{http_version} %{num_connects} %{size_upload}\n"
            done = subprocess.run(
                ["curl", "-q", "--noproxy", "*", "-sS", "--max-time", "60", "-o", body.name, "-w", wanted,
                 *options, self.url + path],
                input=stdin, capture_output=True, timeout=90)
            text = done.stderr.decode()
            assert done.returncode == 0, f"curl {options} {path}: {done.returncode} {text}"
            code, version, connects, sent = text.split("\n")[-2].split()
            assert int(code) == status, f"{path} {options}: {code}, not {status}"
            self.requests += requests
            return open(body.name, "rb").read(), version, int(connects), int(sent)


def keeps_http2():
    """curl 7.88 (Debian 12) fails when it asks again by prior knowledge, with nginx too."""
    version = re.search(r"curl (\d+)", subprocess.run(["curl", "-V"], capture_output=True, text=True).stdout)
    return int(version[1]) >= 8


def curl_asks():
    """curl by both versions: kept connections, chunks, uploads, Expect, a slow reader, an abort."""
    needs("curl")
    with Server("http_server") as server:
        base, curl = server.fds(), Curl(server)
        upload = os.urandom(3 << 20)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "upload")
            with open(path, "wb") as file:
                file.write(upload)
            for version, name in (("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")):
                body, spoken, *_ = curl("/", version)
                assert body.startswith(b"Hello") and spoken == name, (body, spoken)
                curl("/?with=query", version)
                curl("/", version, "-H", "x-long: " + "a" * 6000)
                body, *_ = curl("/nowhere", version, status=404)
                assert b"nothing" in body
                curl("/echo", version, status=405)
                if name == "1.1" or keeps_http2():
                    # five on one connection: only the first connects
                    five = [part for _ in range(4) for part in ("-o", os.devnull, curl.url + "/")]
                    _, _, connects, _ = curl("/", version, *five, requests=5)
                    assert connects == 0, f"the last of five made {connects} connections"
                body, *_ = curl("/big", version)
                assert len(body) == BIG and set(body) == {ord(".")}, f"{len(body)} of {BIG} bytes"
                body, *_ = curl("/slow", version)
                assert b"second" in body
                # an upload of known length, one in chunks, one that asks first
                for options in (("--data-binary", f"@{path}"),
                                ("--data-binary", f"@{path}", "-H", "Transfer-Encoding: chunked"),
                                ("--data-binary", f"@{path}", "-H", "Expect: 100-continue"),
                                ("--data-binary", f"@{path}", "-H", "Expect:"),
                                ("-T", path)):
                    if name == "2" and "Transfer-Encoding: chunked" in options:
                        continue  # HTTP/2 has none
                    body, _, _, sent = curl("/echo", version, *options)
                    assert body == upload and sent >= len(upload), f"{options}: {len(body)} bytes came back"
                body, *_ = curl("/echo", version, "-T", "-", stdin=upload)  # of unknown length
                assert body == upload
                body, *_ = curl("/echo", version, "-d", "")
                assert body == b""
                # a reader that is slow, and a writer that is
                body, *_ = curl("/echo", version, "--limit-rate", "2M", "--data-binary", f"@{path}")
                assert body == upload
                # aborted: in the answer, in the wait, in the upload
                for aborted in (("/big", "--limit-rate", "100k"), ("/slow",),
                                ("/echo", "--limit-rate", "100k", "--data-binary", f"@{path}")):
                    done = subprocess.run(
                        ["curl", "-q", "-sS", "-o", os.devnull, "--max-time", "0.5", version,
                         *aborted[1:], curl.url + aborted[0]], capture_output=True, timeout=30)
                    assert done.returncode == 28, f"{aborted} ended with {done.returncode}"
                    curl.requests += 1
        curl("/", "-I", "--http1.1", status=405)
        curl("/", "--http1.0")
        raw_requests(server)
        server.wait_fds(base, 20)
        server.assert_quiet(2)
        measured(f"{curl.requests} requests by curl")


def raw_requests(server):
    """What curl does not say: pipelined, in bytes, malformed."""
    with server.connect() as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 20)
        stream.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert read_all(stream).count(b"HTTP/1.1 200 OK") == 21, "pipelined requests are lost"
    with server.connect() as stream:
        for byte in b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n":
            stream.sendall(bytes([byte]))
        assert b"Hello" in read_all(stream), "a header in single bytes"
    with server.connect() as stream:
        stream.sendall(b"this is not HTTP\r\n\r\n")
        assert read_all(stream).startswith(b"HTTP/1.1 400"), "nonsense is not refused"


def read_all(stream):
    got = b""
    while part := stream.recv(65536):
        got += part
    return got


def wrk_asks():
    """1,000 connections of wrk: none fails."""
    needs("wrk")
    with Server("http_server") as server:
        base = server.fds()
        done = subprocess.run(
            ["wrk", "-t", "2", "-c", str(CONNECTIONS), "-d", "5s", "--timeout", "30s", "http://%s:%d/" % server.address],
            check=True, capture_output=True, text=True, timeout=60).stdout
        print(done)
        assert "Socket errors" not in done and "Non-2xx" not in done, done
        server.wait_fds(base, 20)
        server.assert_quiet(2)
        measured(f"{CONNECTIONS} connections, {re.search(r'([0-9.]+) *$|Requests/sec: +([0-9.]+)', done, re.M)[0].split()[-1]} "
                 "requests a second, none failed")


def h2load_asks(version):
    """1,000 connections of h2load: none fails."""
    needs("h2load")
    options = ["--h1"] if version == "1" else ["-m", "10"]
    with Server("http_server") as server:
        base = server.fds()
        done = subprocess.run(
            ["h2load", "-c", str(CONNECTIONS), "-n", "50000", *options, "http://%s:%d/" % server.address],
            check=True, capture_output=True, text=True, timeout=120).stdout
        print(done)
        line = re.search(r"requests: (.*)", done)[1]
        assert "50000 succeeded, 0 failed, 0 errored, 0 timeout" in line, line
        server.wait_fds(base, 20)
        server.assert_quiet(2)
        rate = re.search(r"([0-9.]+) req/s", done)[1]
        measured(f"{CONNECTIONS} connections, {rate} requests a second, none failed")


def slow_clients():
    """Clients that never end their header hold up nobody, and are closed after 30 seconds."""
    needs("curl")
    with Server("http_server") as server:
        base, curl, count = server.fds(), Curl(server), 300
        slow = [server.connect(60) for _ in range(count)]
        for stream in slow:
            stream.sendall(b"GET / HTTP/1.1\r\nhost: he")
        began = time.monotonic()
        longest = 0
        while time.monotonic() - began < 10:
            for stream in slow:
                stream.sendall(b"r")
            asked = time.monotonic()
            curl("/")
            longest = max(longest, time.monotonic() - asked)
            time.sleep(0.5)
        assert longest < 5, f"others waited {longest:.1f} s"
        server.wait_fds(base, 60)
        took = time.monotonic() - began
        for stream in slow:
            stream.close()
        server.assert_quiet(2)
        measured(f"{count} closed after {took:.0f} s; others waited {longest * 1000:.0f} ms at most, curl included")


def slowhttptest(kind):
    """Slow headers (-H), bodies (-B) and readers (-X) by slowhttptest: each is closed after the server's
    time for a connection, and others are served meanwhile."""
    needs("slowhttptest")
    needs("curl")
    count, most = 200, 10
    options = {"H": ["-H"], "B": ["-B", "-t", "POST"],
               "X": ["-X", "-w", "512", "-y", "1024", "-z", "32", "-k", "1"]}[kind]
    path = {"H": "/", "B": "/echo", "X": "/big"}[kind]
    with Server("http_server", "127.0.0.1:0", str(most)) as server:
        base, own, curl = server.fds(), server.sockets(), Curl(server)
        slow = subprocess.Popen(
            ["slowhttptest", *options, "-c", str(count), "-r", str(count), "-i", "2", "-l", "30", "-p", "10",
             "-u", "http://%s:%d%s" % (*server.address, path)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "TERM": "dumb"})
        try:
            end = time.monotonic() + 20
            while server.fds() < base + count:
                assert time.monotonic() < end, f"{server.fds() - base} of {count} slow clients were taken"
                time.sleep(0.02)
            full, taken = time.monotonic(), server.sockets() - own
            assert len(taken) > 0.9 * count, taken
            # those that do not read have their buffers filled first, hundreds of MB in all
            server.wait_rest(most - 4)
            rss, longest = server.rss(), 0
            began, quiet = time.monotonic(), server.cpu()
            while time.monotonic() - began < 3:
                asked = time.monotonic()
                curl("/")
                longest = max(longest, time.monotonic() - asked)
                time.sleep(0.3)
            quiet = server.cpu() - quiet
            assert quiet < 0.3, f"{quiet:.2f} s CPU for slow clients"
            assert server.rss() - rss < 32 << 20, "memory grows"
            # those, and none that it makes later
            while taken & server.sockets():
                took = time.monotonic() - full
                assert took < most + 5, f"{len(taken & server.sockets())} are open after {took:.1f} s"
                time.sleep(0.02)
            took = time.monotonic() - full
        finally:
            slow.kill()
            text = slow.communicate()[0]
            print(text[-2000:])
        assert longest < 5, f"others waited {longest:.1f} s"
        curl("/")
        server.wait_fds(base, 10)
        server.assert_quiet(1)
        measured(f"{count} closed after {took:.0f} s of {most}; others waited {longest * 1000:.0f} ms at most, curl included")


def killed_clients():
    """wrk with 200 connections is killed while it asks: nothing stays behind."""
    needs("wrk")
    with Server("http_server") as server:
        base, count = server.fds(), 200
        client = subprocess.Popen(
            ["wrk", "-t", "1", "-c", str(count), "-d", "60s", "http://%s:%d/big" % server.address],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 20
            while server.fds() < base + count:
                assert time.monotonic() < end, "the server does not take the connections"
                time.sleep(0.02)
        finally:
            client.kill()
            client.wait()
        began = time.monotonic()
        server.wait_fds(base, 20)
        took = (time.monotonic() - began) * 1000
        server.assert_quiet(2)
        measured(f"{count} descriptors back to {base} in {took:.0f} ms")


def our_client():
    """The client of the examples against the server of the examples, by both versions."""
    with Server("http_server") as server:
        url = "http://%s:%d" % server.address
        for options, name in ((), "HTTP/1.1"), (("--http2",), "HTTP/2.0"):
            for path, wanted in (("/", b"Hello"), ("/slow", b"second"), ("/big", b"." * BIG)):
                done = subprocess.run([os.path.join(EXAMPLES, "http_client"), *options, url + path],
                                      check=True, capture_output=True, timeout=60)
                status, body = done.stdout.split(b"\n", 1)
                assert status == f"{name} 200 OK".encode(), status
                assert wanted in body, f"{path}: {len(body)} bytes"
    done = subprocess.run([os.path.join(EXAMPLES, "http_client"), url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "refused" in done.stderr, done


def axum_asks():
    """The axum app: paths, JSON, state, a handler that waits; then 1,000 connections of wrk."""
    needs("curl")
    with Server("axum_app") as server:
        base, curl = server.fds(), Curl(server)
        for version in ("--http1.1", "--http2-prior-knowledge"):
            assert curl("/greet/you", version)[0] == b"Hello, you!\n"
            assert curl("/later", version)[0] == b"Later.\n"
            note = json.dumps({"text": version})
            curl("/notes", version, "-d", note, "-H", "content-type: application/json", status=201)
            assert json.loads(curl("/notes", version)[0])[-1] == version
            curl("/notes", version, "-d", "{", "-H", "content-type: application/json", status=400)
            curl("/nowhere", version, status=404)
        if shutil.which("wrk"):
            done = subprocess.run(
                ["wrk", "-t", "2", "-c", str(CONNECTIONS), "-d", "3s", "--timeout", "30s", curl.url + "/later"],
                check=True, capture_output=True, text=True, timeout=60).stdout
            assert "Socket errors" not in done and "Non-2xx" not in done, done
        server.wait_fds(base, 20)
        server.assert_quiet(2)
        measured(f"{curl.requests} requests by curl")


if __name__ == "__main__":
    main([curl_asks, wrk_asks, h2load_asks, slow_clients, slowhttptest, killed_clients, our_client, axum_asks], deadline=300)
