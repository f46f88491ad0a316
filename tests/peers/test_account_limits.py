"""JetStream limits of an account change by a reload, under open connections: the same on both servers."""

import asyncio
import json
import signal

import nats
import pytest

CONF = """
accounts {{ A {{ jetstream {{ {limits} }}, users: [ {{ user: a, password: p }} ] }} }}
"""


@pytest.fixture(params=["sluice", "nats-server"])
def server(request, farm):
    path = farm.folder / "limits.conf"
    path.write_text(CONF.format(limits="max_streams: 1"))
    make = farm.sluice_as_nats_server if request.param == "sluice" else farm.nats_server
    made = make(extra=("-c", str(path))).start()
    made.conf = path
    return made


async def story(server):
    nc = await nats.connect(server.url, user="a", password="p", connect_timeout=20)

    async def api(verb, body=None):
        return json.loads((await nc.request(f"$JS.API.{verb}", json.dumps(body).encode() if body else b"", timeout=20)).data)

    async def make(name):
        answer = await api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [name.lower()]})
        return answer.get("error", {}).get("err_code", 0)

    async def set_limits(limits, key, value):
        server.conf.write_text(CONF.format(limits=limits))
        server.process.send_signal(signal.SIGHUP)
        for _ in range(600):
            if (await api("INFO"))["limits"][key] == value:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{key} never became {value}")

    seen = [await make("S1"), await make("S2")]
    await set_limits("max_streams: 2, max_consumers: 1", "max_streams", 2)
    seen.append(await make("S2"))
    for name in ("c1", "c2"):
        answer = await api(f"CONSUMER.CREATE.S1.{name}", {"stream_name": "S1", "config": {"name": name, "ack_policy": "none"}})
        seen.append(answer.get("error", {}).get("err_code", 0))
    # Below what is there: it stays, nothing more comes.
    await set_limits("max_streams: 1, max_store: 10", "max_streams", 1)
    seen.append((await api("STREAM.INFO.S2"))["config"]["name"])
    seen.append(await make("S3"))
    await nc.request("s1", b"x" * 100, timeout=20)  # which the reference takes: it looks at what was there before
    seen.append(json.loads((await nc.request("s1", b"x" * 100, timeout=20)).data)["error"]["err_code"])
    await nc.close()
    return seen


def test_limits_follow_the_file(server):
    assert asyncio.run(story(server)) == [0, 10027, 0, 0, 10026, "S2", 10027, 10002]
