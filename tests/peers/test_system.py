"""$SYS: events and services of the system account, key by key beside nats-server's.

The same program runs against both; what differs on purpose is named in MISSING and EXTRA.
"""

import json
import pathlib
import signal
import socket

import pytest

import servers
from test_operator import KINDS, starter

CONF = """
server_name: N
server_tags: ["t1"]
system_account: SYS
accounts {
  SYS { users: [{user: sys, password: p}] }
  A {
    users: [{user: a, password: p, permissions: {publish: ["x", "$SYS.>", "$JS.>"],
             subscribe: {allow: ["r", "_INBOX.>"], deny: "d"}, allow_responses: true}}, {user: a2, password: p}]
    jetstream: enabled
    mappings: {foo: bar}
    exports: [{service: "q"}, {stream: s, accounts: [B]}]
  }
  B { users: [{user: b, password: p}], imports: [{service: {account: A, subject: q}}] }
}
"""
# Of Go's runtime, of clusters, or that this server does not have; `path.to.key`.
MISSING = {"feature_flags", "gomaxprocs", "limits.default_max_consumers", "sublist_stats", "account_tag"}
EXTRA = {"sluice_version", "compress_ok", "sync_always", "domain"}


class Client:
    """A client of one user that sees exact bytes."""

    def __init__(self, server, user, password="p", **more):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.file = self.socket.makefile("rb")
        self.info = json.loads(self.file.readline()[5:])
        connect = {"verbose": False, "pedantic": False, "user": user, "pass": password, "name": "nm", "lang": "x",
                   "version": "1", "headers": True, "no_responders": True, "protocol": 1, **more}
        self.send(f"CONNECT {json.dumps(connect)}\r\nPING\r\n")
        self.greeting = self.file.readline().decode().strip()

    def send(self, text):
        self.socket.sendall(text.encode())

    def message(self):
        """The next message: subject, headers, body. Other lines are passed over; None at the end."""
        while True:
            line = self.file.readline().decode()
            if not line:
                return None
            words = line.split()
            if words[0] in ("MSG", "HMSG"):
                size = int(words[-1])
                body = self.file.read(size + 2)[:size].decode()
                cut = int(words[-2]) if words[0] == "HMSG" else 0
                return words[1], body[:cut], body[cut:]

    def until(self, subject):
        """The next message on that subject."""
        while True:
            message = self.message()
            assert message is not None, subject
            if message[0] == subject:
                return json.loads(message[2])

    def request(self, subject, body=""):
        """The answer as JSON, or the status line."""
        self.send(f"SUB r 9\r\nUNSUB 9 1\r\nPUB {subject} r {len(body)}\r\n{body}\r\n")
        _, headers, text = self.message()
        return json.loads(text) if not headers else headers.split("\r\n")[0]

    def flush(self):
        self.send("PING\r\n")
        while self.file.readline() != b"PONG\r\n":
            pass

    def close(self):
        self.file.close()
        self.socket.close()


def keys(value, path=""):
    """All paths of a JSON value; of a list those of its first item."""
    if isinstance(value, dict):
        out = set()
        for key, item in value.items():
            where = f"{path}.{key}" if path else key
            out |= {where} | keys(item, where)
        return out
    return keys(value[0], path + "[]") if isinstance(value, list) and value else set()


def listed(path, names):
    tail = path.split(".")
    return any(name in tail or path.endswith(name) or f".{name}." in f".{path}." for name in names)


def differences(name, ours, theirs):
    own, other = keys(ours), keys(theirs)
    missing = {path for path in other - own if not listed(path, MISSING)}
    extra = {path for path in own - other if not listed(path, EXTRA)}
    return [f"{name}: missing {sorted(missing)}, extra {sorted(extra)}"] if missing or extra else []


def compare(name, ours, theirs):
    assert differences(name, ours, theirs) == []


def launch(kind, farm):
    (farm.folder / "system.conf").write_text(CONF)
    return starter(kind, farm)(kind, extra=["-c", str(farm.folder / "system.conf")]).start()


@pytest.fixture
def both(farm):
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    return [launch(kind, farm) for kind in KINDS]


@pytest.fixture(params=KINDS)
def server(request, farm):
    return launch(request.param, farm)


