"""The ready configurations of the three usual topologies, run as they stand: only addresses and folders are replaced."""

import asyncio
import json
import pathlib
import re

import nats
from test_replication_sites import create, publish, stream_of, wait_for

import servers

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "config" / "replication_examples"


def daemon(farm, example, far, name):
    """A site with the example's configuration; its far end is `far`."""
    text = (EXAMPLES / example).read_text()
    port = servers.free_port()
    text = text.replace("127.0.0.1:4222", f"127.0.0.1:{port}").replace("${STATE_DIRECTORY:-/var/lib/sluice}", "{dir}")
    text = re.sub(r"nats://[a-z-]+\.example\.net:4222\?credentials=\S+", f"nats://127.0.0.1:{far}", text)
    assert "example.net" not in text.replace("#", ""), text
    path = farm.folder / f"{name}.yaml"
    path.write_text(text.replace("{dir}", str(farm.folder / f"{name}-store")) + "\nmonitor: {enabled: false}\n")
    server = servers.Server([servers.SLUICE, "run", "--config", str(path)], port, farm.folder, name)
    farm.servers.append(server)
    return server.start()


def bodies_by_subject(port, stream):
    try:
        return sorted((subject, payload) for _, subject, _, payload in stream_of(port, stream))
    except Exception:  # not made yet
        return []


def test_edge_to_centre(farm):
    centre = farm.sluice_as_nats_server("centre").start()
    create(centre.port, "FLEET", ["fleet.>"])
    edge = daemon(farm, "edge-to-centre.yaml", centre.port, "edge")
    create(edge.port, "NODE_DATA", ["NODE_DATA.>"])
    first, again, larger = b'{"sender":"h1"}', b'{"sender":"h1"}', json.dumps({"sender": "h1", "pad": "x" * 2000}).encode()
    publish(edge.port, "NODE_DATA.h1", [first, again, larger])
    publish(edge.port, "NODE_DATA.h2", [b'{"sender":"h2"}'])
    want = sorted([("fleet.paris.NODE_DATA.h1", first), ("fleet.paris.NODE_DATA.h1", larger), ("fleet.paris.NODE_DATA.h2", b'{"sender":"h2"}')])
    wait_for(lambda: bodies_by_subject(centre.port, "FLEET") == want)


def test_centre_to_edges(farm):
    centre = farm.sluice_as_nats_server("centre").start()
    create(centre.port, "POLICY", ["policy.>"])

    async def settings(port, write):
        nc = await nats.connect(f"nats://127.0.0.1:{port}")
        js = nc.jetstream()
        if write:
            kv = await js.create_key_value(bucket="SETTINGS")
            await kv.put("limit", b"7")
        value = (await (await js.key_value("SETTINGS")).get("limit")).value
        await nc.close()
        return value

    asyncio.run(settings(centre.port, True))
    publish(centre.port, "policy.all.a", [b"everybody"])
    publish(centre.port, "policy.rome.a", [b"not for paris"])
    publish(centre.port, "policy.paris.a", [b"paris"])
    edge = daemon(farm, "centre-to-edges.yaml", centre.port, "edge")
    wait_for(lambda: bodies_by_subject(edge.port, "POLICY") == [("policy.all.a", b"everybody"), ("policy.paris.a", b"paris")])
    wait_for(lambda: asyncio.run(settings(edge.port, False)) == b"7")


def test_active_active(farm):
    port_of_b = servers.free_port()
    a = daemon(farm, "active-active.yaml", port_of_b, "a")
    text = (farm.folder / "a.yaml").read_text()
    path = farm.folder / "b.yaml"
    path.write_text(text.replace(f"listen: \"127.0.0.1:{a.port}\"", f"listen: \"127.0.0.1:{port_of_b}\"")
                    .replace(f"target_url: nats://127.0.0.1:{port_of_b}", f"target_url: nats://127.0.0.1:{a.port}")
                    .replace("site-a", "site-b").replace("a-store", "b-store"))
    b = servers.Server([servers.SLUICE, "run", "--config", str(path)], port_of_b, farm.folder, "b")
    farm.servers.append(b)
    b.start()
    for server in (a, b):
        create(server.port, "ORDERS", ["orders.>"])
    for server, name in ((a, "a"), (b, "b")):
        publish(server.port, f"orders.{name}", [f"{name}{i}".encode() for i in range(50)])
    want = sorted((f"orders.{name}", f"{name}{i}".encode()) for name in "ab" for i in range(50))
    for server in (a, b):
        wait_for(lambda s=server: bodies_by_subject(s.port, "ORDERS") == want)
    publish(a.port, "orders.a", [b"last"])  # behind it nothing of the first ones comes again
    for server in (a, b):
        wait_for(lambda s=server: bodies_by_subject(s.port, "ORDERS") == sorted([*want, ("orders.a", b"last")]))
