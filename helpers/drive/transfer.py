"""One file copied so that it arrives whole or not at all: in blocks, and read back from the disk at the end.

The copy grows under a temporary name and gets its own when its sha256, read back, is that of the source. An
error that passes costs a block; a copy that was killed begins anew. A source is a file (its path, or an open
one's descriptor), a folder, which becomes one zip archive, or bytes. Source: COL-025, COL-026.
"""

import errno
import hashlib
import os
import stat
import time
import zipfile
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from helpers.drive.mount import MEGABYTE, persist, status_of
from helpers.files import InputError, flush_to_disk
from helpers.reporting import progress_meter

ATTEMPTS = 5  # to write a file that the disk gives back otherwise
BLOCK_BYTES = 8 << 20


class DamagedSource(InputError):
    """The source is not what its manifest says."""


def transfer(source, target, mount, count=lambda n: None, expected=None, modified=None):
    """Copy `source` to the file `target` on `mount`, whole or not at all; return its sha256 (hexadecimal).

    The folder of `target` must be there. `count(n)` is told of n bytes, when written and when read back.
    The copy's time is `modified`, ns since 1970, else the source's. Raises DamagedSource when the sha256 is
    not the one `expected`, InputError when the source changes meanwhile or the disk refuses.
    """
    origin, name, growing = describe(source), getattr(source, "name", target.name), partial_path(target)
    try:
        for _ in range(ATTEMPTS):
            sha256 = _write(source, growing, mount, count)
            if hash_of(growing, mount, count) == sha256:
                break
        else:
            raise InputError(
                f"{target} gives back other bytes than were written, {ATTEMPTS} times over; copy to another "
                "disk, and have this one checked."
            )
        if describe(source) != origin:
            raise InputError(f"{name} was changed while it was copied; run the same once more.")
        if expected not in (None, sha256):
            raise DamagedSource(
                f"{name} is damaged: its sha256 is not the one in its manifest. Copy it there anew "
                "from where it came from; if you changed it yourself, delete the manifest beside it."
            )
        modified = modified or origin["modified"] or time.time_ns()
        with suppress(OSError):  # some drives keep no times
            os.utime(growing, ns=(modified, modified))
        persist(partial(_rename, target, sha256), target, mount)
        with suppress(OSError):  # and some cannot be told to keep a name; a copy without one is made again
            flush_to_disk(target.parent)
    except BaseException:
        drop_partial(target)
        raise
    return sha256


def partial_path(target):
    """Where a copy grows."""
    return target.with_name(f".{target.name}.partial")


def drop_partial(target):
    """Remove what a copy that was stopped has left beside its target; what stays does no harm."""
    with suppress(OSError):
        partial_path(target).unlink(missing_ok=True)


def _write(source, path, mount, count):
    """Write a source to a new file, and put that on disk; return the sha256 of what was read."""
    digest, place = hashlib.sha256(), 0
    file = persist(partial(_begin, path), path, mount)
    try:
        for block in read_blocks(source):
            persist(partial(_put, file, place, block), path, mount)
            digest.update(block)
            place += len(block)
            count(len(block))
        persist(partial(_flush, file), path, mount)
    finally:
        with suppress(OSError):  # what has not arrived is missed when it is read back
            file.close()
    return digest.hexdigest()


def _begin(path):
    path.unlink(missing_ok=True)  # a link of this name would lead elsewhere
    return open(path, "xb")


def _put(file, place, block):
    file.seek(place)
    file.write(block)
    file.flush()


def _flush(file):
    """Put a file on disk, and out of memory, from where it would be read back otherwise."""
    os.fsync(file.fileno())
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _rename(target, sha256):
    try:
        os.replace(partial_path(target), target)
    except OSError:  # a network drive may report an error of what it has done nevertheless
        if status_of(partial_path(target)) or not status_of(target) or hash_of(target) != sha256:
            raise


@contextmanager
def show_progress(what, size):
    """Show rate and time left of copying `size` bytes; yields the function `count` for `transfer`.

    A byte counts half when it is written and half when it has been read back.
    """
    total, done = max(1, round(size / MEGABYTE)), 0
    show = progress_meter(f"MB of {what}", total)

    def count(n):
        nonlocal done
        done += n / 2
        show(min(int(done / MEGABYTE), total - 1))

    yield count
    show(total)


def describe(source):
    """What changes when a source does: bytes, time (ns since 1970), listing; InputError for empty folders."""
    if isinstance(source, bytes):
        return {"bytes": len(source), "modified": 0}
    status = persist(lambda: os.stat(source), source)
    if not stat.S_ISDIR(status.st_mode):
        return {"bytes": status.st_size, "modified": status.st_mtime_ns}
    files = [(name, status.st_size, status.st_mtime_ns) for name, _, status in _list_files(source)]
    if not files:
        raise InputError(f"{source} holds no files; give the folder with the files that are to be packed.")
    _, sizes, times = zip(*files, strict=True)
    listing = hashlib.sha256(repr(files).encode()).hexdigest()
    return {"bytes": sum(sizes), "modified": max(times), "files": len(files), "listing": listing}


def hash_of(source, mount=None, count=lambda n: None):
    """Hexadecimal sha256 of a source's content."""
    digest = hashlib.sha256()
    for block in read_blocks(source, mount):
        digest.update(block)
        count(len(block))
    return digest.hexdigest()


def read_blocks(source, mount=None):
    """Yield the content of a source in blocks, each with the patience that its drive needs."""
    if isinstance(source, bytes):
        yield source
        return
    status = persist(lambda: os.stat(source), source, mount)
    if stat.S_ISDIR(status.st_mode):
        yield from _pack(source)
        return
    for place in range(0, status.st_size, BLOCK_BYTES):
        length = min(BLOCK_BYTES, status.st_size - place)
        yield persist(partial(_read, source, place, length), source, mount)


def _read(source, place, length):
    with open(source, "rb", closefd=not isinstance(source, int)) as file:
        file.seek(place)
        block = file.read(length)
    if len(block) != length:
        raise OSError(errno.EIO, f"{len(block):,} bytes came instead of {length:,}", source)
    return block


def _pack(folder):
    """Yield the files of a folder as one zip archive in blocks; times before 1980 become 1980."""
    sink = bytearray()  # a file without places to go back to
    stream = SimpleNamespace(write=lambda data: sink.extend(data) or len(data), flush=lambda: None)
    with zipfile.ZipFile(stream, "w") as archive:
        for name, path, _ in _list_files(folder):
            entry = partial(zipfile.ZipInfo.from_file, path, name.decode(), strict_timestamps=False)
            with archive.open(persist(entry, path), "w") as member:
                for block in read_blocks(path):
                    member.write(block)
                    while len(sink) >= BLOCK_BYTES:
                        yield bytes(sink[:BLOCK_BYTES])
                        del sink[:BLOCK_BYTES]
    yield from (bytes(sink[place : place + BLOCK_BYTES]) for place in range(0, len(sink), BLOCK_BYTES))


def _list_files(folder):
    """Name from the folder's on (bytes, UTF-8), path and status of all files below a folder, sorted.

    Symbolic links are followed for files only; empty folders are left out.
    """

    def name(path):
        return path.relative_to(folder.parent).as_posix().encode("utf-8", "backslashreplace")

    return [(name(path), path, status) for path, status in persist(lambda: sorted(_walk(folder)), folder)]


def _walk(folder):
    """Yield path and status of every file below a folder; errors are raised."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry)
            elif entry.is_file():
                yield Path(entry), entry.stat()
