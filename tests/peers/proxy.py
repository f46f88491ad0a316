"""A TCP proxy that stands for the link between two sites: it can be cut, refused and slowed."""

import asyncio
import threading


class Link:
    def __init__(self, target_port):
        self.target_port = target_port
        self.port = None
        self.up = True
        self.delay = 0.0
        self._writers = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def _run(self):
        asyncio.set_event_loop(self._loop)

        async def listen():
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
            self._ready.set()

        self._loop.run_until_complete(listen())
        self._loop.run_forever()

    async def _accept(self, reader, writer):
        if not self.up:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        self._writers -= {writer, far_writer}

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        except (ConnectionError, OSError):
            pass
        finally:
            writer.close()

    def _call(self, function):
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (function(), done.set()))
        done.wait(10)

    def cut(self):
        """Drops every connection, whatever is on its way, and refuses new ones until mend()."""
        def now():
            self.up = False
            for writer in list(self._writers):
                writer.transport.abort()
        self._call(now)

    def mend(self):
        self.up = True

    def close(self):
        async def end():
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class LongLink(Link):
    """A link whose bytes are on their way for `delay` seconds and come at `rate` bytes a second, each way. `depth` parts of `chunk`
    bytes are on their way at most."""

    def __init__(self, target_port, delay, rate, chunk=1024, depth=64):
        self.way, self.rate, self.chunk, self.depth = delay, rate, chunk, depth
        super().__init__(target_port)

    async def _pump(self, reader, writer):
        way = asyncio.Queue(maxsize=self.depth)

        async def arrive():
            free = 0.0
            while (part := await way.get())[1]:
                due, data = part
                now = asyncio.get_running_loop().time()
                free = max(free, due, now)
                await asyncio.sleep(free - now)
                free += len(data) / self.rate
                writer.write(data)
                await writer.drain()

        arriving = asyncio.ensure_future(arrive())
        try:
            while (data := await reader.read(self.chunk)) and not arriving.done():
                await way.put((asyncio.get_running_loop().time() + self.way, data))
            await way.put((0, b""))
            await arriving
        except (ConnectionError, OSError):
            pass
        finally:
            arriving.cancel()
            writer.close()