SERVER_PAGES = ["", ".IDZ", ".STATSZ", ".HEALTHZ", ".ACCOUNTZ", ".SUBSZ", ".CONNZ", ".JSZ", ".LEAFZ", ".ROUTEZ", ".GATEWAYZ"]
ACCOUNT_PAGES = ["CONNZ", "INFO", "STATZ", "JSZ", "CONNS", "LEAFZ"]


def test_answers_have_the_same_keys(both):
    told = []
    for server in both:
        sys, a = Client(server, "sys"), Client(server, "a2")
        sys.send("SUB held 1\r\n")
        own = f"$SYS.REQ.SERVER.{sys.info['server_id']}"
        answers = {f"SERVER.PING{page}": sys.request(f"$SYS.REQ.SERVER.PING{page}") for page in SERVER_PAGES}
        answers |= {f"SERVER.<id>{page}": sys.request(own + page) for page in SERVER_PAGES[1:]}
        answers |= {f"ACCOUNT.A.{page}": sys.request(f"$SYS.REQ.ACCOUNT.A.{page}") for page in ACCOUNT_PAGES}
        answers |= {f"ACCOUNT.ZZ.{page}": sys.request(f"$SYS.REQ.ACCOUNT.ZZ.{page}") for page in ("INFO", "JSZ")}
        for page in ("ACCOUNT.PING.CONNZ", "ACCOUNT.PING.STATZ", "SERVER.PING.CONNZ"):
            answers["own " + page] = a.request("$SYS.REQ." + page)
        answers["all STATZ"] = sys.request("$SYS.REQ.ACCOUNT.PING.STATZ", '{"accounts":["A","B"]}')
        answers["one account"] = sys.request("$SYS.REQ.SERVER.PING.ACCOUNTZ", '{"account":"A"}')
        answers["user"] = Client(server, "a").request("$SYS.REQ.USER.INFO")
        told.append(answers)
        a.close()
    found = []
    for name, ours in told[0].items():
        theirs = told[1][name]
        for answer in (ours, theirs):
            for detail in ((answer.get("data") or {}), (answer.get("data") or {}).get("account_detail", {})):
                if isinstance(detail, dict):
                    detail.pop("imports", None)  # the reference's own services stand there as imports
        found += differences(name, ours, theirs)
    assert found == []
    for answers in told:  # the reference gives the lists in no stated order
        for side in ("publish", "subscribe"):
            answers["user"]["data"]["permissions"][side]["allow"].sort()
    assert told[0]["user"]["data"] == told[1]["user"]["data"]


def test_answers_are_the_same(server):
    sys, a = Client(server, "sys"), Client(server, "a2")
    assert sys.request("$SYS.REQ.SERVER.PING.HEALTHZ")["data"] == {"status": "ok", "status_code": 200}
    assert sys.request("$SYS.REQ.SERVER.PING.IDZ", '{"server_name":"N","exact_match":true,"tags":["t1"]}') == {
        "name": "N", "host": "127.0.0.1", "id": sys.info["server_id"]}
    assert set(sys.request("$SYS.REQ.SERVER.PING.ACCOUNTZ")["data"]["accounts"]) == {"$G", "A", "B", "SYS"}
    assert sys.request("$SYS.REQ.SERVER.PING.CONNZ", '{"sort":"foo"}')["error"] == {"code": 500, "description": "invalid sorting option: foo"}
    assert sys.request("$SYS.REQ.SERVER.PING.VARZ", "{bad")["error"]["code"] == 400
    assert sys.request("$SYS.REQ.ACCOUNT.ZZ.INFO")["error"] == {"code": 500, "description": "Account ZZ does not exist"}
    assert sys.request("$SYS.REQ.ACCOUNT.ZZ.JSZ")["error"] == {"code": 500, "description": 'account "ZZ" not found'}
    assert [c["name"] for c in sys.request("$SYS.REQ.ACCOUNT.A.CONNZ")["data"]["connections"]] == ["nm"]
    assert a.request("$SYS.REQ.SERVER.PING.CONNZ")["data"]["total"] == 1
    assert [s["acc"] for s in a.request("$SYS.REQ.ACCOUNT.PING.STATZ")["data"]["account_statz"]] == ["A"]
    assert a.request("$SYS.REQ.SERVER.PING").startswith("NATS/1.0 503")
    assert sys.request("$SYS.REQ.SERVER.PING.NOPE").startswith("NATS/1.0 503")
    assert sys.request("$SYS.REQ.ACCOUNT.A.NOPE").startswith("NATS/1.0 503")
    # Not for this server: no answer, and the next request's comes first.
    other = json.dumps({"server_name": "other"})
    sys.send(f"SUB s 8\r\nPUB $SYS.REQ.SERVER.PING s {len(other)}\r\n{other}\r\n")
    sys.send("SUB r 9\r\nPUB $SYS.REQ.SERVER.PING.IDZ r 0\r\n\r\n")
    assert sys.message()[0] == "r"


