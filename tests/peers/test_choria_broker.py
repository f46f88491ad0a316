"""sluice-spool at a Choria broker: found by DNS, TLS, its own token's login, and no replies but its own.

The broker is a front of ours before a real nats-server. It checks what Choria's checks (the token at `auth_token`, the nonce's signature
by the token's key at `sig`) and gives the permissions that Choria's gives a server.
"""

import base64
import hashlib
import json
import secrets
import socket
import ssl
import struct
import threading

import pytest

import servers
from test_spool_audit import private_kib
from test_spool import Spool, make_stream, nats_server, payloads, wait_for  # noqa: F401

nacl = pytest.importorskip("nacl.signing")
TLS = servers.ROOT / "tests/fixtures/tls"
IDENTITY = "node7.fleet.test"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Lines:
    """The NATS protocol, line by line, with the payloads behind them."""

    def __init__(self, connection):
        self.connection, self.buffer = connection, b""

    def more(self):
        data = self.connection.recv(65536)
        if not data:
            raise ConnectionError
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def payload(self, size):
        while len(self.buffer) < size + 2:
            self.more()
        out, self.buffer = self.buffer[:size + 2], self.buffer[size + 2:]
        return out


class Broker:
    def __init__(self, nats_port, organisation):
        self.nats_port, self.organisation = nats_port, organisation
        self.logins, self.refusals = [], []
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(TLS / "server.pem", TLS / "server-key.pem")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def stop(self):
        self.listener.close()

    def owner(self, connect, nonce):
        """Whose token it is, as Choria's broker finds out; raises what it would log."""
        header, claims, signature = connect["auth_token"].split(".")
        padded = (lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        self.organisation.verify_key.verify(f"{header}.{claims}".encode(), padded(signature))
        claims = json.loads(padded(claims))
        assert claims["purpose"] == "choria_server"
        nacl.VerifyKey(bytes.fromhex(claims["public_key"])).verify(nonce.encode(), base64.urlsafe_b64decode(connect["sig"] + "=="))
        assert "=" not in connect["sig"]
        return claims["identity"]

    def serve(self, client):
        try:
            nonce = secrets.token_urlsafe(11)
            client.sendall(b"INFO " + json.dumps({"server_id": "B", "version": "2.15.2", "proto": 1, "headers": True, "auth_required": True,
                                                  "tls_required": True, "max_payload": 1 << 20, "nonce": nonce}).encode() + b"\r\n")
            client = self.tls.wrap_socket(client, server_side=True)
            lines = Lines(client)
            connect = lines.line()
            assert connect.startswith(b"CONNECT ")
            try:
                who = self.owner(json.loads(connect[8:]), nonce)
            except Exception as e:
                self.refusals.append(repr(e))
                return client.sendall(b"-ERR 'Authorization Violation'\r\n")
            self.logins.append(who)
            with socket.create_connection(("127.0.0.1", self.nats_port)) as far:
                far.recv(65536)  # its INFO
                far.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true,"protocol":1}\r\n')
                threading.Thread(target=self.back, args=(far, client), daemon=True).start()
                self.forward(lines, client, far, f"mcollective.reply.{hashlib.md5(who.encode()).hexdigest()}.".encode())
        except (OSError, ConnectionError, AssertionError):
            pass
        finally:
            client.close()

    @staticmethod
    def back(far, client):
        try:
            while data := far.recv(65536):
                client.sendall(data)
        except OSError:
            pass

    def forward(self, lines, client, far, replies):
        while True:
            line = lines.line()
            words = line.split()
            verb = words[0] if words else b""
            body = lines.payload(int(words[-1])) if verb in (b"PUB", b"HPUB") else b""
            if verb == b"SUB" and not words[1].startswith(replies):
                self.refusals.append(line.decode())
                client.sendall(b"-ERR 'Permissions Violation for Subscription to \"" + words[1] + b"\"'\r\n")
            elif verb in (b"PUB", b"HPUB") and not words[1].startswith((b"mcollective.submission.in.", b"mcollective.reply.")):
                self.refusals.append(line.decode())
                client.sendall(b"-ERR 'Permissions Violation for Publish to \"" + words[1] + b"\"'\r\n")
            else:
                far.sendall(line + b"\r\n" + body)


