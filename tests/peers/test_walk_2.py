"""What an operator met who had only the documentation: each test was a defect once."""

import json
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

import servers

TLS = servers.ROOT / "tests/fixtures/tls"


def sluice(*arguments, **more):
    return subprocess.run([servers.SLUICE, *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **more)


def logged_in(port):
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.recv(4096)
    client.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
    return client


def read_until(client, word, seconds=30):
    got, deadline = b"", time.monotonic() + seconds
    while word not in got and time.monotonic() < deadline:
        more = client.recv(65536)
        if not more:
            break
        got += more
    return got


def test_a_crowd_of_connections_leaves_the_store_its_descriptors(farm):
    """Without descriptors no journal file can be made: the store was read-only from then on, before anybody had logged in."""
    port, monitor = servers.free_port(), servers.free_port()
    server = farm.sluice(f"server: {{listen: '127.0.0.1:{port}'}}\nstore: {{dir: '{{dir}}'}}\nmonitor: {{listen: '127.0.0.1:{monitor}'}}\n", port)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    server.start()
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (256, 256))
    publisher = logged_in(port)
    request = b'{"name":"BIG","subjects":["big.>"]}'
    publisher.sendall(b"SUB _I 1\r\nPUB $JS.API.STREAM.CREATE.BIG _I %d\r\n%s\r\n" % (len(request), request))
    assert b"did_create" in read_until(publisher, b"did_create")
    crowd, turned_away = [], False
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[1], 4096), before[1]))
    try:
        while not turned_away and len(crowd) < 1000:
            client = socket.create_connection(("127.0.0.1", port), timeout=30)
            crowd.append(client)
            try:
                turned_away = client.recv(4096) == b""
            except ConnectionResetError:
                turned_away = True
        assert turned_away and len(crowd) > 100
        # More than two journal files of 64 MiB.
        payload = b"x" * 512 * 1024
        for _ in range(300):
            publisher.sendall(b"PUB big.a _I %d\r\n%s\r\n" % (len(payload), payload))
            answer = read_until(publisher, b"}\r\n")
            assert b'"seq"' in answer and b"error" not in answer, answer
    finally:
        for client in crowd:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    log = server.log_path.read_text()
    assert "read-only" not in log and "connections cannot be accepted" in log
    assert json.loads(servers.http_get(monitor, "/healthz"))["status"] == "ok"


def test_check_looks_into_the_files_that_a_configuration_names(tmp_path):
    for name in ("server.pem", "server-key.pem", "client-key.pem"):
        shutil.copy(TLS / name, tmp_path)
        (tmp_path / name).chmod(0o600)

    def check(cert, key, more=""):
        path = tmp_path / "sluice.yaml"
        path.write_text(f"server:\n  listen: 127.0.0.1:4222\n  tls:\n    cert: {tmp_path}/{cert}\n    key: {tmp_path}/{key}\n{more}")
        path.chmod(0o600)
        return sluice("check", str(path))

    assert check("server.pem", "server-key.pem").returncode == 0
    missing = check("nowhere.pem", "server-key.pem")
    assert missing.returncode == 78 and "sluice.yaml:4:11: warning: 'cert':" in missing.stderr and "No such file" in missing.stderr
    other = check("server.pem", "client-key.pem")
    assert other.returncode == 78 and "sluice.yaml:" in other.stderr
    # What a daemon starts without is a warning.
    copy = "replicator:\n  streams:\n    - {stream: A, target: {servers: ['nats://far:4222'], credentials: /nowhere.creds}}\n"
    warned = check("server.pem", "server-key.pem", copy)
    assert warned.returncode == 0 and "warning: 'credentials': /nowhere.creds: No such file or directory" in warned.stderr


def test_check_says_once_that_a_password_is_missing(tmp_path):
    path = tmp_path / "sluice.yaml"
    path.write_text("server:\n  user: a\n  password: ${SLUICE_TEST_UNSET}\n")
    told = sluice("check", str(path)).stderr
    assert "SLUICE_TEST_UNSET is not set" in told and "1 problem" in told


