"""Every call that a JetStream beginner's workshop teaches, by nats-py, unchanged on Sluice and on nats-server.

The program writes down what it saw; test_same_output holds the two records against each other.
"""

import asyncio
import datetime
import time

import nats
import pytest
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import (AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy, StorageType, StreamConfig)
from nats.js.errors import APIError, NotFoundError

import servers


class Record(list):
    def note(self, label, value=None):
        self.append((label, value))


async def streams(nc, js, seen):
    info = await js.add_stream(name="ORDERS", subjects=["orders.>"], storage=StorageType.FILE, max_msgs=100, max_age=3600)
    seen.note("add_stream", (info.config.name, info.config.subjects, info.config.max_msgs, info.config.max_age,
                             info.config.storage, info.config.retention, info.config.duplicate_window,
                             info.config.max_bytes, info.config.num_replicas, info.state.messages, info.did_create))
    again = await js.add_stream(name="ORDERS", subjects=["orders.>"], storage=StorageType.FILE, max_msgs=100, max_age=3600)
    seen.note("add the same again", again.config.name)
    for label, call in {
        "other config": lambda: js.add_stream(name="ORDERS", subjects=["orders.>"], max_msgs=5),
        "overlap": lambda: js.add_stream(name="OTHER", subjects=["orders.new"]),
        "bad name": lambda: js._api_request("$JS.API.STREAM.CREATE.B", b'{"name":"A"}'),
        "missing": lambda: js.stream_info("NOPE"),
        "bad subject": lambda: js.add_stream(name="BAD", subjects=["a..b"]),
        "unknown field": lambda: js._api_request("$JS.API.STREAM.CREATE.B", b'{"name":"B","zzz":1}'),
        "age too short": lambda: js.add_stream(StreamConfig(name="B", subjects=["b"], max_age=0.01)),
    }.items():
        try:
            answer = await call()
            seen.note(label, "no error" if not isinstance(answer, dict) else answer.get("error"))
        except APIError as e:
            seen.note(label, (e.code, e.err_code, e.description))
    ack = await js.publish("orders.new", b"first")
    seen.note("publish", (ack.stream, ack.seq, ack.duplicate))
    one = await js.publish("orders.new", b"once", headers={"Nats-Msg-Id": "id-1"})
    two = await js.publish("orders.new", b"once", headers={"Nats-Msg-Id": "id-1"})
    seen.note("twice with one id", (one.seq, one.duplicate, two.seq, two.duplicate))
    try:
        await js.publish("orders.new", b"x", headers={"Nats-Expected-Last-Sequence": "77"})
    except APIError as e:
        seen.note("expected last sequence", (e.code, e.err_code, e.description))
    try:
        await js.publish("nobody.listens", b"x")
    except Exception as e:
        seen.note("no stream", type(e).__name__)
    await js.publish("orders.paid", b"p")
    info = await js.stream_info("ORDERS", subjects_filter=">")
    seen.note("stream_info", (info.state.messages, info.state.bytes, info.state.first_seq, info.state.last_seq,
                              info.state.consumer_count, dict(sorted(info.state.subjects.items()))))
    message = await js.get_msg("ORDERS", 2)
    seen.note("get_msg", (message.subject, message.seq, message.data, message.headers))
    message = await js.get_last_msg("ORDERS", "orders.*")
    seen.note("get_last_msg", (message.subject, message.seq, message.data))
    try:
        await js.get_msg("ORDERS", 99)
    except NotFoundError as e:
        seen.note("get_msg missing", (e.code, e.err_code, e.description))
    seen.note("delete_msg", await js.delete_msg("ORDERS", 1))
    try:
        await js.delete_msg("ORDERS", 1)
    except APIError as e:
        seen.note("delete_msg twice", (e.code, e.err_code, e.description))
    seen.note("purge by subject", await js.purge_stream("ORDERS", subject="orders.paid"))
    info = await js.stream_info("ORDERS")
    seen.note("after purge", (info.state.messages, info.state.first_seq, info.state.last_seq))
    seen.note("find by subject", await js.find_stream_name_by_subject("orders.new"))
    info = await js.update_stream(name="ORDERS", subjects=["orders.>"], storage=StorageType.FILE, max_msgs=2, max_age=3600)
    for i in range(3):
        await js.publish("orders.new", str(i).encode())
    info = await js.stream_info("ORDERS")
    seen.note("max_msgs", (info.state.messages, info.state.first_seq, info.state.last_seq))
    await js.add_stream(name="AAA", subjects=["aaa"], storage=StorageType.MEMORY)
    seen.note("streams_info", [s.config.name for s in await js.streams_info()])
    account = await js.account_info()
    seen.note("account", (account.streams, account.consumers, account.limits.max_streams))
    seen.note("delete_stream", await js.delete_stream("ORDERS"))
    try:
        await js.stream_info("ORDERS")
    except NotFoundError as e:
        seen.note("deleted", (e.code, e.err_code))
    await js.delete_stream("AAA")


