"""A workspace and its counterpart in MyDrive: restored before its first use, published while a study runs.

Work is done on the machine's own disk; MyDrive keeps what would be lost with it. Source: COL-019, COL-025 to
COL-027.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import keras

from helpers.drive.exchange import PUBLISHED, OlderThanDrive, publish_folder, restore_folder
from helpers.drive.mount import find_mount, look_up, persist, status_of
from helpers.drive.transfer import DamagedSource
from helpers.files import InputError, project_root, shown_path
from helpers.reporting import note
from helpers.workspace import workspace_folder

PROJECT = "latent_faces"  # name of the project's folder, here and in MyDrive, and of its archive
RESULTS, NOTEBOOKS = "results", "notebooks"  # in MyDrive; all other folders there hold data
MADE_ANEW = "images"  # folder of a workspace that is not published: packing is faster than MyDrive
NEEDED_FIRST = "archive"  # folder of a workspace that every notebook needs, with what lies beside it
restored = set()  # folders that this process has brought up to date


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


def publish(workspace, drive_folder):
    """Send what is whole and new in a workspace to `drive_folder`; return how many files were sent.

    Finished files only, in all subfolders. MyDrive's files are replaced by later versions of the same, never
    by older ones, and none is dropped but the weights of earlier epochs; what it holds newer is named and
    stays. Stopped at any moment, the next call goes on. InputError when MyDrive cannot be written to.
    """
    workspace, drive_folder = Path(workspace), Path(drive_folder)
    if not workspace.is_dir():
        raise InputError(f"There is no workspace {shown_path(workspace)}; run a notebook first.")
    find_mount(drive_folder)
    sent = 0
    for folder in _folders(workspace):
        try:
            sent += publish_folder(folder, drive_folder / folder.relative_to(workspace))
        except OlderThanDrive as error:
            note(f"{shown_path(folder)}: {error}")
    note(f"{sent} new files in MyDrive from {shown_path(workspace)}.")
    return sent


def restore(drive_folder, workspace, below=True):
    """Bring a workspace up to what was published in `drive_folder`; return how many files were taken.

    Without `below` its subfolders are left out. What is newer here stays; what has changed on both sides is
    kept, the older one under a dated name. Stopped at any moment, the next call goes on. Raises InputError
    when MyDrive is not there or does not answer and, after all that is whole was taken, DamagedSource for
    what is not.
    """
    workspace, drive_folder = Path(workspace), Path(drive_folder)
    mount = find_mount(drive_folder)
    there = look_up(drive_folder, mount)
    folders = (_folders(drive_folder) if below else [drive_folder]) if there else []
    taken, damaged = 0, []
    for folder in folders:
        if look_up(folder / PUBLISHED, mount):
            try:
                taken += restore_folder(folder, workspace / folder.relative_to(drive_folder))
            except DamagedSource as error:
                damaged.append(error)
    if taken or below:
        note(f"{taken} files taken from MyDrive into {shown_path(workspace)}.")
    if damaged:
        raise damaged[0]
    return taken


def _folders(root):
    """A folder and all folders below it, without those whose names begin with a dot."""

    def look():
        with os.scandir(root) as entries:
            below = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        return sorted(entry.path for entry in below if not entry.name.startswith("."))

    return [root, *(folder for path in persist(look, root) for folder in _folders(Path(path)))]


class EpochPublisher(keras.callbacks.Callback):
    """Publishes the folder of a training after each epoch, in a thread of its own.

    `drive_folder` is the counterpart of `folder` in MyDrive, as `drive.restore` reads it. Give it to fit
    after the `EpochKeeper` that writes the folder. Where MyDrive is slower than the epochs, it gets
    the latest of them. What goes wrong is said once and tried again after the next epoch; training waits for
    it at its end only. Source: COL-019, COL-027.
    """

    def __init__(self, folder, drive_folder):
        super().__init__()
        self.folder, self.drive_folder = Path(folder), Path(drive_folder)
        self.pool, self.job = ThreadPoolExecutor(1, "publish"), None
        self.problem = None  # the one that was told last, as long as it lasts

    def on_epoch_end(self, epoch, logs=None):
        """Have the epoch published, unless a job that has not begun yet will take it along."""
        if self.job is None or self.job.running() or self.job.done():
            self.job = self.pool.submit(self._publish)

    def on_train_end(self, logs=None):
        """Wait until MyDrive has the last epoch; training that was interrupted is published all the same."""
        self.flush()

    def flush(self):
        """Wait for what is under way, then make up for what failed; True when MyDrive has all."""
        if self.job is not None:
            self.job.result()
        if self.problem:
            self._publish()
        if self.problem:
            place = shown_path(self.folder)
            note(f"The last epochs are in {place} only; publish them as soon as MyDrive answers.")
        return self.problem is None

    def _publish(self):
        try:
            publish_folder(self.folder, self.drive_folder, lambda what, size: nullcontext(lambda n: None))
        except (InputError, OSError) as error:
            if self.problem is None:
                note(f"Not published: {error} Training goes on; the next epoch is tried again.")
            self.problem = str(error)
        else:
            if self.problem:
                note(f"MyDrive has all epochs of {shown_path(self.folder)} again.")
            self.problem = None
