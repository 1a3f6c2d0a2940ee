"""A folder seen as one zip archive, any part of which can be read without the archive being anywhere.

One large file crosses a network drive, or lies on a disk, in a fraction of the time of its many small parts
(USB post, COL-026). Files are stored as they are, so that their places are known before anything is read;
only the checksums are found on the way. `data_prep.prepare_celeba` reads such an archive of photos in place.
Source: PKWARE's APPNOTE 6.3, sections 4.3 and 4.5.3 (zip64, here for all sizes alike).
"""

import errno
import hashlib
import os
import struct
import time
import zlib
from bisect import bisect_right
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from helpers.mounts import persist
from helpers.sources import Source, read_at
from helpers.workspace import InputError

SMALL_BYTES = 64 << 20  # members up to this size are read once and kept until the next
CHUNK_BYTES = 1 << 20
VERSION, UNIX = 45, 3 << 8  # zip64; names and rights as on Unix
UTF8 = 0x800  # flag: names are UTF-8
RIGHTS = 0o100644 << 16
UNKNOWN = 0xFFFFFFFF  # the true number is in the zip64 field
LOCAL, CENTRAL = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I")
LOCAL_EXTRA, CENTRAL_EXTRA = struct.Struct("<2H2Q"), struct.Struct("<2H3Q")
END64, LOCATOR, END = struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI"), struct.Struct("<4s4H2IH")


class Member(NamedTuple):
    """A file of the folder and the place of its header in the archive, in bytes."""

    path: str
    name: bytes
    size: int
    modified: int  # ns since 1970
    place: int

    @property
    def data_place(self):
        """Where its content begins."""
        return self.place + LOCAL.size + len(self.name) + LOCAL_EXTRA.size


def archive_source(folder):
    """`Source` of all files in a folder and its subfolders as one zip; the names begin with the folder's.

    Symbolic links are followed for files only; empty folders are left out. The times of the files are kept
    to two seconds, as zip does. InputError for a folder without files.
    """
    folder = Path(os.path.abspath(folder))
    members = persist(lambda: list_members(folder), folder)
    if not members:
        raise InputError(f"{folder} holds no files; give the folder with the files that are to be packed.")

    def identify():
        return _key(list_members(folder))

    checksums = []

    @contextmanager
    def opened():
        yield FolderArchive(members, checksums).read

    modified = max(member.modified for member in members)
    size = _directory_place(members) + _directory_size(members)
    return Source(f"{folder.name}.zip", size, modified, _key(members), identify, opened, checksums)


def list_members(folder):
    """`Member`s for all files in a folder, sorted by name."""
    found, place = [], 0
    for path, status in sorted(_walk(folder)):
        name = Path(path).relative_to(folder.parent).as_posix().encode("utf-8", "backslashreplace")
        found.append(Member(path, name, status.st_size, status.st_mtime_ns, place))
        place = found[-1].data_place + status.st_size
    return found


def _walk(folder):
    """Yield path and status of every file below a folder; errors are raised."""
    subfolders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                subfolders.append(entry.path)
            elif entry.is_file():
                yield entry.path, entry.stat()
    for subfolder in subfolders:
        yield from _walk(subfolder)


def _key(members):
    """What changes when a file of the folder changes."""
    listing = repr([(member.name, member.size, member.modified) for member in members])
    return {"files": len(members), "listing": hashlib.sha256(listing.encode()).hexdigest()}


class FolderArchive:
    """Reads parts of the archive; `checksums` are those of the first members, and grow in their order."""

    def __init__(self, members, checksums):
        self.members, self.checksums = members, checksums
        self.places = [member.place for member in members] + [_directory_place(members)]
        self.kept = (None, b"")  # the last small member and its content

    def read(self, start, length):
        """Bytes of the archive from `start` on, fewer at its end."""
        parts, end = [], start + length
        while start < end and (part := self._read_part(start, end)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def _read_part(self, start, end):
        """Bytes from `start` to `end` or to where something else begins; b"" at the end of the archive."""
        index = bisect_right(self.places, start) - 1
        if index == len(self.members):
            return self._directory()[start - self.places[-1] : end - self.places[-1]]
        member = self.members[index]
        if start < member.data_place:
            return local_header(member, self._checksum(index))[start - member.place : end - member.place]
        first = start - member.data_place
        return self._content(member, first, min(end - member.data_place, member.size) - first)

    def _directory(self):
        self._checksum(len(self.members) - 1)
        return directory(self.members, tuple(self.checksums))

    def _checksum(self, index):
        while len(self.checksums) <= index:
            member = self.members[len(self.checksums)]
            checksum = 0
            for first in range(0, member.size, CHUNK_BYTES):
                length = min(CHUNK_BYTES, member.size - first)
                checksum = zlib.crc32(self._content(member, first, length), checksum)
            self.checksums.append(checksum)
        return self.checksums[index]

    def _content(self, member, first, length):
        """`length` bytes of a member from `first` on."""
        if member.size > SMALL_BYTES:
            with open(member.path, "rb") as file:
                content = read_at(file, first, length)
        else:
            if self.kept[0] != member:
                with open(member.path, "rb") as file:
                    self.kept = (member, file.read(member.size))
            content = self.kept[1][first : first + length]
        if len(content) != length:
            raise OSError(errno.EIO, "it is shorter than when the copy began", member.path)
        return content


def local_header(member, checksum):
    """What stands before a member's content."""
    fields = (VERSION, UTF8, 0, *_dos_time(member.modified), checksum, UNKNOWN, UNKNOWN)
    start = LOCAL.pack(b"PK\3\4", *fields, len(member.name), LOCAL_EXTRA.size)
    return start + member.name + LOCAL_EXTRA.pack(1, LOCAL_EXTRA.size - 4, member.size, member.size)


def directory(members, checksums):
    """What stands at the archive's end: its table of contents."""
    entries = b"".join(map(_directory_entry, members, checksums))
    place = _directory_place(members)
    count = len(members)
    end64 = END64.pack(
        b"PK\6\6", END64.size - 12, UNIX | VERSION, VERSION, 0, 0, count, count, len(entries), place
    )
    locator = LOCATOR.pack(b"PK\6\7", 0, place + len(entries), 1)
    return entries + end64 + locator + END.pack(b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, UNKNOWN, UNKNOWN, 0)


def _directory_entry(member, checksum):
    sizes = (checksum, UNKNOWN, UNKNOWN, len(member.name), CENTRAL_EXTRA.size, 0, 0, 0, RIGHTS, UNKNOWN)
    fields = (UNIX | VERSION, VERSION, UTF8, 0, *_dos_time(member.modified), *sizes)
    extra = CENTRAL_EXTRA.pack(1, CENTRAL_EXTRA.size - 4, member.size, member.size, member.place)
    return CENTRAL.pack(b"PK\1\2", *fields) + member.name + extra


def _directory_place(members):
    return members[-1].data_place + members[-1].size


def _directory_size(members):
    entries = sum(CENTRAL.size + len(member.name) + CENTRAL_EXTRA.size for member in members)
    return entries + END64.size + LOCATOR.size + END.size


def _dos_time(modified):
    """Time and date in zip's form, in local time; 1980 is its first year and 2107 its last."""
    now = time.localtime(modified // 10**9)
    if not 1980 <= now.tm_year <= 2107:
        return 0, 1 << 5 | 1
    date = (now.tm_year - 1980) << 9 | now.tm_mon << 5 | now.tm_mday
    return now.tm_hour << 11 | now.tm_min << 5 | now.tm_sec // 2, date