async def pull(nc, js, seen):
    await js.add_stream(name="JOBS", subjects=["jobs.*"])
    for i in range(20):
        await js.publish(f"jobs.{'even' if i % 2 == 0 else 'odd'}", f"{i}".encode())
    sub = await js.pull_subscribe("jobs.*", durable="worker", config=ConsumerConfig(ack_wait=1.0, max_deliver=3))
    batch = await sub.fetch(5, timeout=5)
    seen.note("fetch", [(m.subject, m.data, m.metadata.sequence.stream, m.metadata.sequence.consumer, m.metadata.num_pending,
                         m.metadata.num_delivered) for m in batch])
    await batch[0].ack()
    await batch[1].ack_sync()
    await batch[2].nak()
    await batch[3].term()
    await batch[4].in_progress()
    info = await sub.consumer_info()
    seen.note("after acks", (info.ack_floor.stream_seq, info.num_pending, info.config.durable_name, info.config.ack_policy,
                             info.config.max_ack_pending, info.config.max_waiting, info.config.deliver_policy))
    again = await sub.fetch(1, timeout=5)
    seen.note("nak comes back", [(m.data, m.metadata.num_delivered) for m in again])
    await again[0].ack_sync()
    await batch[4].ack_sync()
    info = await sub.consumer_info()
    seen.note("floor", (info.ack_floor.stream_seq, info.num_ack_pending, info.delivered.stream_seq))
    late = await sub.fetch(1, timeout=5)
    started = time.monotonic()
    back = await sub.fetch(15, timeout=5)
    seen.note("fetch the rest", [m.data for m in back])
    for m in back:
        await m.ack_sync()
    back = await sub.fetch(1, timeout=5)
    seen.note("ack_wait passes", (back[0].data == late[0].data, back[0].metadata.num_delivered,
                                  0.5 < time.monotonic() - started < 4))
    await back[0].nak(delay=0.2)
    started = time.monotonic()
    back = await sub.fetch(1, timeout=5)
    seen.note("nak with delay", (back[0].metadata.num_delivered, time.monotonic() - started > 0.15))
    try:
        await sub.fetch(1, timeout=2)
        seen.note("max_deliver", "delivered again")
    except NatsTimeout:
        seen.note("max_deliver", "no more")
    try:
        await sub.fetch(1, timeout=0.3)
    except NatsTimeout as e:
        seen.note("nothing left", type(e).__name__)
    filtered = await js.pull_subscribe("jobs.odd", durable="odd")
    batch = await filtered.fetch(3, timeout=5)
    seen.note("filter", [m.data for m in batch])
    infos = await js.consumers_info("JOBS")
    seen.note("consumers_info", sorted(i.name for i in infos))
    seen.note("delete_consumer", await js.delete_consumer("JOBS", "odd"))
    try:
        await js.consumer_info("JOBS", "odd")
    except NotFoundError as e:
        seen.note("consumer gone", (e.code, e.err_code, e.description))
    await js.delete_stream("JOBS")


