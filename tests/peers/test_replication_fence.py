"""A leader is stopped with copies on their way to a stream that others write to too; they come when another one has long copied those messages."""

import asyncio
import pathlib
import signal
import threading
import time

import nats
import pytest

import proxy
import servers
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


def make_streams(source, target):
    async def run():
        there, here = await nats.connect(source.url), await nats.connect(target.url)
        await there.jetstream().create_key_value(bucket="CHORIA_LEADER_ELECTION", ttl=3)
        await there.jetstream().add_stream(name="ORDERS", subjects=["orders.>"])
        await here.jetstream().add_stream(name="ORDERS", subjects=["orders.>"], duplicate_window=0.2)
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


@pytest.mark.parametrize("target_kind", ["nats", "sluice"])
def test_what_a_stopped_leader_had_sent_is_refused(farm, target_kind):
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    source, target = site(farm, "nats", "source"), site(farm, target_kind, "target")
    make_streams(source, target)
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
        new = start_member(target.port)
        wait_for(lambda: copies_of(new)[0]["election"]["leads"])
        wait_for_rounds(2)
        forget_ids(target)
        link.open.set()
        old.process.send_signal(signal.SIGCONT)
        wait_for(lambda: copies_of(old)[0]["state"] == "paused")
        publish_round(2)
        wait_for_rounds(3)
        old.stop()  # its connection, and all on it, has been read to the end
    finally:
        link.close()
    assert copied(target) == {f"orders.{subject}": [0, 1, 2] for subject in range(SUBJECTS)}
