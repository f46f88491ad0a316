"""sluice kv …: the same verbs on Sluice and on nats-server, and the same buckets as nats-py's own KV."""

import asyncio
import base64
import json
import signal
import subprocess

import nats
from nats.js.errors import KeyNotFoundError

import servers
from test_fleet_cli import wait_for


def kv(server, verb, *arguments, check=True, text=None):
    done = subprocess.run([servers.SLUICE, "kv", verb, "--server", server.url, *arguments], capture_output=True, timeout=60,
                          input=text.encode() if isinstance(text, str) else text or b"")
    done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if check:
        assert done.returncode == 0, done.out + done.err
    return done


def test_values_revisions_and_history(either_server):
    s = either_server
    made = json.loads(kv(s, "add", "B", "--history", "3", "--description", "test", "--json").out)
    assert (made["bucket"], made["history"], made["description"]) == ("B", 3, "test")
    assert kv(s, "put", "B", "a", "1").out == "1\n"
    assert "new revision 2" in kv(s, "create", "B", "b.c", "-", text="from stdin").out
    assert kv(s, "get", "B", "b.c", "--raw").out == "from stdin"
    refused = kv(s, "create", "B", "a", "2", check=False)
    assert refused.returncode == 1 and "'update' changes it" in refused.err
    assert "new revision 3" in kv(s, "update", "B", "a", "2", "1").out
    stale = kv(s, "update", "B", "a", "3", "1", check=False)
    assert stale.returncode == 1 and "not at revision 1 any more" in stale.err
    assert kv(s, "get", "B", "a").out.startswith("B > a revision 3 created @ ")
    assert json.loads(kv(s, "get", "B", "a", "--revision", "1", "--json").out)["value"] == base64.b64encode(b"1").decode()
    assert "no value of revision 2" in kv(s, "get", "B", "a", "--revision", "2", check=False).err
    rows = json.loads(kv(s, "history", "B", "a", "--json").out)
    assert [(r["revision"], r["operation"]) for r in rows] == [(1, "PUT"), (3, "PUT")]
    assert kv(s, "keys", "B").out.split() == ["a", "b.c"] == json.loads(kv(s, "ls", "B", "--json").out)
    assert kv(s, "keys", "B", "b.*").out.split() == ["b.c"]
    asked = kv(s, "del", "B", "a", check=False)
    assert asked.returncode == 1 and "--force" in asked.err
    kv(s, "del", "B", "a", "-f")
    assert "no value" in kv(s, "get", "B", "a", check=False).err
    assert "DEL" in kv(s, "history", "B", "a").out
    kv(s, "create", "B", "a", "again")
    kv(s, "purge", "B", "a", "-f")
    assert [r["operation"] for r in json.loads(kv(s, "history", "B", "a", "--json").out)] == ["PURGE"]
    assert kv(s, "keys", "B").out.split() == ["b.c"]
    assert [row["bucket"] for row in json.loads(kv(s, "ls", "--json").out)] == ["B"]
    assert kv(s, "rm", "B", "-f").out == "Deleted the bucket B\n"
    assert "make it with: sluice kv add B" in kv(s, "get", "B", "a", check=False).err


def test_every_option_of_a_bucket_arrives(either_server):
    s = either_server
    kv(s, "add", "ALL", "--history", "64", "--ttl", "90s", "--marker-ttl", "5s", "--max-value-size", "1KiB", "--max-bucket-size", "1MiB",
       "--storage", "memory", "--compress", "--metadata", "owner=ops", "--republish-destination", "copies.>", "--republish-headers")
    got = stream_info(s, "KV_ALL")["config"]
    want = {"max_msgs_per_subject": 64, "max_age": 90_000_000_000, "subject_delete_marker_ttl": 5_000_000_000, "allow_msg_ttl": True,
            "max_msg_size": 1024, "max_bytes": 1024 * 1024, "storage": "memory", "compression": "s2", "discard": "new",
            "allow_rollup_hdrs": True, "deny_delete": True, "allow_direct": True, "duplicate_window": 90_000_000_000,
            "subjects": ["$KV.ALL.>"], "republish": {"src": ">", "dest": "copies.>", "headers_only": True}}
    assert {key: got[key] for key in want} == want
    assert got["metadata"]["owner"] == "ops"
    assert "(10054)" in kv(s, "put", "ALL", "big", "-", check=False, text="x" * 2000).err
    other = kv(s, "add", "ALL", "--history", "2", check=False)
    assert other.returncode == 1 and "with other options" in other.err
    for wrong in (["--history", "65"], ["--ttl", "soon"], ["--max-value-size", "big"], ["--metadata", "none"], ["--replicas", "9"]):
        refused = kv(s, "add", "X", *wrong, check=False)
        assert refused.returncode == 1 and refused.err.startswith("sluice: "), (wrong, refused.err)


