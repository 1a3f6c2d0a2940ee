"""One file copied so that it arrives whole or not at all: in blocks, each of them read back.

The copy grows under a temporary name beside the target. A journal next to it names the sha256 of every block
as it was read from the source, so that a copy that was killed goes on after its last block. At the end all is
read back and compared; a block that differs is written again. Source: COL-025, COL-026.
"""

import errno
import hashlib
import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count as count_up
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from helpers.drive.mount import MEGABYTE, Mount, persist, status_of
from helpers.files import InputError, flush_to_disk
from helpers.reporting import progress_meter

REPAIRS = 5
BLOCK_BYTES = 8 << 20


class DamagedSource(InputError):
    """The source is not what its manifest says."""


def transfer(source, target, mount, count=lambda n: None, expected=None):
    """Copy `source` to the file `target` on `mount`, whole or not at all; return its sha256 (hexadecimal).

    The folder of `target` must be there. What an earlier call left unfinished is gone on with. `count(n)` is
    told of n bytes, each once when written and once when read back. Raises DamagedSource when the sha256 is
    not the one `expected`, InputError when the source changes meanwhile or the disk refuses.
    """
    return finish_copy(begin_copy(source, target, mount), count, expected)


def begin_copy(source, target, mount):
    """A `Copy` that goes on after the blocks that an earlier one has written, or begins anew."""
    copy = Copy(source, Path(target), mount)
    _make_ready(copy)
    return copy


def finish_copy(copy, count=lambda n: None, expected=None):
    """Write, read back and rename a `Copy`; as `transfer`."""

    def attempt():
        _make_ready(copy)
        _write(copy, count)
        _read_back(copy, count)
        sha256 = copy.whole.hexdigest()
        _check_source(copy, expected)
        _settle(copy, sha256)
        return sha256

    return persist(attempt, copy.target, copy.mount, lambda: copy.steps)


def _make_ready(copy):
    """Find out what has been written; without a copy to go on with, begin one."""
    if _step(copy, lambda: status_of(copy.partial)):
        copy.written = copy.written or _step(copy, lambda: read_journal(copy))
    else:
        copy.written = []
    if not copy.written:
        _forget_checks(copy)
        copy.flushed = False
        copy.source.checksums.clear()
        if copy.blocks > 1:
            _step(copy, lambda: copy.journal.write_text(copy.heading + "\n", encoding="utf-8"))
        _step(copy, lambda: copy.partial.write_bytes(b""))


def _step(copy, work):
    """Result of `work()`, a small part of a copy, with a patience of its own."""
    return persist(work, copy.target, copy.mount)


def _write(copy, count):
    """Write the blocks that are missing, each of them into the journal as soon as it is written."""
    if copy.flushed:
        return
    with copy.source.opened() as read, open(copy.partial, "r+b") as file:
        for index in range(len(copy.written), copy.blocks):
            known = len(copy.source.checksums)
            block = read_block(copy.source, read, index * BLOCK_BYTES)
            file.seek(index * BLOCK_BYTES)
            file.write(block)
            file.flush()
            sha256 = hashlib.sha256(block).hexdigest()
            _step(copy, lambda index=index, s=sha256, k=known: note_block(copy, index, s, k))
            copy.written.append(sha256)
            copy.steps += 1
            count(len(block))
        file.truncate(copy.source.size)  # a write that failed may have left something behind the end
        os.fsync(file.fileno())
    copy.flushed = True
    copy.steps += 1


def _read_back(copy, count):
    """Compare what lies on the disk with what was read from the source."""
    if copy.checked == copy.blocks:
        return
    with open(copy.partial, "rb") as file:
        if hasattr(os, "posix_fadvise"):  # else the answer would come from memory and not from the disk
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(copy.checked * BLOCK_BYTES)
        for index in range(copy.checked, copy.blocks):
            block = file.read(BLOCK_BYTES)
            if hashlib.sha256(block).hexdigest() != copy.written[index]:
                _repair(copy, index)
            copy.whole.update(block)
            copy.checked += 1
            copy.steps += 1
            count(len(block))


def _repair(copy, index):
    """Have the blocks from `index` on written anew: raises an OSError that passes, InputError at last."""
    del copy.written[index:]
    _forget_checks(copy)
    copy.flushed = False
    copy.repairs += 1
    if copy.repairs > REPAIRS:
        raise InputError(
            f"{copy.target} gives back other bytes than were written, {REPAIRS} times over; copy to another "
            "disk, and have this one checked."
        )
    raise OSError(errno.EIO, "it gave back other bytes than were written", str(copy.target))


def _forget_checks(copy):
    copy.checked, copy.whole = 0, hashlib.sha256()


