"""Real peers of the programs that speak TLS, WebSocket, Redis's and PostgreSQL's protocols, and of the
proxy on all cores."""

import base64
import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from server import EXAMPLES, Server, die_with_parent, main, measured, skip

PATH = os.environ.get("PATH", "") + ":/usr/sbin:" + ":".join(sorted(glob.glob("/usr/lib/postgresql/*/bin")))


def program(name):
    found = shutil.which(name, path=PATH)
    if found is None:
        skip(f"needs {name}")
    return found


def free_port():
    """A port that was free a moment ago, for peers that take no port 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Peer:
    """A program of somebody else's, in a folder of its own; ended with all that it started."""

    def __init__(self, command, **options):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors,
                                        preexec_fn=die_with_parent, **options)

    def wait_for(self, port, seconds=30):
        end = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return self
            except OSError:
                assert self.process.poll() is None, f"ended: {self.text()}"
                assert time.monotonic() < end, f"does not listen: {self.text()}"
                time.sleep(0.05)

    def text(self):
        self.errors.seek(0)
        return self.errors.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run(*command, timeout=60, **options):
    done = subprocess.run(command, capture_output=True, timeout=timeout, **options)
    assert done.returncode == 0, f"{command}: {done.returncode} {done.stdout!r} {done.stderr!r}"
    return done.stdout


class Https(Server):
    """The HTTPS server and where its certificate is."""

    def __init__(self):
        super().__init__("https_server")
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self.process.stdout.fileno(), 1)
        self.certificate = line.decode().split(": ", 1)[1].strip()
        self.url = "https://%s:%d/" % self.address

    def end(self):
        super().end()
        if os.path.exists(getattr(self, "certificate", "")):
            os.unlink(self.certificate)


def https_by_curl():
    """Both versions of HTTP and of TLS, kept connections, a long body, a certificate that is checked."""
    curl = [program("curl"), "-q", "--noproxy", "*", "-sS", "--max-time", "60"]
    with Https() as server:
        base, trust = server.fds(), ["--cacert", server.certificate]
        assert run(*curl, "-k", server.url) == b"Hello over TLSv1_3, h2.\n"
        assert run(*curl, *trust, "--http1.1", server.url) == b"Hello over TLSv1_3, http/1.1.\n"
        assert run(*curl, *trust, "--tls-max", "1.2", server.url) == b"Hello over TLSv1_2, h2.\n"
        refused = subprocess.run([*curl, server.url], capture_output=True)
        assert refused.returncode == 60, f"nobody vouches for it: {refused}"
        for version in "--http1.1", "--http2":
            connects = run(*curl, *trust, version, "-o", "/dev/null", "-w", "%{num_connects} ",
                           *[server.url] * 20, *["-o", "/dev/null"] * 19)
            assert sum(map(int, connects.split())) == 1, f"{version}: {connects}"
            with tempfile.NamedTemporaryFile() as file:
                body = os.urandom(5 << 20)
                file.write(body)
                file.flush()
                got = run(*curl, *trust, version, "--data-binary", "@" + file.name, server.url + "echo")
                assert got == body, f"{version}: {len(got)} of {len(body)} bytes"
        server.wait_fds(base, 10)
        measured("45 requests, TLS 1.2 and 1.3, HTTP 1.1 and 2")


def tls_breaks():
    """openssl s_client; ends without close_notify, records cut short, none at all, nonsense."""
    openssl = program("openssl")
    with Https() as server:
        base, (host, port) = server.fds(), server.address
        for version in "-tls1_2", "-tls1_3":
            client = subprocess.Popen([openssl, "s_client", "-quiet", "-verify_quiet", version, "-CAfile",
                                       server.certificate, "-verify_return_error", "-connect", f"{host}:{port}"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            client.stdin.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            client.stdin.flush()
            text = b""
            while b"Hello over" not in text:
                part = os.read(client.stdout.fileno(), 4096)
                assert part, f"{text!r} {client.stderr.read()!r}"
                text += part
            # s_client is killed: the connection ends without close_notify
            client.kill()
            client.communicate()
        server.wait_fds(base, 10)

        request = b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n" + b"x" * 99999
        context = ssl.create_default_context(cafile=server.certificate)

        def secured():
            stream = server.connect()
            reading, writing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = context.wrap_bio(reading, writing, server_hostname=host)
            while True:
                try:
                    session.do_handshake()
                    stream.sendall(writing.read())
                    return stream, session, writing
                except ssl.SSLWantReadError:
                    stream.sendall(writing.read())
                    reading.write(stream.recv(65536))

        for cut in 1, 5, 6, 1000:  # bytes that are missing of the last record
            stream, session, writing = secured()
            session.write(request)
            records = writing.read()
            stream.sendall(records[:-cut])
            stream.close()
        for nonsense in b"\x17\x03\x03\x00\x10" + b"n" * 16, b"\x17\x03\x03\xff\xff" + b"n" * 70000, b"nonsense" * 100:
            stream, session, writing = secured()
            stream.sendall(nonsense)
            stream.settimeout(10)
            while True:  # an alert, and the end
                try:
                    if not stream.recv(65536):
                        break
                except ConnectionResetError:
                    break
            stream.close()
        server.wait_fds(base, 10)
        plain = server.connect()
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert plain.recv(100)[:1] == b"\x15", "an alert"
        plain.close()
        # one that says nothing is shut out after ten seconds; others are served meanwhile
        silent, began = server.connect(timeout=30), time.monotonic()
        while not silent_ended(silent):
            stream, session, writing = secured()
            stream.close()
            server.assert_quiet(0.5, 0.5)
            assert time.monotonic() - began < 20, "still open"
        waited = time.monotonic() - began
        assert waited > 5, f"after {waited} s"
        silent.close()
        server.wait_fds(base, 10)
        assert "panicked" not in server.stderr()
        measured(f"10 broken connections, a silent one closed after {waited:.0f} s")


def silent_ended(stream):
    stream.setblocking(False)
    try:
        return stream.recv(1) == b""
    except BlockingIOError:
        return False


class Browser:
    """Chromium by WebDriver, with what its console says."""

    def __init__(self, driver):
        self.driver = driver
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync",
                     "--no-proxy-server", "--window-size=800,640"]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": arguments},
                  "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._ask("", {"capabilities": {"alwaysMatch": wanted}})
        self.session = "/" + made["sessionId"]

    def _ask(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.driver}/session{path}", data, {"Content-Type": "application/json"},
                                         method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            return json.load(opener.open(request, timeout=60))["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read()) from error

    def __call__(self, path, body=None):
        return self._ask(self.session + path, body)

    def quit(self):
        self._ask(self.session, method="DELETE")

    def script(self, text, *arguments):
        return self("/execute/sync", {"script": text, "args": arguments})

    def element(self, selector):
        found = self("/element", {"using": "css selector", "value": selector})
        return "/element/" + next(iter(found.values()))

    def say(self, text):
        self(self.element("#text") + "/value", {"text": text})
        self(self.element("button") + "/click", {})

    def shows(self, text, seconds=20):
        end, shown = time.monotonic() + seconds, ""
        while text not in shown:
            assert time.monotonic() < end, f"no {text!r} in {shown!r}"
            shown = self.script("return document.getElementById('log').innerText")
            time.sleep(0.05)


def chat_in_chromium():
    """Two windows of a browser talk; what they show is kept as a picture, and their consoles are empty."""
    driver = program("chromedriver")
    program("chromium")
    port = free_port()
    with Server("websocket_chat") as server, Peer([driver, f"--port={port}"]) as peer:
        peer.wait_for(port)
        base = server.fds()
        browsers = [Browser(f"http://127.0.0.1:{port}") for _ in range(2)]
        try:
            for number, browser in enumerate(browsers, 1):
                browser("/url", {"url": "http://%s:%d/" % server.address})
                browser.shows("You are in.")
            first, second = browsers
            first.shows("comes in")
            first.say("hello <b>there</b>")
            second.shows("hello <b>there</b>")
            second.say("gr\u00fc\u00dfe")
            first.shows("gr\u00fc\u00dfe")
            picture = os.path.abspath("target/deep/websocket_chat.png")
            os.makedirs(os.path.dirname(picture), exist_ok=True)
            with open(picture, "wb") as file:
                file.write(base64.b64decode(first("/screenshot")))
            for browser in browsers:
                console = browser("/se/log", {"type": "browser"})
                assert console == [], f"the console says {console}"
            # the window is closed: on a mere step to another page Chromium keeps the socket for a while
            browsers.remove(second)
            second.quit()
            first.shows("has left")
        finally:
            for browser in browsers:
                browser.quit()
        server.wait_fds(base, 30)
        measured(f"two windows, no word in their consoles, {os.path.getsize(picture)} bytes of {os.path.relpath(picture)}")


def redis_benchmark():
    """redis-benchmark with 16 requests at a time, and redis-cli by hand."""
    benchmark, cli = program("redis-benchmark"), program("redis-cli")
    with Server("redis_like") as server:
        base, (host, port) = server.fds(), server.address
        text = run(benchmark, "-h", host, "-p", str(port), "-t", "ping,set,get,incr", "-n", "200000", "-c", "50",
                   "-P", "16", "-q", timeout=100).decode()
        assert "rror" not in text.replace("WARNING: Could not fetch server CONFIG", ""), text
        rates = dict(re.findall(r"([A-Z_]+): ([0-9]+)[0-9.]* requests per second", text))
        assert len(rates) == 5, text
        ask = [cli, "-h", host, "-p", str(port)]
        count = int(run(*ask, "get", "counter:__rand_int__"))
        assert count == 200000, f"{count} increments of 200000"
        assert run(*ask, "set", "a", "b c") == b"OK\n" and run(*ask, "get", "a") == b"b c\n"
        assert b"unknown command" in run(*ask, "flushall")
        server.wait_fds(base, 10)
        measured("requests a second: " + ", ".join(f"{name} {rate}" for name, rate in rates.items()))


def redis_client():
    """Our client program against a real Redis server."""
    server, port = program("redis-server"), free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with Peer(command) as peer:
            peer.wait_for(port)
            ours = [os.path.join(EXAMPLES, "redis_client"), f"redis://127.0.0.1:{port}/"]
            lines = [run(*ours).decode().splitlines() for _ in range(2)]
            assert lines[0][1] == lines[1][1] == "set: OK, got: hello", lines
            # Each of the hundred tasks has one number, in whatever order.
            first, last = map(int, re.findall(r"\d+", lines[1][0]))
            assert 101 <= min(first, last) and max(first, last) <= 200, lines
            count = run(program("redis-cli"), "-p", str(port), "get", "loopline:visits")
            assert int(count) == 200, count
    measured("200 requests of a hundred tasks on one connection, twice")


def postgres():
    """tokio-postgres against a real server: queries, COPY, LISTEN and NOTIFY, cancelling."""
    initdb, server = program("initdb"), program("postgres")
    account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        if account:  # it does not run as root
            shutil.chown(folder, "postgres", "postgres")
        data, secret = os.path.join(folder, "data"), os.path.join(folder, "secret")
        with open(secret, "w") as file:
            file.write("not so secret\n")
        os.chmod(secret, 0o644)
        run(initdb, "-D", data, "-U", "me", "--no-locale", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8",
            cwd=folder, **account)
        command = [server, "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                   "-c", "unix_socket_directories=", "-c", "fsync=off"]
        with Peer(command, cwd=folder, **account) as peer:
            peer.wait_for(port)
            end = time.monotonic() + 60
            while "ready to accept connections" not in peer.text():
                assert time.monotonic() < end, peer.text()
                time.sleep(0.05)
            settings = f"host=127.0.0.1 port={port} user=me password='not so secret' dbname=postgres"
            text = run(os.path.join(EXAMPLES, "postgres"), settings).decode()
    print(text)
    wanted = ["sum: 500500, of PostgreSQL", "copied in: 10000 rows, out: 147780 bytes", "notified on loopline: hello",
              "cancelled a query"]
    for line in wanted:
        assert line in text, f"no {line!r} in {text!r}"
    measured(", ".join(text.splitlines()))


def proxy_per_core():
    """iperf3 through the proxy, its end by Ctrl-C while a connection is open, and what it says then."""
    iperf, port = program("iperf3"), free_port()
    with Peer([iperf, "-s", "-B", "127.0.0.1", "-p", str(port)]) as peer:
        peer.wait_for(port)
        server = Server("tcp_proxy_per_core", "127.0.0.1:0", f"127.0.0.1:{port}", "2")
        try:
            rates = {}
            for name, options in ("up", []), ("down", ["-R"]):
                text = run(iperf, "-c", server.address[0], "-p", str(server.address[1]), "-t", "2", "-P", "4", "-J",
                           *options)
                rates[name] = json.loads(text)["end"]["sum_received"]["bits_per_second"] / 1e9
        finally:
            server.end()
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        address = "%s:%d" % upstream.getsockname()
        server = Server("tcp_proxy_per_core", "127.0.0.1:0", address, "2")
        try:
            pairs = []
            for _ in range(40):
                client = server.connect()
                pairs.append((client, upstream.accept()[0]))
            os.kill(server.pid, signal.SIGINT)
            end = time.monotonic() + 10
            while True:
                try:
                    server.connect().close()
                except (ConnectionRefusedError, ConnectionResetError):
                    break
                assert time.monotonic() < end, "clients are still taken"
            # what is open goes on, whichever core has it
            for client, far in pairs:
                client.sendall(b"still here")
                assert far.recv(100) == b"still here"
                far.sendall(b"so am I")
                assert client.recv(100) == b"so am I"
            assert server.process.poll() is None, "ended too early"
            for pair in pairs:
                for stream in pair:
                    stream.close()
            upstream.close()  # with whom the proxy may have connected for one of the last clients
            assert server.process.wait(9) == 0, server.stderr()
            counts = [int(n) for n in re.findall(rb"\d+", server.process.stdout.read().split(b"core:")[-1])]
            # a connection that was refused may have been taken a moment before the end
            assert len(counts) == 2 and sum(counts) >= 40 and min(counts) > 0, counts
        finally:
            server.end()
    measured(f"{rates['up']:.1f} and {rates['down']:.1f} Gbit/s; connections of each core: {counts}")


def calls_per_request():
    """A bridge adds no system call: a request that comes alone costs one wait, one read and one write, by hyper, by
    axum, and under TLS."""
    strace, counted = program("strace"), {}
    for name, path in ("http_server", "/"), ("axum_app", "/greet/you"), ("https_server", "/"):
        lines = []
        for requests in 100, 500:
            with tempfile.NamedTemporaryFile("r") as file:
                server = Server(name, prefix=[strace, "-D", "-f", "-qq", "-o", file.name])
                try:
                    host, port = server.address
                    if name == "https_server":
                        context = ssl._create_unverified_context()
                        connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
                    else:
                        connection = http.client.HTTPConnection(host, port, timeout=10)
                    for _ in range(requests):
                        connection.request("GET", path)
                        assert connection.getresponse().read()
                        time.sleep(0.002)  # so that the loop sleeps before the next one comes
                    connection.close()
                finally:
                    server.end()
                end, before = time.monotonic() + 10, -1
                while (size := os.path.getsize(file.name)) != before:  # until strace has written it all
                    before = size
                    time.sleep(0.2)
                    assert time.monotonic() < end
                lines.append(sum("resumed" not in line for line in file))
        counted[name] = (lines[1] - lines[0]) / 400
    print(counted)
    # a client that is slower than usual may find the loop awake: a few hundredths
    assert all(each <= 3.05 for each in counted.values()), counted
    measured("system calls of a request that comes alone, 3 by hand: "
             + ", ".join(f"{name} {each:.2f}" for name, each in counted.items()))


NGINX_IN_FRONT = """
daemon off; pid {folder}/pid; error_log stderr warn; worker_processes 2; worker_shutdown_timeout 10s;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream ours {{ server {server}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://ours; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""


def nginx_in_front():
    """nginx passes on what curl and wrk ask, and reads its configuration again meanwhile: its old workers end, new
    ones connect, and no request that reached our server fails."""
    nginx, wrk, curl, port = program("nginx"), program("wrk"), program("curl"), free_port()
    with tempfile.TemporaryDirectory() as folder, Server("http_server") as server:
        base = server.fds()
        user = "user root;" if os.geteuid() == 0 else ""
        config = os.path.join(folder, "conf")
        with open(config, "w") as file:
            file.write(NGINX_IN_FRONT.format(folder=folder, port=port, user=user, server="%s:%d" % server.address))
        with Peer([nginx, "-p", folder, "-c", config]) as peer:
            peer.wait_for(port)
            url, body = f"http://127.0.0.1:{port}", os.urandom(3 << 20)
            got = run(curl, "-q", "--noproxy", "*", "-sS", "--data-binary", "@-", f"{url}/echo", input=body)
            assert got == body, f"{len(got)} of {len(body)} bytes"
            load = subprocess.Popen([wrk, "-t", "2", "-c", "100", "-d", "8s", "--timeout", "20s", url + "/"],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(5):
                time.sleep(1)
                peer.process.send_signal(signal.SIGHUP)
            said = load.communicate(timeout=60)[0]
            print(said, peer.text())
            assert "Non-2xx" not in said, said
            # nginx may close a kept connection in front just as the client asks on it; nothing else may fail
            failed = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
            assert failed is None or failed[1] == failed[4] == "0", said
            assert "upstream" not in peer.text(), peer.text()
            requests = int(re.search(r"(\d+) requests in", said)[1])
            peer.process.send_signal(signal.SIGQUIT)
            peer.process.wait(20)
        server.wait_fds(base, 20)
        server.assert_quiet(2)
    measured(f"{requests} requests, 5 reloads, no answer but 200; closed in front: {failed[2] if failed else 0}")


def socat_ends_one_half():
    """socat's end of its half is passed on and answered: by a path, by an abstract name, and through the proxy."""
    socat, body = program("socat"), os.urandom(5 << 20)
    wanted = body + b"\n%d bytes\n" % len(body)
    with tempfile.TemporaryDirectory() as folder:
        path, name = os.path.join(folder, "count.sock"), f"@loopline-count-{os.getpid()}"
        for address, to in (path, f"UNIX-CONNECT:{path}"), (name, f"ABSTRACT-CONNECT:{name[1:]}"):
            with Server("unix_count", address) as server:
                base = server.fds()
                for _ in range(3):
                    got = run(socat, "-t", "20", "-", to, input=body)
                    assert got == wanted, f"{address}: {len(got)} of {len(wanted)} bytes, {got[-40:]}"
                # one that never reads is killed: nothing stays behind
                cut = subprocess.Popen([socat, "-u", "OPEN:/dev/zero", to])
                time.sleep(0.3)
                cut.kill()
                cut.wait()
                server.wait_fds(base, 10)
                server.assert_quiet(1)
        # the far end answers only when it has heard the end
        port, heard = free_port(), os.path.join(folder, "heard")
        far = [socat, f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr", f"SYSTEM:cat > {heard} && wc -c < {heard}"]
        with Peer(far):
            with Server("proxy", "127.0.0.1:0", f"127.0.0.1:{port}") as server:
                base = server.fds()
                got = run(socat, "-t", "20", "-", "TCP:%s:%d,retry=20,interval=0.1" % server.address, input=body)
                assert got.strip() == b"%d" % len(body), got
                server.wait_fds(base, 10)
    measured("5 MiB and its end: by a path, by an abstract name, through the proxy")


if __name__ == "__main__":
    main([https_by_curl, tls_breaks, chat_in_chromium, redis_benchmark, redis_client, postgres, proxy_per_core,
          nginx_in_front, socat_ends_one_half,
          calls_per_request])
