"""A registration stream copied to a real nats-server while everybody is killed: target equals source."""

import asyncio
import itertools
import pathlib
import random
import time

import nats
import pytest

import proxy
import servers
import wire

CONFIG = """
server: { listen: "127.0.0.1:{port}" }
store: { dir: "{dir}" }
monitor: { enabled: false }
replicator:
  name: edge
  streams:
    - stream: REGISTRATION
      target: nats://127.0.0.1:LINK
"""
OURS = {"Choria-SR-Source", "Sluice-Copy-Position", "Nats-Expected-Last-Sequence", "Nats-Expected-Last-Msg-Id", "Nats-Msg-Id"}


def provenance(headers):
    return headers["Choria-SR-Source"].split()


def kill_everybody(farm, messages, kills, seed):
    rng = random.Random(seed)
    far = farm.nats_server("far").start()
    link = proxy.Link(far.port)
    port = servers.free_port()
    near = farm.sluice(CONFIG.replace("LINK", str(link.port)), port, "near").start()

    async def create():
        nc = await nats.connect(near.url)
        await nc.jetstream().add_stream(name="REGISTRATION", subjects=["choria.registration.>"])
        await nc.close()

    asyncio.run(create())
    acked, ids, done_kills = {}, itertools.count(1), 0

    async def publish_for(seconds):
        publisher = wire.RawPublisher(port, "choria.registration.n1", acked, window=200)
        stop = asyncio.Event()

        async def limit():
            await asyncio.sleep(seconds)
            stop.set()

        await asyncio.gather(publisher.run(ids, stop), limit())
        assert not publisher.doubled, f"seed {seed}: {publisher.doubled[:3]}"

    try:
        while done_kills < kills or len(acked) < messages:
            if len(acked) < messages * (done_kills + 1) / (kills + 1) or done_kills >= kills:
                asyncio.run(publish_for(0.05))
            if done_kills < kills:
                victim = rng.choice(["near", "far", "link"])
                if victim == "link":
                    link.cut()
                    time.sleep(rng.uniform(0.0, 0.4))
                    link.mend()
                else:
                    server = near if victim == "near" else far
                    server.kill()
                    time.sleep(rng.uniform(0.0, 0.3))
                    server.start()
                done_kills += 1
                time.sleep(rng.uniform(0.0, 0.5))

        source = asyncio.run(wire.read_stream(near.port, "REGISTRATION"))
        deadline = time.monotonic() + 120
        last = None
        while time.monotonic() < deadline:
            try:
                target = asyncio.run(wire.read_stream(far.port, "REGISTRATION"))
            except Exception as e:  # not created yet
                target, last = [], e
            if len(target) >= len(source):
                break
            time.sleep(0.2)
        what = f"seed {seed}: {len(source)} at the source, {len(target)} at the target, {done_kills} kills {last or ''}\n"
        assert len(target) == len(source), what + near.log_tail()
        for (seq, subject, headers, payload), (_, far_subject, far_headers, far_payload) in zip(source, target, strict=True):
            assert (far_subject, far_payload) == (subject, payload), what
            assert provenance(far_headers)[:3] == ["REGISTRATION", str(seq), "edge"], what
            rest = {k: v for k, v in far_headers.items() if k not in OURS}
            assert rest == (headers or {}), what
        stored = {seq: int(payload.rstrip(b".")) for seq, _, _, payload in source}
        assert all(stored.get(seq) == identity for seq, identity in acked.items()), f"seed {seed}: acked but not stored"
        return len(source)
    finally:
        link.close()


@pytest.fixture(autouse=True)
def needs_nats_server():
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")


def test_copy_survives_ten_kills(farm, soak):
    seed = random.SystemRandom().randrange(1 << 32)
    kills = 300 if soak else 10
    copied = kill_everybody(farm, 20_000 if not soak else 200_000, kills, seed)
    print(f"seed {seed}: {copied} messages copied through {kills} kills")


def test_headers_and_empty_bodies_are_kept(farm):
    far = farm.nats_server("far").start()
    near = farm.sluice(CONFIG.replace("LINK", str(far.port)), servers.free_port(), "near").start()

    async def fill():
        nc = await nats.connect(near.url)
        js = nc.jetstream()
        await js.add_stream(name="REGISTRATION", subjects=["choria.registration.>"])
        await js.publish("choria.registration.a", b"", headers={"KV-Operation": "DEL"})
        await js.publish("choria.registration.b", bytes(range(256)), headers={"Nats-Msg-Id": "m1", "X": "  a b "})
        await js.publish("choria.registration.c", b"x" * 700_000, headers={"Nats-Expected-Last-Sequence": "2"})
        await nc.close()

    asyncio.run(fill())
    deadline = time.monotonic() + 20
    target = []
    while len(target) < 3 and time.monotonic() < deadline:
        try:
            target = asyncio.run(wire.read_stream(far.port, "REGISTRATION"))
        except Exception:
            time.sleep(0.1)
    assert [(s, p) for _, s, _, p in target] == [("choria.registration.a", b""), ("choria.registration.b", bytes(range(256))),
                                                 ("choria.registration.c", b"x" * 700_000)]
    assert target[0][2]["KV-Operation"] == "DEL"
    assert target[1][2]["Nats-Msg-Id"] == "m1"
    assert near.stop() == 0