def _check_source(copy, expected):
    """Raise InputError, and drop the copy, when the source has changed or is not as `expected`."""
    changed = persist(copy.source.identify, copy.source.name) != copy.source.key
    if not changed and expected in (None, copy.whole.hexdigest()):
        return
    copy.partial.unlink(missing_ok=True)
    copy.journal.unlink(missing_ok=True)
    if changed:
        raise InputError(f"{copy.source.name} was changed while it was copied; run the same once more.")
    raise DamagedSource(
        f"{copy.source.name} is damaged: its sha256 is not the one in its manifest. Copy it there anew from "
        "where it came from; if you changed it yourself, delete the manifest beside it."
    )


def _settle(copy, sha256):
    """Give a checked copy its source's time and its final name."""
    with suppress(OSError):  # some drives keep no times
        os.utime(copy.partial, ns=(copy.source.modified, copy.source.modified))
    try:
        os.replace(copy.partial, copy.target)
    except OSError:  # a network drive may report an error of what it has done nevertheless
        if not _step(copy, lambda: _has_arrived(copy, sha256)):
            raise
    _step(copy, lambda: _flush_names(copy.target.parent))
    drop_unfinished(copy.target)


def _flush_names(folder):
    """Put the names in a folder on disk, where the drive knows how to."""
    try:
        flush_to_disk(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise


def _has_arrived(copy, sha256):
    """Whether the copy has its final name already."""
    gone = status_of(copy.partial) is None and status_of(copy.target) is not None
    return gone and hash_source(file_source(copy.target)) == sha256


@contextmanager
def show_progress(what, size, kept=0):
    """Show rate and time left of copying `size` bytes; yields the function `count` for `transfer`.

    A byte counts half when it is written and half when it has been read back; `kept` bytes were written by
    an earlier run.
    """
    total, done = max(1, round(size / MEGABYTE)), kept / 2
    show = progress_meter(f"MB of {what}", total, int(done / MEGABYTE))

    def count(n):
        nonlocal done
        done += n / 2
        show(min(int(done / MEGABYTE), total - 1))

    yield count
    show(total)


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


@dataclass
class Copy:
    """A copy in progress, block by block."""

    source: Source
    target: Path
    mount: Mount  # of the target
    written: list = field(default_factory=list)  # sha256 of each block as read from the source
    checked: int = 0  # blocks that were read back and found equal
    whole: Any = field(default_factory=hashlib.sha256)  # of those blocks
    flushed: bool = False  # all of it is on disk
    steps: int = 0  # blocks written or read back so far, repetitions counted
    repairs: int = 0  # times that a block was not as written

    @property
    def partial(self):
        """The file that grows."""
        return _partial_path(self.target)

    @property
    def journal(self):
        """The file that speaks for its blocks."""
        return _journal_path(self.target)

    @property
    def heading(self):
        """First line of the journal: what its blocks are blocks of."""
        return json.dumps({"source": self.source.key, "block_bytes": BLOCK_BYTES})

    @property
    def blocks(self):
        """Number of blocks, the last and shorter one counted."""
        return -(-self.source.size // BLOCK_BYTES)


def _partial_path(target):
    return target.with_name(f".{target.name}.partial")


def _journal_path(target):
    return target.with_name(f".{target.name}.partial.journal")


def drop_unfinished(target):
    """Remove what a copy that was killed has left beside a target that is whole; what stays does no harm."""
    with suppress(OSError):
        _partial_path(target).unlink(missing_ok=True)
        _journal_path(target).unlink(missing_ok=True)


def read_journal(copy):
    """sha256 of the blocks that the journal speaks for; none if it speaks of another source."""
    if copy.blocks < 2 or not status_of(copy.journal):
        return []
    lines = copy.journal.read_text(encoding="utf-8", errors="replace").split("\n")
    if lines[0] != copy.heading:
        return []
    records = [record for record in map(_parse, lines[1:-1]) if record]
    blocks = {record["block"]: record["sha256"] for record in records}
    checksums = {record["known"] + i: c for record in records for i, c in enumerate(record["checksums"])}
    copy.source.checksums[:] = _without_gaps(checksums)
    return _without_gaps(blocks)


def _without_gaps(numbered):
    """List of the values of the keys 0, 1, 2, ... up to the first that is missing."""
    return [numbered[index] for index in takewhile(numbered.__contains__, count_up())]


def _parse(line):
    """Record of a line, or None for a line that was torn."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def note_block(copy, index, sha256, known):
    """Write a block into the journal, with the checksums that were found since `known` of them were."""
    if copy.blocks > 1:
        record = {"block": index, "sha256": sha256, "known": known}
        record["checksums"] = copy.source.checksums[known:]
        with open(copy.journal, "a", encoding="utf-8") as journal:
            journal.write(json.dumps(record) + "\n")
