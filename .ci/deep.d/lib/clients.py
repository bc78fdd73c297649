"""Real clients, in number, against the example programs."""

import hashlib
import http.server
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from faults import hold, kill_client_of
from server import Server, die_with_parent, main, measured, raise_fd_limit, skip

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr error;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on;
    client_max_body_size 0; client_body_temp_path {folder}/body; client_body_in_file_only off;
    proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; location / {{ root {folder}/files; dav_methods PUT; }} }}
}}
"""


class Upstream:
    """A real HTTP server on the loopback: nginx, else Python's own with PUT added."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="deep-")
        self.files = os.path.join(self.folder, "files")
        os.mkdir(self.files)
        self.process = None
        self.name = "nginx" if self._start_nginx() else "python's http.server"
        if self.process is None:
            self._start_python()
        return self

    def _start_nginx(self):
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if program is None:
            return False
        known = subprocess.run([program, "-V"], capture_output=True, text=True).stderr
        if "http_dav_module" not in known:
            return False
        with socket.socket() as free:  # nginx takes no port 0: one that was free a moment ago
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = os.path.join(self.folder, "conf")
        user = "user root;" if os.geteuid() == 0 else ""
        with open(config, "w") as file:
            file.write(NGINX.format(folder=self.folder, port=self.port, user=user))
        self.process = subprocess.Popen([program, "-p", self.folder, "-c", config], stdin=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent)
        end = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.05)
        self.process.kill()
        self.process.wait()
        self.process = None
        return False

    def _start_python(self):
        files = self.files

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=files)

            def do_PUT(self):
                left = int(self.headers["Content-Length"])
                if self.headers.get("Expect") == "100-continue":
                    self.send_response_only(100)
                    self.end_headers()
                with open(os.path.join(files, os.path.basename(self.path)), "wb") as file:
                    while left > 0:
                        part = self.rfile.read(min(left, 1 << 20))
                        if not part:
                            return
                        file.write(part)
                        left -= len(part)
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _slow_sha256(file)


def _slow_sha256(file):
    digest = hashlib.sha256()
    while part := file.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()


def transfers():
    """curl through the proxy example: down, up, and four at once; the bytes are the same."""
    size = int(os.environ.get("DEEP_BYTES", 1 << 30))
    if shutil.which("curl") is None:
        skip("needs curl")
    with Upstream() as upstream:
        if shutil.disk_usage(upstream.folder).free < 3 * size + (1 << 30):
            skip(f"needs {3 * size} free bytes in {tempfile.gettempdir()}")
        original = os.path.join(upstream.files, "original")
        with open(original, "wb") as file, open("/dev/urandom", "rb") as random:
            left = size
            while left > 0:
                left -= file.write(random.read(min(left, 1 << 20)))
        wanted = sha256(original)
        with Server("proxy", "127.0.0.1:0", f"127.0.0.1:{upstream.port}") as server:
            base = server.fds()
            url = "http://%s:%d/" % server.address
            curl = ["curl", "-q", "--noproxy", "*", "-sS", "--fail", "--max-time", "240"]

            began = time.monotonic()
            back = os.path.join(upstream.folder, "back")
            subprocess.run([*curl, "-o", back, url + "original"], check=True)
            down = time.monotonic() - began
            assert os.path.getsize(back) == size and sha256(back) == wanted, "the download differs"

            began = time.monotonic()
            subprocess.run([*curl, "-o", os.devnull, "-T", back, url + "uploaded"], check=True)
            up = time.monotonic() - began
            uploaded = os.path.join(upstream.files, "uploaded")
            assert os.path.getsize(uploaded) == size and sha256(uploaded) == wanted, "the upload differs"
            os.remove(uploaded)
            os.remove(back)

            small = os.path.join(upstream.files, "small")
            with open(original, "rb") as source, open(small, "wb") as file:
                shutil.copyfileobj(source, file) if size < 1 << 25 else file.write(source.read(1 << 25))
            wanted = sha256(small)
            copies = [os.path.join(upstream.folder, f"copy{n}") for n in range(4)]
            running = [subprocess.Popen([*curl, "-o", copy, url + "small"]) for copy in copies]
            assert [process.wait() for process in running] == [0] * 4
            assert all(sha256(copy) == wanted for copy in copies), "one of four at once differs"

            server.wait_fds(base, 10)
            server.assert_quiet(2)
            rss = server.rss() >> 20
            megabyte = size / 1e6
            measured(f"{size >> 20} MiB of {upstream.name}: down {megabyte / down:.0f} MB/s, "
                     f"up {megabyte / up:.0f} MB/s, {rss} MiB resident")


