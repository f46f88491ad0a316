"""Counter streams that source counter streams (ADR-49): the sums, the increments and where they came from, byte for byte
as the reference stores them; within one server and over a leaf link between two domains."""

import asyncio
import json
import pathlib

import nats
import pytest

import servers
from backup import api, contents
from test_leaf import PAIRS, linked
from test_sourcing import EXTERNAL, at_least, make, sink_of, until, without_volatile

pytestmark = pytest.mark.skipif(not pathlib.Path(servers.NATS_SERVER).exists(), reason="no nats-server here")

COUNTER = {"allow_msg_counter": True, "allow_direct": True}


def mapped(stream, subject, **more):
    return {"name": stream, "subject_transforms": [{"src": subject, "dest": "sum.>"}], **more}


async def add(nc, subject, count):
    answer = json.loads((await nc.request(subject, b"", headers={"Nats-Incr": str(count)}, timeout=20)).data)
    assert "error" not in answer, answer
    return answer


async def connect(server):
    return await nats.connect(server.url, connect_timeout=20, max_reconnect_attempts=-1, reconnect_time_wait=0.05)


async def program(server):
    """Each step waits until the copies are there, so that there is one right order."""
    seen, nc = [], await connect(server)
    await make(nc, "A", subjects=["a.>"], **COUNTER)
    await make(nc, "B", subjects=["b.>"], **COUNTER)
    for count in (5, -2, 10):
        await add(nc, "a.x", count)
    await add(nc, "a.y", 1)
    await make(nc, "SUM", subjects=["sum.>"], sources=[mapped("A", "a.>"), mapped("B", "b.>")], **COUNTER)
    await at_least(nc, "SUM", 4)
    await add(nc, "b.x", "9" * 60)
    await at_least(nc, "SUM", 5)
    seen.append(await add(nc, "sum.x", 1000))
    await add(nc, "a.x", 1)
    await at_least(nc, "SUM", 7)
    await make(nc, "TOP", sources=[{"name": "SUM"}], **COUNTER)
    await make(nc, "PLAIN", sources=[{"name": "A"}])
    await make(nc, "MIRROR", mirror={"name": "SUM"})
    for name, seq in {"TOP": 7, "PLAIN": 5, "MIRROR": 7}.items():
        await at_least(nc, name, seq)
    await nc.close()
    server.stop()
    server.start()
    nc = await connect(server)
    await add(nc, "b.y", 3)
    await at_least(nc, "SUM", 8)
    await at_least(nc, "TOP", 8)
    await api(nc, "STREAM.PURGE.A")  # the origin counts from zero again: the sum goes down by what went there
    await add(nc, "a.x", 3)
    await at_least(nc, "SUM", 9)
    await at_least(nc, "TOP", 9)
    for name in ("SUM", "TOP", "PLAIN"):
        seen.append((name, without_volatile(await contents(nc, name))))
    await nc.close()
    return seen


def test_the_same_program_on_both(farm):
    ours, theirs = (asyncio.run(asyncio.wait_for(program(s.start()), 120)) for s in (farm.sluice_as_nats_server(), farm.nats_server()))
    for got, want in zip(ours, theirs, strict=True):
        assert got == want


def test_over_a_configured_connection(farm):
    """Counters of a real nats-server, summed up here: over `remotes`, and over a kill of either side."""
    origin = farm.nats_server("origin").start()
    sink = sink_of(farm, origin).start()

    async def run():
        there, here = await connect(origin), await connect(sink)
        await make(there, "FAR", subjects=["far.>"], **COUNTER)
        await make(here, "NEAR", subjects=["near.>"], **COUNTER)
        await make(here, "SUM", subjects=["sum.>"], sources=[mapped("FAR", "far.>", external=EXTERNAL), mapped("NEAR", "near.>")], **COUNTER)
        total = 0

        async def reached():
            try:
                last = await here.jetstream(timeout=20).get_last_msg("SUM", "sum.x")
            except (nats.errors.Error, asyncio.TimeoutError):
                return False
            return json.loads(last.data)["val"] == str(total)

        for killed in (None, sink, origin):
            if killed is not None:
                await (here if killed is sink else there).close()
                await asyncio.to_thread(killed.kill)
                await asyncio.to_thread(killed.start)
                there, here = (await connect(origin), here) if killed is origin else (there, await connect(sink))
            for i in range(10):
                await add(there, "far.x", i + 7)
                await add(here, "near.x", -2 * i)
                total += i + 7 - 2 * i
            await until(reached, 120)
        await here.close()
        await there.close()

    asyncio.run(asyncio.wait_for(run(), 300))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"origin-{pair[0]}-sum-{pair[1]}")
def test_over_a_leaf_link(farm, pair):
    """Counters of the hub and of the spoke, summed up in the spoke."""
    hub, spoke = linked(pair, farm)

    async def run():
        a, b = await connect(hub), await connect(spoke)
        await make(a, "FAR", subjects=["far.>"], **COUNTER)
        await make(b, "NEAR", subjects=["near.>"], **COUNTER)
        await make(b, "SUM", subjects=["sum.>"],
                   sources=[mapped("FAR", "far.>", external={"api": "$JS.hub.API"}), mapped("NEAR", "near.>")], **COUNTER)
        js, total = b.jetstream(timeout=20), 0

        async def reached():
            try:
                return json.loads((await js.get_last_msg("SUM", "sum.x")).data)["val"] == str(total)
            except (nats.errors.Error, asyncio.TimeoutError):
                return False

        for i in range(20):
            await add(a, "far.x", i)
            await add(b, "near.x", -3 * i)
            total += i - 3 * i
        await until(reached, 120)
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 200))
