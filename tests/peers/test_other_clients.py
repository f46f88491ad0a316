"""The official clients other than nats-py, unchanged on Sluice and on nats-server.

Each program prints a line per observation; what it prints for Sluice must be what it prints for nats-server.
"""

import json
import pathlib
import shutil
import subprocess

import pytest

import jars
import servers
from left_out import leave_out

HERE = pathlib.Path(__file__).resolve().parent
BUILT = servers.ROOT / "build/peers"

GO_PARTS = ["core", "streams", "publish", "acks", "fetching", "ordered", "policies", "push", "workqueue", "keyvalue",
            "objects", "older", "jobs"]
C_PARTS = ["core", "streams", "consumers", "keyvalue"]
JS_PARTS = ["core", "streams", "consumers", "keyvalue", "objects"]
JAVA_PARTS = ["core", "streams", "consumers", "keyvalue", "objects"]


def prepare(command, folder, what):
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=300)
    if done.returncode != 0:
        last = (done.stdout.strip().splitlines() or ["nothing said"])[-1]
        leave_out(f"{what} failed: {last}")


@pytest.fixture(scope="session")
def go_program():
    if not shutil.which("go"):
        leave_out("no Go here (nats.go needs 1.26)")
    program = BUILT / "go-clients"
    prepare(["go", "build", "-buildvcs=false", "-o", str(program), "."], HERE / "go", "go build of the nats.go program")
    return [str(program)]


@pytest.fixture(scope="session")
def js_program():
    if not shutil.which("node") or not shutil.which("npm"):
        leave_out("no Node here (nats.js needs node 20 and npm)")
    folder = BUILT / "js"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "js/package.json").read_text()
    installed = folder / "installed.json"
    if not installed.exists() or installed.read_text() != wanted:
        (folder / "package.json").write_text(wanted)
        prepare(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], folder, "npm install of nats.js")
        installed.write_text(wanted)
    # Modules are looked for beside the program, and the source tree stays clean.
    for source in (HERE / "js").glob("*.mjs"):
        shutil.copy(source, folder)
    return ["node", str(folder / "clients.mjs")]


@pytest.fixture(scope="session")
def c_program():
    if not shutil.which("cc") or not pathlib.Path("/usr/include/nats/nats.h").exists():
        leave_out("no C compiler or no libnats-dev here (nats.c needs both)")
    program = BUILT / "c-clients"
    prepare(["cc", "-std=c11", "-Wall", "-Wextra", "-O1", "-D_GNU_SOURCE", "-o", str(program), "clients.c", "logins.c", "-lnats"], HERE / "c",
            "compiling the nats.c program")
    return [str(program)]


@pytest.fixture(scope="session")
def java_program():
    jars_folder = jars.install("java", "jnats 2.26.0")
    if not shutil.which("javac"):
        leave_out("no javac here (jnats needs a JDK, 17 or newer)", is_required=False)
    classes = BUILT / "java-classes"
    prepare(["javac", "-cp", f"{jars_folder}/*", "-d", str(classes), "Clients.java"], HERE / "java", "compiling the jnats program")
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars_folder}/*:{classes}", "Clients"]


def printed(program, server, part):
    done = subprocess.run([*program, server.url, part], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", timeout=60)
    lines = done.stdout.splitlines()
    if done.returncode != 0:
        lines.append(f"ended with {done.returncode}: {done.stderr[-2000:]}")
    return lines, done.returncode


def compare(farm, program, part):
    if not pathlib.Path(servers.NATS_SERVER).exists():
        leave_out("no nats-server here")
    ours, reference = farm.sluice_as_nats_server().start(), farm.nats_server().start()
    expected, code = printed(program, reference, part)
    assert code == 0, f"on nats-server: {expected[-1]}"
    assert expected, "the program printed nothing"
    seen, _ = printed(program, ours, part)
    for want, got in zip(expected, seen, strict=False):
        assert got == want
    assert seen == expected


@pytest.mark.parametrize("part", GO_PARTS)
def test_nats_go(farm, go_program, part):
    compare(farm, go_program, part)


@pytest.mark.parametrize("part", JS_PARTS)
def test_nats_js(farm, js_program, part):
    compare(farm, js_program, part)


@pytest.mark.parametrize("part", C_PARTS)
def test_nats_c(farm, c_program, part):
    compare(farm, c_program, part)


@pytest.mark.parametrize("part", JAVA_PARTS)
def test_jnats(farm, java_program, part):
    compare(farm, java_program, part)


def test_js_packages_are_exact():
    """Nothing floats: without a committed lockfile the versions themselves must be exact."""
    dependencies = json.loads((HERE / "js/package.json").read_text())["dependencies"]
    assert dependencies and all(v[0].isdigit() for v in dependencies.values())
