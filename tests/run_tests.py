"""Runs what ./dev test and ./dev soak built, and adds up: the last line reads "N passed, N failed"."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

import compatibility

ROOT = pathlib.Path(__file__).resolve().parent.parent
NATS_SERVER = ROOT / "build/peers/nats-server"


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.ran = compatibility.Ran()

    def add(self, name, passed, failed, seconds):
        self.passed += passed
        self.failed += failed
        print(f"{'ok  ' if failed == 0 else 'FAIL'} {name}: {passed} passed, {failed} failed ({seconds:.1f} s)",
              flush=True)


def run_gtest(program, tally, more=(), **variables):
    """One unit-test program; a crash counts as one failure on top of what it had reported."""
    started = time.monotonic()
    environment = dict(os.environ, **variables)
    if NATS_SERVER.exists():
        environment["SLUICE_NATS_SERVER"] = str(NATS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        done = subprocess.run([program, f"--gtest_output=json:{report}", "--gtest_brief=1", *more], cwd=folder, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=86_400 if variables else 900)
        passed = failed = 0
        if report.exists():
            figures = json.loads(report.read_text())
            tally.ran.add_gtest_report(program.name, figures)
            failed = figures["failures"] + figures["errors"]
            passed = figures["tests"] - failed - figures.get("disabled", 0)
        if done.returncode != 0:
            failed = max(failed, 1)
        if failed or passed == 0:
            print(done.stdout)
            failed = max(failed, 1)
        tally.add(program.name, passed, failed, time.monotonic() - started)


def run_simulate(program, arguments, tally, blind_if_kept=False):
    """The simulator with a stated minimum; it fails below that minimum or on a violation.

    blind_if_kept: the disk lies here, and checkers that find nothing wrong are blind: that is the failure.
    """
    started = time.monotonic()
    tally.ran.simulate = True
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=86_400)
    lines = done.stdout.strip().splitlines()
    if done.returncode == (1 if blind_if_kept else 0):
        print(lines[-1] if lines else "")
        tally.add(f"{pathlib.Path(program).name} " + " ".join(arguments), 1, 0, time.monotonic() - started)
    else:
        print("\n".join(lines[-60:]))
        tally.add(f"{pathlib.Path(program).name} " + " ".join(arguments), 0, 1, time.monotonic() - started)


def run_proofs(program, tally):
    """The store's own proofs, for which a sanitized build is too slow; two at a time."""
    works = [(["--flips", how, "--seed", "1"], False) for how in ("clean", "kill")]
    works += [(["--flips", "kill", "--parts", "5", "--seed", "1", "--encrypted"], False),
              (["--crash-states", "20000"], False), (["--faults", "4"], False),
              (["--crash-states", "5000", "--encrypted"], False), (["--faults", "1", "--encrypted"], False),
              (["--faults", "1", "--seed", "7156389"], False),
              (["--crash-states", "20000", "--lying-disk", "--seed", "1"], True)]
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for done in [pool.submit(run_simulate, program, arguments, tally, blind) for arguments, blind in works]:
            done.result()


def run_sites(program, tally, worlds, time_box):
    """Pairs of sites with everything between them; fails below that many worlds. A target that lies must be found out."""
    for seed in (ROOT / "tests/simulate/fixed_site_seeds.txt").read_text().split():  # each once failed
        run_simulate(program, ["--world-seed", seed], tally)
    run_simulate(program, ["--worlds", str(worlds), "--time-box", str(time_box)], tally)
    run_simulate(program, ["--worlds", "1000", "--lying-disk", "--seed", "1"], tally, blind_if_kept=True)


