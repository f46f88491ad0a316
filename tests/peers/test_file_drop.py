"""Drop folders: what is renamed into one is in the stream once, whatever happens to the daemon."""

import asyncio
import json
import os
import time

import nats

import servers

CONFIG = """
server: {listen: "127.0.0.1:{port}"}
store: {dir: "{dir}"}
monitor: {enabled: false}
adapters:
  - {type: file_drop, name: reports, folder: "%s", done_folder: "%s", stream: DROPS, max_file_size: 1 KiB, scan_interval: 200ms}
"""


def drop(folder, name, content):
    hidden = folder / f".{name}"
    hidden.write_bytes(content)
    hidden.rename(folder / name)


def messages(server):
    async def run():
        client = await nats.connect(server.url)
        js = client.jetstream()
        count = (await js.stream_info("DROPS")).state.messages
        sub = await js.subscribe("filedrop.>", stream="DROPS", ordered_consumer=True)
        got = [await sub.next_msg(10) for _ in range(count)]
        await client.close()
        return got

    return asyncio.run(run())


def wait(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(farm):
    folder, done = farm.folder / "in", farm.folder / "done"
    folder.mkdir()
    return folder, done, farm.sluice(CONFIG % (folder, done), servers.free_port())


def left(folder):
    return [name for name in os.listdir(folder) if name != "failed"]


def test_files_become_messages_and_go(farm):
    folder, done, daemon = start(farm)
    drop(folder, "before.txt", b"before the daemon")
    daemon.start()
    drop(folder, "report 1.csv", b"a,b\n\x00\xff")
    (folder / "unfinished.part").write_bytes(b"half")
    (folder / "large").write_bytes(b"x" * 2000)
    wait(lambda: left(folder) == ["unfinished.part"])
    assert sorted(os.listdir(done)) == ["1-before.txt", "2-report 1.csv"]
    assert (folder / "failed/large").read_bytes() == b"x" * 2000
    assert (folder / "failed/large.reason").read_text() == "too_large: 2000 bytes, at most 1024 are taken\n"
    first, second = messages(daemon)
    assert (first.subject, first.data) == ("filedrop.reports.before_txt", b"before the daemon")
    assert (second.subject, second.data) == ("filedrop.reports.report_1_csv", b"a,b\n\x00\xff")
    assert second.headers["Sluice-File"] == "report 1.csv"
    assert daemon.stop() == 0


def test_kills_lose_and_double_nothing(farm):
    folder, done, daemon = start(farm)
    daemon.start()
    names = [f"{i:04}.txt" for i in range(400)]
    for kill in range(4):
        for name in names[kill * 100:(kill + 1) * 100]:
            drop(folder, name, name.encode())
        wait(lambda: len(left(folder)) < 70)
        daemon.kill()
        daemon.start()
    wait(lambda: left(folder) == [])
    assert [m.data.decode() for m in messages(daemon)] == names
    assert sorted(name.split("-", 1)[1] for name in os.listdir(done)) == names


def test_nobody_is_led_out_of_the_folder(farm):
    folder, done, daemon = start(farm)
    secret = farm.folder / "secret"
    secret.write_text("the daemon may read this, who drops may not")
    elsewhere = farm.folder / "elsewhere"
    elsewhere.mkdir()
    os.symlink(secret, folder / "link")
    os.symlink(elsewhere, folder / "folder link")
    os.symlink("nowhere", folder / "dangling")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    daemon.start()
    drop(folder, "plain", b"plain")
    wait(lambda: set(left(folder)) == {"folder"})
    assert [m.data for m in messages(daemon)] == [b"plain"]
    assert (folder / "failed/link.reason").read_text() == "not_a_file: a link, which is not followed\n"
    assert (folder / "failed/pipe.reason").read_text() == "not_a_file: no regular file\n"
    assert secret.read_text().startswith("the daemon") and os.readlink(folder / "failed/link") == str(secret)
    assert daemon.stop() == 0


def test_a_failed_folder_of_others_is_refused(farm):
    folder, done, daemon = start(farm)
    (folder / "failed").mkdir()
    (folder / "failed").chmod(0o777)
    daemon.start()
    wait(lambda: "must be the daemon's own" in daemon.log_tail())
    (folder / "failed").chmod(0o700)
    drop(folder, "plain", b"plain")
    wait(lambda: left(folder) == [])
    assert daemon.stop() == 0


def test_what_keeps_it_from_starting_is_logged_once(farm):
    folder, monitor = farm.folder / "in", servers.free_port()
    config = CONFIG.replace("{enabled: false}", f'{{listen: "127.0.0.1:{monitor}"}}') % (folder, farm.folder / "done")
    daemon = farm.sluice(config, servers.free_port()).start()
    figures = lambda: json.loads(servers.http_get(monitor, "/adapters"))["adapters"][0]
    wait(lambda: figures()["restarts"] >= 2)
    assert daemon.log_path.read_text().count("adapter cannot start") == 1, daemon.log_tail()
    folder.mkdir()
    drop(folder, "late.txt", b"x")
    wait(lambda: left(folder) == [])
    log = daemon.log_path.read_text()
    assert log.count("adapter cannot start") == 1 and "adapter runs name=reports" in log, daemon.log_tail()
    assert "failed_tries=" in log and daemon.stop() == 0
