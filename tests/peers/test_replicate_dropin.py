"""`sluice replicate` in the place of Choria's Stream Replicator: its recorded cases played again between two real nats-servers."""

import asyncio
import base64
import hashlib
import json
import pathlib
import re
import subprocess
import time
import urllib.request

import nats
import pytest

import servers

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "stream-replicator"
# Ours beside the recorded ones: position, fence and the id that makes a retry harmless.
OURS = {"Sluice-Copy-Position", "Nats-Expected-Last-Sequence", "Nats-Expected-Last-Msg-Id", "Sluice-Heartbeat-Time"}


@pytest.fixture(autouse=True)
def needs_nats_server():
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")


def recorded(name):
    return json.loads((FIXTURES / name).read_text())


def replicator(farm, case, source, target, name="replicator"):
    """The recorded configuration, word for word but for addresses and folders."""
    text = (FIXTURES / f"{case}-config.yaml").read_text()
    port = servers.free_port()
    text = text.replace("127.0.0.1:23007", f"127.0.0.1:{source.port}").replace("127.0.0.1:23817", f"127.0.0.1:{target.port}")
    text = re.sub(r"state_store: .*", f'state_store: "{farm.folder}/{name}-state"', text)
    text = re.sub(r"monitor_port: .*", f"monitor_port: {port}", text)
    path = farm.folder / f"{name}.yaml"
    path.write_text(text)
    server = servers.Server([servers.SLUICE, "replicate", "--config", str(path)], port, farm.folder, name)
    farm.servers.append(server)
    return server.start()


def body_of(message):
    if "data_b64" in message:
        return base64.b64decode(message["data_b64"])
    if "sha256" in message:
        return None
    return message["data"].encode()


def fields_of(raw):
    """Header lines as written, sorted as Go's client writes them; the volatile time of the mark is masked."""
    lines = [line.split(":", 1) for line in (raw or "").split("\r\n")[1:] if line]
    fields = [(name, value.strip()) for name, value in lines]
    fields = [(n, re.sub(r" \d+$", " TIME", v) if n == "Choria-SR-Source" and "EARLIER" not in v else v) for n, v in fields if n not in OURS]
    return sorted(fields, key=lambda field: field[0])


async def raw_messages(port, stream, count, seconds=40):
    """Whole stream by MSG.GET: (subject, raw headers, body)."""
    nc = await nats.connect(f"nats://127.0.0.1:{port}")
    deadline = time.monotonic() + seconds
    while True:
        answer = json.loads((await nc.request(f"$JS.API.STREAM.INFO.{stream}", b"")).data)
        state = answer.get("state", {"messages": 0})
        if state["messages"] >= count:
            break
        assert time.monotonic() < deadline, f"{stream}: {answer}"
        await asyncio.sleep(0.05)
    out = []
    for seq in range(state["first_seq"], state["last_seq"] + 1):
        m = json.loads((await nc.request(f"$JS.API.STREAM.MSG.GET.{stream}", json.dumps({"seq": seq}).encode())).data)["message"]
        out.append((m["subject"], base64.b64decode(m.get("hdrs", "")).decode(), base64.b64decode(m.get("data", ""))))
    await nc.close()
    return out


