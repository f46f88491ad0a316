"""Copies of a stream between servers on loopback and over a long way, beside nats-server's own mirror and source in the same run.

For each: messages a second from the first to the last, CPU µs a message of each process, its largest RSS. Sluice: sync always, so a
copy counts when it is on the target's disk; nats-server: its default. `--rounds`: medians.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/peers"))
import servers  # noqa: E402

SLUICE = 'server: {listen: "127.0.0.1:{port}"}\nstore: {dir: "{dir}"}\nmonitor: {enabled: false}\n'
STREAM = {"name": "BENCH", "subjects": ["bench.>"], "storage": "file", "retention": "limits", "num_replicas": 1, "discard": "old"}


class Client:
    """One blocking connection: requests, and publishes without acks."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB _I.x 1\r\nPING\r\n')
        assert self.file.readline().startswith((b"PONG", b"INFO"))

    def request(self, subject, body):
        text = json.dumps(body).encode() if body is not None else b""
        self.socket.sendall(b"PUB %s _I.x %d\r\n%s\r\n" % (subject.encode(), len(text), text))
        while line := self.file.readline():
            if line.startswith(b"PING"):
                self.socket.sendall(b"PONG\r\n")
            if line.startswith((b"MSG ", b"HMSG ")):
                answer = json.loads(self.file.read(int(line.split()[-1]) + 2))
                return answer
        raise ConnectionError("the server went")

    def must(self, subject, body):
        answer = self.request(subject, body)
        if "error" in answer:
            raise RuntimeError(f"{subject}: {answer['error']}")
        return answer

    def count(self, stream="BENCH"):
        answer = self.request(f"$JS.API.STREAM.INFO.{stream}", None)
        return answer["state"]["messages"] if "state" in answer else 0

    def fill(self, messages, size, senders):
        self.must("$JS.API.STREAM.CREATE.BENCH", STREAM)
        for begin in range(0, messages, 1000):
            batch = bytearray()
            for number in range(begin, min(begin + 1000, messages)):
                batch += b"PUB bench.%d %d\r\n%s\r\n" % (number % senders, size, payload(number, size))
            self.socket.sendall(batch)
            if begin % 4000 == 0:  # nats-server drops what comes faster than it stores
                until(lambda sent=begin: self.count() >= sent - 4000, "stored", 120)
        until(lambda: self.count() == messages, f"{messages} stored", 120)

    def close(self):
        self.file.close()
        self.socket.close()


def payload(number, size):
    """What a fleet sends: the same words each time, and numbers that differ."""
    text = b'{"node":"node%d.example.net","sequence":%d,"load":%.3f,"uptime":%d,"state":"running"}' % (
        number % 1000, number, (number * 7919 % 1000) / 250, number * 31 % 999_983)
    return text.ljust(size, b".")[:size]


