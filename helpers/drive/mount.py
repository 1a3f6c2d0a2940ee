"""A drive that may falter or vanish at any moment, such as Google Drive's mount in Colab.

What passes is tried again after growing pauses; what does not is said in one sentence.
"""

import errno
import os
import shutil
import time
from functools import partial
from pathlib import Path

from helpers.files import InputError

ROOTS = {"MyDrive", "My Drive", "Shareddrives"}  # there only as long as Google Drive is mounted
MEGABYTE = 1e6  # bytes
# Seconds between attempts without progress: many at first, as most errors of a mount are over at once.
PAUSES = (*(0.05,) * 8, *(0.2,) * 5, 0.5, 1, 2, 3, 4, 5, 6, 7)
# All other errors may pass. A mount of Google Drive reports time-outs and its own limits as EIO, and a lost
# connection as ENOTCONN (googlecolab/colabtools issues 510, 1607, 3441).
LASTING = {
    errno.ENOSPC: "the disk is full; make room there",
    errno.EDQUOT: "the storage quota is used up; make room there",
    errno.EFBIG: "its file system cannot hold so large a file; choose another disk",
    errno.EROFS: "it can only be read; choose another folder or mount it for writing",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "permission is missing; choose a folder of your own"),
}
WRONG_PATH = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL}


def persist(work, where, mount=None):
    """Result of `work()`, which is tried again after errors that pass; `where`: the path to name to people.

    With a `mount`, its folder is looked for before each attempt. InputError when patience is at its end.
    """
    reasons = LASTING | dict.fromkeys(WRONG_PATH, "check the path and the disk")
    if not ROOTS.isdisjoint(Path(str(where)).parts):
        del reasons[errno.ENOENT]  # while Google Drive is mounted again its paths are missing
    pauses = iter(PAUSES)
    while True:
        try:
            if mount and not os.path.exists(mount):
                raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
            return work()
        except OSError as error:
            what = error.strerror or error
            if reason := reasons.get(error.errno):
                raise InputError(
                    f"Cannot copy to or from {where} ({what}): {reason}, then run the same once more."
                ) from error
            if (pause := next(pauses, None)) is None:
                raise InputError(
                    f"{where} does not answer ({what}); mount the drive again, then run the same once more: "
                    "what has arrived whole is not copied again."
                ) from error
        time.sleep(pause)


def find_mount(folder):
    """The folder that is there as long as the drive is that `folder`, which need not be there yet, lies on.

    InputError when the folder is in MyDrive and MyDrive is not there: made anew, it would be a folder of the
    machine's own disk, which is lost with the machine and stands in the way of the next mount.
    """
    folder = Path(os.path.abspath(folder))
    around = [folder, *folder.parents]
    roots = [path for path in around if path.name in ROOTS]
    for path in roots[:1] or around:
        if persist(lambda path=path: status_of(path), path):
            return path
    raise InputError(f"{roots[0]} is not there; mount Google Drive first, then run the same once more.")


def make_folder(folder, mount):
    """Make a folder and those above it, but none of those that the drive itself brings."""
    folder = Path(os.path.abspath(folder))
    below = [path for path in (folder, *folder.parents) if path.is_relative_to(mount)]
    for path in reversed(below[:-1]):
        persist(lambda path=path: path.mkdir(exist_ok=True), path, mount)


def check_space(needed, mount):
    """Raise InputError unless the disk of `mount` has room for `needed` more bytes."""
    free = persist(lambda: shutil.disk_usage(mount).free, mount, mount)
    if free < needed:
        raise InputError(
            f"Too little space in {mount}: {needed / MEGABYTE:,.0f} MB are needed, {free / MEGABYTE:,.0f} MB "
            "are free; make room there, then run the same once more."
        )


def look_up(path, mount):
    """Status of a file or folder on a drive, or None where there is none though the drive is there."""
    look = partial(persist, lambda: status_of(path), path, mount)
    return look() or look()  # none at a moment without the drive, which has been looked for once more


def status_of(path):
    """Status of a file or folder, or None where there is none; any other error is raised.

    `Path.exists` would say 'not there' of what merely could not be asked, in some versions of Python.
    """
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
