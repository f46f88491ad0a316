"""Event sources: CloudEvents posted over HTTP to the real daemon, in every content mode, and through kill -9."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import threading
import time

import nats

import servers

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures/tls"

CONFIG = """
server: {listen: "127.0.0.1:{port}"}
store: {dir: "{dir}"}
monitor: {listen: "127.0.0.1:%d"}
adapters:
  - type: http_events
    name: shop
    listen: 127.0.0.1:%d
    path: /events
%s
"""
STREAM = "eventsource-shop-stream"


class Source:
    """A daemon with one event source."""

    def __init__(self, farm, more=""):
        self.monitor, self.port = servers.free_port(), servers.free_port()
        self.server = farm.sluice(CONFIG % (self.monitor, self.port, more), servers.free_port(), ready_port=self.port)
        self.server.start()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def post(self, headers, body, connection=None, path="/events"):
        connection = connection or self.connect()
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())

    def messages(self):
        return asyncio.run(self._messages())

    async def _messages(self):
        client = await nats.connect(self.server.url)
        js = client.jetstream()
        count = (await js.stream_info(STREAM)).state.messages
        sub = await js.subscribe("eventsource.shop.>", stream=STREAM, ordered_consumer=True)
        got = [await sub.next_msg(10) for _ in range(count)]
        await client.close()
        return got

    def figures(self):
        return json.loads(servers.http_get(self.monitor, "/adapters"))["adapters"][0]


def binary(event_id, source="/s", kind="com.example.made", **more):
    return {"ce-specversion": "1.0", "ce-id": str(event_id), "ce-source": source, "ce-type": kind,
            **{f"ce-{k}": v for k, v in more.items()}}


def structured(event_id, data):
    return {"specversion": "1.0", "id": str(event_id), "source": "/s", "type": "com.example.made", "data": data}


def test_every_content_mode_ends_in_the_stream(farm):
    source = Source(farm)
    connection = source.connect()
    status, body, _ = source.post({**binary(1, subject="Euro%20%E2%82%AC"), "Content-Type": "text/plain"}, b"\x00\xffraw",
                                  connection)
    assert (status, json.loads(body)) == (200, {"stream": STREAM, "seq": 1})
    status, _, _ = source.post({"Content-Type": "application/cloudevents+json; charset=utf-8"},
                               json.dumps(structured(2, {"a": "€"})), connection)
    assert status == 200
    batch = json.dumps([structured(i, i) for i in range(3, 503)] + [structured(2, "again")])
    status, body, _ = source.post({"Content-Type": "application/cloudevents-batch+json"}, batch, connection)
    assert (status, json.loads(body)) == (200, {"stream": STREAM, "stored": 501, "duplicates": 1})
    got = source.messages()
    assert len(got) == 502
    assert got[0].subject == "eventsource.shop.com.example.made"
    assert got[0].data == b"\x00\xffraw"
    assert got[0].headers["ce-subject"] == "Euro%20%E2%82%AC"
    assert got[0].headers["ce-datacontenttype"] == "text/plain"
    assert json.loads(got[1].data) == {"a": "€"}
    assert [m.data for m in got[2:]] == [str(i).encode() for i in range(3, 503)]
    status, body, _ = source.post({"ce-id": "1"}, b"x", connection)
    assert (status, json.loads(body)["error"]) == (400, "missing_attribute")
    figures = source.figures()
    assert (figures["accepted"], figures["duplicates"], figures["rejected"]) == (503, 1, {"missing_attribute": 1})
    assert figures["place"] == f"http://127.0.0.1:{source.port}/events"
    assert source.server.stop() == 0


def test_tls_and_signed_bodies(farm):
    key = shutil.copy(FIXTURES / "server-key.pem", farm.folder)
    os.chmod(key, 0o600)
    source = Source(farm, f"""
    tls: {{cert: "{FIXTURES}/server.pem", key: "{key}"}}
    authentication: {{token: t0ken, signature: {{secret: "over there"}}}}
