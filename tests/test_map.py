"""What the project says of itself: the map of its rooms, and the list of light tests."""

import re

import pytest

import helpers
from helpers.files import project_root

ROOT = project_root()
README = (ROOT / "README.md").read_text(encoding="utf-8")
TREE = README.partition("## What lies where")[2].partition("\nHow to add")[0]
CI = ROOT / ".github" / "workflows" / "ci.yml"
LIGHT = re.findall(r"tests/test_\w+\.py", CI.read_text(encoding="utf-8"))


def rooms(folder):
    """Entries of a package: name without suffix → the modules in it, none for a single file."""
    entries = [path for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    return {
        path.stem: {module.stem for module in path.glob("[!_]*.py")}
        for path in entries
        if path.stem not in ("__init__", "__main__")
    }


def described(line):
    """Words of a line of a map."""
    return set(re.findall(r"\w+", line))


@pytest.mark.parametrize("package", ["helpers", "data_prep"])
def test_the_readme_shows_every_room_and_what_is_in_it(package):
    lines = TREE.partition(f"    {package}/")[2].splitlines()[1:]
    for name, modules in rooms(ROOT / package).items():
        line = next(line for line in lines if line.split()[:1] in ([f"{name}/"], [f"{name}.py"]))
        assert modules <= described(line), line


def test_the_package_shows_the_same_map():
    lines = {line.split()[0]: line for line in helpers.__doc__.splitlines()[4:]}
    assert set(lines) == set(rooms(ROOT / "helpers"))
    assert all(modules <= described(lines[name]) for name, modules in rooms(ROOT / "helpers").items())


def test_light_tests_are_there_and_know_no_network():
    assert len(LIGHT) > 15 and [name for name in LIGHT if not (ROOT / name).exists()] == []
    heavy = re.compile(r"\b(keras|tensorflow|nbclient|(import|helpers\.)\s*(models|study)\b)")
    assert [name for name in LIGHT if heavy.search((ROOT / name).read_text(encoding="utf-8"))] == []


def test_forms_and_workflows_are_yaml():
    yaml = pytest.importorskip("yaml")
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug_report.yml").read_text("utf-8"))
    assert "environment" in [field.get("id") for field in form["body"]]
    jobs = yaml.safe_load(CI.read_text("utf-8"))["jobs"]
    assert {step.get("run") for step in jobs["linux"]["steps"]} >= {"make test"}