class NameServer:
    """Answers SRV questions from a table; what it doesn't hold does not exist."""

    def __init__(self, table):
        self.table, self.asked = table, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                query, sender = self.socket.recvfrom(4096)
            except OSError:
                return
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, question = ".".join(labels), query[12:at + 5]
            self.asked.append(name)
            answers = b""
            for host, port in self.table.get(name, []):
                target = b"".join(bytes([len(part)]) + part.encode() for part in host.split(".")) + b"\0"
                answers += b"\xc0\x0c" + struct.pack(">HHIHHHH", 33, 1, 60, 6 + len(target), 0, 0, port) + target
            found = len(self.table.get(name, []))
            self.socket.sendto(query[:2] + struct.pack(">HHHHH", 0x8180 if found else 0x8183, 1, found, 0, 0) + question + answers, sender)


def provision(folder, organisation, identity=IDENTITY):
    """A node's seed and token, as Choria's provisioning leaves them."""
    key = nacl.SigningKey.generate()
    (folder / "server.seed").write_text(bytes(key).hex())
    claims = {"purpose": "choria_server", "identity": identity, "public_key": bytes(key.verify_key).hex(), "collectives": ["mcollective"],
              "permissions": {"submission": True}, "iss": "I-" + bytes(organisation.verify_key).hex()}
    signed = base64url(b'{"alg":"EdDSA","typ":"JWT"}') + "." + base64url(json.dumps(claims).encode())
    (folder / "server.jwt").write_text(signed + "." + base64url(organisation.sign(signed.encode()).signature) + "\n")


def test_a_node_logs_in_with_its_own_token(farm, nats_server):  # noqa: F811
    make_stream(nats_server.url)
    organisation = nacl.SigningKey.generate()
    broker = Broker(nats_server.port, organisation)
    names = NameServer({"_x-puppet-mcollective._tcp.fleet.test": [("localhost", broker.port)]})
    try:
        node = Spool(farm, f"{{servers: ['srv+tls://fleet.test'], dns: '{names.address}', tls: {{ca: '{TLS}/ca.pem'}}, "
                           f"choria: {{token: '{farm.folder}/node/server.jwt', seed: '{farm.folder}/node/server.seed'}}}}",
                     more="ack_timeout: 20s\n")
        provision(node.folder, nacl.SigningKey.generate())  # of a stranger
        node.start()
        wait_for(lambda: broker.refusals, what="the broker's refusal")
        assert "BadSignature" in broker.refusals[0] and broker.logins == []
        ids = [node.submit("app.x", f"{i}".encode())["id"] for i in range(5)]
        assert node.waiting() == 5 and len(set(ids)) == 5
        broker.refusals.clear()
        provision(node.folder, organisation)  # the token it should have: read anew at the next attempt
        wait_for(lambda: node.waiting() == 0, what=f"an empty queue\n{node.log.read_text()[-2000:]}\n{broker.refusals}")
        assert payloads(nats_server.port) == [b"0", b"1", b"2", b"3", b"4"]
        assert set(broker.logins) == {IDENTITY}
        assert names.asked[:2] == ["_mcollective-server._tcp.fleet.test", "_x-puppet-mcollective._tcp.fleet.test"]
        assert all("SUB" not in refusal for refusal in broker.refusals), broker.refusals
        for secret in ((node.folder / "server.seed").read_text(), (node.folder / "server.jwt").read_text().strip()):
            assert secret not in node.log.read_text()
        print(f"sluice-spool logged in with TLS, idle: {private_kib(node.process.pid)} KiB private")
        assert node.stop() == 0
    finally:
        broker.stop()


def test_the_login_is_checked_before_anything_starts(farm):
    node = Spool(farm, "{servers: ['srv://fleet.test:4222'], choria: {token: a.jwt}}")
    import subprocess
    import test_spool
    done = subprocess.run([test_spool.SPOOL, "--check", "--config", str(node.config)], capture_output=True, timeout=20)
    assert done.returncode == 78
    assert b"has a port, which DNS is to tell" in done.stderr and b"seed" in done.stderr
