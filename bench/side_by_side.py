"""Sluice and nats-server side by side: the same generator, alternating, medians, ratios.

Absolute figures move with the machine; the ratio and the CPU a message are what to quote.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/peers"))
import servers  # noqa: E402

CORE = ["core-pub", "pub-sub", "fan-out", "request"]
# Works that store: nats-server's default acks before fsync; Sluice's after.
STORES = ["stream-pub", "stream-pub-sync", "fetch", "ordered", "push-acks", "consumers-1000", "num-pending", "kv-get", "kv-put",
          "kv-put-one"]
WORKS = CORE + STORES
# Those that wait for the disk at each step are also played to a nats-server that syncs before it acks.
SYNCED = {"stream-pub", "stream-pub-sync", "kv-put", "kv-put-one"}


def measure(start, work, size, seconds):
    farm = servers.Farm()
    try:
        server = start(farm).start()
        done = subprocess.run([ROOT / "build/release/sluice-bench", work, "--port", str(server.port), "--pid",
                               str(server.process.pid), "--size", str(size), "--seconds", str(seconds)],
                              capture_output=True, text=True, timeout=seconds * 20 + 120)
        if done.returncode != 0:
            raise RuntimeError(f"{server.name} {work} {size}: {done.stderr.strip()}\n{server.log_tail(10)}")
        return json.loads(done.stdout)
    finally:
        farm.close()


def with_always(farm):
    path = farm.folder / "always.conf"
    path.write_text("jetstream { sync_interval: always }\n")
    return farm.nats_server("nats-always", extra=("-c", str(path)))


def main():
    parser = argparse.ArgumentParser(prog="./dev bench")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", action="append", choices=WORKS)
    parser.add_argument("--size", action="append", type=int)
    parser.add_argument("--markdown", type=pathlib.Path, help="also write the table here")
    options = parser.parse_args()
    sides = {"sluice always": lambda farm: farm.sluice_as_nats_server(),
             "nats default": lambda farm: farm.nats_server(), "nats always": with_always}
    rows = []
    header = (f"| {'work':15} | {'B':>5} | {'server, sync mode':17} | {'msg/s':>10} | {'ratio':>6} | {'CPU µs/msg':>10} | "
              f"{'CPU ratio':>9} | {'p50 µs':>9} | {'p99 µs':>9} | {'RSS MB':>7} |")
    rule = "|" + "|".join("-" * len(part) for part in header.split("|")[1:-1]) + "|"
    print(header + "\n" + rule, flush=True)
    for work in options.work or WORKS:
        for size in options.size or [16, 128, 1024]:
            chosen = {name: start for name, start in sides.items()
                      if name != "nats always" or (work in SYNCED and size == 128)}
            runs = {name: [] for name in chosen}
            for _ in range(options.rounds):
                for name, start in chosen.items():
                    runs[name].append(measure(start, work, size, options.seconds))

            def median(name, key, runs=runs):
                return statistics.median(run[key] for run in runs[name])

            for name in chosen:
                rate, cpu = median(name, "per_s"), median(name, "cpu_us")
                base_rate, base_cpu = median("nats default", "per_s"), median("nats default", "cpu_us")
                label = name if work in STORES else name.split()[0]
                row = (f"| {work:15} | {size:5} | {label:17} | {rate:10,.0f} | {rate / base_rate:6.2f} | {cpu:10.3f} | "
                       f"{cpu / base_cpu if base_cpu else 0:9.2f} | {median(name, 'p50_us'):9.0f} | "
                       f"{median(name, 'p99_us'):9.0f} | {median(name, 'rss_mb'):7.1f} |")
                rows.append(row)
                print(row, flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join([header, rule, *rows]) + "\n")


if __name__ == "__main__":
    main()
