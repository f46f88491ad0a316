"""Snapshot and restore by the raw protocol, as any client does it."""

import asyncio
import base64
import json


async def api(nc, path, body=None):
    data = b"" if body is None else json.dumps(body).encode()
    return json.loads((await nc.request(f"$JS.API.{path}", data, timeout=20)).data)


async def snapshot(nc, stream, **request):
    """The answer, the bytes, how many chunks asked to be answered, the status of the end."""
    got, ended = [], asyncio.get_running_loop().create_future()

    async def hear(message):
        if not message.data and not message.reply:
            ended.set_result(message.headers)
            return
        got.append(message)
        if message.reply:
            await nc.publish(message.reply, b"")

    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox, cb=hear)
    answer = await api(nc, f"STREAM.SNAPSHOT.{stream}", {"deliver_subject": inbox, **request})
    assert "error" not in answer, answer
    headers = await asyncio.wait_for(ended, 60)
    await subscription.unsubscribe()
    return answer, b"".join(m.data for m in got), sum(1 for m in got if m.reply), headers


async def restore(nc, stream, answer, data, chunk=64 * 1024):
    """The last answer."""
    opened = await api(nc, f"STREAM.RESTORE.{stream}", {"config": answer["config"], "state": answer["state"]})
    if "error" in opened:
        return opened
    subject = opened["deliver_subject"]
    for at in range(0, len(data), chunk):
        reply = await nc.request(subject, data[at:at + chunk], timeout=20)
        if reply.data:
            return json.loads(reply.data)
    return json.loads((await nc.request(subject, b"", timeout=20)).data)


async def contents(nc, stream):
    """Everything stored: sequence, time, subject, header block, payload."""
    state = (await api(nc, f"STREAM.INFO.{stream}"))["state"]
    out = []
    for seq in range(state["first_seq"], state["last_seq"] + 1):
        message = (await api(nc, f"STREAM.MSG.GET.{stream}", {"seq": seq})).get("message")
        if message:
            out.append((seq, message["time"], message["subject"], base64.b64decode(message.get("hdrs", "")),
                        base64.b64decode(message.get("data", ""))))
    return out
