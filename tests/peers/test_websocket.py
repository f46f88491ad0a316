"""WebSocket clients on Sluice and on the reference: the official nats.js in node and in Chromium, and raw frames."""

import base64
import json
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import zlib

import pytest

import servers
from left_out import leave_out
from test_other_clients import prepare

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = servers.ROOT / "tests/fixtures/tls"
TLS = f'tls {{ cert_file: "{FIXTURES}/server.pem", key_file: "{FIXTURES}/server-key.pem" }}'


@pytest.fixture(params=["sluice", "nats-server"])
def kind(request):
    return request.param


def start(kind, farm, block, more=""):
    """The server, and the port of its WebSocket listener."""
    port = servers.free_port()
    path = farm.folder / f"{kind}-ws.conf"
    path.write_text(f'websocket {{ listen: "127.0.0.1:{port}", {block} }}\n{more}')
    if kind == "nats-server" and not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    make = farm.nats_server if kind == "nats-server" else farm.sluice_as_nats_server
    server = make(extra=("-c", str(path))).start()
    servers.wait_for_port(port, server.process)
    return server, port


class Raw:
    """A client that sees frames."""

    def __init__(self, port, headers=(), tls=False):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        if tls:
            context = ssl.create_default_context(cafile=str(FIXTURES / "ca.pem"))
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET / HTTP/1.1", f"Host: localhost:{port}", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *headers, "", ""]
        self.held = b""
        self.socket.sendall("\r\n".join(lines).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            if not byte:
                break
            head += byte
        self.status = int(head.split()[1])
        self.head = head.decode()

    def exactly(self, count):
        while len(self.held) < count:
            part = self.socket.recv(65536)
            if not part:
                return None
            self.held += part
        out, self.held = self.held[:count], self.held[count:]
        return out

    def frame(self):
        """(opcode, fin, rsv1, payload), or None at the end."""
        head = self.exactly(2)
        if head is None:
            return None
        size = head[1] & 0x7f
        if size == 126:
            size = struct.unpack(">H", self.exactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.exactly(8))[0]
        assert not head[1] & 0x80, "a server does not mask"
        return head[0] & 15, bool(head[0] & 0x80), bool(head[0] & 0x40), self.exactly(size)

    def send(self, payload, opcode=2, fin=True, rsv1=False, masked=True):
        head = bytes([opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)])
        bit = 0x80 if masked else 0
        if len(payload) < 126:
            head += bytes([bit | len(payload)])
        elif len(payload) < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", len(payload))
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
        if masked:
            key = os.urandom(4)
            payload = bytes(b ^ key[i % 4] for i, b in enumerate(payload))
            head += key
        self.socket.sendall(head + payload)

    def info(self):
        opcode, fin, rsv1, payload = self.frame()
        assert (opcode, fin, rsv1) == (2, True, False)
        assert payload.startswith(b"INFO ")
        return json.loads(payload[5:])

    def text(self, count):
        """That many bytes of NATS protocol."""
        got = b""
        while len(got) < count:
            opcode, _, rsv1, payload = self.frame()
            assert opcode in (0, 2)
            got += zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff") if rsv1 else payload
        return got


HELLO = b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n'
PONG = b"PONG\r\n"


def test_the_handshake_and_the_first_frames(kind, farm):
    server, port = start(kind, farm, "no_tls: true")
    raw = Raw(port)
    assert raw.status == 101
    assert "Upgrade: websocket\r\n" in raw.head and "Connection: Upgrade\r\n" in raw.head
    info = raw.info()
    assert info["port"] == port and "tls_required" not in info
    raw.send(HELLO)
    assert raw.text(6) == PONG
    raw.send(b"SUB a 1\r\nPUB a 5\r\nhe", fin=False)
    raw.send(b"ping", opcode=9)
    assert raw.frame() == (10, True, False, b"ping")
    raw.send(b"llo\r\n", opcode=0)
    assert raw.text(18) == b"MSG a 1 5\r\nhello\r\n"
    raw.send(struct.pack(">H", 1000), opcode=8)
    closing = raw.frame()
    assert closing[0] == 8 and closing[3][:2] == struct.pack(">H", 1000)


def test_tls(kind, farm):
    server, port = start(kind, farm, TLS)
    raw = Raw(port, tls=True)
    assert raw.status == 101
    assert raw.info()["tls_required"] is True
    raw.send(HELLO)
    assert raw.text(6) == PONG


