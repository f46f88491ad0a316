"""Topics into streams and streams into topics, against a real broker: each record once, whatever is killed."""

import asyncio
import contextlib
import json
import random
import threading
import time

import nats
import pytest

import kafka_broker
import left_out
import servers
import wire
from test_registration import wait_for

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
except ImportError:
    Consumer = None

SEED = random.SystemRandom().randrange(2**32)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    if Consumer is None:
        left_out.leave_out("Kafka 4.1.1: no confluent-kafka in build/peers/venv")
    one = kafka_broker.Broker(tmp_path_factory.mktemp("kafka"))
    one.start()
    yield one
    one.kill()


def admin(broker):
    return AdminClient({"bootstrap.servers": broker.url, "log_level": 0})


def make_topic(broker, name, partitions=1):
    """Tried until it is there: a topic of that name may still be on its way out."""
    client = admin(broker)

    def made():
        try:
            client.create_topics([NewTopic(name, partitions, 1)])[name].result(30)
            return True
        except KafkaException as e:
            print(f"{name}: {e}")
            return False
    wait_for(made, 60, f"topic {name}")


def delete_topic(broker, name):
    client = admin(broker)
    client.delete_topics([name])[name].result(30)


def produce(broker, topic, records):
    """(key, value, headers) each."""
    producer = Producer({"bootstrap.servers": broker.url, "enable.idempotence": True, "log_level": 0})
    for key, value, headers in records:
        producer.produce(topic, key=key, value=value, headers=headers)
    assert producer.flush(60) == 0


def consume(broker, topic, count, seconds=60):
    """What is committed in the topic: `count` records, and whatever stands behind them."""
    consumer = Consumer({"bootstrap.servers": broker.url, "group.id": "test", "isolation.level": "read_committed", "enable.auto.commit": False,
                         "enable.partition.eof": True, "log_level": 0})
    try:
        parts = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in parts])
        out, at_end, deadline = [], set(), time.monotonic() + seconds
        while (len(out) < count or len(at_end) < len(parts)) and time.monotonic() < deadline:
            for message in consumer.consume(1000, 0.2):
                if message.error() is None:
                    out.append(message)
                    at_end.discard(message.partition())
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    at_end.add(message.partition())
        return out
    finally:
        consumer.close()


class Gateway:
    """Sluice with these adapters."""

    def __init__(self, farm, adapters, name="sluice", core=None):
        self.port, self.monitor = (servers.free_port() if core is None else 0), servers.free_port()
        head = "server: {listen: '127.0.0.1:{port}'}\nstore: {dir: '{dir}'}\n" if core is None else f"core: {{servers: {json.dumps(core)}, replicas: 3}}\n"
        self.server = farm.sluice(f"{head}monitor: {{listen: '127.0.0.1:{self.monitor}'}}\nadapters:\n{adapters}", self.port, name=name,
                                  ready_port=self.monitor)
        self.server.start()

    def adapters(self):
        with contextlib.suppress(OSError):
            return {a["name"]: a for a in json.loads(servers.http_get(self.monitor, "/adapters"))["adapters"]}
        return {}

    def wait_running(self):
        wait_for(lambda: self.adapters() and all(a["state"] == "running" for a in self.adapters().values()), 90, "running adapters")

    def read(self, stream):
        """All but positions."""
        return [m for m in asyncio.run(wire.read_stream(self.port, stream)) if not m[1].startswith("SLUICE.KAFKA.")]


def source(broker, name, topic, stream, more=""):
    return f"  - {{type: kafka_source, name: {name}, brokers: ['{broker.url}'], topics: [{topic}], refresh: 1s, stream: {{name: {stream}}}{more}}}\n"


def sink(broker, name, stream, topic, more=""):
    return f"  - {{type: kafka_sink, name: {name}, brokers: ['{broker.url}'], topic: {topic}, stream: {{name: {stream}}}{more}}}\n"


