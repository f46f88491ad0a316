"""Accounts, users and permissions: the same .conf and the same programs on Sluice and on nats-server."""

import asyncio
import json
import pathlib
import signal

import nats
import nkeys
import pytest
from nats.js.errors import NotFoundError

import servers

HASH = "$2a$04$AEp9OGkjQRXtAapU0r5tTuslnLYG3foM4sFX5D315fpy86ga1W8MO"  # "secret"


def user_key():
    """A user's seed and public key, the same in each run."""
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    return seed, nkeys.from_seed(seed).public_key.decode()


CONF = """
system_account: SYS
accounts {
  SYS { users: [{user: sys, password: p}] }
  A {
    users: [
      {user: a, password: p}
      {user: b, password: "%(hash)s"}
      {nkey: %(key)s}
      {user: few, password: p, permissions: {publish: {allow: ["ok.>", "_INBOX.>", "$SYS.REQ.>"], deny: "ok.no"}, subscribe: {allow: ["ok.*", "_INBOX.>", "work crew"]}}}
      {user: answers, password: p, permissions: {subscribe: ["svc", "_INBOX.>"], publish: {allow: "none"}, allow_responses: true}}
    ]
    jetstream: enabled
    exports: [{service: "$JS.API.>", response_type: stream}, {service: "$JS.ACK.>"}, {service: "q.*"}, {stream: "news.>"}, {stream: "deliver.>"}]
  }
  B {
    users: [{user: other, password: p}]
    jetstream { max_streams: 1 }
    imports: [
      {service: {account: A, subject: "$JS.API.>"}, to: "fromA.>"}
      {service: {account: A, subject: "$JS.ACK.>"}}
      {service: {account: A, subject: "q.*"}, to: "ask.*"}
      {stream: {account: A, subject: "news.>"}, prefix: "A"}
    ]
  }
  C { users: [{user: c, password: p}], limits: {max_conn: 1} }
  D {
    users: [{user: d, password: p}]
    jetstream: {max_bytes_required: true, mem_max_stream_bytes: 1000, disk_max_stream_bytes: 2000, max_ack_pending: 7, max_consumers: 1}
  }
}
"""


# In one of some 300 starts the reference loses what one user of an account publishes first to another, and later not; what it loses says
# nothing of ours, so that it is asked more often.
REFERENCE = pytest.param("nats-server", marks=pytest.mark.flaky(reruns=3))


@pytest.fixture(params=["sluice", REFERENCE])
def server(request, farm):
    if request.param == "nats-server" and not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    conf = farm.folder / "accounts.conf"
    conf.write_text(CONF % {"hash": HASH, "key": user_key()[1]})
    start = farm.nats_server if request.param == "nats-server" else farm.sluice_as_nats_server
    return start(extra=["-c", str(conf)]).start()


def run(program):
    asyncio.run(asyncio.wait_for(program, 60))


async def log_in(server, user, password="p", **more):
    return await nats.connect(server.url, user=user, password=password, allow_reconnect=False, **more)


async def refused(server, **how):
    quiet = asyncio.Event()

    async def on_error(_):
        quiet.set()

    with pytest.raises(nats.errors.Error) as told:
        await nats.connect(server.url, allow_reconnect=False, error_cb=on_error, **how)
    return str(told.value)


def test_every_kind_of_user(server):
    async def program():
        plain = await log_in(server, "a")
        hashed = await log_in(server, "b", "secret")
        seed, _ = user_key()
        keyed = await nats.connect(server.url, nkeys_seed_str=seed.decode(), allow_reconnect=False)
        got = await plain.subscribe("x")
        await plain.flush()
        await hashed.publish("x", b"1")
        await keyed.publish("x", b"2")
        assert sorted([(await got.next_msg(10)).data, (await got.next_msg(10)).data]) == [b"1", b"2"]
        for how in ({"user": "a", "password": "q"}, {"user": "b", "password": "wrong"}, {"user": "nobody", "password": "p"},
                    {"token": "t"}, {}):
            assert "Authorization Violation" in await refused(server, **how)
        for client in (plain, hashed, keyed):
            await client.close()

    run(program())


