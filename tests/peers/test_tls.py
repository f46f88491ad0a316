"""TLS on the client port: the same clients and the same bytes on Sluice and on the reference."""

import asyncio
import pathlib
import shutil
import socket
import ssl

import nats
import pytest

import servers

FIXTURES = servers.ROOT / "tests/fixtures/tls"


def start(kind, farm, conf, extra=()):
    """Sluice's nats-server face or the reference, with that .conf."""
    path = farm.folder / f"{kind}.conf"
    path.write_text(conf)
    if kind == "nats-server":
        if not pathlib.Path(servers.NATS_SERVER).exists():
            pytest.skip("no nats-server here")
        return farm.nats_server(extra=("-c", str(path), *extra)).start()
    return farm.sluice_as_nats_server(extra=("-c", str(path), *extra)).start()


@pytest.fixture(params=["sluice", "nats-server"])
def kind(request):
    return request.param


def block(cert="server", more=""):
    return f'tls {{ cert_file: "{FIXTURES}/{cert}.pem", key_file: "{FIXTURES}/{cert}-key.pem", timeout: 5, {more} }}\n'


def context(cert=None, ca="ca"):
    made = ssl.create_default_context(cafile=str(FIXTURES / f"{ca}.pem"))
    if cert:
        made.load_cert_chain(FIXTURES / f"{cert}.pem", FIXTURES / f"{cert}-key.pem")
    return made


class Raw:
    """A client that sees bytes."""

    def __init__(self, port, first=False, **tls):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        if first:
            self.secure(**tls)

    def secure(self, **tls):
        self.socket = context(**tls).wrap_socket(self.socket, server_hostname="localhost")
        return self

    def line(self):
        got = b""
        while not got.endswith(b"\r\n"):
            byte = self.socket.recv(1)
            if not byte:
                break
            got += byte
        return got

    def info(self):
        import json
        line = self.line()
        assert line.startswith(b"INFO "), line
        return json.loads(line[5:])

    def ask(self, text):
        self.socket.sendall(text)
        return self.line()

    def rest(self):
        """Everything until the other side closes."""
        got = b""
        try:
            while part := self.socket.recv(4096):
                got += part
        except (ConnectionResetError, ssl.SSLError):
            pass
        return got


HELLO = b'CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\nPING\r\n'


async def exchange(url, **options):
    """Publishes a small and a large message to itself."""
    nc = await nats.connect(url, allow_reconnect=False, **options)
    try:
        got = asyncio.Queue()
        await nc.subscribe("a", cb=got.put)
        for size in (5, 900_000):
            await nc.publish("a", b"x" * size)
            assert len((await asyncio.wait_for(got.get(), 20)).data) == size
    finally:
        await nc.close()


@pytest.mark.parametrize("cert", ["server", "server-rsa"])
def test_a_python_client_inside_tls(kind, farm, cert):
    server = start(kind, farm, block(cert))
    asyncio.run(exchange(f"tls://localhost:{server.port}", tls=context()))


def test_who_does_not_trust_us_stays_out(kind, farm):
    server = start(kind, farm, block())
    with pytest.raises(Exception):
        asyncio.run(exchange(f"tls://localhost:{server.port}", tls=context(ca="other-ca")))
    asyncio.run(exchange(f"tls://localhost:{server.port}", tls=context()))


def test_tls_required(kind, farm):
    server = start(kind, farm, block())
    raw = Raw(server.port)
    info = raw.info()
    assert info["tls_required"] is True
    assert "tls_available" not in info and "tls_verify" not in info
    assert raw.secure().ask(HELLO) == b"PONG\r\n"
    # In clear: the end, and no -ERR.
    plain = Raw(server.port)
    plain.info()
    plain.socket.sendall(HELLO)
    assert plain.rest() == b""


def test_tls_available(kind, farm):
    server = start(kind, farm, block() + "allow_non_tls: true\n")
    plain = Raw(server.port)
    info = plain.info()
    assert info["tls_available"] is True
    assert "tls_required" not in info
    assert plain.ask(HELLO) == b"PONG\r\n"
    secure = Raw(server.port)
    secure.info()
    assert secure.secure().ask(HELLO) == b"PONG\r\n"


def test_handshake_first(kind, farm):
    server = start(kind, farm, block(more="handshake_first: true"))
    raw = Raw(server.port, first=True)
    assert raw.info()["tls_required"] is True
    assert raw.ask(HELLO) == b"PONG\r\n"
    asyncio.run(exchange(f"tls://localhost:{server.port}", tls=context(), tls_handshake_first=True))


