"""Crowds and strangers at the door: two clients that talk all the while notice nothing.

The figures that are printed (`pytest -s`) stand in docs/performance.md; none of them fails a test.
"""

import contextlib
import json
import random
import socket
import ssl
import threading
import time

import pytest

import servers
from test_pressure import Plain, resident_kb, start

TLS = servers.ROOT / "tests/fixtures/tls"
TLS_CONF = f'tls {{ cert_file: "{TLS}/server.pem", key_file: "{TLS}/server-key.pem", timeout: 2 }}\n'


class Secure(Plain):
    """The same inside TLS."""

    def __init__(self, port):
        super().__init__(port)
        self.info = json.loads(self.line()[5:])
        context = ssl.create_default_context(cafile=str(TLS / "ca.pem"))
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def login(self, extra=""):
        self.socket.sendall(b'CONNECT {"verbose":false%s}\r\n' % extra.encode())
        self.ask()
        return self


class Talk:
    """A publisher and a subscriber in a thread of their own; every message must come, in order."""

    def __init__(self, port, client=Plain):
        self.reader, self.writer = client(port).login(), client(port).login()
        self.reader.socket.sendall(b"SUB talk 1\r\n")
        self.reader.ask()
        self.over = threading.Event()
        self.times, self.failure = [], None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.over.is_set() or len(self.times) < 50:
                number = b"%d" % len(self.times)
                begin = time.monotonic()
                # The PONG is for PINGs that nobody reads here.
                self.writer.socket.sendall(b"PONG\r\nPUB talk %d\r\n%b\r\n" % (len(number), number))
                line = self.reader.line()
                while line.startswith(b"PING"):
                    self.reader.socket.sendall(b"PONG\r\n")
                    line = self.reader.line()
                assert line == b"MSG talk 1 %d\r" % len(number), line
                assert self.reader.line() == number + b"\r"
                self.times.append(time.monotonic() - begin)
                self.over.wait(0.001)
        except Exception as e:
            self.failure = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(60)

    def check(self, label):
        assert self.failure is None, repr(self.failure)
        times = sorted(self.times)
        print(f"{label}: {len(times)} messages, p50 {times[len(times) // 2] * 1e6:.0f} µs, "
              f"p99 {times[len(times) * 99 // 100] * 1e6:.0f} µs, longest {times[-1] * 1e3:.1f} ms")


GARBAGE = [b"\x00" * 40 + b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PUB\r\n", b"PUB a -1\r\n", b"PUB a 99999999999999999999\r\n",
           b"SUB \xff\xfe 1 2 3 4\r\n", b"UNSUB\r\n", b"HPUB a 5 2\r\n", b"MSG a 1 1\r\nx\r\n", b"CONNECT {{{{\r\n", b"\x16\x03\x01\x02\x00\x01" * 9]


def test_garbage_after_connect(farm):
    """Each is cut, whatever it looks like."""
    server = start(farm)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    told = 0
    with Talk(server.port) as talk:
        for i in range(300):
            client = Plain(server.port).login()
            noise = GARBAGE[i % len(GARBAGE)] if i < 3 * len(GARBAGE) else b"\x01" + dice.randbytes(200)
            client.socket.sendall(noise + b"\r\nFOO\r\n")
            said = b""
            with contextlib.suppress(ConnectionResetError):  # it may close before it has read everything
                while piece := client.socket.recv(4096):  # until the server's end
                    said += piece
            told += b"-ERR '" in said  # a bad size ends it without a word, as at the reference
            client.close()
    assert told > 100
    talk.check("garbage after CONNECT, 300 clients")
    assert server.process.poll() is None


def test_connections_whose_other_end_is_gone(farm):
    """They answer no PING: each is cut as stale. Those that only closed their half are cut at once."""
    server = start(farm, 'ping_interval: "300ms"\nping_max: 2\n')
    with Talk(server.port) as talk:
        silent = [Plain(server.port).login() for _ in range(200)]
        closed = [Plain(server.port).login() for _ in range(100)]
        for client in closed:
            client.socket.shutdown(socket.SHUT_WR)
        for client in closed:
            assert client.line() in (b"", b"PING\r")
        for client in silent:
            line = client.line()
            while line == b"PING\r":
                line = client.line()
            assert line == b"-ERR 'Stale Connection'\r"
            assert client.line() == b""
    talk.check("200 silent clients, 100 half-closed")


def test_tls_handshakes_that_never_end(farm):
    """A byte now and then does not keep a handshake alive beyond its time."""
    server = start(farm, TLS_CONF)
    with Talk(server.port, Secure) as talk:
        slow = []
        for _ in range(100):
            client = Plain(server.port)
            assert client.line().startswith(b"INFO ")
            slow.append(client)
        deadline = time.monotonic() + 60
        hello = iter(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 400)
        while slow:
            assert time.monotonic() < deadline, f"{len(slow)} are still there"
            byte = bytes([next(hello, 0)])
            for client in list(slow):
                client.socket.settimeout(0.001)
                try:
                    client.socket.sendall(byte)
                    ended = client.socket.recv(100) == b""
                except TimeoutError:
                    ended = False
                except ConnectionError:
                    ended = True
                if ended:
                    slow.remove(client)
                    client.close()
        Secure(server.port).login().close()
    talk.check("100 TLS handshakes that never end")


def test_slow_readers(farm):
    """Five read nothing of a flood: they are cut, the others' messages come as before."""
    server = start(farm, "max_pending: 1MB\n")
    with Talk(server.port) as talk:
        deaf = [Plain(server.port).login() for _ in range(5)]
        for client in deaf:
            client.socket.sendall(b"SUB flood 1\r\n")
            client.ask()
        publisher = Plain(server.port).login()
        message = b"PUB flood 50000\r\n" + b"x" * 50000 + b"\r\n"
        for _ in range(400):
            publisher.socket.sendall(message)
        publisher.ask()
        for client in deaf:
            with contextlib.suppress(ConnectionError):
                while client.socket.recv(1 << 20):
                    pass
    talk.check("5 deaf subscribers of 20 MB")


@pytest.mark.parametrize("kind, count", [("plain", 2000), ("tls", 100)])
def test_memory_of_an_idle_connection(farm, kind, count):
    server = start(farm, TLS_CONF.replace("timeout: 2", "timeout: 60") if kind == "tls" else "")
    client = Secure if kind == "tls" else Plain
    warm = [client(server.port).login() for _ in range(20)]
    before = resident_kb(server.process.pid)
    begin = time.monotonic()
    crowd = [client(server.port).login() for _ in range(count)]
    took = time.monotonic() - begin
    print(f"{count} idle {kind} connections: {(resident_kb(server.process.pid) - before) * 1024 / count:.0f} bytes each, "
          f"{took:.1f} s to log in")
    for one in [*warm, *crowd]:
        one.ask()
