"""One raw client connection: what the twin test sends and receives, byte for byte, by label."""

import json
import socket
import time

CONNECT = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "twin", "version": "1"}


class Arrived:
    """A message as it came: subject, reply, status line, headers in their order, payload."""

    def __init__(self, subject, reply, headers, payload):
        self.subject, self.reply, self.payload = subject, reply, payload
        self.status, self.headers = None, []
        if headers is not None:
            first, *lines = headers.split("\r\n")
            self.status = first.removeprefix("NATS/1.0").strip() or None
            self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines if line]


class Line:
    def __init__(self, port, seconds=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seconds = seconds
        self.buffer = b""
        self.boxes = {}  # label → messages in order of arrival
        self.labels = {}  # sid → label
        self.sids = {}
        self.pongs = 0
        self.last_sid = 0
        self.info = json.loads(self._read_line().split(b" ", 1)[1])
        self.socket.sendall(b"CONNECT " + json.dumps(CONNECT).encode() + b"\r\n")
        self.flush()

    def close(self):
        self.socket.close()

    def subscribe(self, label, subject, queue=""):
        self.last_sid += 1
        self.labels[str(self.last_sid)] = label
        self.sids[label] = self.last_sid
        self.boxes.setdefault(label, [])
        self.socket.sendall(f"SUB {subject} {queue} {self.last_sid}\r\n".encode())

    def unsubscribe(self, label):
        self.socket.sendall(f"UNSUB {self.sids.pop(label)}\r\n".encode())

    def publish(self, subject, reply="", headers=(), payload=b""):
        if headers:
            block = ("NATS/1.0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n").encode()
            head = f"HPUB {subject} {reply} {len(block)} {len(block) + len(payload)}\r\n".encode()
            self.socket.sendall(head + block + payload + b"\r\n")
        else:
            self.socket.sendall(f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n")

    def flush(self):
        """Everything sent so far has been read by the server."""
        before = self.pongs
        self.socket.sendall(b"PING\r\n")
        while self.pongs == before:
            self._step()

    def wait(self, label, count, seconds):
        """Until `label` holds `count` messages; false when they don't come in time."""
        deadline = time.monotonic() + seconds
        while len(self.boxes[label]) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                self._step()
            except TimeoutError:
                return False
            finally:
                self.socket.settimeout(self.seconds)
        return True

    def _fill(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.buffer += data

    def _read_line(self):
        while b"\r\n" not in self.buffer:
            self._fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _read_exactly(self, size):
        while len(self.buffer) < size + 2:
            self._fill()
        out, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        return out

    def _step(self):
        while b"\r\n" not in self.buffer:
            self._fill()
        # A message is taken whole or not at all: a timeout in the middle leaves it in the buffer.
        line = self.buffer.split(b"\r\n", 1)[0]
        word, *rest = line.decode().split(" ")
        if word in ("MSG", "HMSG"):
            size = int(rest[-1])
            while len(self.buffer) < len(line) + 2 + size + 2:
                self._fill()
        self._read_line()
        if word == "PONG":
            self.pongs += 1
        elif word == "PING":
            self.socket.sendall(b"PONG\r\n")
        elif word in ("MSG", "HMSG"):
            body = self._read_exactly(int(rest[-1]))
            fields = 4 if word == "HMSG" else 3
            reply = rest[2] if len(rest) > fields else ""
            headers, payload = None, body
            if word == "HMSG":
                block = int(rest[-2])
                headers, payload = body[:block].decode("utf-8", "replace"), body[block:]
            self.boxes[self.labels[rest[1]]].append(Arrived(rest[0], reply, headers, payload))
        elif word == "-ERR":
            raise ConnectionError(line.decode())
