"""Adapters in accounts: what each takes, and where it puts it, is that account's alone; a client of each account says so."""

import asyncio
import subprocess

import nats
from nats.js.errors import NotFoundError

import servers
from test_spool import wait_for

CONFIG = """
server:
  listen: "127.0.0.1:{port}"
  accounts:
    - {name: RED, jetstream: {}, users: [{user: red, password: r}]}
    - {name: BLUE, jetstream: {}, users: [{user: blue, password: b}]}
    - {name: PLAIN, users: [{user: plain, password: p}]}
  users: [{user: all, password: a}]
store: {dir: "{dir}"}
monitor: {enabled: false}
adapters:
  - {type: nats_subject, name: red, account: RED, ingest: {subjects: [in.>], answer: true}, stream: {name: TAKEN, destination: taken.>}}
  - {type: nats_subject, name: blue, account: BLUE, ingest: {subjects: [in.>], answer: true}, stream: {name: TAKEN, destination: taken.>}}
  - {type: choria_submission, name: global, stream: {name: TAKEN, prefix: taken}}
  - {type: file_drop, name: drop, account: BLUE, folder: "FOLDER", stream: DROPS, scan_interval: 200ms}
"""


async def reader(server, user, password):
    client = await nats.connect(server.url, user=user, password=password)
    return client, client.jetstream()


def test_each_account_has_its_own(farm):
    folder = farm.folder / "drop"
    folder.mkdir()
    daemon = farm.sluice(CONFIG.replace("FOLDER", str(folder)), servers.free_port()).start()
    (folder / ".x").write_bytes(b"dropped")
    (folder / ".x").rename(folder / "x")

    async def run():
        red, red_js = await reader(daemon, "red", "r")
        blue, blue_js = await reader(daemon, "blue", "b")
        everybody, all_js = await reader(daemon, "all", "a")
        await red.request("in.1", b"red one", timeout=30, headers={"Nats-Msg-Id": "1"})
        await red.request("in.2", b"red two", timeout=30, headers={"Nats-Msg-Id": "2"})
        # The same id: another account's stream.
        await blue.request("in.1", b"blue one", timeout=30, headers={"Nats-Msg-Id": "1"})
        await everybody.request("mcollective.submission.in.x", b"submitted", timeout=30, headers={"Nats-Msg-Id": "1"})
        got = {}
        for name, js in (("red", red_js), ("blue", blue_js), ("all", all_js)):
            total = (await js.stream_info("TAKEN")).state.messages
            got[name] = [(await js.get_msg("TAKEN", seq)).data for seq in range(1, total + 1)]
        assert got == {"red": [b"red one", b"red two"], "blue": [b"blue one"], "all": [b"submitted"]}
        for _ in range(3000):
            try:
                if (await blue_js.get_msg("DROPS", 1)).data == b"dropped":
                    break
            except NotFoundError:
                await asyncio.sleep(0.01)
        else:
            raise AssertionError("the dropped file did not come")
        for js in (red_js, all_js):
            try:
                await js.stream_info("DROPS")
                raise AssertionError("DROPS is in another account too")
            except NotFoundError:
                pass
        for client in (red, blue, everybody):
            await client.close()

    asyncio.run(run())
    assert daemon.stop() == 0


def check(farm, text):
    path = farm.folder / "checked.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return subprocess.run([servers.SLUICE, "check", str(path)], capture_output=True, text=True)


def test_an_account_that_cannot_be_is_told(farm):
    adapter = "adapters: [{type: nats_subject, name: x, account: NOBODY, ingest: {subjects: [a]}, stream: {name: S}}]\n"
    assert "there is no account 'NOBODY'" in check(farm, adapter).stderr
    assert "with a core elsewhere the account is the login's" in check(farm, "core: nats://127.0.0.1:4222\n" + adapter).stderr


def test_an_account_without_jetstream_shows_as_trouble(farm):
    text = CONFIG.split("adapters:")[0].replace("monitor: {enabled: false}", 'monitor: {listen: "127.0.0.1:MONITOR"}')
    port = servers.free_port()
    text = text.replace("MONITOR", str(port)) + "adapters: [{type: nats_subject, name: x, account: PLAIN, ingest: {subjects: [a]}, stream: {name: S}}]\n"
    daemon = farm.sluice(text, servers.free_port(), ready_port=port).start()
    wait_for(lambda: "not enabled" in servers.http_get(port, "/adapters"), what="the adapter's trouble")
    assert daemon.stop() == 0
