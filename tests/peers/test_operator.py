"""Operator mode: the same JWTs and the same programs on Sluice and on nats-server."""

import asyncio
import json
import pathlib
import socket
import time

import nats
import nats.js.errors
import pytest

import jwts
import servers
from jwts import JETSTREAM, Signer

OPERATOR, SYSTEM = Signer("operator", "o"), Signer("account", "sys")
A, B, SIGNING, SCOPED = (Signer("account", word) for word in ("a", "b", "signing", "scoped"))
USER, ADMIN = Signer("user", "u"), Signer("user", "admin")

EXPORTS = [{"name": "q", "subject": "q.*", "type": "service", "response_type": "Singleton"},
           {"name": "news", "subject": "news.>", "type": "stream"},
           {"name": "secret", "subject": "secret", "type": "service", "token_req": True}]


def preload(**account_a):
    template = {"pub": {"allow": ["u.{{name()}}.>", "_INBOX.>"]}, "sub": {"allow": ["d.{{tag(dept)}}", "_INBOX.>"]},
                **jwts.USER_LIMITS}
    activation = A.issue(B.key, {"type": "activation", "subject": "secret", "kind": "service"})
    return {
        SYSTEM.key: OPERATOR.account(SYSTEM.key, name="SYS"),
        A.key: OPERATOR.account(A.key, name="ACC", limits=JETSTREAM | {"streams": 1}, exports=EXPORTS, **{
            "signing_keys": [SIGNING.key, {"kind": "user_scope", "key": SCOPED.key, "role": "r", "template": template}],
            **account_a}),
        B.key: OPERATOR.account(B.key, name="OTHER", imports=[
            {"account": A.key, "subject": "q.*", "local_subject": "ask.*", "type": "service"},
            {"account": A.key, "subject": "news.>", "local_subject": "fromA.>", "type": "stream"},
            {"account": A.key, "subject": "secret", "type": "service", "token": activation}]),
    }


def conf_of(accounts, more=""):
    lines = "\n".join(f"  {key}: {token}" for key, token in accounts.items())
    return (f"operator: {OPERATOR.operator(system_account=SYSTEM.key)}\nresolver: MEMORY\n"
            f"resolver_preload {{\n{lines}\n}}\nmax_control_line: 65536\n{more}")


KINDS = ["sluice", "nats-server"]


def starter(kind, farm):
    if kind == "nats-server" and not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    return farm.nats_server if kind == "nats-server" else farm.sluice_as_nats_server


@pytest.fixture(params=KINDS)
def launch(request, farm):
    def start(accounts, more=""):
        conf = farm.folder / "operator.conf"
        conf.write_text(conf_of(accounts, more))
        return starter(request.param, farm)(extra=["-c", str(conf)]).start()

    return start


@pytest.fixture
def server(launch):
    return launch(preload())


def run(program):
    asyncio.run(asyncio.wait_for(program, 60))


async def log_in(server, jwt, user=USER, **more):
    async def on_error(_):
        pass

    def sign(nonce):
        return jwts.base64.b64encode(user.pair.sign(nonce.encode()))

    return await nats.connect(server.url, user_jwt_cb=lambda: jwt.encode(), signature_cb=sign, allow_reconnect=False,
                              **{"error_cb": on_error, **more})


async def refused(server, jwt, user=USER):
    with pytest.raises(nats.errors.Error) as told:
        await log_in(server, jwt, user)
    return str(told.value)


class Raw:
    """A client that shows the server's exact words."""

    def __init__(self, server, **connect):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.file = self.socket.makefile("rb")
        self.info = json.loads(self.file.readline()[5:])
        self.connect = connect

    def log_in(self, jwt, user=USER, sign=True):
        connect = {"verbose": False, "pedantic": False, "jwt": jwt, **self.connect}
        if sign:
            connect["sig"] = jwts.b64(user.pair.sign(self.info["nonce"].encode()))
        return self.ask(f"CONNECT {json.dumps(connect)}\r\nPING\r\n")

    def ask(self, text):
        self.socket.sendall(text.encode())
        return self.line()

    def line(self):
        """The next line that is no PING; "" at the end."""
        line = b"PING"
        while line.startswith(b"PING"):
            line = self.file.readline()
        return line.decode().strip()


VIOLATION = "-ERR 'Authorization Violation'"


def test_credentials_file(server, farm):
    async def program():
        path = jwts.creds(farm.folder / "u.creds", A.user(USER), USER)
        client = await nats.connect(server.url, user_credentials=path, allow_reconnect=False)
        told = json.loads((await client.request("$SYS.REQ.USER.INFO", b"", timeout=10)).data)["data"]
        assert (told["user"], told["account"]) == (USER.key, A.key)
        await client.close()

    run(program())


