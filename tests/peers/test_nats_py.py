"""nats-py, unchanged, the same program on Sluice and on nats-server: core, drain, reconnect, logins."""

import asyncio
import pathlib

import nats
import pytest

import servers

PATIENCE_S = 30


def conf_server(farm, kind, text, name):
    """Either server with a configuration of its own."""
    port = servers.free_port()
    path = farm.folder / f"{name}.conf"
    path.write_text(f'listen: "127.0.0.1:{port}"\n{text}')
    program = [servers.SLUICE, "nats-server"] if kind == "sluice" else [servers.NATS_SERVER]
    server = servers.Server([*program, "-c", str(path)], port, farm.folder, name)
    farm.servers.append(server)
    return server.start()


@pytest.fixture(params=["sluice", "nats-server"])
def kind(request):
    if request.param == "nats-server" and not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    return request.param


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


def test_core(farm, kind):
    async def run():
        server = conf_server(farm, kind, "", "core")
        nc = await nats.connect(server.url)
        sub = await nc.subscribe("a.>")
        await nc.publish("a.b", b"one", reply="back", headers={"One": "1"})
        m = await sub.next_msg(PATIENCE_S)
        assert (m.subject, m.reply, m.data, m.headers) == ("a.b", "back", b"one", {"One": "1"})
        counts = [0, 0]

        def member(i):
            async def heard(_):
                counts[i] += 1
            return heard

        for i in range(2):
            await nc.subscribe("work", queue="crew", cb=member(i))
        for _ in range(200):
            await nc.publish("work")
        await nc.flush()
        await until(lambda: sum(counts) >= 200)
        assert sum(counts) == 200 and all(counts)

        async def answer(m):
            await m.respond(b"re " + m.data)

        await nc.subscribe("service", cb=answer)
        assert (await nc.request("service", b"ask", PATIENCE_S)).data == b"re ask"
        with pytest.raises(nats.errors.NoRespondersError):
            await nc.request("nobody", timeout=PATIENCE_S)
        limited = await nc.subscribe("limited")
        await limited.unsubscribe(limit=2)
        for _ in range(4):
            await nc.publish("limited")
        await nc.flush()
        await until(lambda: limited.pending_msgs == 2)
        await nc.close()

    asyncio.run(run())


def test_drain(farm, kind):
    async def run():
        server = conf_server(farm, kind, "", "drain")
        publisher, reader = await nats.connect(server.url), await nats.connect(server.url)
        got = []

        async def heard(m):
            await asyncio.sleep(0)
            got.append(m.subject)

        await reader.subscribe("d.*", cb=heard)
        await reader.flush()
        for i in range(100):
            await publisher.publish(f"d.{i}")
        await publisher.flush()
        await reader.flush()  # all of them are here now, though not yet heard
        await reader.drain()
        assert got == [f"d.{i}" for i in range(100)] and reader.is_closed
        await publisher.close()

    asyncio.run(run())


def test_reconnect(farm, kind):
    """The server is killed and comes back on its port: subscriptions work as before."""
    async def run():
        server = conf_server(farm, kind, "", "again")
        events = []

        def note(event):
            async def noted(*_):
                events.append(event)
            return noted

        nc = await nats.connect(server.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1,
                                disconnected_cb=note("gone"), reconnected_cb=note("back"))
        sub = await nc.subscribe("still.here")
        await nc.flush()
        server.kill()
        await until(lambda: "gone" in events)
        server.start()
        await until(lambda: "back" in events)
        await nc.publish("still.here", b"x")
        assert (await sub.next_msg(PATIENCE_S)).data == b"x"
        await nc.close()

    asyncio.run(run())


LOGINS = [
    ("single", 'authorization { user: a, password: "p" }', {"user": "a", "password": "p"}, {"user": "a", "password": "x"}),
    ("token", 'authorization { token: "t0k" }', {"token": "t0k"}, {"token": "t0K"}),
    ("users", 'authorization { users = [ {user: a, password: "p"}, {user: b, password: "q"} ] }', {"user": "b", "password": "q"},
     {"user": "b", "password": "p"}),
]


@pytest.mark.parametrize("name, config, right, wrong", LOGINS, ids=[login[0] for login in LOGINS])
def test_logins(farm, kind, name, config, right, wrong):
    async def run():
        server = conf_server(farm, kind, config, name)
        nc = await nats.connect(server.url, **right)
        assert nc.is_connected
        await nc.flush()
        await nc.close()
        for credentials in (wrong, {}):
            with pytest.raises(nats.errors.Error, match="(?i)authorization violation"):
                await nats.connect(server.url, allow_reconnect=False, **credentials)

    asyncio.run(run())


def test_a_payload_too_large(farm, kind):
    async def run():
        server = conf_server(farm, kind, "max_payload: 1024\n", "small")
        nc = await nats.connect(server.url)
        assert nc.max_payload == 1024
        with pytest.raises(nats.errors.MaxPayloadError):
            await nc.publish("x", b"x" * 1025)
        await nc.close()

    asyncio.run(run())
