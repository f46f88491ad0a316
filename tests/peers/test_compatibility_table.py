"""The checker of docs/compatibility.md itself: it must notice what it is there for."""

import importlib.util
import pathlib
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
spec = importlib.util.spec_from_file_location("compatibility", ROOT / "tests/compatibility.py")
compatibility = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compatibility)

TABLE = """
| row | feature | status | note | test |
|---|---|---|---|---|
| A1 | one | yes | a \\| in a note | `tests/api` |
| A2 | two | yes | | `Suite.Name`, `tests/peers/test_twin.py` |
| A3 | three | yes | | |
| A4 | four | missing | | |

| | the reference | here |
|---|---|---|
| Q1 | no test column | no row |
"""


def faults(tmp_path, monkeypatch, ran):
    table = tmp_path / "compatibility.md"
    table.write_text(TABLE)
    monkeypatch.setattr(compatibility, "TABLE", table)
    return [fault.split(": ", 2)[2] for fault in compatibility.check(ran)]


def test_it_wants_a_test_that_exists(tmp_path, monkeypatch):
    assert faults(tmp_path, monkeypatch, None) == ["no such test: Suite.Name", "names no test"]


def test_it_wants_the_test_to_have_run(tmp_path, monkeypatch):
    monkeypatch.setattr(compatibility, "exists", lambda name: True)
    ran = compatibility.Ran()
    assert faults(tmp_path, monkeypatch, ran) == [
        "did not run: tests/api", "did not run: Suite.Name", "did not run: tests/peers/test_twin.py", "names no test"]
    ran.add_gtest_report("test_api", {"testsuites": [{"name": "Suite", "testsuite": [
        {"name": "Name", "status": "RUN", "result": "SKIPPED"}]}]})
    ran.add_junit_case(ElementTree.fromstring('<testcase classname="tests.peers.test_twin" name="test_script[acks]"/>'))
    assert faults(tmp_path, monkeypatch, ran) == ["did not run: Suite.Name", "names no test"]