@pytest.mark.parametrize("name, token, sign", [
    ("unsigned nonce", A.user(USER), False),
    ("an account that is not known", Signer("account", "stranger").user(USER), True),
    ("an issuer that is no key of the account", Signer("account", "stranger").user(USER, issuer_account=A.key), True),
    ("expired", A.user(USER, exp=2000), True),
    ("not yet", A.user(USER, nbf=2**33), True),
    ("claims under a scoped key", SCOPED.user(USER, issuer_account=A.key, pub={"allow": [">"]}), True),
    ("another connection type", A.user(USER, allowed_connection_types=["WEBSOCKET"]), True),
    ("another network", A.user(USER, src=["192.0.2.0/24"]), True),
    ("a network that is none", A.user(USER, src=["127.0.0.1"]), True),
    ("no time of the day", A.user(USER, times=[{"start": "00:00:00", "end": "00:00:00"}]), True),
    ("a claim of another kind", A.user(USER, subs="many"), True),
    ("a subject that is none", A.user(USER, pub={"allow": ["a..b"]}), True),
    ("nonsense", "eyJ.eyJ.x", True)])
def test_refusals(server, name, token, sign):
    client = Raw(server)
    assert client.log_in(token, sign=sign) == VIOLATION, name
    assert client.line() == ""


@pytest.mark.parametrize("name, token, sign", [
    ("the account's key", A.user(USER), True),
    ("a signing key", SIGNING.user(USER, issuer_account=A.key), True),
    ("a bearer", A.user(USER, bearer_token=True), False),
    ("its network", A.user(USER, src=["10.0.0.0/8", "127.0.0.0/8"]), True),
    ("its hours", A.user(USER, times=[{"start": "00:00:00", "end": "23:59:59"}], times_location="Europe/Berlin"), True),
    ("its kind of connection", A.user(USER, allowed_connection_types=["STANDARD"]), True)])
def test_welcome(server, name, token, sign):
    assert Raw(server).log_in(token, sign=sign) == "PONG", name


def test_limits_and_permissions_of_a_user(server):
    client = Raw(server)
    assert client.log_in(A.user(USER, subs=1, payload=4, pub={"allow": ["a"]}, sub={"deny": ["d"]})) == "PONG"
    assert client.ask("SUB d 1\r\n") == "-ERR 'Permissions Violation for Subscription to \"d\"'"
    assert client.ask("SUB a 1\r\nSUB b 2\r\n") == "-ERR 'maximum subscriptions exceeded'"
    assert client.ask("PUB b 0\r\n\r\n") == "-ERR 'Permissions Violation for Publish to \"b\"'"
    assert client.ask("PUB a 5\r\n12345\r\n") == "-ERR 'Maximum Payload Violation'"
    client = Raw(server)
    assert client.log_in(A.issue(USER.key, {"type": "user", "subs": -1})) == "PONG"  # no payload told: none
    assert client.ask("PUB a 1\r\n1\r\n") == "-ERR 'Maximum Payload Violation'"


def test_the_template_of_a_scoped_key(server):
    client = Raw(server)
    assert client.log_in(SCOPED.scoped_user(USER, A, name="bob", tags=["dept:x", "dept:y"])) == "PONG"
    assert client.ask("PUB u.bob.1 0\r\n\r\nPUB u.eve.1 0\r\n\r\n") == "-ERR 'Permissions Violation for Publish to \"u.eve.1\"'"
    assert client.ask("SUB d.x 1\r\nSUB d.y 2\r\nSUB d.z 3\r\n") == "-ERR 'Permissions Violation for Subscription to \"d.z\"'"


def test_default_permissions_of_an_account(launch):
    server = launch(preload(default_permissions={"pub": {"deny": ["no"]}}))
    client = Raw(server)
    assert client.log_in(A.user(USER)) == "PONG"
    assert client.ask("PUB no 0\r\n\r\n") == "-ERR 'Permissions Violation for Publish to \"no\"'"
    client = Raw(server)
    assert client.log_in(A.user(USER, pub={"allow": ["no", "yes"]})) == "PONG"
    assert client.ask("PUB no 0\r\n\r\nPING\r\n") == "PONG"


def test_a_user_that_expires_is_cut(server):
    client = Raw(server)
    assert client.log_in(A.user(USER, exp=int(time.time()) + 2)) == "PONG"
    assert client.line() == "-ERR 'User Authentication Expired'"
    assert client.line() == ""


