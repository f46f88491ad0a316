"""What a fleet sends, taken in durably: events over HTTP, and Choria registrations. Prints `name value unit`.

sync mode: always (a PubAck, and so an HTTP answer, means on disk).
"""

import argparse
import asyncio
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/peers"))
import nats  # noqa: E402
import servers  # noqa: E402

FIXTURES = ROOT / "tests/fixtures/choria"
HEAD = "server: {listen: '127.0.0.1:{port}'}\nstore: {dir: '{dir}'}\nmonitor: {enabled: false}\nadapters:\n"


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def http(options):
    farm = servers.Farm()
    try:
        source = servers.free_port()
        daemon = farm.sluice(HEAD + f"  - {{type: http_events, name: bench, listen: '127.0.0.1:{source}', path: /events}}\n",
                             servers.free_port(), ready_port=source).start()
        for connections in (1, 64):
            done = subprocess.run([ROOT / "build/release/sluice-bench", "http-events", "--port", str(source), "--pid", str(daemon.process.pid),
                                   "--connections", str(connections), "--seconds", str(options.seconds), "--size", "256"],
                                  capture_output=True, text=True, check=True)
            figures = json.loads(done.stdout)
            print(f"http_events, {connections} connections, 256 B {figures['per_s']:.0f} events/s, {figures['cpu_us']:.1f} us CPU an event, "
                  f"p50 {figures['p50_us']:.0f} us, p99 {figures['p99_us']:.0f} us")
    finally:
        farm.close()


def envelopes(count, signed):
    """The recorded registration of a node as `count` nodes send it, one each; signed ones by a key of ours."""
    outer = json.loads((FIXTURES / ("registration-v1-file-plain.json" if signed else "registration-v1-nocert-file.json")).read_text())
    secure = json.loads(base64.b64decode(outer["data"]))
    request = json.loads(secure["message"])
    with tempfile.TemporaryDirectory() as folder:
        if signed:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "cert", "-subj",
                            "/CN=" + request["envelope"]["senderid"], "-days", "2"], cwd=folder, check=True, capture_output=True)
            secure["pubcert"] = pathlib.Path(folder, "cert").read_text()
        for number in range(count):
            request["envelope"] |= {"requestid": f"{number:032x}", "senderid": f"node{number}.example.net"}
            secure["message"] = json.dumps(request, separators=(",", ":"))
            if signed:
                done = subprocess.run(["openssl", "dgst", "-sha256", "-sign", "key"], cwd=folder, input=secure["message"].encode(), check=True, capture_output=True)
                secure["signature"] = base64.b64encode(done.stdout).decode()
            outer["data"] = base64.b64encode(json.dumps(secure, separators=(",", ":")).encode()).decode()
            yield json.dumps(outer, separators=(",", ":")).encode()


class Bystander:
    """Another client of the same server, in a process of its own: how long its PINGs take meanwhile."""

    PROGRAM = """
import select, socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.sendall(b'CONNECT {"verbose":false}\\r\\n')
s.recv(65536)
took = []
while not select.select([sys.stdin], [], [], 0.001)[0]:
    began = time.perf_counter()
    s.sendall(b"PING\\r\\n")
    while b"PONG" not in s.recv(4096): pass
    took.append(time.perf_counter() - began)
took.sort()
print(f"p50 {took[len(took) // 2] * 1e3:.1f} ms, p99 {took[len(took) * 99 // 100] * 1e3:.1f} ms, longest {took[-1] * 1e3:.1f} ms")
"""

    def __init__(self, port):
        self.process = subprocess.Popen([sys.executable, "-c", self.PROGRAM, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self):
        return self.process.communicate("\n")[0].strip()


async def ingest(url, frames, end, messages, times, daemon):
    """`end`: one more, behind all, in whose storing it shows that everything was handled."""
    nc = await nats.connect(url)
    js = nc.jetstream()
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    await reader.readline()
    writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n')
    await reader.readline()
    bystander = Bystander(daemon.port)
    before, began = cpu_seconds(daemon.process.pid), time.perf_counter()
    for _ in range(times):
        for frame in frames:
            writer.write(frame)
            await writer.drain()
    writer.write(end + b"PING\r\n")
    await reader.readline()
    while (await js.stream_info("REGISTRATION")).state.messages < messages:
        await asyncio.sleep(0.005)
    took, cpu = time.perf_counter() - began, cpu_seconds(daemon.process.pid) - before
    waits = bystander.tell()
    await nc.close()
    return took, cpu, waits


def registration(options):
    for what, signatures, signed, count, times in (("unsigned, signatures: match", "match", False, options.messages, 1),
                                                   ("unsigned, signatures: off", "off", False, options.messages, 1),
                                                   ("signed (RSA 2048), signatures: match", "match", True, 500, 20),
                                                   ("signed (RSA 2048), signatures: off", "off", True, 500, 20)):
        farm = servers.Farm()
        try:
            daemon = farm.sluice(HEAD + f"  - {{type: choria_registration, name: bench, ingest: {{signatures: '{signatures}'}}, max_in_flight: 10000}}\n",
                                 servers.free_port()).start()
            frames, size = [], 0
            chunk = b""
            for number, body in enumerate(envelopes(count + 1, signed)):
                size = len(body)
                message = b"PUB mcollective.broadcast.agent.registration %d\r\n" % size + body + b"\r\n"
                if number == count:
                    break
                chunk += message
                if len(chunk) > 1 << 20:
                    frames.append(chunk)
                    chunk = b""
            took, cpu, waits = asyncio.run(ingest(daemon.url, [*frames, chunk], message, count + 1, times, daemon))
            note = "" if times == 1 else f" ({times - 1} of {times} are redeliveries, told apart by their id)"
            print(f"registration, {size} B, {what} {count * times / took:.0f} messages/s, {cpu / (count * times) * 1e6:.1f} us CPU a message{note}; a PING of another client: {waits}")
        finally:
            farm.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["http", "registration"])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--messages", type=int, default=200_000)
    options = parser.parse_args()
    {"http": http, "registration": registration}[options.part](options)


if __name__ == "__main__":
    main()
