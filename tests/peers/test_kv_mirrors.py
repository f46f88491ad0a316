"""Mirrored and sourced key-value buckets by the clients' own calls, across the domains of a leaf link.

The same program on two nats-servers and on each pair with Sluice in it; what it prints must be the same.
nats-py and nats.c have no call for mirrors; a bucket with sources works by nats-py's as well.
"""

import asyncio
import functools

import nats
import pytest
from nats.js.api import DiscardPolicy, StreamConfig, StreamSource, SubjectTransform

from test_leaf import PAIRS, linked
from test_other_clients import go_program, js_program, printed  # noqa: F401
from servers import Farm

REFERENCE = ("nats-server", "nats-server")


@functools.cache
def expected(program):
    """What the program prints on two nats-servers; asked once."""
    farm = Farm()
    try:
        lines, code = printed(program, linked(REFERENCE, farm)[1], "mirrors")
    finally:
        farm.close()
    assert code == 0, f"on nats-server: {lines[-1]}"
    assert lines, "the program printed nothing"
    return lines


@pytest.fixture(params=PAIRS, ids=lambda pair: f"origin-{pair[0]}-copy-{pair[1]}")
def spoke(request, farm):
    return linked(request.param, farm)[1]


def compare(program, spoke):
    want = expected(tuple(program))
    seen, _ = printed(program, spoke, "mirrors")
    for one, got in zip(want, seen, strict=False):
        assert got == one
    assert seen == want


def test_nats_go(spoke, go_program):  # noqa: F811
    compare(go_program, spoke)


def test_nats_js(spoke, js_program):  # noqa: F811
    compare(js_program, spoke)


def test_nats_py_sources(either_server):
    async def run():
        nc = await nats.connect(either_server.url)
        js = nc.jetstream(timeout=20)
        one, other = await js.create_key_value(bucket="ONE"), await js.create_key_value(bucket="OTHER")
        await one.put("a", b"1")
        await js.add_stream(StreamConfig(
            name="KV_BOTH", subjects=["$KV.BOTH.>"], max_msgs_per_subject=1, allow_direct=True, allow_rollup_hdrs=True,
            deny_delete=True, discard=DiscardPolicy.NEW,
            sources=[StreamSource(name=f"KV_{b}", subject_transforms=[SubjectTransform(src=f"$KV.{b}.>", dest="$KV.BOTH.>")])
                     for b in ("ONE", "OTHER")]))
        both = await js.key_value("BOTH")
        watcher = await both.watchall()
        await other.put("b", b"2")
        await one.delete("a")
        await both.put("c", b"3")
        entries = []
        while not {("b", None), ("c", None), ("a", "DEL")} <= set(entries):
            entry = await watcher.updates(timeout=20)
            if entry is not None:
                entries.append((entry.key, entry.operation))
        keys, value = sorted(await both.keys()), (await both.get("b")).value
        await nc.close()
        return keys, value

    assert asyncio.run(run()) == (["b", "c"], b"2")
