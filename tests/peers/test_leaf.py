"""Leaf nodes between Sluice and the reference: each as the hub and as the spoke, with accounts, TLS and domains."""

import asyncio
import contextlib
import pathlib
import time

import nats
import pytest

import servers

FIXTURES = servers.ROOT / "tests/fixtures/tls"
PAIRS = [("sluice", "nats-server"), ("nats-server", "sluice"), ("sluice", "sluice")]


def start(kind, farm, name, conf):
    if kind == "nats-server" and not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    path = farm.folder / f"{name}.conf"
    path.write_text(f"server_name: {name}\n{conf}")
    make = farm.nats_server if kind == "nats-server" else farm.sluice_as_nats_server
    return make(name=name, extra=("-c", str(path))).start()


@pytest.fixture(params=PAIRS, ids=lambda pair: f"hub-{pair[0]}-spoke-{pair[1]}")
def pair(request):
    return request.param


def linked(pair, farm, hub_conf="", spoke_conf="", remote="", leaf="", userinfo=""):
    """A hub and a spoke, not necessarily linked yet."""
    port = servers.free_port()
    hub = start(pair[0], farm, "hub",
                f'leafnodes {{ listen: "127.0.0.1:{port}"\n{leaf} }}\njetstream {{ domain: hub }}\n{hub_conf}')
    servers.wait_for_port(port, hub.process)
    spoke = start(pair[1], farm, "spoke",
                  f'leafnodes {{ remotes: [ {{ url: "nats-leaf://{userinfo}127.0.0.1:{port}"\n{remote} }} ] }}\n'
                  f'jetstream {{ domain: spoke }}\n{spoke_conf}')
    return hub, spoke


async def arrives(sender, receiver, subject, seconds=30):
    """Waits until what one client publishes reaches the other: the link and its interest are there."""
    got = asyncio.Event()

    async def take(_):
        got.set()

    sub = await receiver.subscribe(subject, cb=take)
    await receiver.flush()
    deadline = time.monotonic() + seconds
    while not got.is_set():
        assert time.monotonic() < deadline, f"nothing came on {subject}"
        await sender.publish(subject, b"?")
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(got.wait(), 0.1)
    await sub.unsubscribe()


@contextlib.asynccontextmanager
async def clients(hub, spoke, hub_options=None, spoke_options=None):
    a = await nats.connect(hub.url, connect_timeout=20, **(hub_options or {}))
    b = await nats.connect(spoke.url, connect_timeout=20, **(spoke_options or {}))
    try:
        await arrives(a, b, "probe.down")
        await arrives(b, a, "probe.up")
        yield a, b
    finally:
        await a.close()
        await b.close()


def test_messages_requests_and_queues(pair, farm):
    hub, spoke = linked(pair, farm)

    async def run():
        async with clients(hub, spoke) as (a, b):
            for here, there in ((a, b), (b, a)):
                async def answer(m):
                    await m.respond(b"answer to " + m.data + (m.headers or {}).get("k", "").encode())
                sub = await here.subscribe("service", cb=answer)
                await here.flush()
                await arrives(there, here, "probe.service")
                reply = await there.request("service", b"you", timeout=20, headers={"k": "v"})
                assert reply.data == b"answer to youv"
                await sub.unsubscribe()
            # A queue with members on both sides: each message once.
            seen = asyncio.Queue()
            await a.subscribe("work", queue="q", cb=seen.put)
            await b.subscribe("work", queue="q", cb=seen.put)
            await a.flush()
            await b.flush()
            await arrives(a, b, "probe.queue")
            for i in range(20):
                await (a if i % 2 else b).publish("work", str(i).encode())
            got = [int((await asyncio.wait_for(seen.get(), 20)).data) for _ in range(20)]
            assert sorted(got) == list(range(20))
            await arrives(a, b, "probe.after")
            await arrives(b, a, "probe.after")
            assert seen.empty()

    asyncio.run(run())


