"""Every kind of login, TLS and reconnects: the four official clients with the same cases on Sluice and on nats-server.

A case is a line: a label, a URL and what the client is given. Each client prints who it is then, or its own error.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import threading

import nats
import pytest

import jwts
import servers
from jwts import JETSTREAM, Signer
from left_out import leave_out
from test_other_clients import c_program, go_program, js_program  # noqa: F401  fixtures
from test_websocket import browser_folder  # noqa: F401  a fixture

TLS = servers.ROOT / "tests/fixtures/tls"
HASH = "$2a$04$AEp9OGkjQRXtAapU0r5tTuslnLYG3foM4sFX5D315fpy86ga1W8MO"  # "secret"
OPERATOR, SYSTEM, ACCOUNT = Signer("operator", "o"), Signer("account", "sys"), Signer("account", "a")
USER, STRANGER = Signer("user", "u"), Signer("user", "stranger")


def tls(more=""):
    return f'tls {{ cert_file: "{TLS}/server.pem", key_file: "{TLS}/server-key.pem", timeout: 20, {more} }}\n'


def operator():
    accounts = {SYSTEM.key: OPERATOR.account(SYSTEM.key, name="SYS"),
                ACCOUNT.key: OPERATOR.account(ACCOUNT.key, name="ACC", limits=JETSTREAM)}
    lines = "\n".join(f"  {key}: {token}" for key, token in accounts.items())
    return (f"operator: {OPERATOR.operator(system_account=SYSTEM.key)}\nresolver: MEMORY\n"
            f"resolver_preload {{\n{lines}\n}}\n")


USERS = f"""
accounts {{
  A {{ users: [ {{user: plain, password: "p"}}, {{user: hashed, password: "{HASH}"}}, {{nkey: {USER.key}}} ] }}
  B {{ users: [ {{user: guest, password: "g"}} ] }}
}}
"""
CA = {"ca": TLS / "ca.pem"}


def client_cert(name):
    return CA | {"cert": TLS / f"{name}.pem", "key": TLS / f"{name}-key.pem"}


def cases(folder):
    """Servers by name: their .conf and what is tried on them, with the words that the client gets."""
    keyed = {"nkey": USER.key, "seedfile": folder / "user.nk"}
    strange = {"nkey": STRANGER.key, "seedfile": folder / "stranger.nk"}
    creds = {"creds": folder / "user.creds"}
    return {
        "users": (USERS, {
            "plain": {"user": "plain", "password": "p"}, "plain-wrong": {"user": "plain", "password": "q"},
            "bcrypt": {"user": "hashed", "password": "secret"}, "bcrypt-wrong": {"user": "hashed", "password": "secreT"},
            "bcrypt-the-hash-itself": {"user": "hashed", "password": HASH}, "nkey": keyed, "nkey-unknown": strange,
            "unknown": {"user": "nobody", "password": "p"}, "nothing": {}}),
        "guests": (USERS + "no_auth_user: guest\n", {
            "nothing": {}, "plain": {"user": "plain", "password": "p"}, "plain-wrong": {"user": "plain", "password": "q"},
            "nkey": keyed}),
        "token": ("authorization { token: t0k }\n", {
            "right": {"token": "t0k"}, "wrong": {"token": "t0K"}, "nothing": {}, "a-user": {"user": "t0k", "password": "t0k"}}),
        "hashed-token": (f'authorization {{ token: "{HASH}" }}\n', {"right": {"token": "secret"}, "wrong": {"token": "Secret"}}),
        "single": ('authorization { user: one, password: "p" }\n', {
            "right": {"user": "one", "password": "p"}, "wrong": {"user": "one", "password": ""}, "nothing": {}}),
        "operator": (operator(), {
            "creds": creds, "expired": {"creds": folder / "expired.creds"},
            "another-operators": {"creds": folder / "stranger.creds"}, "nothing": {}}),
        "tls": (tls(), {
            "upgrade": CA, "another-ca": {"ca": TLS / "other-ca.pem", "refused": "tls"}}),
        "tls-available": (tls() + "allow_non_tls: true\n", {"in-clear": {}, "upgrade": CA}),
        "tls-verify": (tls(f'ca_file: "{TLS}/ca.pem", verify: true') + USERS, {
            "certificate-and-password": client_cert("client") | {"user": "plain", "password": "p"},
            "certificate-alone": client_cert("client"),
            "no-certificate": CA | {"user": "plain", "password": "p", "refused": "tls"}}),
        "tls-map": (tls(f'ca_file: "{TLS}/ca.pem", verify_and_map: true') + '''
          authorization { users = [ {user: "ada@example.org"}, {user: "CN=grace,OU=Tests,O=Sluice"} ] }''', {
            "by-mail": client_cert("client"), "by-subject": client_cert("client-subject"),
            "unknown": client_cert("server"), "no-certificate": CA | {"refused": "tls"}}),
        "tls-first": (tls("handshake_first: true") + USERS, {
            "first": CA | {"first": "yes", **keyed}, "first-wrong": CA | {"first": "yes", "user": "plain", "password": "q"}}),
        "tls-first-auto": (tls('handshake_first: "auto"'), {"first": CA | {"first": "yes"}, "upgrade": CA}),
    }


def write_credentials(folder):
    for name, user in (("user", USER), ("stranger", STRANGER)):
        (folder / f"{name}.nk").write_text(user.seed.decode() + "\n")
    jwts.creds(folder / "user.creds", ACCOUNT.user(USER), USER)
    jwts.creds(folder / "expired.creds", ACCOUNT.user(USER, exp=2000), USER)
    jwts.creds(folder / "stranger.creds", Signer("account", "stranger").user(USER), USER)


def line_of(label, port, words, scheme="nats"):
    return " ".join([label, f"url={scheme}://localhost:{port}", *(f"{key}={value}" for key, value in words.items())])


@pytest.fixture
def running(farm):
    """Both kinds of server, one for each .conf: the text of all cases by kind.

    New ones for each client: after ten refused logins Sluice lets an address wait.
    """
    if not pathlib.Path(servers.NATS_SERVER).exists():
        leave_out("no nats-server here")
    write_credentials(farm.folder)
    lines = {"sluice": [], "nats-server": []}
    for name, (conf, tried) in cases(farm.folder).items():
        path = farm.folder / f"{name}.conf"
        path.write_text(conf)
        for kind, make in (("sluice", farm.sluice_as_nats_server), ("nats-server", farm.nats_server)):
            server = make(name=f"{name}-{kind}", extra=("-c", str(path))).start()
            lines[kind] += [line_of(f"{name}/{label}", server.port, words) for label, words in tried.items()]
    return farm, lines


def compare(running, spoken, left_out=()):
    farm, lines = running
    told = {}
    for kind, all_lines in lines.items():
        path = farm.folder / f"{kind}.cases"
        wanted = [line for line in all_lines if not any(f" {word}=" in line for word in left_out)]
        path.write_text("\n".join(wanted) + "\n")
        told[kind] = spoken(path)
        assert len(told[kind]) == len(wanted), told[kind]
    assert told["sluice"] == told["nats-server"]
    by_label = dict(line.split(": ", 1) for line in told["sluice"])
    # What both would have to say if neither let anybody in, or everybody.
    for label, who in (("users/plain", "plain of A"), ("users/nkey", f"{USER.key} of A"), ("guests/nothing", "guest of B"),
                       ("operator/creds", f"{USER.key} of {ACCOUNT.key}"), ("tls-map/by-mail", "ada@example.org of $G")):
        assert by_label[label].startswith(who), by_label
    for label in ("users/plain-wrong", "users/nkey-unknown", "guests/plain-wrong", "token/wrong", "single/nothing",
                  "operator/another-operators", "tls-map/unknown"):
        assert "authorization violation" in by_label[label].lower(), by_label


def run(command, **environment):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", timeout=120, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_nats_go(running, go_program):  # noqa: F811
    compare(running, lambda path: run([*go_program, "logins", str(path)]))


def test_nats_js(running, js_program):  # noqa: F811
    compare(running, lambda path: run([*js_program, "logins", str(path)]))


def test_nats_c(running, c_program):  # noqa: F811
    """This client has no TLS handshake before INFO."""
    def spoken(path):
        # nats.c of Debian 12 signs about one nonce in 256 wrongly, both servers refuse it then: another nonce is asked for.
        for _ in range(3):
            told = run([*c_program, "logins", str(path)])
            if not any(line.startswith(("operator/creds: Auth", "users/nkey: Auth")) for line in told):
                break
        return told

    compare(running, spoken, left_out=("first",))


def python_options(words):
    options = {"connect_timeout": 20}
    if "user" in words:
        options |= {"user": words["user"], "password": words["password"]}
    if "token" in words:
        options["token"] = words["token"]
    if "seedfile" in words:
        options["nkeys_seed"] = words["seedfile"]
    if "creds" in words:
        options["user_credentials"] = words["creds"]
    if "ca" in words:
        options["tls"] = ssl.create_default_context(cafile=words["ca"])
        if "cert" in words:
            options["tls"].load_cert_chain(words["cert"], words["key"])
        options["tls_handshake_first"] = "first" in words
    return options


async def python_who(nc):
    data = json.loads((await nc.request("$SYS.REQ.USER.INFO", b"", timeout=20)).data)["data"]
    return f"{data['user']} of {data['account']}"


async def python_login(label, words):
    async def on_error(_):
        pass

    scheme = "tls" if "ca" in words else "nats"
    try:
        nc = await nats.connect(words["url"].replace("nats", scheme, 1), allow_reconnect=False, error_cb=on_error,
                                **python_options(words))
    except Exception as e:
        return f"{label}: refused" if words.get("refused") == "tls" else f"{label}: {type(e).__name__} {e}"
    try:
        return f"{label}: {await python_who(nc)}"
    finally:
        await nc.close()


def test_nats_py(running):
    def spoken(path):
        async def all_of_them():
            told = []
            for line in path.read_text().splitlines():
                label, *words = line.split()
                told.append(await python_login(label, dict(word.split("=", 1) for word in words)))
            return told

        return asyncio.run(all_of_them())

    compare(running, spoken)


# Reconnects: the server is killed while the client is at work, and comes back on its port.

AGAIN = {
    "plain": ("debug: false\n", {}),
    "tls-and-creds": (operator() + tls(f'ca_file: "{TLS}/ca.pem", verify: true'), client_cert("client")),
    "nkey": (USERS, {}),
}


def words_of(farm, name):
    more = {"tls-and-creds": {"creds": farm.folder / "user.creds"},
            "nkey": {"nkey": USER.key, "seedfile": farm.folder / "user.nk"}}.get(name, {})
    return AGAIN[name][1] | more


def through_a_restart(farm, name, spoken):
    """What the client prints on each kind of server; both must be the same."""
    if not pathlib.Path(servers.NATS_SERVER).exists():
        leave_out("no nats-server here")
    write_credentials(farm.folder)
    conf = farm.folder / "again.conf"
    conf.write_text(AGAIN[name][0])
    told = {}
    for kind, make in (("sluice", farm.sluice_as_nats_server), ("nats-server", farm.nats_server)):
        server = make(name=f"again-{kind}", extra=("-c", str(conf))).start()
        path = farm.folder / f"{kind}.cases"
        path.write_text(line_of("again", server.port, words_of(farm, name)) + "\n")
        told[kind] = spoken(server, path)
    assert told["sluice"] == told["nats-server"]
    assert any(line.startswith("again: x | y | ") for line in told["sluice"]), told["sluice"]


def watched(command, server, **environment):
    """Kills the server when the program is ready, starts it when the program has noticed."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, **environment})
    guard = threading.Timer(120, process.kill)
    guard.start()
    lines = []
    try:
        for line in process.stdout:
            lines.append(line.strip())
            if lines[-1].startswith("ready"):
                server.kill()
            if lines[-1].startswith("disconnected"):
                server.start()
        errors = process.stderr.read()
        assert process.wait() == 0, "\n".join(lines) + errors
    finally:
        guard.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    return lines


