"""Mirrors and sources: the same program on Sluice and on nats-server; and a real nats-server as the origin of ours."""

import asyncio
import json
import pathlib
import re

import nats
import pytest

import servers
from backup import api, contents

pytestmark = pytest.mark.skipif(not pathlib.Path(servers.NATS_SERVER).exists(), reason="no nats-server here")


async def until(condition, seconds=60):
    """Waits for an awaitable that says whether it is so."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, "it never came true"
        await asyncio.sleep(0.05)


async def last_seq(nc, stream):
    return (await api(nc, f"STREAM.INFO.{stream}"))["state"]["last_seq"]


async def at_least(nc, stream, seq):
    async def there():
        return await last_seq(nc, stream) >= seq
    await until(there)


async def make(nc, name, **config):
    made = await api(nc, f"STREAM.CREATE.{name}", {"name": name, **config})
    assert "error" not in made, made
    return made


def without_volatile(messages):
    """Own times of sources and the identity of the origin differ from server to server; our mirrors keep what was expected."""
    def plain(headers):
        headers = re.sub(rb"Nats-Expected-[^\r]*\r\n", b"", headers)
        return re.sub(rb"(Nats-Stream-Source: (?:[^ \r]+ ){4}[^ \r]+) [^ \r]+\r", rb"\1\r", headers)
    return [(seq, subject, plain(headers), body)
            for seq, _, subject, headers, body in messages]


async def program(nc):
    """Everything about local mirrors and sources that has one right answer."""
    seen = []
    js = nc.jetstream()
    await make(nc, "O", subjects=["o.>"], allow_direct=True)
    for i in range(30):
        await js.publish(f"o.{i % 3}", b"p%d" % i, headers={"Nats-Msg-Id": str(i), "Nats-Expected-Stream": "O", "K": "v"})
    await api(nc, "STREAM.MSG.DELETE.O", {"seq": 4})
    await make(nc, "PLAIN", mirror={"name": "O"})
    await make(nc, "FILTERED", mirror={"name": "O", "filter_subject": "o.1"})
    await make(nc, "MAPPED", mirror={"name": "O", "subject_transforms": [{"src": "o.1", "dest": "one"}, {"src": "o.2", "dest": ""}]})
    await make(nc, "LATER", mirror={"name": "O", "opt_start_seq": 11}, subject_transform={"src": ">", "dest": "t.>"})
    await make(nc, "SMALL", mirror={"name": "O"}, max_msgs=3)
    await make(nc, "SRC", sources=[{"name": "O", "filter_subject": "o.2"}])
    await make(nc, "SRCMAP", subjects=["own"],
               sources=[{"name": "O", "subject_transforms": [{"src": "o.0", "dest": "zero"}, {"src": "o.1", "dest": ""}]}])
    await make(nc, "SRCLATE", sources=[{"name": "O", "opt_start_seq": 25}])
    expected = {"PLAIN": 30, "FILTERED": 29, "MAPPED": 30, "LATER": 30, "SMALL": 30, "SRC": 10, "SRCMAP": 19, "SRCLATE": 6}
    for name, seq in expected.items():
        await at_least(nc, name, seq)
    for name in expected:
        info = await api(nc, f"STREAM.INFO.{name}")
        state = {k: info["state"].get(k) for k in ("messages", "first_seq", "last_seq", "num_deleted", "num_subjects")}
        status = [{k: v for k, v in s.items() if k not in ("active", "seq")} for s in info.get("sources") or [info["mirror"]]]
        seen.append((name, state, status, without_volatile(await contents(nc, name))))
        if name in ("PLAIN", "LATER", "SMALL"):  # times too are the origin's
            times = [m[1] for m in await contents(nc, name)]
            seen.append(times == [m[1] for m in await contents(nc, "O")][-len(times):])
    seen.append((await api(nc, "STREAM.INFO.O"))["state"]["consumer_count"])
    seen.append((await api(nc, "CONSUMER.LIST.O"))["total"])
    seen.append((await api(nc, "STREAM.UPDATE.PLAIN", {"name": "PLAIN", "mirror": {"name": "O", "filter_subject": "o.1"}})).get("error"))
    promoted = await api(nc, "STREAM.UPDATE.PLAIN", {"name": "PLAIN", "subjects": ["plain"]})
    seen.append((promoted.get("error"), "mirror" in promoted))
    seen.append((await js.publish("plain", b"own")).seq)
    seen.append((await api(nc, "STREAM.UPDATE.PLAIN", {"name": "PLAIN", "mirror": {"name": "O"}})).get("error"))
    for body in ({"name": "X", "mirror": {"name": "O"}, "first_seq": 2}, {"name": "X", "mirror": {"name": "O"}, "subjects": ["x"]},
                 {"name": "X", "mirror": {"name": "O"}, "sources": [{"name": "O"}]}, {"name": "X", "mirror": {"name": "a b"}},
                 {"name": "X", "mirror": {"name": "O", "consumer": {"name": "c"}}}, {"name": "X", "mirror": {"name": "X"}},
                 {"name": "X", "mirror": {"name": "O", "filter_subject": "o..1"}},
                 {"name": "X", "mirror": {"name": "O", "subject_transforms": [{"src": "o..b", "dest": "x"}]}},
                 {"name": "X", "mirror": {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "x.$3"}]}},
                 {"name": "X", "sources": [{"name": "O"}, {"name": "O"}]}, {"name": "X", "sources": [{"name": ""}]},
                 {"name": "X", "sources": [{"name": "O", "filter_subject": "o.1", "subject_transforms": [{"src": "o.2", "dest": ""}]}]},
                 {"name": "X", "sources": [{"name": "O", "subject_transforms": [{"src": "o.*", "dest": ""}, {"src": "o.1", "dest": ""}]}]},
                 {"name": "X", "sources": [{"name": "O", "consumer": {}}]},
                 {"name": "X", "sources": [{"name": "O", "external": {"api": "$JS.API", "deliver": "d"}}]},
                 {"name": "X", "sources": [{"name": "O", "external": {"api": "$JS.h.API", "deliver": "d.*"}}]},
                 {"name": "X", "subjects": ["x"], "mirror_direct": True}):
        seen.append(((await api(nc, "STREAM.CREATE.X", body)).get("error"), json.dumps(body)))
    return seen


def test_the_same_program_on_both(farm):
    async def run(server):
        nc = await nats.connect(server.url)
        try:
            return await program(nc)
        finally:
            await nc.close()

    ours, theirs = (asyncio.run(run(s.start())) for s in (farm.sluice_as_nats_server(), farm.nats_server()))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == other


SINK = """
server: {listen: "127.0.0.1:{port}"}
monitor: {enabled: false}
store: {dir: "{dir}"}
remotes:
  - {name: hub, system: "URL"}
