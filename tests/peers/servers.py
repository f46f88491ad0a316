"""Starts the daemons that the peer tests talk to: Sluice, and the reference nats-server."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SLUICE = os.environ.get("SLUICE_BINARY", str(ROOT / "build/release/sluice"))
NATS_SERVER = os.environ.get("SLUICE_NATS_SERVER", str(ROOT / "build/peers/nats-server"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=20):
    """Waits until somebody accepts on `port`; fails at once when `process` ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"server ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nobody listens on {port} after {seconds} s")


class Server:
    """One daemon with a folder of its own; start, kill and start again as often as wanted."""

    def __init__(self, command, port, folder, name, ready_port=None):
        self.command, self.port, self.folder, self.name = command, port, folder, name
        self.ready_port = ready_port or port
        self.process = None
        self.log_path = pathlib.Path(folder) / f"{name}.log"

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        try:
            wait_for_port(self.ready_port, self.process)
        except Exception as e:
            raise RuntimeError(f"{self.name}: {e}\n{self.log_tail()}") from e
        return self

    def log_tail(self, lines=40):
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def kill(self):
        """kill -9."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait()
        self.process = None

    def stop(self, seconds=20):
        """SIGTERM; returns the exit code."""
        if not self.process:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not stop within {seconds} s\n{self.log_tail()}") from None
        self.process = None
        return code


class Farm:
    """Folders and servers of one test; everything is gone afterwards."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-peers-"))
        self.servers = []

    def _add(self, command, port, name, ready_port=None):
        server = Server(command, port, self.folder, name, ready_port)
        self.servers.append(server)
        return server

    def nats_server(self, name="nats", port=None, extra=()):
        port = port or free_port()
        store = self.folder / f"{name}-store"
        return self._add([NATS_SERVER, "-js", "-sd", str(store), "-a", "127.0.0.1", "-p", str(port), *extra], port, name)

    def sluice_as_nats_server(self, name="sluice", port=None, extra=()):
        """Sluice's nats-server face, for programs that are the same on both."""
        port = port or free_port()
        store = self.folder / f"{name}-store"
        return self._add([SLUICE, "nats-server", "-js", "-sd", str(store), "-a", "127.0.0.1", "-p", str(port), *extra],
                         port, name)

    def sluice(self, config_text, port, name="sluice", ready_port=None):
        """Sluice with a configuration of its own; {dir} and {port} in the text are filled in."""
        path = self.folder / f"{name}.yaml"
        path.write_text(config_text.replace("{dir}", str(self.folder / f"{name}-store")).replace("{port}", str(port)))
        path.chmod(0o600)
        return self._add([SLUICE, "run", "--config", str(path)], port, name, ready_port)

    def close(self):
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def http_get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.read().decode()
