"""Mirrors and sources from an older nats-server (M5), over a configured connection and over kills of both sides.

Run by hand: SLUICE_OLDER_NATS_SERVER names one of 2.9 to 2.14, or several with colons between them.
"""

import asyncio
import os

import nats
import pytest

from backup import contents
from test_sourcing import EXTERNAL, at_least, make, sink_of, until

OLDER = [path for path in os.environ.get("SLUICE_OLDER_NATS_SERVER", "").split(":") if path]
pytestmark = pytest.mark.skipif(not OLDER, reason="SLUICE_OLDER_NATS_SERVER names no older nats-server")


async def connect(server):
    return await nats.connect(server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)


@pytest.mark.parametrize("binary", OLDER)
def test_an_older_server_as_the_origin(farm, binary):
    origin = farm.nats_server("origin")
    origin.command[0] = binary
    sink = sink_of(farm, origin.start()).start()

    async def run():
        there, here = await connect(origin), await connect(sink)
        await make(there, "O", subjects=["o.>"])
        await make(there, "Q", subjects=["q.>"], max_msgs_per_subject=1)
        await make(here, "M", mirror={"name": "O", "external": EXTERNAL})
        await make(here, "F", sources=[{"name": "O", "external": EXTERNAL, "filter_subject": "o.1"}])
        await make(here, "S", sources=[{"name": "O", "external": EXTERNAL}, {"name": "Q", "external": EXTERNAL}])
        sent = 0
        for killed in (None, sink, origin):
            if killed is not None:
                await (here if killed is sink else there).close()
                await asyncio.to_thread(killed.kill)
                await asyncio.to_thread(killed.start)
                there, here = (await connect(origin), here) if killed is origin else (there, await connect(sink))
            for _ in range(100):
                await there.jetstream(timeout=20).publish(f"o.{sent % 2}", b"%d" % sent)
                sent += 1
            await at_least(here, "M", sent)
            await at_least(here, "F", sent // 2)
            await at_least(here, "S", sent)
            assert await contents(here, "M") == await contents(there, "O")
            assert [int(m[4]) for m in await contents(here, "F")] == list(range(1, sent, 2))
            assert [int(m[4]) for m in await contents(here, "S")] == list(range(sent))
        for n in range(5):
            await there.jetstream(timeout=20).publish("q.x", b"%d" % n)

        async def newest_came():
            return [m[4] for m in await contents(here, "S")][-1] == b"4"
        await until(newest_came, 60)
        await here.close()
        await there.close()

    asyncio.run(asyncio.wait_for(run(), 300))
