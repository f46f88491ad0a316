"""The daemon on a JetStream elsewhere: adapters keep their contract on the embedded core and on a three-node nats-server cluster whose leader dies."""

import asyncio
import contextlib
import json
import pathlib
import signal
import subprocess
import time

import nats
import nats.errors
import pytest

import servers
import wire
from test_registration import FIXTURES, wait_for

SENDERS = 4
PER_SENDER = 60


class Cluster:
    """Three nats-servers with JetStream."""

    def __init__(self, farm):
        if not pathlib.Path(servers.NATS_SERVER).exists():
            pytest.skip("no nats-server here")
        routes = [servers.free_port() for _ in range(3)]
        self.nodes = [farm.nats_server(f"n{i}", extra=("-n", f"n{i}", "--cluster_name", "C", "--cluster", f"nats://127.0.0.1:{routes[i]}",
                                                       "--routes", ",".join(f"nats://127.0.0.1:{r}" for r in routes)))
                      for i in range(3)]
        for node in self.nodes:
            node.start()
        wait_for(lambda: asyncio.run(self.ask("$JS.API.INFO"))["type"].endswith("account_info_response"), 60, "a meta leader")

    @property
    def urls(self):
        return [node.url for node in self.nodes if node.process]

    async def ask(self, subject, body=b"", seconds=60):
        """A stream says nothing while it elects its leader: asked until it does."""
        nc = await nats.connect(self.urls, connect_timeout=5)
        deadline = time.monotonic() + seconds
        try:
            while True:
                try:
                    return json.loads((await nc.request(subject, body, timeout=2)).data)
                except nats.errors.TimeoutError:
                    assert time.monotonic() < deadline, f"{subject} is not answered"
        finally:
            await nc.close()

    def kill_leader_of(self, stream):
        """kill -9 of the node that leads the stream; the node, to be started again."""
        leader = asyncio.run(self.ask(f"$JS.API.STREAM.INFO.{stream}"))["cluster"]["leader"]
        node = next(node for node in self.nodes if node.name == leader)
        node.kill()
        return node


ADAPTERS = """
adapters:
  - type: choria_registration
    name: registration
    stream: {name: REGISTRATION, subject: choria.registration.%s}
  - type: choria_submission
    name: submission
    stream: {name: SUBMISSION, prefix: submitted}
  - type: nats_subject
    name: events
    ingest: {subjects: ["plain.>"]}
    stream: {name: EVENTS, source: "plain.>", destination: "events.>"}
"""


def registration(sender, number):
    """A v1 envelope around `sender/number`."""
    import base64
    request = json.dumps({"protocol": "choria:request:1", "message": f"{sender}/{number}", "envelope": {
        "requestid": f"{sender}{number:05}".rjust(32, "0"), "senderid": sender, "callerid": "choria=x", "collective": "c",
        "agent": "registration", "ttl": 60, "time": 1, "filter": {"fact": [], "cf_class": [], "agent": [], "identity": [], "compound": []}}})
    secure = json.dumps({"protocol": "choria:secure:request:1", "message": request, "signature": "insecure", "pubcert": "insecure"})
    return json.dumps({"protocol": "choria:transport:1", "data": base64.b64encode(secure.encode()).decode(), "headers": {}}).encode()


async def send_acked(nc, subject, payload, headers):
    """As a node's spool does it: again and again until a stream's ack comes back."""
    for _ in range(200):
        with contextlib.suppress(nats.errors.TimeoutError, nats.errors.NoRespondersError, nats.errors.ConnectionClosedError):
            answer = json.loads((await nc.request(subject, payload, headers=headers, timeout=2)).data)
            if "stream" in answer:
                return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"{subject}: no ack for {payload}")