def test_an_account_that_expires_takes_its_clients_with_it(launch):
    server = launch(preload() | {A.key: OPERATOR.account(A.key, exp=int(time.time()) + 4)})
    client = Raw(server)
    assert client.log_in(A.user(USER)) == "PONG"
    assert client.line() == "-ERR 'Account Authentication Expired'"
    assert client.line() == ""
    assert Raw(server).log_in(A.user(USER)) == VIOLATION


def test_revoked_users(launch):
    server = launch(preload(revocations={USER.key: 2000, "*": 500}))
    assert Raw(server).log_in(A.user(USER, iat=2000)) == VIOLATION
    assert Raw(server).log_in(A.user(USER, iat=2001)) == "PONG"
    assert Raw(server).log_in(A.user(ADMIN, iat=500), ADMIN) == VIOLATION
    assert Raw(server).log_in(A.user(ADMIN, iat=501), ADMIN) == "PONG"


def test_limits_of_an_account(launch):
    server = launch(preload() | {A.key: OPERATOR.account(A.key, limits={"conn": 1, "subs": 1, "payload": 4, "disallow_bearer": True})})
    assert Raw(server).log_in(A.user(USER, bearer_token=True), sign=False) == VIOLATION
    client = Raw(server)
    assert client.log_in(A.user(USER)) == "PONG"
    assert Raw(server).log_in(A.user(USER)) == "-ERR 'maximum account active connections exceeded'"
    assert client.ask("SUB a 1\r\nSUB b 2\r\n") == "-ERR 'maximum subscriptions exceeded'"
    assert client.ask("PUB a 5\r\n12345\r\n") == "-ERR 'Maximum Payload Violation'"


def test_accounts_apart_and_what_crosses(server):
    async def program():
        a, b = await log_in(server, A.user(USER)), await log_in(server, B.user(USER))

        async def answer(message):
            await message.respond(message.subject.encode())

        for subject in ("q.*", "secret"):
            await a.subscribe(subject, cb=answer)
        news = await b.subscribe("fromA.*")
        apart = await b.subscribe("x")
        await asyncio.gather(a.flush(), b.flush())
        await a.publish("x", b"for A alone")
        await a.publish("news.today", b"n")
        assert (await news.next_msg(10)).subject == "fromA.today"
        assert (await b.request("ask.1", b"", timeout=10)).data == b"q.1"
        assert (await b.request("secret", b"", timeout=10)).data == b"secret"
        await b.publish("x", b"for B")
        assert (await apart.next_msg(10)).data == b"for B"
        await asyncio.gather(a.close(), b.close())

    run(program())


def test_jetstream_by_the_claims(server):
    async def program():
        a, b = await log_in(server, A.user(USER)), await log_in(server, B.user(USER))
        js = a.jetstream()
        await js.add_stream(name="S", subjects=["s"])
        assert (await js.publish("s", b"1")).seq == 1
        with pytest.raises(nats.js.errors.APIError) as told:
            await js.add_stream(name="T", subjects=["t"])
        assert told.value.err_code == 10027
        with pytest.raises(nats.js.errors.APIError) as told:
            await b.jetstream().add_stream(name="S", subjects=["s"])
        assert told.value.err_code == 10039
        await asyncio.gather(a.close(), b.close())

    run(program())


@pytest.mark.parametrize("change, words", [
    (lambda accounts: accounts | {A.key: A.account(A.key)}, "issue"),
    (lambda accounts: accounts | {A.key: accounts[B.key]}, ""),
    (lambda accounts: accounts | {"nonsense": accounts[B.key]}, "valid account public key"),
    (lambda accounts: accounts | {A.key: accounts[A.key][:-1]}, "")])
def test_a_preload_that_cannot_be_right(farm, change, words):
    """Refused at the start; the reference starts, and refuses the account's users."""
    conf = farm.folder / "operator.conf"
    conf.write_text(conf_of(change(preload())))
    server = farm.sluice_as_nats_server(extra=["-c", str(conf)])
    with pytest.raises(RuntimeError):
        server.start()
    assert words in server.log_tail()


def test_yaml(farm):
    accounts = preload()
    tokens = "\n".join(f"      - {token}" for token in accounts.values())
    port = servers.free_port()
    server = farm.sluice(f"""
server:
  listen: 127.0.0.1:{{port}}
  max_control_line: 64KiB
  operator:
    operators: [{OPERATOR.operator(system_account=SYSTEM.key)}]
    preload:
{tokens}
store: {{dir: "{{dir}}"}}
monitor: {{enabled: false}}
""", port)
    server.start()
    assert Raw(server).log_in(A.user(USER)) == "PONG"
    assert Raw(server).log_in(A.user(USER), sign=False) == VIOLATION


