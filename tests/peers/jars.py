"""Java peers from Maven Central, by exact version and digest."""

import hashlib
import pathlib
import shutil
import subprocess

import pytest

import left_out
import servers

HERE = pathlib.Path(__file__).resolve().parent


def install(room, what):
    """The jars that `room`/pom.xml names, once; each must have the digest written in `room`/libs.sha256.

    :return: their folder. Leaves the test out where Java, Maven or the registry is missing.
    """
    libs = servers.ROOT / "build/peers" / room
    if not shutil.which("java"):
        left_out.leave_out(f"{what}: no Java here (needs 17 or newer)")
    if has_all(room, libs):
        return libs
    if not shutil.which("mvn"):
        left_out.leave_out(f"{what}: no Maven here")
    shutil.rmtree(libs, ignore_errors=True)
    libs.mkdir(parents=True)
    done = subprocess.run(["mvn", "-q", "-B", "-f", str(HERE / room / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={libs}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=600)
    if done.returncode != 0:
        # A registry that is away for a while is no fault of ours.
        left_out.leave_out(f"{what}: mvn failed: {(done.stdout.strip().splitlines() or ['nothing said'])[-1]}", is_required=False)
    if not has_all(room, libs):
        pytest.fail(f"the jars of {what} are not those whose digests are in tests/peers/{room}/libs.sha256", pytrace=False)
    return libs


def has_all(room, libs):
    wanted = dict(reversed(line.split()) for line in (HERE / room / "libs.sha256").read_text().splitlines())
    return all((libs / name).exists() and hashlib.sha256((libs / name).read_bytes()).hexdigest() == digest for name, digest in wanted.items())
