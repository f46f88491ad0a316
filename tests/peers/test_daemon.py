"""The daemon as an operator meets it: bad files, wrong passwords, garbage, a full disk, systemd."""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time

import nats
import pytest

import servers
import wire

PLAIN = """
server: { listen: "127.0.0.1:{port}" }
store: { dir: "{dir}" }
monitor: { enabled: false }
"""


def sluice(*arguments, **options):
    return subprocess.run([servers.SLUICE, *arguments], capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL, **options)


def test_check_tells_every_mistake_with_its_place(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("server:\n  listen: 127.0.0.1:99999\n  max_payloda: 1MiB\nstore:\n  sync: sometimes\n")
    done = sluice("check", str(path))
    assert done.returncode == 78
    text = done.stdout + done.stderr
    for place in ("bad.yaml:2:", "bad.yaml:3:", "bad.yaml:5:"):
        assert place in text, text
    assert "max_payload" in text, "the nearest known key is named"
    good = str(servers.ROOT / "config/examples/quickstart.yaml")
    assert sluice("check", good).returncode == 0


def test_check_takes_its_file_as_the_other_verbs_do(tmp_path):
    good = str(servers.ROOT / "config/examples/quickstart.yaml")
    for arguments in (["--config", good], ["-c", good]):
        done = sluice("check", *arguments)
        assert done.returncode == 0 and done.stdout == f"{good}: ok\n", done.stderr
    assert sluice("check", "-c", str(tmp_path / "none.yaml")).returncode == 78
    assert sluice("check", good, "-c", good).returncode == 64, "one of the two"


def test_the_heap_asks_for_huge_pages(farm):
    for server in (farm.sluice(PLAIN, servers.free_port()), farm.sluice_as_nats_server("face")):
        areas = pathlib.Path(f"/proc/{server.start().process.pid}/smaps").read_text()
        heaps = re.findall(r"\[heap\]\n.*?VmFlags: ([^\n]*)", areas, re.S)
        assert any("hg" in flags.split() for flags in heaps), heaps


def test_run_refuses_an_open_door(tmp_path):
    path = tmp_path / "open.yaml"
    path.write_text(f"server:\n  listen: 0.0.0.0:{servers.free_port()}\nstore:\n  dir: {tmp_path}/store\nmonitor:\n  enabled: false\n")
    done = sluice("run", "--config", str(path))
    assert done.returncode != 0
    assert "allow_anonymous" in done.stdout + done.stderr


def test_versions():
    assert re.search(r"\d+\.\d+\.\d+", sluice("version").stdout)
    assert sluice("nats-server", "-v").stdout.strip() == "nats-server: v2.15.2"
    assert "usage" in sluice("--help").stdout.lower()


def test_a_second_daemon_does_not_touch_the_folder(farm):
    port = servers.free_port()
    first = farm.sluice(PLAIN, port).start()
    path = farm.folder / "second.yaml"
    path.write_text((farm.folder / "sluice.yaml").read_text().replace(str(port), str(servers.free_port())))
    path.chmod(0o600)
    done = sluice("run", "--config", str(path))
    assert done.returncode != 0
    assert "in use by another process" in done.stdout + done.stderr
    assert first.stop() == 0


def test_wrong_password_is_refused_and_harms_nobody(farm):
    server = farm.sluice(PLAIN.replace('"127.0.0.1:{port}"', '"127.0.0.1:{port}", user: ann, password: "${SECRET:-s3cret}"'),
                         servers.free_port()).start()

    async def run():
        good = await nats.connect(server.url, user="ann", password="s3cret")
        with pytest.raises(nats.errors.Error, match="(?i)authorization violation"):
            await nats.connect(server.url, user="ann", password="wrong", allow_reconnect=False, connect_timeout=5)
        with pytest.raises(nats.errors.Error):
            await nats.connect(server.url, allow_reconnect=False, connect_timeout=5)
        sub = await good.subscribe("still.here")
        await good.publish("still.here", b"yes")
        assert (await sub.next_msg(timeout=5)).data == b"yes"
        await good.close()

    asyncio.run(run())
    assert "s3cret" not in server.log_path.read_text() and "wrong" not in server.log_path.read_text()


def test_garbage_and_half_frames_harm_nobody(farm):
    server = farm.sluice(PLAIN, servers.free_port()).start()

    def bad(data):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while s.recv(65536):
                    pass

    async def run():
        nc = await nats.connect(server.url)
        js = nc.jetstream()
        await js.add_stream(name="S", subjects=["s"])
        for data in (b"\x00" * 5000, b"PUB s 100\r\nonly a part", b"GET / HTTP/1.1\r\n\r\n", b"CONNECT {\r\n", b"PUB s 99999999999\r\n",
                     b"HPUB s 5 3\r\nxxx\r\n", b"SUB \r\n", b"\r\n" * 100, os.urandom(20000)):
            await asyncio.to_thread(bad, data)
            assert (await js.publish("s", b"fine")).seq > 0
        await nc.close()

    asyncio.run(run())
    assert all(payload == b"fine" for *_, payload in asyncio.run(wire.read_stream(server.port, "S")))
    assert server.stop() == 0


@pytest.fixture
def small_disk():
    """A file system of 64 MiB; needs the right to mount."""
    folder = tempfile.mkdtemp(prefix="sluice-small-disk-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pathlib.Path(folder).rmdir()
        pytest.skip("may not mount a file system here")
    yield pathlib.Path(folder)
    subprocess.run(["umount", "-l", folder], check=True)
    pathlib.Path(folder).rmdir()


def test_full_disk_refuses_publishes_and_recovers_by_itself(farm, small_disk):
    config = PLAIN.replace('{ dir: "{dir}" }', f'{{ dir: "{small_disk}/store", journal_file_size: 4MiB, segment_size: 4MiB, reserve: 4MiB }}')
    server = farm.sluice(config, servers.free_port()).start()
    payload = b"x" * 100_000

    async def run():
        nc = await nats.connect(server.url)
        js = nc.jetstream(timeout=10)
        await js.add_stream(name="S", subjects=["s"])
        sub = await js.pull_subscribe("s", durable="d")
        acked, refused = [], None
        for _ in range(2000):
            try:
                acked.append((await js.publish("s", payload)).seq)
            except nats.js.errors.APIError as e:
                refused = e.err_code
                break
        assert refused in (10077, 10023), f"the full disk was answered with {refused} after {len(acked)} messages"
        assert len(acked) > 50
        for message in await sub.fetch(5, timeout=10):  # reads and acks go on
            assert message.data == payload
            await message.ack_sync()
        assert (await js.get_msg("S", acked[-1])).data == payload
        await js.purge_stream("S")
        deadline = time.monotonic() + 20
        while True:  # room comes back without a restart
            try:
                again = await js.publish("s", b"again")
                break
            except nats.js.errors.APIError:
                assert time.monotonic() < deadline, "the purge gave no room"
                await asyncio.sleep(0.05)
        await nc.close()
        return again.seq

    seq = asyncio.run(run())
    server.kill()
    server.start()
    assert [(s, p) for s, _, _, p in asyncio.run(wire.read_stream(server.port, "S"))] == [(seq, b"again")]


def test_it_speaks_with_systemd(farm):
    path = farm.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(10)
        port = servers.free_port()
        server = farm.sluice(PLAIN, port)
        os.environ.update(NOTIFY_SOCKET=str(path), WATCHDOG_USEC="200000")
        os.environ.pop("WATCHDOG_PID", None)
        try:
            server.start()
        finally:
            os.environ.pop("NOTIFY_SOCKET")
            os.environ.pop("WATCHDOG_USEC")
        heard = []

        def hear(word):
            while not any(word in line for line in heard):
                heard.append(systemd.recv(4096).decode())

        hear("READY=1")
        hear("WATCHDOG=1")
        server.process.terminate()
        hear("STOPPING=1")
        assert server.process.wait(20) == 0


def test_sigterm_under_load_keeps_what_it_acked(farm):
    server = farm.sluice(PLAIN, servers.free_port()).start()

    async def create():
        nc = await nats.connect(server.url)
        await nc.jetstream().add_stream(name="LOAD", subjects=["load"])
        await nc.close()

    asyncio.run(create())
    acked = {}
    publisher = wire.RawPublisher(server.port, "load", acked)

    async def load():
        stop = asyncio.Event()
        task = asyncio.ensure_future(publisher.run(iter(range(1, 10**9)), stop))
        await asyncio.sleep(0.3)
        code = await asyncio.to_thread(server.stop)
        stop.set()
        await task
        return code

    assert asyncio.run(load()) == 0
    server.start()
    stored = {seq: int(payload.rstrip(b".")) for seq, _, _, payload in asyncio.run(wire.read_stream(server.port, "LOAD"))}
    assert acked and all(stored.get(seq) == identity for seq, identity in acked.items())
