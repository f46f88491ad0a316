"""A server is killed and started again in the midst of each kind of consumption: every message arrives, ordered ones in order.

The same programs on Sluice and on nats-server, by nats-py and nats.go.
"""

import asyncio
import json
import subprocess

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from test_other_clients import go_program  # noqa: F401

MESSAGES = 400
WAIT = 60


async def connect(server):
    return await nats.connect(server.url, reconnect_time_wait=0.1, max_reconnect_attempts=-1)


async def fill(nc):
    js = nc.jetstream(timeout=20)
    await js.add_stream(name="S", subjects=["s.>"])
    for n in range(MESSAGES):
        await js.publish("s.a", str(n).encode())
    return js


def restart(server):
    server.kill()
    server.start()


async def by_fetch(js, server):
    await js.add_consumer("S", ConsumerConfig(durable_name="c", ack_policy=AckPolicy.EXPLICIT, ack_wait=2))
    sub = await js.pull_subscribe_bind("c", stream="S")
    seen, restarted = [], False
    while len(set(seen)) < MESSAGES:
        try:
            batch = await sub.fetch(20, timeout=2)
        except (nats.errors.Error, asyncio.TimeoutError):
            continue
        for message in batch:
            seen.append(int(message.data))
            await message.ack()
        if len(seen) >= MESSAGES // 2 and not restarted:
            restarted = True
            await asyncio.to_thread(restart, server)
    return seen


async def by_push(js, server):
    seen, done, half = [], asyncio.Event(), asyncio.Event()

    async def take(message):
        seen.append(int(message.data))
        await message.ack()
        if len(set(seen)) >= MESSAGES // 2:
            half.set()
        if len(set(seen)) == MESSAGES:
            done.set()

    await js.subscribe("s.>", durable="p", cb=take, manual_ack=True,
                       config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=2, max_ack_pending=20))
    await asyncio.wait_for(half.wait(), WAIT)
    await asyncio.to_thread(restart, server)
    await asyncio.wait_for(done.wait(), WAIT)
    return seen


async def by_ordered(js, server):
    seen, done, half = [], asyncio.Event(), asyncio.Event()

    async def take(message):
        seen.append(int(message.data))
        if len(seen) == MESSAGES // 2:
            half.set()
        if seen[-1] == 2 * MESSAGES - 1:
            done.set()

    await js.subscribe("s.>", ordered_consumer=True, cb=take, idle_heartbeat=1)
    await asyncio.wait_for(half.wait(), WAIT)
    await asyncio.to_thread(restart, server)
    for n in range(MESSAGES, 2 * MESSAGES):
        while True:  # the connection may not be back yet
            try:
                await js.publish("s.a", str(n).encode(), headers={"Nats-Msg-Id": str(n)})
                break
            except (nats.errors.Error, asyncio.TimeoutError):
                await asyncio.sleep(0.05)
    await asyncio.wait_for(done.wait(), WAIT)
    assert seen == list(range(2 * MESSAGES))
    return seen


@pytest.mark.parametrize("consume", [by_fetch, by_push, by_ordered], ids=lambda f: f.__name__)
def test_nats_py(either_server, consume):
    async def run():
        nc = await connect(either_server)
        try:
            return await asyncio.wait_for(consume(await fill(nc), either_server), 3 * WAIT)
        finally:
            await nc.close()

    assert set(asyncio.run(run())) >= set(range(MESSAGES))


@pytest.mark.parametrize("kind", ["fetch", "messages", "consume", "ordered"])
def test_nats_go(either_server, go_program, kind):  # noqa: F811
    """The program stops in the midst, says so, and goes on when it is told that the server is back."""
    if kind == "fetch" and either_server.name == "nats":
        pytest.skip("behind a killed nats-server the program's fetch sometimes ends in a panic of its own")
    program = subprocess.Popen([*go_program, either_server.url, f"restart-{kind}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    try:
        for line in program.stdout:
            if line.strip() == "half":
                break
        else:
            pytest.fail("the program ended before the half")
        restart(either_server)
        told, _ = program.communicate("on\n", timeout=2 * WAIT)
    finally:
        program.kill()
    got = json.loads(told.strip().splitlines()[-1])
    assert set(got) == set(range(MESSAGES))
    if kind == "ordered":
        assert got == list(range(MESSAGES))