"""


def sink_of(farm, origin):
    return farm.sluice(SINK.replace("URL", origin.url), servers.free_port(), name="sink")


EXTERNAL = {"api": "$JS.hub.API", "deliver": ""}


def test_a_real_server_as_the_origin(farm):
    """Mirror and sources over a plain connection; the origin and we are killed in the midst of it."""
    origin = farm.nats_server("origin").start()
    sink = sink_of(farm, origin).start()

    async def run():
        there, here = await nats.connect(origin.url), await nats.connect(sink.url)
        js = there.jetstream()
        await make(there, "O", subjects=["o.>"])
        await make(here, "M", mirror={"name": "O", "external": EXTERNAL})
        await make(here, "S", sources=[{"name": "O", "external": EXTERNAL, "filter_subject": "o.1"},
                                       {"name": "O", "external": EXTERNAL, "subject_transforms": [{"src": "o.0", "dest": "zero"}]}])
        sent = 0

        async def send(count):
            nonlocal sent
            for _ in range(count):
                await js.publish(f"o.{sent % 2}", b"%d" % sent)
                sent += 1
        await send(200)
        await at_least(here, "M", 200)
        assert await contents(here, "M") == await contents(there, "O")
        await at_least(here, "S", 200)

        sink.kill()
        await here.close()
        await send(100)
        sink.start()
        here = await nats.connect(sink.url)
        await at_least(here, "M", 300)
        await at_least(here, "S", 300)

        origin.kill()
        await there.close()

        async def told():
            info = await api(here, "STREAM.INFO.M")
            return "error" in info["mirror"]
        await until(told, 30)
        origin.start()
        there = await nats.connect(origin.url)
        js = there.jetstream()
        # nats-server acknowledges before it syncs, but a killed process loses nothing of the page cache.
        await send(50)
        await at_least(here, "M", 350)
        await at_least(here, "S", 350)
        assert await contents(here, "M") == await contents(there, "O")
        bodies = [int(m[4]) for m in await contents(here, "S")]
        assert sorted(bodies) == list(range(350))  # nothing twice, nothing missing
        assert [b for b in bodies if b % 2] == list(range(1, 350, 2))  # each source in order
        headers = (await contents(here, "S"))[0][3]
        assert re.search(rb"Nats-Stream-Source: O:\w{8} \d+ ", headers), headers

        async def healthy():
            info = await api(here, "STREAM.INFO.M")
            return "error" not in info["mirror"] and info["mirror"]["lag"] == 0
        await until(healthy, 30)
        await here.close()
        await there.close()

    asyncio.run(run())


def test_a_source_notices_that_its_origin_was_made_anew(farm):
    origin = farm.nats_server("origin").start()
    sink = sink_of(farm, origin).start()

    async def run():
        there, here = await nats.connect(origin.url), await nats.connect(sink.url)
        await make(there, "O", subjects=["o"])
        for i in range(5):
            await there.jetstream().publish("o", b"old %d" % i)
        await make(here, "S", sources=[{"name": "O", "external": EXTERNAL}])
        await at_least(here, "S", 5)
        await api(there, "STREAM.DELETE.O")
        await make(there, "O", subjects=["o"])
        for i in range(3):
            await there.jetstream().publish("o", b"new %d" % i)
        await at_least(here, "S", 8)
        assert [m[4] for m in await contents(here, "S")][5:] == [b"new 0", b"new 1", b"new 2"]
        await here.close()
        await there.close()

    asyncio.run(run())
