"""Message tracing (ADR-41), key by key beside nats-server's: one program of messages, played to both servers.

Of each message: the trace events that come, what the subscribers get, and what the publisher is told. Left out of the
comparison are times, ids, Go's `feature_flags`, and the order of events whose order nobody states.
"""

import base64
import gzip
import json
import pathlib

import pytest

import servers
from test_leaf import PAIRS, start
from test_system import Client

CONF = """
server_name: N
system_account: SYS
max_payload: 2000
accounts {
  SYS { users: [{user: sys, password: p}] }
  A {
    users: [{user: a, password: p},
            {user: limited, password: p, permissions: {publish: {allow: ["x", "y.>", "t.ok", "map.one"], deny: ["y.no"]},
             subscribe: {deny: "d.secret"}}}]
    jetstream: enabled
    mappings: {map.one: mapped.one, map.same: [{destination: map.same, weight: 100%}], "maps.*": "m.{{partition(3,1)}}"}
    exports: [{service: "svc.open.*", allow_trace: true}, {service: svc.shut}, {stream: "st.open.>"}, {stream: st.shut},
              {stream: "st.map.*"}, {service: js.in, allow_trace: true}]
  }
  B {
    users: [{user: b, password: p}]
    imports: [{service: {account: A, subject: svc.open.1}, to: b.svc}, {service: {account: A, subject: svc.shut}},
       {service: {account: A, subject: js.in}, to: b.js},
       {stream: {account: A, subject: "st.open.>"}, to: "got.>", allow_trace: true}, {stream: {account: A, subject: st.shut}},
       {stream: {account: A, subject: "st.map.*"}, prefix: pp, allow_trace: true}]
  }
  C { users: [{user: c, password: p}], msg_trace: {dest: c.trace, sampling: 100%} }
  D { users: [{user: d, password: p}], trace_dest: d.trace }
}
"""
DEST = ("Nats-Trace-Dest", "t")
ONLY = ("Nats-Trace-Only", "true")
TRACE_ID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
VOLATILE = {"ts", "host", "id", "time", "seq", "feature_flags", "flags", "rtt"}


def block(headers):
    return "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"


def hpub(subject, headers, body="", reply=""):
    head = block(headers)
    return f"HPUB {subject} {reply} {len(head)} {len(head) + len(body)}\r\n{head}{body}\r\n"


class World:
    """Clients of one server, and what was told of each message."""

    def __init__(self, server):
        self.server = server
        self.names = {}
        self.watchers = {user: self.client(user, "watch-" + user, ["t", "t.>", "c.trace", "d.trace", "fence"])
                         for user in "abcd"}
        self.pub = self.client("a", "pub")
        self.sub = self.client("a", "sub", ["x", "w qq", "d.*", "wild.>"])
        self.pubs = {"a": self.pub, "b": self.client("b", "bp", ["inb", "got.>", "st.shut", "pp.>"]),
                     "c": self.client("c", "cp", ["z"]), "d": self.client("d", "dp", ["z"])}

    def client(self, user, name, subjects=(), **more):
        client = Client(self.server, user, **{"name": name, **more})
        assert client.greeting == "PONG"
        for number, subject in enumerate(subjects):
            client.send(f"SUB {subject} {number + 1}\r\n")
        client.flush()
        self.names[client.info["client_id"]] = name
        return client

    def read(self, client):
        """What has come to a client: messages with their headers, and errors."""
        client.send("PING\r\n")
        got = []
        while (line := client.file.readline().decode()) != "PONG\r\n":
            assert line
            words = line.split()
            if words[0] in ("MSG", "HMSG"):
                size = int(words[-1])
                got.append((words[1], client.file.read(size + 2)[:size]))
            elif words[0] == "-ERR":
                got.append(line.strip())
        return got

    def plain(self, value):
        if isinstance(value, dict):
            return {k: self.names.get(v, v) if k == "cid" else self.plain(v)
                    for k, v in value.items() if k not in VOLATILE}
        return [self.plain(item) for item in value] if isinstance(value, list) else value

    def events(self, account):
        """The events of an account until those of a message of our own, which comes last."""
        watcher = self.watchers[account]
        watcher.send(hpub("nobody", [("Nats-Trace-Dest", "fence")]))
        told = []
        while True:
            line = watcher.file.readline().split()
            if not line or line[0] not in (b"MSG", b"HMSG"):
                assert line
                continue
            body = watcher.file.read(int(line[-1]) + 2)[:-2]
            cut = int(line[-2]) if line[0] == b"HMSG" else 0
            if line[1] == b"fence":
                return told
            headers, text = body[:cut].decode(), body[cut:]
            if "gzip" in headers:
                text = gzip.decompress(text)
            elif "snappy" in headers:
                assert text.startswith(b"\xff\x06\x00\x00sNaPpY")
                text = b'{"events": []}'  # unpacked by the unit test
            event = self.plain(json.loads(text))
            event["events"].sort(key=lambda e: (e["type"] != "in", json.dumps(e, sort_keys=True)))
            told.append((line[1].decode(), headers, event))

    def trace(self, subject, headers, body="x", account="a", client=None, reply=""):
        client = client or self.pubs[account]
        client.send(hpub(subject, headers, body, reply))
        return {"publisher": self.read(client), "events": self.events(account)}


