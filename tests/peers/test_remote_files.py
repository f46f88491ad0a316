"""What is read from files: a drop folder and an audit log keep the adapters' contract on the embedded core and on a three-node nats-server
cluster whose leader dies."""

import asyncio
import json

import nats
import pytest

import servers
import wire
from test_audit import record
from test_file_drop import drop, left
from test_remote_core import Cluster
from test_spool import Spool, wait_for  # it waits through what a new leader costs

COUNT = 60
ADAPTERS = """
adapters:
  - {{type: file_drop, name: reports, folder: "{folder}", stream: DROPS, max_file_size: 1 KiB, scan_interval: 200ms}}
  - {{type: choria_audit, name: audit, file: "{log}", position_file: "{position}", spool: "{socket}", scan_interval: 50ms}}
  - {{type: choria_submission, name: submission, stream: {{name: SUBMISSION, audit_prefix: choria.audit}}}}
"""


async def make_audit_stream(urls):
    nc = await nats.connect(urls)
    await nc.jetstream().add_stream(name="CHORIA_AUDIT", subjects=["choria.audit.>"], num_replicas=3 if len(urls) > 1 else 1)
    await nc.close()


@pytest.mark.parametrize("core", ["embedded", "cluster"])
def test_files_and_audit_records(farm, core):
    monitor, port = servers.free_port(), servers.free_port()
    cluster = Cluster(farm) if core == "cluster" else None
    urls = cluster.urls if cluster else [f"nats://127.0.0.1:{port}"]
    folder, log = farm.folder / "in", farm.folder / "audit.log"
    folder.mkdir()
    spool = Spool(farm, "{servers: " + json.dumps(urls) + "}")
    adapters = ADAPTERS.format(folder=folder, log=log, position=farm.folder / "position", socket=spool.socket)
    text = (f"core: {{servers: {json.dumps(urls)}, replicas: 3}}\n" if cluster
            else "server: {listen: '127.0.0.1:{port}'}\nstore: {dir: '{dir}'}\n")
    daemon = farm.sluice(text + f"monitor: {{listen: '127.0.0.1:{monitor}'}}\n" + adapters, 0 if cluster else port, ready_port=monitor)
    daemon.start()
    asyncio.run(make_audit_stream(urls))
    spool.start()

    def page():
        return json.loads(servers.http_get(monitor, "/adapters"))["adapters"]
    wait_for(lambda: [a["state"] for a in page()] == ["running"] * 3, 60, "three running adapters")
    records = [record(number) for number in range(COUNT)]

    def play(numbers):
        for number in numbers:
            drop(folder, f"{number:05}.txt", f"file {number}".encode())
            with open(log, "a") as out:
                out.write(records[number] + "\n")
                if number % 20 == 10:
                    out.write(f"no record {number}\n")
                    drop(folder, f"large-{number}", b"x" * 1025)
    play(range(COUNT // 2))
    killed = [cluster.kill_leader_of("CHORIA_AUDIT")] if cluster else []
    play(range(COUNT // 2, COUNT))
    for node in killed:
        node.start()
    read_port = next(n.port for n in cluster.nodes if n.process) if cluster else port

    def read(stream):
        return asyncio.run(wire.read_stream(read_port, stream))
    wait_for(lambda: len(read("CHORIA_AUDIT")) >= COUNT and len(read("DROPS")) >= COUNT, 120, "everything")
    wait_for(lambda: len(read("SLUICE_DLQ")) >= 6, 60, "the dead letters")
    wait_for(lambda: all(a["in_flight"] == 0 and a["state"] == "running" for a in page()) and left(folder) == [], 60, "everything settled")
    assert [m[3].decode() for m in read("CHORIA_AUDIT")] == records
    assert sorted(m[3].decode() for m in read("DROPS")) == sorted(f"file {number}" for number in range(COUNT))
    letters = sorted((m[2]["Sluice-Reason"], m[3]) for m in read("SLUICE_DLQ"))
    expected = [("bad_json", f"no record {number}".encode()) for number in (10, 30, 50)] + 3 * [("too_large", b"x" * 1025)]
    assert letters == expected  # one whose acknowledgement went down with the leader is written again, under its id
    assert sorted(path.name for path in (folder / "failed").iterdir() if not path.name.endswith(".reason")) == ["large-10", "large-30", "large-50"]
    if cluster:
        for stream in ("DROPS", "SUBMISSION", "SLUICE_DLQ"):
            assert asyncio.run(cluster.ask(f"$JS.API.STREAM.INFO.{stream}"))["config"]["num_replicas"] == 3
    assert spool.stop() == 0 and daemon.stop() == 0
