"""Latency metrics of an exported service: the same metrics on both servers, figures that add up."""

import asyncio
import json

import nats
import pytest

import servers

CONF = """
accounts {
  SVC { users=[{user: svc, password: s}], exports=[
    {service: "help.>", threshold: "1s", latency: {sampling: 100%, subject: "lat.all"}},
    {service: "asked.>", latency: {sampling: headers, subject: "lat.asked"}},
    {service: "plain", latency: "lat.plain"} ] }
  APP { users=[{user: app, password: a}], imports=[
    {service: {account: SVC, subject: "help.>"}}, {service: {account: SVC, subject: "asked.>"}, to: "mine.>"},
    {service: {account: SVC, subject: "plain"}, share: true}] }
}
"""


@pytest.fixture(params=["sluice", "nats-server"])
def server(request, farm):
    path = farm.folder / "latency.conf"
    path.write_text(CONF)
    make = farm.sluice_as_nats_server if request.param == "sluice" else farm.nats_server
    port = servers.free_port()
    made = make(extra=("-c", str(path), "-m", str(port))).start()
    made.monitor = port
    return made


def shape(value):
    """Keys and kinds; what differs from run to run is left out."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return value if isinstance(value, str) and value in ("SVC", "APP", "svc", "app", "service", "Client", "nats") else type(value).__name__


def client(account, user, name):
    return {"start": "str", "host": "str", "id": "int", "acc": account, "user": user, "name": name, "lang": "str", "ver": "str",
            "rtt": "int", "server": "str", "kind": "Client", "client_type": "nats"}


async def story(server):
    told = asyncio.Queue()

    async def on_metric(message):
        await told.put((message.subject, json.loads(message.data)))

    async def answer(message):
        await message.respond(b"yes")

    async def silence(_):
        pass

    url = server.url.split("://")[1]
    service = await nats.connect(f"nats://svc:s@{url}", name="service")
    app = await nats.connect(f"nats://app:a@{url}", name="app")
    await service.subscribe("lat.>", cb=on_metric)
    answers = await service.subscribe("help.me", cb=answer)
    for subject, cb in (("help.late", silence), ("asked.*", answer), ("plain", answer)):
        await service.subscribe(subject, cb=cb)
    await service.flush()
    seen = []

    async def next_metric():
        seen.append(await asyncio.wait_for(told.get(), 20))
        return seen[-1][1]

    await app.request("help.me", b"x", timeout=10)
    m = await next_metric()
    # A round trip that was measured on a busy moment may be longer than the request took: then the service took none.
    assert m["service"] == 0 or m["total"] == m["service"] + m["system"] + m["requestor"]["rtt"] + m["responder"]["rtt"]
    await app.request("mine.x", b"x", timeout=10)  # asks for nothing: the next metric is of the one after it
    await app.request("mine.x", b"x", timeout=10, headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    await next_metric()
    await app.request("plain", b"x", timeout=10)
    await next_metric()
    with pytest.raises(nats.errors.TimeoutError):
        await app.request("help.late", b"x", timeout=0.1)
    await next_metric()  # the threshold is a second
    inbox = app.new_inbox()
    waiting = await app.subscribe(inbox)
    await app.publish("help.late", b"x", reply=inbox)
    await app.flush()
    await waiting.unsubscribe()
    await next_metric()
    await app.publish("help.me", b"x")
    await next_metric()
    await answers.unsubscribe()
    await service.flush()
    for _ in range(10):
        try:
            await app.request("help.me", b"x", timeout=2)
        except nats.errors.NoRespondersError:
            break
        except nats.errors.TimeoutError:  # the reference at times hears of the end of a subscription later
            continue
    while (await next_metric())["status"] == 504:
        seen.pop()
    await app.close()
    await service.close()
    return seen


def test_metrics(server):
    seen = asyncio.run(story(server))
    assert [(subject, m["status"], m.get("description")) for subject, m in seen] == [
        ("lat.all", 200, None), ("lat.asked", 200, None), ("lat.plain", 200, None), ("lat.all", 504, "Service Timeout"),
        ("lat.all", 408, "Request Timeout"), ("lat.all", 400, "Bad Request"), ("lat.all", 503, "Service Unavailable")]
    assert {m["type"] for _, m in seen} == {"io.nats.server.metric.v1.service_latency"}
    head = {"type": "str", "id": "str", "timestamp": "str", "status": "int"}
    tail = {"start": "str", "service": "int", "system": "int", "total": "int"}
    asker = {"acc": "APP", "rtt": "int"}
    assert shape(seen[0][1]) == {**head, "requestor": asker, "responder": client("SVC", "svc", "service"), **tail}
    assert seen[1][1]["header"] == {"Traceparent": ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]}
    assert shape(seen[2][1])["requestor"] == client("APP", "app", "app")
    assert shape(seen[3][1]) == {**head, "description": "str", "requestor": asker, **tail}


def test_accountz_shows_it(server):
    def details(account):
        return json.loads(servers.http_get(server.monitor, f"/accountz?acc={account}"))["account_detail"]

    exports = {e["subject"]: e["service_latency"] for e in details("SVC")["exports"]}
    assert exports == {"help.>": {"sampling": 100, "results": "lat.all"}, "plain": {"sampling": 100, "results": "lat.plain"},
                       "asked.>": {"sampling": "headers", "results": "lat.asked"}}
    imports = {i["subject"]: (i["to"], i["latency"]["results"]) for i in details("APP")["imports"] if i["account"] == "SVC"}
    assert imports == {"help.>": ("help.>", "lat.all"), "asked.>": ("mine.>", "lat.asked"), "plain": ("plain", "lat.plain")}


@pytest.mark.parametrize("latency, words", [
    ("{sampling: 0, subject: a}", "bad sampling percentage, should be 1-100"),
    ("{sampling: 101, subject: a}", "bad sampling percentage, should be 1-100"),
    ("{sampling: 10}", "Latency subject required, but missing"),
    ('{sampling: 10, subject: "a.*"}', 'Error adding service latency sampling for "q" on subject "a.*": invalid publish subject'),
    ("5", "Expected latency entry to be a map/struct or string, got int64"),
    ("{sampling: true, subject: a}", "Expected latency sample to be a string or map/struct, got bool")])
def test_what_is_refused(farm, latency, words):
    path = farm.folder / "bad.conf"
    path.write_text(f'accounts {{ A {{ exports=[ {{service: "q", latency: {latency}}} ] }} }}')
    for command in ([servers.SLUICE, "nats-server"], [servers.NATS_SERVER]):
        done = servers.subprocess.run([*command, "-t", "-c", str(path)], capture_output=True, text=True, timeout=20)
        assert done.returncode != 0
        assert words in done.stderr, command
