"""The store of Sluice beside nats-server's, in one run: many streams, unique subjects, bytes to the device, cold reads, start-up.

Each line is one server; absolute figures move with the machine. The sync mode is part of the name.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/peers"))
import servers  # noqa: E402

from side_by_side import with_always  # noqa: E402

BENCH = ROOT / "build/release/sluice-bench"


def load(server, work, **options):
    command = [BENCH, work, "--port", server.port, "--pid", server.process.pid]
    for key, value in options.items():
        command += ["--" + key.replace("_", "-"), value]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=3600)
    if done.returncode != 0:
        raise RuntimeError(f"{server.name} {work}: {done.stderr.strip()}\n{server.log_tail(10)}")
    return json.loads(done.stdout)


def rss_mb(server):
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1000
    return 0


def fdatasync_us(folder, rounds=50):
    """What one append of 4 KiB and its fdatasync take here: the floor of a durable publish."""
    path = pathlib.Path(folder) / "fdatasync"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.write(handle, bytes(4096 * rounds))
    os.fsync(handle)
    took = []
    for number in range(rounds):
        began = time.perf_counter()
        os.pwrite(handle, b"x" * 4096, number * 4096)
        os.fdatasync(handle)
        took.append((time.perf_counter() - began) * 1e6)
    os.close(handle)
    path.unlink()
    return statistics.median(took)


async def subjects_info_ms(port):
    import nats
    nc = await nats.connect(f"nats://127.0.0.1:{port}")
    began = time.perf_counter()
    answer = await nc.request("$JS.API.STREAM.INFO.PUBLISH", b'{"subjects_filter":"bench.PUBLISH.1234*"}', timeout=120)
    await nc.request("$JS.API.STREAM.INFO.PUBLISH", b'{"subjects_filter":"bench.PUBLISH.777"}', timeout=120)
    took = (time.perf_counter() - began) * 1e3
    await nc.close()
    assert b'"error"' not in answer.data, answer.data[:200]
    return took


def publishing(farm_of, options):
    print(f"{'server':15} {'work':34} {'msg/s':>10} {'CPU µs':>8} {'p50 µs':>8} {'p99 µs':>8} {'written/B':>9} {'RSS MB':>7}")
    works = [("one stream, 128 B", {"size": 128}), ("50 streams, 128 B", {"size": 128, "streams": 50}),
             ("1,000 streams, 128 B", {"size": 128, "streams": 1000}), ("dies young (max_msgs 1,000), 128 B", {"size": 128, "max_msgs": 1000}),
             ("16 B", {"size": 16}), ("1 KiB", {"size": 1024}), ("64 KiB", {"size": 65536, "window": 64}),
             ("1 MiB", {"size": 1 << 20, "window": 8})]
    for title, parameters in works:
        for name, start in farm_of.items():
            if name == "nats always" and parameters != {"size": 128}:
                continue
            farm = servers.Farm()
            try:
                got = load(start(farm).start(), "stream-pub", seconds=options.seconds, **parameters)
            finally:
                farm.close()
            print(f"{name:15} {title:34} {got['per_s']:10,.0f} {got['cpu_us']:8.2f} {got['p50_us']:8.0f} {got['p99_us']:8.0f} "
                  f"{got['written']:9.2f} {got['rss_mb']:7.1f}", flush=True)


def one_at_a_time(farm_of, options):
    farm = servers.Farm()
    try:
        print(f"\none append of 4 KiB and its fdatasync here: {fdatasync_us(farm.folder):.0f} µs")
    finally:
        farm.close()
    for name, start in farm_of.items():
        farm = servers.Farm()
        try:
            got = load(start(farm).start(), "stream-pub-sync", seconds=options.seconds, size=128)
        finally:
            farm.close()
        print(f"{name:15} one publish at a time: p50 {got['p50_us']:.0f} µs, p99 {got['p99_us']:.0f} µs", flush=True)


def cold_read(farm_of, options):
    print(f"\none stream of 1,000 that were written in turn, {options.messages:,} messages in all, read after a restart")
    for name, start in farm_of.items():
        farm = servers.Farm()
        try:
            server = start(farm).start()
            load(server, "stream-pub", size=160, streams=1000, messages=options.messages)
            server.stop()
            began = time.perf_counter()
            server.start()
            up = time.perf_counter() - began
            got = load(server, "read")
            print(f"{name:15} start-up {up * 1e3:7.0f} ms, {got['messages']:,} messages read at {got['per_s']:10,.0f}/s", flush=True)
        finally:
            farm.close()


def unique_subjects(farm_of, options):
    print(f"\n{options.subjects:,} unique subjects in one stream, 16 B each")
    for name, start in farm_of.items():
        farm = servers.Farm()
        try:
            server = start(farm).start()
            empty = rss_mb(server)
            got = load(server, "stream-pub", size=16, subjects=options.subjects, messages=options.subjects)
            used = rss_mb(server)
            info = asyncio.run(subjects_info_ms(server.port))
            server.stop()
            began = time.perf_counter()
            server.start()
            up = time.perf_counter() - began
            print(f"{name:15} {got['per_s']:10,.0f} msg/s, {got['cpu_us']:.2f} µs CPU, RSS {used:,.0f} MB ({empty:.0f} empty), two subjects_filter "
                  f"infos {info:.1f} ms, start-up {up * 1e3:.0f} ms, RSS after it {rss_mb(server):,.0f} MB", flush=True)
        finally:
            farm.close()


@contextlib.contextmanager
def own_device(size_gb=8):
    """A folder on a block device that nobody else writes to, and a function that tells the bytes written to that device."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        image, mount = f"{folder}/image", f"{folder}/mount"
        os.mkdir(mount)
        subprocess.run(["truncate", "-s", f"{size_gb}G", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mount], check=True)
        try:
            device = subprocess.run(["findmnt", "-no", "SOURCE", mount], capture_output=True, text=True, check=True).stdout.strip()
            stat = pathlib.Path(f"/sys/block/{pathlib.Path(device).name}/stat")

            def written():
                subprocess.run(["sync", "-f", mount], check=True)
                return int(stat.read_text().split()[6]) * 512

            yield mount, written
        finally:
            subprocess.run(["umount", "-l", mount], check=True)


