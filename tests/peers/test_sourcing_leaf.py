"""Mirrors and sources over a leaf link: the origin in one domain, the copies in another, each side played by Sluice and by the reference."""

import asyncio
import contextlib

import nats
import pytest

import servers
from backup import api
from test_leaf import PAIRS, linked
from test_sourcing import last_seq, make, until

HUB = {"api": "$JS.hub.API"}


@pytest.fixture(params=PAIRS, ids=lambda pair: f"origin-{pair[0]}-copy-{pair[1]}")
def pair(request):
    return request.param


async def connect(server):
    return await nats.connect(server.url, connect_timeout=20, max_reconnect_attempts=-1, reconnect_time_wait=0.05)


async def bodies(nc, stream):
    info = await api(nc, f"STREAM.INFO.{stream}")
    state = info["state"]
    js = nc.jetstream()
    found = []
    for seq in range(state["first_seq"], state["last_seq"] + 1):
        with contextlib.suppress(nats.js.errors.NotFoundError):
            found.append((await js.get_msg(stream, seq)).data)
    return found


async def holds(nc, stream, count):
    async def there():
        return (await api(nc, f"STREAM.INFO.{stream}"))["state"]["messages"] >= count
    await until(there)


def test_mirror_and_source_from_another_domain(pair, farm):
    hub, spoke = linked(pair, farm)

    async def run():
        a, b = await connect(hub), await connect(spoke)
        await make(a, "O", subjects=["o.>"])
        js = a.jetstream()
        for i in range(200):
            await js.publish(f"o.{i % 2}", b"%d" % i)
        await make(b, "MIRROR", mirror={"name": "O", "external": HUB})
        await make(b, "SOURCE", sources=[{"name": "O", "external": HUB, "filter_subject": "o.1"}])
        await holds(b, "MIRROR", 200)
        await holds(b, "SOURCE", 100)
        for i in range(200, 300):  # what comes later comes too
            await js.publish(f"o.{i % 2}", b"%d" % i)
        await holds(b, "MIRROR", 300)
        await holds(b, "SOURCE", 150)
        assert await bodies(b, "MIRROR") == [b"%d" % i for i in range(300)]
        assert await bodies(b, "SOURCE") == [b"%d" % i for i in range(1, 300, 2)]
        mirror = (await api(b, "STREAM.INFO.MIRROR"))["mirror"]
        assert mirror["name"] == "O" and mirror["lag"] == 0 and mirror["external"]["api"] == HUB["api"]
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 150))


def test_a_work_queue_is_drained_by_its_copy(pair, farm):
    """Each message leaves the origin when the copy has it: none lost, none kept, none doubled, over kills of the origin."""
    hub, spoke = linked(pair, farm)

    async def run():
        a, b = await connect(hub), await connect(spoke)
        await make(a, "WQ", subjects=["wq"], retention="workqueue")
        await make(b, "COPY", sources=[{"name": "WQ", "external": HUB}])
        js = a.jetstream()
        for i in range(300):
            for _ in range(200):  # a publish that the kill met is made again under the same id
                try:
                    await js.publish("wq", b"%d" % i, headers={"Nats-Msg-Id": str(i)}, timeout=2)
                    break
                except (nats.errors.Error, asyncio.TimeoutError):
                    await asyncio.sleep(0.05)
            if i in (100, 200) and pair[0] == "sluice":
                hub.kill()
                hub.start()
        await holds(b, "COPY", 300)
        assert await bodies(b, "COPY") == [b"%d" % i for i in range(300)]

        async def drained():
            return (await api(a, "STREAM.INFO.WQ"))["state"]["messages"] == 0
        await until(drained)
        assert await last_seq(b, "COPY") == 300
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 200))
