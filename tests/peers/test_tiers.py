"""JetStream limits by tiers (T1): an account's JWT with `tiered_limits`, the same program on Sluice and on nats-server."""

import json
import pathlib

import pytest

import servers
from test_operator import A, OPERATOR, SYSTEM, USER, Raw, conf_of

TIER = {"mem_storage": 100000, "disk_storage": 200000, "streams": 2, "consumer": 2, "mem_max_stream_bytes": 50000,
        "disk_max_stream_bytes": 150000}
STREAMS = [("S1", {}), ("S2", {"max_bytes": 160000}), ("M1", {"storage": "memory", "max_bytes": 60000}),
           ("S2", {"max_bytes": 100000}), ("S3", {})]


def request(client, subject, body=None):
    text = json.dumps(body) if body else ""
    line = client.ask(f"SUB r 1\r\nUNSUB 1 1\r\nPUB {subject} r {len(text)}\r\n{text}\r\n")
    while not line.startswith("MSG r"):
        line = client.line()
    size = int(line.split()[-1])
    return json.loads(client.file.read(size + 2)[:size])


def told(make, farm, name, limits):
    accounts = {SYSTEM.key: OPERATOR.account(SYSTEM.key, name="SYS"), A.key: OPERATOR.account(A.key, name="ACC", limits=limits)}
    conf = farm.folder / f"{name}.conf"
    conf.write_text(conf_of(accounts))
    client = Raw(make(name=name, extra=["-c", str(conf)]).start())
    assert client.log_in(A.user(USER)) == "PONG"

    def info():
        answer = request(client, "$JS.API.INFO")
        return {key: value for key, value in answer.items() if key != "api"}

    steps = [info()]
    for stream, more in STREAMS:
        config = {"name": stream, "subjects": [stream + ".>"], **more}
        steps.append(request(client, "$JS.API.STREAM.CREATE." + stream, config).get("error"))
    return [*steps, info()]


@pytest.mark.parametrize("tiers", [{"R1": TIER}, {"R3": TIER}, {"R1": TIER, "R3": {**TIER, "streams": 5}}, {}],
                         ids=["R1", "R3", "both", "none"])
def test_tiers(tiers, farm):
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    limits = {"tiered_limits": tiers}
    ours = told(farm.sluice_as_nats_server, farm, "sluice", limits)
    theirs = told(farm.nats_server, farm, "nats", limits)
    assert ours == theirs