async def play(urls, half_way):
    """Each sender's messages in order; every second one is sent twice. `half_way` runs once in the midst."""
    nc = await nats.connect(urls, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    pulled = asyncio.Event()

    async def sender(name):
        for number in range(PER_SENDER):
            if number == PER_SENDER // 2:
                await pulled.wait()
            ident = f"{name}/{number}"
            for _ in range(1 + number % 2):
                await send_acked(nc, "mcollective.submission.in.metrics", ident.encode(), {"Nats-Msg-Id": ident, "Choria-Identity": name})
                await send_acked(nc, f"plain.{name}", ident.encode(), {"Nats-Msg-Id": "e" + ident})

    async def chaos():
        await asyncio.sleep(0)
        await asyncio.to_thread(half_way)
        pulled.set()

    await nc.publish("mcollective.broadcast.agent.registration", b"not an envelope")
    await nc.publish("mcollective.submission.in.metrics", b"without an id")
    await asyncio.gather(*(sender(f"s{i}") for i in range(SENDERS)), chaos())
    # Registrations have no acks: the daemon is what keeps them. They go to it over a connection that stands.
    for number in range(PER_SENDER):
        for i in range(SENDERS):
            for _ in range(1 + number % 2):
                await nc.publish("mcollective.broadcast.agent.registration", registration(f"s{i}", number))
        await nc.flush()
    await nc.close()


def check(messages, name_of):
    """Every message once, each sender's in order."""
    names = [name_of(m[3]) for m in messages]
    assert len(names) == len(set(names)) == SENDERS * PER_SENDER
    for i in range(SENDERS):
        mine = [int(n.split("/")[1]) for n in names if n.startswith(f"s{i}/")]
        assert mine == sorted(mine) and len(mine) == PER_SENDER


@pytest.mark.parametrize("core", ["embedded", "cluster"])
def test_adapters_keep_their_contract(farm, core):
    monitor = servers.free_port()
    cluster = Cluster(farm) if core == "cluster" else None
    if cluster:
        text = f"core: {{servers: {json.dumps(cluster.urls)}, replicas: 3}}\n"
        port = 0
    else:
        port = servers.free_port()
        text = "server: {listen: '127.0.0.1:{port}'}\nstore: {dir: '{dir}'}\n"
    server = farm.sluice(text + f"monitor: {{listen: '127.0.0.1:{monitor}'}}\n" + ADAPTERS, port, ready_port=monitor)
    server.start()

    def page():
        return json.loads(servers.http_get(monitor, "/adapters"))["adapters"]
    wait_for(lambda: [a["state"] for a in page()] == ["running"] * 3, 60, "three running adapters")
    killed = []

    def half_way():
        if cluster:
            killed.append(cluster.kill_leader_of("SUBMISSION"))

    asyncio.run(play(cluster.urls if cluster else [server.url], half_way))
    wait_for(lambda: all(a["in_flight"] == 0 and a["state"] == "running" for a in page()), 60, "everything durable")
    if cluster:
        config = asyncio.run(cluster.ask("$JS.API.STREAM.INFO.EVENTS"))["config"]
        assert config["num_replicas"] == 3
        assert asyncio.run(cluster.ask("$JS.API.STREAM.INFO.SLUICE_DLQ"))["config"]["num_replicas"] == 3
        killed[0].start()
    read_port = next(n.port for n in cluster.nodes if n.process) if cluster else port

    def read(stream):
        return asyncio.run(wire.read_stream(read_port, stream))
    wait_for(lambda: len(read("REGISTRATION")) >= SENDERS * PER_SENDER, 60, "all registrations")
    check(read("SUBMISSION"), lambda payload: payload.decode())
    check(read("EVENTS"), lambda payload: payload.decode())
    check(read("REGISTRATION"), lambda payload: json.loads(payload)["data"])
    letters = {m[3]: m[2]["Sluice-Reason"] for m in read("SLUICE_DLQ")}
    assert set(letters) == {b"not an envelope", b"without an id"}
    assert json.loads(servers.http_get(monitor, "/healthz")) == {"status": "ok"}
    assert server.stop() == 0


def test_a_core_that_is_away_is_waited_for(farm):
    """The daemon starts before its core, and goes on when the core comes back."""
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    monitor = servers.free_port()
    core = farm.nats_server("core", extra=("--user", "u", "--pass", "geheim"))
    server = farm.sluice(f"core: {{servers: {core.url}, user: u, password: geheim}}\nmonitor: {{listen: '127.0.0.1:{monitor}'}}\n" + ADAPTERS,
                         0, ready_port=monitor)
    server.start()

    def states():
        return [a["state"] for a in json.loads(servers.http_get(monitor, "/adapters"))["adapters"]]
    assert states() == ["degraded"] * 3 or "starting" in states()
    core.start()
    wait_for(lambda: states() == ["running"] * 3, 60, "running adapters")
    # The command line finds the core by the daemon's own configuration.
    made = subprocess.run([servers.SLUICE, "kv", "add", "B", "--config", str(farm.folder / "sluice.yaml")], capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    core.stop()
    wait_for(lambda: states() == ["degraded"] * 3, 60, "adapters that notice")
    core.start()
    wait_for(lambda: states() == ["running"] * 3, 60, "running adapters again")
    assert "geheim" not in server.log_path.read_text()
    assert server.stop() == 0


def test_sections_of_the_embedded_core_are_refused(farm, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("core: nats://127.0.0.1:4222\nserver: {name: x}\nleafnodes: {listen: '127.0.0.1:7422'}\n")
    done = subprocess.run([servers.SLUICE, "check", str(path)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 78
    assert "2:1: 'server' is of the embedded core" in done.stderr and "3:1: 'leafnodes'" in done.stderr


def test_reload_exchanges_adapters(farm):
    port, monitor = servers.free_port(), servers.free_port()
    head = f"server: {{listen: '127.0.0.1:{port}'}}\nstore: {{dir: '{{dir}}'}}\nmonitor: {{listen: '127.0.0.1:{monitor}'}}\n"
    one = "  - {type: nats_subject, name: %s, ingest: {subjects: ['%s.>']}, stream: {name: %s, source: '%s.>', destination: 'kept.%s.>'}%s}\n"

    def text(*adapters):
        return head + "adapters:\n" + "".join(one % (n, n, n, n, n, more) for n, more in adapters)
    server = farm.sluice(text(("a", ""), ("b", "")), port)
    server.start()
    path = farm.folder / "sluice.yaml"

    def names():
        return [(a["name"], a["state"]) for a in json.loads(servers.http_get(monitor, "/adapters"))["adapters"]]
    wait_for(lambda: names() == [("a", "running"), ("b", "running")])
    path.write_text(text(("b", ", max_in_flight: 7"), ("c", "")).replace("{dir}", str(farm.folder / "sluice-store")))
    done = subprocess.run([servers.SLUICE, "reload", "--config", str(path)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: names() == [("b", "running"), ("c", "running")])
    wait_for(lambda: "adapters+c adapters~b adapters-a" in server.log_path.read_text())
    good = path.read_text()
    path.write_text(good.replace("destination: 'kept.c.>'", "destination: '{{wildcard(1)}}.x'"))
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "adapter 'c': " in server.log_path.read_text())
    assert names() == [("b", "running"), ("c", "running")]

    async def use():
        nc = await nats.connect(server.url)
        stored = [json.loads((await nc.request(f"{name}.x", b"1", timeout=5)).data)["stream"] for name in ("b", "c")]
        await nc.close()
        return stored
    assert asyncio.run(use()) == ["b", "c"]
    assert server.stop() == 0
