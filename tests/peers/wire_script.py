"""Plays dialogues of tests/wire_script: exact bytes in and out, on any NATS server.

A file opens with the server's configuration (lines that begin with `| `); then come dialogues, each under
`== its name`. A step is a client's name and what it does; a client connects at its first step.

    a> TEXT       sends TEXT and CR LF            a< TEXT       the next bytes are TEXT and CR LF
    a>> TEXT      sends TEXT as it stands         a<< TEXT      the next bytes are TEXT as it stands
    a open        connects, the INFO stays unread a<~ REGEX     the next line matches
    a close       hangs up                        a<info JSON   the next line is an INFO with these members
    a sync        PING, and the next line is PONG a<eof         the server hangs up, nothing came before
    a wait        for a PING of the server        any< a b TEXT exactly one of them gets it, then all are in sync
    bytewise      from here on every byte is sent alone

In TEXT: \\r \\n \\t \\0 \\\\ \\xNN, and \\R(x,100) for x a hundred times. $NAME in a step is what the runner stored. What a client sends in
steps that follow each other goes out in one piece. `[sluice]` or `[nats]` before a step: only on that server; the dialogue is then a row of
docs/compatibility.md. `#` begins a comment line.
"""

import contextlib
import dataclasses
import json
import pathlib
import re
import socket

PATIENCE_S = 10


@dataclasses.dataclass
class Dialogue:
    file: str
    name: str
    line: int
    steps: list = dataclasses.field(default_factory=list)

    @property
    def identity(self):
        return f"{self.file}: {self.name}"

    @property
    def differs(self):
        return any(only for _, only, _ in self.steps)


def read_file(path):
    """(configuration text, [Dialogue])."""
    path = pathlib.Path(path)
    config, dialogues = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("| ") and not dialogues:
            config.append(line[2:])
        elif line.startswith("== "):
            dialogues.append(Dialogue(path.stem, line[3:].strip(), number))
        elif line.strip() and not line.startswith("#"):
            only = re.match(r"\[(sluice|nats)\] ", line)
            dialogues[-1].steps.append((number, only and only[1], line[only.end():] if only else line))
    return "\n".join(config) + "\n", dialogues


def unescape(text):
    def one(match):
        if match[1] is not None:
            return match[1] * int(match[2])
        token = match[0][1:]
        if token[0] == "x":
            return chr(int(token[1:], 16))
        return {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}[token]

    return re.sub(r"\\R\((.+?),(\d+)\)|\\x[0-9a-fA-F]{2}|\\[rnt0\\]", one, text).encode("latin-1")


class Client:
    def __init__(self, port, name, answer_pings):
        self.name = name
        self.answer_pings = answer_pings
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""
        self.unsent = b""
        self.info = {}

    def _more(self):
        """False at the end. A PING of the server's own is answered and forgotten, unless the dialogue waits for it."""
        if self.answer_pings and self.got == b"PING\r\n":
            self.got = b""
            self.send(b"PONG\r\n", False)
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            piece = b""
        except TimeoutError:
            raise AssertionError(f"{self.name}: nothing came in {PATIENCE_S} s after {self.got!r}") from None
        self.got += piece
        if self.answer_pings and self.got.startswith(b"PING\r\n") and len(self.got) > 6:
            self.got = self.got[6:]
            self.send(b"PONG\r\n", False)
        return bool(piece)

    def take(self, count):
        while len(self.got) < count and self._more():
            pass
        piece, self.got = self.got[:count], self.got[count:]
        return piece

    def line(self):
        while b"\n" not in self.got and self._more():
            pass
        end = self.got.find(b"\n") + 1
        return self.take(end if end else len(self.got))

    def send(self, data, bytewise):
        with contextlib.suppress(ConnectionError):  # the server may have hung up: what it said counts
            if not bytewise:
                self.socket.sendall(data)
            else:
                for i in range(len(data)):
                    self.socket.sendall(data[i:i + 1])

    def flush(self, bytewise):
        data, self.unsent = self.unsent, b""
        self.send(data, bytewise)

    def rest(self):
        while self._more():
            pass
        return self.take(len(self.got))

    def read_info(self):
        line = self.line()
        assert line.startswith(b"INFO {") and line.endswith(b"} \r\n"), f"{self.name}: wanted INFO, got {line!r}"
        return json.loads(line[5:])


