"""Encryption at rest, with the real daemon: nothing to be read on the disk, keys refused and rotated, tools with a key."""

import asyncio
import json
import pathlib
import subprocess

import nats
from nats.js.api import StreamConfig

import servers

CONFIG = """
server: {listen: "127.0.0.1:{port}"}
store:
  dir: "{dir}"
  journal_file_size: 1MiB
  encryption: {%s}
monitor: {enabled: false}
"""
SECRETS = [b"the.subject", b"the payload", b"The-Header", b"SECRETS", b"the-durable"]


def key_file(farm, name, key):
    path = pathlib.Path(farm.folder) / name
    path.write_text(key + "\n")
    path.chmod(0o600)
    return str(path)


async def fill(url):
    client = await nats.connect(url)
    js = client.jetstream()
    await js.add_stream(StreamConfig(name="SECRETS", subjects=["the.subject.>"]))
    for i in range(50):
        await js.publish(f"the.subject.{i % 5}", b"the payload " + str(i).encode(), headers={"The-Header": str(i)})
    await js.pull_subscribe("the.subject.>", durable="the-durable")
    await client.close()


async def read(url):
    client = await nats.connect(url)
    js = client.jetstream()
    sub = await js.pull_subscribe_bind(stream="SECRETS", durable="the-durable")
    got = [m.data for m in await sub.fetch(50, timeout=10)]
    await client.close()
    return got


def readable(folder):
    return {secret for path in pathlib.Path(folder).rglob("*") if path.is_file()
            for secret in SECRETS if secret in path.read_bytes()}


def refusal(server):
    """What a start that must fail says, and its exit code."""
    done = subprocess.run(server.command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr + done.stdout


def test_a_daemon_keeps_its_store_encrypted(farm):
    first, second = key_file(farm, "first", "f" * 40), key_file(farm, "second", "s" * 40)
    port = servers.free_port()
    server = farm.sluice(CONFIG % f'key_file: "{first}"', port)
    store = pathlib.Path(farm.folder) / "sluice-store"
    server.start()
    asyncio.run(fill(server.url))
    assert not readable(store)
    server.kill()
    assert not readable(store)

    def verify(*more):
        done = subprocess.run([servers.SLUICE, "store", "verify", "--json", str(store), *more], capture_output=True, text=True,
                              timeout=60)
        return done.returncode, done.stdout, done.stderr

    code, out, _ = verify("--key-file", first)
    assert (code, json.loads(out)["messages"]) == (0, 50)
    code, _, words = verify()
    assert code == 77 and "no key is given" in words
    code, _, words = verify("--key-file", second)
    assert code == 77 and "given is" in words
    dumped = subprocess.run([servers.SLUICE, "store", "dump", str(store), "--key-file", first, "--limit", "1"],
                            capture_output=True, text=True, timeout=60)
    assert json.loads(dumped.stdout.splitlines()[1])["payload"] == "the payload 0"

    def again(name, encryption):
        return farm.sluice((CONFIG % encryption).replace("{dir}", str(store)), port, name=name)

    code, words = refusal(again("wrong", f'key_file: "{second}"'))
    assert code != 0 and "is encrypted with key" in words, words
    code, words = refusal(again("none", ""))
    assert code != 0 and "no key is given" in words, words

    rotated = again("rotated", f'cipher: chacha20-poly1305, key_file: "{second}", previous_key_file: "{first}"')
    rotated.start()
    assert asyncio.run(read(rotated.url)) == [b"the payload " + str(i).encode() for i in range(50)]
    assert not readable(store)
    assert rotated.stop() == 0


def test_a_key_that_is_no_key_is_refused(farm):
    port = servers.free_port()
    code, words = refusal(farm.sluice(CONFIG % 'key: "short"', port))
    assert code != 0 and "at least 32" in words, words
    code, words = refusal(farm.sluice(CONFIG % f'previous_key: "{"p" * 32}"', port))
    assert code != 0 and "'previous_key' without 'key'" in words, words


def test_nats_server_words_for_it(farm):
    path = pathlib.Path(farm.folder) / "encrypted.conf"
    path.write_text('jetstream { cipher: "aes", key: "a key of the file" }\n')
    server = farm.sluice_as_nats_server(extra=("-c", str(path))).start()
    asyncio.run(fill(server.url))
    store = pathlib.Path(farm.folder) / "sluice-store"
    assert not readable(store)
    server.kill()
    path.write_text('jetstream { cipher: "chacha", key: "another", prev_key: "a key of the file" }\n')
    server.start()
    assert len(asyncio.run(read(server.url))) == 50
    assert not readable(store)
