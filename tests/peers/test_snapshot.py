"""Backups between Sluice and nats-server, both ways, by the raw protocol."""

import asyncio
import os
import pathlib

import nats
import pytest

import servers
from backup import api, contents, restore, snapshot

pytestmark = pytest.mark.skipif(not pathlib.Path(servers.NATS_SERVER).exists(), reason="no nats-server here")


async def fill(nc):
    """A stream with headers, gaps, a few subjects, bodies that compress and bodies that do not, and consumers that
    stand in the midst of it."""
    made = await api(nc, "STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"], "description": "a backup"})
    assert "error" not in made, made
    js = nc.jetstream()
    for i in range(300):
        body = os.urandom(200) if i % 7 == 0 else (b"text %d " % i) * (i % 40)
        await js.publish(f"s.{i % 4}", body, headers={"Nats-Msg-Id": str(i), "K": "v w"} if i % 3 == 0 else None)
    await js.publish("s.big", b"0123456789abcdef" * 16000)
    for seq in (1, 5, 6, 200):
        await api(nc, "STREAM.MSG.DELETE.S", {"seq": seq})
    for name, filters in (("D", "s.1"), ("E", "s.>")):
        made = await api(nc, f"CONSUMER.DURABLE.CREATE.S.{name}",
                         {"stream_name": "S", "config": {"durable_name": name, "ack_policy": "explicit",
                                                         "filter_subject": filters}})
        assert "error" not in made, made
        pull = await js.pull_subscribe(filters, name, stream="S")
        messages = await pull.fetch(10, timeout=5)
        for at in (0, 1, 4):
            await messages[at].ack_sync()


def comparable(info):
    keys = ("num_pending", "num_ack_pending", "num_redelivered")
    places = {where: {k: info[where][k] for k in ("consumer_seq", "stream_seq")} for where in ("delivered", "ack_floor")}
    return {**{k: info[k] for k in keys}, **places}


async def across(origin, target):
    nc, there = await nats.connect(origin.url), await nats.connect(target.url)
    try:
        await fill(nc)
        before = await contents(nc, "S")
        consumers = [comparable(await api(nc, f"CONSUMER.INFO.S.{name}")) for name in ("D", "E")]
        answer, data, answered, end = await snapshot(nc, "S", chunk_size=4096, jsck=True)
        assert answered > 1, "several chunks, each answered"
        assert (end or {}).get("Status") == "204", end
        assert len(data) < answer["state"]["bytes"]
        made = await restore(there, "S", answer, data)
        assert "error" not in made, made
        for key in ("messages", "bytes", "first_seq", "last_seq", "num_deleted", "num_subjects", "first_ts", "last_ts"):
            assert made["state"][key] == answer["state"][key], key
        assert await contents(there, "S") == before
        assert [comparable(await api(there, f"CONSUMER.INFO.S.{name}")) for name in ("D", "E")] == consumers
        # It is a stream like any other: it goes on where the old one stood, and refuses the same id.
        ack = await there.jetstream().publish("s.1", b"next")
        assert ack.seq == answer["state"]["last_seq"] + 1
    finally:
        await nc.close()
        await there.close()


def test_from_the_reference(farm):
    asyncio.run(across(farm.nats_server().start(), farm.sluice_as_nats_server().start()))


def test_to_the_reference(farm):
    asyncio.run(across(farm.sluice_as_nats_server().start(), farm.nats_server().start()))


def test_requests_are_refused_alike(farm):
    """The same mistakes, the same answers."""
    async def talk(server):
        nc = await nats.connect(server.url)
        try:
            seen = []
            await api(nc, "STREAM.CREATE.S", {"name": "S", "subjects": ["s"]})
            for path, body in (("SNAPSHOT.S", None), ("SNAPSHOT.S", {}), ("SNAPSHOT.S", {"deliver_subject": ""}),
                               ("SNAPSHOT.S", {"deliver_subject": "a.*"}), ("SNAPSHOT.S", {"deliver_subject": "a b"}),
                               ("SNAPSHOT.S", {"deliver_subject": "x", "foo": 1}), ("SNAPSHOT.X", {"deliver_subject": "x"}),
                               ("RESTORE.S", None), ("RESTORE.S", {}), ("RESTORE.S", {"config": {"name": "S"}}),
                               ("RESTORE.X", {"config": {"name": "S"}, "state": {}})):
                answer = await api(nc, f"STREAM.{path}", body)
                seen.append((path, answer.get("error"), answer.get("deliver_subject")))
            return seen
        finally:
            await nc.close()

    ours, theirs = (asyncio.run(talk(s.start())) for s in (farm.sluice_as_nats_server(), farm.nats_server()))
    assert ours == theirs


def test_damaged_backups_leave_nothing(farm):
    async def run(server):
        nc = await nats.connect(server.url)
        try:
            await fill(nc)
            answer, data, _, _ = await snapshot(nc, "S")
            await api(nc, "STREAM.DELETE.S")
            flipped = bytearray(data)
            flipped[len(data) // 2] ^= 1
            for bad in (b"", b"garbage" * 1000, data[:len(data) // 2], bytes(flipped)):
                failed = await restore(nc, "S", answer, bad)
                assert failed["error"]["err_code"] == 10062, failed
                assert (await api(nc, "STREAM.INFO.S"))["error"]["err_code"] == 10059
            made = await restore(nc, "S", answer, data)
            assert made["state"]["messages"] == answer["state"]["messages"]
        finally:
            await nc.close()

    asyncio.run(run(farm.sluice_as_nats_server().start()))
