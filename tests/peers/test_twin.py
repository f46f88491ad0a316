"""The twin: the same requests and publishes to Sluice and to nats-server, answers compared key by key.

Scripts are twin/*.twin (the language: twin/script.py). Where an answer differs on purpose twin/differences.txt says why; a row that nothing needs
any more fails, as does an error code that no script meets and twin/unreached.txt does not name.
"""

import fnmatch
import os
import re

import pytest

import servers
from twin import play, script

MIN_EXCHANGES = 600
DIFFERENCES = script.FOLDER / "differences.txt"
UNREACHED = script.FOLDER / "unreached.txt"
ERRORS = servers.ROOT / "core/base/api_errors.def"
VERBS = servers.ROOT / "core/api/verbs.cc"

results = {}
used_rows = set()


def rows(path):
    """`a | b | c` lines."""
    return [tuple(part.strip() for part in line.split(" | ")) for line in path.read_text().splitlines()
            if line.strip() and not line.startswith("#")]


def allowed(step, path):
    for row in rows(DIFFERENCES):
        name, start, pattern, _ = row
        if name in ("*", step.script) and str(step).startswith(start) and fnmatch.fnmatchcase(path, pattern):
            used_rows.add(row)
            return True
    return False


@pytest.fixture(scope="module")
def pair():
    if not os.path.exists(servers.NATS_SERVER):
        pytest.skip("no nats-server here")
    farm = servers.Farm()
    started = {}

    def get(extra=""):
        """Two servers with the same jetstream settings; started once for each."""
        if extra not in started:
            port = [servers.free_port(), servers.free_port()]
            sides = []
            for n, make in enumerate((farm.sluice_as_nats_server, farm.nats_server)):
                name = f"{'ours' if n == 0 else 'theirs'}{len(started)}"
                if not extra:
                    sides.append(make(name, port[n]).start())
                    continue
                conf = farm.folder / f"{name}.conf"
                conf.write_text(f'server_name: twin\nhost: 127.0.0.1\nport: {port[n]}\n{extra}'.replace("STORE", str(farm.folder / f"{name}-store")))
                binary = [servers.SLUICE, "nats-server"] if n == 0 else [servers.NATS_SERVER]
                sides.append(farm._add([*binary, "-c", str(conf)], port[n], name).start())
            started[extra] = sides
        return started[extra]

    yield get
    farm.close()


@pytest.mark.parametrize("path", script.scripts(), ids=lambda p: p.stem)
def test_script(pair, path):
    steps = script.load(path)
    settings = ""
    if steps[0].command == "server":
        settings = " ".join([*steps[0].words, steps[0].body]).strip() + "\n"
        steps = steps[1:]
    result = play.play(steps, *pair(settings))
    results[path.stem] = result
    wrong = {}
    for step, where, a, b in result.found:
        if not allowed(step, where):
            wrong.setdefault(f"{path.name}:{step.number}: {step}", []).append(f"    {where}: ours {a!r}, theirs {b!r}")
    if wrong:
        # An error against a success differs everywhere: the first paths tell enough.
        order = lambda lines: sorted(lines, key=lambda line: ".error." not in line)[:6]
        pytest.fail(f"{len(wrong)} steps differ\n" + "\n".join("\n".join([step, *order(lines)]) for step, lines in wrong.items()), pytrace=False)


def test_coverage():
    """Enough exchanges, every API subject, every reachable error code, no row without use."""
    if len(results) < len(script.scripts()):
        pytest.skip("not all scripts were played")
    exchanges = sum(r.exchanges for r in results.values())
    print(f"twin: {exchanges} exchanges in {len(results)} scripts")
    assert exchanges >= MIN_EXCHANGES
    patterns = re.findall(r'^\s*\{"([A-Z][A-Z.*>_]+)",', VERBS.read_text(), re.M) + ["DIRECT.GET.*", "DIRECT.GET.*.>", "CONSUMER.MSG.NEXT.*.*"]
    asked = {s for r in results.values() for s in r.subjects}
    unreached = {row[0] for row in rows(UNREACHED)}
    missing = {p for p in patterns
               if not any(re.fullmatch(p.replace(".", r"\.").replace("*", r"[^.]+").replace(">", ".+"), s) for s in asked)}
    assert missing == {p for p in unreached if not p.isdigit()}, f"API subjects that no script asks: {missing}"
    met = {c for r in results.values() for c in r.codes}
    unreached = {int(what) for what in unreached if what.isdigit()}
    all_codes = {int(c) for c in re.findall(r"^X\((\d+)", ERRORS.read_text(), re.M)}
    assert not (all_codes - met - unreached), f"error codes that no script meets: {sorted(all_codes - met - unreached)}"
    assert not (met & unreached), f"met, yet named in {UNREACHED.name}: {sorted(met & unreached)}"
    idle = [row for row in rows(DIFFERENCES) if row not in used_rows and not row[3].startswith("for now")]
    assert not idle, f"rows of {DIFFERENCES.name} that nothing needs: {idle}"
