"""$SYS events of leaf links, key by key beside nats-server's: as the hub and as the spoke, each told by one that hears all."""

import json

import pytest

import servers
from test_leaf import start
from test_system import Client, compare

ACCOUNTS = ("no_auth_user: a\nsystem_account: SYS\n"
            "accounts { A { users: [{user: a, password: p}] }, SYS { users: [{user: sys, password: p}] } }")


def hub(kind, farm, name, port):
    return start(kind, farm, name,
                 f'leafnodes {{ listen: "127.0.0.1:{port}", authorization {{ user: l, password: l, account: A }} }}\n{ACCOUNTS}')


def spoke(kind, farm, name, port, password="l"):
    return start(kind, farm, name,
                 f'leafnodes {{ remotes: [ {{ url: "nats-leaf://l:{password}@127.0.0.1:{port}", account: A }} ] }}\n{ACCOUNTS}')


def listen(server):
    """Hears of account A and of refused logins; a client of A came before, so that its own events are over."""
    sys = Client(server, "sys")
    sys.send("SUB $SYS.ACCOUNT.A.> 1\r\nSUB $SYS.SERVER.*.CLIENT.AUTH.ERR 2\r\n")
    sys.flush()
    return sys


def next_of(client, what, leafnodes=None):
    """The next event whose subject ends so; CONNS only with that many links."""
    while True:
        message = client.message()
        assert message is not None, what
        event = json.loads(message[2])
        if message[0].endswith(what) and (leafnodes is None or event["leafnodes"] == leafnodes):
            return event


def all_of(client, **wanted):
    """One event of each, in whatever order they come: {name: (what, leafnodes)}."""
    told = {}
    while len(told) < len(wanted):
        message = client.message()
        assert message is not None, set(wanted) - set(told)
        event = json.loads(message[2])
        for name, (what, leafnodes) in wanted.items():
            if name not in told and message[0].endswith(what) and (leafnodes is None or event["leafnodes"] == leafnodes):
                told[name] = event
                break
    return {name: told[name] for name in wanted}


def shown(event):
    """What is the same each time."""
    event = json.loads(json.dumps(event))
    if event.get("reason") == "Read Error":  # a killed process: how its system ends the connection is a race
        event["reason"] = "Client Closed"
    client = event.get("client", {})
    for volatile in ("start", "stop", "id", "rtt"):
        client.pop(volatile, None)
    return {key: event[key] for key in ("type", "client", "reason", "sent", "received", "conns", "leafnodes", "total_conns")
            if key in event}


def as_hub(kind, farm):
    port = servers.free_port()
    server = hub(kind, farm, f"hub-{kind}", port)
    servers.wait_for_port(port, server.process)
    sys = listen(server)
    far = spoke("nats-server", farm, f"far-{kind}", port)
    told = {"open": next_of(sys, "CONNS", 1)}
    far.kill()
    told |= all_of(sys, closed=("CONNS", 0), disconnect=("DISCONNECT", None))
    bad = spoke("nats-server", farm, f"bad-{kind}", port, password="wrong")
    told["refused"] = next_of(sys, "AUTH.ERR")
    bad.kill()
    return told


def as_spoke(kind, farm):
    port = servers.free_port()
    far = hub("nats-server", farm, f"far-hub-{kind}", port)
    servers.wait_for_port(port, far.process)
    server = spoke(kind, farm, f"spoke-{kind}", port)
    sys = listen(server)
    links = 0
    while links != 1:  # events come in between
        sys.send("SUB r 9\r\nUNSUB 9 1\r\nPUB $SYS.REQ.SERVER.PING.LEAFZ r 0\r\n\r\n")
        links = next_of(sys, "r")["data"]["leafnodes"]
    far.kill()
    told = all_of(sys, closed=("CONNS", 0), disconnect=("DISCONNECT", None))
    far.start()
    return told | all_of(sys, open=("CONNS", 1), connect=(".CONNECT", None))


@pytest.mark.parametrize("role", [as_hub, as_spoke])
def test_links_that_come_and_go(role, farm):
    ours, theirs = role("sluice", farm), role("nats-server", farm)
    for name, event in ours.items():
        other = theirs[name]
        for one in (event, other):
            one.get("client", {}).pop("rtt", None)  # measured or not yet
            one["server"].pop("cluster", None)  # a spoke of the reference names itself as its cluster
            if "name" in one.get("client", {}):  # of the far server
                one["client"]["name"] = one["client"]["name"].split("-")[0]
        compare(name, event, other)
        assert shown(event) == shown(other), name
