"""sluice-spool as a real process: submit by command, socket and folder, kill -9, a gateway that comes and goes."""

import asyncio
import base64
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

import nats
import pytest

import servers
import wire

SPOOL = str(pathlib.Path(servers.SLUICE).parent / "sluice-spool")
FIXTURES = servers.ROOT / "tests/fixtures/choria"
RECORDED = FIXTURES / "submission"


def wait_for(condition, seconds=30, what="the condition"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if (value := condition()):
                return value
        except AssertionError:
            raise
        except Exception:  # nobody listens yet, a stream that is not there yet
            pass
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {seconds} s")


class Spool:
    """One node: its configuration, its daemon, its command line."""

    def __init__(self, farm, server_url, name="node", more=""):
        self.folder = farm.folder / name
        self.folder.mkdir()
        self.socket = self.folder / "s"
        self.config = self.folder / "spool.yaml"
        self.config.write_text(f"identity: node1.example.net\nserver: {server_url}\nspool: {self.folder}/queue\n"
                               f"socket: {self.socket}\n{more}")
        self.log = self.folder / "log"
        self.process = None
        farm.servers.append(self)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([SPOOL, "--config", str(self.config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.answers, what=f"sluice-spool\n{self.log.read_text()[-2000:]}")
        return self

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        return self.ask({"op": "status"})

    def ask(self, *requests):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(self.socket))
            s.sendall("".join(json.dumps(r) + "\n" for r in requests).encode())
            file = s.makefile()
            answers = [json.loads(file.readline()) for _ in requests]
        return answers[0] if len(requests) == 1 else answers

    def submit(self, subject, payload, **more):
        message = {"subject": subject, "payload": base64.b64encode(payload).decode(), "sender": "test", "reliable": True,
                   "priority": 1} | more
        return self.ask({"op": "submit", "message": message})

    def cli(self, *arguments, stdin=None, check=True):
        done = subprocess.run([servers.SLUICE, *arguments, "--config", str(self.config)], input=stdin, capture_output=True, timeout=60)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done

    def waiting(self):
        return sum(lane["messages"] for lane in self.ask({"op": "status"})["lanes"])

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        self.process = None

    def stop(self):
        self.process.terminate()
        code = self.process.wait(20)
        self.process = None
        return code


def make_stream(url, subjects=("mcollective.submission.in.>",), name="SUBMISSION"):
    async def make():
        nc = await nats.connect(url)
        await nc.jetstream().add_stream(name=name, subjects=list(subjects))
        await nc.close()
    asyncio.run(make())


def stored(port, stream="SUBMISSION"):
    return asyncio.run(wire.read_stream(port, stream))


def payloads(port, stream="SUBMISSION"):
    return [payload for _, _, _, payload in stored(port, stream)]


@pytest.fixture
def nats_server(farm):
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    return farm.nats_server().start()


def test_submit_goes_to_a_jetstream_as_recorded(farm, nats_server):
    make_stream(nats_server.url)
    node = Spool(farm, nats_server.url).start()
    payload = node.folder / "payload"
    payload.write_bytes(b'{"reading":21.5}')
    plain = node.cli("submit", "sensors.a", str(payload), "--sender", "user 0").stdout.decode().strip()
    wait_for(lambda: node.waiting() == 0, what="an empty queue")
    reliable = node.cli("submit", "sensors.b", "-", "--reliable", "--priority", "0", "--sender", "user 0",
                        "-H", "x-trace=abc", "-H", "Content-Type=text/plain", stdin=b'{"reading":21.5}').stdout.decode().strip()
    wait_for(lambda: len(stored(nats_server.port)) == 2, what="both messages")
    first, second = stored(nats_server.port)
    assert [first[1], second[1]] == ["mcollective.submission.in.sensors.a", "mcollective.submission.in.sensors.b"]
    assert first[3] == second[3] == b'{"reading":21.5}'
    trace = [json.loads(line) for line in (FIXTURES / "api-trace-submit.jsonl").read_text().splitlines()]
    recorded = [step["headers"] for step in trace if step.get("subject", "").startswith("mcollective.submission.in.")]
    for message, text, own in ((first, recorded[0], {}), (second, recorded[1], {"x-trace": "abc", "Content-Type": "text/plain"})):
        expected = [line.split(": ", 1) for line in text.split("\r\n")[1:] if line]
        expected = sorted([*expected, *([k, v] for k, v in own.items())])
        assert list(message[2]) == [name for name, _ in expected], "names and their order"
        for name, value in expected:
            if name not in ("Nats-Msg-Id", "Choria-Created"):
                assert message[2][name] == value
    assert (first[2]["Nats-Msg-Id"], second[2]["Nats-Msg-Id"]) == (plain, reliable)
    assert node.stop() == 0


def test_submit_through_the_gateway_adapter(farm):
    port = servers.free_port()
    gateway = farm.sluice("server: {listen: 127.0.0.1:{port}}\nstore: {dir: {dir}}\nmonitor: {enabled: false}\n"
                          "adapters:\n  - type: choria_submission\n    name: submission\n    network: embedded\n", port)
    gateway.start()
    node = Spool(farm, gateway.url).start()
    for i in range(20):
        assert "id" in node.submit("app.x", b"%d" % i, priority=i % 5, reliable=i % 2 == 0)
    messages = wait_for(lambda: (m := stored(port)) and len(m) == 20 and m, what="all messages in the gateway's stream")
    assert {m[1] for m in messages} == {"choria.submission.app.x"}
    assert all(m[2]["Choria-Identity"] == "node1.example.net" for m in messages)
    wait_for(lambda: node.waiting() == 0, what="an empty queue")


def test_gateway_away_and_back(farm, nats_server):
    make_stream(nats_server.url)
    nats_server.kill()
    node = Spool(farm, nats_server.url).start()
    for i in range(50):
        assert "id" in node.submit("app.x", b"%d" % i)
    assert node.waiting() == 50
    assert "NOT connected" in node.cli("spool", "status").stdout.decode()
    nats_server.start()
    wait_for(lambda: len(stored(nats_server.port)) == 50, what="all messages")
    assert payloads(nats_server.port) == [b"%d" % i for i in range(50)]
    wait_for(lambda: node.waiting() == 0, what="an empty queue")


def test_no_stream_is_waited_for(farm, nats_server):
    node = Spool(farm, nats_server.url).start()
    for i in range(5):
        node.submit("app.x", b"%d" % i, max_tries=2)
    wait_for(lambda: node.ask({"op": "status"})["troubles"], what="the trouble told")
    assert "no stream listens" in node.cli("spool", "status").stdout.decode()
    make_stream(nats_server.url)
    wait_for(lambda: len(stored(nats_server.port)) == 5, what="all messages")
    assert payloads(nats_server.port) == [b"%d" % i for i in range(5)]


def test_kill_nine_loop(farm, nats_server, soak):
    """Killed at random moments while it takes and sends; what was acknowledged arrives once, in order."""
    make_stream(nats_server.url)
    node = Spool(farm, nats_server.url)
    accepted, sent = [], 0
    for round_ in range(soak["rounds"] // 10 if soak else 12):
        node.start()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(node.socket))
            lines = []
            for _ in range(40):
                message = {"id": f"m{sent}", "subject": "app.x", "payload": base64.b64encode(b"%d" % sent).decode(), "sender": "t",
                           "reliable": True, "priority": 1}
                lines.append(json.dumps({"op": "submit", "message": message}))
                sent += 1
            s.sendall(("\n".join(lines) + "\n").encode())
            file = s.makefile()
            for _ in range((round_ * 7) % 40):
                accepted.append(json.loads(file.readline())["id"])
            node.kill()
            with contextlib.suppress(OSError, json.JSONDecodeError):  # answers that were on their way
                while line := file.readline():
                    accepted.append(json.loads(line)["id"])
    node.start()
    wait_for(lambda: node.waiting() == 0, 60, "an empty queue")
    ids = [m[2]["Nats-Msg-Id"] for m in stored(nats_server.port)]
    assert len(ids) == len(set(ids)), "nothing twice"
    assert set(accepted) <= set(ids), "nothing acknowledged is lost"
    numbers = [int(i[1:]) for i in ids]
    assert numbers == sorted(numbers), "in order"


def test_choria_folder_is_taken_over(farm, nats_server):
    """The recorded spool of a Choria node, P0 … P4: every message arrives with Choria's own bytes, and the files go."""
    make_stream(nats_server.url)
    spool = farm.folder / "choria"
    shutil.copytree(RECORDED / "spool-as-submitted", spool)
    originals = {}
    for path in sorted(spool.rglob("*.msg")):
        message = json.loads(path.read_text())
        message["ttl"] = 2678400
        # Recorded a while ago: for this test it is fresh.
        message["created"] = time.strftime("%Y-%m-%dT%H:%M:%S.5Z", time.gmtime())
        path.write_text(json.dumps(message))
        originals[message["id"]] = message
    (spool / "P1" / "0-broken.msg").write_text("{")
    node = Spool(farm, nats_server.url, more=f"folder: {spool}\n").start()
    messages = wait_for(lambda: (m := stored(nats_server.port)) and len(m) == len(originals) and m, what="all messages")
    for _, subject, headers, payload in messages:
        original = originals[headers["Nats-Msg-Id"]]
        assert subject == "mcollective.submission.in." + original["subject"]
        assert payload == base64.b64decode(original["payload"])
        assert headers["Choria-Sender"] == original["sender"] and headers["Choria-Priority"] == str(original["priority"])
        for name, value in (original["headers"] or {}).items():
            assert headers[name] == value
    wait_for(lambda: not list(spool.rglob("*.msg")), what="the files removed")
    assert b"malformed" in node.cli("spool", "ls", "--quarantine").stdout
    # And what is dropped there later.
    late = spool / "late.tmp"
    late.write_text(json.dumps(next(iter(originals.values())) | {"id": "late"}))
    late.rename(spool / "P4" / "9-late.msg")
    wait_for(lambda: any(m[2]["Nats-Msg-Id"] == "late" for m in stored(nats_server.port)), what="the late one")


def test_submit_without_a_daemon_goes_into_the_folder(farm, nats_server):
    make_stream(nats_server.url)
    drop = farm.folder / "drop"
    node = Spool(farm, nats_server.url, more=f"folder: {drop}\n")
    ids = [node.cli("submit", "app.x", "-", "--reliable", stdin=b"%d" % i).stdout.decode().strip() for i in range(3)]
    assert len(list(drop.rglob("*.msg"))) == 3
    node.start()
    wait_for(lambda: [m[2]["Nats-Msg-Id"] for m in stored(nats_server.port)] == ids, what="all three, in order")
    refused = Spool(farm, nats_server.url, name="other").cli("submit", "app.x", "-", stdin=b"x", check=False)
    assert refused.returncode == 1 and b"no sluice-spool listens there" in refused.stderr


def test_refusals_are_choria_s(farm, nats_server):
    node = Spool(farm, nats_server.url, more="limits: {messages: 2}\n").start()
    for arguments, stdin, text in [
        (("app.x", "-"), b"", b"payload is empty"),
        (("app.x", "-", "--ttl", "32d"), b"x", b"ttl exceeds maximum 744h0m0s"),
        (("app.x", "-", "-H", "Choria-Token=x"), b"x", b"headers may not start with 'choria' or 'nats'"),
        (("app.>", "-"), b"x", b"subject is not a subject without wildcards"),
        (("app.x", "-", "--sign"), b"x", b"no seed to sign with"),
        (("app.x", "/does/not/exist"), b"", b"No such file"),
    ]:
        done = node.cli("submit", *arguments, stdin=stdin, check=False)
        assert done.returncode == 1 and text in done.stderr, (arguments, done.stderr)
    for _ in range(2):
        node.cli("submit", "app.x", "-", "--reliable", stdin=b"x")
    full = node.cli("submit", "app.x", "-", "--reliable", stdin=b"x", check=False)
    assert full.returncode == 1 and b"spool is full" in full.stderr


def test_spool_verbs_running_and_stopped(farm, nats_server):
    node = Spool(farm, nats_server.url).start()  # no stream: everything reliable waits
    ids = [node.submit("app.x", b"\x00payload %d" % i, priority=i % 2)["id"] for i in range(4)]
    for running in (True, False):
        if not running:
            assert node.stop() == 0
        listed = [json.loads(line) for line in node.cli("spool", "ls", "--json").stdout.splitlines()]
        assert [e["id"] for e in listed] == [ids[0], ids[2], ids[1], ids[3]]
        assert node.cli("spool", "show", ids[1], "--payload").stdout == b"\x00payload 1"
        assert ids[0].encode() in node.cli("spool", "ls").stdout
        assert b"priority" in node.cli("spool", "show", ids[1]).stdout
        out = node.folder / f"export-{running}"
        node.cli("spool", "export", str(out))
        names = sorted(out.rglob("*.msg"))
        assert [json.loads(n.read_text())["id"] for n in names] == [ids[0], ids[2], ids[1], ids[3]]
        node.cli("spool", "drop", ids[2])
        assert b"dropped by request" in node.cli("spool", "ls", "--quarantine").stdout
        assert node.cli("spool", "replay", "--all", "--reason", "expired").stdout == b"0 will be sent again\n"
        assert node.cli("spool", "replay", "--all").stdout == b"1 will be sent again\n"
        if running:
            ids = [ids[0], ids[1], ids[2], ids[3]]
            assert b"stop it first" in node.cli("spool", "repair", check=False).stderr
    assert b"4 messages wait" in node.cli("spool", "repair").stdout
    node.start()
    make_stream(nats_server.url)
    wait_for(lambda: {m[2]["Nats-Msg-Id"] for m in stored(nats_server.port)} == set(ids), what="all of them")


def test_bad_configurations_start_nothing(farm):
    path = farm.folder / "bad.yaml"
    for text, complaint in [("identity: x\n", b"server"), ("server: nats://h:1\nsocket: ''\n", b"neither 'socket' nor 'folder'"),
                            ("server: nats://h:1\nsocket_mode: '9'\n", b"a file mode such as '0660'"),
                            ("server: nats://h:1\nsokcet: x\n", b"did you mean 'socket'")]:
        path.write_text(text)
        done = subprocess.run([SPOOL, "--check", "--config", str(path)], capture_output=True, timeout=20)
        assert done.returncode == 78 and complaint in done.stderr, (text, done.stderr)
    done = subprocess.run([SPOOL, "--check", "--config", str(servers.ROOT / "spool/example.yaml")], capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr


def test_metrics_and_private_memory(farm, nats_server):
    make_stream(nats_server.url)
    port = servers.free_port()
    node = Spool(farm, nats_server.url, more=f"metrics: 127.0.0.1:{port}\n").start()
    node.submit("app.x", b"x")
    wait_for(lambda: node.waiting() == 0, what="an empty queue")
    text = servers.http_get(port, "/metrics")
    assert 'sluice_spool_attempts_total{outcome="acked"} 1' in text
    assert 'sluice_spool_messages{mode="reliable",priority="1"} 0' in text or 'sluice_spool_messages{priority="1",mode="reliable"} 0' in text
    assert json.loads(servers.http_get(port, "/healthz")) == {"status": "ok"}
    rollup = pathlib.Path(f"/proc/{node.process.pid}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(("Private_Clean", "Private_Dirty")))
    print(f"sluice-spool idle: {private} KiB private")
    assert oct(os.stat(node.socket).st_mode & 0o777) == "0o660"