@pytest.fixture
def both(farm):
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    (farm.folder / "trace.conf").write_text(CONF)
    extra = ("-c", str(farm.folder / "trace.conf"))
    return [World(make(extra=extra).start()) for make in (farm.sluice_as_nats_server, farm.nats_server)]


def compare(both, program):
    """Plays it to both; what each step gives must be the same."""
    ours, theirs = (list(program(world)) for world in both)
    assert [step for step, _ in ours] == [step for step, _ in theirs]
    for (step, own), (_, other) in zip(ours, theirs):
        assert own == other, step
    return dict(ours)


def masked(messages):
    """Replies and destinations of requests between accounts are different each time."""
    return [(subject, *[line if b"_R_." not in line and b"Request-Info" not in line else line.split(b":")[0]
                        for line in body.split(b"\r\n")]) for subject, body in messages]


def test_one_account(both):
    def program(w):
        yield "plain", w.trace("x", [DEST, ("k", "v"), ("k", "w"), ("K2", "  sp  "), ("empty", "")])
        for value in ("1", "ON", "true", "yes", "0", ""):
            yield f"only {value}", w.trace("x", [DEST, ("Nats-Trace-Only", value)])
        yield "what arrived", w.read(w.sub)
        w.pub.send("SUB rep 5\r\n")
        yield "nobody", w.trace("nobody.here", [DEST], reply="rep")
        yield "nobody, only", w.trace("nobody.here", [DEST, ONLY], reply="rep")
        yield "somebody, only", w.trace("x", [DEST, ONLY], reply="rep")
        yield "queue", w.trace("w", [DEST])
        yield "wildcard", w.trace("wild.a.b", [DEST])
        silent = w.client("a", "noecho", ["ne"], echo=False)
        yield "no echo", w.trace("ne", [DEST], client=silent)
        yield "reserved subject", w.trace("$NRG.x", [DEST])
        yield "reserved reply", w.trace("x", [DEST], reply="$JS.ACK.x")
        for subject in ("map.one", "map.same", "maps.many"):
            yield subject, w.trace(subject, [DEST])
        yield "lower case", w.trace("x", [("nats-trace-dest", "t")])
        yield "disabled", w.trace("x", [("Nats-Trace-Dest", "trace disabled"), ONLY])
        yield "no subject", w.trace("x", [("Nats-Trace-Dest", "t.*")])
        yield "no subject, only", w.trace("x", [("Nats-Trace-Dest", "t.*"), ONLY])
        yield "only alone", w.trace("x", [ONLY])
        yield "a client's hop", w.trace("x", [DEST, ("Nats-Trace-Hop", "7")])
        yield "another account", w.trace("x", [DEST, ("Nats-Trace-Origin-Account", "C")])
        yield "two destinations", w.trace("x", [("Nats-Trace-Dest", ""), DEST, ("Nats-Trace-Dest", "t.two")])
        for encoding in ("gzip", "snappy", "foo"):
            yield encoding, w.trace("x", [DEST, ("Accept-Encoding", encoding)])
        yield "what arrived at last", w.read(w.sub)
        once = w.client("a", "once")
        once.send("SUB au 1\r\nUNSUB 1 1\r\n")
        once.flush()
        for headers in ([DEST, ONLY], [DEST], [DEST]):
            yield f"auto-unsubscribe {len(headers)}", w.trace("au", headers)
        pedantic = w.client("a", "pedantic", pedantic=True)
        yield "pedantic", w.trace("x.>", [DEST], client=pedantic)

    told = compare(both, program)
    assert [e["type"] for e in told["queue"]["events"][0][2]["events"]] == ["in", "eg"]
    assert told["no echo"]["events"][0][2]["events"][1]["error"] == "Not delivered because of no echo"


