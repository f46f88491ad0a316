"""Work-queue and interest streams as the source of a copy: a message is taken away when its copy is durable, whoever is killed."""

import asyncio
import json
import pathlib
import random
import threading

import nats
import nats.errors
import nats.js.errors
import pytest
from test_replication_sites import copier, copies_of, create, publish, site, stream_of, wait_for

import proxy
import servers


@pytest.fixture(autouse=True)
def needs_nats_server():
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")


def api(port, verb, body=None):
    async def run():
        nc = await nats.connect(f"nats://127.0.0.1:{port}")
        answer = json.loads((await nc.request(f"$JS.API.{verb}", json.dumps(body or {}).encode(), timeout=5)).data)
        await nc.close()
        return answer

    return asyncio.run(run())


def create_queue(port, retention):
    answer = api(port, "STREAM.CREATE.ORDERS", {"name": "ORDERS", "subjects": ["orders.>"], "retention": retention})
    assert "error" not in answer, answer


def create_log(port):
    create(port, "COPIES", ["orders.>"])


class Taker:
    """The target's consumer: takes all that comes, as long as anybody answers. What each place of the stream held is kept."""

    def __init__(self, port):
        self.url, self.taken = f"nats://127.0.0.1:{port}", {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._take()), daemon=True)
        self._thread.start()

    async def _take(self):
        nc = await nats.connect(self.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
        pulled = None
        while not self._ended.is_set():
            try:
                pulled = pulled or await nc.jetstream().pull_subscribe("", durable="taker", stream="COPIES")
                for message in await pulled.fetch(100, timeout=0.5):
                    seq = message.metadata.sequence.stream
                    assert self.taken.setdefault(seq, message.data) == message.data, seq
                    await message.ack_sync(timeout=0.5)  # one that is not heard brings the same place again
            except (asyncio.TimeoutError, nats.errors.Error, nats.js.errors.Error):  # the target is away for a while, or has nothing
                await asyncio.sleep(0.05)
        await nc.close()

    def in_order(self):
        return [self.taken[seq] for seq in sorted(self.taken)]

    def close(self):
        self._ended.set()
        self._thread.join(30)


def messages_at(port):
    return api(port, "STREAM.INFO.ORDERS")["state"]["messages"]


def config(source, target, more=""):
    return f'''
name: edge
state_store: {{dir}}
streams:
  - {{stream: ORDERS, target_stream: COPIES, no_target_create: true{more},
     source_url: "nats://127.0.0.1:{source}", target_url: "nats://127.0.0.1:{target}"}}
'''


def strike_somebody(rng, source, target, replicate, link):
    victim = rng.choice(["source", "target", "copier", "copier", "link"])
    if victim == "link":
        link.cut()
        link.mend()
    else:
        server = {"source": source, "target": target, "copier": replicate}[victim]
        server.kill()
        server.start()


@pytest.mark.parametrize(("source_kind", "target_kind", "retention"),
                         [("nats", "sluice", "workqueue"), ("sluice", "nats", "workqueue"), ("nats", "sluice", "interest")])
def test_nothing_is_lost_or_doubled_whoever_is_killed(farm, soak, source_kind, target_kind, retention):
    seed = random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    source, target = site(farm, source_kind, "source"), site(farm, target_kind, "target")
    link = proxy.Link(target.port)
    create_queue(source.port, retention)
    create_log(target.port)
    replicate = copier(farm, config(source.port, link.port))
    wait_for(lambda: "config" in api(source.port, "CONSUMER.INFO.ORDERS.SR_edge"))  # interest begins
    sent = []
    try:
        for part in range(60 if soak else 5):
            bodies = [f"{part}-{i}".encode() for i in range(300)]
            publish(source.port, "orders.a", bodies)
            sent += bodies
            strike_somebody(rng, source, target, replicate, link)
        what = f"seed {seed}"
        wait_for(lambda: len(stream_of(target.port, "COPIES")) >= len(sent), 120)
        wait_for(lambda: messages_at(source.port) == 0, 60)
        assert [payload for _, _, _, payload in stream_of(target.port, "COPIES")] == sent, f"{what}\n{replicate.log_tail()}"
    finally:
        link.close()


@pytest.mark.parametrize(("source_kind", "target_kind"), [("nats", "sluice"), ("sluice", "nats"), ("sluice", "sluice")])
def test_from_queue_to_queue_nothing_is_lost_or_doubled_whoever_is_killed(farm, soak, source_kind, target_kind):
    """What was copied is at neither end any more: it was taken from the source by the copier, from the target by its consumer."""
    seed = random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    source, target = site(farm, source_kind, "source"), site(farm, target_kind, "target")
    link = proxy.Link(target.port)
    create_queue(source.port, "workqueue")
    answer = api(target.port, "STREAM.CREATE.COPIES", {"name": "COPIES", "subjects": ["orders.>"], "retention": "workqueue"})
    assert "error" not in answer, answer
    replicate = copier(farm, config(source.port, link.port))
    taker = Taker(target.port)
    sent = []
    try:
        for part in range(60 if soak else 5):
            bodies = [f"{part}-{i}".encode() for i in range(300)]
            publish(source.port, "orders.a", bodies)
            sent += bodies
            wait_for(lambda: len(taker.taken) > len(sent) - 300)  # in the midst of it, or just behind
            strike_somebody(rng, source, target, replicate, link)
        wait_for(lambda: len(taker.taken) >= len(sent) and messages_at(source.port) == 0, 120)
        wait_for(lambda: api(target.port, "STREAM.INFO.COPIES")["state"]["messages"] == 0)
        assert taker.in_order() == sent, f"seed {seed}\n{replicate.log_tail()}"
        ledger = wait_for(lambda: [c["ledger"] for c in copies_of(replicate) if c["state"] == "copying"])[0]
        assert ledger["copied"] == ledger["read"] == len(sent), f"seed {seed} {ledger}"
    finally:
        taker.close()
        link.close()


def test_nothing_is_taken_away_while_the_target_is_gone(farm):
    source, target = site(farm, "nats", "source"), site(farm, "sluice", "target")
    create_queue(source.port, "workqueue")
    create_log(target.port)
    replicate = copier(farm, config(source.port, target.port))
    publish(source.port, "orders.a", [b"1", b"2"])
    wait_for(lambda: messages_at(source.port) == 0)
    target.kill()
    publish(source.port, "orders.a", [b"3", b"4", b"5"])
    wait_for(lambda: copies_of(replicate)[0]["stalled"], 30)
    assert messages_at(source.port) == 3
    target.start()
    wait_for(lambda: messages_at(source.port) == 0)
    assert [payload for _, _, _, payload in stream_of(target.port, "COPIES")] == [b"1", b"2", b"3", b"4", b"5"]
    info = api(source.port, "CONSUMER.INFO.ORDERS.SR_edge")
    assert info["config"]["ack_policy"] == "explicit"
    assert info["num_ack_pending"] == 0


def test_what_would_take_messages_away_uncopied_is_refused(farm):
    source, target = site(farm, "sluice", "source"), site(farm, "sluice", "target")
    create_queue(source.port, "workqueue")
    create_log(target.port)
    publish(source.port, "orders.a", [b"1", b"2"])
    replicate = copier(farm, config(source.port, target.port, ", start_sequence: 2"))
    blocked = wait_for(lambda: [c for c in copies_of(replicate) if c["state"] == "blocked"])[0]
    assert "is a queue" in blocked["last_error"]
    assert messages_at(source.port) == 2