@pytest.mark.parametrize("name", AGAIN)
def test_nats_go_reconnects(farm, go_program, name):  # noqa: F811
    through_a_restart(farm, name, lambda server, path: watched([*go_program, "reconnect", str(path)], server))


@pytest.mark.parametrize("name", AGAIN)
def test_nats_js_reconnects(farm, js_program, name):  # noqa: F811
    through_a_restart(farm, name, lambda server, path: watched([*js_program, "reconnect", str(path)], server))


@pytest.mark.parametrize("name", AGAIN)
def test_nats_c_reconnects(farm, c_program, name):  # noqa: F811
    through_a_restart(farm, name, lambda server, path: watched([*c_program, "reconnect", str(path)], server))


async def python_reconnect(server, line):
    label, *words = line.split()
    words = dict(word.split("=", 1) for word in words)
    events = {"gone": asyncio.Event(), "back": asyncio.Event()}

    def note(event):
        async def noted(*_):
            events[event].set()
        return noted

    scheme = "tls" if "ca" in words else "nats"
    nc = await nats.connect(words["url"].replace("nats", scheme, 1), reconnect_time_wait=0.05, max_reconnect_attempts=-1,
                            disconnected_cb=note("gone"), reconnected_cb=note("back"), **python_options(words))
    still, crew = await nc.subscribe("still.*"), await nc.subscribe("work", queue="crew")
    told = [f"before: {await python_who(nc)}"]
    await nc.flush()
    server.kill()
    await asyncio.wait_for(events["gone"].wait(), 60)
    await nc.publish("still.away", b"kept")
    server.start()
    await asyncio.wait_for(events["back"].wait(), 60)
    told.append(f"kept: {(await still.next_msg(20)).data.decode()}")
    await nc.publish("still.here", b"x")
    await nc.publish("work", b"y")
    told.append(f"again: {(await still.next_msg(20)).data.decode()} | {(await crew.next_msg(20)).data.decode()} | "
                f"{await python_who(nc)}")
    await nc.close()
    return told


