"""sluice object …: the same verbs on Sluice and on nats-server, and the same objects as nats-py's own store and nats.go's layout."""

import asyncio
import hashlib
import json
import signal
import subprocess

import nats
import pytest
from nats.js.api import ObjectMeta
from nats.js.errors import NotFoundError

import servers
from test_fleet_cli import wait_for


def run(server, verb, *arguments, check=True, folder=None, feed=b""):
    done = subprocess.run([servers.SLUICE, "object", verb, "--server", server.url, *map(str, arguments)], capture_output=True, timeout=120,
                          input=feed, cwd=folder)
    done.err = done.stderr.decode(errors="replace")
    if check:
        assert done.returncode == 0, done.stdout.decode(errors="replace") + done.err
    return done


def shown(server, verb, *arguments):
    return json.loads(run(server, verb, *arguments, "--json").stdout)


def noise(size):
    block = hashlib.sha256(b"seed").digest() * 1024
    return (block * (size // len(block) + 1))[:size]


def in_python(server, program):
    async def whole():
        nc = await nats.connect(server.url)
        try:
            return await asyncio.wait_for(program(nc, nc.jetstream(timeout=30)), 60)
        finally:
            await nc.close()
    return asyncio.run(whole())


def test_every_verb(either_server, tmp_path):
    s = either_server
    made = shown(s, "add", "B", "--description", "d", "--ttl", "1h", "--max-bucket-size", "10MiB", "--metadata", "k=v")
    assert (made["bucket"], made["description"], made["max_bucket_size"], made["metadata"]["k"]) == ("B", "d", 10 << 20, "v")
    body = noise(300_000)
    (tmp_path / "in.bin").write_bytes(body)
    put = shown(s, "put", "B", tmp_path / "in.bin", "--description", "x", "--header", "H=1")
    assert (put["name"], put["size"], put["chunks"], put["headers"]) == ("in.bin", 300_000, 3, {"H": ["1"]})
    asked = run(s, "put", "B", tmp_path / "in.bin", check=False)
    assert asked.returncode == 1 and "--force" in asked.err
    run(s, "put", "B", "-", "--name", "a b/piped", feed=b"from stdin")
    assert [o["name"] for o in shown(s, "ls", "B")] == ["a b/piped", "in.bin"]
    run(s, "get", "B", "in.bin", "-O", tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == body
    refused = run(s, "get", "B", "in.bin", "-O", tmp_path / "out.bin", check=False)
    assert refused.returncode == 1 and "--force writes over it" in refused.err
    run(s, "get", "B", "a b/piped", folder=tmp_path)
    assert (tmp_path / "piped").read_bytes() == b"from stdin"
    run(s, "link", "B", "short", "in.bin")
    assert run(s, "get", "B", "short", "-O", "-").stdout == body
    run(s, "link", "B", "all", "B/")
    assert "link to the bucket" in run(s, "get", "B", "all", "-O", "-", check=False).err
    rows = [json.loads(line) for line in run(s, "watch", "B", "--once", "--json").stdout.splitlines()]
    assert sorted(r["name"] for r in rows) == ["a b/piped", "all", "in.bin", "short"]
    run(s, "rm", "B", "in.bin", "-f")
    assert "there is no object 'in.bin'" in run(s, "get", "B", "in.bin", "-O", "-", check=False).err
    assert shown(s, "info", "B", "in.bin", "--deleted")["deleted"] is True
    assert shown(s, "seal", "B", "-f")["sealed"] is True
    assert run(s, "put", "B", "-", "--name", "late", feed=b"x", check=False).returncode == 1
    assert [b["bucket"] for b in shown(s, "ls")] == ["B"]
    run(s, "rm", "B", "-f")
    assert "make it with: sluice object add B" in run(s, "ls", "B", check=False).err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.bin", "out.bin", "piped"], "no part of a file is left"


def test_with_nats_py(either_server, tmp_path):
    """Each reads, replaces and deletes what the other put."""
    s = either_server

    async def theirs(nc, js):
        store = await js.create_object_store("B")
        await store.put("py", noise(400_000), meta=ObjectMeta(description="of py", headers={"H": "v"}))
        await store.put("both", b"py's")
    in_python(s, theirs)
    assert run(s, "get", "B", "py", "-O", "-").stdout == noise(400_000)
    told = shown(s, "info", "B", "py")
    assert (told["description"], told["headers"], told["size"]) == ("of py", {"H": ["v"]}, 400_000)
    run(s, "put", "B", "-", "--name", "ours", "--chunk-size", "1000", feed=noise(12_345))
    run(s, "put", "B", "-", "--name", "both", "-f", feed=b"ours now")
    run(s, "rm", "B", "py", "-f")

    async def ours(nc, js):
        store = await js.object_store("B")
        got = await store.get("ours")
        assert got.data == noise(12_345) and got.info.chunks == 13
        assert (await store.get("both")).data == b"ours now"
        with pytest.raises(NotFoundError):
            await store.get("py")
        assert sorted(i.name for i in await store.list() if not i.deleted) == ["both", "ours"]
        await store.delete("ours")
        return (await js.stream_info("OBJ_B", subjects_filter="$O.B.C.>")).state.subjects
    assert len(in_python(s, ours)) == 1, "what was replaced and deleted has no chunks any more"
    assert [o["name"] for o in shown(s, "ls", "B")] == ["both"]


def test_a_damaged_chunk_is_noticed(either_server, tmp_path):
    s = either_server
    run(s, "add", "B")
    run(s, "put", "B", "-", "--name", "a", "--chunk-size", "1000", feed=noise(3000))
    nuid = None

    async def damage(nc, js):
        """The last chunk goes and comes back with one bit flipped: number and size of the chunks are right."""
        nonlocal nuid
        state = (await js.stream_info("OBJ_B", subjects_filter="$O.B.C.>")).state
        (nuid,) = state.subjects
        message = await js.get_msg("OBJ_B", 3)
        await js.delete_msg("OBJ_B", 3)
        await js.publish(message.subject, bytes([message.data[0] ^ 1]) + message.data[1:])
    in_python(s, damage)
    bad = run(s, "get", "B", "a", "-O", tmp_path / "a", check=False)
    assert bad.returncode == 1 and "digest" in bad.err
    assert list(tmp_path.iterdir()) == [], "nothing damaged is kept"

    async def lose(nc, js):
        await js.delete_msg("OBJ_B", 2)
    in_python(s, lose)
    bad = run(s, "get", "B", "a", "-O", tmp_path / "a", check=False)
    assert bad.returncode == 1 and "1 of 3 chunks are gone" in bad.err


def test_a_large_object(farm, tmp_path, soak):
    """64 MiB, in soak 1 GiB, through a pipe into a file."""
    size = 1 << 30 if soak else 64 << 20
    s = farm.sluice_as_nats_server().start()
    run(s, "add", "B")
    digest, left = hashlib.sha256(), size
    put = subprocess.Popen([servers.SLUICE, "object", "put", "--server", s.url, "B", "-", "--name", "big"], stdin=subprocess.PIPE,
                           stdout=subprocess.DEVNULL)
    while left > 0:
        piece = noise(min(left, 1 << 20))
        digest.update(piece)
        put.stdin.write(piece)
        left -= len(piece)
    put.stdin.close()
    assert put.wait(300) == 0
    run(s, "get", "B", "big", "-O", tmp_path / "big")
    seen = hashlib.sha256()
    with open(tmp_path / "big", "rb") as file:
        while piece := file.read(1 << 20):
            seen.update(piece)
    assert seen.digest() == digest.digest()


def test_a_put_that_is_stopped_leaves_nothing(farm):
    s = farm.sluice_as_nats_server().start()
    run(s, "add", "B")
    put = subprocess.Popen([servers.SLUICE, "object", "put", "--server", s.url, "B", "-", "--name", "a"], stdin=subprocess.PIPE,
                           stderr=subprocess.PIPE)

    async def chunks(nc, js):
        return (await js.stream_info("OBJ_B")).state.messages

    put.stdin.write(noise(8 << 20))
    put.stdin.flush()
    wait_for(lambda: in_python(s, chunks) > 0)
    put.send_signal(signal.SIGTERM)
    assert put.wait(60) == 1
    put.stdin.close()
    assert in_python(s, chunks) == 0
    assert shown(s, "ls", "B") == []
