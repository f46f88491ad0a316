"""Dead letters, the history of checks, and taking over a broker's configuration, by the command line."""

import asyncio
import json
import re
import subprocess
import time

import nats

import servers
from test_fleet_cli import wait_for
from test_registration import FIXTURES, quickstart


def sluice(*arguments, check=True):
    done = subprocess.run([servers.SLUICE, *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def publish(url, *messages):
    async def run():
        nc = await nats.connect(url)
        for subject, payload, *headers in messages:
            await nc.publish(subject, payload, headers=headers[0] if headers else None)
        await nc.flush()
        await nc.close()
    asyncio.run(run())


def test_dead_letters(farm):
    server, monitor = quickstart(farm)
    server.start()
    at = ("--server", server.url)
    wait_for(lambda: '"running"' in servers.http_get(monitor, "/adapters"))
    assert "No dead letters" in sluice("dlq", "ls", *at).stdout
    subject = "mcollective.broadcast.agent.registration"
    publish(server.url, (subject, b"not an envelope"), (subject, b"\x00\xff nor this"))

    def letters():
        return json.loads(sluice("dlq", "ls", *at, "--json").stdout)
    wait_for(lambda: len(letters()) == 2)
    assert [(x["id"], x["origin"], x["adapter"]) for x in letters()] == [(1, subject, "registration"), (2, subject, "registration")]
    assert "bad_json" in sluice("dlq", "ls", *at).stdout
    assert sluice("dlq", "show", *at, "1", "--raw").stdout == "not an envelope"
    assert "Sluice-Reason: bad_json" in sluice("dlq", "show", *at, "2").stdout
    assert json.loads(sluice("dlq", "ls", *at, "--json", "--reason", "refused").stdout) == []
    assert sluice("dlq", "show", *at, "9", check=False).stderr == "sluice: there is no dead letter 9\n"
    refused = sluice("dlq", "drop", *at, "1", check=False)
    assert refused.returncode == 1 and "--force" in refused.stderr
    assert sluice("dlq", "retry", *at, check=False).returncode == 64, "neither a letter nor --all"
    # Back to the adapter, which refuses it again: a new letter.
    assert sluice("dlq", "retry", *at, "1", "-f").stdout == "Handed on 1, kept 0\n"
    wait_for(lambda: [x["id"] for x in letters()] == [2, 3])
    assert sluice("dlq", "drop", *at, "--all", "--older", "1h", "-f").stdout == "Dropped 0\n"
    assert sluice("dlq", "drop", *at, "--all", "-f").stdout == "Dropped 2\n"
    assert letters() == []
    # Nobody listens where it came from: it stays.
    publish(server.url, ("SLUICE.DLQ.gone", b"x", {"Sluice-Reason": "refused", "Sluice-Origin": "nobody.here"}))
    kept = sluice("dlq", "retry", *at, "--all", "-f", check=False)
    assert kept.returncode == 1 and "Handed on 0, kept 1" in kept.stdout and "letter 4 stays" in kept.stderr


def test_a_refused_message_comes_back_whole(farm):
    """Too large for its stream, with headers and id; retried when the stream takes it."""
    port, monitor = servers.free_port(), servers.free_port()
    server = farm.sluice(f"server: {{listen: '127.0.0.1:{port}'}}\nstore: {{dir: '{{dir}}'}}\nmonitor: {{listen: '127.0.0.1:{monitor}'}}\nadapters:\n"
                         "  - {type: nats_subject, name: a, ingest: {subjects: ['a.>'], answer: false}, stream: {name: A, source: 'a.>', destination: 'kept.>'}}\n", port)
    server.start()

    async def limit(size):
        nc = await nats.connect(server.url)
        js = nc.jetstream()
        config = (await js.stream_info("A")).config
        config.max_msg_size = size
        await js.update_stream(config)
        messages = [await js.get_msg("A", seq) for seq in range(1, (await js.stream_info("A")).state.messages + 1)]
        await nc.close()
        return messages
    at = ("--server", server.url)
    wait_for(lambda: '"running"' in servers.http_get(monitor, "/adapters"))
    asyncio.run(limit(200))
    publish(server.url, ("a.b", b"x" * 300, {"Nats-Msg-Id": "id1", "Mine": "yes"}))
    wait_for(lambda: len(json.loads(sluice("dlq", "ls", *at, "--json").stdout)) == 1)
    assert "kept 1" in sluice("dlq", "retry", *at, "--all", "-f", check=False).stdout
    asyncio.run(limit(-1))
    assert "Handed on 1" in sluice("dlq", "retry", *at, "--all", "-f").stdout
    message = asyncio.run(limit(-1))[0]
    assert (message.subject, message.data) == ("kept.b", b"x" * 300)
    assert message.headers == {"Nats-Msg-Id": "id1", "Mine": "yes"}


def test_a_rejection_is_answered_and_retried_without_a_second_letter(farm):
    port, monitor = servers.free_port(), servers.free_port()
    server = farm.sluice(f"server: {{listen: '127.0.0.1:{port}'}}\nstore: {{dir: '{{dir}}'}}\nmonitor: {{listen: '127.0.0.1:{monitor}'}}\nadapters:\n"
                         "  - {type: choria_submission, name: a}\n", port)
    server.start()
    at = ("--server", server.url)
    wait_for(lambda: '"running"' in servers.http_get(monitor, "/adapters"))

    async def submit():
        nc = await nats.connect(server.url)
        answer = await nc.request("mcollective.submission.in.x", b"p", timeout=30)
        await nc.close()
        return json.loads(answer.data)["error"]

    assert asyncio.run(submit()) == {"code": 400, "description": "no_id: a submission without Nats-Msg-Id; kept in SLUICE_DLQ"}
    letters = lambda: [letter["id"] for letter in json.loads(sluice("dlq", "ls", *at, "--json").stdout)]  # noqa: E731
    assert letters() == [1]
    again = sluice("dlq", "retry", *at, "--all", "-f", check=False)
    assert again.stdout == "Handed on 0, kept 1\n" and "letter 1 came back as a new one: no_id" in again.stderr
    assert letters() == [2]


def check_event(status, node="n1.example.net", machine="mailq", output="text|perf=1"):
    """A recorded check state with other values."""
    event = json.loads((FIXTURES / f"scout-check-{status.lower()}.json").read_text())
    event["data"].update(identity=node, machine=machine, output=f"{status}: {output}", timestamp=int(time.time()))
    return "choria.machine.watcher.nagios.state", json.dumps(event).encode()


def test_history(either_server):
    at = ("--server", either_server.url)
    missing = sluice("history", *at, check=False)
    assert missing.returncode == 1 and "auto_streams.machine" in missing.stderr

    async def make():
        nc = await nats.connect(either_server.url)
        await nc.jetstream().add_stream(name="CHORIA_MACHINE", subjects=["choria.machine.>"])
        await nc.close()
    asyncio.run(make())
    publish(either_server.url, check_event("OK"), check_event("OK", machine="disk"), check_event("CRITICAL"),
            ("choria.machine.transition", (FIXTURES / "machine-transition-critical.json").read_bytes()),
            ("choria.machine.watcher.nagios.state", b"no event"), check_event("WARNING", node="n2.example.net"), check_event("CRITICAL"))
    told = sluice("history", *at, "--history", "1h", "--color", "never").stdout
    lines = told.splitlines()
    assert [line.split(" ", 1)[1] for line in lines[:5]] == [
        "OK   n1.example.net mailq: OK: text", "OK   n1.example.net disk: OK: text", "CRIT n1.example.net mailq: CRITICAL: text (was OK)",
        "WARN n2.example.net mailq: WARNING: text", "CRIT n1.example.net mailq: CRITICAL: text"]
    assert "2 nodes, 3 checks: OK 1 WARNING 1 CRITICAL 1 UNKNOWN 0" in told
    assert "n1.example.net mailq: CRITICAL, changed 1 time, last at" in told
    assert "1 messages are no check states" in told
    assert "\033[31mCRIT\033[0m" in sluice("history", *at, "--color", "always").stdout
    assert sluice("history", *at, "--changes").stdout.count("(was OK)") == 1
    assert "n1" not in sluice("history", *at, "--node", "n2").stdout
    assert "disk" not in sluice("history", *at, "--check", "mail").stdout
    rows = [json.loads(line) for line in sluice("history", *at, "--state", "crit", "--json").stdout.splitlines()]
    assert [(r["status"], r.get("previous_status")) for r in rows] == [("CRITICAL", "OK"), ("CRITICAL", None)]
    assert "e2e: OK => CRITICAL" in sluice("history", *at, "--transitions").stdout
    assert sluice("history", *at, "--history", "0s").stdout.startswith("\n0 nodes, 0 checks")
    assert "none of OK" in sluice("history", *at, "--state", "bad", check=False).stderr
    following = subprocess.Popen([servers.SLUICE, "history", *at, "--history", "1h", "--follow", "--json"], stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(5):
            following.stdout.readline()
        publish(either_server.url, check_event("OK"))
        assert json.loads(following.stdout.readline())["previous_status"] == "CRITICAL"
    finally:
        following.terminate()
        assert following.wait(20) == 0


def test_import_of_a_brokers_configuration(tmp_path):
    made = sluice("import", "choria-config", str(FIXTURES / "conf/broker.conf"))
    path = tmp_path / "ours.yaml"
    path.write_text(made.stdout)
    assert sluice("check", str(path)).stdout.endswith("ok\n")
    assert "note: plugin.choria.adapter.registration.stream.workers" in made.stderr
    no_spool = sluice("import", "choria-config", str(FIXTURES / "conf/broker.conf"), "--spool", check=False)
    assert no_spool.returncode == 1 and "no submission spool" in no_spool.stderr
    (tmp_path / "plugin.d").mkdir()
    (tmp_path / "plugin.d/choria.cfg").write_text("submission.spool = /var/spool/x\n")
    (tmp_path / "server.conf").write_text("main_collective = fleet\n")
    spool = sluice("import", "choria-config", str(tmp_path / "server.conf"), "--spool").stdout
    assert "folder: '/var/spool/x'" in spool and "collective: 'fleet'" in spool


def test_the_prometheus_rules_name_metrics_that_exist(farm):
    """Each metric of the rule file is served by a daemon that has adapters and alerts; each rule has advice."""
    text = (servers.ROOT / "config/prometheus/sluice.rules.yml").read_text()
    named = set(re.findall(r"\bsluice_[a-z_]+\b", " ".join(re.findall(r"expr: (.*)", text))))
    assert len(named) >= 10
    assert text.count("- alert:") == text.count("expr:") == text.count("advice:") == text.count("summary:")
    port, monitor = servers.free_port(), servers.free_port()
    server = farm.sluice(f"server: {{listen: '127.0.0.1:{port}'}}\nstore: {{dir: '{{dir}}'}}\nmonitor: {{listen: '127.0.0.1:{monitor}'}}\n"
                         "alerts: {enabled: true, interval: 1s}\nadapters:\n  - {type: choria_registration}\n"
                         f"replicator:\n  name: here\n  state_store: {farm.folder}/state\n  streams:\n"
                         f"    - {{stream: REGISTRATION, target_stream: COPY, source: embedded, target: 'nats://127.0.0.1:{port}'}}\n", port)
    server.start()
    # Core NATS keeps nothing for an adapter that does not listen yet.
    wait_for(lambda: 'sluice_adapter_state{adapter="registration",type="choria_registration",state="running"} 1' in servers.http_get(monitor, "/metrics"))
    publish(server.url, ("mcollective.broadcast.agent.registration", b"no envelope"))
    wait_for(lambda: "sluice_dead_letters 1" in servers.http_get(monitor, "/metrics"))
    wait_for(lambda: 'sluice_alert{alert="dead_letters"} 1' in servers.http_get(monitor, "/metrics"))
    wait_for(lambda: "sluice_replicator_lag_seconds" in servers.http_get(monitor, "/metrics"))
    served = {re.match(r"\w+", line)[0] for line in servers.http_get(monitor, "/metrics").splitlines() if line.startswith("sluice_")}
    # A spool serves its own; tests/peers/test_spool.py and test_spool_audit.py look at some of them there.
    of_spools = {name for name in named if name.startswith("sluice_spool_")}
    sources = "".join(path.read_text() for path in (servers.ROOT / "spool").rglob("*.cc"))
    assert of_spools and all(f'"{name}"' in sources for name in of_spools)
    named -= of_spools
    # Of listeners with a certificate only; their own test is tests/peers/test_tls.py.
    assert named - served <= {"sluice_tls_certificate_expiry_timestamp_seconds"}, named - served
    assert "sluice_tls_certificate_expiry_timestamp_seconds" in (servers.ROOT / "core/server/server.cc").read_text()
    assert "alert raised alert=dead_letters" in server.log_path.read_text()
