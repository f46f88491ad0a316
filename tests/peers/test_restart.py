"""A server is killed and started again in the midst of each kind of consumption: every message arrives, ordered ones in order.

The same programs on Sluice and on nats-server, by nats-py, nats.go, nats.js and nats.c.
"""

import asyncio
import json
import pathlib
import shutil
import subprocess

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from left_out import leave_out
from test_other_clients import BUILT, HERE, go_program, js_program, prepare  # noqa: F401

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


async def by_push(js, server, members=1, **binding):
    """Of each of `members` subscriptions: a durable one, or those of a queue group."""
    seen, done, half = [], asyncio.Event(), asyncio.Event()

    async def take(message):
        seen.append(int(message.data))
        await message.ack()
        if len(set(seen)) >= MESSAGES // 2:
            half.set()
        if len(set(seen)) == MESSAGES:
            done.set()

    for _ in range(members):
        await js.subscribe("s.>", **(binding or {"durable": "p"}), cb=take, manual_ack=True,
                           config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=2, max_ack_pending=20))
    await asyncio.wait_for(half.wait(), WAIT)
    await asyncio.to_thread(restart, server)
    await asyncio.wait_for(done.wait(), WAIT)
    return seen


async def by_queue(js, server):
    return await by_push(js, server, members=2, queue="crew")


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


async def by_watch(js, server):
    kv = await js.create_key_value(bucket="K")
    watcher = await kv.watchall()
    seen = []
    for n in range(MESSAGES):
        if n == MESSAGES // 2:
            await asyncio.to_thread(restart, server)
        while True:  # the connection may not be back yet
            try:
                await kv.put(f"k.{n}", str(n).encode())
                break
            except (nats.errors.Error, asyncio.TimeoutError):
                await asyncio.sleep(0.05)
    while len(set(seen)) < MESSAGES:
        entry = await watcher.updates(timeout=WAIT)
        if entry is not None:
            seen.append(int(entry.value))
    return seen


@pytest.mark.parametrize("consume", [by_fetch, by_push, by_queue, by_ordered, by_watch], ids=lambda f: f.__name__)
def test_nats_py(either_server, consume):
    async def run():
        nc = await connect(either_server)
        try:
            return await asyncio.wait_for(consume(await fill(nc), either_server), 3 * WAIT)
        finally:
            await nc.close()

    assert set(asyncio.run(run())) >= set(range(MESSAGES))


def test_a_consumer_in_memory_ends_with_the_server(either_server):
    """C18: mem_storage on a file stream; the durable ones beside it stay where they are."""
    async def run():
        nc = await connect(either_server)
        js = nc.jetstream(timeout=20)
        await js.add_stream(name="S", subjects=["s.>"])
        for n in range(6):
            await js.publish("s.a", str(n).encode())
        for name, in_memory in (("memory", True), ("file", False)):
            await js.add_consumer("S", ConsumerConfig(durable_name=name, ack_policy=AckPolicy.EXPLICIT, mem_storage=in_memory))
            sub = await js.pull_subscribe_bind(name, stream="S")
            for message in await sub.fetch(3, timeout=WAIT):
                await message.ack_sync(timeout=WAIT)
        for end in (either_server.stop, either_server.kill):
            await nc.close()
            await asyncio.to_thread(end)
            await asyncio.to_thread(either_server.start)
            nc = await connect(either_server)
            js = nc.jetstream(timeout=20)
            with pytest.raises(nats.js.errors.NotFoundError):
                await js.consumer_info("S", "memory")
            info = await js.consumer_info("S", "file")
            assert (info.ack_floor.stream_seq, info.num_pending) == (3, 3)
        await nc.close()

    asyncio.run(run())


@pytest.fixture(scope="session")
def js_restart(js_program):  # noqa: F811
    return ["node", str(pathlib.Path(js_program[-1]).with_name("restart.mjs"))]


@pytest.fixture(scope="session")
def c_restart():
    if not shutil.which("cc") or not pathlib.Path("/usr/include/nats/nats.h").exists():
        leave_out("no C compiler or no libnats-dev here (nats.c needs both)")
    program = BUILT / "c-restart"
    prepare(["cc", "-std=c11", "-Wall", "-Wextra", "-O1", "-o", str(program), "restart.c", "-lnats"], HERE / "c",
            "compiling the nats.c program")
    return [str(program)]


def through_a_restart(server, command, in_order):
    """The program stops in the midst, says so, and goes on when it is told that the server is back."""
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    try:
        for line in program.stdout:
            said.append(line.strip())
            if said[-1] == "half":
                break
        else:
            pytest.fail("the program ended before the half: " + "\n".join(said))
        restart(server)
        told, _ = program.communicate("on\n", timeout=2 * WAIT)
    finally:
        program.kill()
    try:
        got = json.loads(told.strip().splitlines()[-1])
    except (ValueError, IndexError):
        pytest.fail("the program printed: " + told)
    assert set(got) == set(range(MESSAGES))
    if in_order:
        assert got == list(range(MESSAGES))


@pytest.mark.parametrize("kind", ["fetch", "messages", "consume", "ordered", "push", "watch"])
def test_nats_go(either_server, go_program, kind):  # noqa: F811
    if kind == "fetch" and either_server.name == "nats":
        pytest.skip("behind a killed nats-server the program's fetch sometimes ends in a panic of its own")
    through_a_restart(either_server, [*go_program, either_server.url, f"restart-{kind}"], kind == "ordered")


@pytest.mark.parametrize("kind", ["fetch", "consume", "ordered", "push", "ordered-push", "watch"])
def test_nats_js(either_server, js_restart, kind):
    through_a_restart(either_server, [*js_restart, either_server.url, kind], kind.startswith("ordered"))


@pytest.mark.parametrize("kind", ["fetch", "ordered", "push", "watch"])
def test_nats_c(either_server, c_restart, kind):
    through_a_restart(either_server, [*c_restart, either_server.url, kind], kind == "ordered")