class Player:
    """One run of one dialogue against the server on `port`."""

    def __init__(self, port, kind, names=None):
        self.port, self.kind = port, kind
        self.clients = {}
        self.names = dict(names or {})
        self.bytewise = False
        self.answer_pings = True

    def client(self, name, greeted=True):
        if name not in self.clients:
            self.clients[name] = Client(self.port, name, self.answer_pings)
            if greeted:
                self.clients[name].info = self.clients[name].read_info()
        return self.clients[name]

    def play(self, dialogue):
        self.answer_pings = not any(step.endswith(" wait") for _, _, step in dialogue.steps)
        try:
            for number, only, step in dialogue.steps:
                if only and only != self.kind:
                    continue
                try:
                    self.step(step)
                except AssertionError as e:
                    raise AssertionError(f"tests/wire_script/{dialogue.file}.txt:{number}: {step}\n"
                                         f"  on {self.kind}: {e}") from None
        finally:
            for client in self.clients.values():
                client.socket.close()

    def expand(self, text):
        return re.sub(r"\$([A-Z_]+)", lambda m: self.names.get(m[1], m[0]), text)

    def step(self, step):
        if step.strip() == "bytewise":
            self.bytewise = True
            return
        match = re.fullmatch(r"(\w+)(>>|>|<<|<~|<info|<eof|<| open| close| sync| wait)(?: (.*))?", step)
        assert match, "not a step"
        name, what, text = match[1], match[2].strip(), self.expand(match[3] or "")
        if name == "any":
            for other in self.clients.values():
                other.flush(self.bytewise)
            self.one_of(text)
            return
        client = self.client(name, greeted=what != "open")
        for other in self.clients.values():
            if other is not client or what not in (">", ">>"):
                other.flush(self.bytewise)
        if what in (">", ">>"):
            client.unsent += unescape(text) + (b"\r\n" if what == ">" else b"")
            return
        if what in ("<", "<<"):
            wanted = unescape(text) + (b"\r\n" if what == "<" else b"")
            got = client.take(len(wanted))
            assert got == wanted, f"wanted {wanted!r}, got {got + client.got!r}"
        elif what == "<~":
            got = client.line()
            assert re.fullmatch(text.encode(), got.rstrip(b"\r\n")), f"got {got!r}"
        elif what == "<info":
            self.check_info(client, text)
        elif what == "<eof":
            got = client.rest()
            assert got == b"", f"wanted the end, got {got!r}"
        elif what == "close":
            client.socket.close()
            del self.clients[name]
        elif what == "sync":
            client.send(b"PING\r\n", self.bytewise)
            got = client.line()
            assert got == b"PONG\r\n", f"wanted PONG, got {got + client.got!r}"
        elif what == "wait":
            got = client.line()
            assert got == b"PING\r\n", f"wanted PING, got {got!r}"

    def check_info(self, client, text):
        info = client.info = client.read_info()
        wanted = json.loads(text) if text else {}
        for key, value in wanted.items():
            assert info.get(key) == value, f"INFO has {key}={info.get(key)!r}, wanted {value!r}"

    def one_of(self, text):
        *names, wanted = text.split(" ", 2)
        wanted = unescape(wanted)
        holders = []
        for name in names:
            client = self.client(name)
            client.send(b"PING\r\n", self.bytewise)
            got = client.line()
            while not got.endswith(b"PONG\r\n"):
                piece = client.line()
                assert piece, f"{name} ended with {got!r}"
                got += piece
            if got != b"PONG\r\n":
                assert got == wanted + b"PONG\r\n", f"{name} got {got!r}, wanted {wanted!r}"
                holders.append(name)
        assert len(holders) == 1, f"delivered to {holders}"