""")
    context = ssl.create_default_context(cafile=FIXTURES / "ca.pem")

    def post(body, headers):
        connection = http.client.HTTPSConnection("localhost", source.port, timeout=30, context=context)
        return source.post({**binary(1), **headers}, body, connection)[0]

    good = {"Authorization": "Bearer t0ken",
            "X-Hub-Signature-256": "sha256=" + hmac.new(b"over there", b"body", hashlib.sha256).hexdigest()}
    assert post(b"body", good) == 200
    assert post(b"Body", good) == 401
    assert post(b"body", {**good, "Authorization": "Basic " + base64.b64encode(b"a:b").decode()}) == 401
    with socket.create_connection(("127.0.0.1", source.port), timeout=10) as plain:
        plain.sendall(b"POST /events HTTP/1.1\r\nHost: h\r\n\r\n")
        assert not plain.recv(1000).startswith(b"HTTP")
    assert len(source.messages()) == 1


def test_a_body_is_asked_for_only_from_who_may_send(farm):
    source = Source(farm, "    authentication: {token: t}")

    def begin(token):
        peer = socket.create_connection(("127.0.0.1", source.port), timeout=10)
        head = "".join(f"{k}: {v}\r\n" for k, v in binary(1).items())
        peer.sendall(f"POST /events HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nAuthorization: Bearer {token}\r\n{head}"
                     "Content-Length: 4\r\n\r\n".encode())
        return peer

    with begin("wrong") as peer:
        assert peer.recv(1000).startswith(b"HTTP/1.1 401 ")
    with begin("t") as peer:
        assert peer.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(b"body")
        assert peer.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_drips_and_crowds_hinder_nobody(farm):
    source = Source(farm, "    limits: {request_timeout: 500ms, max_connections: 20}")

    def heard(peer):
        with contextlib.suppress(ConnectionError):  # it came above the limit
            return peer.recv(1000)[:13]
        return b""

    with contextlib.ExitStack() as dripping:
        peers = [dripping.enter_context(socket.create_connection(("127.0.0.1", source.port), timeout=30))
                 for _ in range(30)]
        for peer in peers:
            with contextlib.suppress(ConnectionError):
                peer.sendall(b"POST /events HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx")
        answers = [heard(peer) for peer in peers]
    assert set(answers) == {b"HTTP/1.1 408 ", b""}
    assert answers.count(b"HTTP/1.1 408 ") >= 19  # one place may still be the readiness probe's
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # the last ones may not have gone yet
        try:
            assert source.post(binary(1), b"x")[0] == 200
            break
        except (OSError, http.client.HTTPException):
            continue
    assert len(source.messages()) == 1


def test_nothing_is_lost_or_doubled_through_kills(farm):
    """Senders that repeat until they hear 2xx, against a daemon that is killed again and again."""
    source = Source(farm)
    senders, each, kills = 8, 150, 4
    done = [0] * senders
    errors = []

    def send(number):
        connection = None
        for i in range(each):
            event = {**binary(i, source=f"/sender/{number}"), "Content-Type": "text/plain"}
            deadline = time.monotonic() + 60
            while True:
                try:
                    connection = connection or source.connect()
                    status, _, headers = source.post(event, f"{number}/{i}".encode(), connection)
                    if status == 200:
                        break
                    if status != 503 or "Retry-After" not in headers:
                        errors.append(status)
                        return
                    connection = None
                except (OSError, http.client.HTTPException):
                    connection = None
                if time.monotonic() > deadline:
                    errors.append(f"sender {number} gave up at {i}")
                    return
            done[number] = i + 1

    threads = [threading.Thread(target=send, args=(n,)) for n in range(senders)]
    for thread in threads:
        thread.start()
    for kill in range(1, kills + 1):
        while sum(done) < kill * senders * each // (kills + 1) and not errors:
            time.sleep(0.002)
        source.server.kill()
        source.server.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    assert done == [each] * senders
    bodies = [m.data.decode() for m in source.messages()]
    assert len(bodies) == len(set(bodies)) == senders * each
    for number in range(senders):
        mine = [int(b.split("/")[1]) for b in bodies if b.startswith(f"{number}/")]
        assert mine == list(range(each))
