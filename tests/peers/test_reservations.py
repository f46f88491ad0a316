"""What the accounts of a server may reserve and take together (T2), beside nats-server: the same program on both."""

import json
import pathlib

import pytest

import servers
from test_system import Client

MB = 1 << 20
CONF = """
server_name: N
system_account: SYS
http: "127.0.0.1:{http}"
jetstream {{ max_mem: 1MB, max_file: 10MB }}
accounts {{
  SYS {{ users: [{{user: sys, password: p}}] }}
  A {{ users: [{{user: a, password: p}}], jetstream: enabled }}
  B {{ users: [{{user: b, password: p}}], jetstream: {{max_file: 6MB, max_mem: 512KB}} }}
  C {{ users: [{{user: c, password: p}}], jetstream: enabled }}
}}
"""


class World:
    def __init__(self, make, farm, name):
        self.http = servers.free_port()
        path = farm.folder / f"{name}.conf"
        path.write_text(CONF.format(http=self.http))
        server = make(name=name, extra=("-c", str(path))).start()
        self.clients = {user: Client(server, user) for user in "abc"}

    def call(self, verb, user, stream, **more):
        config = {"name": stream, "subjects": [stream + ".>"], **more}
        answer = self.clients[user].request(f"$JS.API.STREAM.{verb}.{stream}", json.dumps(config))
        return answer.get("error", {}).get("err_code", 0)

    def totals(self):
        page = json.loads(servers.http_get(self.http, "/jsz"))
        return page["reserved_memory"], page["reserved_storage"]

    def limits(self, user):
        info = self.clients[user].request("$JS.API.INFO")
        return info["reserved_memory"], info["reserved_storage"], info["limits"]


@pytest.fixture
def both(farm):
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    return [World(farm.sluice_as_nats_server, farm, "sluice"), World(farm.nats_server, farm, "nats")]


STEPS = [
    ("CREATE", "a", "A1", {"max_bytes": 5 * MB}),
    ("CREATE", "b", "B1", {"max_bytes": 5 * MB}),
    ("CREATE", "c", "C1", {"max_bytes": 5 * MB}),
    ("CREATE", "c", "C2", {}),
    ("CREATE", "b", "B2", {"max_bytes": 2 * MB}),
    ("UPDATE", "a", "A1", {"max_bytes": 6 * MB}),
    ("UPDATE", "a", "A1", {"max_bytes": 4 * MB}),
    ("CREATE", "c", "C3", {}),
    ("UPDATE", "b", "B1", {"max_bytes": 6 * MB}),
    ("CREATE", "b", "B3", {}),
    ("CREATE", "a", "AM", {"max_bytes": 900 * 1024, "storage": "memory"}),
    ("CREATE", "b", "BM", {"max_bytes": 400 * 1024, "storage": "memory"}),
    ("CREATE", "c", "CM", {"storage": "memory"}),
    ("DELETE", "a", "A1", {}),
    ("CREATE", "c", "C4", {"max_bytes": 4 * MB}),
    ("CREATE", "a", "AX", {"max_bytes": 20 * MB}),
]


def test_reservations_of_all_accounts(both):
    for step in STEPS:
        verb, user, stream, more = step
        told = [(w.call(verb, user, stream, **more), w.totals(), w.limits(user)) for w in both]
        assert told[0] == told[1], step


def test_room_of_all_accounts(both):
    """Memory is full over two accounts; each is refused by the server's limit, until the other makes room."""
    for w in both:
        for user in "ac":
            assert w.call("CREATE", user, "M" + user, storage="memory") == 0
            w.clients[user].send("SUB ack 5\r\n")

        def publish(user, size=60_000):
            client = w.clients[user]
            client.send(f"PUB M{user}.x ack {size}\r\n{'x' * size}\r\n")
            return json.loads(client.message()[2]).get("error", {}).get("err_code", 0)

        turns = 0
        while (code := publish("ac"[turns % 2])) == 0:
            turns += 1
            assert turns < 40
        assert code == 10023 and 16 <= turns <= 18  # the reference notices one message later
        assert {publish(user) for user in "ac"} == {10023}
        assert w.clients["a"].request("$JS.API.STREAM.PURGE.Ma")["success"]
        assert publish("c") == 0
