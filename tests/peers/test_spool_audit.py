"""A node that runs nothing but sluice-spool: it follows the RPC audit log itself."""

import asyncio
import os
import pathlib
import subprocess

import pytest

import servers
from test_audit import CENTRE, Site, read, record
from test_spool import SPOOL, Spool, wait_for


class SmallSite(Site):
    """The same, but the spool is the node."""

    def __init__(self, farm, more=""):
        self.centre = farm.sluice(CENTRE, servers.free_port(), name="centre").start()
        self.log, self.position = farm.folder / "audit.log", farm.folder / "position"
        self.spool = Spool(farm, self.centre.url,
                           more=f"audit: {{file: '{self.log}', position_file: '{self.position}', scan_interval: 50ms}}\n{more}")
        self.written = []


def private_kib(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(("Private_Clean", "Private_Dirty")))


def test_records_go_to_the_centre_and_what_is_none_to_the_quarantine(farm):
    port = servers.free_port()
    site = SmallSite(farm, f"metrics: 127.0.0.1:{port}\n")
    site.write(3)
    site.spool.start()
    site.wait()
    with open(site.log, "a") as log:
        log.write("no record\n")
    site.write(2)
    site.wait()
    messages = site.stored()
    assert [m.data.decode() for m in messages] == site.written
    assert {m.headers["Choria-Identity"] for m in messages} == {"node1.example.net"}
    assert "5 records of 1 node" in site.search()
    letter = wait_for(lambda: site.spool.ask({"op": "list", "box": "quarantine"})["entries"])[0]
    assert letter["reason"].startswith("bad_json") and str(site.log) in letter["reason"] and letter["bytes"] == len("no record")
    figures = servers.http_get(port, "/metrics")
    assert "sluice_spool_audit_records_total 5" in figures and 'sluice_spool_audit_rejected_total{reason="bad_json"} 1' in figures
    assert "sluice_spool_audit_following 1" in figures
    print(f"sluice-spool with an audit log, idle: {private_kib(site.spool.process.pid)} KiB private")
    assert site.spool.stop() == 0
    libraries = subprocess.run(["ldd", SPOOL], capture_output=True, text=True, check=True).stdout
    assert not any(name in libraries for name in ("rdkafka", "curl", "libnats"))


@pytest.mark.parametrize("way", ["rename", "copytruncate"])
def test_kills_and_rotations_lose_and_double_nothing(farm, way):
    site = SmallSite(farm)
    for turn in range(4):
        site.write(30)
        site.spool.start()
        wait_for(site.position.exists)
        site.write(30)
        if turn % 2:
            site.rotate(way, turn)
        site.write(5)
        site.spool.kill()
    site.spool.start()
    site.wait()
    assert [m.data.decode() for m in site.stored()] == site.written
    assert site.spool.stop() == 0


def test_a_log_that_cannot_be_followed_holds_up_nothing_else(farm):
    site = SmallSite(farm)
    site.position.write_text("rubbish")
    site.spool.start()
    site.spool.submit("app.x", b"x")
    wait_for(lambda: site.spool.waiting() == 0, what="an empty queue")
    assert "the audit log is not followed" in site.spool.log.read_text()
    assert [m.data for m in asyncio.run(read(site.centre.url, "SUBMISSION"))] == [b"x"]
    os.unlink(site.position)
    assert site.spool.stop() == 0
    site.written.append(record(0))
    site.log.write_text(site.written[0] + "\n")
    site.spool.start()
    site.wait()


def test_its_settings_are_checked(farm):
    node = Spool(farm, "nats://localhost:1", more="audit: {file: /x, sign: true}\n")
    done = subprocess.run([SPOOL, "--check", "--config", str(node.config)], capture_output=True, timeout=20)
    assert done.returncode == 78 and b"position_file" in done.stderr and b"'signing.seed' is missing" in done.stderr


def test_the_check_says_what_the_start_would(farm):
    node = Spool(farm, "nats://localhost:1", more="audit: {file: /x, position_file: /y}\n")
    good = node.config.read_text()
    for old, new, complaint in [(f"socket: {node.socket}", "socket: submit.sock", b"the spool's socket is named by its absolute path"),
                                ("file: /x, position_file: /y", "file: /x, position_file: /x", b"'position_file' is the log itself"),
                                ("file: /x", "subject: 'a b', file: /x", b"not a subject without wildcards")]:
        assert old in good
        node.config.write_text(good.replace(old, new))
        done = subprocess.run([SPOOL, "--check", "--config", str(node.config)], capture_output=True, timeout=20)
        assert done.returncode == 78 and complaint in done.stderr, done.stderr
    node.config.write_text(good)
    done = subprocess.run([SPOOL, "--check", "--config", str(node.config)], capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr
