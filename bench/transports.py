"""Publishing through TLS and WebSocket, and what an idle connection of each takes: Sluice beside nats-server.

The client sends batches made beforehand, so the figure is the server's CPU time for a message of 128 B.
"""

import argparse
import json
import os
import pathlib
import socket
import ssl
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/peers"))
import servers  # noqa: E402
from test_websocket import Raw as WebSocketClient  # noqa: E402

FIXTURES = ROOT / "tests/fixtures/tls"
BATCH = 500
LINE = b"PUB bench 128\r\n" + b"x" * 128 + b"\r\n"
HELLO = b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n'


def conf(websocket_port, secure_websocket_port=None):
    tls = f'tls {{ cert_file: "{FIXTURES}/server-rsa.pem", key_file: "{FIXTURES}/server-rsa-key.pem", timeout: 60 }}'
    ws = f"{tls}" if secure_websocket_port else "no_tls: true"
    port = secure_websocket_port or websocket_port
    return f'{tls}\nallow_non_tls: true\nwebsocket {{ listen: "127.0.0.1:{port}", {ws} }}\n'


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


def tcp(port, secure):
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    while not sock.recv(1) == b"\n":
        pass
    if secure:
        context = ssl.create_default_context(cafile=str(FIXTURES / "ca.pem"))
        sock = context.wrap_socket(sock, server_hostname="localhost")
    sock.sendall(HELLO)
    assert sock.recv(6) == b"PONG\r\n"
    return sock


def websocket(port, secure):
    client = WebSocketClient(port, tls=secure)
    client.info()
    client.send(HELLO)
    assert client.text(6) == b"PONG\r\n"
    return client


def masked(payload):
    key = b"\x01\x02\x03\x04"
    body = bytes(a ^ b for a, b in zip(payload, key * (len(payload) // 4 + 1)))
    return b"\x82" + bytes([0xff]) + struct.pack(">Q", len(payload)) + key + body


def publish(server, sock, batch, count, pong):
    """CPU microseconds of the server for a message."""
    before = cpu_seconds(server.process.pid)
    for _ in range(count // BATCH):
        sock.sendall(batch)
    pong()
    return (cpu_seconds(server.process.pid) - before) / count * 1e6


def measure(kind, count, idle):
    farm = servers.Farm()
    figures = {}
    try:
        for secure in (False, True):
            ws_port = servers.free_port()
            path = farm.folder / f"{kind}-{secure}.conf"
            path.write_text(conf(ws_port, ws_port if secure else None))
            make = farm.nats_server if kind == "nats-server" else farm.sluice_as_nats_server
            server = make(name=f"{kind}-{secure}", extra=("-c", str(path))).start()
            servers.wait_for_port(ws_port, server.process)
            # First, on a fresh heap; all are kept, so that nothing is measured in freed memory.
            word, word_ws = ("tls", "wss") if secure else ("plain", "ws")
            kept = []
            for name, make_one in ((word, lambda: tcp(server.port, secure)),
                                   (word_ws, lambda: websocket(ws_port, secure))):
                kept += [make_one() for _ in range(10)]
                before = resident(server.process.pid)
                kept += [make_one() for _ in range(idle)]
                figures[f"{name} idle connection, KB"] = round((resident(server.process.pid) - before) / idle / 1024, 1)
            del kept
            sock = tcp(server.port, secure)

            def pong():
                sock.sendall(b"PING\r\n")
                got = b""
                while b"PONG\r\n" not in got:  # the server may ask, too
                    got += sock.recv(100)

            figures[f"{word} publish, CPU us"] = round(publish(server, sock, LINE * BATCH, count, pong), 3)
            client = websocket(ws_port, secure)

            def ws_pong():
                client.send(b"PING\r\n")
                while client.text(6) != b"PONG\r\n":  # the server may ask, too
                    pass

            figures[f"{word_ws} publish, CPU us"] = round(
                publish(server, client.socket, masked(LINE * BATCH), count, ws_pong), 3)
            server.stop()
    finally:
        farm.close()
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--idle", type=int, default=300)
    options = parser.parse_args()
    both = {kind: measure(kind, options.messages, options.idle) for kind in ("sluice", "nats-server")}
    print(json.dumps(both, indent=2))
    for name, ours in both["sluice"].items():
        theirs = both["nats-server"][name]
        print(f"{name:32} sluice {ours:8} nats-server {theirs:8}  ratio {ours / theirs:.2f}" if theirs else name)


if __name__ == "__main__":
    main()
