"""RPC audit records: a log on a node, through its spool, into a stream at the centre; found there again."""

import asyncio
import json
import os
import subprocess
import time

import nats
import pytest

import servers
from test_spool import Spool, wait_for

CENTRE = """
server: {listen: "127.0.0.1:{port}"}
store: {dir: "{dir}"}
monitor: {enabled: false}
auto_streams: {audit: {enabled: true}}
adapters:
  - {type: choria_submission, name: submission, stream: {name: SUBMISSION, audit_prefix: choria.audit}}
"""
NODE = """
server: {listen: "127.0.0.1:{port}"}
store: {dir: "{dir}"}
monitor: {enabled: false}
adapters:
  - {type: choria_audit, name: audit, file: "%s", position_file: "%s", spool: "%s", scan_interval: 50ms}
"""


def record(number, **more):
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".174912+0000"
    return json.dumps({"timestamp": when, "request_id": f"{number:032x}", "request_time": int(time.time()), "caller": "choria=rip.mcollective",
                       "sender": "desk1.example.net", "agent": "package", "action": "status", "data": {"n": number}} | more, separators=(",", ":"))


class Site:
    """A node and the centre. The log is written as Choria's server does: opened for each record."""

    def __init__(self, farm):
        self.centre = farm.sluice(CENTRE, servers.free_port(), name="centre").start()
        self.spool = Spool(farm, self.centre.url).start()
        self.log, self.position = farm.folder / "audit.log", farm.folder / "position"
        self.node = farm.sluice(NODE % (self.log, self.position, self.spool.socket), servers.free_port(), name="agent")
        self.written = []

    def write(self, count):
        for _ in range(count):
            with open(self.log, "a") as log:
                self.written.append(record(len(self.written)))
                log.write(self.written[-1] + "\n")

    def rotate(self, way, number):
        kept = f"{self.log}.{number}"
        if way == "rename":
            os.rename(self.log, kept)
        else:
            with open(self.log, "rb") as log, open(kept, "wb") as copy:
                copy.write(log.read())
            os.truncate(self.log, 0)

    def stored(self):
        return asyncio.run(read(self.centre.url, "CHORIA_AUDIT"))

    def wait(self):
        wait_for(lambda: asyncio.run(count(self.centre.url, "CHORIA_AUDIT")) >= len(self.written), 60, f"{len(self.written)} records")

    def search(self, *arguments):
        done = subprocess.run([servers.SLUICE, "audit", "search", "--server", self.centre.url, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout


async def count(url, stream):
    client = await nats.connect(url)
    try:
        return (await client.jetstream().stream_info(stream)).state.messages
    finally:
        await client.close()


async def read(url, stream):
    client = await nats.connect(url)
    js = client.jetstream()
    total = (await js.stream_info(stream)).state.messages
    sub = await js.subscribe(">", stream=stream, ordered_consumer=True)
    got = [await sub.next_msg(20) for _ in range(total)]
    await client.close()
    return got


@pytest.fixture
def site(farm):
    return Site(farm)


def test_records_reach_the_centre_and_are_found(site):
    site.write(3)
    site.node.start()
    site.wait()
    first = site.stored()[0]
    assert first.subject == "choria.audit.rpc" and first.data.decode() == site.written[0]
    assert first.headers["Choria-Identity"] == "node1.example.net" and first.headers["Choria-Reliable"] == "1"
    with open(site.log, "a") as log:
        log.write("no record\n" + record(9, agent="puppet", action="disable", caller="choria=eve.mcollective", data={"message": "x" * 300}) + "\n")
    site.written.append("the puppet one")
    site.wait()
    # A line that is none is kept where it was found.
    wait_for(lambda: asyncio.run(read(site.node.url, "SLUICE_DLQ"))[0].data == b"no record")
    text = site.search()
    assert "4 records of 1 node by 2 callers" in text and 'package#status choria=rip.mcollective from desk1.example.net {"n":0}' in text
    text = site.search("--agent", "puppet", "--caller", "eve")
    assert "1 record of" in text and "puppet#disable" in text and "x...\n" in text and "package" not in text
    assert "x" * 300 in site.search("--agent", "puppet", "--full")
    assert "0 records" in site.search("--node", "node2") and "0 records" in site.search("--action", "stat")
    assert "0 records" in site.search("--since", "2040-01-01T00:00:00Z")
    line = json.loads(site.search("--json", "--node", "node1", "--request", f"{2:032x}"))
    assert line["node"] == "node1.example.net" and line["sequence"] == 3 and line["record"]["data"] == {"n": 2}
    bad = subprocess.run([servers.SLUICE, "audit", "search", "--server", site.centre.url, "--since", "often"], capture_output=True, text=True)
    assert bad.returncode == 1 and "--since: 'often' is no time" in bad.stderr


def test_a_search_follows(site):
    site.write(1)
    site.node.start()
    site.wait()
    search = subprocess.Popen([servers.SLUICE, "audit", "search", "--server", site.centre.url, "--follow", "--json"], stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(search.stdout.readline())["record"]["data"] == {"n": 0}
        site.write(1)
        assert json.loads(search.stdout.readline())["record"]["data"] == {"n": 1}
    finally:
        search.terminate()
        search.wait(20)


@pytest.mark.parametrize("way", ["rename", "copytruncate"])
def test_kills_and_rotations_lose_and_double_nothing(site, way):
    for turn in range(6):
        site.write(40)
        site.node.start()
        wait_for(site.position.exists)  # a log that was rotated away before anybody ever looked is nobody's
        site.write(40)
        if turn % 2:
            site.rotate(way, turn)
        site.write(5)
        if turn % 3 == 2:
            site.spool.process.kill()
            site.spool.process.wait()
            site.spool.start()
        site.node.kill()
    site.node.start()
    site.wait()
    assert [m.data.decode() for m in site.stored()] == site.written