def test_accounts_do_not_meet(server):
    async def program():
        a, other = await log_in(server, "a"), await log_in(server, "other")
        heard = await other.subscribe("secret.>")
        await other.flush()
        await a.publish("secret.x", b"1")
        await a.flush()
        await other.publish("secret.x", b"2")
        assert (await heard.next_msg(10)).data == b"2"
        for client in (a, other):
            await client.close()

    run(program())


def test_permissions(server):
    async def program():
        told = []

        async def on_error(error):
            told.append(str(error))

        few = await log_in(server, "few", error_cb=on_error)
        a = await log_in(server, "a")
        await few.publish("ok.no", b"")
        await few.publish("other", b"")
        await few.subscribe("work")
        await few.subscribe("work", queue="others")
        crew = await few.subscribe("work", queue="crew")
        fine = await few.subscribe("ok.*")
        await few.flush()
        await a.publish("work", b"w")
        await few.publish("ok.yes", b"y")
        assert (await crew.next_msg(10)).data == b"w"
        assert (await fine.next_msg(10)).data == b"y"
        assert [t.lower() for t in told] == [
            'nats: permissions violation for publish to "ok.no"',
            'nats: permissions violation for publish to "other"',
            'nats: permissions violation for subscription to "work"',
            'nats: permissions violation for subscription to "work" using queue "others"',
        ]
        await few.close()
        await a.close()

    run(program())


def test_answers_are_allowed_once(server):
    async def program():
        told = []

        async def on_error(error):
            told.append(str(error))

        worker = await log_in(server, "answers", error_cb=on_error)
        a = await log_in(server, "a")

        async def answer(message):
            await message.respond(b"1")
            await message.respond(b"2")

        await worker.subscribe("svc", cb=answer)
        await worker.flush()
        assert (await a.request("svc", b"", timeout=10)).data == b"1"
        await worker.flush()
        assert len(told) == 1 and "permissions violation for publish to" in told[0]
        await worker.close()
        await a.close()

    run(program())


def test_limits_of_an_account(server):
    async def program():
        c = await log_in(server, "c")
        assert "maximum account active connections exceeded" in await refused(server, user="c", password="p")
        await c.close()

    run(program())


def test_services_and_streams_cross(server):
    async def program():
        a, other = await log_in(server, "a"), await log_in(server, "other")
        asked = []

        async def answer(message):
            asked.append(message)
            await message.respond(b"answer")

        await a.subscribe("q.*", cb=answer)
        await a.flush()
        assert (await other.request("ask.1", b"", timeout=10)).data == b"answer"
        assert asked[0].subject == "q.1" and asked[0].reply.startswith("_R_.")
        info = json.loads(asked[0].headers["Nats-Request-Info"])
        assert info["acc"] == "B" and set(info) <= {"acc", "rtt"}
        news = await other.subscribe("A.news.*")
        await other.flush()
        await a.publish("news.today", b"n")
        got = await news.next_msg(10)
        assert (got.subject, got.data) == ("A.news.today", b"n")
        for client in (a, other):
            await client.close()

    run(program())