def run_peers(binary, word, soak, tally):
    pytest = ROOT / "build/peers/venv/bin/pytest"
    if not pytest.exists():
        print("left out: peer tests (no nats-py here)")
        if os.environ.get("CI") == "true":
            tally.add("peers", 0, 1, 0)
        return
    report = ROOT / "build/peers/report.xml"
    environment = dict(os.environ, SLUICE_BINARY=str(pathlib.Path(binary).resolve()),
                       SLUICE_NATS_SERVER=str(NATS_SERVER),
                       SLUICE_SOAK=json.dumps(soak) if soak else "")
    started = time.monotonic()
    command = [str(pytest), "-q", "--tb=short", "-p", "no:cacheprovider", "--durations=8", "--reruns", "1",
               f"--junitxml={report}", str(ROOT / "tests/peers")]
    if soak:
        command += ["-s", "-k", "kill_minus_nine or survives_ten_kills or flipped_bits or whoever_is_killed"]
    elif word:
        command += ["-k", word]
    report.unlink(missing_ok=True)
    done = subprocess.run(command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL)
    passed = failed = 0
    if report.exists():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):
            failed += int(suite.get("failures")) + int(suite.get("errors"))
            passed += int(suite.get("tests")) - int(suite.get("failures")) - int(suite.get("errors")) - int(
                suite.get("skipped"))
            for case in suite.iter("testcase"):
                tally.ran.add_junit_case(case)
    if done.returncode not in (0, 5) and failed == 0:
        failed = 1
    tally.add("peers", passed, failed, time.monotonic() - started)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unit", type=pathlib.Path, help="build folder of the unit tests")
    parser.add_argument("--peers", help="the daemon to test with real peers")
    parser.add_argument("--proofs", type=pathlib.Path, help="prove_store of the release build")
    parser.add_argument("-k", dest="word", default="")
    parser.add_argument("--soak", action="store_true")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=100_000)
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--histories", type=int, default=100_000)
    parser.add_argument("--minutes", type=int, default=240)
    options = parser.parse_args()
    os.chdir(ROOT)
    tally = Tally()

    if options.soak:
        simulate = options.unit / "tests" / "simulate"
        run_simulate(simulate, ["--cuts", str(options.cuts), "--time-box", str(options.minutes * 30)], tally)
        if options.proofs:
            run_simulate(options.proofs, ["--crash-states", str(options.states), "--time-box", str(options.minutes * 30)],
                         tally)
            run_simulate(options.proofs, ["--crash-states", str(options.states // 10), "--encrypted", "--time-box",
                                          str(options.minutes * 30)], tally)
            run_simulate(options.proofs, ["--faults", "200", "--time-box", "1200"], tally)
            run_sites(options.proofs.parent / "prove_replication", tally, 10_000, options.minutes * 15)
        run_gtest((options.unit / "tests/test_consumer").resolve(), tally, ["--gtest_filter=Model.*"],
                  SLUICE_HISTORIES=str(options.histories))
        run_gtest((options.unit / "tests/test_stream").resolve(), tally, ["--gtest_filter=StreamModel.*"],
                  SLUICE_STREAM_HISTORIES=str(options.histories))
        run_peers(options.peers, options.word,
                  {"rounds": options.rounds, "minutes": options.minutes}, tally)
    else:
        if options.unit:
            tests = options.unit / "tests"
            names = (tests / "programs.txt").read_text().split()
            for name in names:
                if options.word in name:
                    run_gtest((tests / name).resolve(), tally)
            simulate = (tests / "simulate").resolve()
            if options.word in "simulate":
                # Fixed seeds first (each once failed), then fresh ones; 1,000 power cuts are the stated minimum.
                for seed in (ROOT / "tests/simulate/fixed_seeds.txt").read_text().split():
                    run_simulate(simulate, ["--world-seed", seed, "--only", "store"], tally)
                run_simulate(simulate, ["--cuts", "1000", "--time-box", "240"], tally)
                run_simulate(simulate, ["--cuts", "200", "--time-box", "120", "--only", "store", "--encrypted"], tally)
                # The sanitizers see some of it too; the release build proves the rest.
                prove = (tests / "prove_store").resolve()
                run_simulate(prove, ["--crash-states", "1000"], tally)
                run_simulate((tests / "prove_replication").resolve(), ["--worlds", "50", "--time-box", "120"], tally)
                run_simulate(prove, ["--flips", "kill", "--parts", "500"], tally)
        if options.proofs and options.word in "simulate prove_store":
            run_proofs(options.proofs.resolve(), tally)
        if options.proofs and options.word in "simulate prove_replication":
            run_sites(options.proofs.resolve().parent / "prove_replication", tally, 1000, 180)
        if options.peers:
            run_peers(options.peers, options.word, None, tally)

    if not options.soak:
        # Only a whole run can say of a test that it did not run.
        whole = options.unit and options.peers and not options.word and (tally.ran.peers or os.environ.get("CI") == "true")
        faults = compatibility.check(tally.ran if whole else None)
        print("\n".join(faults), end="\n" if faults else "")
        tally.add("docs/compatibility.md", 0 if faults else 1, len(faults), 0)

    print(f"{tally.passed} passed, {tally.failed} failed", flush=True)
    sys.exit(1 if tally.failed or tally.passed == 0 else 0)


if __name__ == "__main__":
    main()