def until(condition, what, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


class LongWay:
    """`sluice-bench link`: bytes come half a round trip later, as many a second as they like unless `rate` says otherwise."""

    def __init__(self, port, trip_ms, rate):
        command = [ROOT / "build/release/sluice-bench", "link", "--port", str(port), "--delay-ms", str(trip_ms / 2), "--rate", str(rate)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.port = json.loads(self.process.stdout.readline())["listening"]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Run:
    """Fills a source, has something copy it, and says what that took."""

    def __init__(self, farm, options):
        self.farm, self.options = farm, options
        self.closing = []

    def long_way(self, port):
        if self.options.way == 0:
            return port
        link = LongWay(port, self.options.way, self.options.rate)
        self.closing.append(link)
        return link.port

    def measure(self, source, copiers, target, begin):
        """`begin` lets the copy start; `copiers` are the processes that take part."""
        filler = Client(source.port)
        filler.fill(self.options.messages, self.options.size, self.options.senders)
        filler.close()
        before = {server.name: cpu_seconds(server.process.pid) for server in copiers if server.process}
        begin()
        watch = Client(target.port)
        until(lambda: watch.count() > self.options.messages // 100, "the copy begins")
        begun, first = time.monotonic(), watch.count()
        until(lambda: watch.count() >= self.options.messages, "the copy ends")
        seconds = time.monotonic() - begun
        watch.close()
        figures = {"msg/s": (self.options.messages - first) / seconds}
        for server in copiers:
            figures[f"{server.name} us"] = (cpu_seconds(server.process.pid) - before.get(server.name, 0)) / self.options.messages * 1e6
            figures[f"{server.name} MB"] = peak_mb(server.process.pid)
        for link in self.closing:
            link.close()
        return figures

    def copier(self, source, target, more=""):
        """`sluice replicate`, a process of its own, so that its memory is the copy's alone."""
        text = f"name: bench\nstate_store: {{dir}}\nstreams:\n  - {{{{stream: BENCH, source_url: nats://127.0.0.1:{source}, target_url: nats://127.0.0.1:{target}{more}}}}}\n"
        path = self.farm.folder / "copier.yaml"
        path.write_text(text.replace("{{", "{").replace("}}", "}").replace("{dir}", str(self.farm.folder / "copier-state")))
        process = servers.Server([servers.SLUICE, "replicate", "--config", str(path)], 0, self.farm.folder, "copier")
        process.start = lambda: start_quietly(process)
        self.farm.servers.append(process)
        return process


def start_quietly(server):
    with open(server.log_path, "ab") as log:
        server.process = subprocess.Popen(server.command, cwd=server.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    return server


def replicator(stream_text):
    return SLUICE + f"replicator:\n  name: bench\n  streams:\n    - {stream_text}\n"


def sluice_to(run, make_target, more=""):
    """Source-initiated: the source's own daemon copies."""
    target = make_target().start()
    port = run.long_way(target.port)
    source = run.farm.sluice(SLUICE, servers.free_port(), "source").start()

    def begin():
        source.stop()
        path = run.farm.folder / "source.yaml"
        text = replicator(f'{{stream: BENCH, target: "nats://127.0.0.1:{port}"{more}}}')
        path.write_text(text.replace("{dir}", str(run.farm.folder / "source-store")).replace("{port}", str(source.port)))
        source.start()

    # The restart makes the source's CPU time begin at zero.
    figures = run.measure(source, [target], target, begin)
    figures["source us"] = cpu_seconds(source.process.pid) / run.options.messages * 1e6
    figures["source MB"] = peak_mb(source.process.pid)
    return figures


def sluice_to_sluice(run):
    return sluice_to(run, lambda: run.farm.sluice(SLUICE, servers.free_port(), "target"))


def sluice_to_sluice_zstd(run):
    return sluice_to(run, lambda: run.farm.sluice(SLUICE, servers.free_port(), "target"), ", compression: zstd")


def sluice_to_nats(run):
    return sluice_to(run, lambda: run.farm.nats_server("target"))


def to_sluice(run, source, more=""):
    """Target-initiated: the target's own daemon reads the far source."""
    source.start()
    port = run.long_way(source.port)
    target = run.farm.sluice(replicator(f'{{stream: BENCH, source: "nats://127.0.0.1:{port}"{more}}}'), servers.free_port(), "target")
    return run.measure(source, [source, target], target, target.start)


def nats_to_sluice(run):
    return to_sluice(run, run.farm.nats_server("source"))


def sluice_pulled_by_sluice(run):
    return to_sluice(run, run.farm.sluice(SLUICE, servers.free_port(), "source"))


def third_process(run, more=""):
    source = run.farm.sluice(SLUICE, servers.free_port(), "source").start()
    target = run.farm.sluice(SLUICE, servers.free_port(), "target").start()
    copier = run.copier(source.port, run.long_way(target.port), more)
    return run.measure(source, [source, target, copier], target, copier.start)


def sampling(run):
    """Each message of a sender of its own: all are copied, all are remembered."""
    run.options = argparse.Namespace(**vars(run.options) | {"senders": run.options.messages})
    return third_process(run, ", inspect_subject_token: -1, inspect_duration: 1h")


def between_nats(run, kind):
    """nats-server's own way: a leaf link between two domains, and a mirror or source over it."""
    hub_port, leaf_port = servers.free_port(), servers.free_port()
    hub_file = run.farm.folder / "hub.conf"
    hub_file.write_text(f"jetstream {{domain: a}}\nleafnodes {{listen: 127.0.0.1:{leaf_port}}}\n")
    source = run.farm.nats_server("source", hub_port, extra=("-c", str(hub_file))).start()
    far = run.long_way(leaf_port)
    leaf_file = run.farm.folder / "leaf.conf"
    leaf_file.write_text(f"jetstream {{domain: b}}\nleafnodes {{remotes: [{{url: nats-leaf://127.0.0.1:{far}}}]}}\n")
    target = run.farm.nats_server("target", extra=("-c", str(leaf_file))).start()
    origin = {"name": "BENCH", "external": {"api": "$JS.a.API", "deliver": "deliver.bench"}}
    body = {"name": "BENCH", "storage": "file", "retention": "limits", "num_replicas": 1}
    body["mirror" if kind == "mirror" else "sources"] = origin if kind == "mirror" else [origin]

    def begin():
        client = Client(target.port)
        client.must("$JS.API.STREAM.CREATE.BENCH", body)
        client.close()

    return run.measure(source, [source, target], target, begin)


CASES = {
    "sluice-to-sluice": sluice_to_sluice,
    "sluice-to-sluice-zstd": sluice_to_sluice_zstd,
    "sluice-pulled-by-sluice": sluice_pulled_by_sluice,
    "third-process": third_process,
    "sampling": sampling,
    "sluice-to-nats": sluice_to_nats,
    "nats-to-sluice": nats_to_sluice,
    "nats-mirror": lambda run: between_nats(run, "mirror"),
    "nats-source": lambda run: between_nats(run, "source"),
}


def main():
    parser = argparse.ArgumentParser(prog="./dev bench --replication")
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--senders", type=int, default=1000, help="different subjects")
    parser.add_argument("--way", type=float, action="append", help="round trip in ms, several; default 0 and 100")
    parser.add_argument("--rate", type=float, default=0, help="of the long way, bytes a second; default: no bound")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--case", action="append", choices=CASES)
    options = parser.parse_args()
    print(f"| {'copy':24} | {'trip ms':>7} | {'msg/s':>9} | CPU us a message, largest RSS of each process |", flush=True)
    for way in options.way or [0, 100]:
        options.way = way
        for name in options.case or CASES:
            rounds = []
            for _ in range(options.rounds):
                farm = servers.Farm()
                try:
                    rounds.append(CASES[name](Run(farm, options)))
                finally:
                    farm.close()
            figures = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
            rate = figures.pop("msg/s")
            rest = ", ".join(f"{key[:-3]} {value:.2f} us" if key.endswith(" us") else f"{key[:-3]} {value:.0f} MB" for key, value in figures.items())
            print(f"| {name:24} | {way:7.0f} | {rate:9,.0f} | {rest} |", flush=True)


if __name__ == "__main__":
    main()