def test_permissions(both):
    def program(w):
        limited = w.client("limited", "limited", ["d.*"])
        yield "destination denied", w.trace("x", [DEST], client=limited)
        yield "destination allowed", w.trace("x", [("Nats-Trace-Dest", "t.ok")], client=limited)
        yield "publish denied", w.trace("y.no", [("Nats-Trace-Dest", "t.ok")], client=limited)
        yield "mapped and denied", w.trace("map.one", [("Nats-Trace-Dest", "t.ok")], client=limited)
        yield "subscription denied", w.trace("d.secret", [DEST])
        yield "what arrived", (w.read(w.sub), w.read(limited))

    told = compare(both, program)
    assert told["publish denied"]["events"][0][2]["events"][0]["error"] == 'Permissions Violation for Publish to "y.no"'


def test_too_large(both):
    def program(w):
        for name, headers in (("with headers", block([DEST])), ("untraced", block([("a", "b")]))):
            client = w.client("a", "large")
            client.send(f"HPUB x {len(headers)} 5000\r\n{headers}")
            yield name, (client.file.readline(), w.events("a"))

    told = compare(both, program)
    assert told["with headers"][1][0][2]["events"][0]["error"] == "maximum payload exceeded"


def test_between_accounts(both):
    def program(w):
        service = w.client("a", "service", ["svc.open.1", "svc.shut", "st.open.>"])
        for extra in ([], [ONLY]):
            for subject in ("b.svc", "svc.shut"):
                yield f"{subject} {len(extra)}", (w.trace(subject, [DEST, *extra], account="b", reply="inb"),
                                                  masked(w.read(service)), w.events("a"))
            for subject in ("st.open.1.2", "st.shut", "st.map.7"):
                yield f"{subject} {len(extra)}", (w.trace(subject, [DEST, *extra]), w.read(service),
                                                  sorted(w.read(w.pubs["b"])), w.events("b"))

    compare(both, program)


def test_traceparent(both):
    def program(w):
        for flags in ("01", "00", "03", "ff", "7f", "81", "1", "0x", "0F"):
            yield flags, w.trace("z", [("traceparent", TRACE_ID + flags)], account="c")
        parent = ("TraceParent", TRACE_ID + "01")
        yield "its case", w.trace("z", [parent], account="c")
        yield "and a destination", w.trace("z", [parent, DEST], account="c")
        yield "and only", w.trace("z", [parent, ONLY], account="c")
        yield "and disabled", w.trace("z", [parent, ("Nats-Trace-Dest", "trace disabled")], account="c")
        yield "and no subject", w.trace("z", [parent, ("Nats-Trace-Dest", "t.*")], account="c")
        yield "second of two", w.trace("z", [("traceparent", "00-x-y-00"), parent], account="c")
        yield "no msg_trace", w.trace("x", [parent])
        yield "trace_dest", w.trace("z", [parent], account="d")

    told = compare(both, program)
    assert [bool(told[flags]["events"]) for flags in ("01", "00", "7f", "81")] == [True, False, True, False]


def create_streams(w):
    for config in ({"name": "S", "subjects": ["js.>"], "allow_atomic": True, "max_msg_size": 500, "allow_rollup_hdrs": True},
                   {"name": "I", "subjects": ["i.>"], "retention": "interest"},
                   {"name": "T", "subjects": ["tr.>"], "subject_transform": {"src": "tr.>", "dest": "tt.>"},
                    "republish": {"src": "tt.>", "dest": "rp.>"}},
                   {"name": "L", "subjects": ["l.>"], "max_msgs": 1, "discard": "new"}, {"name": "R", "subjects": ["seal"]}):
        assert "error" not in w.pub.request("$JS.API.STREAM.CREATE." + config["name"], json.dumps(config))
    sealed = {"name": "R", "subjects": ["seal"], "sealed": True}
    assert "error" not in w.pub.request("$JS.API.STREAM.UPDATE.R", json.dumps(sealed))


