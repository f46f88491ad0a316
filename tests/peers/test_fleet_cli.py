"""Elections and governors from the command line, against Sluice and against nats-server."""

import asyncio
import json
import os
import signal
import subprocess
import time

import nats
from nats.js.api import DiscardPolicy, StreamConfig

import servers


def cli(server, *arguments, check=True, **options):
    done = subprocess.run([servers.SLUICE, *arguments[:2], "--server", server.url, *arguments[2:]], capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL, **options)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def make_bucket(server, ttl):
    async def make():
        nc = await nats.connect(server.url)
        await nc.jetstream().add_stream(StreamConfig(
            name="KV_CHORIA_LEADER_ELECTION", subjects=["$KV.CHORIA_LEADER_ELECTION.>"], max_age=ttl,
            max_msgs_per_subject=1, discard=DiscardPolicy.NEW, allow_rollup_hdrs=True, deny_delete=True,
            allow_direct=True, duplicate_window=ttl))
        await nc.close()
    asyncio.run(make())


def wait_for(what, seconds=40):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if got := what():
            return got
        time.sleep(0.05)
    raise TimeoutError


def lead(server, name, tmp_path):
    """A candidate whose command writes its token and then waits."""
    out = tmp_path / name
    script = f'echo "$SLUICE_ELECTION_TOKEN" >"{out}.new"; mv "{out}.new" "{out}"; exec sleep 120'
    process = subprocess.Popen([servers.SLUICE, "election", "run", "--server", server.url, "--candidate", name, "E", "--",
                                "sh", "-c", script], stdin=subprocess.DEVNULL)
    return process, out


def test_election_run_hands_over_and_fails_over(either_server, tmp_path):
    make_bucket(either_server, 3)
    a, a_out = lead(either_server, "a", tmp_path)
    processes = [a]
    try:
        first = int(wait_for(lambda: a_out.exists() and a_out.read_text()))
        b, b_out = lead(either_server, "b", tmp_path)
        processes.append(b)
        shown = json.loads(cli(either_server, "election", "info", "--json").stdout)
        assert [(row["election"], row["leader"]) for row in shown] == [("E", "a")]
        assert "a" in cli(either_server, "election", "info").stdout
        a.send_signal(signal.SIGTERM)  # goes to its command, whose end becomes ours
        assert a.wait(20) == 128 + signal.SIGTERM
        second = int(wait_for(lambda: b_out.exists() and b_out.read_text()))
        assert second > first, "a later term has a higher token"
        c, c_out = lead(either_server, "c", tmp_path)
        processes.append(c)
        time_of_kill = time.monotonic()
        b.kill()
        third = int(wait_for(lambda: c_out.exists() and c_out.read_text()))
        assert third > second
        print(f"fail-over took {time.monotonic() - time_of_kill:.1f} s with a TTL of 3 s")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
        subprocess.run(["pkill", "-f", f"{tmp_path}"], check=False)


def test_election_evict_and_errors(either_server, tmp_path):
    missing = cli(either_server, "election", "info", check=False)
    assert missing.returncode == 1 and "sluice kv add CHORIA_LEADER_ELECTION" in missing.stderr
    led = cli(either_server, "election", "run", "E", "--", "true", check=False)
    assert led.returncode == 1 and "there is no election bucket" in led.stderr
    make_bucket(either_server, 5)
    a, out = lead(either_server, "a", tmp_path)
    try:
        wait_for(out.exists)
        refused = cli(either_server, "election", "evict", "E", check=False)
        assert refused.returncode == 1 and "--force" in refused.stderr
        assert "Evicted a from E" in cli(either_server, "election", "evict", "E", "--force").stdout
        assert "no leader" in cli(either_server, "election", "evict", "nobody", "--force", check=False).stderr
    finally:
        a.terminate()
        a.wait(20)
        subprocess.run(["pkill", "-f", f"{tmp_path}"], check=False)


def test_election_file(either_server, tmp_path):
    make_bucket(either_server, 3)
    mark = tmp_path / "leader"
    process = subprocess.Popen([servers.SLUICE, "election", "file", "--server", either_server.url, str(mark), "F"],
                               stdin=subprocess.DEVNULL)
    try:
        wait_for(mark.exists)
        assert json.loads(mark.read_text())["count"] >= 1
        assert cli(either_server, "election", "file", "--check", str(mark)).stdout.startswith("leader")
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert not mark.exists(), "removed when the lead ends"
    assert cli(either_server, "election", "file", "--check", str(mark), check=False).returncode == 1


def test_governor(either_server, tmp_path):
    assert "capacity 2" in cli(either_server, "governor", "add", "PUPPET", "2", "1m").stdout
    assert json.loads(cli(either_server, "governor", "ls", "--json").stdout) == ["PUPPET"]
    gate = tmp_path / "gate"
    runs = [subprocess.Popen([servers.SLUICE, "governor", "run", "--server", either_server.url, "--holder", f"n{i}",
                              "--interval", "1s", "PUPPET", "--", "sh", "-c",
                              f"while [ ! -e {gate} ]; do sleep 0.1; done; exit {i}"], stdin=subprocess.DEVNULL)
            for i in range(3)]
    try:
        def info():
            return json.loads(cli(either_server, "governor", "info", "--json", "PUPPET").stdout)
        wait_for(lambda: len(info()["leases"]) == 2)
        full = cli(either_server, "governor", "run", "--max-wait", "1s", "--interval", "1s", "PUPPET", "--", "true", check=False)
        assert full.returncode == 1 and "stayed taken" in full.stderr
        assert cli(either_server, "governor", "run", "--max-wait", "1s", "--interval", "1s", "--max-per-period", "PUPPET",
                   "--", "true").returncode == 0
        gate.touch()
        assert sorted(run.wait(30) for run in runs) == [0, 1, 2]
        assert info()["leases"] == []
    finally:
        gate.touch()
        for run in runs:
            run.wait(30)
    assert "make it with" in cli(either_server, "governor", "info", "NOPE", check=False).stderr
    assert "governor add NOPE CAPACITY EXPIRY" in cli(either_server, "governor", "run", "NOPE", "--", "true", check=False).stderr
    cli(either_server, "governor", "rm", "PUPPET", "--force")
    assert json.loads(cli(either_server, "governor", "ls", "--json").stdout) == []


def test_where_the_daemon_is(tmp_path):
    nobody = subprocess.run([servers.SLUICE, "election", "info", "--server", f"127.0.0.1:{servers.free_port()}"],
                            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert nobody.returncode == 1 and "no connection to" in nobody.stderr
    config = tmp_path / "sluice.yaml"
    config.write_text("server: { listen: nowhere }\n")
    config.chmod(0o600)
    bad = subprocess.run([servers.SLUICE, "governor", "ls"], capture_output=True, text=True, timeout=60,
                         stdin=subprocess.DEVNULL, env=dict(os.environ, SLUICE_CONFIG=str(config)))
    assert bad.returncode == 1 and "sluice.yaml:1:" in bad.stderr
