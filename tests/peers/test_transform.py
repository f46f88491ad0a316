"""subject_transform and republish: the same program on Sluice and on nats-server, equal records.

Times are left out, everything else must be the same: configurations, errors, stored subjects, headers in their order.
"""

import asyncio
import json
import re

import nats
import pytest
from nats.errors import NoRespondersError


class Program:
    """What one part needs: raw API calls, publishes, and everything that arrives on r.> and b.>."""

    def __init__(self, nc):
        self.nc, self.seen, self.heard = nc, [], []

    async def start(self):
        for subject in ("r.>", "b.>"):
            await self.nc.subscribe(subject, cb=self.hear)

    async def hear(self, message):
        headers = [(key, re.sub(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$", "a time", value))
                   for key, value in (message.headers or {}).items()]
        self.heard.append((message.subject, message.reply, headers, message.data))

    def note(self, label, value):
        self.seen.append((label, value))

    async def api(self, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        return json.loads((await self.nc.request(f"$JS.API.{path}", data, timeout=5)).data)

    async def make(self, verb="CREATE", **config):
        return await self.api(f"STREAM.{verb}.P", {"name": "P", "subjects": ["a.>"], **config})

    async def drop(self, name="P"):
        await self.api(f"STREAM.DELETE.{name}")

    async def publish(self, subject, data=b"hi", **headers):
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        return json.loads((await self.nc.request(subject, data, headers=headers or None, timeout=5)).data)

    async def stored(self):
        state = (await self.api("STREAM.INFO.P"))["state"]
        return [(await self.api("STREAM.MSG.GET.P", {"seq": seq}))["message"]["subject"]
                for seq in range(state["first_seq"], state["last_seq"] + 1)]

    async def note_heard(self, label, count):
        """Waits for `count` messages, then a moment for those that should not come."""
        for _ in range(500):
            if len(self.heard) >= count:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        self.note(label, sorted(self.heard, key=lambda m: m[0]))
        self.heard.clear()


def outcome(answer):
    """Error, or the two options as they are echoed."""
    if "error" in answer:
        error = answer["error"]
        # The words of a JSON error are those of the decoder.
        return error["code"], error["err_code"], error["err_code"] != 10025 and error["description"]
    config = answer["config"]
    return json.dumps(config.get("subject_transform")), json.dumps(config.get("republish"))


async def functions(p):
    vectors = [
        ("a.*", "b.{{partition(10,1)}}.$1", ["a.x", "a.hello", "a.42"]),
        ("a.*.*", "b.{{ Partition(7, 1, 2) }}.{{wildcard(2)}}.{{Wildcard(1)}}", None),
        ("a.*.*", "b.{{partition(7,1,2)}}.{{wildcard(2)}}.{{Wildcard(1)}}", ["a.foo.bar", "a.x.y"]),
        ("a.*.*", "b.{{partition(7)}}", ["a.foo.bar"]),
        ("a.x", "b.{{partition(3)}}", ["a.x", "a.other"]),
        ("a.*", "b.{{split(1,-)}}", ["a.x-y-z", "a.-x--y-"]),
        ("a.*", "b.{{splitFromLeft(1,3)}}", ["a.abcdefgh", "a.ab"]),
        ("a.*", "b.{{SplitFromRight(1,3)}}", ["a.abcdefgh", "a.ab"]),
        ("a.*", "b.{{sliceFromLeft(1,3)}}", ["a.abcdefgh", "a.abcdef"]),
        ("a.*", "b.{{slicefromright(1,3)}}", ["a.abcdefgh", "a.abcdef"]),
        ("a.*", "b.{{left(1,2)}}.{{right(1,3)}}", ["a.abcdefgh", "a.a"]),
        ("a.*", "b.{{random(1)}}", ["a.x"]),
        ("a.*.>", "z.$1.k.>", ["a.b.c.d"]),
        ("", "p.>", ["a.b"]),
    ]
    for source, destination, subjects in vectors:
        answer = await p.make(storage="memory", subject_transform={"src": source, "dest": destination})
        p.note((source, destination), outcome(answer))
        if "error" in answer:
            continue
        acks = [await p.publish(subject) for subject in subjects or []]
        p.note("stored", (acks, await p.stored() if subjects else []))
        await p.drop()


async def refused_transforms(p):
    calls = ["wildcard(3)", "wildcard()", "wildcard(1,2)", "wildcard(x)", "WILDCARD(1)", "wildcard", "partition()",
             "partition(10,2)", "partition(2147483648)", "split(1)", "split( 1 , - )", "splitFromLeft(1,x)",
             "left(1)", "right(2,1)", "random(5,6)", "foo(1)", "()"]
    for destination in [f"b.{{{{{call}}}}}" for call in calls] + [
            "b.$3", "b.*", "b.>", "b..c", "b c", "b.{{wildcard(1)}}{{wildcard(2)}}"]:
        p.note(destination, outcome(await p.make(subject_transform={"src": "a.*", "dest": destination})))
    for source, destination in [("a..b", "b"), ("a b", "b"), ("a.>.b", "b"), ("a.x", "b.$1"), ("a.>", "b"),
                                ("a.>", "b.>.c"), ("a.x", "b.{{left(1,1)}}")]:
        p.note((source, destination), outcome(await p.make(subject_transform={"src": source, "dest": destination})))
    for body in ("a", [], {"src": 1}, {"src": "a", "dest": "b", "x": 1}):
        p.note(str(body), outcome(await p.make(subject_transform=body)))


async def configurations(p):
    rest = {"src": "a.>", "dest": "b.>"}
    everything = {"src": ">", "dest": ">"}
    cases = [
        {"subject_transform": {}}, {"subject_transform": None, "republish": None}, {"subject_transform": {"src": "a.*"}},
        {"republish": {"dest": "r.>"}}, {"republish": {"src": "a.>"}}, {"republish": {}},
        {"republish": {"src": "a.>", "dest": "r.>", "headers_only": True}}, {"republish": True},
        {"republish": {"src": "a.>", "dest": "r.>", "x": 1}}, {"republish": {"dest": "r.>"}, "pedantic": True},
        {"republish": {"src": "a.>", "dest": "a.r.>"}}, {"republish": everything}, {"republish": {"src": "a.*", "dest": "r.$2"}},
        {"republish": {"src": "a..b", "dest": "r"}}, {"republish": {"src": "a.>", "dest": "r"}},
        {"subject_transform": rest, "republish": everything}, {"subject_transform": rest, "republish": everything, "pedantic": True},
        {"subjects": ["a.>", "c"], "subject_transform": rest, "republish": everything},
        {"subjects": ["a.*"], "subject_transform": {"src": "a.*", "dest": "b.$1"}, "republish": everything},
        {"subject_transform": {"src": "a.*", "dest": "b.$3"}, "republish": {"dest": "a.x"}},
    ]
    for case in cases:
        answer = await p.make(**case)
        p.note(json.dumps(case), outcome(answer))
        if "error" not in answer:
            await p.drop()


async def transform_comes_first(p):
    await p.make(subject_transform={"src": "a.*", "dest": "k.$1"}, max_msgs_per_subject=1, discard="new",
                 discard_new_per_subject=True)
    p.note("first", await p.publish("a.x"))
    p.note("second on the transformed subject", await p.publish("a.x"))
    p.note("expectation", await p.publish("a.x", Nats_Expected_Last_Subject_Sequence="0"))
    p.note("does not match", await p.publish("a.x.y"))
    p.note("stored", await p.stored())
    consumer = await p.api("CONSUMER.CREATE.P.c", {"stream_name": "P", "config": {
        "name": "c", "filter_subject": "k.x", "ack_policy": "none"}})
    p.note("consumer of the transformed subject", consumer["num_pending"])
    try:
        await p.publish("k.x")
    except NoRespondersError as e:
        p.note("not a subject of the stream", type(e).__name__)
    await p.drop()


async def updates(p):
    await p.make()
    for options in ({"subject_transform": {"src": "a.*", "dest": "t.$1"}}, {"subject_transform": {"src": "a.*", "dest": "u.$1"}},
                    {"republish": {"src": "a.x", "dest": "r.x"}}, {}):
        p.note(json.dumps(options), outcome(await p.make("UPDATE", **options)))
        await p.publish("a.x")
    p.note("stored", await p.stored())
    await p.note_heard("republished", 1)
    await p.drop()


async def republish(p):
    await p.make(republish={"src": "a.>", "dest": "r.>"}, allow_rollup_hdrs=True, max_msgs_per_subject=1)
    await p.publish("a.1", b"one", K="v", Nats_Msg_Id="id")
    await p.publish("a.1", b"duplicate", Nats_Msg_Id="id")
    await p.publish("a.2", b"")
    await p.note_heard("headers", 2)
    await p.publish("a.1", b"again", Nats_Rollup="sub")
    await p.note_heard("last sequence", 1)
    await p.api("STREAM.PURGE.P")
    await p.publish("a.1")
    await p.note_heard("after a purge", 1)
    await p.drop()
    await p.make(republish={"src": "a.*", "dest": "r.{{left(1,1)}}", "headers_only": True})
    await p.publish("a.xyz", b"12345", A="b")
    await p.publish("a.x.y", b"12345")
    await p.note_heard("headers only", 1)
    await p.drop()


async def republish_transformed(p):
    await p.make(subject_transform={"src": "a.>", "dest": "q.>"}, republish={"src": "q.*", "dest": "r.$1"})
    await p.publish("a.x")
    await p.publish("a.x.y")
    await p.note_heard("the stored subject decides", 1)
    await p.drop()
    await p.make(subject_transform={"src": "a.>", "dest": "b.>"}, republish={"src": ">", "dest": ">"})
    await p.publish("a.x")
    await p.note_heard("all to all", 1)
    await p.drop()


async def captured_by_another_stream(p):
    await p.make(republish={"src": "a.>", "dest": "r.>"})
    await p.api("STREAM.CREATE.T", {"name": "T", "subjects": ["r.>"], "republish": {"src": "r.>", "dest": "b.>"}})
    await p.publish("a.x")
    await p.note_heard("two hops", 2)
    p.note("captured", (await p.api("STREAM.INFO.T"))["state"]["messages"])
    await p.drop("T")
    await p.drop()


async def not_stored_not_republished(p):
    await p.make(retention="interest", republish={"src": "a.>", "dest": "r.>"}, max_msg_size=9)
    p.note("nobody is interested", await p.publish("a.x"))
    p.note("refused", await p.publish("a.x", b"0123456789"))
    await p.note_heard("silence", 0)
    await p.drop()


PARTS = [functions, refused_transforms, configurations, transform_comes_first, updates, republish, republish_transformed,
         captured_by_another_stream, not_stored_not_republished]


async def run_part(url, part):
    nc = await nats.connect(url)
    try:
        program = Program(nc)
        await program.start()
        await asyncio.wait_for(part(program), 60)
        return program.seen
    finally:
        await nc.close()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_same_output(farm, part):
    ours = farm.sluice_as_nats_server().start()
    reference = farm.nats_server().start()
    expected = asyncio.run(run_part(reference.url, part))
    seen = asyncio.run(run_part(ours.url, part))
    assert expected, "the program noted nothing"
    for want, got in zip(expected, seen, strict=False):
        assert got == want
    assert len(seen) == len(expected)
