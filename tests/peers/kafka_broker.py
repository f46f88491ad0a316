"""A real Kafka broker (KRaft, one node) for the peer tests: installed from Maven Central by exact version and digest."""

import contextlib
import pathlib
import socket
import subprocess
import time

import jars
import servers


def free_ports(count):
    """Different ones: all are taken before any is given back."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


class Broker:
    """One node, killed and started again as often as wanted."""

    def __init__(self, folder):
        libs = jars.install("kafka", "Kafka 4.1.1")
        self.folder = pathlib.Path(folder)
        self.port, self.sasl_port, controller = free_ports(3)
        self.url = f"127.0.0.1:{self.port}"
        self.sasl_url = f"127.0.0.1:{self.sasl_port}"
        self.properties = self.folder / "server.properties"
        jaas = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_sluice="geheim";'
        self.properties.write_text("\n".join([
            "process.roles=broker,controller", "node.id=1", f"controller.quorum.voters=1@127.0.0.1:{controller}",
            f"listeners=PLAINTEXT://127.0.0.1:{self.port},SASL_PLAINTEXT://127.0.0.1:{self.sasl_port},CONTROLLER://127.0.0.1:{controller}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port},SASL_PLAINTEXT://127.0.0.1:{self.sasl_port}",
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "controller.listener.names=CONTROLLER", "sasl.enabled.mechanisms=PLAIN",
            f"listener.name.sasl_plaintext.plain.sasl.jaas.config={jaas}",
            f"log.dirs={self.folder / 'kafka-logs'}", "auto.create.topics.enable=false", "group.initial.rebalance.delay.ms=0",
            "offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1", "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=1", "share.coordinator.state.topic.replication.factor=1",
            "share.coordinator.state.topic.min.isr=1", "num.io.threads=2", "num.network.threads=2", "log.cleaner.enable=false", ""]))
        self.java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{libs}/*"]
        self.process = None
        done = subprocess.run([*self.java, "kafka.tools.StorageTool", "format", "-t", "c2x1aWNlLXRlc3RzLTAwMQ", "-c", str(self.properties)],
                              cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        assert done.returncode == 0, done.stdout

    def start(self, wait=True):
        with open(self.folder / "kafka.log", "ab") as log:
            self.process = subprocess.Popen([*self.java, "kafka.Kafka", str(self.properties)], cwd=self.folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        if wait:
            self.wait()
        return self

    def wait(self):
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient
        servers.wait_for_port(self.port, self.process, 120)
        admin = AdminClient({"bootstrap.servers": self.url, "log_level": 0})
        deadline = time.monotonic() + 120
        while True:
            try:
                admin.list_topics(timeout=5)
                return
            except KafkaException:
                assert time.monotonic() < deadline and self.process.poll() is None, "the broker does not answer"

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None
