"""sluice verify: a stream and its copies at Sluice and at the reference, equal and damaged."""

import asyncio
import json
import os
import pathlib
import subprocess

import nats
import pytest

import servers
from backup import api
from test_sourcing import make, until

pytestmark = pytest.mark.skipif(not pathlib.Path(servers.NATS_SERVER).exists(), reason="no nats-server here")


def run_verify(source, target, *more, stream="O", env=None):
    return subprocess.run([os.environ["SLUICE_BINARY"], "verify", stream, "--source", source.url, "--target", target.url, *more],
                          capture_output=True, text=True, timeout=120, env=os.environ | (env or {}))


def verify(source, target, *more, stream="O", env=None):
    done = run_verify(source, target, "--json", *more, stream=stream, env=env)
    assert done.returncode in (0, 1) and done.stdout, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["same"] == (done.returncode == 0)
    return report


def two(farm, kind):
    """A source, always Sluice, and a target."""
    make_target = farm.nats_server if kind == "nats-server" else farm.sluice_as_nats_server
    return (farm.sluice_as_nats_server(name="origin", extra=("-js",)).start(), make_target(name="copy", extra=("-js",)).start())


@pytest.mark.parametrize("kind", ["sluice", "nats-server"])
def test_a_marked_copy(farm, kind):
    source, target = two(farm, kind)

    async def run():
        a, b = await nats.connect(source.url), await nats.connect(target.url)
        await make(a, "O", subjects=["o.>"])
        await make(b, "O", subjects=["o.>"])
        for i in range(1, 501):
            headers = {"K": "v%d" % i} if i % 3 else None
            await a.jetstream().publish(f"o.{i % 5}", b"p%d" % i, headers=headers)
            if i == 250:
                continue  # lost on the way
            mark = {"Choria-SR-Source": f"O {i} site worker 1"} | (headers or {})
            await b.jetstream().publish(f"o.{i % 5}", b"P%d" % i if i == 100 else b"p%d" % i, headers=mark)
        report = verify(source, target)
        assert (report["equal"], report["different_seqs"], report["missing_seqs"]) == (498, [100], [250]), report
        assert report["differences"] == [{"seq": 100, "subject": "o.0", "what": "other content"},
                                         {"seq": 250, "subject": "o.0", "what": "missing"}], report
        assert report["source"]["by"] == "digests", report
        assert report["target"]["by"] == ("digests" if kind == "sluice" else "reading"), report
        assert verify(source, target, "--source-read", "--target-read")["differences"] == report["differences"]
        await api(a, "STREAM.MSG.DELETE.O", {"seq": 100})
        await api(a, "STREAM.MSG.DELETE.O", {"seq": 250})
        report = verify(source, target)
        assert report["same"] and report["only_at_target"] == 1, report
        assert not verify(source, target, "--exact")["same"]
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_a_mirror_beside_its_origin(farm):
    server = farm.sluice_as_nats_server(name="both", extra=("-js",)).start()

    async def run():
        nc = await nats.connect(server.url)
        await make(nc, "O", subjects=["o.>"])
        await make(nc, "M", mirror={"name": "O"})
        for i in range(300):
            await nc.jetstream().publish("o.x", b"%d" % i)

        async def there():
            return (await api(nc, "STREAM.INFO.M"))["state"]["messages"] == 300
        await until(there)
        report = verify(server, server, "--target-stream", "M")
        assert report["same"] and report["equal"] == 300, report
        await nc.close()

    asyncio.run(asyncio.wait_for(run(), 120))


