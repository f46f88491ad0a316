"""The monitor's pages beside the reference's: the same keys with the same kinds of values."""

import asyncio
import json
import urllib.error
import urllib.request

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig

import servers

CONFIG = """
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{http}"
server_name: m
server_tags: ["a:b", "c"]
jetstream { store_dir: "{dir}/store", max_mem: 1MB, max_file: 1GB }
"""

# Of Go's runtime, of clusters, of the reference's own storage; see docs/compatibility.md.
ONLY_THEIRS = {"git_commit", "gomemlimit", "feature_flags", "disk_io_wait_stats", "imports", "sublist_stats", "name_tag",
               "account_tag", "default_max_consumers", "max_fanout",
               "metadata"}  # `_nats.req.level`, which the API adds to what it shows
ONLY_OURS = {"sluice_version", "sync_always"}

PAGES = ["/varz", "/connz?subs=1", "/connz?subs=detail&state=any", "/connz?state=closed", "/subsz?subs=1&test=foo.a", "/subsz",
         "/jsz", "/jsz?accounts=1", "/jsz?consumers=1&config=1", "/accountz", "/accountz?acc=$G", "/accstatz",
         "/leafz", "/routez", "/gatewayz", "/healthz", "/ipqueuesz",
         # As nats-top and prometheus-nats-exporter ask, and every option once.
         "/connz?limit=1024&sort=cid&subs=1&auth=1", "/connz?auth=true&state=any&offset=1&limit=1", "/connz?cid=1",
         "/connz?acc=$G&sort=bytes_to", "/connz?filter_subject=bar&acc=$G", "/subsz?acc=$G&subs=1",
         "/jsz?accounts=1&streams=1&consumers=1&config=1", "/jsz?acc=$G&streams=1", "/jsz?accounts=1&limit=1&offset=0",
         "/jsz?accounts=1&consumers=1&direct-consumers=1&leader-only=1&stream-leader-only=1", "/accstatz?unused=1",
         "/leafz?subs=1", "/routez?subs=1", "/gatewayz?accs=1", "/healthz?js-enabled-only=1", "/healthz?js-server-only=1",
         "/healthz?js-meta-only=1", "/healthz?details=1", "/healthz?account=$G&stream=S", "/healthz?account=$G&stream=S&consumer=D"]
REFUSALS = ["/connz?sort=bogus", "/connz?state=bogus", "/connz?limit=x", "/connz?sort=stop", "/connz?subs=bogus", "/subsz?limit=x",
            "/subsz?test=foo.*", "/jsz?limit=x", "/jsz?streams=bogus", "/accountz?acc=NOPE", "/healthz?stream=X", "/raftz",
            "/healthz?account=A&stream=X&details=1", "/healthz?account=$G&stream=S&consumer=NO"]


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers["Content-Type"], e.read().decode()


def shape(value, path=""):
    """{path: kind}; the members of a list count as one."""
    out = {path: "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__}
    if isinstance(value, dict):
        for key, member in value.items():
            if key not in ONLY_THEIRS | ONLY_OURS and not path.endswith("http_req_stats"):
                out.update(shape(member, f"{path}.{key}"))
    elif isinstance(value, list):
        for member in value:
            out.update(shape(member, f"{path}[]"))
    return out


@pytest.fixture(scope="module")
def both():
    farm = servers.Farm()
    ports = {}
    try:
        for kind, program in (("sluice", [servers.SLUICE, "nats-server"]), ("nats", [servers.NATS_SERVER])):
            port, http = servers.free_port(), servers.free_port()
            path = farm.folder / f"{kind}.conf"
            path.write_text(CONFIG.replace("{port}", str(port)).replace("{http}", str(http)).replace(
                "{dir}", str(farm.folder / kind)))
            server = servers.Server([*program, "-c", str(path)], port, farm.folder, kind, ready_port=http)
            farm.servers.append(server)
            server.start()
            servers.wait_for_port(port, server.process)
            ports[kind] = (port, http)
        yield ports
    finally:
        farm.close()


async def use(port):
    nc = await nats.connect(f"nats://127.0.0.1:{port}", name="stays")
    js = nc.jetstream(timeout=20)
    await js.add_stream(name="S", subjects=["s.*"])
    await js.publish("s.a", b"x")
    await js.add_consumer("S", ConsumerConfig(durable_name="D", ack_policy=AckPolicy.EXPLICIT))
    await nc.subscribe("foo.*", queue="q")
    await nc.subscribe("bar")
    await nc.flush()
    gone = await nats.connect(f"nats://127.0.0.1:{port}", name="gone")
    await gone.close()
    return nc


def test_pages_have_the_references_keys(both):
    async def run():
        clients = [await use(port) for port, _ in both.values()]
        try:
            for path in PAGES:
                answers = {kind: await asyncio.to_thread(get, http, path) for kind, (_, http) in both.items()}
                ours, theirs = answers["sluice"], answers["nats"]
                assert ours[0] == theirs[0] == 200, (path, ours[0], theirs[0])
                assert ours[1].split(";")[0] == theirs[1].split(";")[0], path
                mine, other = shape(json.loads(ours[2])), shape(json.loads(theirs[2]))
                assert {p: k for p, k in other.items() if mine.get(p) != k} == {}, f"{path}: missing or of another kind"
                assert {p: k for p, k in mine.items() if p not in other} == {}, f"{path}: not the reference's"
        finally:
            for client in clients:
                await client.close()

    asyncio.run(run())


def test_refusals_in_the_references_words(both):
    for path in REFUSALS:
        ours, theirs = get(both["sluice"][1], path), get(both["nats"][1], path)
        assert (ours[0], ours[2].strip()) == (theirs[0], theirs[2].strip()), path


def test_figures_mean_the_same(both):
    """What a client did is counted alike."""
    async def run(port, http):
        nc = await nats.connect(f"nats://127.0.0.1:{port}", name="counter")
        sub = await nc.subscribe("count.me")
        for _ in range(5):
            await nc.publish("count.me", b"12345")
        for _ in range(5):
            await sub.next_msg(timeout=10)
        [c] = [c for c in json.loads((await asyncio.to_thread(get, http, "/connz"))[2])["connections"] if c["name"] == "counter"]
        await nc.close()
        return {key: c[key] for key in ("in_msgs", "out_msgs", "in_bytes", "out_bytes", "subscriptions", "pending_bytes")}

    figures = {kind: asyncio.run(run(port, http)) for kind, (port, http) in both.items()}
    assert figures["sluice"] == figures["nats"] == {"in_msgs": 5, "out_msgs": 5, "in_bytes": 25, "out_bytes": 25,
                                                    "subscriptions": 1, "pending_bytes": 0}
