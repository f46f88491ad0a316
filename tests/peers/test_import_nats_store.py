"""`sluice import nats-store`: what a nats-server left on its disk, read afterwards from Sluice."""

import asyncio
import hashlib
import json
import pathlib
import shutil
import subprocess

import nats
import pytest
from nats.js.api import (AckPolicy, ConsumerConfig, DeliverPolicy, KeyValueConfig, RetentionPolicy, StorageType, StreamConfig)

import servers
from left_out import leave_out

ACCOUNTS = """
system_account: SYS
accounts {
  SYS { users: [{user: sys, password: p}] }
  ONE { users: [{user: one, password: p}], jetstream: enabled }
  TWO { users: [{user: two, password: p}], jetstream: enabled }
}
"""


@pytest.fixture
def pair(farm):
    """The reference and Sluice on the same configuration and the same store_dir; neither runs yet."""
    if not pathlib.Path(servers.NATS_SERVER).exists():
        leave_out("no nats-server here")
    conf = farm.folder / "import.conf"
    conf.write_text(ACCOUNTS)
    store = farm.folder / "store"
    port = servers.free_port()
    arguments = ["-js", "-sd", str(store), "-a", "127.0.0.1", "-p", str(port), "-c", str(conf)]
    reference = servers.Server([servers.NATS_SERVER, *arguments], port, farm.folder, "reference")
    ours = servers.Server([servers.SLUICE, "nats-server", *arguments], port, farm.folder, "ours")
    farm.servers += [reference, ours]
    return reference, ours, store


def run_import(store, *more, into=None):
    target = ["--into", str(into)] if into else []
    done = subprocess.run([servers.SLUICE, "import", "nats-store", str(store), *target, *more], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=120)
    return done.returncode, done.stdout, done.stderr


def digest_of_source(store):
    """Every file of nats-server's with its bytes and its time."""
    out = {}
    for path in sorted((store / "jetstream").rglob("*")):
        if path.is_file():
            out[str(path)] = (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
    return out


async def with_js(server, user, program):
    nc = await nats.connect(server.url, user=user, password="p")
    try:
        return await program(nc, nc.jetstream(timeout=20))
    finally:
        await nc.close()


def noise(size, seed):
    out, block = b"", hashlib.sha256(seed.encode()).digest()
    while len(out) < size:
        out += block
        block = hashlib.sha256(block).digest()
    return out[:size]


async def fill_one(nc, js):
    """Streams of every kind, with removals and consumers in the midst of their work."""
    await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.>"], description="with ü",
                                     metadata={"team": "shop"}))
    for i in range(300):
        await js.publish(f"orders.{i % 7}", noise(i * 20, str(i)), headers={"Nats-Msg-Id": f"id{i}", "N": str(i)} if i % 3 == 0 else None)
    for seq in (2, 3, 50, 120, 121, 299):
        await js.delete_msg("ORDERS", seq)
    await js.purge_stream("ORDERS", subject="orders.4", keep=3)
    await js.purge_stream("ORDERS", seq=10)
    worker = await js.pull_subscribe("orders.>", durable="worker", config=ConsumerConfig(ack_wait=3600, max_deliver=9))
    got = await worker.fetch(20, timeout=20)
    for m in got[:5] + got[7:10]:
        await m.ack_sync()
    await got[11].nak()
    await asyncio.sleep(0)
    await js.add_consumer("ORDERS", ConsumerConfig(durable_name="late", ack_policy=AckPolicy.ALL, filter_subject="orders.1",
                                                   deliver_policy=DeliverPolicy.LAST))

    await js.add_stream(StreamConfig(name="PACKED", subjects=["packed.>"], compression="s2"))
    for i in range(200):
        await js.publish(f"packed.{i % 3}", f"{i} ".encode() * 4000)  # over several blocks
    for seq in range(20, 160, 3):
        await js.delete_msg("PACKED", seq)

    await js.add_stream(StreamConfig(name="WORK", subjects=["work.>"], retention=RetentionPolicy.WORK_QUEUE))
    for i in range(50):
        await js.publish("work.x", str(i).encode())
    crew = await js.pull_subscribe("work.>", durable="crew", config=ConsumerConfig(ack_wait=3600))
    for i, m in enumerate(await crew.fetch(20, timeout=20)):
        if i % 2 == 0:
            await m.ack_sync()

    await js.add_stream(StreamConfig(name="INTEREST", subjects=["interest"], retention=RetentionPolicy.INTEREST))
    await js.add_consumer("INTEREST", ConsumerConfig(durable_name="a", ack_policy=AckPolicy.EXPLICIT))
    await js.add_consumer("INTEREST", ConsumerConfig(durable_name="b", ack_policy=AckPolicy.EXPLICIT))
    for i in range(10):
        await js.publish("interest", str(i).encode())
    for name, count in (("a", 6), ("b", 3)):
        sub = await js.pull_subscribe_bind(durable=name, stream="INTEREST")
        for m in await sub.fetch(count, timeout=20):
            await m.ack_sync()

    await js.add_stream(StreamConfig(name="FEW", subjects=["few"], max_msgs=10))
    for i in range(25):
        await js.publish("few", str(i).encode())
    await js.add_stream(StreamConfig(name="EMPTIED", subjects=["emptied"]))
    for _ in range(5):
        await js.publish("emptied", b"")
    await js.purge_stream("EMPTIED")
    await js.add_stream(StreamConfig(name="NEVER", subjects=["never"]))
    await js.add_stream(StreamConfig(name="MEMORY", subjects=["memory"], storage=StorageType.MEMORY))


