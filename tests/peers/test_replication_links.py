"""What goes over the links of a copy: compressed between two Sluices, plain to others, held to a pace, TLS first, JWT and seed in files."""

import json
import random
import subprocess
import time

import jwts
import pytest

import proxy
import servers
from test_operator import A, OPERATOR, SYSTEM, USER, conf_of
from test_replication_sites import copier, copies_of, create, expect_equal, needs_nats_server, publish, site, stream_of, wait_for  # noqa: F401
from test_tls import FIXTURES, block

WAY = 0.02  # long enough for `compression: auto`


def bodies(count, size=200):
    rng = random.Random(count)
    return [json.dumps({"node": f"node{rng.randrange(1000)}", "load": rng.random(), "state": "running"}).ljust(size).encode() for _ in range(count)]


def copy_of(source, target, more=""):
    return f'''
name: edge
state_store: {{dir}}
streams:
  - {{{{stream: ORDERS, source: "nats://127.0.0.1:{source}", target: "nats://127.0.0.1:{target}"{more}}}}}
'''.replace("{{", "{").replace("}}", "}")


def copied(replicate, source, target):
    wait_for(lambda: copies_of(replicate)[0]["lag"] == 0 and copies_of(replicate)[0]["state"] == "copying")
    expect_equal(stream_of(source.port, "ORDERS"), stream_of(target.port, "ORDERS"), replicate.log_tail())
    return copies_of(replicate)[0]["link"]


def test_a_long_way_between_two_sluices_is_compressed_both_ways(farm):
    source, target = site(farm, "sluice", "source"), site(farm, "sluice", "target")
    create(source.port, "ORDERS", ["orders.>"])
    publish(source.port, "orders.a", bodies(3000))
    ways = [proxy.LongLink(server.port, WAY, 1e9) for server in (source, target)]
    try:
        replicate = copier(farm, copy_of(ways[0].port, ways[1].port))
        link = copied(replicate, source, target)
        assert link["target"]["compressed"] and link["source"]["compressed"], link
        assert link["target"]["sent_on_wire"] * 3 < link["target"]["sent"], link
        assert link["source"]["received_on_wire"] * 3 < link["source"]["received"], link
        for way in ways:  # and over a connection that breaks
            way.cut()
            way.mend()
        publish(source.port, "orders.b", bodies(100))
        wait_for(lambda: copies_of(replicate)[0]["source_seq"] == 3100)
        copied(replicate, source, target)
    finally:
        for way in ways:
            way.close()


@pytest.mark.parametrize(("near", "far"), [("sluice", "nats"), ("nats", "sluice")])
def test_a_foreign_end_is_spoken_to_plainly(farm, near, far):
    source, target = site(farm, near, "source"), site(farm, far, "target")
    create(source.port, "ORDERS", ["orders.>"])
    publish(source.port, "orders.a", bodies(300))
    ways = [proxy.LongLink(server.port, WAY, 1e9) for server in (source, target)]
    try:
        link = copied(copier(farm, copy_of(ways[0].port, ways[1].port)), source, target)
        assert link["source"]["compressed"] == (near == "sluice"), link
        assert link["target"]["compressed"] == (far == "sluice"), link
    finally:
        for way in ways:
            way.close()


def test_none_and_zstd_are_obeyed(farm):
    source, target = site(farm, "sluice", "source"), site(farm, "sluice", "target")
    create(source.port, "ORDERS", ["orders.>"])
    publish(source.port, "orders.a", bodies(10))
    assert copied(copier(farm, copy_of(source.port, target.port, ", compression: zstd")), source, target)["target"]["compressed"]
    foreign = site(farm, "nats", "foreign")
    refused = copier(farm, copy_of(source.port, foreign.port, ", compression: zstd"), "refused")
    wait_for(lambda: "the server offers no zstd compression" in refused.log_tail(400))
    other = site(farm, "sluice", "other")
    way = proxy.LongLink(other.port, WAY, 1e9)
    try:
        assert not copied(copier(farm, copy_of(source.port, way.port, ", compression: none"), "plain"), source, other)["target"]["compressed"]
    finally:
        way.close()


def test_a_pace_is_kept_and_shown(farm):
    source, target = site(farm, "sluice", "source"), site(farm, "sluice", "target")
    create(source.port, "ORDERS", ["orders.>"])
    publish(source.port, "orders.a", bodies(400, 900))
    begun = time.monotonic()
    replicate = copier(farm, copy_of(source.port, target.port, ", pace: {rate: 128KiB/s, zone: Europe/Berlin}"))
    copied(replicate, source, target)
    assert time.monotonic() - begun > 400 * 900 / (128 * 1024) * 0.9
    view = copies_of(replicate)[0]
    assert view["pace"] == 128 * 1024
    assert view["sent_bytes"] > 400 * 900
    shown = subprocess.run([servers.SLUICE, "replicator", "status", "--config", str(farm.folder / "copier.yaml")], capture_output=True, text=True, timeout=60)
    assert "pace: 128KiB/s at this time of day" in shown.stdout, shown


def test_tls_comes_first(farm):
    source = site(farm, "sluice", "source")
    path = farm.folder / "first.conf"
    path.write_text(block(more="handshake_first: true"))
    target = farm.nats_server("target", extra=("-c", str(path))).start()
    create(source.port, "ORDERS", ["orders.>"])
    publish(source.port, "orders.a", bodies(10))
    replicate = copier(farm, f'''
name: edge
state_store: {{dir}}
streams:
  - stream: ORDERS
    source_url: "nats://127.0.0.1:{source.port}"
    target_url: "tls://localhost:{target.port}?tls_handshake_first=true"
    target_tls: {{ca: "{FIXTURES}/ca.pem"}}
''')
    wait_for(lambda: copies_of(replicate)[0]["lag"] == 0 and copies_of(replicate)[0]["source_seq"] == 10)


@pytest.mark.parametrize("kind", ["sluice", "nats"])
def test_jwt_and_seed_come_from_two_files(farm, kind):
    path = farm.folder / "operator.conf"
    accounts = {SYSTEM.key: OPERATOR.account(SYSTEM.key, name="SYS"), A.key: OPERATOR.account(A.key, name="ACC", limits=jwts.JETSTREAM)}
    path.write_text(conf_of(accounts))
    start = farm.nats_server if kind == "nats" else farm.sluice_as_nats_server
    target = start("target", extra=("-c", str(path))).start()
    source = site(farm, "sluice", "source")
    create(source.port, "ORDERS", ["orders.>"])
    publish(source.port, "orders.a", bodies(10))
    jwts.creds(farm.folder / "u.jwt", A.user(USER), USER)  # decorated, with a seed that is not read
    (farm.folder / "u.nk").write_text(USER.seed.decode() + "\n")
    replicate = copier(farm, f'''
name: edge
state_store: {{dir}}
streams:
  - stream: ORDERS
    source_url: "nats://127.0.0.1:{source.port}"
    target_url: "nats://127.0.0.1:{target.port}?jwt={farm.folder}/u.jwt&nkey={farm.folder}/u.nk"
''')
    wait_for(lambda: copies_of(replicate)[0]["lag"] == 0 and copies_of(replicate)[0]["source_seq"] == 10)
