"""Key-value buckets and object stores by nats-py's own calls, and what later levels add to streams, the same program
on Sluice and on nats-server: TTLs, limit markers, CAS, watches, counters, atomic batches, schedules.

Each part writes down what it saw; test_same_output holds the two records against each other.
"""

import asyncio
import hashlib
import time

import nats
import pytest
from nats.js.api import (DiscardPolicy, KeyValueConfig, ObjectMeta, ObjectStoreConfig, StorageType, StreamConfig)
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError

HEADERS = ("Nats-Marker-Reason", "Nats-TTL", "Nats-Rollup", "KV-Operation", "Nats-Scheduler", "A")


class Record(list):
    def note(self, label, value=None):
        self.append((label, value))


async def until(condition, seconds=60):
    """Waits for something that comes by itself."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = await condition()
        if value:
            return value
        await asyncio.sleep(0.05)
    raise TimeoutError("it did not come")


def told(message):
    return message.subject, message.data, {k: message.headers[k] for k in HEADERS if k in (message.headers or {})}


async def buckets(nc, js, seen):
    kv = await js.create_key_value(KeyValueConfig(bucket="B", history=3, description="d", storage=StorageType.FILE,
                                                  max_value_size=100))
    for i in range(5):
        seen.note("put", await kv.put("a", str(i).encode()))
    entry = await kv.get("a")
    seen.note("get", (entry.key, entry.value, entry.revision, entry.delta, entry.operation))
    seen.note("get revision", (await kv.get("a", revision=4)).value)
    seen.note("history", [(e.revision, e.value) for e in await kv.history("a")])
    seen.note("create", await kv.create("b", b"new"))
    for label, call in {"create again": lambda: kv.create("b", b"x"), "update": lambda: kv.update("b", b"x", last=99),
                        "too large": lambda: kv.put("c", b"x" * 200)}.items():
        try:
            seen.note(label, await call())
        except (APIError, KeyWrongLastSequenceError) as e:
            seen.note(label, e.description)
    seen.note("update", await kv.update("b", b"y", last=6))
    seen.note("delete", await kv.delete("b"))
    try:
        await kv.get("b")
    except KeyNotFoundError as e:
        seen.note("deleted", (type(e).__name__, e.op))
    seen.note("create over a delete", await kv.create("b", b"again"))
    seen.note("purge", await kv.purge("a"))
    seen.note("history after purge", [(e.revision, e.operation) for e in await kv.history("a")])
    seen.note("keys", sorted(await kv.keys()))
    status = await kv.status()
    seen.note("status", (status.bucket, status.values, status.history, status.ttl))
    for _ in range(2):  # the first may miss one: nats-py races its watch for the number of pending entries
        await kv.purge_deletes(olderthan=-1)
    seen.note("after purge_deletes", (await kv.status()).values)


async def watching(nc, js, seen):
    kv = await js.create_key_value(bucket="W", history=5)
    for key in ("t.a", "t.b", "u.a"):
        await kv.put(key, key.encode())
    watcher = await kv.watch("t.*")
    initial = []
    while (entry := await watcher.updates(timeout=20)) is not None:
        initial.append((entry.key, entry.value, entry.revision))
    seen.note("initial", initial)
    await kv.put("u.a", b"no")
    await kv.put("t.a", b"yes")
    await kv.delete("t.b")
    for _ in range(2):
        entry = await watcher.updates(timeout=20)
        seen.note("update", (entry.key, entry.value, entry.revision, entry.operation))
    await watcher.stop()


async def ttls(nc, js, seen):
    await js.add_stream(StreamConfig(name="KV_T", subjects=["$KV.T.>"], max_msgs_per_subject=4, allow_direct=True,
                                     allow_rollup_hdrs=True, deny_delete=True, discard=DiscardPolicy.NEW,
                                     allow_msg_ttl=True, subject_delete_marker_ttl=2))
    kv = await js.key_value("T")
    told_of = await nc.subscribe("marks")
    await js.subscribe("$KV.T.>", cb=None, config=nats.js.api.ConsumerConfig(deliver_subject="marks"))
    seen.note("create with ttl", await kv.create("a", b"1", msg_ttl=1))
    seen.note("put without", await kv.put("b", b"1"))
    for _ in range(3):
        seen.note("told", told(await told_of.next_msg(timeout=60)))
    try:
        await kv.get("a")
    except KeyNotFoundError as e:
        seen.note("expired", type(e).__name__)
    try:
        await kv.create("a", b"2")  # nats-py takes a marker for a value
    except KeyWrongLastSequenceError as e:
        seen.note("create over a marker", e.description)
    seen.note("update over a marker", await kv.update("a", b"2", last=3))
    seen.note("purge with ttl", await kv.purge("b", msg_ttl=2))

    async def only_one():
        return (await js.stream_info("KV_T")).state.messages == 1
    await until(only_one)
    seen.note("left", [(e.key, e.value) for e in await kv.history("a")])


async def cas(nc, js, seen):
    kv = await js.create_key_value(bucket="C")
    revision = await kv.put("n", b"0")
    for round_ in range(20):
        async def one(i):
            try:
                return await kv.update("n", str(i).encode(), last=revision)
            except KeyWrongLastSequenceError:
                return None
        won = [r for r in await asyncio.gather(*[one(i) for i in range(10)]) if r is not None]
        seen.note("winners", len(won))
        revision = won[0]
    seen.note("revision", revision)


async def objects(nc, js, seen):
    store = await js.create_object_store("O", config=ObjectStoreConfig(description="d"))
    body = hashlib.sha256(b"seed").digest() * (2 * 32 * 1024 // 2)
    info = await store.put("name with blanks", body, meta=ObjectMeta(description="x", headers={"H": "v"}))
    seen.note("put", (info.name, info.size, info.chunks, info.digest, info.description))
    got = await store.get("name with blanks")
    seen.note("get", (len(got.data), hashlib.sha256(got.data).hexdigest(), got.info.digest))
    await store.put("small", b"s")
    await store.put("small", b"newer")
    seen.note("replaced", (await store.get("small")).data)
    seen.note("list", sorted(i.name for i in await store.list()))
    await store.delete("small")
    seen.note("deleted", (await store.get_info("small", show_deleted=True)).deleted)
    status = await store.status()
    seen.note("status", (status.bucket, status.description, status.sealed, status.size > len(body)))
    await store.seal()
    try:
        await store.put("late", b"x")
    except APIError as e:
        seen.note("sealed", (e.err_code, e.description))


async def later_levels(nc, js, seen):
    async def ask(subject, body=b"", **headers):
        message = await nc.request(subject, body, timeout=30, headers={k.replace("_", "-"): v for k, v in headers.items()})
        return message.data.decode()
    await js._api_request("$JS.API.STREAM.CREATE.CNT", b'{"name":"CNT","subjects":["c.>"],"allow_msg_counter":true}')
    await asyncio.gather(*[ask("c.a", Nats_Incr=str(i)) for i in range(50)])
    seen.note("counter", await ask("c.a", Nats_Incr="9" * 200))
    await js._api_request("$JS.API.STREAM.CREATE.BAT", b'{"name":"BAT","subjects":["b.>"],"allow_atomic":true}')
    for i in range(1, 500):
        await nc.publish("b.x", b"x", headers={"Nats-Batch-Id": "i", "Nats-Batch-Sequence": str(i)})
    seen.note("batch", await ask("b.x", b"x", Nats_Batch_Id="i", Nats_Batch_Sequence="500", Nats_Batch_Commit="1"))
    await js._api_request("$JS.API.STREAM.CREATE.SCH", b'{"name":"SCH","subjects":["s.>","t.>"],"allow_msg_schedules":true}')
    fired = await nc.subscribe("fired")
    await js.subscribe("t.>", config=nats.js.api.ConsumerConfig(deliver_subject="fired"))
    seen.note("schedule", await ask("s.1", b"body", Nats_Schedule="@at 2001-01-01T00:00:00Z", Nats_Schedule_Target="t.x", A="b"))
    seen.note("fired", told(await fired.next_msg(timeout=60)))
    seen.note("every", await ask("s.2", b"e", Nats_Schedule="@every 1s", Nats_Schedule_Target="t.e"))
    for _ in range(2):
        seen.note("fired", told(await fired.next_msg(timeout=60)))
    state = (await js.stream_info("SCH", subjects_filter="s.>")).state
    seen.note("left", state.subjects)


async def fast_batch(nc, js, seen):
    await js._api_request("$JS.API.STREAM.CREATE.F", b'{"name":"F","subjects":["f"],"allow_batched":true}')
    inbox = nc.new_inbox()
    answers = await nc.subscribe(inbox + ".>")

    async def say(sequence, operation, gap="ok"):
        await nc.publish("f", b"x", reply=f"{inbox}.u1.4.{gap}.{sequence}.{operation}.$FI")
    await say(1, 0)
    for i in range(2, 9):
        await say(i, 1)
    await say(10, 1)
    await say(11, 3)
    await say(12, 1)
    for _ in range(6):
        seen.note("told", (await answers.next_msg(timeout=20)).data.decode())
    await say(1, 0, "fail")
    await say(3, 1, "fail")
    for _ in range(3):
        seen.note("told", (await answers.next_msg(timeout=20)).data.decode())


PARTS = {"buckets": buckets, "watching": watching, "ttls": ttls, "cas": cas, "objects": objects,
         "later_levels": later_levels, "fast_batch": fast_batch}


async def run_part(url, part):
    seen = Record()
    nc = await nats.connect(url)
    try:
        await PARTS[part](nc, nc.jetstream(timeout=30), seen)
    finally:
        await nc.close()
    return seen


@pytest.mark.parametrize("part", PARTS)
def test_same_output(farm, part):
    expected = asyncio.run(run_part(farm.nats_server().start().url, part))
    seen = asyncio.run(run_part(farm.sluice_as_nats_server().start().url, part))
    assert expected, "the program noted nothing"
    for want, got in zip(expected, seen, strict=False):
        assert got == want
    assert len(seen) == len(expected)


def object_size(soak):
    return 1 << 30 if soak else 64 << 20


def test_large_object(farm, soak):
    """64 MiB, in soak 1 GiB: written and read back in pieces, its digest checked by the client."""
    size, piece = object_size(soak), 1 << 20

    class Pattern:
        """A file of `size` bytes that is never whole in memory."""
        left = size

        def readinto(self, into):
            count = min(len(into), self.left)
            into[:count] = (b"%08x" % (self.left % piece) * (count // 8 + 1))[:count]
            self.left -= count
            return count

        def read(self, count=-1):
            into = bytearray(min(self.left, piece if count < 0 else count))
            self.readinto(into)
            return bytes(into)

    class Digest:
        size, sum = 0, hashlib.sha256()

        def write(self, data):
            self.size += len(data)
            self.sum.update(data)
            return len(data)

    async def run():
        nc = await nats.connect(farm.sluice_as_nats_server().start().url)
        js = nc.jetstream(timeout=60)
        store = await js.create_object_store("BIG")
        info = await store.put("it", Pattern())
        assert info.size == size
        into = Digest()
        await store.get("it", writeinto=into)
        assert into.size == size
        await nc.close()

    asyncio.run(run())
