"""One file copied so that it arrives whole or not at all: in blocks, and read back from the disk at the end.

The copy grows under a temporary name beside the target and gets its name when its sha256, read back, is that
of what was read from the source. An error that passes costs a block; a copy that was killed begins anew.
A source is a file (its path, or an open one), a folder, which becomes one zip archive, or bytes.
Source: COL-025, COL-026.
"""

import errno
import hashlib
import os
import stat
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

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
    target, origin = Path(target), describe(source)
    try:
        sha256 = _write_checked(source, _partial_path(target), mount, count)
        if describe(source) != origin:
            raise InputError(f"{_name(source)} was changed while it was copied; run the same once more.")
        if expected not in (None, sha256):
            raise DamagedSource(
                f"{_name(source)} is damaged: its sha256 is not the one in its manifest. Copy it there anew "
                "from where it came from; if you changed it yourself, delete the manifest beside it."
            )
        _settle(target, mount, sha256, modified or origin.modified)
    except BaseException:
        drop_partial(target)
        raise
    return sha256


def _write_checked(source, partial, mount, count):
    """Write until the disk gives back what was written; return its sha256."""
    for _ in range(ATTEMPTS):
        written = _write(source, partial, mount, count)
        if hash_of(partial, mount, count) == written:
            return written
    raise InputError(
        f"{partial.parent} gives back other bytes than were written, {ATTEMPTS} times over; copy to another "
        "disk, and have this one checked."
    )


def _write(source, partial, mount, count):
    digest, place = hashlib.sha256(), 0
    persist(lambda: partial.write_bytes(b""), partial, mount)
    with patient_file(partial, "r+b", mount) as at:
        for block in read_blocks(source):
            at(place, _put, block)
            digest.update(block)
            place += len(block)
            count(len(block))
        at(place, _flush)
    return digest.hexdigest()


def _put(file, block):
    file.write(block)
    file.flush()


def _flush(file):
    """Put a file on disk, and out of memory, from where it would be read back otherwise."""
    os.fsync(file.fileno())
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _settle(target, mount, sha256, modified):
    """Give a checked copy its time and its final name."""
    if modified:
        with suppress(OSError):  # some drives keep no times
            os.utime(_partial_path(target), ns=(modified, modified))
    persist(lambda: _rename(target, sha256), target, mount)
    persist(lambda: _flush_names(target.parent), target, mount)


def _rename(target, sha256):
    partial = _partial_path(target)
    try:
        os.replace(partial, target)
    except OSError:  # a network drive may report an error of what it has done nevertheless
        if status_of(partial) or not status_of(target) or hash_of(target) != sha256:
            raise


def _flush_names(folder):
    """Put the names in a folder on disk, where the drive knows how to."""
    try:
        flush_to_disk(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise


def _partial_path(target):
    return target.with_name(f".{target.name}.partial")


def drop_partial(target):
    """Remove what a copy that was stopped has left beside its target; what stays does no harm."""
    with suppress(OSError):
        _partial_path(target).unlink(missing_ok=True)


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


class Origin(NamedTuple):
    """What a source is at a moment."""

    size: int  # bytes of its files
    modified: int | None  # ns since 1970
    key: dict  # what changes when the content does, for JSON


def describe(source):
    """`Origin` of a source; InputError for a folder without files."""
    if isinstance(source, bytes):
        return Origin(len(source), None, {})
    status = _status(source)
    if not stat.S_ISDIR(status.st_mode):
        key = {"bytes": status.st_size, "modified": status.st_mtime_ns}
        return Origin(status.st_size, status.st_mtime_ns, key)
    files = list_files(source)
    if not files:
        raise InputError(f"{source} holds no files; give the folder with the files that are to be packed.")
    listing = repr([(name, status.st_size, status.st_mtime_ns) for name, _, status in files])
    key = {"files": len(files), "listing": hashlib.sha256(listing.encode()).hexdigest()}
    statuses = [status for _, _, status in files]
    return Origin(sum(s.st_size for s in statuses), max(s.st_mtime_ns for s in statuses), key)


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
    elif stat.S_ISDIR(_status(source, mount).st_mode):
        yield from _pack(source)
    else:
        yield from _read_file(source, mount)


def _read_file(source, mount=None):
    size = _status(source, mount).st_size
    with patient_file(source, "rb", mount) as at:
        for place in range(0, size, BLOCK_BYTES):
            yield at(place, _read, min(BLOCK_BYTES, size - place))


def _read(file, length):
    block = file.read(length)
    if len(block) != length:
        raise OSError(errno.EIO, f"{len(block):,} bytes came instead of {length:,}", file.name)
    return block


def _pack(folder):
    """Yield the files of a folder as one zip archive in blocks; the names begin with the folder's."""
    sink = Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, path, _ in list_files(folder):
            with archive.open(_zip_info(name, path), "w") as member:
                for block in _read_file(path):
                    member.write(block)
                    while len(sink) >= BLOCK_BYTES:
                        yield sink.take()
    while sink:
        yield sink.take()


def _zip_info(name, path):
    """Name, time and size of a file in a zip archive; times before 1980 become 1980."""
    return persist(lambda: zipfile.ZipInfo.from_file(path, name.decode(), strict_timestamps=False), path)


class Sink(bytearray):
    """What a zip archive has written and nobody has taken yet: a file without places to go back to."""

    def write(self, data):
        """Add to the end."""
        self.extend(data)
        return len(data)

    def flush(self):
        """Do nothing: all is here."""

    def take(self):
        """Remove and return the first block."""
        block = bytes(self[:BLOCK_BYTES])
        del self[:BLOCK_BYTES]
        return block


def list_files(folder):
    """Name from the folder's on (bytes, UTF-8), path and status of all files below a folder, sorted.

    Symbolic links are followed for files only; empty folders are left out.
    """
    found = persist(lambda: sorted(_walk(folder)), folder)
    names = [Path(path).relative_to(folder.parent).as_posix() for path, _ in found]
    encoded = [name.encode("utf-8", "backslashreplace") for name in names]
    return [(name, path, status) for name, (path, status) in zip(encoded, found, strict=True)]


def _walk(folder):
    """Yield path and status of every file below a folder; errors are raised."""
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            elif entry.is_file():
                yield entry.path, entry.stat()


@contextmanager
def patient_file(source, mode, mount=None):
    """Yield a function `at(place, work, *arguments)`: result of `work(file, *arguments)` at a byte of a file.

    It is tried again after errors that pass. `source` is an open file, or a path, which is opened anew then.
    """
    is_open = hasattr(source, "fileno")
    file = source if is_open else None

    def close():
        nonlocal file
        if file and not is_open:
            with suppress(OSError):
                file.close()
            file = None

    def at(place, work, *arguments):
        def attempt():
            nonlocal file
            file = file or open(source, mode)  # noqa: SIM115 - closed below, and after an error
            try:
                file.seek(place)
                return work(file, *arguments)
            except OSError:
                close()
                raise

        return persist(attempt, source.name if is_open else source, mount)

    try:
        yield at
    finally:
        close()


def _status(source, mount=None):
    if hasattr(source, "fileno"):
        return os.fstat(source.fileno())
    return persist(lambda: os.stat(source), source, mount)


def _name(source):
    """Name of a file, open or not, or of a folder."""
    return Path(source.name).name