@pytest.mark.parametrize("kind", ["sluice", "nats-server"])
def test_what_limits_took_is_no_loss(farm, kind):
    source, target = two(farm, kind)

    async def run():
        a, b = await nats.connect(source.url), await nats.connect(target.url)
        await make(a, "O", subjects=["o.>"])
        await make(b, "O", subjects=["o.>"], max_msgs_per_subject=2)

        async def copy(seq, subject):
            await a.jetstream().publish(subject, b"%d" % seq)
            await b.jetstream().publish(subject, b"%d" % seq, headers={"Choria-SR-Source": f"O {seq} site worker 1"})
        for i in range(1, 41):
            await copy(i, f"o.{i % 4}")
        report = verify(source, target)
        assert report["same"] and (report["equal"], report["over_subject_limit"]) == (8, 32), report
        await api(b, "STREAM.MSG.DELETE.O", {"seq": 38})
        report = verify(source, target)
        assert not report["same"] and report["missing_seqs"] == [38], report
        # The front went by the limit of the whole stream.
        await api(b, "STREAM.UPDATE.O", {"name": "O", "subjects": ["o.>"], "max_msgs_per_subject": 2, "max_msgs": 2})
        report = verify(source, target)
        assert report["same"] and (report["equal"], report["removed_at_target"]) == (2, 38), report
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 120))


@pytest.mark.parametrize("kind", ["sluice", "nats-server"])
def test_a_lost_end_is_not_taken_for_what_is_not_copied_yet(farm, kind):
    source, target = two(farm, kind)

    async def run():
        a, b = await nats.connect(source.url), await nats.connect(target.url)
        await make(a, "O", subjects=["o.>"])
        await make(b, "O", subjects=["o.>"])
        for i in range(1, 21):
            await a.jetstream().publish("o.x", b"%d" % i)
            if i <= 15:
                await b.jetstream().publish("o.x", b"%d" % i, headers={"Choria-SR-Source": f"O {i} site worker 1"})
        report = verify(source, target)
        assert report["same"] and report["behind"] == 5, report
        await api(b, "STREAM.MSG.DELETE.O", {"seq": 15})
        report = verify(source, target)
        assert not report["same"] and report["lost_tail"] == 1, report
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 120))


@pytest.mark.parametrize("kind", ["sluice", "nats-server"])
def test_heal_brings_just_what_is_missing(farm, kind):
    source, target = two(farm, kind)

    async def run():
        a, b = await nats.connect(source.url), await nats.connect(target.url)
        await make(a, "O", subjects=["o.>"], allow_rollup_hdrs=True)
        await make(b, "O", subjects=["o.>"], allow_rollup_hdrs=True)
        for i in range(1, 301):
            headers = {"K": str(i), "Nats-Msg-Id": f"id{i}"}
            await a.jetstream().publish(f"o.{i}", b"p%d" % i, headers=headers | ({"Nats-Rollup": "sub"} if i == 30 else {}))
            await b.jetstream().publish(f"o.{i}", b"changed" if i == 50 else b"p%d" % i,
                                        headers=headers | {"Choria-SR-Source": f"O {i} site worker 1"})
        for seq in (10, 20, 30, 200):
            await api(b, "STREAM.MSG.DELETE.O", {"seq": seq})
        report = verify(source, target, "--heal", "--dry-run")
        assert not report["same"] and report["missing_seqs"] == [10, 20, 30, 200], report
        assert (report["heal"]["healed"], [one["seq"] for one in report["heal"]["left"]]) == (3, [30]), report
        assert (await api(b, "STREAM.INFO.O"))["state"]["last_seq"] == 300
        report = verify(source, target, "--heal")
        assert report["heal"]["healed"] == 3 and "Nats-Rollup" in report["heal"]["left"][0]["why"], report
        assert (report["equal"], report["missing_seqs"], report["different_seqs"]) == (298, [30], [50]), report
        assert report["disordered"] == 3, report  # a stream only appends
        assert (await api(b, "STREAM.INFO.O"))["state"]["last_seq"] == 303
        # Nothing is written twice, and what can be made whole is.
        await api(a, "STREAM.MSG.DELETE.O", {"seq": 30})
        await api(a, "STREAM.MSG.DELETE.O", {"seq": 50})
        report = verify(source, target, "--heal")
        assert report["same"] and "heal" not in report, report
        assert not verify(source, target, "--exact")["same"]
        assert (await api(b, "STREAM.INFO.O"))["state"]["last_seq"] == 303
        # Lost once more within the duplicate window: said, not hidden.
        await api(b, "STREAM.MSG.DELETE.O", {"seq": 301})
        report = verify(source, target, "--heal")
        assert report["heal"]["healed"] == 0 and "duplicate window" in report["heal"]["left"][0]["why"], report
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 120))


