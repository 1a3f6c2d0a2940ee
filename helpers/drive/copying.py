"""Large files and whole workspaces between this machine and MyDrive: what arrives is whole, nothing is lost.

MyDrive is a network drive: work on it is slow and may fail at any moment, so data are copied to the machine's
own disk and results are published (COL-025, COL-026, COL-027). How a workspace lies in MyDrive is told in
`helpers.drive_folder`, what counts as newer in `helpers.exchange`.
"""

import errno
import hashlib
import json
import os
import stat
import struct
import time
import zlib
from bisect import bisect_right
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from helpers.drive import transfer as transfers
from helpers.drive.exchange import MANIFEST_SUFFIX, dated
from helpers.drive.mount import check_space, find_mount, look_up, make_folder, persist, status_of
from helpers.drive.transfer import (
    DamagedSource,
    Source,
    begin_copy,
    bytes_source,
    drop_unfinished,
    file_source,
    finish_copy,
    hash_source,
    read_at,
    read_blocks,
    show_progress,
    transfer,
)
from helpers.files import InputError, shown_path
from helpers.reporting import note

OTHER_ARCHIVES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z")
SMALL_BYTES = 64 << 20  # members up to this size are read once and kept until the next
CHUNK_BYTES = 1 << 20
VERSION, UNIX = 45, 3 << 8  # zip64; names and rights as on Unix
UTF8 = 0x800  # flag: names are UTF-8
RIGHTS = 0o100644 << 16
UNKNOWN = 0xFFFFFFFF  # the true number is in the zip64 field
LOCAL, CENTRAL = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I")
LOCAL_EXTRA, CENTRAL_EXTRA = struct.Struct("<2H2Q"), struct.Struct("<2H3Q")
END64, LOCATOR, END = struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI"), struct.Struct("<4s4H2IH")


def copy_verified(source, target):
    """Copy one large file, or a folder packed as one zip archive, to the file `target`; return its path.

    A `target` that is a folder takes the copy under the source's name. The copy grows in blocks under a
    temporary name, goes on after a kill, and gets its name when its size and its sha256, read back from the
    disk, are right; `<target>.manifest.json` then says so, and where the source has such a manifest, it must
    agree. What is there already is not copied again; a target that is newer than the source is set aside
    under a dated name. Errors that a network drive gets over are tried again; InputError in one sentence for
    all others, DamagedSource among them. Source: COL-025, COL-026, COL-027.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    origin, target = _open_origin(source, target)
    mount = find_mount(target.parent)
    make_folder(target.parent, mount)
    sha256 = persist(lambda: _present_sha256(origin, target), target, mount)
    if sha256:
        drop_unfinished(target)
        note(f"{shown_path(target)} is there already and whole.")
    else:
        sha256 = _copy(origin, target, mount, _claimed_sha256(source, origin))
    _write_manifest(origin, target, mount, sha256)
    return target


def _open_origin(source, target):
    """`Source` of what is to be copied, and the path of the file that it becomes."""
    status = look_up(source, find_mount(source))
    if status is None:
        raise InputError(f"There is no file or folder {source}; check its path.")
    is_folder = stat.S_ISDIR(status.st_mode)
    origin = archive_source(source) if is_folder else file_source(source)
    if persist(target.is_dir, target):
        target = target / origin.name
    if is_folder and target.suffix.lower() in OTHER_ARCHIVES:
        raise InputError(f"{source} is packed as a zip archive; give {target.name} the suffix .zip.")
    if target.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{target} lies in what is to be copied; choose a place outside it.")
    return origin, target


def _copy(origin, target, mount, expected):
    """Copy to a target that is not there yet or has another content; return the sha256."""
    persist(lambda: _make_way(origin, target), target, mount)
    copy = begin_copy(origin, target, mount)
    kept = min(len(copy.written) * transfers.BLOCK_BYTES, origin.size)
    check_space(origin.size - kept, mount)
    with show_progress(target.name, origin.size, kept) as count:
        return finish_copy(copy, count, expected)


def _present_sha256(origin, target):
    """sha256 of a target that has the content of the source, by its manifest or byte by byte, else None."""
    status = status_of(target)
    if status is None or status.st_size != origin.size:
        return None
    manifest = _read_manifest(target) or {}
    known = {"bytes": status.st_size, "modified": status.st_mtime_ns, "source": origin.key}
    if known.items() <= manifest.items():
        return manifest["sha256"]
    return hash_source(file_source(target)) if _begin_alike(file_source(target), origin) else None


def _begin_alike(one, other):
    """Whether two sources are equal as far as both go."""
    pairs = zip(read_blocks(one), read_blocks(other), strict=False)
    return all(a[: len(b)] == b[: len(a)] for a, b in pairs)


def _make_way(origin, target):
    """Set the target aside unless it is older than the source, or the beginning of a copy of it."""
    _manifest_path(target).unlink(missing_ok=True)
    status = status_of(target)
    if status is None or status.st_mtime_ns <= origin.modified:
        return
    if status.st_size < origin.size and _begin_alike(file_source(target), origin):
        return
    aside = target.with_name(dated(target.name))
    os.replace(target, aside)
    note(f"{shown_path(target)} was newer than what is copied there; kept as {aside.name}.")


def _claimed_sha256(source, origin):
    """sha256 that the source's own manifest states, None without one; DamagedSource if the sizes differ."""
    manifest = persist(lambda: _read_manifest(source), source)
    if manifest and manifest["bytes"] != origin.size:
        raise DamagedSource(
            f"{source} has {origin.size:,} bytes instead of {manifest['bytes']:,}; copy it there anew, or "
            f"delete {_manifest_path(source).name} if you changed it yourself."
        )
    return manifest and manifest["sha256"]


def _manifest_path(path):
    """Path of the manifest of a file that was copied."""
    return path.with_name(f"{path.name}{MANIFEST_SUFFIX}")


def _read_manifest(path):
    """Manifest of a copied file, or None where there is none or it is none of ours."""
    try:
        manifest = json.loads(_manifest_path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and {"bytes", "sha256"} <= manifest.keys() else None


def _write_manifest(origin, target, mount, sha256):
    """Say that a copy is whole, unless that has been said."""
    status = persist(lambda: os.stat(target), target, mount)
    manifest = {
        "bytes": status.st_size,
        "sha256": sha256,
        "modified": status.st_mtime_ns,
        "source": origin.key,
    }
    if persist(lambda: _read_manifest(target), target, mount) != manifest:
        content = json.dumps(manifest, indent=1).encode()
        transfer(bytes_source("its manifest", content, status.st_mtime_ns), _manifest_path(target), mount)


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
