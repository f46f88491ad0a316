"""Recorded Choria registrations through the real daemon: what comes out is what Choria's own adapter made of them."""

import asyncio
import json
import pathlib
import time

import nats
import pytest

import servers
import wire

FIXTURES = servers.ROOT / "tests/fixtures/choria"
QUICKSTART = servers.ROOT / "config/examples/quickstart.yaml"
INDEX = json.loads((FIXTURES / "registration-index.json").read_text())
BAD = sorted((FIXTURES / "adapter-bad-input").iterdir())


def expected_output(name):
    """What the recorded broker stored for a registration file: one broker for v1, another for v2."""
    for kind in ("file", "choria"):
        path = FIXTURES / f"adapter-output-{kind}-{name.removeprefix('registration-')}"
        if path.exists():
            return json.loads(path.read_text())
    raise AssertionError(f"no recorded output for {name}")


def quickstart(farm, network="embedded"):
    """The quick-start configuration with this test's ports, folder and network."""
    port, monitor = servers.free_port(), servers.free_port()
    text = QUICKSTART.read_text()
    for old, new in {"127.0.0.1:4222": f"127.0.0.1:{port}", "127.0.0.1:8222": f"127.0.0.1:{monitor}",
                     "./sluice-data": "{dir}", "network: embedded": f"network: {network}"}.items():
        assert old in text, f"{old!r} is not in the quick-start configuration"
        text = text.replace(old, new)
    return farm.sluice(text, port), monitor


async def publish_all(url, payloads):
    nc = await nats.connect(url)
    for subject, payload in payloads:
        await nc.publish(subject, payload)
    await nc.flush()
    await nc.close()


def wait_for(condition, seconds=20, what="the condition"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if (value := condition()):
                return value
        except Exception:  # a stream that is not there yet
            pass
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {seconds} s")


def stored(port, stream):
    return asyncio.run(wire.read_stream(port, stream))


@pytest.mark.parametrize("network", ["embedded", "nats-server"])
def test_recorded_registrations(farm, network):
    network_url = None
    if network == "nats-server":
        if not pathlib.Path(servers.NATS_SERVER).exists():
            pytest.skip("no nats-server here")
        network_url = farm.nats_server("network").start().url
    server, monitor = quickstart(farm, network_url or "embedded")
    server.start()
    wait_for(lambda: '"running"' in servers.http_get(monitor, "/adapters"), what="a running adapter")

    good = [(entry["subject"], (FIXTURES / entry["file"]).read_bytes()) for entry in INDEX]
    bad = [("mcollective.broadcast.agent.registration", path.read_bytes()) for path in BAD]
    mixed = []
    for i in range(max(len(good), len(bad))):
        mixed += bad[i:i + 1] + good[i:i + 1]
    asyncio.run(publish_all(network_url or server.url, mixed))

    messages = wait_for(lambda: (m := stored(server.port, "REGISTRATION")) and len(m) == len(good) and m,
                        what="every good registration")
    for entry, (_, subject, headers, payload) in zip(INDEX, messages, strict=True):
        expected = expected_output(entry["file"])
        assert json.loads(payload) == expected, entry["file"]
        assert list(json.loads(payload)) == list(expected), "order of keys"
        assert subject == f"choria.registration.{expected['sender']}"
        assert headers["Nats-Msg-Id"]

    letters = wait_for(lambda: (m := stored(server.port, "SLUICE_DLQ")) and len(m) == len(bad) and m,
                       what="every bad input in the dead letters")
    assert [payload for _, _, _, payload in letters] == [payload for _, payload in bad]
    for path, (_, _, headers, _) in zip(BAD, letters, strict=True):
        assert headers["Sluice-Reason"], path.name
        assert headers["Sluice-Origin"] == "mcollective.broadcast.agent.registration"

    # The same again is a redelivery: nothing is stored twice.
    asyncio.run(publish_all(network_url or server.url, good))
    wait_for(lambda: f"sluice_adapter_duplicates_total" in servers.http_get(monitor, "/metrics"), what="metrics")
    time_left = time.monotonic() + 10
    while time.monotonic() < time_left:
        figures = json.loads(servers.http_get(monitor, "/adapters"))["adapters"][0]
        if figures["received"] == 2 * len(good) + len(bad) and figures["in_flight"] == 0:
            break
        time.sleep(0.05)
    assert figures["accepted"] + figures["duplicates"] >= len(good)
    assert len(stored(server.port, "REGISTRATION")) == len(good)
    assert json.loads(servers.http_get(monitor, "/healthz")) == {"status": "ok"}
    assert server.stop() == 0


def test_registrations_survive_a_kill(farm):
    server, monitor = quickstart(farm)
    server.start()
    wait_for(lambda: '"running"' in servers.http_get(monitor, "/adapters"), what="a running adapter")
    entry = INDEX[0]
    asyncio.run(publish_all(server.url, [(entry["subject"], (FIXTURES / entry["file"]).read_bytes())]))
    wait_for(lambda: len(stored(server.port, "REGISTRATION")) == 1, what="the registration")
    server.kill()
    server.start()
    messages = stored(server.port, "REGISTRATION")
    assert [json.loads(m[3]) for m in messages] == [expected_output(entry["file"])]
