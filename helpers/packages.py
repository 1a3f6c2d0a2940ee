"""Which packages of requirements.txt a machine has, and installing those that it lacks, no other.

On Colab nothing that is there may be replaced: its packages fit each other and the machine's drivers.
"""

import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from helpers.workspace import InputError, project_root

OK, MISSING, OLD = "OK", "MISSING", "OLD"
PYNVML = "pynvml"  # a module that two packages bring; the second to be installed would replace the first's


class Package(NamedTuple):
    """A line of requirements.txt, and what is there of it."""

    name: str
    wanted: str  # lowest version
    found: str  # version, the distribution that stands in for it, or empty
    state: str  # OK, MISSING or OLD


def check_packages(requirements=None):
    """The lines of requirements.txt as `Package`s, compared with what is installed. Installs nothing."""
    requirements = requirements or project_root() / "requirements.txt"
    lines = Path(requirements).read_text(encoding="utf-8").splitlines()
    wanted = [re.match(r"([\w.-]+)\s*>=\s*([\w.]+)", line) for line in lines]
    return [_check(*match.groups()) for match in wanted if match]


def _check(name, lowest):
    found = _find_version(name)
    if found is None and name.startswith("nvidia-ml-py") and importlib.util.find_spec(PYNVML):
        return Package(name, lowest, f"{_bringer_of_pynvml()} instead", OK)
    if found is None:
        return Package(name, lowest, "", MISSING)
    return Package(name, lowest, found, OLD if _numbers(found) < _numbers(lowest) else OK)


def _find_version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _bringer_of_pynvml():
    """Name and version of the distribution whose pynvml imports; the module's own name if none claims it."""
    for name in ("nvidia-ml-py", PYNVML):
        if version := _find_version(name):
            return f"{name} {version}"
    return PYNVML


def _numbers(version):
    """The leading numbers of a version as a tuple that compares: '2.19.0rc1' → (2, 19, 0)."""
    return tuple(int(number) for number in re.findall(r"\d+", re.split(r"[a-zA-Z+]", version)[0]))


def format_packages(packages):
    """Table of `Package`s for people, one line each with [OK], [MISSING] or [OLD]."""
    lines = [
        f"{f'[{package.state}]':10}{package.name:16}at least {package.wanted:10}"
        f"{'found ' + package.found if package.found else 'not installed'}"
        for package in packages
    ]
    return "\n".join(lines)


def install_missing(packages):
    """Install the packages that are missing and what they need; return the names of what was installed.

    All that is installed already is given to pip as a constraint, so that it is neither upgraded nor
    replaced; what is only old is left as it is. InputError when pip cannot install under this condition.
    """
    missing = [package for package in packages if package.state == MISSING]
    if not missing:
        return []
    before = _installed()
    wanted = [f"{package.name}>={package.wanted}" for package in missing]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in before.items()))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(constraints)]
        done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or "pip gives no reason").splitlines()[-1].removeprefix("ERROR: ")
        raise InputError(
            f"Could not install {', '.join(wanted)} beside what is there ({reason}); check the connection to "
            "the package index and run the same again."
        )
    importlib.invalidate_caches()
    return sorted(_installed().keys() - before.keys())


def _installed():
    """Name → version of all distributions that are installed."""
    found = {entry.metadata["Name"]: entry.version for entry in importlib.metadata.distributions()}
    return {name: version for name, version in found.items() if name and version}
