"""The spool: how long one submission takes beside one fdatasync of the same disk, and how fast a full one drains.

Prints `name value unit`. The receiving end is nats-server 2.15.2 with a file stream in its default sync mode.
"""

import argparse
import asyncio
import base64
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/peers"))
import nats  # noqa: E402
import servers  # noqa: E402

from store_side_by_side import fdatasync_us  # noqa: E402

SPOOL = ROOT / "build/release/sluice-spool"


def line(number, priority):
    message = {"id": f"m{number}", "subject": "bench", "payload": base64.b64encode(bytes(256)).decode(), "sender": "bench",
               "reliable": True, "priority": priority}
    return (json.dumps({"op": "submit", "message": message}) + "\n").encode()


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        for _ in range(1000):
            try:
                self.socket.connect(path)
                break
            except OSError:
                time.sleep(0.01)
        self.file = self.socket.makefile("rb")

    def ask(self, data):
        self.socket.sendall(data)
        return json.loads(self.file.readline())


async def make_stream(url):
    nc = await nats.connect(url)
    await nc.jetstream().add_stream(name="S", subjects=["mcollective.submission.in.>"])
    await nc.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=10_000)
    options = parser.parse_args()
    farm = servers.Farm()
    try:
        server = farm.nats_server().start()
        asyncio.run(make_stream(server.url))
        server.stop()
        config = farm.folder / "spool.yaml"
        config.write_text(f"server: {server.url}\nspool: {farm.folder}/queue\nsocket: {farm.folder}/s\nlimits: {{messages: 1000000}}\n")
        daemon = subprocess.Popen([SPOOL, "--config", config], stderr=subprocess.DEVNULL)
        client = Client(f"{farm.folder}/s")
        took = []
        for i in range(500):
            began = time.perf_counter()
            assert "id" in client.ask(line(i, 0))
            took.append((time.perf_counter() - began) * 1e6)
        took.sort()
        print(f"one fdatasync p50 {fdatasync_us(farm.folder):.0f} us")
        print(f"submit p50 {statistics.median(took):.0f} us, p99 {took[int(len(took) * 0.99)]:.0f} us (offline, 256 B, on disk)")
        began = time.perf_counter()
        for first in range(0, options.messages, 64):
            numbers = range(first, min(first + 64, options.messages))
            client.socket.sendall(b"".join(line(1000 + n, n % 5) for n in numbers))
            for _ in numbers:
                assert b"id" in client.file.readline()
        print(f"submit, 64 under way {options.messages / (time.perf_counter() - began):.0f} messages/s")
        server.start()
        while not client.ask(b'{"op":"status"}\n')["connected"]:
            time.sleep(0.005)
        began = time.perf_counter()
        start = sum(lane["messages"] for lane in client.ask(b'{"op":"status"}\n')["lanes"])
        while left := sum(lane["messages"] for lane in client.ask(b'{"op":"status"}\n')["lanes"]):
            time.sleep(0.02)
        print(f"drain, five priorities, one message of each under way {(start - left) / (time.perf_counter() - began):.0f} messages/s")
        daemon.terminate()
        daemon.wait(20)
    finally:
        farm.close()


if __name__ == "__main__":
    main()
