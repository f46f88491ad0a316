"""A small raw NATS client for load: pipelined publishes with a reply subject each, acks counted as they come."""

import asyncio
import json
import time


class RawPublisher:
    """Publishes `id` payloads as fast as the window allows; keeps seq → id of every PubAck it saw."""

    def __init__(self, port, subject, acked, window=500, size=128):
        self.port, self.subject, self.acked, self.window, self.size = port, subject, acked, window, size
        self.in_flight = 0
        self.errors = []
        self.doubled = []

    async def run(self, next_id, stop):
        """Until `stop` is set or the connection breaks. `next_id` is an iterator of ints."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await reader.readline()
        writer.write(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\nSUB ack.* 1\r\nPING\r\n')
        room = asyncio.Event()
        room.set()

        async def read_acks():
            while line := await reader.readline():
                if line.startswith(b"PING"):
                    writer.write(b"PONG\r\n")
                if not line.startswith((b"MSG ", b"HMSG ")):
                    continue
                parts = line.split()
                body = await reader.readexactly(int(parts[-1]) + 2)
                self.in_flight -= 1
                room.set()
                if line.startswith(b"HMSG"):
                    self.errors.append(body)
                    continue
                answer = json.loads(body)
                if "error" in answer:
                    self.errors.append(answer["error"])
                    continue
                identity = int(parts[1].split(b".")[1])
                if self.acked.setdefault(answer["seq"], identity) != identity:
                    self.doubled.append((answer["seq"], self.acked[answer["seq"]], identity))

        acks = asyncio.ensure_future(read_acks())
        acks.add_done_callback(lambda _: room.set())  # the connection broke: nobody will make room
        try:
            while not stop.is_set() and not acks.done():
                if self.in_flight >= self.window:
                    room.clear()
                    await asyncio.wait_for(room.wait(), 20)
                    continue
                batch = bytearray()
                for _ in range(min(50, self.window - self.in_flight)):
                    identity = next(next_id)
                    payload = str(identity).encode().ljust(self.size, b".")
                    batch += b"PUB %s ack.%d %d\r\n%s\r\n" % (self.subject.encode(), identity, len(payload), payload)
                    self.in_flight += 1
                writer.write(bytes(batch))
                await writer.drain()
                await asyncio.sleep(0)
        except (ConnectionError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            acks.cancel()
            await asyncio.gather(acks, return_exceptions=True)
            writer.close()


async def read_stream(port, stream, first=1):
    """All messages from `first` on as a list of (seq, subject, headers, payload), by an ack-none pull consumer."""
    import nats
    from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
    from nats.js.errors import ServiceUnavailableError

    nc = await nats.connect(f"nats://127.0.0.1:{port}")
    try:
        js = nc.jetstream(timeout=20)
        out = []
        info = await js.stream_info(stream)
        if info.state.messages == 0 or info.state.last_seq < first:
            return out
        sub = await js.pull_subscribe(
            "", stream=stream, config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=max(first, 1),
                ack_policy=AckPolicy.NONE, inactive_threshold=60))
        deadline = time.monotonic() + 30
        while not out or out[-1][0] < info.state.last_seq:
            try:
                fetched = await sub.fetch(500, timeout=20)
            except ServiceUnavailableError:
                # The new consumer's leader in a cluster may not listen yet; one server has no such excuse.
                if "cluster" not in nc._server_info or time.monotonic() > deadline:
                    raise
                continue
            for m in fetched:
                out.append((m.metadata.sequence.stream, m.subject, m.headers, m.data))
        return out
    finally:
        await nc.close()