def test_handshake_first_for_those_who_do_it(kind, farm):
    server = start(kind, farm, block(more='handshake_first: "500ms"'))
    first = Raw(server.port, first=True)
    assert first.info()["tls_required"] is True
    later = Raw(server.port)
    assert later.info()["tls_required"] is True
    assert later.secure().ask(HELLO) == b"PONG\r\n"


def test_a_silent_client_is_cut_at_the_timeout(kind, farm):
    server = start(kind, farm, block().replace("timeout: 5", "timeout: 0.3"))
    raw = Raw(server.port)
    raw.info()
    assert raw.rest() == b""


def test_client_certificates(kind, farm):
    server = start(kind, farm, block(more=f'ca_file: "{FIXTURES}/ca.pem", verify: true'))
    raw = Raw(server.port)
    assert raw.info()["tls_verify"] is True
    assert raw.secure(cert="client").ask(HELLO) == b"PONG\r\n"
    for cert in ("stranger", None):
        refused = Raw(server.port)
        refused.info()
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            refused.secure(cert=cert)
            assert refused.ask(HELLO) == b"PONG\r\n"


def test_a_certificate_names_the_user(kind, farm):
    server = start(kind, farm, block(more=f'ca_file: "{FIXTURES}/ca.pem", verify_and_map: true') + '''
      authorization { users = [ {user: "ada@example.org"}, {user: "CN=grace,OU=Tests,O=Sluice"} ] }''')
    for cert in ("client", "client-subject"):
        raw = Raw(server.port)
        raw.info()
        assert raw.secure(cert=cert).ask(HELLO) == b"PONG\r\n"
    unknown = Raw(server.port)
    unknown.info()
    unknown.secure(cert="server")
    unknown.socket.sendall(HELLO)
    assert b"-ERR 'Authorization Violation'\r\n" in unknown.rest()


def test_pinned_certificates(kind, farm):
    import hashlib
    import subprocess
    key = subprocess.run(["openssl", "x509", "-in", FIXTURES / "client.pem", "-noout", "-pubkey"], check=True,
                         capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True,
                         capture_output=True).stdout
    pin = hashlib.sha256(der).hexdigest()
    server = start(kind, farm, block(more=f'ca_file: "{FIXTURES}/ca.pem", verify: true, pinned_certs: ["{pin}"]'))
    raw = Raw(server.port)
    raw.info()
    assert raw.secure(cert="client").ask(HELLO) == b"PONG\r\n"
    other = Raw(server.port)
    other.info()
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        other.secure(cert="client-subject")
        assert other.ask(HELLO) == b"PONG\r\n"


def test_the_oldest_version(kind, farm):
    server = start(kind, farm, block(more='min_version: "1.3"'))
    old = context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    raw = Raw(server.port)
    raw.info()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(raw.socket, server_hostname="localhost")


def test_flags(kind, farm):
    server = start(kind, farm, "debug: false\n", extra=(
        "--tls", "--tlscert", str(FIXTURES / "server.pem"), "--tlskey", str(FIXTURES / "server-key.pem"),
        "--tlscacert", str(FIXTURES / "ca.pem"), "--tlsverify"))
    raw = Raw(server.port)
    assert raw.info()["tls_verify"] is True
    assert raw.secure(cert="client").ask(HELLO) == b"PONG\r\n"


def test_a_key_that_everybody_can_read_is_refused(farm):
    key = farm.folder / "key.pem"
    shutil.copy(FIXTURES / "server-key.pem", key)
    config = f"""
server:
  listen: 127.0.0.1:{{port}}
  tls:
    cert: {FIXTURES}/server.pem
    key: {key}
monitor:
  enabled: false
store:
  dir: {{dir}}
"""
    key.chmod(0o644)
    with pytest.raises(RuntimeError, match="readable by everybody"):
        farm.sluice(config, servers.free_port()).start()
    key.chmod(0o600)
    server = farm.sluice(config, servers.free_port()).start()
    asyncio.run(exchange(f"tls://localhost:{server.port}", tls=context()))


def test_many_handshakes_at_once(farm):
    server = start("sluice", farm, block("server-rsa").replace("timeout: 5", "timeout: 60"))

    async def one():
        nc = await nats.connect(f"tls://localhost:{server.port}", tls=context(), connect_timeout=60)
        await nc.flush(60)
        return nc

    async def crowd():
        for nc in await asyncio.gather(*(one() for _ in range(60))):
            await nc.close()

    asyncio.run(crowd())
