"""A leader is stopped with copies on their way to a stream that others write to too; they come when another one has long copied those messages."""

import asyncio
import json
import pathlib
import signal
import threading
import time

import nats
import pytest

import proxy
import servers
from test_remote_core import Cluster
from test_replication_sites import copier, copies_of, site, stream_of, wait_for

SUBJECTS = 40


class HeldLink(proxy.Link):
    """What goes towards the target can be held, as by a road that is closed for a while."""

    def __init__(self, target_port):
        self.open = threading.Event()
        self.open.set()
        self.held_bytes = 0
        super().__init__(target_port)

    async def _pump(self, reader, writer):
        towards_target = writer.get_extra_info("peername")[1] == self.target_port
        try:
            while data := await reader.read(65536):
                if towards_target and not self.open.is_set():
                    self.held_bytes += len(data)
                    while not self.open.is_set():
                        await asyncio.sleep(0.02)
                writer.write(data)
                await writer.drain()
        except (ConnectionError, OSError):
            pass
        finally:
            writer.close()


def make_streams(source, target, more=None):
    async def run():
        there, here = await nats.connect(source.url), await nats.connect(target.url)
        await there.jetstream().create_key_value(bucket="CHORIA_LEADER_ELECTION", ttl=3)
        await there.jetstream().add_stream(name="ORDERS", subjects=["orders.>"])
        config = {"name": "ORDERS", "subjects": ["orders.>"], "storage": "file", "duplicate_window": 200_000_000, **(more or {})}
        made = json.loads((await here.request("$JS.API.STREAM.CREATE.ORDERS", json.dumps(config).encode(), timeout=20)).data)
        assert "error" not in made, made
        await here.jetstream().publish("orders.others", b"not a copy")
        await there.close()
        await here.close()

    asyncio.run(run())


def forget_ids(target):
    """Returns when the target's window of ids has passed."""
    async def run():
        nc = await nats.connect(target.url)
        js = nc.jetstream()
        await js.publish("orders.others", b"", headers={"Nats-Msg-Id": "probe"})
        deadline = time.monotonic() + 30
        while (await js.publish("orders.others", b"", headers={"Nats-Msg-Id": "probe"})).duplicate:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        await nc.close()

    asyncio.run(run())


def copied(target):
    """By subject, what was copied, in the target's order."""
    found = {}
    for _, subject, headers, payload in stream_of(target.port, "ORDERS"):
        if headers and "Choria-SR-Source" in headers:
            found.setdefault(subject, []).append(int(payload))
    return found


def stop_a_leader_midway(farm, source, target, meanwhile=lambda: None):
    """What the first leader sends to `target` is held until another one has copied it, and comes then. `meanwhile` runs before the other one leads."""
    link = HeldLink(target.port)
    members = []

    def start_member(port):
        name = f"member{len(members)}"
        members.append(copier(farm, f'''
name: edge
state_store: {{dir}}
streams:
  - {{stream: ORDERS, leader_election_name: {name}, source_url: "nats://127.0.0.1:{source.port}", target_url: "nats://127.0.0.1:{port}",
     target_writers: shared, fence_subject: orders.fence, no_target_create: true}}
''', name))
        return members[-1]

    def publish_round(number):
        async def run():
            nc = await nats.connect(source.url)
            for subject in range(SUBJECTS):
                await nc.jetstream().publish(f"orders.{subject}", str(number).encode())
            await nc.close()

        asyncio.run(run())

    def wait_for_rounds(number):
        wait_for(lambda: sum(map(len, copied(target).values())) >= number * SUBJECTS)

    try:
        old = start_member(link.port)
        wait_for(lambda: copies_of(old)[0]["election"]["leads"])
        publish_round(0)
        wait_for_rounds(1)
        link.open.clear()
        publish_round(1)
        wait_for(lambda: link.held_bytes > 0)
        old.process.send_signal(signal.SIGSTOP)
        meanwhile()
        new = start_member(target.port)
        wait_for(lambda: copies_of(new)[0]["election"]["leads"])
        wait_for_rounds(2)
        forget_ids(target)
        link.open.set()
        old.process.send_signal(signal.SIGCONT)
        wait_for(lambda: copies_of(old)[0]["state"] == "paused")
        publish_round(2)
        wait_for_rounds(3)
        new.kill()
        publish_round(3)  # the one that was stopped leads again, with a mark of its own
        wait_for_rounds(4)
        old.stop()  # its connections, and all on them, have been read to the end
    finally:
        link.close()
    assert copied(target) == {f"orders.{subject}": [0, 1, 2, 3] for subject in range(SUBJECTS)}


@pytest.mark.parametrize("target_kind", ["nats", "sluice"])
def test_what_a_stopped_leader_had_sent_is_refused(farm, target_kind):
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    source, target = site(farm, "nats", "source"), site(farm, target_kind, "target")
    make_streams(source, target)
    stop_a_leader_midway(farm, source, target)


@pytest.mark.parametrize("batches", [True, False])
def test_into_three_replicas_whose_leader_is_killed_too(farm, batches):
    """Which look at one fenced message at a time. The stream's own leader dies while the copier's is stopped."""
    cluster = Cluster(farm)
    source = site(farm, "nats", "source")
    make_streams(source, cluster.nodes[0], {"num_replicas": 3, "allow_atomic": batches})
    leads = asyncio.run(cluster.ask("$JS.API.STREAM.INFO.ORDERS"))["cluster"]["leader"]
    target = next(node for node in cluster.nodes if node.name != leads)  # what is held goes to it

    def kill_leader():
        """And no other one, should it have moved meanwhile."""
        leader = next(node for node in cluster.nodes if node.name == leads)
        leader.kill()
        leader.start()

    stop_a_leader_midway(farm, source, target, kill_leader)