class Client:
    """A non-blocking stream with what it has yet to send and what it received."""

    def __init__(self, address):
        self.stream = socket.socket()
        self.stream.setblocking(False)
        self.stream.connect_ex(address)
        self.out, self.got = b"", bytearray()

    def fileno(self):
        return self.stream.fileno()


class Crowd:
    """Many clients on one epoll."""

    def __init__(self):
        self.poll = select.epoll()
        self.clients = {}

    def add(self, client):
        self.clients[client.fileno()] = client
        self.poll.register(client.fileno(), select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def connect(self, address, count, seconds=60, ahead=200):
        """`count` clients, at most `ahead` of them connecting at one time."""
        made, ready, end = [], 0, time.monotonic() + seconds
        while ready < count:
            while len(made) < count and len(made) - ready < ahead:
                client = Client(address)
                made.append(client)
                self.add(client)
            for number, event in self.poll.poll(0.5):
                client = self.clients[number]
                if not hasattr(client, "connected") and event & select.EPOLLOUT and not event & select.EPOLLHUP:
                    error = client.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    assert error == 0, os.strerror(error)
                    client.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    client.connected = True
                    ready += 1
            assert time.monotonic() < end, f"{ready} of {count} connected after {seconds} s"
        return made

    def send(self, client, data):
        client.out += data
        self.flush(client)

    def flush(self, client):
        while client.out:
            try:
                client.out = client.out[client.stream.send(client.out):]
            except BlockingIOError:
                return

    def turn(self, timeout=0.5):
        """Moves bytes; returns the clients that received some."""
        changed = []
        for number, event in self.poll.poll(timeout):
            client = self.clients[number]
            if event & select.EPOLLOUT:
                self.flush(client)
            if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                while True:
                    try:
                        part = client.stream.recv(65536)
                    except BlockingIOError:
                        break
                    assert part, "the server closed a well-behaved client"
                    client.got += part
                    changed.append(client)
        return changed

    def close(self):
        # By and by: loopback's queue drops what is more than a thousand packets, and on a busy machine the
        # kernel gives up on such a goodbye, of which the server then never hears.
        for number, client in enumerate(self.clients.values()):
            client.stream.close()
            if number % 200 == 199:
                time.sleep(0.01)
        self.poll.close()
        self.clients = {}


def many_connections():
    """The echo server holds 10,000 connections; 1,000 of them talk at once."""
    wanted = int(os.environ.get("DEEP_CLIENTS", 10_000))
    count = min(wanted, raise_fd_limit() - 200)
    with Server("echo_server") as server:
        base, memory = server.fds(), server.rss()
        crowd = Crowd()
        began = time.monotonic()
        clients = crowd.connect(server.address, count)
        for number, client in enumerate(clients):
            crowd.send(client, b"%08d" % number)
            if number % 500 == 0:
                crowd.turn(0)
        end = time.monotonic() + 60
        answered = 0
        while answered < count:
            crowd.turn()
            answered = sum(len(client.got) == 8 for client in clients)
            assert time.monotonic() < end, f"{answered} of {count} answered"
        assert all(client.got == b"%08d" % number for number, client in enumerate(clients)), "an echo differs"
        held = time.monotonic() - began
        assert server.fds() >= base + count
        each = (server.rss() - memory) / count
        idle = server.assert_quiet()

        busy, rounds, message = clients[: min(1000, count)], 20, os.urandom(512)
        took, left, end = [], len(busy), time.monotonic() + 60
        for client in busy:
            client.got.clear()
            client.rounds, client.began = 0, time.monotonic()
            crowd.send(client, message)
        while left:
            for client in set(crowd.turn()):
                if len(client.got) < len(message):
                    continue
                assert client.got == message, "an echo differs"
                client.got.clear()
                took.append(time.monotonic() - client.began)
                client.rounds += 1
                if client.rounds < rounds:
                    client.began = time.monotonic()
                    crowd.send(client, message)
                else:
                    left -= 1
            assert time.monotonic() < end, f"{left} of {len(busy)} busy clients unfinished after 60 s"
        took.sort()
        crowd.close()
        server.wait_fds(base, 20)
        short = "" if count == wanted else f" (descriptor limit; {wanted} wanted)"
        measured(f"{count} held{short} in {held:.1f} s, {each:.0f} B resident each, {idle:.2f} s CPU in 3 s idle; "
                 f"{len(busy)} busy: p50 {took[len(took) // 2] * 1000:.1f} ms, p99 {took[len(took) * 99 // 100] * 1000:.1f} ms")


def until(crowd, done, seconds, what):
    end = time.monotonic() + seconds
    while not done():
        crowd.turn(0.1)
        assert time.monotonic() < end, f"{what()} after {seconds} s"


def chat_crowd(server, count):
    """`count` people in the chat; the first line of each is harmless as a name or as a message."""
    crowd = Crowd()
    people = crowd.connect(server.address, count)
    for number, person in enumerate(people):
        person.number = number
        crowd.send(person, b"person%d\n" % number)
        crowd.turn(0)
    quiet = time.monotonic() + 0.5
    while time.monotonic() < quiet:
        if crowd.turn(0.1):
            quiet = time.monotonic() + 0.5
    return crowd, people


def chat_reaches_everybody():
    """500 clients: a line that one sends reaches each of the others."""
    with Server("chat") as server:
        base = server.fds()
        count = 500
        crowd, people = chat_crowd(server, count)
        began = time.monotonic()
        for first in range(0, count, 10):  # in waves: how much the server queues for one client is its own affair
            senders = people[first : first + 10]
            for person in people:
                person.got.clear()
            for sender in senders:
                crowd.send(sender, b"token-%d-end\n" % sender.number)

            def missing():
                return sum(b"token-%d-end" % sender.number not in person.got
                           for person in people for sender in senders if sender is not person)
            until(crowd, lambda: missing() == 0, 20, lambda: f"{missing()} lines of one wave missing")
        took = time.monotonic() - began
        server.assert_quiet(2)
        crowd.close()
        server.wait_fds(base, 10)
        measured(f"{count * (count - 1)} lines delivered in {took:.1f} s")


def chat_drops_who_never_reads():
    """One client never reads: it is dropped, the others go on, memory is bounded."""
    with Server("chat") as server:
        crowd, people = chat_crowd(server, 5)
        with_five = server.fds()
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(server.address)
        deaf.sendall(b"deaf\n")
        end = time.monotonic() + 5
        while server.fds() <= with_five:
            assert time.monotonic() < end, "the sixth client is not taken"
            time.sleep(0.02)
        memory, talker, readers = server.rss(), people[0], people[1:]
        line = b"x" * 400 + b"\n"
        sent, number = 0, 0
        end = time.monotonic() + 60
        while server.fds() > with_five:
            assert sent < 64 << 20, "64 MiB later it is still there"
            assert time.monotonic() < end, f"still there after 60 s and {sent >> 10} KiB"
            number += 1
            crowd.send(talker, line * 20 + b"mark-%d-end\n" % number)
            sent += 21 * len(line)
            mark = b"mark-%d-end" % number
            until(crowd, lambda: all(mark in reader.got for reader in readers), 10,
                  lambda: f"batch {number} is missing at {sum(mark not in r.got for r in readers)} of 4 readers")
            for person in people:
                person.got.clear()
        growth = (server.rss() - memory) >> 10
        crowd.send(talker, b"afterwards-end\n")
        until(crowd, lambda: all(b"afterwards-end" in reader.got for reader in readers), 5, lambda: "not delivered")
        assert server.fds() == with_five, "another client was dropped too"
        deaf.close()
        crowd.close()
        measured(f"dropped after {sent >> 10} KiB, memory grew {growth} KiB")


def chat_killed_clients():
    """A client process with 200 connections is killed: nothing stays behind."""
    with Server("chat") as server:
        kill_client_of(server)


def echo_killed_clients():
    """The same for the echo server."""
    with Server("echo_server") as server:
        kill_client_of(server)


if __name__ == "__main__":
    main([transfers, many_connections, chat_reaches_everybody, chat_drops_who_never_reads,
          chat_killed_clients, echo_killed_clients, hold], deadline=900)