@pytest.mark.parametrize("kind", ["sluice", "nats-server"])
def test_heal_makes_no_older_value_the_latest(farm, kind):
    source, target = two(farm, kind)

    async def run():
        a, b = await nats.connect(source.url), await nats.connect(target.url)
        await make(a, "O", subjects=["o.>"])
        await make(b, "O", subjects=["o.>"], max_msgs_per_subject=5)
        for i in range(1, 5):
            await a.jetstream().publish("o.x", b"%d" % i)
            await b.jetstream().publish("o.x", b"%d" % i, headers={"Choria-SR-Source": f"O {i} site worker 1"})
        await api(b, "STREAM.MSG.DELETE.O", {"seq": 2})
        report = verify(source, target, "--heal")
        assert report["missing_seqs"] == [2] and "newer message" in report["heal"]["left"][0]["why"], report
        assert (await api(b, "STREAM.INFO.O"))["state"]["last_seq"] == 4
        for words in (["--sampled"], ["--ignore-subjects"]):
            assert run_verify(source, target, "--heal", *words).returncode == 2
        assert run_verify(source, target, "--dry-run").returncode == 2
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 120))


@pytest.mark.parametrize("kind", ["sluice", "nats-server"])
def test_heal_replaces_what_is_wrong_and_doubled(farm, kind):
    source, target = two(farm, kind)

    async def run():
        a, b = await nats.connect(source.url), await nats.connect(target.url)
        await make(a, "O", subjects=["o.>"])
        await make(b, "O", subjects=["eu.o.>"])

        async def copy(seq, payload):
            await b.jetstream().publish(f"eu.o.{seq}", payload, headers={"Choria-SR-Source": f"O {seq} site worker 1"})
        for i in range(1, 51):
            await a.jetstream().publish(f"o.{i}", b"p%d" % i)
            if i != 9:
                await copy(i, b"wrong" if i in (5, 50) else b"p%d" % i)
        await copy(20, b"p20")
        rewrite = ("--subject-prefix", "eu")
        report = verify(source, target)
        assert report["equal"] == 0, report
        report = verify(source, target, *rewrite)
        assert (report["different_seqs"], report["missing_seqs"], report["doubled_seqs"]) == ([5, 50], [9], [20]), report
        report = verify(source, target, *rewrite, "--heal=replace", "--dry-run")
        assert (report["heal"]["healed"], report["heal"]["removed_seqs"]) == (3, [5, 50, 49]), report
        assert (await api(b, "STREAM.INFO.O"))["state"]["messages"] == 50
        # The safe default mends what is missing and nothing else.
        report = verify(source, target, *rewrite, "--heal")
        assert (report["heal"]["healed"], report["heal"]["removed"], report["different"]) == (1, 0, 2), report
        report = verify(source, target, *rewrite, "--heal=replace")
        assert report["same"] and report["equal"] == 50, report
        assert (report["heal"]["healed"], report["heal"]["removed"], report["disordered"]) == (2, 3, 2), report
        assert (await api(b, "STREAM.INFO.O"))["state"]["messages"] == 50
        assert "heal" not in verify(source, target, *rewrite, "--heal=replace")
        for words in (["--heal=all"], ["--heal", "--hops", "2"], ["--subject-transform", "o.*=x.{{random(3)}}"],
                      ["--subject-transform", "o"], [*rewrite, "--ignore-subjects"], ["--copy", "x"]):
            assert run_verify(source, target, *words).returncode == 2, words
        await api(b, "STREAM.UPDATE.O", {"name": "O", "subjects": ["eu.o.>"], "deny_delete": True})
        await copy(1, b"p1")
        done = run_verify(source, target, *rewrite, "--heal=replace")
        assert done.returncode == 2 and "denies deletes" in done.stderr, done.stderr
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_a_copy_as_it_is_configured(farm, tmp_path):
    """Two copies of streams of one name into one target, each told from the other by its configuration."""
    source, target = two(farm, "sluice")
    config = tmp_path / "sr.yaml"
    config.write_text(f"""
name: EAST
state_store: {tmp_path / "state"}
streams:
  - stream: O
    target_stream: ALL
    name: first
    source_url: {source.url}
    target_url: {target.url}
    filter_subject: o.kept.>
    target_subject_prefix: east
  - stream: O
    target_stream: OTHER
    name: second
    source_url: {source.url}
    target_url: {target.url}
""")

    def configured(*more):
        return subprocess.run([os.environ["SLUICE_BINARY"], "verify", "O", "--json", "--config", str(config), *more],
                              capture_output=True, text=True, timeout=120)

    async def run():
        a, b = await nats.connect(source.url), await nats.connect(target.url)
        await make(a, "O", subjects=["o.>"])
        await make(b, "ALL", subjects=["east.>", "west.>"])
        for i in range(1, 31):
            await a.jetstream().publish("o.kept.x" if i % 2 else "o.left.x", b"%d" % i)
            if i % 2:
                await b.jetstream().publish("east.o.kept.x", b"%d" % i, headers={"Choria-SR-Source": f"O {i} EAST first 1"})
            await b.jetstream().publish("west.o.x", b"other", headers={"Choria-SR-Source": f"O {i} WEST first 1"})
        done = configured("--copy", "first")
        report = json.loads(done.stdout)
        assert report["same"] and (report["equal"], report["of_others"]) == (15, 30), report
        await api(b, "STREAM.MSG.DELETE.ALL", {"seq": 1})
        report = json.loads(configured("--copy", "first", "--heal").stdout)
        assert report["same"] and (report["heal"]["healed"], report["equal"]) == (1, 15), report
        last = await b.jetstream().get_last_msg("ALL", "east.o.kept.x")
        assert last.headers["Choria-SR-Source"].startswith("O 1 EAST first.heal "), last.headers
        done = configured()
        assert done.returncode == 2 and "--copy must name one" in done.stderr, done.stderr
        done = configured("--copy", "third")
        assert done.returncode == 2 and "no such copy" in done.stderr, done.stderr
        await a.close()
        await b.close()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_passwords_come_by_variable_or_file(farm, tmp_path):
    conf = tmp_path / "users.conf"
    conf.write_text("jetstream: {store_dir: %s}\nauthorization: {users: [{user: u, password: s3cret}]}\n" % (tmp_path / "js"))
    server = farm.sluice_as_nats_server(name="locked", extra=("-c", str(conf))).start()

    async def run():
        nc = await nats.connect(server.url, user="u", password="s3cret")
        await make(nc, "O", subjects=["o.>"])
        await make(nc, "M", mirror={"name": "O"})
        await nc.close()
    asyncio.run(asyncio.wait_for(run(), 60))
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    users = ("--source-user", "u", "--target-user", "u", "--target-stream", "M")
    report = verify(server, server, *users, "--target-password-file", str(secret), env={"SLUICE_SOURCE_PASSWORD": "s3cret"})
    assert report["same"], report
    done = run_verify(server, server, *users, env={"SLUICE_SOURCE_PASSWORD": "s3cret"})
    assert done.returncode == 2 and done.stderr.startswith("sluice: target: "), done.stderr
    secret.chmod(0o644)
    done = run_verify(server, server, *users, "--source-password-file", str(secret))
    assert done.returncode == 2 and "readable by everybody" in done.stderr, done.stderr


def test_errors_say_which_side(farm):
    source, target = two(farm, "sluice")
    done = run_verify(source, target, stream="NONE")
    assert done.returncode == 2 and "source: there is no stream 'NONE'" in done.stderr, done.stderr
    assert "--source, --source-creds or --source-user" in done.stderr, done.stderr
