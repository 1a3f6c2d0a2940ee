"""The folder that is written to: one writer at a time, enough space, and clear words when it fails."""

import errno
import shutil
from contextlib import contextmanager
from pathlib import Path

from helpers.workspace import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

LOCK = ".prepare.lock"
SPARE_BYTES = 16 << 20  # for the small files and the file system's own needs
FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def open_target(out):
    """Make the folder `out` and hold its lock; errors of the file system inside become InputError."""
    out = Path(out).expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / LOCK).open("ab") as file:
            lock(file, out)
            yield out
    except OSError as error:
        if error.errno in FULL:
            raise InputError(
                f"The disk of {out} is full; make room and start again, the images packed so far are kept"
            ) from error
        raise InputError(
            f"Cannot write to {out} ({error.strerror or error}); choose another --out"
        ) from error


def lock(file, out):
    """Lock an open file until it is closed or the process ends; InputError when another holds it."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError) as error:
        raise InputError(f"Another run is writing to {out}; wait for its end") from error
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP):  # some network drives know no locks
            raise


def check_space(out, needed):
    """Raise InputError unless the disk of `out` has room for `needed` more bytes."""
    free = shutil.disk_usage(out).free
    if free < needed + SPARE_BYTES:
        raise InputError(
            f"Too little space for {out}: {needed + SPARE_BYTES:,} bytes are needed, {free:,} are free; "
            "make room, choose another --out, or take fewer images with --limit"
        )


def allocated_bytes(path):
    """Bytes that a file really takes on disk: less than its size where rows have not been written yet."""
    status = path.stat()
    return getattr(status, "st_blocks", status.st_size / 512) * 512