def test_records_go_through_a_stream_and_come_back_as_they_were(farm, broker):
    make_topic(broker, "forms", 2)
    make_topic(broker, "forms.back")
    sent = [("k", b"plain", [("trace", b"1")]), ("k", None, []), ("k", b"", []), (None, b"no key", []), ("", b"empty key", []),
            (b"\x00\xff.*> ", b"odd key", [("many", b"a"), ("many", b"b"), ("null", None), ("bin", b"\x00\r\n\xff"), ("n=a:m e", b" v ")]),
            ("k", b"{}", [("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"/x"), ("ce_type", b"t"), ("content-type", b"application/json")])]
    produce(broker, "forms", sent)
    gateway = Gateway(farm, source(broker, "in", "forms", "S") + sink(broker, "out", "S", "forms.back"))
    gateway.wait_running()
    back = consume(broker, "forms.back", len(sent))
    wanted = sorted((repr(k.encode() if isinstance(k, str) else k), repr(v), sorted(map(repr, h))) for k, v, h in sent)
    assert sorted((repr(m.key()), repr(m.value()), sorted(map(repr, m.headers() or []))) for m in back) == wanted
    stored = {m[3]: m for m in gateway.read("S")}
    assert len(stored) == len({v or b"" for _, v, _ in sent})
    assert stored[b"odd key"][1] == "in.forms.%00%FF%2E%2A%3E%20"
    assert stored[b"{}"][2]["ce-id"] == "7" and stored[b"{}"][2]["ce-datacontenttype"] == "application/json"
    page = gateway.adapters()
    assert page["in"]["accepted"] == len(sent) and page["in"]["lag"] == 0
    metrics = servers.http_get(gateway.monitor, "/metrics")
    assert 'sluice_adapter_part_lag{adapter="in",type="kafka_source",part="forms/0"} 0' in metrics
    assert gateway.server.stop() == 0


def test_nothing_is_lost_or_doubled_whoever_is_killed(farm, broker, soak):
    """topic → stream → topic while Sluice and the broker are killed at random."""
    kills, broker_kills = (soak["rounds"], max(soak["rounds"] // 20, 1)) if soak else (20, 2)
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    make_topic(broker, "chain.in", 3)
    make_topic(broker, "chain.out", 3)
    gateway = Gateway(farm, source(broker, "in", "chain.in", "S") + sink(broker, "out", "S", "chain.out"))
    done = threading.Event()
    sent = {f"k{i}": 0 for i in range(5)}

    def feed():
        producer = Producer({"bootstrap.servers": broker.url, "enable.idempotence": True, "log_level": 0, "message.timeout.ms": 0,
                             "reconnect.backoff.max.ms": 500})
        while not done.wait(0.01):
            for key in sent:
                producer.produce("chain.in", key=key, value=str(sent[key]))
                sent[key] += 1
            producer.poll(0)
        assert producer.flush(120) == 0
    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        broker_turns = set(rng.sample(range(kills), min(broker_kills, kills)))
        for turn in range(kills):
            time_to_live = rng.uniform(0.1, 1.2)
            accepted = gateway.adapters().get("in", {}).get("accepted", 0)
            with contextlib.suppress(TimeoutError, AssertionError):  # or it did something before
                wait_for(lambda: gateway.adapters().get("in", {}).get("accepted", 0) > accepted + 50, time_to_live, "progress")
            if turn in broker_turns:
                broker.kill()
                broker.start(wait=False)
            gateway.server.kill()
            gateway.server.start()
        broker.wait()
    finally:
        done.set()
        feeder.join(180)
    assert not feeder.is_alive()
    total = sum(sent.values())
    wait_for(lambda: len(gateway.read("S")) >= total, 180, f"all {total} in the stream (seed {SEED})")
    stored = gateway.read("S")
    for key, count in sent.items():
        assert [int(m[3]) for m in stored if m[2]["Kafka-Key"] == key] == list(range(count)), f"{key} in the stream, seed {SEED}"
    out = consume(broker, "chain.out", total, 180)
    by_key = {key: [] for key in sent}
    for message in out:
        by_key[message.key().decode()].append(int(message.value()))
    for key, count in sent.items():
        assert by_key[key] == list(range(count)), f"{key} in the topic, seed {SEED}"
    page = gateway.adapters()
    assert page["in"]["rejected"] == page["out"]["rejected"] == {}
    assert gateway.server.stop() == 0


def test_a_recreated_topic_is_read_from_its_start(farm, broker):
    make_topic(broker, "again")
    produce(broker, "again", [("k", f"old {i}".encode(), []) for i in range(10)])
    gateway = Gateway(farm, source(broker, "in", "again", "S"))
    wait_for(lambda: gateway.adapters()["in"]["accepted"] == 10, 60, "the old ones")
    delete_topic(broker, "again")
    wait_for(lambda: gateway.adapters()["in"]["state"] == "degraded", 60, "that it is gone")
    make_topic(broker, "again")
    produce(broker, "again", [("k", f"new {i}".encode(), []) for i in range(20)])
    wait_for(lambda: gateway.adapters()["in"]["accepted"] == 30, 60, "the new ones")
    assert [m[3] for m in gateway.read("S")] == [f"old {i}".encode() for i in range(10)] + [f"new {i}".encode() for i in range(20)]
    assert gateway.server.stop() == 0


def test_a_second_copy_fences_the_first(farm, broker):
    make_topic(broker, "fence")
    cluster = farm.nats_server("core").start()
    text = sink(broker, "out", "F", "fence")

    async def publish(numbers):
        nc = await nats.connect(cluster.url)
        with contextlib.suppress(Exception):
            await nc.jetstream().add_stream(name="F", subjects=["f.>"])
        for number in numbers:
            await nc.jetstream().publish("f.x", str(number).encode())
        await nc.close()
    asyncio.run(publish(range(20)))
    first = Gateway(farm, text, "first", [cluster.url])
    first.wait_running()
    second = Gateway(farm, text, "second", [cluster.url])
    second.wait_running()
    asyncio.run(publish(range(20, 40)))
    wait_for(lambda: first.adapters()["out"]["state"] == "degraded", 60, "the first to give way")
    assert "fenced" in first.adapters()["out"]["error"]
    asyncio.run(publish(range(40, 60)))
    assert [int(m.value()) for m in consume(broker, "fence", 60)] == list(range(60))
    assert first.server.stop() == 0 and second.server.stop() == 0


def test_sasl_properties_and_secrets_are_passed_on(farm, broker):
    make_topic(broker, "sasl")
    produce(broker, "sasl", [("k", b"v", [])])
    secret = farm.folder / "password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    text = (f"  - {{type: kafka_source, name: in, brokers: ['{broker.sasl_url}'], topics: [sasl], stream: {{name: S}}, properties: {{security.protocol: SASL_PLAINTEXT, "
            f"sasl.mechanism: PLAIN, sasl.username: sluice}}, property_files: {{sasl.password: '{secret}'}}}}\n")
    gateway = Gateway(farm, text)
    wait_for(lambda: "uthentication" in gateway.adapters()["in"]["error"], 60, "the refusal")
    assert gateway.adapters()["in"]["state"] != "running"
    assert gateway.server.stop() == 0
    secret.write_text("geheim\n")
    gateway.server.start()
    wait_for(lambda: gateway.adapters()["in"]["accepted"] == 1, 60, "the record")
    assert "geheim" not in gateway.server.log_path.read_text()
    assert gateway.server.stop() == 0


def test_both_directions_on_a_cluster_whose_leader_dies(farm, broker):
    """JetStream elsewhere: the batch with the position is atomic there too."""
    from test_remote_core import Cluster
    cluster = Cluster(farm)
    make_topic(broker, "far.in", 2)
    make_topic(broker, "far.out", 2)
    gateway = Gateway(farm, source(broker, "in", "far.in", "FAR") + sink(broker, "out", "FAR", "far.out"), core=cluster.urls)
    gateway.wait_running()
    produce(broker, "far.in", [(f"k{i % 4}", str(i).encode(), []) for i in range(2000)])
    wait_for(lambda: gateway.adapters()["in"]["accepted"] > 0, 60, "a beginning")
    killed = cluster.kill_leader_of("FAR")
    produce(broker, "far.in", [(f"k{i % 4}", str(i).encode(), []) for i in range(2000, 4000)])
    killed.start()
    out = consume(broker, "far.out", 4000, 120)
    for key in range(4):
        assert [int(m.value()) for m in out if m.key() == f"k{key}".encode()] == list(range(key, 4000, 4))
    wait_for(lambda: all(a["in_flight"] == 0 for a in gateway.adapters().values()), 60, "everything settled")
    assert gateway.server.stop() == 0
