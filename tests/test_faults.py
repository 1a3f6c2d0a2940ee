"""A sample of `make faults`: after each fault the next run is right, or says in one sentence why not."""

import json
import os
import subprocess
import sys

import pytest

from helpers.files import project_root
from tools.faults.cases import list_cases, sample

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows can neither fork nor kill -9")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """Number of a case → its verdict and why, from the command as `make faults` runs it."""
    report = tmp_path_factory.mktemp("faults") / "report.json"
    command = [sys.executable, "-m", "tools.faults", "--sample", "--workers", "1", "--json", str(report)]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=False)
    assert report.exists(), done.stderr[-2000:]
    rows = json.loads(report.read_text())
    bad = any(row["verdict"] in ("wrong", "lost") for row in rows)
    assert done.returncode == int(bad) and f"{len(rows)} faults in" in done.stdout
    return {row["number"]: row for row in rows}


@pytest.mark.parametrize("case", sample(), ids=str)
def test_after_a_fault_the_next_run_is_right_or_says_why_not(case, verdicts):
    found = verdicts[case.number]
    assert found["verdict"] in ("right", "refused"), found["why"]


def test_there_are_enough_faults_of_each_kind():
    cases = list_cases()
    assert len(cases) >= 200 and [case.number for case in cases] == list(range(len(cases)))
    assert {case.route for case in sample()} == {case.route for case in cases}


PLANTED = """
import sys
from pathlib import Path
from tools.faults import attack, routes
from tools.faults.cases import Case, DONE

def leave(place):
    (place / "made.txt").write_text("right")
    return 0

def make(place):
    (place / "given.txt").write_text("given")

def result(place):
    return routes.digests(place, "made.txt")

def trusting(place):
    return 0 if (place / "made.txt").exists() else leave(place)

def refusing(place):
    if (place / "made.txt").is_dir():
        print("It is a folder.")
        return 2
    return leave(place)

def telling(place):
    if (place / "made.txt").is_dir():
        print("made.txt is damaged.")
        return 0
    return leave(place)

def losing(place):
    if (place / "made.txt").exists():
        (place / "given.txt").unlink()
    return leave(place)

for name, fault in (pair.split() for pair in sys.argv[2:]):
    routes.ROUTES[name] = routes.Route(make, globals()[name], result, ("given.txt",))
    lab = attack.Lab(Path(sys.argv[1]) / (name + fault))
    print("verdict", attack.attack(Case(1, name, DONE, fault, "made.txt"), lab).verdict)
"""


def test_what_is_planted_is_found(tmp_path):
    expected = {
        "leave flip": "right",
        "trusting flip": "wrong",
        "trusting delete": "right",
        "refusing folder": "refused",
        "telling folder": "refused",
        "leave folder": "wrong",  # a traceback
        "losing flip": "lost",
    }
    command = [sys.executable, "-c", PLANTED, str(tmp_path), *expected]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=False)
    found = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("verdict")]
    assert dict(zip(expected, found, strict=True)) == expected, done.stderr[-2000:]
