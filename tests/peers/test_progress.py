"""Bars of long works, as a person at a terminal sees them: their text is tested in tests/gateway, here that it is drawn, and where."""

import asyncio
import os
import pty
import subprocess

import nats
from test_replication_sites import copier, create, publish, site, stream_of, wait_for

import servers


def at_terminal(*words):
    """Exit code, and what stood on the terminal that standard error was."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([servers.SLUICE, *words], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # EIO: the other end is closed
        pass
    os.close(ours)
    return process.wait(timeout=60), seen.decode()


def test_catching_up_and_healing(farm):
    source, target = site(farm, "sluice", "source"), site(farm, "sluice", "target")
    create(source.port, "ORDERS", ["orders.>"])
    publish(source.port, "orders.a", [b"%d" % i for i in range(3000)])
    copier(farm, f'''
name: edge
state_store: {{dir}}
streams:
  - {{stream: ORDERS, source_url: "nats://127.0.0.1:{source.port}", target_url: "nats://127.0.0.1:{target.port}"}}
''')
    code, bars = at_terminal("replicator", "lag", "--wait", "--config", str(farm.folder / "copier.yaml"))
    assert code == 0 and "\x1b[KORDERS_edge [" in bars and "100% 3000 copying" in bars, bars
    wait_for(lambda: len(stream_of(target.port, "ORDERS")) == 3000)
    create(target.port, "HOLED", ["holed.>"])

    async def copy_the_newest():
        nc = await nats.connect(target.url)
        await nc.jetstream().publish("holed.a", b"2999", headers={"Choria-SR-Source": "ORDERS 3000 site worker 1"})
        await nc.close()

    asyncio.run(copy_the_newest())
    ends = ("--source", source.url, "--target", target.url)
    code, bars = at_terminal("verify", "ORDERS", *ends, "--target-stream", "HOLED", "--subject-transform", "orders.*=holed.{{wildcard(1)}}", "--heal")
    assert code == 0, bars
    assert "healing [" in bars and bars.endswith("\r\x1b[K"), bars[-500:]
    quiet = subprocess.run([servers.SLUICE, "verify", "ORDERS", *ends], capture_output=True, text=True, timeout=60)
    assert quiet.returncode == 0 and not quiet.stderr, quiet