def test_streams(both):
    def program(w):
        create_streams(w)
        w.pub.send("SUB ack.* 7\r\n")

        def ask(subject, headers, body="x"):
            """A second message to the stream is done when the first is told of: the reference does that a moment later."""
            w.pub.send(hpub(subject, [DEST, *headers], body, "ack.1") + f"PUB {subject} ack.2 1\r\nx\r\n")
            answers = [w.pub.message()]
            while answers[-1][0] != "ack.2":
                answers.append(w.pub.message())
            return answers, w.events("a")

        def only(subject, headers=()):
            return ask(subject, [ONLY, *headers])

        yield "stored", ask("js.1", [])
        stored = w.pub.request("$JS.API.STREAM.MSG.GET.S", '{"seq":1}')["message"]
        yield "its headers", base64.b64decode(stored["hdrs"])
        yield "only", only("js.1")
        yield "with an id", ask("js.1", [("Nats-Msg-Id", "a")])
        yield "duplicate", ask("js.1", [("Nats-Msg-Id", "a")])
        yield "duplicate, only", only("js.1", [("Nats-Msg-Id", "a")])
        yield "new id, only", only("js.1", [("Nats-Msg-Id", "b")])
        yield "new id", ask("js.1", [("Nats-Msg-Id", "b")])
        for name, value in (("Expected-Stream", "Z"), ("Expected-Last-Sequence", "99"), ("Expected-Last-Msg-Id", "99"),
                            ("Expected-Last-Subject-Sequence", "99"), ("Rollup", "foo"), ("TTL", "5s"), ("Incr", "1"),
                            ("Schedule", "@at 1")):
            yield name, ask("js.1", [("Nats-" + name, value)])
            yield name + ", only", only("js.1", [("Nats-" + name, value)])
        yield "too large", ask("js.1", [], "x" * 600)
        yield "no interest", ask("i.1", [])
        yield "no interest, only", only("i.1")
        yield "transformed", ask("tr.1", [])
        yield "transformed, only", only("tr.1")
        yield "first", ask("l.1", [])
        yield "no room", ask("l.1", [])
        yield "sealed", ask("seal", [])
        yield "batch gap", ask("js.1", [("Nats-Batch-Id", "g"), ("Nats-Batch-Sequence", "3")])
        for number in (1, 2):
            w.pub.send(hpub("js.1", [("Nats-Batch-Id", "q"), ("Nats-Batch-Sequence", str(number))], "x"))
        yield "batch", ask("js.1", [("Nats-Batch-Id", "q"), ("Nats-Batch-Sequence", "3"), ("Nats-Batch-Commit", "1")])
        yield "what is there", {k: v for k, v in w.pub.request("$JS.API.STREAM.INFO.S")["state"].items() if "ts" not in k}
        yield "over an import", (w.trace("b.js", [DEST], account="b", reply="inb"), w.events("b"))

    told = compare(both, program)
    assert told["only"][1][0][2]["events"][1] == {"type": "js", "stream": "S", "subject": "js.1"}


def test_services_of_the_server(both):
    def program(w):
        w.pub.send("SUB ack 7\r\n")
        for subject in ("$JS.API.INFO", "$JS.API.STREAM.INFO.NOPE", "$JS.API.CONSUMER.MSG.NEXT.S.NOPE", "$SYS.REQ.USER.INFO",
                        "$SYS.REQ.ACCOUNT.PING.STATZ"):
            w.pub.send(hpub(subject, [DEST], "", "ack"))
            w.pub.message()
            yield subject, w.events("a")
            yield subject + ", only", w.trace(subject, [DEST, ONLY], "")

    told = compare(both, program)
    assert told["$JS.API.INFO"][0][2]["events"][1]["acc"] == "SYS"


def test_sampling(farm):
    """A message that is not traced here is traced by nobody behind."""
    (farm.folder / "system.conf").write_text(CONF.replace("sampling: 100%", "sampling: 1"))
    server = farm.sluice_as_nats_server(extra=("-c", str(farm.folder / "system.conf"))).start()
    w = World(server)
    for _ in range(400):
        w.pubs["c"].send(hpub("z", [("traceparent", TRACE_ID + "01")], "x"))
    got = w.read(w.pubs["c"])
    assert len(got) == 400
    traced = len(w.events("c"))
    assert sum(b"trace disabled" not in body for _, body in got) == traced < 40


# -- leaf links


