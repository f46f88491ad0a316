"""Into a nats-server stream that others may write to, over a long link: one subject goes in atomic batches, in order."""

import asyncio
import json
import time

import nats

import proxy
import servers

CONFIG = """
server: { listen: "127.0.0.1:{port}" }
store: { dir: "{dir}" }
monitor: { enabled: false }
replicator:
  name: edge
  streams:
    - { stream: ORDERS, target: "nats://127.0.0.1:LINK", target_writers: shared, no_target_create: true }
"""
MESSAGES = 500


def test_one_subject_takes_few_round_trips(farm):
    far = farm.nats_server("far").start()
    link = proxy.Link(far.port)
    link.delay = 0.05
    port = servers.free_port()
    near = farm.sluice(CONFIG.replace("LINK", str(link.port)), port, "near").start()

    async def copy():
        there, here = await nats.connect(far.url), await nats.connect(near.url)
        config = {"name": "ORDERS", "subjects": ["o.>"], "storage": "file", "allow_atomic": True}
        made = await there.request("$JS.API.STREAM.CREATE.ORDERS", json.dumps(config).encode())
        assert b'"error"' not in made.data, made.data
        await here.jetstream().add_stream(name="ORDERS", subjects=["o.>"])
        for number in range(MESSAGES):
            await here.publish("o.one", str(number).encode())
        await here.flush()
        target, deadline = there.jetstream(), time.monotonic() + 60
        while (await target.stream_info("ORDERS")).state.messages < MESSAGES:
            assert time.monotonic() < deadline, "one a round trip, or less"
            await asyncio.sleep(0.05)
        copies = [await target.get_msg("ORDERS", seq) for seq in range(1, MESSAGES + 1)]
        await there.close()
        await here.close()
        return copies

    try:
        copies = asyncio.run(copy())
    finally:
        link.close()
    assert [copy.data for copy in copies] == [str(number).encode() for number in range(MESSAGES)]
    assert max(int(copy.headers.get("Nats-Batch-Sequence", 0)) for copy in copies) > 10, "no batches"