def test_a_domain_is_reached_from_the_other_side(pair, farm):
    hub, spoke = linked(pair, farm)

    async def run():
        async with clients(hub, spoke) as (a, b):
            for near, far, domain in ((a, b, "spoke"), (b, a, "hub")):
                # Two sides with one name would both hear the acks.
                name = f"ORDERS_{domain}"
                local = far.jetstream(timeout=20)
                await local.add_stream(name=name, subjects=[f"orders.{domain}.>"])
                await local.publish(f"orders.{domain}.1", b"one")
                remote = near.jetstream(domain=domain, timeout=20)
                info = await remote.stream_info(name)
                assert info.state.messages == 1
                for i in range(2, 31):
                    ack = await remote.publish(f"orders.{domain}.{i}", b"more")
                    assert ack.domain == domain and ack.seq == i
                sub = await remote.pull_subscribe(f"orders.{domain}.>", durable="reader", stream=name)
                got = []
                while len(got) < 30:
                    for m in await sub.fetch(30 - len(got), timeout=20):
                        got.append(m.subject)
                        await m.ack_sync(timeout=20)
                assert got == [f"orders.{domain}.{i}" for i in range(1, 31)]
                consumer = await remote.consumer_info(name, "reader")
                assert consumer.ack_floor.stream_seq == 30
                push = await remote.subscribe(f"orders.{domain}.>", stream=name, ordered_consumer=True)
                assert [(await push.next_msg(timeout=20)).subject for _ in range(30)] == got
                await push.unsubscribe()
                kv = await local.create_key_value(bucket="B")
                await kv.put("k", b"v1")
                # The bucket through the domain, as clients do it.
                await near.request(f"$JS.{domain}.API.$KV.B.k", b"v2", timeout=20)
                assert (await kv.get("k")).value == b"v2"
            # The un-prefixed API stays at home.
            assert (await a.jetstream(timeout=20).account_info()).domain == "hub"
            assert (await b.jetstream(timeout=20).account_info()).domain == "spoke"

    asyncio.run(run())


def test_accounts_are_linked_and_stay_apart(pair, farm):
    accounts = '''accounts {
      A { users: [ {user: a, password: pa} ] }
      B { users: [ {user: b, password: pb} ] }
    }\n'''
    hub, spoke = linked(pair, farm, accounts, accounts, remote="account: B", userinfo="a:pa@")
    login = {"a": {"user": "a", "password": "pa"}, "b": {"user": "b", "password": "pb"}}

    async def run():
        async with clients(hub, spoke, login["a"], login["b"]) as (a, b):
            other = await nats.connect(hub.url, **login["b"])
            strays = asyncio.Queue()
            await other.subscribe(">", cb=strays.put)
            await other.flush()
            await arrives(b, a, "probe.again")
            await other.flush()
            assert strays.empty()
            await other.close()

    asyncio.run(run())


def test_credentials_of_the_block(pair, farm):
    hub, spoke = linked(pair, farm, userinfo="leaf:secret@", leaf='authorization { user: leaf, password: "secret" }')

    async def run():
        async with clients(hub, spoke):
            pass

    asyncio.run(run())


BCRYPT_TWO = "$2a$04$iJhYFnMNbYODsJL5HBLAm.2rJJp9VUUBznS4M1lo4sQQeWe1FwL.y"


def test_users_of_the_block_each_with_its_account(pair, farm):
    hub, spoke = linked(pair, farm, userinfo="second:two@",
                        leaf=f'authorization {{ users = [\n{{user: first, password: "one", account: A}}\n'
                             f'{{user: second, password: "{BCRYPT_TWO}", account: B}} ] }}',
                        hub_conf="accounts { A { users: [{user: a, password: p}] }\nB { users: [{user: b, password: p}] } }")

    async def run():
        async with clients(hub, spoke, hub_options={"user": "b", "password": "p"}) as (_, below):
            other = await nats.connect(hub.url, user="a", password="p", connect_timeout=20)
            heard = await other.subscribe(">")
            await other.flush()
            async with clients(hub, spoke, hub_options={"user": "b", "password": "p"}):
                await below.publish("x", b"not for A")
                await below.flush()
            with pytest.raises(nats.errors.TimeoutError):
                await heard.next_msg(0.2)
            await other.close()

    asyncio.run(run())


