"""Holds docs/compatibility.md against the tests: every test that a row names exists, and ran.

A row may name: `tests/ROOM` (the room's unit tests), `Suite.Name` or `Suite` (gtest), `tests/peers/test_x.py` or `tests/peers`, one script of the
twin test `tests/peers/twin/NAME.twin`, `simulate`. A row that claims *yes* or *part* must name one.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs/compatibility.md"


class Ran:
    """What a run of the tests carried out; skipped tests did not run."""

    def __init__(self):
        self.programs = set()  # test_stream, …
        self.gtests = set()  # Suite.Name
        self.peers = set()  # (file stem, test name)
        self.simulate = False

    def add_gtest_report(self, program, report):
        self.programs.add(program)
        for suite in report.get("testsuites", []):
            for case in suite.get("testsuite", []):
                if case.get("status") == "RUN" and case.get("result") != "SKIPPED":
                    self.gtests.add(f"{suite['name']}.{case['name']}")

    def add_junit_case(self, case):
        if case.find("skipped") is None:
            self.peers.add((case.get("classname", "").rsplit(".", 1)[-1], case.get("name", "")))


def rows(text):
    """(line number, first cell, status, [named tests]) of every row of every table that has a `test` column."""
    columns = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|"):
            columns = None
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if columns is None:
            columns = cells
        elif "test" in columns and not set(line) <= set("|- "):
            # A | inside a cell would shift the columns; the test is the last one.
            status = cells[columns.index("status")] if len(cells) > columns.index("status") else ""
            yield number, cells[0], status, re.findall(r"`([^`]+)`", cells[-1])


def exists(name):
    """Does the source of this test stand in the tree? gtest names are looked up in the sources."""
    if name == "simulate":
        return True
    if name.startswith("tests/"):
        return (ROOT / name).exists()
    suite, _, test = name.partition(".")
    pattern = re.compile(rf"\bTEST(_F|_P)?\(\s*{re.escape(suite)}\s*,\s*{re.escape(test) if test else ''}")
    return any(pattern.search(path.read_text(errors="replace")) for path in (ROOT / "tests").rglob("*_test.cc"))


def was_run(name, ran):
    if name == "simulate":
        return ran.simulate
    if name.startswith("tests/peers/twin/"):
        return ("test_twin", f"test_script[{pathlib.Path(name).stem}]") in ran.peers
    if name.startswith("tests/peers/"):
        return any(stem == pathlib.Path(name).stem for stem, _ in ran.peers)
    if name == "tests/peers":
        return bool(ran.peers)
    if name.startswith("tests/"):
        return f"test_{name.removeprefix('tests/')}" in ran.programs
    return name in ran.gtests or any(test.startswith(name + ".") for test in ran.gtests)


def check(ran=None):
    """@return faults, one line each. `ran` None = only what can be told without a run."""
    faults = []
    for number, row, status, tests in rows(TABLE.read_text()):
        where = f"docs/compatibility.md:{number}: {row[:60]}"
        if status in ("yes", "part") and not tests:
            faults.append(f"{where}: names no test")
        for name in tests:
            if not exists(name):
                faults.append(f"{where}: no such test: {name}")
            elif ran is not None and not was_run(name, ran):
                faults.append(f"{where}: did not run: {name}")
    return faults


if __name__ == "__main__":
    found = check()
    print("\n".join(found) or "docs/compatibility.md: every row names a test that exists")
    raise SystemExit(bool(found))
