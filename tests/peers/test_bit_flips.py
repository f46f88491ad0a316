"""One flipped bit in a store's files, in real processes: Sluice and nats-server, the same work, counted the same way.

The whole matrix of Sluice runs in each ./dev test (prove_store --flips); this one, with a start for each bit, in ./dev soak.
"""

import asyncio
import json
import os
import random
import shutil

import nats
import pytest

import servers

RECORDS = 5
SLACK_RUN = 64


def payload(number):
    return b"record %d " % number + bytes(random.Random(number).randrange(33, 127) for _ in range(100))


def bits_in_use(folder):
    """Every bit of every file but for runs of one byte (slack) and lock and log files."""
    out = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in ("LOCK",) or path.suffix in (".log", ".pid", ".conf"):
            continue
        data = path.read_bytes()
        at = 0
        while at < len(data):
            end = at
            while end < len(data) and data[end] == data[at]:
                end += 1
            if end - at < SLACK_RUN:
                out += [(path.relative_to(folder), byte, bit) for byte in range(at, end) for bit in range(8)]
            at = end
    return out


async def fill(url):
    nc = await nats.connect(url)
    js = nc.jetstream()
    await js.add_stream(name="FLIPS", subjects=["flips"])
    for number in range(1, RECORDS + 1):
        ack = await js.publish("flips", payload(number))
        assert ack.seq == number
    await nc.close()


async def look(url):
    """seq → payload of what is served; None: the stream is gone."""
    nc = await nats.connect(url, connect_timeout=5, max_reconnect_attempts=1, allow_reconnect=False)
    try:
        js = nc.jetstream(timeout=5)
        try:
            info = await js.stream_info("FLIPS")
        except nats.js.errors.NotFoundError:
            return {}, 0
        found = {}
        for seq in range(1, RECORDS + 1):
            try:
                found[seq] = (await js.get_msg("FLIPS", seq)).data
            except nats.js.errors.APIError:
                pass
        return found, info.state.last_seq
    finally:
        await nc.close()


def count_flips(server, folder, samples, seed):
    """Flips bits one at a time; counts as the house counts them."""
    counts = dict.fromkeys(["nothing lost", "that record only", "good neighbours lost", "wrong data served", "does not start",
                            "sequence given out again"], 0)
    golden = folder.with_name(folder.name + "-golden")
    shutil.copytree(folder, golden)
    bits = bits_in_use(golden)
    for relative, byte, bit in random.Random(seed).sample(bits, min(samples, len(bits))):
        shutil.rmtree(folder)
        shutil.copytree(golden, folder)
        path = folder / relative
        data = bytearray(path.read_bytes())
        data[byte] ^= 1 << bit
        path.write_bytes(data)
        try:
            server.start()
            found, last = asyncio.run(look(server.url))
        except Exception:  # whatever the server or the client says: it does not serve
            counts["does not start"] += 1
            server.kill()
            continue
        server.kill()
        if any(data != payload(seq) for seq, data in found.items()):
            counts["wrong data served"] += 1
        elif len(found) == RECORDS:
            counts["nothing lost"] += 1
        elif last < RECORDS:
            counts["sequence given out again"] += 1
        elif len(found) == RECORDS - 1:
            counts["that record only"] += 1
        else:
            counts["good neighbours lost"] += 1
    return len(bits), counts


@pytest.mark.parametrize("stop", ["clean", "kill"])
def test_flipped_bits_beside_the_reference(farm, soak, stop, capsys):
    if not soak:
        pytest.skip("a start for each bit: ./dev soak")
    samples = 4000
    seed = random.SystemRandom().randrange(1 << 24)
    both = {"sluice": farm.sluice_as_nats_server()}
    if os.path.exists(servers.NATS_SERVER):
        both["nats-server"] = farm.nats_server(name="nats-server")
    lines, ours = [], None
    for name, server in both.items():
        server.start()
        asyncio.run(fill(server.url))
        server.stop() if stop == "clean" else server.kill()
        folder = farm.folder / f"{name}-store"
        bits, counts = count_flips(server, folder, samples, seed)
        lines.append(f"after a {stop} stop, {samples} of {bits} bits, seed {seed}: {name} {json.dumps(counts)}")
        ours = ours or counts
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    # After a kill the newest batch may go as a whole; each record here was a batch of its own.
    for kind in ("good neighbours lost", "wrong data served", "does not start", "sequence given out again"):
        assert ours[kind] == 0, lines[0]