async def fill_two(nc, js):
    kv = await js.create_key_value(KeyValueConfig(bucket="BOX", history=3))
    for i in range(30):
        await kv.put(f"k{i % 6}", f"v{i}".encode())
    await kv.delete("k1")
    await kv.purge("k2")
    store = await js.create_object_store("FILES")
    await store.put("big", noise(700_000, "big"))
    await store.put("small", b"hello")
    await store.delete("small")
    made = await nc.request("$JS.API.STREAM.CREATE.TTL", json.dumps(
        {"name": "TTL", "subjects": ["ttl.>"], "allow_msg_ttl": True, "num_replicas": 1, "retention": "limits", "storage": "file",
         "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "discard": "old"}).encode(), timeout=20)
    assert "error" not in json.loads(made.data), made.data
    for i in range(5):
        await js.publish(f"ttl.{i}", b"x", headers={"Nats-TTL": "never" if i % 2 else "10h"})
    await js.add_stream(StreamConfig(name="ORDERS", subjects=["orders.>"]))  # its namesake is another account's
    await js.publish("orders.two", b"of two")


async def everything(nc, js):
    """All that a client can read: configurations, states, messages, consumers."""
    out = {}
    for info in await js.streams_info():
        name = info.config.name
        raw = json.loads((await nc.request(f"$JS.API.STREAM.INFO.{name}", b'{"deleted_details":true,"subjects_filter":">"}', timeout=20)).data)
        raw["config"].get("metadata", {}).clear()
        consumers = {}
        for consumer in await js.consumers_info(name):
            one = json.loads((await nc.request(f"$JS.API.CONSUMER.INFO.{name}.{consumer.name}", b"", timeout=20)).data)
            one["config"].get("metadata", {}).clear()
            consumers[consumer.name] = {key: one.get(key) for key in ("config", "num_pending", "num_ack_pending", "num_redelivered")}
            for place in ("delivered", "ack_floor"):
                consumers[consumer.name][place] = {k: one[place][k] for k in ("consumer_seq", "stream_seq")}
        messages = []
        state = raw["state"]
        for seq in range(state["first_seq"], state["last_seq"] + 1):
            answer = json.loads((await nc.request(f"$JS.API.STREAM.MSG.GET.{name}", json.dumps({"seq": seq}).encode(), timeout=20)).data)
            if "message" in answer:
                messages.append(answer["message"])
        state.pop("consumer_count")
        if state.get("deleted") == [0]:  # the reference on a stream that never had a message
            del state["deleted"], state["num_deleted"]
        out[name] = {"config": raw["config"], "state": state, "messages": messages, "consumers": consumers}
    return out


async def objects(nc, js):
    store = await js.object_store("FILES")
    kv = await js.key_value("BOX")
    return ((await store.get("big")).data == noise(700_000, "big"), (await kv.get("k0")).value,
            sorted(await kv.keys()), [e.value for e in await kv.history("k3")])


def told_by(server):
    return {user: asyncio.run(with_js(server, user, everything)) for user in ("one", "two")}


def only_on_file(told):
    return {user: {name: s for name, s in streams.items() if s["config"]["storage"] == "file"} for user, streams in told.items()}


def fill(server):
    asyncio.run(with_js(server, "one", fill_one))
    asyncio.run(with_js(server, "two", fill_two))


def compare(expected, seen):
    assert sorted(expected) == sorted(seen)
    for user, streams in expected.items():
        assert sorted(seen[user]) == sorted(streams)
        for name, stream in streams.items():
            for part, value in stream.items():
                assert seen[user][name][part] == value, f"{user}/{name} {part}"


def test_everything_is_there(pair):
    reference, ours, store = pair
    reference.start()
    fill(reference)
    expected = told_by(reference)
    held = asyncio.run(with_js(reference, "two", objects))
    reference.stop()
    before = digest_of_source(store)

    code, out, err = run_import(store, "--dry-run")
    assert code == 0, out + err
    assert "nothing was written" in out and not (store / "sluice").exists()
    code, out, err = run_import(store, into=store / "sluice")
    assert code == 0, out + err
    expected = only_on_file(expected)
    count = sum(len(s["messages"]) for streams in expected.values() for s in streams.values())
    consumers = sum(len(s["consumers"]) for streams in expected.values() for s in streams.values())
    assert f"imported: 11 of 11 streams, {count} messages, {consumers} consumers" in out, out
    assert digest_of_source(store) == before

    ours.start()
    compare(expected, told_by(ours))
    assert asyncio.run(with_js(ours, "two", objects)) == held

    async def work_goes_on(nc, js):
        crew = await js.pull_subscribe_bind(durable="crew", stream="WORK")
        assert [m.data for m in await crew.fetch(30, timeout=20)] == [str(i).encode() for i in range(20, 50)]
        assert (await js.publish("orders.new", b"")).seq == 301

    asyncio.run(with_js(ours, "one", work_goes_on))
    ours.stop()

    # Once more: what is there stays, unless told.
    code, out, err = run_import(store, into=store / "sluice")
    assert code == 1 and "has already: ONE/EMPTIED" in err and "Nothing was changed" in err
    code, out, err = run_import(store, "--skip-existing", into=store / "sluice")
    assert code == 0 and "imported: 0 of 11 streams" in out
    code, out, err = run_import(store, "--replace", "--json", into=store / "sluice")
    assert code == 0, out + err
    assert sum(s["imported"] for s in json.loads(out)["streams"]) == count
    ours.start()
    compare(expected, told_by(ours))
    assert digest_of_source(store) == before


def test_a_killed_server(pair, farm):
    """After kill -9 the truth is what nats-server itself finds in a copy of the same files."""
    reference, ours, store = pair
    reference.start()
    fill(reference)
    reference.kill()
    copy = farm.folder / "copy"
    shutil.copytree(store, copy)
    code, out, err = run_import(copy, into=farm.folder / "into/sluice")
    assert code == 0, out + err
    shutil.copytree(farm.folder / "into/sluice", store / "sluice")
    reference.start()
    expected = only_on_file(told_by(reference))
    reference.stop()
    ours.start()
    compare(expected, told_by(ours))


def test_damage_is_named(pair):
    reference, ours, store = pair
    reference.start()
    fill(reference)
    reference.stop()
    block = next((store / "jetstream/ONE/streams/ORDERS/msgs").glob("*.blk"))
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 1
    block.write_bytes(data)
    code, out, err = run_import(store, "--dry-run")
    assert code == 1 and f"ONE/ORDERS: msgs/{block.name}: message " in out and "does not match its checksum" in out
    code, out, err = run_import(store, into=store / "sluice")
    assert code == 1 and "with losses" in out and "imported: 11 of 11 streams" in out
    ours.start()

    async def count(_, js):
        return (await js.stream_info("ORDERS")).state.messages

    left = asyncio.run(with_js(ours, "one", count))
    reported = next(line for line in out.splitlines() if line.startswith("ONE/ORDERS "))
    assert int(reported.split()[1]) == left


def test_what_is_refused(pair, farm):
    reference, ours, store = pair
    code, _, err = run_import(farm.folder / "nothing", "--dry-run")
    assert code == 66 and "can't be read" in err
    (store / "jetstream/ONE/streams").mkdir(parents=True)
    code, _, err = run_import(store, into=store / "jetstream/sluice")
    assert code == 64 and "never written to" in err
    assert run_import(store)[0] == 64
    ours.start()
    code, _, err = run_import(store, into=store / "sluice")
    assert code == 75, err
    assert "sluice import nats-store" in ours.log_path.read_text()


def test_an_encrypted_store(farm):
    if not pathlib.Path(servers.NATS_SERVER).exists():
        leave_out("no nats-server here")
    conf = farm.folder / "encrypted.conf"
    conf.write_text(f'jetstream {{ store_dir: "{farm.folder}/secret", key: "s3cret", cipher: aes }}\n')
    server = farm.nats_server(extra=("-c", str(conf)))
    server.command = [word for word in server.command if word not in ("-js", "-sd", str(farm.folder / "nats-store"))]
    server.start()

    async def fill_it():
        nc = await nats.connect(server.url)
        await nc.jetstream().add_stream(StreamConfig(name="S", subjects=["s"]))
        await nc.jetstream().publish("s", b"x")
        await nc.close()

    asyncio.run(fill_it())
    server.stop()
    code, out, err = run_import(farm.folder / "secret", into=farm.folder / "into")
    assert code == 1 and "$G/S: refused: it is encrypted" in out, out + err


def test_an_encrypted_target(pair, farm):
    reference, _, store = pair
    reference.start()
    fill(reference)
    reference.stop()
    key, other = farm.folder / "key", farm.folder / "other"
    for path, text in ((key, "first secret"), (other, "another")):
        path.write_text(text)
        path.chmod(0o600)
    sealed = farm.folder / "sealed"
    assert run_import(store, "--key-file", str(key), into=sealed)[0] == 0
    assert run_import(store, "--skip-existing", into=sealed)[0] == 77
    assert run_import(store, "--skip-existing", "--key-file", str(other), into=sealed)[0] == 77
    code, out, err = run_import(store, "--skip-existing", "--key-file", str(key), into=sealed)
    assert code == 0 and "imported: 0 of 11 streams" in out, out + err