def test_the_command_line_finds_a_daemon_with_tls_and_says_why_it_does_not(farm):
    port = servers.free_port()
    for name in ("server.pem", "server-key.pem", "ca.pem"):
        shutil.copy(TLS / name, farm.folder)
        (farm.folder / name).chmod(0o600)
    server = farm.sluice(f"server:\n  listen: '127.0.0.1:{port}'\n  user: joe\n  password: secret\n  tls: {{cert: {farm.folder}/server.pem, key: {farm.folder}/server-key.pem}}\n"
                         "store: {dir: '{dir}'}\nmonitor: {enabled: false}\n", port)
    server.start()
    url = f"tls://127.0.0.1:{port}"
    assert sluice("kv", "ls", "--config", str(farm.folder / "sluice.yaml")).returncode == 0
    environment = {"SLUICE_PASSWORD": "secret"}
    trusted = sluice("kv", "ls", "--server", f"tls://localhost:{port}", "--user", "joe", "--tlsca", str(farm.folder / "ca.pem"), env=environment)
    assert trusted.returncode == 0, trusted.stderr
    unknown = sluice("kv", "ls", "--server", url, "--user", "joe", env=environment)
    assert unknown.returncode == 1 and "certificate" in unknown.stderr, unknown.stderr
    wrong = sluice("kv", "ls", "--server", f"tls://joe:wrong@localhost:{port}", "--tlsca", str(farm.folder / "ca.pem"))
    assert wrong.returncode == 1 and "Authorization Violation" in wrong.stderr and "wrong" not in wrong.stderr, wrong.stderr
    nobody = sluice("kv", "ls", "--server", f"127.0.0.1:{servers.free_port()}")
    assert "connection refused" in nobody.stderr and "is the daemon running?" in nobody.stderr, nobody.stderr


def test_a_verb_that_does_not_exist_is_named():
    top = sluice("chek", "x.yaml")
    assert top.returncode == 64 and "there is no 'chek', did you mean 'check'?" in top.stderr
    inner = sluice("kv", "lst")
    assert inner.returncode == 64 and "kv: there is no 'lst'" in inner.stderr
    assert sluice("--version").stdout == sluice("version").stdout


def test_a_refused_reload_is_a_line_for_each_problem(farm):
    port = servers.free_port()
    server = farm.sluice(f"server: {{listen: '127.0.0.1:{port}'}}\nstore: {{dir: '{{dir}}'}}\nmonitor: {{enabled: false}}\nlog: {{format: json}}\n", port).start()
    with (farm.folder / "sluice.yaml").open("a") as config:
        config.write("bogus: 1\nmore: 2\n")
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    while "'more'" not in server.log_path.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    lines = [json.loads(line) for line in server.log_path.read_text().splitlines()]
    assert sum("reload refused" in json.dumps(line) for line in lines) == 3, lines


def test_the_configurations_in_the_documentation_are_right(tmp_path):
    """Whole configurations only; the files that they name are not here, which is a warning."""
    seen = 0
    for page in ("README.md", "docs/kafka.md"):
        for block in re.findall(r"```yaml\n(.*?)```", (servers.ROOT / page).read_text(), re.S):
            path = tmp_path / "sluice.yaml"
            path.write_text(re.sub(r"property_files: .*", "", block))
            checked = sluice("check", str(path))
            assert checked.returncode == 0, (page, block, checked.stderr)
            seen += 1
    assert seen >= 1
    for name in ("events", "kafka", "quickstart"):
        checked = sluice("check", str(servers.ROOT / f"config/examples/{name}.yaml"))
        assert checked.returncode == 0, checked.stderr


def test_a_command_that_knows_no_signals_may_lead(farm):
    """SIGUSR1, which tells that it leads, ended it a second after the win."""
    server = farm.sluice_as_nats_server().start()
    sluice("kv", "add", "CHORIA_LEADER_ELECTION", "--ttl", "10s", "--server", server.url)
    led = sluice("election", "run", "E", "--server", server.url, "--", "python3", "-c",
                 "import select, sys; select.select([], [], [], 2.5); print('worked'); sys.exit(7)")
    assert led.returncode == 7 and "worked" in led.stdout, led