async def fill(port, stream, subjects, messages, **config):
    """A source stream with the recorded messages, byte for byte."""
    nc = await nats.connect(f"nats://127.0.0.1:{port}")
    body = {"name": stream, "subjects": subjects, **config}
    answer = json.loads((await nc.request(f"$JS.API.STREAM.CREATE.{stream}", json.dumps(body).encode())).data)
    assert "error" not in answer, answer
    for m in messages:
        payload = body_of(m)
        if payload is None:
            payload = b"x" * m["bytes"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        writer.write(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        subject = m["subject"].encode()
        if m.get("headers_raw"):
            raw = m["headers_raw"].encode()
            writer.write(b"HPUB %s %d %d\r\n%s%s\r\n" % (subject, len(raw), len(raw) + len(payload), raw, payload))
        else:
            writer.write(b"PUB %s %d\r\n%s\r\n" % (subject, len(payload), payload))
        writer.write(b"PING\r\n")
        await writer.drain()
        while b"PONG" not in await reader.readline():
            pass
        writer.close()
    await nc.close()


def compare(copies, expected):
    """Copies against recorded target messages: subject, headers, body; an added Nats-Msg-Id only where none was recorded."""
    assert [c[0] for c in copies] == [m["subject"] for m in expected]
    for (subject, headers, payload), message in zip(copies, expected, strict=True):
        want, got = fields_of(message.get("headers_raw")), fields_of(headers)
        if "Nats-Msg-Id" not in dict(want):
            source = dict(got)["Choria-SR-Source"] if len([1 for n, _ in got if n == "Choria-SR-Source"]) == 1 else got[1][1]
            assert dict(got)["Nats-Msg-Id"].rsplit(":", 1)[0] == ":".join(source.split()[:4]), got
            got = [f for f in got if f[0] != "Nats-Msg-Id"]
        assert got == want, subject
        body = body_of(message)
        if body is not None:
            assert payload == body
        elif "sha256" in message:
            assert len(payload) == message["bytes"]


def two(farm):
    return farm.nats_server("source").start(), farm.nats_server("target").start()


def metrics(port):
    return servers.http_get(port, "/metrics")


def value_of(text, name, labels):
    for line in text.splitlines():
        found = re.fullmatch(re.escape(name) + r"\{(.*)\} (\S+)", line)
        if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1])) == labels:
            return float(found[2])
    return None


def test_plain(farm):
    source, target = two(farm)
    streams = recorded("plain-streams-and-consumer.json")
    config = {k: v for k, v in streams["source"].items() if k not in ("name", "subjects", "metadata")}
    asyncio.run(fill(source.port, "ORDERS", streams["source"]["subjects"], recorded("plain-source-messages.json"), **config))
    copier = replicator(farm, "plain", source, target)
    expected = recorded("plain-target-messages.json")
    asyncio.run(raw_messages(target.port, "ORDERS", len(expected) - 1))

    async def publish_live():
        nc = await nats.connect(source.url)
        await nc.jetstream().publish("orders.live", b"live")
        await nc.close()

    asyncio.run(publish_live())
    copies = asyncio.run(raw_messages(target.port, "ORDERS", len(expected)))
    compare(copies, expected)

    async def target_config():
        nc = await nats.connect(target.url)
        answer = json.loads((await nc.request("$JS.API.STREAM.INFO.ORDERS", b"")).data)
        await nc.close()
        return answer["config"]

    assert asyncio.run(target_config()) == streams["target"]
    text = metrics(copier.port)
    labels = {"replicator": "PARITY", "stream": "ORDERS", "worker": "P1"}
    assert value_of(text, "choria_stream_replicator_replicator_copied_messages", labels) == len(expected)
    names = {line.split("{")[0] for line in (FIXTURES / "plain-metrics.txt").read_text().splitlines() if line.startswith("choria_")}
    missing = {n for n in names if n + "{" not in text}
    assert not missing, missing
    assert value_of(text, "choria_stream_replicator_replicator_processing_time_seconds_count", labels) == len(expected)
    assert value_of(text, "choria_stream_replicator_replicator_processing_time_seconds_sum", labels) > 0
    ours = json.loads(servers.http_get(copier.port, "/replicator"))["copies"][0]
    assert ours["ledger"]["read"] == ours["ledger"]["copied"] == len(expected) and ours["lag"] in (0, None)
    assert copier.stop() == 0


def test_mapping(farm):
    source, target = two(farm)
    messages = [{"subject": f"NODE_DATA.host{i}.{'rome' if i % 2 == 0 else 'paris'}", "data": str(i)} for i in range(6)]
    asyncio.run(fill(source.port, "NODE_DATA", ["NODE_DATA.>"], messages))
    replicator(farm, "mapping", source, target)
    wanted_streams = recorded("mapping-target-streams.json")
    for stream, expected in recorded("mapping-target-messages.json").items():
        compare(asyncio.run(raw_messages(target.port, stream, len(expected))), expected)

        async def config(name=stream):
            nc = await nats.connect(target.url)
            answer = json.loads((await nc.request(f"$JS.API.STREAM.INFO.{name}", b"")).data)
            await nc.close()
            return answer["config"]

        if stream in wanted_streams:
            assert asyncio.run(config()) == wanted_streams[stream]


