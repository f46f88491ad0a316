"""sluice verify: a stream and its copies at Sluice and at the reference, equal and damaged."""

import asyncio
import json
import os
import pathlib
import subprocess

import nats
import pytest

import servers
from backup import api
from test_sourcing import make, until

pytestmark = pytest.mark.skipif(not pathlib.Path(servers.NATS_SERVER).exists(), reason="no nats-server here")


def verify(source, target, *more, stream="O"):
    done = subprocess.run([os.environ["SLUICE_BINARY"], "verify", stream, "--source", source.url, "--target", target.url, "--json", *more],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1) and done.stdout, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["same"] == (done.returncode == 0)
    return report


def two(farm, kind):
    """A source, always Sluice, and a target."""
    make_target = farm.nats_server if kind == "nats-server" else farm.sluice_as_nats_server
    return (farm.sluice_as_nats_server(name="origin", extra=("-js",)).start(), make_target(name="copy", extra=("-js",)).start())


@pytest.mark.parametrize("kind", ["sluice", "nats-server"])
def test_a_marked_copy(farm, kind):
    source, target = two(farm, kind)

    async def run():
        a, b = await nats.connect(source.url), await nats.connect(target.url)
        await make(a, "O", subjects=["o.>"])
        await make(b, "O", subjects=["o.>"])
        for i in range(1, 501):
            headers = {"K": "v%d" % i} if i % 3 else None
            await a.jetstream().publish(f"o.{i % 5}", b"p%d" % i, headers=headers)
            if i == 250:
                continue  # lost on the way
            mark = {"Choria-SR-Source": f"O {i} site worker 1"} | (headers or {})
            await b.jetstream().publish(f"o.{i % 5}", b"P%d" % i if i == 100 else b"p%d" % i, headers=mark)
        report = verify(source, target)
        assert (report["equal"], report["different_seqs"], report["missing_seqs"]) == (498, [100], [250]), report
        await api(a, "STREAM.MSG.DELETE.O", {"seq": 100})
        await api(a, "STREAM.MSG.DELETE.O", {"seq": 250})
        report = verify(source, target)
        assert report["same"] and report["only_at_target"] == 1, report
        assert not verify(source, target, "--exact")["same"]
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_a_mirror_beside_its_origin(farm):
    server = farm.sluice_as_nats_server(name="both", extra=("-js",)).start()

    async def run():
        nc = await nats.connect(server.url)
        await make(nc, "O", subjects=["o.>"])
        await make(nc, "M", mirror={"name": "O"})
        for i in range(300):
            await nc.jetstream().publish("o.x", b"%d" % i)

        async def there():
            return (await api(nc, "STREAM.INFO.M"))["state"]["messages"] == 300
        await until(there)
        report = verify(server, server, "--target-stream", "M")
        assert report["same"] and report["equal"] == 300, report
        await nc.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_errors_say_which_side(farm):
    source, target = two(farm, "sluice")
    done = subprocess.run([os.environ["SLUICE_BINARY"], "verify", "NONE", "--source", source.url, "--target", target.url],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "source: stream not found" in done.stderr, done.stderr
