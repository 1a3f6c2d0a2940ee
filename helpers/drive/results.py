"""A workspace and its counterpart in MyDrive: restored before its first use, published while a study runs.

Work is done on the machine's own disk; MyDrive keeps what would be lost. Source: COL-019, COL-025 to COL-027.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from pathlib import Path

from helpers.drive.exchange import publish_folder, restore_folder
from helpers.drive.mount import persist, status_of
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
    restore_folder(counterpart(folder), folder)
    restored.add(folder)
    return True


def publish(workspace, drive_folder=None):
    """Send what is whole and new in a workspace to MyDrive; return how many files were sent.

    `drive_folder` is the workspace's counterpart unless given; where nothing is kept, nothing is done. All
    subfolders are sent but images, which are made anew. MyDrive's files are replaced by later versions of the
    same, never by older ones, and none is dropped but the weights of earlier epochs. What goes wrong with a
    folder is said, and the others are sent; a drive that does not answer ends it. The next call goes on.
    """
    drive_folder = drive_folder or counterpart(workspace)
    if drive_folder is None:
        return 0
    sent = 0
    for folder in persist(lambda: _folders(workspace), workspace):
        try:
            sent += publish_folder(folder, drive_folder / folder.relative_to(workspace))
        except (InputError, OSError) as error:
            note(f"Not all of {shown_path(folder)} is in MyDrive: {error}")
            if not os.path.exists(drive_folder):  # all of the drive is away
                return sent
    note(f"{sent} new files in MyDrive from {shown_path(workspace)}.")
    return sent


def _folders(root):
    """A folder and all below it, but what is made anew and what has a name that begins with a dot."""
    below = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.is_symlink()]
    kept = [path for path in below if path.name[0] != "." and path.name != MADE_ANEW]
    return [root, *(folder for path in kept for folder in _folders(path))]


def background_publisher(folder):
    """Function that sends a folder to MyDrive while work goes on; None where nothing is kept.

    `publish()` after each epoch has the folder published in a thread of its own; where MyDrive is slower than
    the epochs, it gets the latest. What goes wrong is said once and tried again. `publish(wait=True)` at the
    end waits, makes up for what failed, and returns whether MyDrive has all. Source: COL-019, COL-027.
    """
    drive_folder = counterpart(folder)
    if drive_folder is None:
        return None
    pool, job, problem = ThreadPoolExecutor(1, "publish"), None, None

    def send():
        nonlocal problem
        former, problem = problem, None
        try:
            publish_folder(folder, drive_folder, lambda what, size: nullcontext(lambda n: None))
        except (InputError, OSError) as error:
            problem = str(error)
        if problem and not former:
            note(f"Not published: {problem} Training goes on; the next epoch is tried again.")
        elif former and not problem:
            note(f"MyDrive has all epochs of {shown_path(folder)} again.")

    def publish(wait=False):
        nonlocal job
        if not wait:
            if job is None or job.running() or job.done():  # else one that has not begun takes it along
                job = pool.submit(send)
            return False
        if job:
            job.result()
        if problem:
            send()
        if problem:
            place = shown_path(folder)
            note(f"The last epochs are in {place} only; publish them as soon as MyDrive answers.")
        return problem is None

    return publish