def test_start_rules(farm):
    source, target = two(farm)

    async def publish(first, last):
        nc = await nats.connect(source.url)
        js = nc.jetstream()
        if first == 1:
            await js.add_stream(name="STARTS", subjects=["starts.>"])
        for i in range(first, last + 1):
            await js.publish("starts.a", str(i).encode())
        await nc.close()

    asyncio.run(publish(1, 10))
    copier = replicator(farm, "start", source, target)
    everything = asyncio.run(raw_messages(target.port, "SALL", 10))
    assert [body for _, _, body in everything] == [str(i).encode() for i in range(1, 11)]
    assert [b for _, _, b in asyncio.run(raw_messages(target.port, "SSEQ", 3))] == [b"8", b"9", b"10"]
    assert len(asyncio.run(raw_messages(target.port, "SDELTA", 10))) == 10
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        states = {c["name"]: c["state"] for c in json.loads(servers.http_get(copier.port, "/replicator"))["copies"]}
        if set(states.values()) == {"copying"}:
            break
        time.sleep(0.05)
    asyncio.run(publish(11, 12))
    assert [b for _, _, b in asyncio.run(raw_messages(target.port, "SEND", 2))] == [b"11", b"12"]


def test_sampled(farm):
    source, target = two(farm)
    heard = {"gossip": [], "advisories": []}

    async def run():
        nc = await nats.connect(source.url)
        await nc.jetstream().add_stream(name="ADV", subjects=["adv.>"])

        async def on_gossip(m):
            heard["gossip"].append(json.loads(m.data))

        async def on_advisory(m):
            heard["advisories"].append((m.subject, dict(m.headers or {}), json.loads(m.data)))

        await nc.subscribe("choria.stream-replicator.sync.REG.I1", cb=on_gossip)
        await nc.subscribe("adv.>", cb=on_advisory)
        await nc.flush()
        await fill(source.port, "REG", ["reg.>"], [])
        copier = replicator(farm, "inspect", source, target)
        messages = recorded("inspect-source-messages.json")
        js = nc.jetstream()
        for m in messages:
            headers = {"X-H": "kept"} if m["headers_raw"] else None
            await js.publish(m["subject"], m["data"].encode(), headers=headers)
        expected = recorded("inspect-target-messages.json")
        copies = await raw_messages(target.port, "REG", len(expected))
        # Silence: what the tracker does by the clock is held against the recording in the unit tests.
        deadline = time.monotonic() + 20
        while (len(heard["gossip"]) < 11 or len(heard["advisories"]) < 4) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        await nc.close()
        return copier, copies, expected

    copier, copies, expected = asyncio.run(run())
    compare(copies, expected)
    mask = lambda item: {k: (v if k in ("size", "value") else v == "0001-01-01T00:00:00Z") for k, v in item.items()}
    gossip = [g["data"] for g in recorded("inspect-gossip.json")]
    assert [list(g) for g in heard["gossip"]] == [list(g) for g in gossip]
    # Copies are on their way many at once, so the last copy of a value may be heard one message later.
    assert [mask(g) | {"copied": None} for g in heard["gossip"]] == [mask(g) | {"copied": None} for g in gossip]
    new = [a for a in recorded("inspect-advisories.json") if ".new." in a["subject"]][:4]
    assert [subject for subject, _, _ in heard["advisories"]] == [a["subject"] for a in new]
    for (_, headers, data), a in zip(heard["advisories"], new, strict=True):
        volatile = ("event_id", "seen", "timestamp")
        assert list(data) == list(a["data"])
        assert {k: v for k, v in data.items() if k not in volatile} == {k: v for k, v in a["data"].items() if k not in volatile}
        assert headers == {"Nats-Msg-Id": data["event_id"]} and len(data["event_id"]) == 27
    assert copier.stop() == 0
    told = subprocess.run([servers.SLUICE, "replicator", "advisories", "ADV", "h2", "--since", "1h", "--server", source.url],
                          capture_output=True, text=True, timeout=30)
    assert re.fullmatch(r"\[\S+\]     new h2 seen \S+ earlier on PARITY\n", told.stdout), told
    state = json.loads((farm.folder / "replicator-state" / "REG_I1.json").read_text())
    want = recorded("inspect-state-file.json")
    assert {k: (list(v), v["size"]) for k, v in state["Items"].items()} == {k: (list(v), v["size"]) for k, v in want["Items"].items()}


