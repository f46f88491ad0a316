"""A node tells that its submissions wait too long, and that they do no more."""

import asyncio
import json

import nats

from test_spool import Spool, make_stream, nats_server, wait_for  # noqa: F401


def test_a_head_that_is_not_taken_is_told_once_and_taken_back(farm, nats_server):  # noqa: F811
    async def run():
        nc = await nats.connect(nats_server.url)
        told = await nc.subscribe("sluice.advisory.alert.spool_age")
        await nc.flush()
        node = await asyncio.to_thread(Spool(farm, nats_server.url, more="alert_age: 100ms\n").start)
        ident = (await asyncio.to_thread(node.submit, "app.x", b"x"))["id"]  # no stream takes it
        raised = json.loads((await told.next_msg(60)).data)
        assert raised["alert"] == "spool_age" and raised["state"] == "raised" and raised["what"] == ["node1.example.net"]
        assert raised["type"] == "io.sluice.advisory.v1.alert" and "sluice spool status" in raised["advice"]
        assert ident and node.waiting() == 1
        await asyncio.to_thread(make_stream, nats_server.url)
        cleared = json.loads((await told.next_msg(60)).data)
        assert cleared["state"] == "cleared" and node.waiting() == 0
        assert await asyncio.to_thread(node.stop) == 0
        await nc.close()
    asyncio.run(run())

