"""The packages of Colab's machine, on this one: an environment with the same versions (see `colab_twin`)."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers.files import InputError, project_root, read_json, written_whole

COLAB_PYTHON = (3, 13)
JUPYTER = (
    "ipykernel",
    "ipython",
    "nbclient",
    "nbformat",
    "tqdm",
    "nvidia-ml-py",
)  # there beside our packages
REFUSED = re.compile(r"No matching distribution found for ([\w.-]+)")  # what pip says of a version
MOST_REFUSALS = 20


def find_constraints():
    """File of Colab's versions, or None."""
    named = os.environ.get("COLAB_CONSTRAINTS")
    default = project_root().parent / "shared" / "colab" / "constraints.txt"
    if named and not Path(named).is_file():
        raise InputError(f"COLAB_CONSTRAINTS names {named}, which is not there; correct it or leave it out.")
    return Path(named) if named else default if default.is_file() else None


def make_twin(venv, constraints):
    """Python of the environment `venv` with the versions of `constraints`; made unless it is there.

    Returns its path and the versions it had when it was made, name → version.
    """
    python, kept = venv / "bin" / "python", venv / "packages.json"
    if not kept.exists():
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([find_python(), "-m", "venv", str(venv)], check=True)
        _install(python, constraints)
        with written_whole(kept) as temporary:
            temporary.write_text(json.dumps(list_packages(python)))
    return python, read_json(kept)


def find_python():
    """Path of a Python of Colab's version; where there is none, of the one that runs, after saying so."""
    name = ".".join(map(str, COLAB_PYTHON))
    versions = sorted((Path.home() / ".pyenv" / "versions").glob(f"{name}*/bin/python"))
    for candidate in (shutil.which(f"python{name}"), *map(str, versions)):
        if candidate and _version_of(candidate) == COLAB_PYTHON:
            return candidate
    print(f"No Python {name} is here; the twin has {sys.version.split()[0]} and the versions that fit it.")
    return sys.executable


def _version_of(python):
    code = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None


def _install(python, constraints):
    """Install what Colab has of our packages, in Colab's versions as far as this Python can have them."""
    versions = read_versions(constraints)
    lines = (project_root() / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [match[0] for match in map(re.compile(r"[\w.-]+").match, lines) if match]
    wanted = [name for name in names if not versions or name.lower() in versions]
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True)
    for _ in range(MOST_REFUSALS):
        refused = _try_install(python, [*wanted, *JUPYTER], versions)
        if refused is None:
            return
        print(f"{refused}=={versions.pop(refused)} is not to be had for this Python; left open.")
    raise InputError("Too many of Colab's versions are not to be had for this Python; install Python 3.13.")


def _try_install(python, wanted, versions):
    """Install `wanted` with `versions` as constraints; name of the one that pip refuses, None when done."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "constraints.txt"
        path.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        command = [python, "-m", "pip", "install", "--quiet", "-c", str(path), *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    refused = REFUSED.search(done.stderr)
    if done.returncode == 0:
        return None
    if refused is None or refused[1].lower() not in versions:
        raise InputError(f"The twin cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return refused[1].lower()


def read_versions(constraints):
    """Name in lower case → version of a file of constraints; empty, after saying so, without a file."""
    if constraints is None:
        print("No file of Colab's versions is here; the twin has today's. COLAB_CONSTRAINTS names one.")
        return {}
    pairs = re.findall(r"^([\w.-]+)==(\S+)", Path(constraints).read_text(encoding="utf-8"), re.MULTILINE)
    return {name.lower(): version for name, version in pairs}


def list_packages(python):
    """Name → version of all packages that pip lists for a Python."""
    command = [python, "-m", "pip", "list", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {entry["name"]: entry["version"] for entry in json.loads(done.stdout)}


def compare_packages(before, after):
    """Names that were added, and those whose version changed or that are gone, each sorted."""
    changed = [name for name, version in before.items() if after.get(name) != version]
    return sorted(after.keys() - before.keys()), sorted(changed)


def renew(python, before):
    """Take away what earlier runs have installed, as a new machine lacks it."""
    added, _ = compare_packages(before, list_packages(python))
    if added:
        command = [python, "-m", "pip", "uninstall", "--quiet", "--yes", *added]
        subprocess.run(command, check=True)


def site_packages(python):
    """Folder of the packages of a Python."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())
