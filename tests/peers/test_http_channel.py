"""Event channels: an endpoint that fails in every way, a daemon that is killed, and replay from the command line."""

import asyncio
import http.server
import json
import os
import random
import subprocess
import threading
import time

import nats

import servers

CONFIG = """
server: {listen: "127.0.0.1:{port}"}
store: {dir: "{dir}"}
monitor: {listen: "127.0.0.1:%d"}
adapters:
  - type: http_channel
    name: out
    endpoint: %s
    routes: [{stream: IN, subject: "in.>"}]
    timeout: 500ms
    retry: {first: 20ms, last: 200ms}
%s
"""


class Endpoint:
    """Takes events and counts those it has said 2xx to; `mood` picks what is done with each request."""

    def __init__(self, mood=lambda: "ok"):
        self.taken, self.seen, self.headers, self.moods = [], [], [], {}
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                what = mood()
                endpoint.moods[what] = endpoint.moods.get(what, 0) + 1
                endpoint.seen.append(body)
                endpoint.headers.append(dict(self.headers))
                getattr(self, f"be_{what}")(body)

            def say(self, code, text=b"", **headers):
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def be_ok(self, body):
                endpoint.taken.append(body)
                self.say(200, b"thanks")

            def be_ok_and_gone(self, body):  # it took the event and nobody hears of it
                endpoint.taken.append(body)
                self.close_connection = True

            def be_error(self, body):
                self.say(500, b"x" * 1000)

            def be_throttling(self, body):
                self.say(429, Retry_After="0")

            def be_elsewhere(self, body):
                self.say(307, Location="http://127.0.0.1:1/")

            def be_silent(self, body):
                time.sleep(0.7)
                self.close_connection = True

            def be_dropping(self, body):
                self.connection.close()
                self.close_connection = True

            def be_lying(self, body):  # shorter than it says
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")
                self.wfile.flush()
                self.close_connection = True

            def be_rubbish(self, body):
                self.wfile.write(os.urandom(64))
                self.close_connection = True

            def log_message(self, *args):
                pass

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/events"

    def wait(self, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"saw {len(self.seen)}, took {len(self.taken)}, moods {self.moods}"
            time.sleep(0.01)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def start(farm, endpoint, more=""):
    port, monitor = servers.free_port(), servers.free_port()
    daemon = farm.sluice(CONFIG % (monitor, endpoint.url, more), port)
    daemon.monitor = monitor
    return daemon.start()


def publish(daemon, bodies, wait_for_route=True):
    async def run():
        client = await nats.connect(daemon.url)
        js = client.jetstream()
        try:
            await js.stream_info("IN")
        except nats.js.errors.NotFoundError:
            await js.add_stream(name="IN", subjects=["in.>"])
        if wait_for_route:  # what comes before the route is there is not its business
            deadline = time.monotonic() + 30
            while (await js.stream_info("IN")).state.consumer_count == 0:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
        for body in bodies:
            await js.publish("in.x", body.encode())
        await client.close()

    asyncio.run(run())


def buffered(daemon):
    async def run():
        client = await nats.connect(daemon.url)
        count = (await client.jetstream().stream_info("eventchannel-out-stream")).state.messages
        await client.close()
        return count

    return asyncio.run(run())


def test_an_endpoint_of_every_bad_manner_gets_everything_in_order(farm):
    dice = random.Random(7)
    bad = ["error", "throttling", "elsewhere", "silent", "dropping", "lying", "rubbish", "ok_and_gone"]
    turns = [bad[i % len(bad)] if i % 3 == 0 else "ok" for i in range(120)]
    dice.shuffle(turns)
    endpoint = Endpoint(lambda: turns.pop() if turns else "ok")
    daemon = start(farm, endpoint)
    bodies = [str(i) for i in range(150)]
    publish(daemon, bodies)
    endpoint.wait(lambda: len(set(endpoint.taken)) == len(bodies) and not turns)
    assert set(endpoint.moods) == {*bad, "ok"}
    first_times = list(dict.fromkeys(endpoint.taken))
    assert first_times == bodies
    # Twice only where it took the event and did not say so.
    assert len(endpoint.taken) == len(bodies) + endpoint.moods["ok_and_gone"]
    ids = {h["ce-id"] for h in endpoint.headers}
    assert len(ids) == len(bodies), "sent again, an event is the same event"
    endpoint.wait(lambda: buffered(daemon) == 0)
    assert daemon.stop() == 0
    endpoint.close()


def test_nothing_is_lost_through_kills(farm):
    endpoint = Endpoint()
    daemon = start(farm, endpoint)
    bodies = [str(i) for i in range(400)]
    publish(daemon, bodies[:1])
    endpoint.wait(lambda: len(endpoint.taken) > 0)
    for kill in range(3):
        publish(daemon, bodies[1 + kill * 133: 1 + (kill + 1) * 133], wait_for_route=False)
        before = len(endpoint.taken)
        endpoint.wait(lambda: len(endpoint.taken) >= min(before + 40, len(bodies)))
        daemon.kill()
        daemon.start()
    endpoint.wait(lambda: len(set(endpoint.taken)) == len(bodies))
    assert list(dict.fromkeys(endpoint.taken)) == bodies
    assert len(endpoint.taken) <= len(bodies) + 3, "only what was under way at a kill is sent twice"
    endpoint.wait(lambda: buffered(daemon) == 0)
    endpoint.close()


def sluice(*arguments):
    return subprocess.run([servers.SLUICE, *arguments], capture_output=True, text=True, timeout=60)


def test_replay(farm):
    endpoint = Endpoint()
    daemon = start(farm, endpoint)
    bodies = [str(i) for i in range(60)]
    publish(daemon, bodies)
    endpoint.wait(lambda: len(endpoint.taken) == 60)

    def replay(*arguments):
        endpoint.taken.clear()
        return sluice("replay", "IN", "--to", "out", "-s", daemon.url, *arguments)

    done = replay("--last", "10", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "Would replay 10 messages of IN to the channel out\n")
    done = replay("--last", "10")
    assert (done.returncode, done.stdout) == (0, "Replayed 10 messages of IN to the channel out\n"), done.stderr
    endpoint.wait(lambda: endpoint.taken == bodies[-10:])
    assert replay("--seq", "5-7").returncode == 0
    endpoint.wait(lambda: endpoint.taken == bodies[4:7])
    assert replay("--since", "1h").stdout == "Replayed 60 messages of IN to the channel out\n"
    endpoint.wait(lambda: endpoint.taken == bodies)
    assert replay("--since", "1h", "--subject", "in.y").stdout == "Replayed 0 messages of IN to the channel out\n"
    for wrong, words in ((("--seq", "7-5"), "two numbers"), (("--since", "later"), "a duration"), ((), "which messages")):
        done = replay(*wrong)
        assert done.returncode == 1 and words in done.stderr, done.stderr
    done = sluice("replay", "IN", "--last", "1", "--to", "nobody", "-s", daemon.url)
    assert done.returncode == 1 and "there is no channel 'nobody'" in done.stderr
    done = sluice("replay", "NONE", "--last", "1", "--to", "out", "-s", daemon.url)
    assert done.returncode == 1 and "there is no stream 'NONE' in this login's account on nats://" in done.stderr, done.stderr
    assert "it has IN, " in done.stderr or ", IN" in done.stderr, done.stderr
    figures = json.loads(servers.http_get(daemon.monitor, "/adapters"))["adapters"][0]
    assert (figures["accepted"], figures["place"]) == (60 + 10 + 3 + 60, endpoint.url)
    endpoint.close()