@pytest.mark.parametrize("name", AGAIN)
def test_nats_py_reconnects(farm, name):
    through_a_restart(farm, name, lambda server, path: asyncio.run(python_reconnect(server, path.read_text())))


# In a page: nats.js over wss://.


def page(farm, folder, what, cases_of_page, profile):
    chromium = shutil.which("chromium")
    if not chromium:
        leave_out("no chromium here (Debian package chromium)")
    options = json.dumps({"run": what, "cases": cases_of_page})
    return ["node", str(folder / "in_chromium.mjs"), chromium, str(farm.folder / profile), options]


def websocket_server(farm, kind, conf, name):
    port = servers.free_port()
    path = farm.folder / f"{name}-{kind}.conf"
    path.write_text(conf + f'websocket {{ listen: "127.0.0.1:{port}", {tls()} }}\n')
    make = farm.nats_server if kind == "nats-server" else farm.sluice_as_nats_server
    server = make(name=f"{name}-{kind}", extra=("-c", str(path)))
    server.ready_port = port
    return server.start(), port


def test_chromium_logs_in(farm, browser_folder):  # noqa: F811
    if not pathlib.Path(servers.NATS_SERVER).exists():
        leave_out("no nats-server here")
    write_credentials(farm.folder)
    inside = {"users": (USERS, {
        "plain": {"user": "plain", "password": "p"}, "plain-wrong": {"user": "plain", "password": "q"},
        "bcrypt": {"user": "hashed", "password": "secret"}, "nkey": {"seed": USER.seed.decode()},
        "nkey-unknown": {"seed": STRANGER.seed.decode()}, "nothing": {}}),
        "guests": (USERS + "no_auth_user: guest\n", {"nothing": {}}),
        "token": ("authorization { token: t0k }\n", {"right": {"token": "t0k"}, "wrong": {"token": "t0K"}}),
        "operator": (operator(), {
            "creds": {"credsText": (farm.folder / "user.creds").read_text()},
            "expired": {"credsText": (farm.folder / "expired.creds").read_text()}})}
    told = {}
    for kind in ("sluice", "nats-server"):
        tried = []
        for name, (conf, logins) in inside.items():
            _, port = websocket_server(farm, kind, conf, name)
            tried += [{"label": f"{name}/{label}", "url": f"wss://localhost:{port}", **words} for label, words in logins.items()]
        told[kind] = run(page(farm, browser_folder, "logins", tried, f"profile-{kind}"))
        assert len(told[kind]) == len(tried) + 1, told[kind]
    assert told["sluice"] == told["nats-server"]
    assert "users/plain: plain of A" in told["sluice"] and "guests/nothing: guest of B" in told["sluice"]


def test_chromium_reconnects(farm, browser_folder):  # noqa: F811
    if not pathlib.Path(servers.NATS_SERVER).exists():
        leave_out("no nats-server here")
    told = {}
    for kind in ("sluice", "nats-server"):
        server, port = websocket_server(farm, kind, USERS, "again")
        one = {"label": "again", "url": f"wss://localhost:{port}", "seed": USER.seed.decode()}
        told[kind] = watched(page(farm, browser_folder, "reconnect", [one], f"profile-{kind}"), server)
    assert told["sluice"] == told["nats-server"]
    assert any(line.startswith("again: x | y | ") for line in told["sluice"]), told["sluice"]