def test_clients_that_come_and_go(both):
    told = []
    for server in both:
        sys = Client(server, "sys")
        sys.send("SUB $SYS.ACCOUNT.A.> 1\r\nSUB $SYS.SERVER.*.CLIENT.AUTH.ERR 2\r\n")
        sys.flush()
        a = Client(server, "a2")
        events = {"CONNS": sys.until("$SYS.ACCOUNT.A.SERVER.CONNS"), "CONNECT": sys.until("$SYS.ACCOUNT.A.CONNECT")}
        a.send("PUB some 3\r\nabc\r\n")
        a.flush()
        a.close()
        events["DISCONNECT"] = sys.until("$SYS.ACCOUNT.A.DISCONNECT")
        assert Client(server, "a2", "wrong").greeting == "-ERR 'Authorization Violation'"
        events["AUTH.ERR"] = sys.until(f"$SYS.SERVER.{sys.info['server_id']}.CLIENT.AUTH.ERR")
        told.append(events)
    for name, ours in told[0].items():
        theirs = told[1][name]
        for event in (ours, theirs):
            event.get("client", {}).pop("rtt", None)  # measured or not yet
        compare(name, ours, theirs)
        assert ours["type"] == theirs["type"]
        assert ours.get("reason") == theirs.get("reason")
        for traffic in ("sent", "received"):
            assert ours.get(traffic) == theirs.get(traffic), name
        for member in ("acc", "user", "name", "name_tag", "kind", "client_type"):
            assert ours.get("client", {}).get(member) == theirs.get("client", {}).get(member), name


def test_figures_come_by_themselves(server):
    sys = Client(server, "sys")
    subject = f"$SYS.SERVER.{sys.info['server_id']}.STATSZ"
    sys.send(f"SUB {subject} 1\r\n")
    assert sys.until(subject)["statsz"]["connections"] == 1


def test_clients_are_told_to_go_and_cut(server):
    sys, a = Client(server, "sys"), Client(server, "a2")
    a.flush()
    own = f"$SYS.REQ.SERVER.{sys.info['server_id']}."
    cid = json.dumps({"cid": a.info["client_id"]})
    assert "error" not in sys.request(own + "LDM", cid)
    line = b""
    while b'"ldm":true' not in line:
        line = a.file.readline()
        assert line
    assert sys.request(own + "KICK", "{}")["error"] == {"code": 500, "description": "no such client or leafnode id"}
    assert "error" not in sys.request(own + "KICK", cid)
    assert a.message() is None
    assert "error" not in sys.request(own + "RELOAD")


@pytest.mark.parametrize("number, subject", [(signal.SIGUSR2, "LAMEDUCK"), (signal.SIGTERM, "SHUTDOWN")])
def test_good_byes(both, number, subject):
    told = []
    for server in both:
        sys = Client(server, "sys")
        sys.send("SUB $SYS.SERVER.> 1\r\n")
        sys.flush()
        server.process.send_signal(number)
        told.append(sys.until(f"$SYS.SERVER.{sys.info['server_id']}.{subject}"))
    compare(subject, *told)


def test_a_given_up_batch_is_told_in_its_account_and_in_the_system_account(server):
    sys, a = Client(server, "sys"), Client(server, "a2")
    subject = "$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S"
    made = a.request("$JS.API.STREAM.CREATE.S", json.dumps({"name": "S", "subjects": ["s.>"], "allow_atomic": True}))
    assert "error" not in made, made
    for client in (sys, a):
        client.send(f"SUB {subject} 5\r\n")
        client.flush()
    for seq in (1, 3):
        headers = f"NATS/1.0\r\nNats-Batch-Id: u\r\nNats-Batch-Sequence: {seq}\r\n\r\n"
        a.send(f"HPUB s.a {len(headers)} {len(headers) + 1}\r\n{headers}x\r\n")
    told, own = sys.until(subject), a.until(subject)
    assert set(told) == {"type", "id", "timestamp", "account", "stream", "batch", "reason"}
    assert told.pop("account") == "A"
    assert own == told
