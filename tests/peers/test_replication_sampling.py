"""The sampling state in a bucket at the source: a leader that is killed is followed by one that samples nothing anew."""

import asyncio
import json
import pathlib

import nats
import pytest
from test_replication_sites import copier, copies_of, create, publish, site, stream_of, wait_for

import servers


@pytest.fixture(autouse=True)
def needs_nats_server():
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")


def make_election_bucket(port):
    async def run():
        nc = await nats.connect(f"nats://127.0.0.1:{port}")
        await nc.jetstream().create_key_value(bucket="CHORIA_LEADER_ELECTION", ttl=3)
        await nc.close()

    asyncio.run(run())


def kept_values(port, bucket):
    async def run():
        nc = await nats.connect(f"nats://127.0.0.1:{port}")
        kv = await nc.jetstream().key_value(bucket)
        entries = [await kv.get(key) for key in await kv.keys() if not key.endswith(".reader")]
        await nc.close()
        return sorted(json.loads(e.value)["value"] for e in entries)

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["nats", "sluice"])
def test_a_new_leader_knows_what_the_killed_one_copied(farm, kind):
    source, target = site(farm, kind, "source"), site(farm, "sluice", "target")
    create(source.port, "REG", ["reg.>"])
    make_election_bucket(source.port)
    members = [copier(farm, f'''
name: edge
state_store: {{dir}}
streams:
  - {{stream: REG, inspect_field: sender, inspect_duration: 1h, state_bucket: SAMPLING, leader_election_name: member{i},
     source_url: "nats://127.0.0.1:{source.port}", target_url: "nats://127.0.0.1:{target.port}"}}
''', f"member{i}") for i in range(2)]  # without `advisory` there is no gossip

    def leaders():
        return [m for m in members if m.process and copies_of(m)[0]["election"]["leads"]]

    def passed(member, seq):
        return copies_of(member)[0]["source_seq"] == seq

    first = wait_for(leaders, 30)[0]
    senders = [f"n{i}.example.net" for i in range(60)]
    bodies = [json.dumps({"sender": s}).encode() for s in senders]
    publish(source.port, "reg.x", bodies)
    wait_for(lambda: passed(first, 60))
    wait_for(lambda: copies_of(first)[0]["sampling"]["bucket"]["waiting"] == 0 and kept_values(source.port, "SAMPLING") == sorted(senders))
    first.kill()
    second = wait_for(leaders, 30)[0]
    publish(source.port, "reg.x", [*bodies, b'{"sender": "new.example.net"}'])
    wait_for(lambda: passed(second, 121))
    copied = [json.loads(payload)["sender"] for _, _, _, payload in stream_of(target.port, "REG")]
    assert copied == [*senders, "new.example.net"]
    ledger = copies_of(second)[0]["ledger"]
    assert (ledger["copied"], ledger["sampled"]) == (61, 60), ledger
    assert second.stop() == 0
