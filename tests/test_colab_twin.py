"""The twin of Colab's machine: its packages, its faults, and the empty folder that a notebook starts in."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from helpers.colab import ARCHIVE
from helpers.drive.results import PROJECT
from helpers.files import InputError, project_root
from tools import build_notebooks, colab_packages, colab_twin, generated_cells

STAND_IN = project_root() / "tools" / "colab_stand_in"


def test_versions_are_read_and_other_lines_left_out(tmp_path, capsys):
    (tmp_path / "c.txt").write_text("# comment\nKeras==3.13.2\ncudf @ https://x/y.whl\nnumpy==2.1.3\n")
    assert colab_packages.read_versions(tmp_path / "c.txt") == {"keras": "3.13.2", "numpy": "2.1.3"}
    assert colab_packages.read_versions(None) == {}
    assert "COLAB_CONSTRAINTS" in capsys.readouterr().out


def test_a_file_of_versions_that_is_not_there_gets_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("COLAB_CONSTRAINTS", str(tmp_path / "nowhere.txt"))
    with pytest.raises(InputError, match="COLAB_CONSTRAINTS"):
        colab_packages.find_constraints()


def test_packages_are_compared_by_name_and_version():
    before = {"numpy": "2.1.3", "keras": "3.13.2", "gone": "1"}
    after = {"numpy": "2.1.3", "keras": "3.14.0", "openTSNE": "1.0.4"}
    assert colab_packages.compare_packages(before, after) == (["openTSNE"], ["gone", "keras"])
    assert colab_packages.compare_packages(before, before) == ([], [])


def test_without_colabs_python_the_present_one_is_taken_and_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(colab_packages, "COLAB_PYTHON", (3, 99))
    assert colab_packages.find_python() == sys.executable
    assert "No Python 3.99" in capsys.readouterr().out


def test_versions_that_pip_refuses_are_left_open_one_by_one(monkeypatch, capsys, tmp_path):
    tried = []

    def run(command, **options):
        if "-c" not in command:
            return subprocess.CompletedProcess(command, 0, "", "")
        text = Path(command[command.index("-c") + 1]).read_text()
        tried.append(text.split())
        lacking = [name for name in ("keras", "scipy") if f"{name}==" in text]
        stderr = f"ERROR: No matching distribution found for {lacking[0]}==1\n" if lacking else ""
        return subprocess.CompletedProcess(command, int(bool(lacking)), "", stderr)

    monkeypatch.setattr(colab_packages.subprocess, "run", run)
    constraints = tmp_path / "c.txt"
    constraints.write_text("keras==1\nnumpy==1\nscipy==1\n")
    colab_packages._install("python", constraints)
    assert [len(lines) for lines in tried] == [3, 2, 1] and tried[-1] == ["numpy==1"]
    assert "keras==1 is not to be had" in capsys.readouterr().out


def test_notebooks_are_chosen_by_number():
    assert [path.name for path in colab_twin.choose_notebooks(["04", "setup"])] == [
        "colab_setup.ipynb",
        "04_densities_and_radius.ipynb",
    ]
    assert len(colab_twin.choose_notebooks([])) == 1 + len(build_notebooks.list_notebooks())
    with pytest.raises(InputError, match="no notebook 77"):
        colab_twin.choose_notebooks(["77"])


@pytest.mark.parametrize(("way", "words"), [("mydrive", "drive.mount"), ("clone", "latent-faces/twin")])
def test_a_notebook_starts_alone_without_outputs(tmp_path, way, words):
    path = build_notebooks.list_notebooks()[0]
    placed = nbformat.read(colab_twin.place_notebook(path, way, tmp_path), as_version=4)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert not [cell for cell in placed.cells if cell.get("outputs")]
    (first,) = [cell for cell in placed.cells if "bootstrap" in cell.metadata.get("tags", [])]
    assert words in first.source


def test_what_the_user_has_done_before(tmp_path):
    (tmp_path / "a").mkdir()
    assert colab_twin.prepare_way("mydrive", tmp_path / "a") == {}
    assert (tmp_path / "a" / "store" / "MyDrive" / PROJECT / ARCHIVE).stat().st_size > 100_000
    (tmp_path / "a" / "store" / "MyDrive" / PROJECT / "results").mkdir()
    variables = colab_twin.prepare_way("clone", tmp_path / "a")
    kept = (tmp_path / "a" / "store" / "MyDrive" / PROJECT).iterdir()
    assert [path.name for path in kept] == ["results"]  # of way (a), but not its project
    address = generated_cells.GITHUB + colab_twin.REPOSITORY
    command = ["git", "clone", "-q", "--depth", "1", address, str(tmp_path / "clone")]
    subprocess.run(command, env={**os.environ, **variables}, check=True)
    assert (tmp_path / "clone" / "helpers" / "colab.py").exists()


def test_the_kernel_is_that_of_the_twin(tmp_path, monkeypatch):
    from jupyter_client.kernelspec import KernelSpecManager

    monkeypatch.setenv("LATENT_FACES_RESULTS", "elsewhere")
    with colab_twin.jupyter_kernel("/twin/python", tmp_path, {"COLAB_CONTENT": "/x"}):
        spec = KernelSpecManager().get_kernel_spec("python3")
        assert spec.argv[0] == "/twin/python" and spec.env == {"COLAB_CONTENT": "/x"}
        assert "LATENT_FACES_RESULTS" not in os.environ
    assert os.environ["LATENT_FACES_RESULTS"] == "elsewhere" and "JUPYTER_PATH" not in os.environ


def test_faults_strike_in_mydrive_only_and_in_every_process(tmp_path):
    (tmp_path / "drive" / "MyDrive").mkdir(parents=True)
    code = """if True:
        import os, sys
        struck = {}
        for folder in sys.argv[1:]:
            struck[folder] = 0
            for number in range(200):
                try:
                    os.stat(folder)
                except OSError:
                    struck[folder] += 1
        print(*struck.values(), "google.colab" in sys.modules)
    """
    places = [str(tmp_path / "drive" / "MyDrive"), str(tmp_path)]
    variables = {"COLAB_CONTENT": str(tmp_path), "COLAB_FAULTS": "0.5 0", "PYTHONPATH": str(STAND_IN)}
    command = [sys.executable, "-c", code, *places]
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    inside, outside, loaded = done.stdout.split()
    assert 60 < int(inside) < 140
    assert (outside, loaded) == ("0", "True")


def test_the_packages_can_be_installed_beforehand(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(colab_twin, "make_twin", lambda venv, constraints: made.append(venv.name))
    monkeypatch.setattr(colab_twin, "run_way", lambda *arguments: pytest.fail("nothing was to be run"))
    assert colab_twin.main(["--prepare"]) == 0 and made == [colab_twin.VENV]


@pytest.mark.parametrize(
    ("after", "sound"),
    [
        ({"keras": "3.13.2"}, True),
        ({"keras": "3.13.2", "openTSNE": "1.0.4"}, True),
        ({"keras": "3.14.0"}, False),
        ({}, False),
        ({"keras": "3.13.2", "nvidia-ml-py3": "7.352.0"}, False),
    ],
)
def test_a_way_is_sound_when_no_package_was_touched(monkeypatch, tmp_path, capsys, after, sound):
    monkeypatch.setattr(colab_twin, "renew", lambda *arguments: None)
    monkeypatch.setattr(colab_twin, "run_way", lambda *arguments: {})
    monkeypatch.setattr(colab_twin, "list_packages", lambda python: after)
    assert colab_twin.check_way("clone", [], "python", {"keras": "3.13.2"}, "0 0", tmp_path) == sound
    assert ("changed: keras" in capsys.readouterr().out) == (after.get("keras") != "3.13.2")
