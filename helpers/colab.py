"""The project on a Colab machine: brought there, and its results kept in MyDrive.

The first cell of each notebook runs `python -m helpers.colab`, either out of the archive in MyDrive or out of
the folder that git has made. Later each part of a workspace is restored before its first use, and published
while and after a notebook works. Work is done on the machine's own disk. Source: COL-025, COL-026, COL-027.
"""

import io
import os
import sys
import zipfile
from functools import cache
from pathlib import Path

from helpers.drive import copy_verified, restore
from helpers.drive_folder import publish_folder
from helpers.mounts import persist, status_of
from helpers.packages import MISSING, check_packages, format_packages, install_missing
from helpers.reporting import note
from helpers.sources import bytes_source
from helpers.workspace import InputError, project_root, shown_path, workspace_folder, written_whole

PROJECT = "latent_faces"  # name of the project's folder, here and in MyDrive, and of its archive
ARCHIVE = f"{PROJECT}.zip"  # as `make colab-zip` makes it
UNPACKED = ".unpacked"  # says which archive the folder holds whole
RESULTS, NOTEBOOKS = "results", "notebooks"  # in MyDrive; all other folders there hold data
DATA_FILES = (".zip", ".txt", ".csv")  # archives of images and CelebA's lists
MANY_FILES = 20  # in a folder: it is copied as one archive
MADE_ANEW = "images"  # folder of a workspace that is not published: packing is faster than MyDrive
NEEDED_FIRST = "archive"  # folder of a workspace that every notebook needs, with what lies beside it
restored = set()  # folders that this process has brought up to date


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

    An `origin` that is a folder already is returned as it is. The archive may lie in MyDrive: it is read
    once, with the patience that a mount needs. Results in `target` stay.
    """
    if origin.is_dir():
        return origin
    content = persist(origin.read_bytes, origin)
    key = bytes_source(origin.name, content, 0).key["sha256"]
    marker = target / UNPACKED
    if not marker.exists() or marker.read_text() != key:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(target)
        with written_whole(marker) as temporary:
            temporary.write_text(key)
        print(f"{origin.name} was unpacked to {target}.")
    return target


def copy_data(source, target):
    """Copy the data that lie in the folder `source` of MyDrive, if it is there, into the project `target`.

    Data are archives, CelebA's lists, and folders; a folder of many files becomes one archive in a folder of
    the same name. A notebook's DATA is the name of one of them. What is there already is not copied again.
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
    """Path, and whether it is a folder, of what a folder of MyDrive holds but hidden files and manifests.

    Empty where there is no such folder.
    """

    def look():
        with os.scandir(folder) as entries:
            return sorted((Path(entry.path), entry.is_dir()) for entry in entries)

    found = persist(look, folder) if persist(lambda: status_of(folder), folder) else []
    return [entry for entry in found if not entry[0].name.startswith(".") and entry[0].suffix != ".json"]


@cache
def mydrive():
    """The project's folder in MyDrive, which is mounted if need be; None on other machines or if refused."""
    if "google.colab" not in sys.modules:
        return None
    from google.colab import drive

    place = project_root().parent / "drive"
    if not persist(lambda: status_of(place / "MyDrive"), place):
        try:
            drive.mount("/content/drive")
        except Exception as error:  # Colab raises errors of several kinds when the user refuses
            note(f"MyDrive is not mounted ({error}): all results are lost with this machine.")
            return None
    return place / "MyDrive" / PROJECT


def counterpart(folder):
    """Where a folder of the results is kept in MyDrive; None where nothing is kept."""
    results = workspace_folder(None, "any").parent
    if mydrive() is None or not Path(folder).is_relative_to(results):
        return None
    return mydrive() / RESULTS / Path(folder).relative_to(results)


def restore_workspace(workspace):
    """Bring what every notebook needs of a workspace up to what MyDrive holds; True if that was done now.

    Networks, z-points and maps stay there until a notebook asks for one of them (`restore_part`): all
    together they are gigabytes, of which most notebooks need a few hundred megabytes.
    """
    new = restore_part(workspace)
    restore_part(workspace / NEEDED_FIRST)
    return new


def restore_part(folder):
    """Bring a folder of the results, without those below it, up to what MyDrive holds, once in a process.

    True if that was done now; False where nothing is kept.
    """
    if folder in restored or counterpart(folder) is None:
        return False
    restore(counterpart(folder), folder, below=False)
    restored.add(folder)
    return True


def publish_workspace(workspace):
    """Send what is whole and new in a workspace to MyDrive, where one is mounted; images are made anew.

    What goes wrong is said in one line: the results are here, and the next call goes on.
    """
    if counterpart(workspace) is None:
        return
    folders = [workspace, *(path for path in sorted(workspace.rglob("*")) if path.is_dir())]
    wanted = [path for path in folders if path.name != MADE_ANEW and not path.name.startswith(".")]
    try:
        sent = sum(publish_folder(folder, counterpart(folder)) for folder in wanted)
        note(f"{sent} new files in MyDrive from {shown_path(workspace)}.")
    except (InputError, OSError) as error:
        note(f"Not all of {shown_path(workspace)} is in MyDrive: {error}")


if __name__ == "__main__":
    sys.exit(main())