def test_keys_with_a_ttl(either_server):
    s = either_server
    kv(s, "add", "T", "--marker-ttl", "1h")
    kv(s, "add", "PLAIN")
    kv(s, "create", "T", "short", "x", "--ttl", "1s")
    watch = subprocess.Popen([servers.SLUICE, "kv", "watch", "--server", s.url, "T", "--json"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        lines = [json.loads(watch.stdout.readline()) for _ in range(2)]
    finally:
        watch.terminate()
        watch.communicate(timeout=20)
    assert [(line["operation"], line["key"]) for line in lines] == [("PUT", "short"), ("PURGE", "short")]
    kv(s, "create", "T", "short", "y")
    assert "no TTL for single keys" in kv(s, "create", "PLAIN", "k", "x", "--ttl", "1s", check=False).err


def test_watch_follows_and_once_ends(either_server, tmp_path):
    s = either_server
    kv(s, "add", "W", "--history", "5")
    kv(s, "put", "W", "a", "1")
    kv(s, "put", "W", "a", "2")
    assert "PUT W.a: 2" in kv(s, "watch", "W", "--once").out
    assert kv(s, "watch", "W", "--once", "--history").out.count("PUT W.a") == 2
    assert kv(s, "watch", "W", "nothing.*", "--once", check=False).returncode == 1
    out = tmp_path / "watch"
    with open(out, "w") as f:
        watching = subprocess.Popen([servers.SLUICE, "kv", "watch", "--server", s.url, "W", "a", "--updates-only"], stdout=f,
                                    stdin=subprocess.DEVNULL)
    try:
        # Its consumer is there before anything is put.
        wait_for(lambda: stream_info(s, "KV_W")["state"]["consumer_count"] == 1)
        kv(s, "put", "W", "b", "not this")
        kv(s, "put", "W", "a", "3")
        kv(s, "del", "W", "a", "-f")
        wait_for(lambda: out.read_text().count("\n") == 2)
    finally:
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    told = out.read_text().splitlines()
    assert told[0].endswith("PUT W.a: 3") and "DEL W.a:" in told[1]


def stream_info(server, name):
    async def ask():
        nc = await nats.connect(server.url)
        answer = json.loads((await nc.request(f"$JS.API.STREAM.INFO.{name}", timeout=5)).data)
        await nc.close()
        return answer
    return asyncio.run(ask())


def test_nats_py_reads_what_we_wrote_and_we_what_it_wrote(either_server):
    s = either_server
    values = {"a": b"text", "deep.er/key=1": bytes(range(256)), "empty": b""}

    async def their_side():
        nc = await nats.connect(s.url)
        js = nc.jetstream()
        theirs = await js.create_key_value(bucket="THEIRS", history=4, ttl=3600)
        for key, value in values.items():
            await theirs.put(key, value)
        await theirs.put("gone", b"x")
        await theirs.delete("gone")
        ours = await js.key_value("OURS")
        got = {key: (await ours.get(key)).value for key in await ours.keys()}
        try:
            await ours.get("gone")
        except KeyNotFoundError:
            got["gone"] = None
        status = await ours.status()
        await nc.close()
        return got, status.history, status.ttl

    kv(s, "add", "OURS", "--history", "7", "--ttl", "1h")
    for key, value in values.items():
        kv(s, "put", "OURS", key, "-", text=value)
    kv(s, "put", "OURS", "gone", "x")
    kv(s, "del", "OURS", "gone", "-f")
    got, history, ttl = asyncio.run(their_side())
    assert {key: value or b"" for key, value in got.items() if key != "gone"} == values
    assert got["gone"] is None
    assert (history, ttl) == (7, 3600)
    assert set(kv(s, "keys", "THEIRS").out.split()) == set(values)
    for key, value in values.items():
        assert kv(s, "get", "THEIRS", key, "--raw").stdout == value
    assert json.loads(kv(s, "info", "THEIRS", "--json").out)["ttl_ns"] == 3600 * 10**9


def test_export_and_import(either_server, tmp_path):
    s = either_server
    kv(s, "add", "FROM", "--history", "5", "--max-value-size", "1KiB")
    for key, value in (("a", b"1"), ("a", b"2"), ("bin", bytes(range(256))), ("gone", b"x")):
        kv(s, "put", "FROM", key, "-", text=value)
    kv(s, "del", "FROM", "gone", "-f")
    file, everything = str(tmp_path / "kv.jsonl"), str(tmp_path / "all.jsonl")
    assert "Exported 2 revisions" in kv(s, "export", "FROM", file).out
    assert "Exported 5 revisions" in kv(s, "export", "FROM", everything, "--history").out
    missing = kv(s, "import", "TO", file, check=False)
    assert missing.returncode == 1 and "sluice kv add TO" in missing.err
    assert "Imported 2 revisions into TO" in kv(s, "import", "TO", file, "--make-bucket").out
    assert kv(s, "keys", "TO").out.split() == ["a", "bin"]
    assert kv(s, "get", "TO", "bin", "--raw").stdout == bytes(range(256))
    made = json.loads(kv(s, "info", "TO", "--json").out)
    assert (made["history"], made["max_value_size"]) == (5, 1024)
    kv(s, "put", "TO", "a", "mine")
    assert "2 keys had a value" in kv(s, "import", "TO", file, "--create-only").out
    assert kv(s, "get", "TO", "a", "--raw").out == "mine"
    kv(s, "import", "COPY", everything, "--make-bucket")
    assert [r["operation"] for r in json.loads(kv(s, "history", "COPY", "gone", "--json").out)] == ["PUT", "DEL"]
    # Through a pipe, and what is no export is refused before anything is changed.
    piped = kv(s, "export", "FROM", "-").stdout
    assert "Imported 2" in kv(s, "import", "PIPED", "-", "--make-bucket", text=piped).out
    bad = kv(s, "import", "TO", "-", check=False, text='{"hello":1}\n')
    assert bad.returncode == 1 and "not an export" in bad.err
    torn = kv(s, "import", "TO", "-", check=False, text=piped.decode().splitlines()[0] + '\n{"key":"k","value":"***"}\n')
    assert torn.returncode == 1 and "line 2" in torn.err and "base64" in torn.err
