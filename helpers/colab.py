"""The project on a Colab machine: brought there, and its results kept in MyDrive.

The first cell of each notebook runs `python -m helpers.colab`, out of the archive in MyDrive or the folder
that git has made; what comes later is done by `drive.results`. Source: COL-025 to COL-027.
"""

import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from helpers.drive.copying import copy_verified
from helpers.drive.mount import persist, status_of
from helpers.drive.results import NOTEBOOKS, PROJECT, RESULTS
from helpers.files import InputError, project_root

ARCHIVE = f"{PROJECT}.zip"  # as `make colab-zip` makes it
UNPACKED = ".unpacked"  # says which archive the folder holds whole
NOT_A_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError)  # of zipfile, by the damage
DATA_FILES = (".zip", ".txt", ".csv")  # archives of images and CelebA's lists
MANY_FILES = 20  # in a folder: it is copied as one archive
OK, MISSING, OLD = "OK", "MISSING", "OLD"
PYNVML = "pynvml"  # a module that several packages bring; the next to be installed would replace the first's
PYNVML_FROM = ("nvidia-ml-py", PYNVML)


def main():
    """Bring project, packages and data to this machine; exit code 2 and one sentence where that fails."""
    try:
        project = unpack_project(project_root(), Path.cwd() / PROJECT)
        packages = check_packages(project / "requirements.txt")
        if any(package.state == MISSING for package in packages):
            print(format_packages(packages))
            print("Installed:", ", ".join(install_missing(packages)))
        copy_data(project.parent / "drive" / "MyDrive" / PROJECT, project)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def unpack_project(origin, target):
    """Unpack the archive `origin` to the folder `target`, unless it is there whole; return the folder.

    An `origin` that is a folder already is returned as it is; results in `target` stay. InputError where the
    archive is damaged or the disk full; the next call begins anew.
    """
    if origin.is_dir():
        return origin
    content = persist(origin.read_bytes, origin)
    key, marker = hashlib.sha256(content).hexdigest(), target / UNPACKED
    if not marker.is_file() or marker.read_bytes() != key.encode():
        persist(lambda: marker.unlink(missing_ok=True), marker)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                persist(lambda: archive.extractall(target), target)
        except InputError:
            raise
        except NOT_A_ZIP as error:
            raise InputError(
                f"{origin.name} is no whole archive ({error or 'it ends too early'}); make it anew by `make "
                "colab-zip` and put it into the folder latent_faces of Google Drive again."
            ) from error
        persist(lambda: marker.write_text(key), marker)
        print(f"{origin.name} was unpacked to {target}.")
    return target


def copy_data(source, target):
    """Copy the data that lie in the folder `source` of MyDrive, if it is there, into the project `target`.

    Data, whose names a notebook's DATA takes, are archives, CelebA's lists, and folders; one of many files
    becomes an archive in a folder of the same name. What is there already is not copied again.
    """
    for path, is_folder in _list(source):
        if is_folder and path.name not in (RESULTS, NOTEBOOKS):
            _copy_folder(path, target / path.name)
        elif not is_folder and path.suffix.lower() in DATA_FILES and path.name != ARCHIVE:
            copy_verified(path, target / path.name)


def _copy_folder(source, target):
    """Copy the files of a folder, or all that is in it as one archive where that is much."""
    files = _list(source)
    if len(files) > MANY_FILES or any(is_folder for _, is_folder in files):
        copy_verified(source, target / f"{target.name}.zip")
        return
    for path, _ in files:
        copy_verified(path, target / path.name)


def _list(folder):
    """Path, and whether it is a folder, of what a folder of MyDrive holds but hidden files and manifests."""
    if not persist(lambda: status_of(folder), folder):
        return []
    found = persist(lambda: [(Path(entry.path), entry.is_dir()) for entry in os.scandir(folder)], folder)
    return sorted(entry for entry in found if entry[0].name[0] != "." and entry[0].suffix != ".json")


class Package(NamedTuple):
    """A line of requirements.txt, and what is there of it."""

    name: str
    wanted: str  # lowest version
    found: str  # version, the distribution that stands in for it, or empty
    state: str  # OK, MISSING or OLD


def check_packages(requirements=None):
    """The lines of requirements.txt as `Package`s, compared with what is installed. Installs nothing."""
    text = Path(requirements or project_root() / "requirements.txt").read_text(encoding="utf-8")
    return [_check(*line) for line in re.findall(r"^([\w.-]+)\s*>=\s*([\w.]+)", text, re.MULTILINE)]


def _check(name, lowest):
    found = _find_version(name)
    if found:
        return Package(name, lowest, found, OLD if Version(found) < Version(lowest) else OK)
    if name.startswith("nvidia-ml-py") and importlib.util.find_spec(PYNVML):
        brought = [f"{other} {version}" for other in PYNVML_FROM if (version := _find_version(other))]
        return Package(name, lowest, f"{(brought or [PYNVML])[0]} instead", OK)
    return Package(name, lowest, "", MISSING)


def _find_version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def format_packages(packages):
    """Table of `Package`s for people, one line each with [OK], [MISSING] or [OLD]."""
    return "\n".join(
        f"{f'[{package.state}]':10}{package.name:16}at least {package.wanted:10}"
        f"{'found ' + package.found if package.found else 'not installed'}"
        for package in packages
    )


def install_missing(packages):
    """Install the packages that are missing and what they need; return the names of the packages.

    What is installed is given to pip as a constraint, so that it stays as it is; InputError where it cannot.
    """
    missing = [package for package in packages if package.state == MISSING]
    if not missing:
        return []
    here = {entry.metadata["Name"]: entry.version for entry in importlib.metadata.distributions()}
    pins = [f"{name}=={version}\n" for name, version in here.items() if name and version]
    wanted = [f"{package.name}>={package.wanted}" for package in missing]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(pins))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(constraints)]
        done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or "pip gives no reason").splitlines()[-1].removeprefix("ERROR: ")
        raise InputError(
            f"Could not install {', '.join(wanted)} beside what is there ({reason}); check the connection to "
            "the package index and run the same again."
        )
    return [package.name for package in missing]


if __name__ == "__main__":
    sys.exit(main())