async def deliver_policies(nc, js, seen):
    await js.add_stream(name="LOG", subjects=["log.>"])
    for i in range(3):
        await js.publish("log.a", f"a{i}".encode())
    middle = datetime.datetime.now(datetime.timezone.utc)
    await asyncio.sleep(0.05)
    for i in range(3):
        await js.publish("log.b", f"b{i}".encode())

    async def first(config, count=1):
        sub = await js.subscribe("log.>", config=config)
        got = [await sub.next_msg(timeout=5) for _ in range(count)]
        await sub.unsubscribe()
        return [m.data for m in got]

    seen.note("all", await first(ConsumerConfig(deliver_policy=DeliverPolicy.ALL), 6))
    seen.note("last", await first(ConsumerConfig(deliver_policy=DeliverPolicy.LAST)))
    seen.note("by sequence", await first(ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=4)))
    seen.note("by time", await first(
        ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=middle)))
    seen.note("last per subject", await first(ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT), 2))
    sub = await js.subscribe("log.>", config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW))
    await js.publish("log.c", b"new")
    seen.note("new", (await sub.next_msg(timeout=5)).data)
    await sub.unsubscribe()
    ordered = await js.subscribe("log.>", ordered_consumer=True)
    seen.note("ordered", [(await ordered.next_msg(timeout=5)).data for _ in range(7)])
    await ordered.unsubscribe()
    await js.delete_stream("LOG")


async def push(nc, js, seen):
    await js.add_stream(name="EVENTS", subjects=["events"])
    got = []
    done = asyncio.Event()

    async def handler(message):
        got.append(message.data)
        await message.ack()
        if len(got) == 10:
            done.set()

    sub = await js.subscribe("events", durable="push", cb=handler, manual_ack=True)
    for i in range(10):
        await js.publish("events", str(i).encode())
    await asyncio.wait_for(done.wait(), 10)
    seen.note("durable push", got)
    await js._nc.flush()
    await sub.unsubscribe()
    sub = await js.subscribe("events", config=ConsumerConfig(flow_control=True, idle_heartbeat=0.5))
    seen.note("ephemeral with flow control", [(await sub.next_msg(timeout=5)).data for _ in range(10)])
    await sub.unsubscribe()

    counts = {}
    total = asyncio.Event()

    def worker(name):
        async def take(message):
            counts[name] = counts.get(name, 0) + 1
            await message.ack()
            if sum(counts.values()) == 60:
                total.set()
        return take

    for name in ("w1", "w2", "w3"):
        await js.subscribe("events", "workers", durable="workers", cb=worker(name), manual_ack=True)
    for i in range(50):
        await js.publish("events", b"job")
    await asyncio.wait_for(total.wait(), 10)
    seen.note("queue subscribe", (sum(counts.values()), len(counts)))
    await js.delete_stream("EVENTS")


async def work_queue(nc, js, seen):
    await js.add_stream(name="QUEUE", subjects=["queue"], retention=RetentionPolicy.WORK_QUEUE)
    for i in range(5):
        await js.publish("queue", str(i).encode())
    sub = await js.pull_subscribe("queue", durable="q")
    for m in await sub.fetch(3, timeout=5):
        await m.ack_sync()
    info = await js.stream_info("QUEUE")
    seen.note("work queue", (info.state.messages, info.state.first_seq, info.state.last_seq))
    try:
        await js.pull_subscribe("queue", durable="q2")
    except APIError as e:
        seen.note("second consumer", (e.code, e.err_code, e.description))
    await js.delete_stream("QUEUE")


