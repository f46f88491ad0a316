"""sluice store verify|repair|dump on the directory of a real daemon: sound, in use, damaged, mended."""

import asyncio
import json
import subprocess

import nats

import servers

SLUICE = servers.SLUICE
SOUND, DAMAGED, NO_STORE, IN_USE = 0, 1, 66, 75


def store(*arguments):
    return subprocess.run([SLUICE, "store", *map(str, arguments)], capture_output=True, text=True, timeout=120)


def store_folder(farm):
    """Where the daemon keeps its journal."""
    found = [path.parent for path in farm.folder.rglob("journal") if path.is_dir()]
    assert len(found) == 1, found
    return found[0]


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_store_is_verified_dumped_and_mended(farm):
    server = farm.sluice_as_nats_server().start()

    async def fill():
        nc = await nats.connect(server.url)
        js = nc.jetstream()
        await js.add_stream(name="ORDERS", subjects=["orders.>"])
        await js.add_stream(name="EMPTY", subjects=["empty"])
        for number in range(1, 31):
            await js.publish(f"orders.{number % 3}", f"order number {number:04}".encode(), headers={"N": str(number)})
        await js.publish("orders.raw", b"\xff\x00raw")
        await js.subscribe("orders.>", durable="worker")
        await nc.close()

    asyncio.run(fill())
    folder = store_folder(farm)
    busy = store("verify", folder)
    assert busy.returncode == IN_USE and "in use" in busy.stderr, busy
    assert store("repair", folder).returncode == IN_USE
    assert store("dump", folder).returncode == IN_USE
    assert store("verify", folder.parent / "nothing").returncode == NO_STORE
    server.kill()

    before = contents(folder)
    sound = store("verify", "--json", folder)
    assert sound.returncode == SOUND, sound
    found = json.loads(sound.stdout)
    assert found["sound"] and found["messages"] == 31
    assert [s["consumers"] for s in found["streams"] if s["name"] == "ORDERS"] == [1]
    dumped = store("dump", folder, "--stream", "ORDERS", "--subject", "orders.0", "--limit", "2")
    lines = [json.loads(line) for line in dumped.stdout.splitlines()]
    assert lines[0]["stream"] == "ORDERS" and lines[0]["consumers"] == ["worker"]
    assert [line["seq"] for line in lines[1:]] == [3, 6]
    assert lines[1]["payload"] == "order number 0003" and "N: 3" in lines[1]["headers"]
    raw = json.loads(store("dump", folder, "--subject", "orders.raw").stdout.splitlines()[-1])
    assert raw["payload_base64"] == "/wByYXc="
    assert contents(folder) == before, "looking left a trace"

    # One flipped bit in a message with good ones behind it.
    damaged = next(path for path, text in before.items() if b"order number 0007" in text and path.suffix == ".jnl")
    text = bytearray(before[damaged])
    text[text.index(b"order number 0007")] ^= 1
    damaged.write_bytes(text)
    hurt = store("verify", folder)
    assert hurt.returncode == DAMAGED and "DAMAGED, 30 messages read, 1 lost" in hurt.stdout, hurt
    assert "stream ORDERS lost 1 messages to damage: 7" in hurt.stdout, hurt
    assert [s["lost"] for s in json.loads(store("verify", "--json", folder).stdout)["streams"] if s["name"] == "ORDERS"] == [[[7, 7]]]
    mended = store("repair", "--json", folder)
    report = json.loads(mended.stdout)
    assert report["before"]["messages"] == 30 and report["after"]["messages"] == 30, mended

    server.start()

    async def read():
        nc = await nats.connect(server.url)
        js = nc.jetstream()
        info = await js.stream_info("ORDERS")
        assert info.state.lost is not None and info.state.lost.msgs == [7]
        good = await js.get_msg("ORDERS", 8)
        ack = await js.publish("orders.0", b"after")
        await nc.close()
        return info.state, good.data, ack.seq

    state, good, seq = asyncio.run(read())
    assert (state.messages, state.last_seq, good, seq) == (30, 31, b"order number 0008", 32)


def test_help_teaches():
    for verb in ("verify", "repair", "dump"):
        text = store(verb, "--help").stdout
        assert "Exit codes" in text and "DIR" in text
