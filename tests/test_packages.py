"""requirements.txt against what is installed; what is missing gets installed, and nothing else is touched."""

import os
import subprocess
import sys
import zipfile

import pytest

from helpers import colab
from helpers.colab import MISSING, OK, OLD, check_packages, format_packages
from helpers.files import project_root


def write(tmp_path, *lines):
    path = tmp_path / "requirements.txt"
    path.write_text("# comment\n" + "\n".join(lines) + "\n")
    return path


def test_each_line_gets_its_state(tmp_path):
    lines = ["numpy>=1.26", "pytest>=999", "no-such-thing-anywhere>=1.0", "scikit-learn >= 1.5"]
    found = check_packages(write(tmp_path, *lines))
    assert [package.state for package in found] == [OK, OLD, MISSING, OK]
    table = format_packages(found).splitlines()
    assert [line.split()[0] for line in table] == ["[OK]", "[OLD]", "[MISSING]", "[OK]"]
    assert "at least 999" in table[1] and "not installed" in table[2]


def test_all_requirements_of_the_project_are_read():
    names = [package.name for package in check_packages()]
    assert {"tensorflow", "keras", "openTSNE", "simplejpeg", "nvidia-ml-py3", "psutil"} <= set(names)


@pytest.mark.parametrize(
    ("found", "lowest", "state"),
    [
        ("2.9", "2.19.0", OLD),
        ("1.0.10", "1.0.9", OK),
        ("13.610.43", "13.61", OK),
        ("2.20.0rc1", "2.19", OK),
        ("2.19.0rc1", "2.19", OLD),
        ("2.19.0+cu121", "2.19", OK),
        ("1.0.post1", "1.0", OK),
    ],
)
def test_versions_are_compared_as_versions(found, lowest, state, tmp_path, monkeypatch):
    monkeypatch.setattr(colab, "_find_version", lambda name: found)
    assert [package.state for package in check_packages(write(tmp_path, f"thing>={lowest}"))] == [state]


def test_nvidia_ml_py3_is_not_wanted_where_a_pynvml_imports(tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "pynvml.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    versions = {"nvidia-ml-py3": None, "nvidia-ml-py": "13.610.43"}
    monkeypatch.setattr(colab, "_find_version", versions.get)
    (package,) = check_packages(write(tmp_path, "nvidia-ml-py3>=7.352.0"))
    assert (package.state, package.found) == (OK, "nvidia-ml-py 13.610.43 instead")
    monkeypatch.setattr(colab.importlib.util, "find_spec", lambda name: None)
    (package,) = check_packages(write(tmp_path, "nvidia-ml-py3>=7.352.0"))
    assert package.state == MISSING


def write_wheel(folder, name, version, requires=()):
    """Write a wheel with one empty module."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", wheel)
        written = [f"{name}.py", *(f"{info}/{file}" for file in ("METADATA", "WHEEL", "RECORD"))]
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in written))


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Python of a virtual environment that has alpha 1.0, and what makes pip find other packages."""
    folder = tmp_path_factory.mktemp("environment")
    for name, version, requires in (
        ("alpha", "1.0", []),
        ("alpha", "2.0", []),
        ("beta", "1.5", ["alpha"]),
        ("gamma", "1.0", ["alpha>=2"]),
    ):
        write_wheel(folder, name, version, requires)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = str(folder / "venv" / "bin" / "python")
    ours = [str(project_root()), *(path for path in sys.path if path.endswith("site-packages"))]
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}
    subprocess.run([python, "-m", "pip", "install", "-q", "alpha==1.0"], env=environment, check=True)
    return python, {**environment, "PYTHONPATH": os.pathsep.join(ours)}


INSTALL = """if True:
    import sys
    from importlib import metadata
    from helpers import colab as packages
    from helpers.files import InputError
    try:
        print("installed", packages.install_missing(packages.check_packages(sys.argv[1])))
    except InputError as error:
        print("refused:", error)
    print("alpha", metadata.version("alpha"))
"""


def install(machine, requirements):
    python, environment = machine
    command = [python, "-c", INSTALL, str(requirements)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(os.name == "nt", reason="the paths are those of Linux and macOS")
def test_what_is_missing_is_installed_and_what_is_there_stays(machine, tmp_path):
    told = install(machine, write(tmp_path, "gamma>=1.0", "alpha>=1.0"))
    assert told.startswith("refused: Could not install gamma>=1.0")
    assert told.endswith("alpha 1.0\n")
    told = install(machine, write(tmp_path, "alpha>=2.0", "beta>=1.0"))  # alpha is old, and stays so
    assert told == "installed ['beta']\nalpha 1.0\n"
    assert install(machine, write(tmp_path, "beta>=1.0")) == "installed []\nalpha 1.0\n"