class Ends:
    """Hub and spoke with a client on each side, linked."""

    def __init__(self, pair, farm):
        port = servers.free_port()
        accounts = ("no_auth_user: a\nsystem_account: SYS\n"
                    "accounts { A { users: [{user: a, password: p}], msg_trace: {dest: tp} },"
                    " SYS { users: [{user: sys, password: p}] } }")
        self.hub = start(pair[0], farm, "hub",
                         f'leafnodes {{ listen: "127.0.0.1:{port}", authorization {{ account: A, user: l, password: l }} }}\n{accounts}')
        servers.wait_for_port(port, self.hub.process)
        self.spoke = start(pair[1], farm, "spoke",
                           f'leafnodes {{ remotes: [ {{ url: "nats-leaf://l:l@127.0.0.1:{port}", account: A }} ] }}\n{accounts}')
        self.ends = {name: Client(server, "a", name=name) for name, server in (("hub", self.hub), ("spoke", self.spoke))}
        for name, client in self.ends.items():
            client.send(f"SUB {name}.> 1\r\nSUB both 3\r\nSUB t 2\r\nSUB tp 4\r\n")
            client.flush()
        for near, far in (("hub", "spoke"), ("spoke", "hub")):
            self.until_linked(near, far)

    def until_linked(self, near, far):
        """Tries until a message goes over; what is still told of the tries is about other subjects."""
        client = self.ends[near]
        while True:
            client.send(hpub(f"{far}.probe", [DEST, ONLY]))
            event = json.loads(client.message()[2])
            if event["server"]["name"] == far or event.get("hops"):
                return

    def told(self, client, about, count):
        """Trace events of a message by server; other messages are passed over."""
        out = {}
        while len(out) < count:
            subject, _, text = client.message()
            if subject in ("t", "tp"):
                event = json.loads(text)
                if event["events"][0]["subj"] == about:
                    out[event["server"]["name"]] = event
        return out


@pytest.fixture(params=[*PAIRS, ("nats-server", "nats-server")], ids=lambda pair: f"hub-{pair[0]}-spoke-{pair[1]}")
def ends(request, farm):
    return Ends(request.param, farm)


@pytest.mark.parametrize("near, far", [("hub", "spoke"), ("spoke", "hub")])
@pytest.mark.parametrize("headers", [[DEST], [DEST, ONLY], [("traceparent", TRACE_ID + "01")]],
                         ids=["dest", "only", "traceparent"])
def test_over_a_leaf_link(ends, near, far, headers):
    """What each server tells is the same whoever they are: nats-server to nats-server is one of the pairs."""
    client = ends.ends[near]
    client.send(hpub(f"{far}.x", headers, "hello"))
    told = ends.told(client, f"{far}.x", 2)
    first, second = told[near], told[far]
    assert first["hops"] == 1 and "hops" not in second
    assert [e["type"] for e in first["events"]] == [e["type"] for e in second["events"]] == ["in", "eg"]
    out = {k: v for k, v in first["events"][1].items() if k not in ("ts", "cid")}
    assert out == {"type": "eg", "kind": 4, "name": far, "hop": "1"}
    came = {k: v for k, v in second["events"][0].items() if k not in ("ts", "cid")}
    assert came == {"type": "in", "kind": 4, "name": near, "acc": "A", "subj": f"{far}.x"}
    got = {k: v for k, v in second["events"][1].items() if k not in ("ts", "cid")}
    assert got == {"type": "eg", "kind": 0, "name": far, "sub": f"{far}.>"}
    assert second["request"]["header"]["Nats-Trace-Hop"] == ["1"]
    assert second["request"]["header"].items() >= {name: [value] for name, value in headers}.items()
    # The message itself, unless it is only traced: then what follows comes first.
    client.send(f"PUB {far}.after 1\r\ny\r\n")
    receiver = ends.ends[far]
    got = []
    while not got or got[-1][0] != f"{far}.after":
        message = receiver.message()
        if message[0].startswith(far) and message[0] != f"{far}.probe":
            got.append(message)
    assert [message[0] for message in got] == ([f"{far}.after"] if ONLY in headers else [f"{far}.x", f"{far}.after"])


def test_both_sides_want_it(ends):
    client = ends.ends["spoke"]
    client.send(hpub("both", [DEST], "hello"))
    told = ends.told(client, "both", 2)
    assert sorted((e["kind"], e["name"]) for e in told["spoke"]["events"][1:]) == [(0, "spoke"), (4, "hub")]
    assert [(e["kind"], e["name"]) for e in told["hub"]["events"]] == [(4, "spoke"), (0, "hub")]