async def key_value(nc, js, seen):
    kv = await js.create_key_value(bucket="settings", history=3)
    seen.note("put", [await kv.put("a", b"1"), await kv.put("a", b"2"), await kv.create("b", b"x")])
    entry = await kv.get("a")
    seen.note("get", (entry.value, entry.revision))
    seen.note("update", await kv.update("a", b"3", last=2))
    for label, call in {"stale update": lambda: kv.update("a", b"4", last=1), "create existing": lambda: kv.create("b", b"y"),
                        "missing": lambda: kv.get("zzz")}.items():
        try:
            await call()
        except Exception as e:
            seen.note(label, type(e).__name__)
    seen.note("history", [(e.value, e.revision) for e in await kv.history("a")])
    watcher = await kv.watchall()
    initial = []
    while (e := await watcher.updates(timeout=5)) is not None:
        initial.append((e.key, e.value))
    seen.note("watch", sorted(initial))
    await kv.delete("b")
    update = await watcher.updates(timeout=5)
    seen.note("watch delete", (update.key, update.operation))
    await watcher.stop()
    await kv.purge("a")
    await kv.put("c", b"last")
    status = await kv.status()
    seen.note("status", (status.values, status.history))
    seen.note("keys", await kv.keys())
    await js.delete_key_value("settings")


PARTS = [streams, pull, deliver_policies, push, work_queue, key_value]


async def run_part(url, part):
    seen = Record()
    nc = await nats.connect(url)
    try:
        await asyncio.wait_for(part(nc, nc.jetstream(timeout=5), seen), 60)
    finally:
        await nc.close()
    return seen


@pytest.mark.parametrize("part", PARTS, ids=lambda p: p.__name__)
def test_same_output(farm, part):
    """Runs on both servers; the records must be equal, entry by entry."""
    ours = farm.sluice_as_nats_server().start()
    reference = farm.nats_server().start()
    expected = asyncio.run(run_part(reference.url, part))
    seen = asyncio.run(run_part(ours.url, part))
    assert expected, "the program noted nothing"
    for want, got in zip(expected, seen, strict=False):
        assert got == want
    assert len(seen) == len(expected)


def test_consumer_resumes_after_its_client_crashed(either_server):
    async def run():
        nc = await nats.connect(either_server.url)
        js = nc.jetstream()
        await js.add_stream(name="TAIL", subjects=["tail"])
        for i in range(10):
            await js.publish("tail", str(i).encode())
        sub = await js.pull_subscribe("tail", durable="reader")
        for m in await sub.fetch(4, timeout=5):
            await m.ack_sync()
        nc._transport._io_writer.transport.abort()  # the client dies without a word
        await nc.close()
        nc = await nats.connect(either_server.url)
        sub = await nc.jetstream().pull_subscribe("tail", durable="reader")
        rest = await sub.fetch(10, timeout=5)
        await nc.close()
        return [m.data for m in rest]

    assert asyncio.run(run()) == [str(i).encode() for i in range(4, 10)]


def test_consumer_resumes_after_the_server_was_killed(either_server):
    async def run():
        nc = await nats.connect(either_server.url)
        js = nc.jetstream()
        await js.add_stream(name="TAIL", subjects=["tail"])
        for i in range(10):
            await js.publish("tail", str(i).encode())
        sub = await js.pull_subscribe("tail", durable="reader")
        for m in await sub.fetch(4, timeout=5):
            await m.ack_sync()
        await nc.close()

    async def rest():
        nc = await nats.connect(either_server.url)
        sub = await nc.jetstream().pull_subscribe("tail", durable="reader")
        messages = await sub.fetch(10, timeout=5)
        info = await sub.consumer_info()
        await nc.close()
        return [m.data for m in messages], info.ack_floor.stream_seq

    asyncio.run(run())
    if either_server.name == "sluice":
        either_server.kill()  # the reference may forget acks on kill -9; Sluice may not
    else:
        either_server.stop()
    either_server.start()
    assert asyncio.run(rest()) == ([str(i).encode() for i in range(4, 10)], 4)