@pytest.mark.parametrize("kind", KINDS)
def test_leaf_node_with_credentials(farm, kind):
    """A real nats-server as spoke of either, by a credentials file."""
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    leaf_port = servers.free_port()
    conf = farm.folder / "hub.conf"
    conf.write_text(conf_of(preload(), f"leafnodes {{ listen: 127.0.0.1:{leaf_port} }}"))
    hub = starter(kind, farm)("hub", extra=["-c", str(conf)]).start()
    path = jwts.creds(farm.folder / "leaf.creds", A.user(USER), USER)
    (farm.folder / "spoke.conf").write_text(
        f'leafnodes {{ reconnect: 1, remotes: [{{url: "nats-leaf://127.0.0.1:{leaf_port}", credentials: "{path}"}}] }}')
    spoke = farm.nats_server("spoke", extra=["-c", str(farm.folder / "spoke.conf")]).start()

    async def program():
        at_spoke = await nats.connect(spoke.url)
        at_hub = await log_in(hub, A.user(USER))
        got = await at_hub.subscribe("over.the.link")
        await at_hub.flush()
        message = None
        while message is None:
            await at_spoke.publish("over.the.link", b"1")
            try:
                message = await got.next_msg(0.2)
            except nats.errors.TimeoutError:
                pass
        assert message.data == b"1"
        await asyncio.gather(at_spoke.close(), at_hub.close())

    run(program())


@pytest.mark.parametrize("kind", KINDS)
def test_accounts_change_while_the_server_runs(farm, kind):
    """The full resolver: what an operator's tool does by $SYS.REQ.CLAIMS."""
    folder = farm.folder / "jwts"
    folder.mkdir()
    (farm.folder / "full.conf").write_text(
        f'operator: {OPERATOR.operator(system_account=SYSTEM.key)}\nresolver: {{ type: full, dir: "{folder}", allow_delete: true }}\n'
        f"resolver_preload {{ {SYSTEM.key}: {OPERATOR.account(SYSTEM.key, name='SYS')} }}\nmax_control_line: 65536\n")
    server = starter(kind, farm)(extra=["-c", str(farm.folder / "full.conf")])
    server.start()

    async def program():
        admin = await log_in(server, SYSTEM.user(ADMIN), ADMIN)

        async def ask(verb, body):
            answer = json.loads((await admin.request(f"$SYS.REQ.CLAIMS.{verb}", body.encode(), timeout=20)).data)
            return answer.get("data") or answer["error"]

        assert await ask("UPDATE", OPERATOR.account(A.key, limits=JETSTREAM)) == {"account": A.key, "code": 200, "message": "jwt updated"}
        a = await log_in(server, A.user(USER))
        assert (await a.jetstream().add_stream(name="S", subjects=["s"])).config.name == "S"
        assert await ask("LIST", "") == sorted([A.key, SYSTEM.key])
        token = (await admin.request(f"$SYS.REQ.ACCOUNT.{A.key}.CLAIMS.LOOKUP", b"", timeout=20)).data.decode()
        assert token == OPERATOR.account(A.key, limits=JETSTREAM)
        assert (folder / f"{A.key}.jwt").read_text() == token
        wrong = await ask("UPDATE", "nonsense")
        assert (wrong["code"], wrong["account"]) == (500, "n/a")

        raw = Raw(server)
        assert raw.log_in(A.user(USER)) == "PONG"
        raw.ask("SUB b 2\r\nPING\r\n")
        await ask("UPDATE", OPERATOR.account(A.key, iat=1100, default_permissions={"sub": {"deny": ["b"]}}))
        assert raw.line() == "-ERR 'Permissions Violation for Subscription to \"b\" (sid \"2\")'"
        await ask("UPDATE", OPERATOR.account(A.key, iat=1200, revocations={USER.key: 1000}))
        assert raw.line() == "-ERR 'User Authentication Revoked'"
        assert raw.line() == ""
        assert Raw(server).log_in(A.user(USER)) == VIOLATION
        await ask("UPDATE", OPERATOR.account(A.key, iat=1300, limits=JETSTREAM))
        raw = Raw(server)
        assert raw.log_in(A.user(USER)) == "PONG"
        assert await ask("DELETE", OPERATOR.issue(OPERATOR.key, {"accounts": [A.key]})) == {"code": 200, "message": "deleted 1 accounts"}
        assert raw.line() == "-ERR 'Account Authentication Expired'"
        assert (folder / f"{A.key}.jwt.deleted").exists()
        await ask("UPDATE", OPERATOR.account(B.key))
        await asyncio.gather(admin.close(), a.close())

    run(program())
    server.kill()
    server.start()
    assert Raw(server).log_in(B.user(USER)) == "PONG"
    if kind == "sluice":  # the reference asks others for two seconds first
        assert Raw(server).log_in(A.user(USER)) == VIOLATION
