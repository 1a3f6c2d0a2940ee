"""What can be copied, seen alike: a file, an open file, bytes; blocks of it and its sha256."""

import errno
import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from helpers.mounts import persist

BLOCK_BYTES = 8 << 20


class Source(NamedTuple):
    """What can be copied: a file, a folder seen as one archive, or bytes."""

    name: str
    size: int  # bytes
    modified: int  # ns since 1970
    key: Any  # what changes when the content changes, for JSON
    identify: Any  # function () -> the key as it is now
    opened: Any  # function () -> context manager that yields a function (start, length) -> bytes
    checksums: list  # of the members of an archive that have been read so far


def file_source(path, modified=None):
    """`Source` of a file; `modified` stands in for its own time in ns where that is not the one to keep."""
    path = Path(path)

    def identify():
        status = os.stat(path)
        return {"bytes": status.st_size, "modified": status.st_mtime_ns}

    @contextmanager
    def opened():
        with open(path, "rb") as file:
            yield lambda start, length: read_at(file, start, length)

    key = persist(identify, path)
    return Source(path.name, key["bytes"], modified or key["modified"], key, identify, opened, [])


def open_source(name, file):
    """`Source` of a file that stays open and therefore keeps its content even when it is replaced."""
    status = os.fstat(file.fileno())

    @contextmanager
    def opened():
        yield lambda start, length: read_at(file, start, length)

    key = {"bytes": status.st_size, "modified": status.st_mtime_ns}
    return Source(name, status.st_size, status.st_mtime_ns, key, lambda: key, opened, [])


def bytes_source(name, content, modified):
    """`Source` of bytes in memory."""

    @contextmanager
    def opened():
        yield lambda start, length: content[start : start + length]

    key = {"sha256": hashlib.sha256(content).hexdigest()}
    return Source(name, len(content), modified, key, lambda: key, opened, [])


def read_at(file, start, length):
    """`length` bytes of an open file from `start` on, fewer at its end."""
    file.seek(start)
    return file.read(length)


def read_blocks(source):
    """Yield the blocks of a source, each with the patience that its drive needs."""
    for start in range(0, source.size, BLOCK_BYTES):
        yield persist(lambda start=start: _open_and_read(source, start), source.name)


def _open_and_read(source, start):
    with source.opened() as read:
        return read_block(source, read, start)


def read_block(source, read, start):
    """The block of a source that begins at `start`; an OSError when it is shorter than it should be."""
    length = min(BLOCK_BYTES, source.size - start)
    block = read(start, length)
    if len(block) != length:
        raise OSError(errno.EIO, f"{len(block):,} bytes came instead of {length:,}", source.name)
    return block


def hash_source(source):
    """Hexadecimal sha256 of a source's content."""
    digest = hashlib.sha256()
    for block in read_blocks(source):
        digest.update(block)
    return digest.hexdigest()