def wait_until_retired(folder):
    """What Sluice has still to copy is part of what it writes: waits until no journal file is due (nats-server has none)."""
    until = time.monotonic() + 120
    while time.monotonic() < until and len(list(pathlib.Path(folder).glob("**/journal/[0-9]*.jnl"))) > 4:
        time.sleep(0.2)


def to_the_device(farm_of, options):
    """/proc counts a page cache folio that is dirtied twice twice; only the device tells what it was given.

    Measured in steady state: the first part of the messages makes the files that are used again, and fills the ring of journal files, so
    that each new one retires an old one. Accepted bytes are those that both servers count for a message in `state.bytes`: its subject,
    payload and 30; beside them the payload alone. Of the work queue 100,000 messages wait at most: what waits longer than the young
    generation lasts is long-lived."""
    if os.geteuid() != 0:
        return print("\nbytes to the device: left out, mounting a device of its own takes root")
    print("\nbytes written to a device of its own, in steady state, for each byte accepted (as state.bytes counts) and of payload")
    works = [("long-lived", "stream-pub", 13, {}), ("max_msgs 1,000", "stream-pub", 13, {"max_msgs": 1000}), ("work queue", "work-queue", 11, {"backlog": 100_000})]
    for name, start in farm_of.items():
        for title, work, subject, more in works:
            for size in (128, 1024):
                messages = options.device_mb * 1_000_000 // (size + 50)
                with own_device() as (mount, written):
                    farm = servers.Farm()
                    farm.folder = pathlib.Path(mount)
                    try:
                        server = start(farm).start()
                        load(server, work, size=size, messages=messages * 2 // 3, **more)
                        wait_until_retired(mount)
                        before = written()
                        got = load(server, work, size=size, messages=messages, keep=1, **more)
                        wait_until_retired(mount)
                        each = (written() - before) / got["messages"]
                        print(f"{name:15} {title:15} {size:5} B  {each / (22 + subject + size + 8):5.2f} {each / size:5.2f}   "
                              f"{got['per_s']:10,.0f} msg/s {got['cpu_us']:6.2f} µs", flush=True)
                        server.stop()
                    finally:
                        farm.close()


def main():
    parts = {"publish": publishing, "device": to_the_device, "single": one_at_a_time, "cold-read": cold_read, "subjects": unique_subjects}
    parser = argparse.ArgumentParser(prog="./dev bench --store")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--messages", type=int, default=1_000_000, help="of the cold read")
    parser.add_argument("--subjects", type=int, default=1_000_000)
    parser.add_argument("--device-mb", type=int, default=800, help="written for each line of the device part, after two thirds as much")
    parser.add_argument("--part", action="append", choices=list(parts))
    options = parser.parse_args()
    farm_of = {"sluice always": lambda farm: farm.sluice_as_nats_server(), "nats default": lambda farm: farm.nats_server(),
               "nats always": with_always}
    for part in options.part or parts:
        chosen = {name: start for name, start in farm_of.items() if name != "nats always" or part in ("publish", "single")}
        parts[part](chosen, options)


if __name__ == "__main__":
    main()