@pytest.mark.parametrize("offered", ["true", '"300ms"'])
def test_the_handshake_comes_first(pair, farm, offered):
    tls = (f'tls {{ cert_file: "{FIXTURES}/server.pem", key_file: "{FIXTURES}/server-key.pem", timeout: 20, '
           f'handshake_first: {offered} }}')
    hub, spoke = linked(pair, farm, leaf=tls, remote=f'tls {{ ca_file: "{FIXTURES}/ca.pem", handshake_first: true }}')

    async def run():
        async with clients(hub, spoke):
            pass

    asyncio.run(run())


def test_tls(pair, farm):
    tls = f'tls {{ cert_file: "{FIXTURES}/server.pem", key_file: "{FIXTURES}/server-key.pem", timeout: 20 }}'
    hub, spoke = linked(pair, farm, leaf=tls, remote=f'tls {{ ca_file: "{FIXTURES}/ca.pem" }}')

    async def run():
        async with clients(hub, spoke):
            pass

    asyncio.run(run())


def test_the_hub_comes_back(pair, farm):
    hub, spoke = linked(pair, farm, spoke_conf="")

    async def run():
        async with clients(hub, spoke):
            pass

    asyncio.run(run())
    hub.kill()
    hub.start()
    asyncio.run(run())


def test_deny_lists(pair, farm):
    hub, spoke = linked(pair, farm, remote='deny_imports: ["in.>"], deny_exports: ["out.>"]')

    async def run():
        async with clients(hub, spoke) as (a, b):
            up, down = asyncio.Queue(), asyncio.Queue()
            await a.subscribe(">", cb=up.put)
            await b.subscribe("in.>", cb=down.put)
            await b.subscribe("fine.>", cb=down.put)
            await a.flush()
            await b.flush()
            await arrives(b, a, "probe.deny")
            await arrives(a, b, "probe.deny")
            await b.publish("out.x", b"no")
            await b.publish("fine.up", b"yes")
            await a.publish("in.x", b"no")
            await a.publish("fine.down", b"yes")
            while (m := await asyncio.wait_for(down.get(), 20)).subject != "fine.down":
                assert not m.subject.startswith("in.")
            seen = []
            while (m := await asyncio.wait_for(up.get(), 20)).subject != "fine.up":
                seen.append(m.subject)
            assert "out.x" not in seen

    asyncio.run(run())


def test_spoke_of_a_cluster(farm):
    """Three clustered reference servers; the spoke is linked to one and reaches a client of another."""
    if not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    leaf_ports = [servers.free_port() for _ in range(3)]
    route_ports = [servers.free_port() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{p}"' for p in route_ports)
    hubs = [start("nats-server", farm, f"n{i}", f'''
      cluster {{ name: c, listen: "127.0.0.1:{route_ports[i]}", routes: [{routes}] }}
      leafnodes {{ listen: "127.0.0.1:{leaf_ports[i]}" }}
      jetstream {{ domain: hub }}''') for i in range(3)]
    urls = ", ".join(f'"nats-leaf://127.0.0.1:{p}"' for p in leaf_ports)
    spoke = start("sluice", farm, "spoke",
                  f"leafnodes {{ remotes: [ {{ urls: [{urls}] }} ] }}\njetstream {{ domain: spoke }}\n")

    async def run(hub):
        async with clients(hub, spoke):
            pass

    for hub in hubs:
        asyncio.run(run(hub))
    hubs[0].kill()
    for hub in hubs[1:]:
        asyncio.run(run(hub))
