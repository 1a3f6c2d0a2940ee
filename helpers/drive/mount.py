"""A drive that may falter or vanish at any moment, such as Google Drive's mount in Colab.

What passes is tried again after growing pauses; what does not is said in one sentence.
"""

import errno
import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from helpers.files import InputError

ROOTS = {"MyDrive", "My Drive", "Shareddrives"}  # there only as long as Google Drive is mounted
MEGABYTE = 1e6  # bytes
# Seconds between attempts without progress: many at first, as most errors of a mount are over at once.
PAUSES = (*(0.05,) * 8, *(0.2,) * 5, 0.5, 1, 2, 3, 4, 5, 6, 7)
# A mount of Google Drive reports time-outs and its own limits as EIO, and a lost connection as ENOTCONN
# (googlecolab/colabtools issues 510, 1607, 3441); while it is being mounted again its paths are missing.
PASSING_NAMES = (
    "EIO ENOTCONN ESTALE ETIMEDOUT EAGAIN EBUSY EINTR ENODEV ENXIO ENOENT EREMOTEIO ECOMM ENOLINK EPIPE "
    "ECONNABORTED ECONNRESET ECONNREFUSED EHOSTDOWN EHOSTUNREACH ENETDOWN ENETRESET ENETUNREACH ESHUTDOWN"
)
PASSING = {getattr(errno, name) for name in PASSING_NAMES.split() if hasattr(errno, name)}
LASTING = {
    errno.ENOSPC: "the disk is full; make room there",
    errno.EDQUOT: "the storage quota is used up; make room there",
    errno.EFBIG: "its file system cannot hold so large a file; choose another disk",
    errno.EROFS: "it can only be read; choose another folder or mount it for writing",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "permission is missing; choose a folder of your own"),
}


class Mount(NamedTuple):
    """A folder that is there as long as its drive is, and the device it lies on then."""

    folder: Path
    device: int


def persist(work, where, mount=None):
    """Result of `work()`, which is tried again after errors that pass; `where`: the path to name to people.

    With a `mount`, its drive is looked for before each attempt. Raises InputError for errors that do not
    pass, and when patience is at its end.
    """
    pauses = iter(PAUSES)
    while True:
        try:
            if mount:
                check_mount(mount)
            return work()
        except OSError as error:
            if not is_passing(error, where):
                reason = LASTING.get(error.errno, f"{error.strerror or error}; check the path and the disk")
                raise InputError(
                    f"Cannot copy to or from {where}: {reason}, then run the same once more."
                ) from error
            pause = next(pauses, None)
            if pause is None:
                raise InputError(
                    f"{where} does not answer ({error.strerror or error}); mount the drive again, then run "
                    "the same once more: what has arrived whole is not copied again."
                ) from error
        time.sleep(pause)


def is_passing(error, where):
    """True for an error of the kind that a network drive may get over by itself."""
    if error.errno == errno.ENOENT:  # on the machine's own disk nothing comes back
        return not ROOTS.isdisjoint(Path(str(where)).parts)
    return error.errno in PASSING or isinstance(error, TimeoutError | ConnectionError)


def find_mount(folder):
    """The `Mount` that a folder, which need not be there yet, lies on.

    InputError when the folder is in MyDrive and MyDrive is not there: made anew, it would be a folder of the
    machine's own disk, which is lost with the machine and stands in the way of the next mount.
    """
    folder = Path(os.path.abspath(folder))
    anchor = next((path for path in (folder, *folder.parents) if path.name in ROOTS), None)
    for path in [anchor] if anchor else [folder, *folder.parents]:
        status = persist(lambda path=path: status_of(path), path)
        if status:
            return Mount(path, status.st_dev)
    raise InputError(f"{anchor} is not there; mount Google Drive first, then run the same once more.")


def check_mount(mount):
    """Raise an OSError that passes unless the drive is there and still the same device."""
    if os.stat(mount.folder).st_dev != mount.device:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), str(mount.folder))


def answers(folder, mount):
    """Whether a folder that need not be there yet can be asked for: one attempt, without patience."""
    try:
        check_mount(mount)
        status_of(folder)
    except OSError:
        return False
    return True


def make_folder(folder, mount):
    """Make a folder and those above it, but none of those that the drive itself brings."""
    folder = Path(os.path.abspath(folder))
    below = [path for path in (folder, *folder.parents) if path.is_relative_to(mount.folder)]
    for path in reversed(below[:-1]):
        persist(lambda path=path: status_of(path) or path.mkdir(exist_ok=True), path, mount)


def check_space(needed, mount):
    """Raise InputError unless the disk of `mount` has room for `needed` more bytes."""
    free = persist(lambda: shutil.disk_usage(mount.folder).free, mount.folder, mount)
    if free < needed:
        raise InputError(
            f"Too little space in {mount.folder}: {needed / MEGABYTE:,.0f} MB are needed, "
            f"{free / MEGABYTE:,.0f} MB are free; make room there, then run the same once more."
        )


def look_up(path, mount):
    """Status of a file or folder on a drive, or None where there is none though the drive is there."""

    def look():
        return status_of(path) or check_mount(mount) or status_of(path)

    return persist(look, path, mount)


def parse_json(content):
    """What bytes say as JSON; None where they are none, as a file that is cut off."""
    with suppress(ValueError, RecursionError):
        return json.loads(content)
    return None


def status_of(path):
    """Status of a file or folder, or None where there is none; any other error is raised.

    `Path.exists` would say 'not there' of what merely could not be asked, in some versions of Python.
    """
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