def test_jetstream_of_accounts(server):
    async def program():
        a, other, c = await log_in(server, "a"), await log_in(server, "other"), await log_in(server, "c")
        ja, jb = a.jetstream(), other.jetstream()
        await ja.add_stream(name="S", subjects=["s.>"])
        await jb.add_stream(name="S", subjects=["s.>"])
        await ja.publish("s.1", b"a1")
        await ja.publish("s.2", b"a2")
        await jb.publish("s.1", b"b1")
        assert (await ja.stream_info("S")).state.messages == 2
        assert (await jb.stream_info("S")).state.messages == 1
        with pytest.raises(nats.js.errors.APIError) as told:
            await jb.add_stream(name="T", subjects=["t"])
        assert told.value.err_code == 10027
        refusal = json.loads((await c.request("$JS.API.INFO", b"", timeout=10)).data)
        assert refusal["error"]["err_code"] == 10039
        # The API of A, imported by B: its streams, pulled and acknowledged from there.
        across = other.jetstream(prefix="fromA")
        assert (await across.stream_info("S")).state.messages == 2
        with pytest.raises(NotFoundError):
            await across.stream_info("none")
        await ja.add_consumer("S", durable_name="D", ack_policy="explicit")
        pull = await across.pull_subscribe_bind(consumer="D", stream="S")
        messages = await pull.fetch(2, timeout=10)
        assert [m.data for m in messages] == [b"a1", b"a2"]
        for message in messages:
            await message.ack()
        await other.flush()
        while (await ja.consumer_info("S", "D")).ack_floor.stream_seq != 2:
            await asyncio.sleep(0.02)
        for client in (a, other, c):
            await client.close()

    run(program())


def test_limits_of_one_stream(server):
    async def program():
        d = await log_in(server, "d")
        js = d.jetstream()
        info = json.loads((await d.request("$JS.API.INFO", b"", timeout=10)).data)
        assert {key: info["limits"][key] for key in ("max_ack_pending", "memory_max_stream_bytes", "storage_max_stream_bytes",
                                                     "max_bytes_required", "max_consumers")} == {
            "max_ack_pending": 7, "memory_max_stream_bytes": 1000, "storage_max_stream_bytes": 2000, "max_bytes_required": True,
            "max_consumers": 1}

        async def refused_with(code, call):
            with pytest.raises(nats.js.errors.APIError) as told:
                await call
            assert told.value.err_code == code

        await refused_with(10113, js.add_stream(name="S", subjects=["s"]))
        await refused_with(10122, js.add_stream(name="S", subjects=["s"], max_bytes=2001))
        await refused_with(10122, js.add_stream(name="S", subjects=["s"], max_bytes=1001, storage="memory"))
        for name in ("S", "T"):
            await js.add_stream(name=name, subjects=[name], max_bytes=2000)
            await js.add_consumer(name, durable_name="one", ack_policy="explicit")
            await refused_with(10026, js.add_consumer(name, durable_name="two", ack_policy="explicit"))
        await refused_with(10122, js.update_stream(name="S", subjects=["S"], max_bytes=2001))
        await refused_with(10113, js.update_stream(name="S", subjects=["S"], max_bytes=-1))
        await d.close()

    run(program())


def test_accounts_change_by_reload(server, farm):
    async def until_welcome(user):
        while True:
            try:
                return await log_in(server, user)
            except nats.errors.Error:
                await asyncio.sleep(0.05)

    async def program():
        a, few = await log_in(server, "a"), await log_in(server, "few")
        gone = asyncio.Event()

        async def on_closed():
            gone.set()

        cut = await log_in(server, "other", closed_cb=on_closed)
        conf = farm.folder / "accounts.conf"
        text = conf.read_text()
        text = text.replace("{user: other, password: p}", "{user: other, password: new}, {user: more, password: p}")
        text = text.replace("max_conn: 1}", "max_conn: 2}, mappings: {from: to}")
        conf.write_text(text.replace('{service: "q.*"}', '{service: "q.*"}, {service: "r"}'))
        server.process.send_signal(signal.SIGHUP)
        more = await until_welcome("more")
        await asyncio.wait_for(gone.wait(), 20)  # another password
        c = await log_in(server, "c")
        got = await c.subscribe("to")
        await c.publish("from", b"1")
        assert (await got.next_msg(10)).data == b"1"
        for client in (a, few):  # not concerned
            await client.flush()
        for client in (a, few, more, c, cut):
            await client.close()

    run(program())
