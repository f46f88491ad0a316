"""Kafka into a stream and a stream into Kafka, beside kcat doing the same against the same broker in the same run.

Prints `name value unit`. Records of 256 B, one topic of four partitions; Sluice's streams are on disk before anything counts.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/peers"))
import kafka_broker  # noqa: E402
import servers  # noqa: E402

SIZE = 256


def say(name, value, unit):
    print(f"{name} {value:.6g} {unit}", flush=True)


def make_topic(broker, name):
    from confluent_kafka.admin import AdminClient, NewTopic
    client = AdminClient({"bootstrap.servers": broker.url})  # its results end with it
    client.create_topics([NewTopic(name, 4, 1)])[name].result(30)


def fill(broker, topic, count):
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": broker.url, "linger.ms": 20, "queue.buffering.max.messages": 200000})
    value = bytes(SIZE)
    for number in range(count):
        while True:
            try:
                producer.produce(topic, key=f"k{number % 1000}", value=value)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0


def kcat(arguments, **more):
    begun = time.monotonic()
    subprocess.run(["kcat", *arguments], check=True, stdout=subprocess.DEVNULL, **more)
    return time.monotonic() - begun


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def run_adapter(farm, name, text, count, port):
    monitor = servers.free_port()
    server = farm.sluice("server: {listen: '127.0.0.1:{port}'}\nstore: {dir: '{dir}'}\n" + f"monitor: {{listen: '127.0.0.1:{monitor}'}}\nadapters:\n{text}",
                         port, ready_port=monitor).start()
    first = last = None
    while True:
        page = json.loads(servers.http_get(monitor, "/adapters"))["adapters"][0]
        now = time.monotonic()
        if page["accepted"] > 0 and first is None:
            first, done_before, cpu = now, page["accepted"], cpu_seconds(server.process.pid)
        if page["accepted"] >= count:
            last = now
            break
        time.sleep(0.01)
    used = cpu_seconds(server.process.pid) - cpu
    say(f"{name}", (count - done_before) / (last - first), "records/s")
    say(f"{name}_cpu", used * 1e6 / (count - done_before), "us/record")
    server.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=500_000)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-kafka-bench-"))
    broker, farm = kafka_broker.Broker(folder), servers.Farm()
    try:
        broker.start()
        make_topic(broker, "bench.in")
        make_topic(broker, "bench.out")
        make_topic(broker, "bench.kcat")
        fill(broker, "bench.in", options.messages)
        port = servers.free_port()
        if shutil.which("kcat"):
            took = kcat(["-b", broker.url, "-t", "bench.in", "-C", "-e", "-q", "-o", "beginning", "-X", "isolation.level=read_committed"])
            say("kcat_consume", options.messages / took, "records/s")
            lines = folder / "lines"
            lines.write_bytes((b"x" * SIZE + b"\n") * options.messages)
            took = kcat(["-b", broker.url, "-t", "bench.kcat", "-P", "-l", str(lines), "-X", "enable.idempotence=true", "-X", "acks=all"])
            say("kcat_produce_idempotent", options.messages / took, "records/s")
        else:
            print("left out: kcat (Debian kcat)")
        source = f"  - {{type: kafka_source, name: in, brokers: ['{broker.url}'], topics: [bench.in], stream: {{name: S, subject: 'in.{{partition}}'}}}}\n"
        run_adapter(farm, "kafka_to_stream", source, options.messages, port)
        sink = f"  - {{type: kafka_sink, name: out, brokers: ['{broker.url}'], topic: bench.out, stream: {{name: S}}}}\n"
        run_adapter(farm, "stream_to_kafka", sink, options.messages, port)
    finally:
        farm.close()
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