def test_refused_handshakes(kind, farm):
    server, port = start(kind, farm, 'no_tls: true, same_origin: true')
    assert Raw(port, ["Origin: http://elsewhere.org"]).status == 403
    assert Raw(port, [f"Origin: http://localhost:{port}"]).status == 101
    assert Raw(port).status == 101
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        got = b""
        while b"Bad Request\n" not in got:
            part = plain.recv(4096)
            assert part, got
            got += part
        assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"Sec-Websocket-Version: 13\r\n" in got


def test_masking(kind, farm):
    server, port = start(kind, farm, "no_tls: true")
    raw = Raw(port)
    raw.info()
    raw.send(HELLO, masked=False)
    last = raw.frame()
    assert last is None or last[0] == 8
    agreed = Raw(port, ["Nats-No-Masking: true"])
    assert "Nats-No-Masking: true\r\n" in agreed.head
    agreed.info()
    agreed.send(HELLO, masked=False)
    assert agreed.text(6) == PONG


def test_compression(kind, farm):
    server, port = start(kind, farm, "no_tls: true, compression: true")
    raw = Raw(port, ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"])
    assert "permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n" in raw.head
    opcode, fin, rsv1, payload = raw.frame()
    assert rsv1  # INFO is longer than 64 bytes
    assert zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff").startswith(b"INFO {")
    body = b"x" * 5000
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = packer.compress(HELLO + b"SUB a 1\r\nPUB a 5000\r\n" + body + b"\r\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    raw.send(packed[:-4], rsv1=True)
    expected = PONG + b"MSG a 1 5000\r\n" + body + b"\r\n"
    assert raw.text(len(expected)) == expected


def test_a_refused_client_is_told_in_words_and_code(kind, farm):
    server, port = start(kind, farm, "no_tls: true", 'authorization { token: "secret" }')
    raw = Raw(port)
    assert raw.info()["auth_required"] is True
    raw.send(b'CONNECT {"auth_token":"wrong"}\r\n')
    assert raw.frame()[3] == b"-ERR 'Authorization Violation'\r\n"
    assert raw.frame() == (8, True, False, struct.pack(">H", 1008) + b"Authentication Failure")


def test_a_cookie_logs_in(kind, farm):
    server, port = start(kind, farm, 'no_tls: true, token_cookie: "nats"', 'authorization { token: "secret" }')
    raw = Raw(port, ["Cookie: a=b; nats=secret"])
    raw.info()
    raw.send(HELLO)
    assert raw.text(6) == PONG


@pytest.fixture(scope="session")
def browser_folder():
    if not shutil.which("node") or not shutil.which("npm"):
        leave_out("no Node here (nats.js needs node 20 and npm)")
    folder = servers.ROOT / "build/peers/browser"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "browser/package.json").read_text()
    installed = folder / "installed.json"
    if not installed.exists() or installed.read_text() != wanted:
        (folder / "package.json").write_text(wanted)
        prepare(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], folder, "npm install of nats.js")
        installed.write_text(wanted)
    for source in [*(HERE / "browser").glob("*.mjs"), HERE / "js/logins.mjs"]:
        shutil.copy(source, folder)
    return folder


def run(command, folder):
    environment = dict(os.environ, NODE_EXTRA_CA_CERTS=str(FIXTURES / "ca.pem"))
    done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def check(seen, port):
    assert seen["server_port"] == port
    assert seen["core"] == [["page.small", 5, "greeting"], ["page.large", 700_000, ""], ["page.empty", 0, ""]]
    assert seen["answer"] == "answer to you"
    assert seen["orders"] == [f"orders.{i}" for i in range(1, 51)]
    assert seen["watched"] == [["colour", "PUT", "red"], ["colour", "PUT", "blue"], ["colour", "DEL", ""]]


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_nats_js_in_node(kind, farm, browser_folder, scheme):
    server, port = start(kind, farm, TLS if scheme == "wss" else "no_tls: true, compression: true")
    options = json.dumps({"servers": [f"{scheme}://localhost:{port}"]})
    check(run(["node", "in_node.mjs", options], browser_folder), port)


def test_nats_js_in_chromium(kind, farm, browser_folder):
    chromium = shutil.which("chromium")
    if not chromium:
        leave_out("no chromium here (Debian package chromium)")
    server, port = start(kind, farm, TLS + ", compression: true")
    options = json.dumps({"servers": [f"wss://localhost:{port}"]})
    profile = str(farm.folder / "profile")
    check(run(["node", "in_chromium.mjs", chromium, profile, options], browser_folder), port)
