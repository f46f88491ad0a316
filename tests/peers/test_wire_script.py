"""Every dialogue of tests/wire_script on Sluice and, in the same run, on the reference nats-server."""

import pathlib

import pytest

import servers
import wire_script

SCRIPTS = servers.ROOT / "tests/wire_script"
COMPATIBILITY = servers.ROOT / "docs/compatibility.md"
FILES = {path.stem: wire_script.read_file(path) for path in sorted(SCRIPTS.glob("*.txt"))}
CASES = [pytest.param((stem, kind), dialogue, id=f"{stem}-{kind}-{dialogue.name.replace(' ', '_')}")
         for stem, (_, dialogues) in FILES.items()
         for kind in ("sluice", "nats")
         for dialogue in dialogues]


@pytest.fixture(scope="module")
def running(request):
    """The server of one file, of one kind: started once for all of the file's dialogues."""
    stem, kind = request.param
    if kind == "nats" and not pathlib.Path(servers.NATS_SERVER).exists():
        pytest.skip("no nats-server here")
    farm = servers.Farm()
    try:
        config = farm.folder / "server.conf"
        config.write_text(FILES[stem][0].replace("{dir}", str(farm.folder)))
        port = servers.free_port()
        program = [servers.SLUICE, "nats-server"] if kind == "sluice" else [servers.NATS_SERVER]
        server = servers.Server([*program, "-a", "127.0.0.1", "-p", str(port), "-c", str(config)], port, farm.folder, kind)
        farm.servers.append(server)
        yield server.start()
    finally:
        farm.close()


@pytest.mark.parametrize("running, dialogue", CASES, indirect=["running"])
def test_dialogue(running, dialogue):
    wire_script.Player(running.port, running.name, {"PORT": str(running.port)}).play(dialogue)


def test_every_difference_has_its_reason():
    told = COMPATIBILITY.read_text()
    for _, dialogues in FILES.values():
        for dialogue in dialogues:
            assert not dialogue.differs or dialogue.identity in told, f"{dialogue.identity} is not in {COMPATIBILITY}"


def test_there_are_enough_dialogues():
    assert sum(len(dialogues) for _, dialogues in FILES.values()) >= 150