def test_target_initiated(farm):
    source, target = two(farm)
    case = recorded("target-initiated-messages.json")
    asyncio.run(fill(source.port, "TI", ["ti.>"], case["source"]))
    replicator(farm, "target-initiated", source, target)
    copies = asyncio.run(raw_messages(target.port, "TI", len(case["source"])))
    # The original throws headers and empty bodies away here (P13); ours keeps both.
    for (subject, headers, body), m in zip(copies, case["source"], strict=True):
        assert (subject, body) == (m["subject"], body_of(m))
        got = dict(fields_of(headers))
        assert got["Choria-SR-Source"].startswith(f"TI {m['seq']} PARITY T1")
        for name, value in fields_of(m["headers_raw"]):
            assert got[name] == value


def test_heartbeats(farm):
    source, target = two(farm)
    asyncio.run(fill(source.port, "HB", ["hb.>"], []))
    copier = replicator(farm, "heartbeat", source, target)
    copies = asyncio.run(raw_messages(source.port, "HB", 5))
    want = {m["subject"]: fields_of(m["headers_raw"]) for m in recorded("heartbeat-messages.json")}
    mask = lambda fields: [(n, "HOST" if n == "Choria-SR-Originator" else v) for n, v in fields]
    assert {c[0] for c in copies} == set(want)
    for subject, headers, body in copies:
        assert mask(fields_of(headers)) == mask(want[subject])
        assert abs(int(body) - time.time()) < 60
    assert value_of(metrics(copier.port), "choria_stream_replicator_heartbeat_subjects_count", {"replicator": "PARITY"}) == 2
    timed = [value_of(metrics(copier.port), f"choria_stream_replicator_heartbeat_publish_time_{part}",
                      {"replicator": "PARITY", "subject": copies[0][0]}) for part in ("count", "sum")]
    assert timed[0] >= 1 and timed[1] > 0


def test_gossip_is_printed(farm):
    source = farm.nats_server("source").start()
    item = recorded("inspect-gossip.json")[0]["data"]

    def printed(*more):
        async def run():
            nc = await nats.connect(source.url)
            process = subprocess.Popen([servers.SLUICE, "replicator", "gossip", "REG", "--count", "1", "--server", source.url, *more],
                                       stdout=subprocess.PIPE, text=True)
            while process.poll() is None:  # until it listens
                await nc.publish("choria.stream-replicator.sync.OTHER.I1", b"{}")
                await nc.publish("choria.stream-replicator.sync.REG.I1", json.dumps(item).encode())
                await asyncio.sleep(0.02)
            await nc.close()
            assert process.returncode == 0
            return process.stdout.read()

        return asyncio.run(run())

    assert re.fullmatch(rf"\[REG\.I1\] size: {item['size']} advised: false copied: \S+ {item['value']}\n", printed())
    assert json.loads(printed("--json")) == {**item, "from": "REG.I1"}


def test_bad_file_says_where(farm):
    path = farm.folder / "bad.yaml"
    path.write_text("name: A\nbogus: 1\nstreams:\n  - stream: S\n    source_url: nats://a\n")
    done = subprocess.run([servers.SLUICE, "replicate", "--config", str(path)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 78
    assert "bad.yaml:2:1: unknown key 'bogus' is left out" in done.stderr and "'target_url' is missing" in done.stderr


def test_health_says_when_a_copy_stalls(farm):
    source = farm.nats_server("source").start()
    asyncio.run(fill(source.port, "ORDERS", ["orders.>"], [{"subject": "orders.a", "data": "1"}]))
    dead = servers.free_port()
    copier = replicator(farm, "plain", source, type("Nobody", (), {"port": dead}))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            servers.http_get(copier.port, "/healthz")
            time.sleep(0.1)
        except urllib.error.HTTPError as e:
            assert e.code == 503 and "ORDERS_P1 has stalled" in e.read().decode()
            return
    raise AssertionError("the stall was never told")
