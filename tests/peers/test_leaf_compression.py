"""Leaf links to a real server that wants S2: Sluice says that it speaks none, and the link stays clear and works."""

import asyncio
import contextlib
import subprocess

import nats
import pytest

import servers
from test_leaf import clients, linked

def body(number):
    return b"%d " % number * 500


MODES = ["s2_fast", "s2_best", "s2_auto", "accept"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pair", [("sluice", "nats-server"), ("nats-server", "sluice")],
                         ids=["hub-sluice", "hub-nats-server"])
def test_a_server_that_wants_compression(pair, farm, mode):
    word = f'compression: "{mode}"'
    hub, spoke = linked(pair, farm, leaf=word if pair[0] == "nats-server" else "",
                        remote=word if pair[1] == "nats-server" else "")

    async def run():
        async with clients(hub, spoke) as (a, b):
            for sender, receiver, subject in ((a, b, "down"), (b, a, "up")):
                sub = await receiver.subscribe(subject)
                await receiver.flush()
                first = None
                while first is None:  # the interest may need a moment to cross
                    await sender.publish(subject, body(0))
                    with contextlib.suppress(nats.errors.TimeoutError):
                        first = await sub.next_msg(0.2)
                assert first.data == body(0)
                for i in range(1, 200):  # compressible, and more than one write
                    await sender.publish(subject, body(i))
                await sender.flush()
                for i in range(1, 200):
                    while (message := await sub.next_msg(30)).data == body(0):
                        pass
                    assert message.data == body(i)

    asyncio.run(run())


def test_asking_for_it_here_is_refused_in_words(farm):
    path = farm.folder / "s2.conf"
    for text in ('leafnodes { listen: "127.0.0.1:-1", compression: s2_fast }',
                 'leafnodes { remotes [ { url: "nats-leaf://127.0.0.1:1", compression: { mode: s2_auto } } ] }'):
        path.write_text(text + "\n")
        code, error = run_face("-t", "-c", str(path))
        assert code == 1 and "compression of leaf links is not carried out by this version of Sluice" in error, error
    path.write_text('leafnodes { remotes [ { url: "ws://127.0.0.1:1" } ] }\n')
    code, error = run_face("-t", "-c", str(path))
    assert code == 1 and "WebSocket" in error, error


def run_face(*arguments):
    done = subprocess.run([servers.SLUICE, "nats-server", *arguments], capture_output=True, text=True, timeout=20,
                          stdin=subprocess.DEVNULL)
    return done.returncode, done.stderr.strip()
